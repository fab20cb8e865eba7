//! The control side of the configuration: what comes from the xDS server, from the workload's own certificate and from
//! name lookups goes through one assembler, and each new snapshot to the data plane.
//!
//! Nothing here is on the request path. What was received stays in force over disconnects.

mod accepted;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use mesh_proto::type_url;
use mesh_runtime::{
    drain::DrainWatch,
    ready::Blocker,
    svid::{self, Svid},
    xds::{Connection, Interest, Rejection, Sink, Update, client::Handle},
};
use rustls::RootCertStore;

pub(crate) use self::accepted::{Accepted, Entry};
use super::{Assembler, Source, Wanted};
use crate::{
    metrics::StatValue,
    secret::{Roots, Secret},
    server::{BindFailure, DataPlane},
    snapshot::Snapshot,
};

/// SDS names that are answered here, from the workload's own certificate (Istio's names).
pub(crate) const OWN_CERTIFICATE: &str = "default";
/// The roots that came with it.
pub(crate) const OWN_ROOTS: &str = "ROOTCA";
/// Envoy's default `initial_fetch_timeout`.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything that decides on the configuration. One per process.
pub(crate) struct Session {
    state: Mutex<State>,
    plane: Arc<DataPlane>,
    /// To the ADS server, if there is one.
    ads: Option<Handle>,
    /// The workload has a certificate: the own names are local.
    enrolled: bool,
}

struct State {
    assembler: Assembler,
    accepted: Accepted,
    wanted: Wanted,
    /// What the data plane was given last; it may fill in addresses that names resolve to.
    published: Option<Arc<Snapshot>>,
    waiting: BTreeMap<Arc<str>, Instant>,
    blocker: Option<Blocker>,
    connected: bool,
}

impl Session {
    /// A session over what `assembler` holds already (a bootstrap's static resources). `blocker` is released when the first
    /// listeners and clusters, and what they wait for, are in force; without an ADS handle, when the static ones are.
    pub(crate) fn new(assembler: Assembler, plane: Arc<DataPlane>, ads: Option<Handle>, enrolled: bool, blocker: Blocker) -> Arc<Self> {
        let state = State {
            assembler,
            accepted: Accepted::default(),
            wanted: Wanted::default(),
            published: None,
            waiting: BTreeMap::new(),
            blocker: Some(blocker),
            connected: false,
        };
        Arc::new(Self { state: Mutex::new(state), plane, ads, enrolled })
    }

    /// Puts in force what is there, and asks for the rest. Call once, first; with `discover` also for all listeners and
    /// clusters.
    pub(crate) fn start(&self, discover: Discover) -> Vec<BindFailure> {
        if let Some(ads) = &self.ads {
            // Clusters first: listeners refer to them.
            if discover.clusters {
                ads.subscribe(type_url::CLUSTER, Interest::All);
            }
            if discover.listeners {
                ads.subscribe(type_url::LISTENER, Interest::All);
            }
        }
        let mut state = self.lock();
        state.accepted.expect(discover);
        self.publish(&mut state)
    }

    /// The resources that were accepted, for dumps.
    pub(crate) fn accepted<R>(&self, read: impl FnOnce(&Accepted) -> R) -> R {
        read(&self.lock().accepted)
    }

    /// The session's stats, under Envoy's names.
    pub(crate) fn stats(&self) -> Vec<(String, StatValue)> {
        let state = self.lock();
        let mut stats = state.accepted.stats();
        if self.ads.is_some() {
            stats.push(("control_plane.connected_state".into(), StatValue::Gauge(state.connected.into())));
        }
        let failed = self.plane.failures().len() as u64;
        stats.push(("listener_manager.listeners_not_bound".into(), StatValue::Gauge(failed)));
        stats
    }

