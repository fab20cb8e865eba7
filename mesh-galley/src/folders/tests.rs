//! Whole lives of the reader: start, change, restart. The clock is paused: it moves on by itself when everything waits.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use mesh_proto::mcp;
use mesh_runtime::{ready::Readiness, task::Tasks, xds};
use tokio::time::timeout;

use super::*;

const GOOD: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a]
  http: [{route: [{destination: {host: a}, weight: 80}]}]
";

/// One life of a reader of `<folder>/config` with its state in `<folder>/state`.
struct Life {
    tasks: Tasks,
    snapshots: watch::Receiver<Option<Arc<xds::Snapshot>>>,
    reports: watch::Receiver<Report>,
    readiness: Readiness,
}

impl Life {
    fn begin(folder: &Path, state: bool) -> Self {
        let readiness = Readiness::new();
        let (outlet, _) = Outlet::new();
        let snapshots = outlet.trusted();
        let reports = watch::Sender::new(Report::default());
        let tasks = Tasks::new("test");
        let folders = Folders {
            folders: vec![folder.join("config")],
            watch: None,
            last: Last::new(state.then(|| State::open(folder.join("state")).unwrap())),
            outlet: Arc::new(outlet),
            reports: reports.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        tasks.spawn("folders", folders.run(readiness.block("first read")));
        Self { tasks, snapshots, reports: reports.subscribe(), readiness }
    }

    /// Waits until the names in force are these.
    async fn has(&mut self, names: &[&str]) {
        let type_url = mcp::type_url("VirtualService");
        let there = |snapshot: &Option<Arc<xds::Snapshot>>| {
            snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.resources(&type_url).unwrap().keys().map(|name| &**name).eq(names.iter().copied()))
        };
        timeout(Duration::from_secs(60), self.snapshots.wait_for(there)).await.unwrap().unwrap();
        timeout(Duration::from_secs(60), self.readiness.wait()).await.unwrap();
    }

    fn current(&self) -> Arc<xds::Snapshot> {
        self.snapshots.borrow().clone().unwrap()
    }

