//! Requests judged, rotation under paused time, files swapped whole.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::fixture::{FlakyAuthority, HOUR, Leaf, TestCa, id};
use super::*;
use crate::task::Tasks;

const ID: &str = "spiffe://cluster.local/ns/shop/sa/frontend";

#[test]
fn an_answer_is_judged() {
    let ca = TestCa::new();
    let now = SystemTime::now();
    let ask = || Request::new(&id(ID)).unwrap();

    let request = ask();
    let answer = ca.answer(request.csr_pem(), &Leaf::of(ID));
    let svid = request.accept(&answer, now).unwrap();
    assert_eq!((svid.id().as_str(), svid.chain().len(), svid.trust().roots().len()), (ID, 1, 1));
    assert!(svid.remaining(now) > Duration::from_secs(3590) && svid.not_before() < now);

    let request = ask();
    let other = ca.answer(request.csr_pem(), &Leaf::of("spiffe://cluster.local/ns/shop/sa/other"));
    assert!(matches!(request.accept(&other, now), Err(Error::WrongIdentity { .. })));

    let request = ask();
    let foreign_key = ca.answer(ask().csr_pem(), &Leaf::of(ID));
    assert!(matches!(request.accept(&foreign_key, now), Err(Error::WrongKey(_))));

    let request = ask();
    let mut foreign_root = ca.answer(request.csr_pem(), &Leaf::of(ID));
    foreign_root[1] = certificates_pem(&[TestCa::new().root()]);
    assert!(matches!(request.accept(&foreign_root, now), Err(Error::Unverified(_))));

    let request = ask();
    let expired = ca.answer(request.csr_pem(), &Leaf { to: now - Duration::from_secs(60), ..Leaf::of(ID) });
    assert!(matches!(request.accept(&expired, now), Err(Error::Unverified(_))));

    let request = ask();
    let rootless = ca.answer(request.csr_pem(), &Leaf::of(ID));
    assert!(matches!(request.accept(&rootless[..1], now), Err(Error::NoRoot(1))));
    assert!(matches!(ask().accept(&[], now), Err(Error::NoRoot(0))));
}

#[test]
fn pem_goes_there_and_back_and_debug_prints_no_key() {
    let svid = TestCa::new().svid(&Leaf::of(ID));
    let again = Svid::from_pem(svid.chain_pem().as_bytes(), svid.key_pem().as_bytes(), svid.roots_pem().as_bytes()).unwrap();
    assert_eq!((again.id(), again.serial(), again.chain()), (svid.id(), svid.serial(), svid.chain()));
    again.verify(SystemTime::now()).unwrap();
    let printed = format!("{svid:?} {:?}", Source::fixed(again));
    assert!(printed.contains("frontend") && !printed.contains("PRIVATE") && !printed.contains("key"), "{printed}");
}

#[test]
fn files_are_private_and_swapped_whole() {
    let ca = TestCa::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certs");
    let first = ca.svid(&Leaf::of(ID));
    let written = first.write_files(&path).unwrap();
    let second = ca.svid(&Leaf::of(ID));
    assert_eq!(second.write_files(&path).unwrap(), written);
    assert_eq!(second.write_files(&path).unwrap(), written);

    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&written.key), second.key_pem());
    assert_eq!(read(&written.chain), second.chain_pem());
    assert_eq!(read(&written.roots), second.roots_pem());
    assert_eq!(std::fs::metadata(&written.key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    // Three names, the link, and one generation: the first one is gone.
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 5);
}

#[test]
fn rotation_is_jittered_and_leaves_time_for_a_retry() {
    let mut rng = rand::rng();
    let day = 24 * HOUR;
    for _ in 0..1000 {
        let delay = Rotation::default().delay(day, &mut rng);
        assert!((day.mul_f64(0.489)..=day.mul_f64(0.511)).contains(&delay), "{delay:?}");
        assert!(Rotation { fraction: 3.0, jitter: 9.0 }.delay(day, &mut rng) <= day.mul_f64(0.9));
        assert!(Rotation { fraction: 0.0, jitter: 0.4 }.delay(day, &mut rng) <= day.mul_f64(0.4));
    }
}

