//! Checks of routing: the split, an edit of it, the A/B header, faults, retries, ejection.

use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::time::sleep;

use super::{Found, Subject, percent};
use crate::{load::Seen, shop::control};

const SPLIT_REQUESTS: u64 = 6_000;
const TOLERANCE: f64 = 3.0;
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// 80 % v1, 20 % v2.
pub(super) async fn split(subject: &Subject) -> Found {
    measure_split(subject, 20.0).await
}

/// 50/50 is taken over, without a failure.
pub(super) async fn edit(subject: &Subject) -> Found {
    let failed = subject.failures();
    let took = edit_to(subject, 50, 50).await?;
    let split = measure_split(subject, 50.0).await?;
    match subject.failures() - failed {
        0 => Ok(format!("seen by callers {took:.0?} after the edit; {split}; 0 failures")),
        n => Err(format!("{n} requests failed meanwhile; {split}")),
    }
}

/// Edits the weights and waits until callers see it. Gives the time it took.
pub(super) async fn edit_to(subject: &Subject, v1: u32, v2: u32) -> Result<Duration, String> {
    let before = window(subject, 400).await?;
    subject.sample.set_weights(v1, v2).map_err(|error| error.to_string())?;
    let edited = Instant::now();
    wait_for_share(subject, share(&before), f64::from(v2), edited).await
}

/// Waits until the share of v2 has left `from` for `to`: the last requests are nearer to the new than to the old.
pub(super) async fn wait_for_share(subject: &Subject, from: f64, to: f64, since: Instant) -> Result<Duration, String> {
    let mut last = from;
    while since.elapsed() < PATIENCE {
        let window_begun = since.elapsed();
        last = share(&window(subject, 150).await?);
        if (last - to).abs() < (last - from).abs() {
            return Ok(window_begun);
        }
    }
    Err(format!("still {last:.0} % v2 after {PATIENCE:?}, wanted {to:.0} %"))
}

/// `x-user: tester` always gets v2.
pub(super) async fn tester(subject: &Subject) -> Found {
    let mut caller = subject.caller()?;
    for n in 1..=300 {
        let answer = caller.get("/", &[("x-user", "tester")]).await.map_err(|error| format!("request {n}: {error}"))?;
        if answer.status != StatusCode::OK || answer.advertisement() != Some("v2") {
            return Err(format!("request {n}: {} {}", answer.status, answer.text));
        }
    }
    Ok("300 of 300 testers got v2".into())
}

/// One call in five fails on the faulted route.
pub(super) async fn fault(subject: &Subject) -> Found {
    let requests = 1_500;
    let mut caller = subject.caller()?;
    let mut aborted = 0;
    for n in 0..requests {
        let answer = caller.get("/flaky", &[]).await.map_err(|error| format!("request {n}: {error}"))?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE if answer.text.contains("fault filter abort") => aborted += 1,
            status => return Err(format!("request {n}: {status} {}", answer.text)),
        }
    }
    let share = percent(aborted, requests);
    let detail = format!("{aborted} of {requests} aborted ({share:.1} %)");
    // Four standard deviations of 20 % over 1500.
    if (share - 20.0).abs() <= 4.2 { Ok(detail) } else { Err(format!("{detail}, wanted 20 %")) }
}

/// The same route behind retries never fails.
pub(super) async fn retry(subject: &Subject) -> Found {
    let mut caller = subject.caller()?;
    let requests = 500;
    for n in 0..requests {
        let answer = caller.get("/healed", &[]).await.map_err(|error| format!("request {n}: {error}"))?;
        if answer.status != StatusCode::OK {
            return Err(format!("request {n}: {} {}", answer.status, answer.text));
        }
    }
    Ok(format!("{requests} of {requests} answered 200 over the same fault"))
}

/// A replica that answers only errors is taken out, and no caller notices.
pub(super) async fn outlier(subject: &Subject) -> Found {
    let bad = subject.mesh.folder().socket("inventory-2");
    let failed = subject.failures();
    control(&bad, "break").await?;
    let found = ejected(subject, &bad).await;
    control(&bad, "mend").await?;
    let detail = found?;
    match subject.failures() - failed {
        0 => Ok(format!("{detail}; 0 failures")),
        n => Err(format!("{detail}; but {n} requests failed meanwhile")),
    }
}

/// By the app's own count: it gets requests, and then none over a thousand of the callers'.
async fn ejected(subject: &Subject, bad: &std::path::Path) -> Found {
    let broken = Instant::now();
    let mut served = control(bad, "served").await?;
    while broken.elapsed() < PATIENCE {
        window(subject, 1_000).await?;
        let now = control(bad, "served").await?;
        if now == served {
            return Ok(format!("ejected {:.1?} after it broke: 0 of the next 1000 calls reached it", broken.elapsed()));
        }
        served = now;
    }
    Err(format!("the broken replica still gets requests after {PATIENCE:?}"))
}

async fn measure_split(subject: &Subject, want: f64) -> Found {
    let seen = window(subject, SPLIT_REQUESTS).await?;
    let got = share(&seen);
    let detail = format!("{got:.1} % v2 of {} requests", seen.requests);
    if (got - want).abs() <= TOLERANCE { Ok(detail) } else { Err(format!("{detail}, wanted {want:.0} ± {TOLERANCE:.0}")) }
}

/// What callers see over the next `requests`.
pub(super) async fn window(subject: &Subject, requests: u64) -> Result<Seen, String> {
    let before = subject.load.tally().seen();
    let begun = Instant::now();
    loop {
        let now = subject.load.tally().seen();
        if now.requests - before.requests >= requests {
            return Ok(between(&before, now));
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("the load sends next to nothing: {} requests in a minute", now.requests - before.requests));
        }
        sleep(POLL).await;
    }
}

fn between(before: &Seen, mut now: Seen) -> Seen {
    now.requests -= before.requests;
    now.failures -= before.failures;
    for (version, count) in &mut now.split {
        *count -= before.split.get(version).copied().unwrap_or(0);
    }
    now
}

/// The share of v2 in percent.
pub(super) fn share(seen: &Seen) -> f64 {
    percent(seen.split.get("v2").copied().unwrap_or(0), seen.split.values().sum())
}