    async fn end(self) {
        self.tasks.shutdown(Duration::ZERO).await;
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();
    folder
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_broken_at_the_restart_keeps_its_last_good_resources() {
    let folder = folder();
    let file = folder.path().join("config/f.yaml");
    fs::write(&file, GOOD).unwrap();
    let mut before = Life::begin(folder.path(), true);
    before.has(&["shop/a"]).await;
    let revision = before.current().revision.clone();
    before.end().await;

    for broken in [GOOD.replace("weight", "wieght"), "kind: [half a fi".to_owned()] {
        fs::write(&file, broken).unwrap();
        let mut after = Life::begin(folder.path(), true);
        after.has(&["shop/a"]).await;
        assert_eq!(after.current().revision, revision, "it reads as no change");
        assert_eq!((after.reports.borrow().kept, after.reports.borrow().errors.len()), (1, 1));
        after.end().await;
    }

    // What was deleted while nobody looked goes, after a second look.
    fs::remove_file(&file).unwrap();
    let mut after = Life::begin(folder.path(), true);
    after.has(&["shop/a"]).await;
    after.has(&[]).await;
    after.end().await;
    assert_eq!(fs::read_dir(folder.path().join("state")).unwrap().count(), 0, "and is not remembered any more");
}

#[tokio::test(start_paused = true)]
async fn without_state_subscribers_are_not_told_that_what_is_broken_is_gone() {
    let folder = folder();
    fs::write(folder.path().join("config/f.yaml"), GOOD.replace("weight", "wieght")).unwrap();
    let mut life = Life::begin(folder.path(), false);
    life.has(&[]).await;
    let type_url = mcp::type_url("VirtualService");
    assert_eq!(life.current().uncertain[&*type_url], xds::Interest::names(["shop/a"]));
    let doubtful = life.current().revision.clone();
    life.end().await;

    // Once the file is in order, the doubt goes, and the revision changes although no resource does: subscribers hear what is gone.
    fs::write(folder.path().join("config/f.yaml"), "").unwrap();
    let mut after = Life::begin(folder.path(), false);
    after.has(&[]).await;
    assert!(after.current().uncertain.is_empty() && after.current().revision != doubtful);
    after.end().await;
}

#[tokio::test(start_paused = true)]
async fn state_that_cannot_be_trusted_is_told_and_what_it_held_is_not_told_to_be_gone() {
    let folder = folder();
    let file = folder.path().join("config/f.yaml");
    fs::write(&file, GOOD).unwrap();
    let mut before = Life::begin(folder.path(), true);
    before.has(&["shop/a"]).await;
    before.end().await;
    for entry in fs::read_dir(folder.path().join("state")).unwrap() {
        fs::write(entry.unwrap().path(), "torn").unwrap();
    }
    fs::write(&file, "kind: [half a fi").unwrap();
    let mut after = Life::begin(folder.path(), true);
    after.has(&[]).await;
    assert!(after.current().uncertain.values().all(|names| *names == xds::Interest::All));
    assert!(after.reports.borrow().errors.iter().any(|error| error.contains("checksum")), "{:?}", after.reports.borrow().errors);
    after.end().await;
}

/// Resident memory now and at its highest, MiB.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// `cargo test -p mesh-galley fifty_thousand -- --ignored --nocapture` prints the figures.
#[test]
#[ignore = "takes long, for figures"]
#[allow(clippy::print_stderr)]
fn fifty_thousand_objects_are_held_in_bounded_memory() {
    let folder = folder();
    let config = folder.path().join("config");
    let service = |n: usize| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}, namespace: n{}}}\nspec: {{selector: {{app: a{n}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n",
            n % 100
        )
    };
    let workload = |n: usize, m: usize| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w{n}-{m}, namespace: n{}}}\nspec: {{address: 10.{m}.{}.{}, labels: {{app: a{n}, version: v{m}}}, serviceAccount: a}}\n---\n",
            n % 100,
            n / 250,
            n % 250
        )
    };
    let rule = |n: usize| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{n}, namespace: n{}}}\nspec: {{hosts: [s{n}], http: [{{timeout: 5s, retries: {{attempts: 2, retryOn: 5xx}}, route: [{{destination: {{host: s{n}, subset: v0}}, weight: 80}}, {{destination: {{host: s{n}, subset: v1}}, weight: 20}}]}}]}}\n---\n",
            n % 100
        )
    };
    for file in 0..100 {
        let text: String =
            (0..100).map(|n| file * 100 + n).map(|n| service(n) + &rule(n) + &(0..3).map(|m| workload(n, m)).collect::<String>()).collect();
        fs::write(config.join(format!("f{file:03}.yaml")), text).unwrap();
    }
    let (outlet, served) = Outlet::new();
    let state = State::open(folder.path().join("state")).unwrap();
    let mut last = Last::new(Some(state));
    for what in ["first look", "look at the same", "look at one changed file"] {
        if what.ends_with("file") {
            fs::write(config.join("f000.yaml"), service(0)).unwrap();
        }
        let began = std::time::Instant::now();
        let looked = last.look(std::slice::from_ref(&config));
        let seen = began.elapsed();
        outlet.put(&looked.snapshot, looked.last.store.uncertain());
        last = looked.last;
        let (now, most) = memory();
        eprintln!(
            "{what}: {:?} and {:?} to publish; {now} MiB, at most {most} MiB; {} resources",
            seen,
            began.elapsed() - seen,
            looked.report.resources
        );
    }
    let bytes: usize = served
        .borrow()
        .as_ref()
        .unwrap()
        .trusted
        .types
        .values()
        .flat_map(|list| list.values())
        .map(|resource| resource.body.value.len())
        .sum();
    eprintln!("{} MiB in MCP resources", bytes >> 20);
    assert_eq!(last.store.report().resources, 50_000);
    assert!(memory().1 < 1024, "{:?}", memory());
}