    /// Feeds the workload's certificate to who waits for it, now and at each rotation.
    pub(crate) async fn follow(self: Arc<Self>, mut source: svid::Source, drain: DrainWatch) {
        let next = async {
            let mut svid = source.ready().await;
            while let Ok(current) = svid {
                self.present(&current);
                svid = source.changed().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drain.forced() => {}
            () = next => {}
        }
    }

    /// Once a second: ends waits that last too long, tries again to listen where that failed.
    pub(crate) async fn tend(self: Arc<Self>, drain: DrainWatch) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.draining() => return,
                _ = tick.tick() => {}
            }
            let mut state = self.lock();
            // Under the lock: what is tried again must not be older than what is published meanwhile.
            if !self.plane.failures().is_empty() {
                self.plane.retry_failures();
            }
            let late: Vec<_> =
                state.waiting.iter().filter(|(_, since)| since.elapsed() >= FETCH_TIMEOUT).map(|(name, _)| name.clone()).collect();
            if !late.is_empty() {
                tracing::warn!(names = ?late, "nothing came within {FETCH_TIMEOUT:?}: what waited for it goes into force without it");
                state.assembler.stop_waiting();
                self.publish(&mut state);
            }
        }
    }

    fn present(&self, svid: &Svid) {
        let mut state = self.lock();
        state.assembler.secret(OWN_CERTIFICATE).store(Secret::Certificate(svid.certified_key().clone()));
        let roots = svid.trust().roots();
        let mut store = RootCertStore::empty();
        // They were parsed when the certificate came: none is left out.
        store.add_parsable_certificates(roots.iter().cloned());
        state.assembler.secret(OWN_ROOTS).store(Secret::Roots(Roots { store: Arc::new(store), certificates: roots.into(), crl: None }));
        tracing::info!(id = %svid.id(), serial = svid.serial(), "certificate in force");
        self.publish(&mut state);
    }

    /// Puts the newest snapshot in force, asks for what it refers to, and notes what is still waited for.
    fn publish(&self, state: &mut State) -> Vec<BindFailure> {
        let snapshot = state.assembler.snapshot();
        let is_new = state.published.as_ref().is_none_or(|published| !Arc::ptr_eq(published, &snapshot));
        state.published = Some(snapshot.clone());
        let failures = if is_new { self.put(snapshot) } else { Vec::new() };
        self.ask(state);
        let now = Instant::now();
        let waiting = state.assembler.waiting();
        state.waiting.retain(|name, _| waiting.contains(name));
        for name in waiting {
            state.waiting.entry(name).or_insert(now);
        }
        if state.waiting.is_empty()
            && state.accepted.is_complete()
            && let Some(blocker) = state.blocker.take()
        {
            blocker.ready();
        }
        failures
    }

    fn put(&self, snapshot: Arc<Snapshot>) -> Vec<BindFailure> {
        let failures = self.plane.apply(snapshot);
        for failure in &failures {
            tracing::error!(%failure, "will be tried again");
        }
        failures
    }

    fn ask(&self, state: &mut State) {
        let wanted = state.assembler.wanted();
        if wanted == state.wanted {
            return;
        }
        if let Some(ads) = &self.ads {
            if wanted.endpoints != state.wanted.endpoints {
                ads.subscribe(type_url::ENDPOINT, Interest::Names(wanted.endpoints.clone()));
            }
            if wanted.routes != state.wanted.routes {
                ads.subscribe(type_url::ROUTE, Interest::Names(wanted.routes.clone()));
            }
            let remote = |wanted: &Wanted| -> std::collections::BTreeSet<Arc<str>> {
                let ads = wanted.secrets.iter().filter(|(name, source)| **source == Source::Ads && !self.is_own(name));
                ads.map(|(name, _)| name.clone()).collect()
            };
            let (before, now) = (remote(&state.wanted), remote(&wanted));
            if before != now {
                ads.subscribe(type_url::SECRET, Interest::Names(now));
            }
        }
        for (name, source) in wanted.secrets.iter().filter(|(name, _)| !state.wanted.secrets.contains_key(*name) && !self.is_own(name)) {
            if *source != Source::Ads || self.ads.is_none() {
                tracing::warn!(%name, ?source, "no way to get this secret from there: TLS that needs it fails");
            }
        }
        state.accepted.keep(&wanted);
        state.wanted = wanted;
    }

    fn is_own(&self, name: &str) -> bool {
        self.enrolled && (name == OWN_CERTIFICATE || name == OWN_ROOTS)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("enrolled", &self.enrolled).finish_non_exhaustive()
    }
}

/// Which wildcard subscriptions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Discover {
    /// LDS.
    pub(crate) listeners: bool,
    /// CDS.
    pub(crate) clusters: bool,
}

/// The session as the xDS client's consumer.
pub(crate) struct Consumer(pub(crate) Arc<Session>);

impl Sink for Consumer {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let session = &self.0;
        let mut state = session.lock();
        let (own, upserts): (Vec<_>, Vec<_>) =
            update.upserts.iter().cloned().partition(|resource| &*update.type_url == type_url::SECRET && session.is_own(&resource.name));
        let mut rejections = state.assembler.apply(&update.type_url, &upserts, &update.removed);
        rejections.extend(own.into_iter().map(|resource| Rejection {
            name: resource.name,
            reason: "this name is the workload's own certificate, which no server gives".to_owned(),
        }));
        let failures = session.publish(&mut state);
        // Envoy refuses a listener whose address it cannot have, too.
        if &*update.type_url == type_url::LISTENER {
            for resource in &update.upserts {
                let unbound = failures.iter().filter(|failure| failure.listener == resource.name);
                rejections.extend(unbound.map(|failure| Rejection { name: resource.name.clone(), reason: failure.to_string() }));
            }
        }
        for rejection in &rejections {
            tracing::warn!(type_url = %update.type_url, name = %rejection.name, reason = %rejection.reason, "resource refused; its last good one stays in force");
        }
        state.accepted.record(&update, &rejections, SystemTime::now());
        // The types that readiness waits for are noted only now.
        session.publish(&mut state);
        rejections
    }

    fn connection(&mut self, connection: Connection) {
        let mut state = self.0.lock();
        state.connected = connection == Connection::Connected;
        match connection {
            Connection::Connected => tracing::info!("connected to the xDS server"),
            Connection::Disconnected { reason } => tracing::warn!(%reason, "disconnected from the xDS server; keeping what is in force"),
        }
    }
}
