//! Endpoints of `ORIGINAL_DST` clusters: made when a connection asks for its own destination, kept while in use.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, sync::Arc};

use crate::snapshot::{Address, Cluster, Endpoint, Health};

/// More than this at once are not remembered, only made.
const MAX: usize = 4096;

/// A worker's made-up endpoints.
#[derive(Default)]
pub(crate) struct OriginalEndpoints(RefCell<HashMap<Key, Arc<Endpoint>>>);

/// Cluster and destination.
type Key = (Arc<str>, SocketAddr);

impl OriginalEndpoints {
    /// The endpoint of `cluster` at `destination`.
    pub(crate) fn endpoint(&self, cluster: &Cluster, destination: SocketAddr) -> Arc<Endpoint> {
        let mut known = self.0.borrow_mut();
        let key = (cluster.name.clone(), destination);
        if let Some(endpoint) = known.get(&key) {
            return endpoint.clone();
        }
        let endpoint = Arc::new(Endpoint {
            address: Address::Socket(destination),
            hostname: None,
            weight: 1,
            health: Health::Healthy,
            transport_metadata: Vec::new(),
            subset_metadata: Vec::new(),
            workload: None,
            transport_match: None,
            state: Arc::default(),
        });
        if known.len() < MAX {
            known.insert(key, endpoint.clone());
        }
        endpoint
    }

    /// Forgets those that nobody uses and that have no open connection.
    pub(crate) fn expire(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.0.borrow_mut().retain(|_, endpoint| Arc::strong_count(endpoint) > 1 || endpoint.state.connections.load(Relaxed) > 0);
    }
}
