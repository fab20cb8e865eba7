//! From a new configuration to every proxy: debounce, build the World once, generate once a distinct scope, hand on what changed.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_config::resource::VirtualService;
use mesh_runtime::xds::{Resources, Snapshot};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinError,
    time::Instant,
};

use crate::{
    generate::{Conflict, Made, Refusal, Report, generate_after},
    metrics::Metrics,
    scope::ProxyScope,
    settings::MeshSettings,
    source::Received,
    status::Status,
    world::World,
};

/// When a change is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// After nothing has changed for so long …
    pub quiet: Duration,
    /// … or so long after the first change, at the latest.
    pub patience: Duration,
}

impl Default for Debounce {
    /// Istio's: 100 ms, at most 10 s.
    fn default() -> Self {
        Self { quiet: Duration::from_millis(100), patience: Duration::from_secs(10) }
    }
}

/// What every proxy is to have. Cheap to clone.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

struct Shared {
    settings: MeshSettings,
    status: Status,
    metrics: Arc<Metrics>,
    world: watch::Sender<Option<Arc<World>>>,
    /// One a distinct scope with proxies; forgotten when the last one leaves.
    scopes: Mutex<HashMap<ProxyScope, Leased>>,
    /// Bounds generations at once.
    permits: Semaphore,
}

/// The snapshots of one scope.
struct Feed {
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    /// What was made last. One generation of a scope at a time, so that an older World never overwrites a newer one.
    turn: tokio::sync::Mutex<Option<Made>>,
    /// What the newest snapshot goes without.
    report: Mutex<Report>,
    metrics: Arc<Metrics>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let report = self.report.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.metrics.conflicts.dec_by(count(report.conflicts.len()));
        self.metrics.secrets_withheld.dec_by(count(report.refusals.len()));
    }
}

/// A feed and how many proxies hold it.
struct Leased {
    feed: Arc<Feed>,
    proxies: usize,
}

/// A proxy's hold on the snapshots of its scope. What is kept for a scope is bounded by the proxies that are connected: it goes with the last one.
pub struct Lease {
    discovery: Discovery,
    scope: ProxyScope,
    feed: Arc<Feed>,
}

impl Lease {
    fn new(discovery: &Discovery, scope: &ProxyScope) -> Self {
        let mut scopes = discovery.scopes();
        let leased = scopes.entry(scope.clone()).or_insert_with(|| {
            let metrics = discovery.shared.metrics.clone();
            let snapshots = watch::Sender::new(None);
            let feed = Feed { snapshots, turn: tokio::sync::Mutex::default(), report: Mutex::default(), metrics };
            Leased { feed: Arc::new(feed), proxies: 0 }
        });
        leased.proxies += 1;
        Self { discovery: discovery.clone(), scope: scope.clone(), feed: leased.feed.clone() }
    }

    /// The snapshots; the newest is there from the beginning, unless there is no World yet.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.feed.snapshots.subscribe()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut scopes = self.discovery.scopes();
        if let Entry::Occupied(mut leased) = scopes.entry(self.scope.clone()) {
            leased.get_mut().proxies -= 1;
            if leased.get().proxies == 0 {
                leased.remove();
            }
        }
    }
}

impl Discovery {
    /// Nothing yet. At most `concurrency` snapshots are generated at once.
    pub fn new(settings: MeshSettings, status: Status, metrics: Arc<Metrics>, concurrency: usize) -> Self {
        let permits = Semaphore::new(concurrency.max(1));
        let shared = Shared { settings, status, metrics, world: watch::Sender::new(None), scopes: Mutex::default(), permits };
        Self { shared: Arc::new(shared) }
    }

    /// The World in force.
    pub fn world(&self) -> Option<Arc<World>> {
        self.shared.world.borrow().clone()
    }

    /// Sees Worlds come.
    pub fn worlds(&self) -> watch::Receiver<Option<Arc<World>>> {
        self.shared.world.subscribe()
    }

    /// The snapshots of a proxy, for as long as it holds the lease; the newest is there when this returns, unless there is no World yet.
    pub async fn subscribe(&self, scope: &ProxyScope) -> Lease {
        let lease = Lease::new(self, scope);
        if lease.feed.snapshots.borrow().is_none() {
            self.refresh(scope, &lease.feed).await;
        }
        lease
    }

    /// What a scope's proxies have, and what they go without.
    pub(crate) fn fed(&self, scope: &ProxyScope) -> Option<(Arc<Snapshot>, Report)> {
        let feed = self.scopes().get(scope)?.feed.clone();
        let snapshot = feed.snapshots.borrow().clone()?;
        let report = feed.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some((snapshot, report))
    }

