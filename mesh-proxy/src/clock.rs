//! The proxy's own monotonic clock in milliseconds: what ejection times are measured in.

use std::{sync::OnceLock, time::Instant};

/// Milliseconds since the first call in this process, at least 1 (0 means "never" where such times are kept).
pub fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed().as_millis();
    u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
}
