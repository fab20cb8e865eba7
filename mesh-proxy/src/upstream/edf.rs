//! Earliest-deadline-first scheduling: weighted picks without bursts, as Envoy's `EdfScheduler` makes them.

use std::{cmp::Ordering, collections::BinaryHeap};

/// A schedule over items that are named by index.
#[derive(Debug, Default)]
pub struct Edf {
    now: f64,
    sequence: u64,
    queue: BinaryHeap<Entry>,
}

#[derive(Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    index: usize,
}

impl Edf {
    /// A schedule over `weights`, advanced by `start % len` picks so that proxies and workers do not march in step.
    pub fn new(weights: impl ExactSizeIterator<Item = f64> + Clone, start: u64) -> Self {
        let len = weights.len();
        let mut edf = Self { now: 0.0, sequence: 0, queue: BinaryHeap::with_capacity(len) };
        for (index, weight) in weights.clone().enumerate() {
            edf.push(index, weight);
        }
        let weights: Vec<f64> = weights.collect();
        for _ in 0..start.checked_rem(len as u64).unwrap_or_default() {
            edf.pick(|index| weights[index]);
        }
        edf
    }

    /// The next item; it goes back into the queue with the weight that `weight_of` gives it now.
    pub fn pick(&mut self, weight_of: impl Fn(usize) -> f64) -> Option<usize> {
        let entry = self.queue.pop()?;
        self.now = entry.deadline;
        self.push(entry.index, weight_of(entry.index));
        Some(entry.index)
    }

    fn push(&mut self, index: usize, weight: f64) {
        self.sequence += 1;
        let deadline = self.now + 1.0 / weight.max(f64::MIN_POSITIVE);
        self.queue.push(Entry { deadline, order: self.sequence, index });
    }
}

/// The earliest deadline is the greatest; of equal ones, the first that was queued.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interleaves_by_weight() {
        let weights = [2.0, 1.0];
        let mut edf = Edf::new(weights.iter().copied(), 0);
        let picks: Vec<usize> = (0..6).map(|_| edf.pick(|i| weights[i]).unwrap()).collect();
        assert_eq!(picks.iter().filter(|i| **i == 0).count(), 4);
        assert!(!picks.windows(3).any(|w| w == [0, 0, 0]), "{picks:?}");
    }

    #[test]
    fn empty_has_no_pick() {
        assert_eq!(Edf::new([].into_iter(), 7).pick(|_| 1.0), None);
    }

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1u32..20, 1..8), start in any::<u64>()) {
            let total: u32 = weights.iter().sum();
            let mut edf = Edf::new(weights.iter().map(|w| f64::from(*w)), start);
            let mut counts = vec![0u32; weights.len()];
            for _ in 0..total * 10 {
                counts[edf.pick(|i| f64::from(weights[i])).unwrap()] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!(count.abs_diff(weight * 10) <= 2, "{counts:?} for {weights:?}");
            }
        }
    }
}
