//! Roots made once, shared, kept private; mounted authorities checked before they sign.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::*;
use crate::ca::{Ca, Caller, Policy};
use crate::csr::Csr;

type Issued = CertifiedIssuer<'static, KeyPair>;

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn local(folder: &Path) -> Result<Material, Error> {
    load(&Location::Local(folder.to_owned()), &domain(), SystemTime::now())
}

fn mounted(folder: &Path) -> Result<Material, Error> {
    load(&Location::Mounted(folder.to_owned()), &domain(), SystemTime::now())
}

fn reason<T>(result: Result<T, Error>) -> String {
    result.err().map(|error| error.to_string()).unwrap()
}

/// Signs a workload and verifies it as a peer would, with the roots and intermediates of the answer only.
fn signs(material: Material) {
    let ca = Ca::new(domain(), material, Policy::default()).unwrap();
    let id = "spiffe://cluster.local/ns/a/sa/b".parse().unwrap();
    let request = mesh_runtime::svid::Request::new(&id).unwrap();
    let csr = Csr::from_pem(request.csr_pem()).unwrap();
    let now = SystemTime::now();
    let chain = ca.sign(&csr, &Caller::new(id), Duration::ZERO, now).unwrap();
    request.accept(&chain.to_pem(), now).unwrap();
}

#[test]
fn a_local_root_is_made_once_and_kept_private() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("mesh/ca");
    let first = local(&folder).unwrap();
    let second = local(&folder).unwrap();
    assert_eq!(first.certificate, second.certificate);
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode(KEY)), (0o700, 0o600));
    assert_eq!(read_certificates(&folder.join(ROOTS)).unwrap(), first.roots);
    signs(second);
}

#[test]
fn two_starts_at_once_agree_on_one_root() {
    let home = tempfile::tempdir().unwrap();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| local(home.path()).unwrap().certificate)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_local_root_is_never_replaced() {
    let home = tempfile::tempdir().unwrap();
    let first = local(home.path()).unwrap();
    // After a crash between key and certificate the same key goes on.
    fs::remove_file(home.path().join(CERTIFICATE)).unwrap();
    let second = local(home.path()).unwrap();
    assert_eq!(first.key.serialized_der(), second.key.serialized_der());
    fs::set_permissions(home.path().join(KEY), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(reason(local(home.path())).contains("chmod 600"));
    fs::remove_file(home.path().join(KEY)).unwrap();
    assert!(reason(local(home.path())).contains("missing"));
    fs::write(home.path().join(KEY), "junk").unwrap();
    fs::set_permissions(home.path().join(KEY), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(reason(local(home.path())).contains("PEM private key"));
}

fn authority(name: &str, issuer: Option<&Issued>, change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

fn mount(signer: &Issued, chain: &[&Issued], root: &Issued) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write(CERTIFICATE, signer.pem());
    write(KEY, signer.key().serialize_pem());
    write(CHAIN, chain.iter().map(|link| link.pem()).collect());
    write(ROOTS, root.pem());
    folder
}

#[test]
fn a_mounted_intermediate_signs_chains_that_peers_verify() {
    let root = authority("root", None, |_| {});
    let upper = authority("upper", Some(&root), |_| {});
    let lower = authority("lower", Some(&upper), |_| {});
    // As Istio writes the chain, with the root in it, and without the signer.
    for chain in [&[&lower, &upper][..], &[&lower, &upper, &root], &[&upper]] {
        let material = mounted(mount(&lower, chain, &root).path()).unwrap();
        assert_eq!(material.intermediates, [lower.der().clone(), upper.der().clone()]);
        signs(material);
    }
    // A root that signs by itself, with and without a chain file.
    let folder = mount(&root, &[], &root);
    assert!(mounted(folder.path()).unwrap().intermediates.is_empty());
    fs::remove_file(folder.path().join(CHAIN)).unwrap();
    signs(mounted(folder.path()).unwrap());
}

#[test]
fn a_mounted_authority_that_nobody_would_believe_is_refused() {
    let root = authority("root", None, |_| {});
    let upper = authority("upper", Some(&root), |_| {});
    let lower = authority("lower", Some(&upper), |_| {});
    assert!(reason(mounted(mount(&lower, &[&lower], &root).path())).contains(CHAIN), "a link is missing");
    let stranger = authority("root", None, |_| {});
    assert!(reason(mounted(mount(&upper, &[&upper], &stranger).path())).contains("no valid chain"));

    let expired = authority("old", None, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    assert!(reason(mounted(mount(&expired, &[], &expired).path())).contains("expired"));
    let leaf = authority("leaf", Some(&root), |params| params.is_ca = IsCa::ExplicitNoCa);
    assert!(reason(mounted(mount(&leaf, &[], &root).path())).contains("CA:TRUE"));
    let mute = authority("mute", Some(&root), |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert!(reason(mounted(mount(&mute, &[], &root).path())).contains("keyCertSign"));

    let folder = mount(&upper, &[&upper], &root);
    fs::write(folder.path().join(KEY), lower.key().serialize_pem()).unwrap();
    assert!(reason(mounted(folder.path())).contains(KEY));
    fs::remove_file(folder.path().join(KEY)).unwrap();
    assert!(matches!(mounted(folder.path()), Err(Error::Io { .. })), "a mounted authority is never made up");
}
