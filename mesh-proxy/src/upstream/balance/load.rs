//! How much traffic each priority gets (Envoy docs: "Priority levels", "Degraded endpoints", "Panic threshold").

use super::Sorted;

/// How usable an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// First choice.
    Healthy,
    /// When too few are healthy.
    Degraded,
}

/// Shares in percent, by priority. All of both lists sum to 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loads {
    /// To healthy endpoints.
    pub healthy: Vec<u32>,
    /// To degraded ones.
    pub degraded: Vec<u32>,
    /// The priority uses all its endpoints, whatever their health.
    pub panic: Vec<bool>,
}

/// A priority's endpoints, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) all: u64,
    pub(super) healthy: u64,
    pub(super) degraded: u64,
}

impl Census {
    pub(super) fn of(localities: &[Sorted]) -> Self {
        let sum = |count: fn(&Sorted) -> usize| localities.iter().map(|locality| count(locality) as u64).sum();
        Self { all: sum(|s| s.all.len()), healthy: sum(|s| s.healthy.len()), degraded: sum(|s| s.degraded.len()) }
    }

    /// Percent of `usable`, times the overprovisioning factor, at most 100.
    fn share(self, usable: u64, factor: u32) -> u64 {
        (u64::from(factor) * usable).checked_div(self.all).unwrap_or(0).min(100)
    }

    /// Fewer than `threshold` percent are usable.
    fn panics(self, threshold: u64) -> bool {
        self.all == 0 && threshold > 0 || (self.healthy + self.degraded) * 100 < threshold * self.all
    }
}

impl Loads {
    /// The priority and availability that `hash` falls on; `None` only for a cluster without priorities.
    pub fn choose(&self, hash: u64) -> Option<(usize, Availability)> {
        let point = hash % 100 + 1;
        let mut sum = 0u64;
        let healthy = self.healthy.iter().enumerate().map(|(priority, load)| (priority, Availability::Healthy, load));
        let degraded = self.degraded.iter().enumerate().map(|(priority, load)| (priority, Availability::Degraded, load));
        healthy.chain(degraded).find_map(|(priority, availability, load)| {
            sum += u64::from(*load);
            (point <= sum).then_some((priority, availability))
        })
    }
}

pub(super) fn loads(census: &[Census], factor: u32, panic_threshold: u32) -> Loads {
    let healthy: Vec<u64> = census.iter().map(|c| c.share(c.healthy, factor)).collect();
    let degraded: Vec<u64> = census.iter().map(|c| c.share(c.degraded, factor)).collect();
    let total = (healthy.iter().sum::<u64>() + degraded.iter().sum::<u64>()).min(100);
    let threshold = u64::from(panic_threshold.min(100));
    let mut loads = Loads { healthy: vec![0; census.len()], degraded: vec![0; census.len()], panic: vec![false; census.len()] };
    if census.is_empty() {
        return loads;
    }
    if total > 0 {
        let left = distribute(&mut loads.healthy, &healthy, 100, total);
        let left = distribute(&mut loads.degraded, &degraded, left, total);
        // What rounding left over goes to the first priority that is available at all.
        if let Some(first) = healthy.iter().position(|share| *share > 0) {
            loads.healthy[first] += left;
        } else if let Some(first) = degraded.iter().position(|share| *share > 0) {
            loads.degraded[first] += left;
        }
    }
    if threshold == 0 && total == 0 {
        loads.healthy[0] = 100;
        return loads;
    }
    if total < 100 {
        loads.panic = census.iter().map(|c| c.panics(threshold)).collect();
    }
    if loads.panic.iter().all(|panic| *panic) {
        total_panic(&mut loads, census);
    }
    loads
}

fn distribute(loads: &mut [u32], shares: &[u64], mut left: u32, total: u64) -> u32 {
    for (load, share) in loads.iter_mut().zip(shares) {
        *load = left.min(u32::try_from(share * 100 / total).unwrap_or(100));
        left -= *load;
    }
    left
}

/// Every priority is in panic: by the number of endpoints, whatever their health.
fn total_panic(loads: &mut Loads, census: &[Census]) {
    let all: u64 = census.iter().map(|c| c.all).sum();
    loads.degraded.fill(0);
    loads.healthy.fill(0);
    if all == 0 {
        loads.healthy[0] = 100;
        return;
    }
    let mut left = 100;
    for (load, c) in loads.healthy.iter_mut().zip(census) {
        *load = u32::try_from(100 * c.all / all).unwrap_or(100);
        left -= *load;
    }
    if let Some(first) = census.iter().position(|c| c.all > 0) {
        loads.healthy[first] += left;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn counts(all: u64, healthy: u64, degraded: u64) -> Census {
        Census { all, healthy, degraded }
    }

    /// The table of Envoy's "Priority levels" page.
    #[test]
    fn two_priorities() {
        let cases = [
            ((100, 100), (100, 0)),
            ((72, 100), (100, 0)),
            ((71, 100), (99, 1)),
            ((50, 100), (70, 30)),
            ((25, 100), (35, 65)),
            ((0, 100), (0, 100)),
        ];
        for ((first, second), (load0, load1)) in cases {
            let loads = loads(&[counts(100, first, 0), counts(100, second, 0)], 140, 0);
            assert_eq!((loads.healthy[0], loads.healthy[1]), (load0, load1), "{first} % healthy");
        }
    }

    #[test]
    fn too_few_everywhere_is_scaled_up() {
        let loads = loads(&[counts(100, 20, 0), counts(100, 20, 0)], 140, 0);
        assert_eq!(loads.healthy, [50, 50]);
    }

    #[test]
    fn degraded_takes_what_healthy_cannot() {
        let loads = loads(&[counts(100, 50, 50)], 140, 0);
        assert_eq!((loads.healthy[0], loads.degraded[0]), (70, 30));
    }

    #[test]
    fn panic_below_the_threshold_and_none_at_zero() {
        assert_eq!(loads(&[counts(10, 4, 0)], 140, 50).panic, [true]);
        assert_eq!(loads(&[counts(10, 4, 0)], 140, 0).panic, [false]);
        assert_eq!(loads(&[counts(10, 0, 0)], 140, 0), Loads { healthy: vec![100], degraded: vec![0], panic: vec![false] });
        // 8 of 10 healthy is 112 %: enough, whatever the threshold.
        assert_eq!(loads(&[counts(10, 8, 0)], 140, 100).panic, [false]);
    }

    #[test]
    fn total_panic_goes_by_size() {
        let loads = loads(&[counts(30, 0, 0), counts(10, 0, 0)], 140, 50);
        assert_eq!((loads.healthy, loads.panic), (vec![75, 25], vec![true, true]));
    }

    proptest! {
        #[test]
        fn loads_sum_to_100(
            census in prop::collection::vec((0u64..20, 0u64..20, 0u64..20), 1..5),
            threshold in 0u32..=100,
            hash in any::<u64>(),
        ) {
            let census: Vec<Census> = census.into_iter().map(|(h, d, u)| counts(h + d + u, h, d)).collect();
            let loads = loads(&census, 140, threshold);
            prop_assert_eq!(loads.healthy.iter().sum::<u32>() + loads.degraded.iter().sum::<u32>(), 100);
            prop_assert!(loads.choose(hash).is_some());
        }
    }
}
