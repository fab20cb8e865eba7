//! How much is signed: a token bucket for everybody, and half of it for any one caller, so that one that went wild (or was
//! taken over) cannot keep the others from renewing. Sans-I/O; the caller gives the time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mesh_proto::id::SpiffeId;
use tokio::time::Instant;

/// Callers remembered at once; one whose bucket is full again is forgotten first.
const MAX_CALLERS: usize = 16 * 1024;

/// Allows `burst` at once and `per_second` in the long run, over all callers; half of either for each.
#[derive(Debug)]
pub(crate) struct Throttle {
    all: Rate,
    each: Rate,
    state: Mutex<(Level, HashMap<SpiffeId, Level>)>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

/// How full a bucket was, and when.
#[derive(Clone, Copy, Debug)]
struct Level(f64, Instant);

impl Throttle {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let all = Rate { per_second: f64::from(per_second.max(1)), burst: f64::from(burst.max(2)) };
        let each = Rate { per_second: all.per_second / 2.0, burst: all.burst / 2.0 };
        Self { all, each, state: Mutex::new((Level(all.burst, now), HashMap::new())) }
    }

    /// Takes one for `caller`, or says how long until there is one.
    pub(crate) fn take(&self, caller: &SpiffeId, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, callers) = &mut *state;
        if callers.len() >= MAX_CALLERS {
            callers.retain(|_, level| self.each.level(*level, now) < self.each.burst);
        }
        let full = Level(self.each.burst, now);
        // With no room left for another caller, the bucket of all is the only bound.
        let mut alone = full;
        let own = if callers.len() < MAX_CALLERS || callers.contains_key(caller) {
            callers.entry(caller.clone()).or_insert(full)
        } else {
            &mut alone
        };
        let (own_left, all_left) = (self.each.left(*own, now)?, self.all.left(*all, now)?);
        *own = Level(own_left, now);
        *all = Level(all_left, now);
        Ok(())
    }
}

impl Rate {
    fn level(self, Level(left, last): Level, now: Instant) -> f64 {
        (left + now.saturating_duration_since(last).as_secs_f64() * self.per_second).min(self.burst)
    }

    /// What is left after taking one, or the wait until one can be taken.
    fn left(self, level: Level, now: Instant) -> Result<f64, Duration> {
        let left = self.level(level, now) - 1.0;
        if left < 0.0 { Err(Duration::from_secs_f64(-left / self.per_second)) } else { Ok(left) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(name: &str) -> SpiffeId {
        format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let throttle = Throttle::new(20, 6, start);
        for _ in 0..3 {
            throttle.take(&id("a"), start).unwrap();
        }
        let wait = throttle.take(&id("a"), start).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        throttle.take(&id("a"), start + Duration::from_millis(101)).unwrap();
        throttle.take(&id("a"), start + Duration::from_millis(102)).unwrap_err();
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| throttle.take(&id("a"), later).is_ok()).count(), 3, "the burst is the bound");
    }

    #[test]
    fn one_caller_leaves_half_to_the_others_and_all_have_a_bound() {
        let now = Instant::now();
        let throttle = Throttle::new(20, 10, now);
        let taken = |name: &str| (0..100).filter(|_| throttle.take(&id(name), now).is_ok()).count();
        assert_eq!((taken("wild"), taken("calm"), taken("late")), (5, 5, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let throttle = Throttle::new(u32::MAX, u32::MAX, now);
        for number in 0..MAX_CALLERS + 10 {
            throttle.take(&id(&format!("a{number}")), now).unwrap();
        }
        assert_eq!(throttle.state.lock().unwrap().1.len(), MAX_CALLERS);
        throttle.take(&id("later"), now + Duration::from_secs(1)).unwrap();
        assert_eq!(throttle.state.lock().unwrap().1.len(), 1, "callers whose bucket is full again are forgotten");
    }
}