struct Rotating {
    authority: Arc<FlakyAuthority>,
    source: Source,
    clock: Clock,
    _tasks: Tasks,
}

fn rotating(failures: usize, renewal: Renewal, refuse_certificates: bool) -> Rotating {
    let clock = Clock::following_tokio(SystemTime::now());
    let authority = Arc::new(FlakyAuthority {
        ca: TestCa::new(),
        id: id(ID),
        clock: clock.clone(),
        asked: AtomicUsize::new(0),
        failures: AtomicUsize::new(failures),
        refuse_certificates,
        last_by_certificate: AtomicBool::new(false),
    });
    let (publisher, source) = channel();
    let config = Config { clock: clock.clone(), renewal, ..Config::new(id(ID)) };
    let client = Client::new(config, authority.clone(), publisher);
    let tasks = Tasks::new("test");
    tasks.spawn("rotation", client.run());
    Rotating { authority, source, clock, _tasks: tasks }
}

#[tokio::test(start_paused = true)]
async fn rotates_at_half_of_the_lifetime() {
    let mut mesh = rotating(0, Renewal::Token, false);
    let mut last = mesh.source.ready().await.unwrap();
    mesh.source.0.mark_unchanged();
    for _ in 0..5 {
        let before = mesh.clock.now();
        let next = mesh.source.changed().await.unwrap();
        let waited = mesh.clock.now().duration_since(before).unwrap();
        assert!((HOUR * 11..=HOUR * 13).contains(&waited), "{waited:?}");
        assert_ne!(last.serial(), next.serial());
        assert!(!last.remaining(mesh.clock.now()).is_zero(), "the old one is still valid when the new one arrives");
        last = next;
    }
    assert_eq!(mesh.authority.asked.load(Ordering::SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn keeps_the_last_good_one_while_the_authority_is_away() {
    let mut mesh = rotating(3, Renewal::Token, false);
    assert!(mesh.source.current().is_none());
    let first = mesh.source.ready().await.unwrap();
    mesh.source.0.mark_unchanged();
    mesh.authority.failures.store(20, Ordering::SeqCst);
    tokio::time::sleep(HOUR * 13).await;
    let second = mesh.source.changed().await.unwrap();
    assert_ne!(first.serial(), second.serial());
    assert!(!first.remaining(mesh.clock.now()).is_zero());
    assert!(mesh.authority.asked.load(Ordering::SeqCst) >= 4 + 21);
}

#[tokio::test(start_paused = true)]
async fn a_refused_certificate_falls_back_to_the_token() {
    let mut mesh = rotating(0, Renewal::Certificate, true);
    mesh.source.ready().await.unwrap();
    mesh.source.0.mark_unchanged();
    mesh.source.changed().await.unwrap();
    assert_eq!(mesh.authority.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_no_credential_and_the_token_brings_a_new_one() {
    let mut mesh = rotating(0, Renewal::Certificate, false);
    let first = mesh.source.ready().await.unwrap();
    mesh.source.0.mark_unchanged();
    mesh.source.changed().await.unwrap();
    assert!(mesh.authority.last_by_certificate.load(Ordering::SeqCst));
    mesh.authority.failures.store(usize::MAX, Ordering::SeqCst);
    tokio::time::sleep(HOUR * 40).await;
    let kept = mesh.source.current().unwrap();
    assert!(kept.serial() != first.serial() && kept.remaining(mesh.clock.now()).is_zero(), "the last one is kept, expired");
    mesh.authority.failures.store(0, Ordering::SeqCst);
    let fresh = mesh.source.changed().await.unwrap();
    assert!(!mesh.authority.last_by_certificate.load(Ordering::SeqCst) && !fresh.remaining(mesh.clock.now()).is_zero());
}

#[tokio::test]
async fn a_source_without_publisher_says_so() {
    let (publisher, mut source) = channel();
    drop(publisher);
    assert!(matches!(source.ready().await, Err(Error::Gone)));
    let mut fixed = Source::fixed(TestCa::new().svid(&Leaf::of(ID)));
    assert_eq!(fixed.ready().await.unwrap().id().as_str(), ID);
    assert!(matches!(fixed.changed().await, Err(Error::Gone)));
}
