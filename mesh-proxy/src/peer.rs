//! A workload as Istio's metrics name it, and how proxies tell each other.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

/// One side of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Workload {
    /// `*_workload`.
    pub workload: Arc<str>,
    /// `*_workload_namespace`.
    pub namespace: Arc<str>,
    /// `*_app`.
    pub app: Arc<str>,
    /// `*_version`.
    pub version: Arc<str>,
    /// `*_canonical_service`.
    pub canonical_service: Arc<str>,
    /// `*_canonical_revision`.
    pub canonical_revision: Arc<str>,
    /// `*_cluster`.
    pub cluster: Arc<str>,
}

/// Whom peers have said to be, by the header they said it with: each peer says the same with every request. One per worker.
#[derive(Debug, Default)]
pub(crate) struct KnownPeers(RefCell<HashMap<Box<[u8]>, Told>>);

/// What a header tells; nothing if it cannot be read.
type Told = Option<Arc<Workload>>;

impl KnownPeers {
    /// More than a workload talks to at a time; 16 KiB each at most.
    const MOST: usize = 500;

    /// The workload that `header` tells of, as `read` reads it if it has not been seen lately.
    pub(crate) fn workload(&self, header: &[u8], read: impl FnOnce(&[u8]) -> Option<Workload>) -> Told {
        let mut known = self.0.borrow_mut();
        if let Some(workload) = known.get(header) {
            return workload.clone();
        }
        // Those who still talk to us are back with their next request.
        if known.len() >= Self::MOST {
            known.clear();
        }
        let workload = read(header).map(Arc::new);
        known.insert(header.into(), workload.clone());
        workload
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_told_again_is_not_read_again() {
        let known = KnownPeers::default();
        let first = known.workload(b"a", |_| Some(Workload::default())).unwrap();
        let again = known.workload(b"a", |_| unreachable!("it is known")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(known.workload(b"nonsense", |_| None).is_none());
        assert!(known.workload(b"nonsense", |_| unreachable!("it is known, too")).is_none());
        for header in 0..5000u32 {
            known.workload(&header.to_le_bytes(), |_| None);
            assert!(known.0.borrow().len() <= KnownPeers::MOST);
        }
    }
}
