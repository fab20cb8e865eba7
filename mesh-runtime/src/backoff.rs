//! How long to wait before trying again: exponential, bounded, jittered, so that a fleet which lost the same server does not come back in step.
//! The formulas are those of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// The shape of the waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Bound of the first wait; at least 1 ms.
    pub initial: Duration,
    /// Bound of every wait; at least `initial`.
    pub max: Duration,
    /// How the wait is drawn below its bound.
    pub jitter: Jitter,
}

/// How a wait is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// The bound itself: `min(max, initial * 2^n)`.
    None,
    /// Uniform over (0, bound]: spreads best, may retry at once.
    Full,
    /// Uniform over [initial, 3 * the previous wait], at most `max`: never quicker than `initial`.
    Decorrelated,
}

/// The waits of one thing that is retried.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: Policy,
    attempt: u32,
    last: Duration,
}

impl Policy {
    /// Reconnecting to a control plane: Envoy's default for gRPC streams is 500 ms to 30 s with full jitter; we stop at 15 s.
    pub const RECONNECT: Self = Self { initial: Duration::from_millis(500), max: Duration::from_secs(15), jitter: Jitter::Full };

    fn bounds(self) -> (Duration, Duration) {
        let initial = self.initial.max(Duration::from_millis(1));
        (initial, self.max.max(initial))
    }
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, attempt: 0, last: Duration::ZERO }
    }

    /// The wait after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_with(&mut rand::rng())
    }

    /// As [`Backoff::next_delay`], with the caller's randomness.
    pub fn next_delay_with(&mut self, rng: &mut impl Rng) -> Duration {
        let (initial, max) = self.policy.bounds();
        let bound = initial.saturating_mul(2u32.saturating_pow(self.attempt.min(31))).min(max);
        self.attempt = self.attempt.saturating_add(1);
        self.last = match self.policy.jitter {
            Jitter::None => bound,
            Jitter::Full => rng.random_range(Duration::from_nanos(1)..=bound),
            Jitter::Decorrelated => rng.random_range(initial..=self.last.saturating_mul(3).max(initial)).min(max),
        };
        self.last
    }

    /// It worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.attempt = 0;
        self.last = Duration::ZERO;
    }

    /// Failures since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn policy() -> impl Strategy<Value = Policy> {
        let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Decorrelated)];
        (0u64..5_000, 0u64..100_000, jitter).prop_map(|(initial, max, jitter)| Policy {
            initial: Duration::from_millis(initial),
            max: Duration::from_millis(max),
            jitter,
        })
    }

    proptest! {
        #[test]
        fn every_wait_is_positive_and_bounded(policy in policy(), seed: u64, failures in 1usize..200) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(policy);
            for _ in 0..failures {
                let delay = backoff.next_delay_with(&mut rng);
                prop_assert!(delay > Duration::ZERO);
                prop_assert!(delay <= policy.bounds().1);
            }
        }

        #[test]
        fn a_success_starts_over(policy in policy(), seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(policy);
            for _ in 0..20 { backoff.next_delay_with(&mut rng); }
            backoff.reset();
            prop_assert!(backoff.next_delay_with(&mut rng) <= policy.bounds().0);
        }

        #[test]
        fn decorrelated_waits_never_fall_below_the_first(seed: u64) {
            let policy = Policy { initial: Duration::from_millis(100), max: Duration::from_secs(10), jitter: Jitter::Decorrelated };
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(policy);
            for _ in 0..50 { prop_assert!(backoff.next_delay_with(&mut rng) >= policy.initial); }
        }
    }

    #[test]
    fn without_jitter_it_doubles_up_to_the_bound() {
        let policy = Policy { initial: Duration::from_millis(100), max: Duration::from_millis(350), jitter: Jitter::None };
        let mut backoff = Backoff::new(policy);
        let delays: Vec<u128> = (0..4).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 350, 350]);
    }
}
