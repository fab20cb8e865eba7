//! Series by label set, one map per worker, merged when read.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Label sets per worker and family: more of them go to the overflow set.
const LIMIT: usize = 4096;

/// What is counted for one label set.
pub(super) trait Series: Default {
    /// Adds what another worker counted.
    fn absorb(&self, other: &Self);
}

/// A label set.
pub(super) trait Labels: Clone + Eq + Hash {
    /// Where label sets beyond the bound are counted.
    fn overflow() -> Self;
}

/// All workers' series.
pub(super) struct Family<L, S> {
    shards: Mutex<Vec<Arc<Shard<L, S>>>>,
}

/// One worker's series as the scrape sees them; locked when a label set is new, not when it is counted.
type Shard<L, S> = Mutex<HashMap<L, Arc<S>>>;

/// One worker's series.
pub(super) struct Local<L, S> {
    known: RefCell<HashMap<L, Arc<S>>>,
    shard: Arc<Shard<L, S>>,
}

impl<L, S> Default for Family<L, S> {
    fn default() -> Self {
        Self { shards: Mutex::default() }
    }
}

impl<L: Labels, S: Series> Family<L, S> {
    pub(super) fn local(&self) -> Local<L, S> {
        let shard = Arc::<Shard<L, S>>::default();
        lock(&self.shards).push(shard.clone());
        Local { known: RefCell::default(), shard }
    }

    pub(super) fn merged(&self) -> HashMap<L, S> {
        let mut merged: HashMap<L, S> = HashMap::new();
        for shard in lock(&self.shards).iter() {
            for (labels, series) in lock(shard).iter() {
                match merged.get(labels) {
                    Some(sum) => sum.absorb(series),
                    None => {
                        let sum = S::default();
                        sum.absorb(series);
                        merged.insert(labels.clone(), sum);
                    }
                }
            }
        }
        merged
    }
}

impl<L: Labels, S: Series> Local<L, S> {
    /// Counts for `labels`.
    pub(super) fn with<R>(&self, labels: &L, count: impl FnOnce(&S) -> R) -> R {
        if let Some(series) = self.known.borrow().get(labels) {
            return count(series);
        }
        count(&self.series(labels))
    }

    /// The series of `labels`, made if new.
    pub(super) fn series(&self, labels: &L) -> Arc<S> {
        let mut known = self.known.borrow_mut();
        if let Some(series) = known.get(labels) {
            return series.clone();
        }
        let labels = if known.len() < LIMIT { labels.clone() } else { L::overflow() };
        let series = known.entry(labels.clone()).or_default().clone();
        lock(&self.shard).insert(labels, series.clone());
        series
    }
}

impl Labels for Arc<str> {
    fn overflow() -> Self {
        "overflow".into()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