    /// How often a change made how much to be generated.
    #[cfg(test)]
    fn generations(&self) -> [(&'static str, i64); 3] {
        self.shared.metrics.generations()
    }

    /// How many different scopes snapshots are kept for.
    pub fn kept(&self) -> usize {
        self.scopes().len()
    }

    /// Follows the configuration until the sender is gone.
    pub async fn run(self, mut configuration: watch::Receiver<Option<Received>>, debounce: Debounce) {
        let mut first = true;
        while configuration.changed().await.is_ok() {
            // Until the first World nobody is served: there is nothing to wait for.
            if !std::mem::take(&mut first) && !quiet(&mut configuration, debounce).await {
                return;
            }
            let received = configuration.borrow_and_update().clone();
            if let Some(received) = received {
                self.push(received).await;
            }
        }
    }

    /// Makes a configuration the one in force and pushes it to everybody.
    pub async fn push(&self, received: Received) {
        let (settings, before) = (self.shared.settings.clone(), self.world());
        let (revision, at) = (received.revision.clone(), received.at);
        let built = tokio::task::spawn_blocking(move || World::new(received, settings, before.as_deref())).await;
        let world = match built {
            Ok(world) => Arc::new(world),
            Err(error) => return lost(&error),
        };
        self.shared.metrics.services.set(count(world.registry().services().count()));
        self.shared.metrics.virtual_services.set(count(world.snapshot().list::<VirtualService>().count()));
        self.shared.status.begin(revision.as_str(), at);
        self.shared.world.send_replace(Some(world));
        let feeds: Vec<(ProxyScope, Arc<Feed>)> = {
            let scopes = self.scopes();
            scopes.iter().map(|(scope, leased)| (scope.clone(), leased.feed.clone())).collect()
        };
        let pushes = feeds.iter().map(|(scope, feed)| self.refresh(scope, feed));
        futures_util::future::join_all(pushes).await;
        self.shared.status.finish();
    }

    /// Brings a scope's snapshot up to the World in force.
    async fn refresh(&self, scope: &ProxyScope, feed: &Feed) {
        let mut turn = feed.turn.lock().await;
        let Some(world) = self.world() else { return };
        // The semaphore is never closed.
        let Ok(_permit) = self.shared.permits.acquire().await else { return };
        let began = Instant::now();
        let (owned, made) = (scope.clone(), turn.clone());
        let (mut made, work) = match tokio::task::spawn_blocking(move || generate_after(&world, &owned, made.as_ref())).await {
            Ok(generated) => generated,
            // A panic in a generator: the proxy keeps what it has.
            Err(error) => return lost(&error),
        };
        self.shared.metrics.generated(began.elapsed(), work);
        let before = feed.snapshots.borrow().clone();
        let news = before.as_ref().is_none_or(|before| before.revision != made.snapshot.revision);
        feed.tell(scope, made.report.clone());
        if news {
            let next = Arc::new(shared_with(Arc::unwrap_or_clone(made.snapshot), before.as_deref()));
            made.snapshot = next.clone();
            self.shared.status.fed(scope, before.as_deref(), &next);
            feed.snapshots.send_replace(Some(next));
        }
        *turn = Some(made);
    }

    fn scopes(&self) -> MutexGuard<'_, HashMap<ProxyScope, Leased>> {
        self.shared.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Takes note of what the newest snapshot goes without.
    fn tell(&self, scope: &ProxyScope, report: Report) {
        let mut told = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let difference = |now: usize, before: usize| count(now) - count(before);
        self.metrics.conflicts.inc_by(difference(report.conflicts.len(), told.conflicts.len()));
        self.metrics.secrets_withheld.inc_by(difference(report.refusals.len(), told.refusals.len()));
        if report.conflicts != told.conflicts
            && let Some(Conflict { listener, server_name }) = report.conflicts.first()
        {
            let all = report.conflicts.len();
            tracing::warn!(namespace = %scope.namespace, listener, server_name, all, "several resources ask for a server name: the first one has it");
        }
        let (namespace, account) = (&scope.namespace, &scope.service_account);
        for refusal in report.refusals.iter().filter(|refusal| !told.refusals.contains(refusal)) {
            let (Refusal { name, reason }, effect) = (refusal, refusal.effect());
            tracing::warn!(%namespace, %account, name, %reason, effect, "a secret is not served");
        }
        for port in report.ingress_tls.iter().filter(|port| !told.ingress_tls.contains(port)) {
            let mend = "a Sidecar's ingress tls holds only where PeerAuthentication says DISABLE for the port: there the mesh's own mutual TLS is spoken";
            tracing::warn!(%namespace, %account, port, mend, "TLS of a Sidecar's ingress listener is not heeded");
        }
        *told = report;
    }
}

/// Waits until changes pause. False: there will be no more.
async fn quiet(configuration: &mut watch::Receiver<Option<Received>>, debounce: Debounce) -> bool {
    let latest = Instant::now() + debounce.patience;
    loop {
        let pause = (Instant::now() + debounce.quiet).min(latest);
        match tokio::time::timeout_at(pause, configuration.changed()).await {
            Err(_) => return true,
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
        }
    }
}

/// The same snapshot, sharing memory with the one before where nothing changed; the server does not even compare those types.
fn shared_with(mut snapshot: Snapshot, before: Option<&Snapshot>) -> Snapshot {
    let Some(before) = before else { return snapshot };
    for (type_url, resources) in &mut snapshot.types {
        let Some(old) = before.resources(type_url) else { continue };
        if same(resources, old) {
            *resources = old.clone();
            continue;
        }
        for resource in Arc::make_mut(resources).values_mut() {
            if let Some(known) = old.get(&resource.name).filter(|known| known.version == resource.version) {
                *resource = known.clone();
            }
        }
    }
    snapshot
}

fn same(new: &Resources, old: &Resources) -> bool {
    new.len() == old.len() && new.iter().all(|(name, resource)| old.get(name).is_some_and(|old| old.version == resource.version))
}

fn lost(error: &JoinError) {
    tracing::error!(%error, "generating configuration failed; the last good one stays in force");
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
