//! The wall clock of certificates, injectable so that a test with tokio's paused time sees hours pass at once.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What time it is.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The wall-clock time at an instant of tokio's clock; `None` asks the system.
    anchor: Option<(SystemTime, Instant)>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { anchor: None }
    }

    /// A clock that reads `now` now and from here on moves with tokio's, paused or not.
    pub fn following_tokio(now: SystemTime) -> Self {
        Self { anchor: Some((now, Instant::now())) }
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        match self.anchor {
            Some((time, at)) => time + at.elapsed(),
            None => SystemTime::now(),
        }
    }

    /// Waits until the wall clock reads `time`, in steps of at most a minute: a machine that slept, or whose clock was
    /// set, is noticed then. Cancel-safe.
    pub async fn sleep_until(&self, time: SystemTime) {
        const STEP: Duration = Duration::from_secs(60);
        while let Ok(left) = time.duration_since(self.now())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(STEP)).await;
        }
    }
}
