//! `tcp_proxy`: a cluster by weight, an endpoint, a few attempts to connect, then the relay.

use std::{rc::Rc, sync::Arc, time::SystemTime};

use super::relay::{End, relay};
use crate::{
    clock,
    error::Failure,
    info::{ConnectionInfo, Flags, RequestInfo},
    listener::Opened,
    plan::{self, Pick, PickRequest},
    snapshot::{Cluster, Endpoint, Snapshot, TcpProxy},
    tls::Offer,
    upstream::{
        breaker::{self, Resource},
        connect::{self, Connected, How},
        outlier::{self, Outcome},
    },
    worker::Worker,
};

/// Relays a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, opened: Opened, proxy: Arc<TcpProxy>) {
    let Opened { transport, connection, snapshot, phase, .. } = opened;
    let mut record = Record {
        info: Box::new(RequestInfo::for_tcp(connection.clone(), SystemTime::now())),
        worker: worker.clone(),
        proxy: proxy.clone(),
    };
    let info = &mut record.info;
    let Some(cluster) = choose_cluster(&proxy, &snapshot) else {
        info.flags.insert(Flags::NO_CLUSTER);
        return;
    };
    info.cluster = Some(cluster.name.clone());
    info.service.clone_from(&cluster.service);
    let connected = Box::pin(connect(&worker, &cluster, &proxy, &connection, info)).await;
    let Some((connected, endpoint)) = connected else { return };
    drop(snapshot);
    let _active = breaker::active(&endpoint.state);
    info.upstream_local = Some(connected.facts.local);
    info.upstream_tls.clone_from(&connected.facts.tls);
    info.first_upstream_byte = Some(std::time::Instant::now());
    let relaying = relay(transport, connected.transport, proxy.idle_timeout, phase);
    let moved = match proxy.max_duration {
        None => relaying.await,
        Some(limit) => match tokio::time::timeout(limit, relaying).await {
            Ok(moved) => moved,
            Err(_) => {
                info.flags.insert(Flags::DURATION_TIMEOUT);
                return;
            }
        },
    };
    info.bytes_received = moved.up;
    info.bytes_sent = moved.down;
    match moved.end {
        End::Closed | End::Client | End::Forced => {}
        End::Endpoint => info.flags.insert(Flags::UPSTREAM_CONNECTION_TERMINATION),
        End::Idle => info.flags.insert(Flags::STREAM_IDLE_TIMEOUT),
    }
    drop(connected.counted);
}

/// Reaches the observer however the connection ends.
struct Record {
    info: Box<RequestInfo>,
    worker: Rc<Worker>,
    proxy: Arc<TcpProxy>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.info.end = Some(std::time::Instant::now());
        self.worker.observer.tcp(&self.info, &self.proxy);
    }
}

fn choose_cluster(proxy: &TcpProxy, snapshot: &Snapshot) -> Option<Arc<Cluster>> {
    snapshot.cluster(plan::tcp_cluster(proxy, rand::random())?).cloned()
}

async fn connect(
    worker: &Rc<Worker>,
    cluster: &Arc<Cluster>,
    proxy: &TcpProxy,
    connection: &ConnectionInfo,
    info: &mut RequestInfo,
) -> Option<(Connected, Arc<Endpoint>)> {
    let hash = plan::hash_key(&proxy.hash_policy, None, connection.remote, connection.local).hash;
    for _ in 0..proxy.connect_attempts.max(1) {
        let request = PickRequest { hash, ..PickRequest::default() };
        let picked = plan::pick(cluster, &mut worker.balancers.borrow_mut(), &request, &mut rand::random);
        let endpoint = match picked {
            Pick::Endpoint(picked) => picked.endpoint,
            Pick::OriginalDestination => worker.original.endpoint(cluster, connection.local),
            Pick::Nothing(_) => {
                info.flags.insert(Flags::NO_HEALTHY_UPSTREAM);
                return None;
            }
        };
        info.attempts += 1;
        info.upstream_address = Some(endpoint.address.clone());
        info.upstream_workload.clone_from(&endpoint.workload);
        let Ok(guard) = breaker::take(cluster, false, Resource::Connection) else {
            info.flags.insert(Flags::UPSTREAM_OVERFLOW);
            return None;
        };
        let how = How { offer: Offer::Configured, server_name: None };
        let outcome = connect::connect(&worker.tls, cluster, &endpoint, how, guard).await;
        let seen = if outcome.is_ok() { Outcome::TcpConnected } else { Outcome::ConnectFailed };
        outlier::observe(seen, cluster, &endpoint, clock::now_ms(), rand::random());
        match outcome {
            Ok(connected) => return Some((connected, endpoint)),
            Err(Failure::Connect(reason)) => info.upstream_failure = Some(reason),
            Err(_) => {}
        }
    }
    info.flags.insert(Flags::UPSTREAM_CONNECTION_FAILURE);
    if info.attempts > 1 {
        info.flags.insert(Flags::RETRY_LIMIT_EXCEEDED);
    }
    None
}
