//! Outlier detection: which endpoints are taken out because of how they answer, and when they come back.
//!
//! Envoy's rules ("Outlier detection"): consecutive 5xx, consecutive gateway failures, consecutive local-origin failures, and
//! success rate at each sweep. State is in atomics beside the snapshot; any worker observes, one task sweeps. Time and
//! random numbers are arguments.

use std::sync::atomic::{AtomicU32, Ordering};

use super::balance::health_changed;
use crate::snapshot::{Cluster, Endpoint, Outlier, SuccessRate};

/// How a request or a connection ended, as outlier detection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered with this status; a gRPC status as the HTTP status Envoy maps it to.
    Status(u16),
    /// Connected, but the exchange failed before an answer: reset or closed.
    Reset,
    /// No connection could be made.
    ConnectFailed,
    /// Connecting or answering took too long.
    Timeout,
    /// A connection was made.
    Connected,
    /// A TCP connection was made and is all there is to judge.
    TcpConnected,
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `consecutive_5xx`.
    Consecutive5xx,
    /// `consecutive_gateway_failure`.
    ConsecutiveGateway,
    /// `consecutive_local_origin_failure`.
    ConsecutiveLocal,
    /// Its success rate lies too far below the mean.
    SuccessRate,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Endpoints that came back.
    pub returned: usize,
    /// Endpoints ejected for their success rate.
    pub ejected: usize,
}

/// Takes note of `outcome` at `endpoint`, and ejects it if that was one too many. Nothing happens for a cluster without outlier detection.
pub fn observe(outcome: Outcome, cluster: &Cluster, endpoint: &Endpoint, now_ms: u64, draw: u64) -> Option<Reason> {
    let outlier = cluster.outlier.as_ref()?;
    let state = &endpoint.state;
    if outlier.split_local {
        match outcome {
            Outcome::Connected => {
                reset(&state.consecutive_local);
                return None;
            }
            Outcome::ConnectFailed | Outcome::Timeout => {
                let reached = one_more(&state.consecutive_local, outlier.consecutive_local.0);
                return reached
                    .then(|| {
                        state.consecutive_local.store(0, Ordering::Release);
                        eject(cluster, outlier, endpoint, Reason::ConsecutiveLocal, now_ms, draw)
                    })
                    .flatten();
            }
            Outcome::TcpConnected => reset(&state.consecutive_local),
            Outcome::Status(_) | Outcome::Reset => {}
        }
    }
    let status = match outcome {
        Outcome::Status(status) => status,
        Outcome::Reset | Outcome::ConnectFailed => 503,
        Outcome::Timeout => 504,
        Outcome::TcpConnected => 200,
        Outcome::Connected => return None,
    };
    // Both may be reached at once; one that is not enforced must not hide one that is.
    let reached = count_status(outlier, endpoint, status);
    reached.into_iter().flatten().find_map(|reason| eject(cluster, outlier, endpoint, reason, now_ms, draw))
}

/// The HTTP status as which Envoy counts a gRPC status (google.rpc.Code's mapping).
pub fn status_of_grpc(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Brings back endpoints whose time is over, ejects those whose success rate is an outlier's, and starts a new window. To be
/// called once every `interval` by one task.
pub fn sweep(cluster: &Cluster, now_ms: u64, mut draw: impl FnMut() -> u64) -> Sweep {
    let Some(outlier) = &cluster.outlier else {
        return Sweep::default();
    };
    let mut done = Sweep::default();
    for endpoint in endpoints(cluster) {
        let until = endpoint.state.ejected_until_ms.load(Ordering::Acquire);
        if until != 0 && until <= now_ms {
            restore(cluster, endpoint);
            done.returned += 1;
        } else if until == 0 {
            let backoff = &endpoint.state.ejection_backoff;
            let lower = |count: u32| Some(count.saturating_sub(1));
            // An endpoint that behaves pays less for its next failure.
            let _ = backoff.fetch_update(Ordering::AcqRel, Ordering::Acquire, lower);
        }
    }
    if let Some(settings) = outlier.success_rate {
        for endpoint in success_rate_outliers(cluster, settings) {
            if eject(cluster, outlier, endpoint, Reason::SuccessRate, now_ms, draw()).is_some() {
                done.ejected += 1;
            }
        }
    }
    for endpoint in endpoints(cluster) {
        endpoint.state.window_total.store(0, Ordering::Release);
        endpoint.state.window_success.store(0, Ordering::Release);
    }
    let out = u32::try_from(ejected(cluster)).unwrap_or(u32::MAX);
    cluster.state.ejected.store(out, Ordering::Release);
    done
}

/// Counts an answer; the limits that were reached.
fn count_status(outlier: &Outlier, endpoint: &Endpoint, status: u16) -> [Option<Reason>; 2] {
    let state = &endpoint.state;
    let failed = (500..600).contains(&status);
    if outlier.success_rate.is_some() {
        state.window_total.fetch_add(1, Ordering::AcqRel);
        state.window_success.fetch_add(u32::from(!failed), Ordering::AcqRel);
    }
    if !failed {
        reset(&state.consecutive_5xx);
        reset(&state.consecutive_gateway);
        return [None; 2];
    }
    let gateway = if (502..=504).contains(&status) {
        one_more(&state.consecutive_gateway, outlier.consecutive_gateway.0)
    } else {
        reset(&state.consecutive_gateway);
        false
    };
    let server_error = one_more(&state.consecutive_5xx, outlier.consecutive_5xx.0);
    // Reached or not enforced, counting starts anew: an endpoint that stays in can reach its limit again.
    if gateway {
        reset(&state.consecutive_gateway);
    }
    if server_error {
        reset(&state.consecutive_5xx);
    }
    [gateway.then_some(Reason::ConsecutiveGateway), server_error.then_some(Reason::Consecutive5xx)]
}

/// Back to 0; written only if it is not, so that good answers do not make workers contend.
fn reset(count: &AtomicU32) {
    if count.load(Ordering::Acquire) != 0 {
        count.store(0, Ordering::Release);
    }
}

/// Counts one more; whether that reached `limit`. A limit of 0 is never reached.
fn one_more(count: &AtomicU32, limit: u32) -> bool {
    count.fetch_add(1, Ordering::AcqRel).saturating_add(1) == limit
}

fn eject(cluster: &Cluster, outlier: &Outlier, endpoint: &Endpoint, reason: Reason, now_ms: u64, draw: u64) -> Option<Reason> {
    let state = &endpoint.state;
    if state.ejected_until_ms.load(Ordering::Acquire) != 0 {
        return None;
    }
    let (out, all) = (ejected(cluster) as u64, endpoints(cluster).count() as u64);
    let within = (out + 1) * 100 <= u64::from(outlier.max_ejection_percent.min(100)) * all;
    let allowed = within || (outlier.always_eject_one && out == 0);
    if !allowed {
        return None;
    }
    let enforcing = match reason {
        Reason::Consecutive5xx => outlier.consecutive_5xx.1,
        Reason::ConsecutiveGateway => outlier.consecutive_gateway.1,
        Reason::ConsecutiveLocal => outlier.consecutive_local.1,
        Reason::SuccessRate => outlier.success_rate.map_or(0, |settings| settings.enforcing),
    };
    if draw % 100 >= u64::from(enforcing) {
        return None;
    }
    let base = millis(outlier.base_ejection);
    let longest = millis(outlier.max_ejection).max(base);
    let backoff = state.ejection_backoff.load(Ordering::Acquire);
    let length = base.saturating_mul(u64::from(backoff) + 1).min(longest);
    let until = now_ms.saturating_add(length).max(1);
    if state.ejected_until_ms.compare_exchange(0, until, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return None;
    }
    if base.saturating_mul(u64::from(backoff)) < longest {
        state.ejection_backoff.fetch_add(1, Ordering::AcqRel);
    }
    state.ejections.fetch_add(1, Ordering::Relaxed);
    cluster.state.ejected.fetch_add(1, Ordering::AcqRel);
    cluster.state.totals.ejections.fetch_add(1, Ordering::Relaxed);
    health_changed(&cluster.state.health_epoch);
    Some(reason)
}

fn restore(cluster: &Cluster, endpoint: &Endpoint) {
    let state = &endpoint.state;
    for count in [&state.consecutive_5xx, &state.consecutive_gateway, &state.consecutive_local] {
        count.store(0, Ordering::Release);
    }
    state.ejected_until_ms.store(0, Ordering::Release);
    health_changed(&cluster.state.health_epoch);
}

/// Endpoints whose success rate is below mean − factor × standard deviation of all that had enough requests.
fn success_rate_outliers(cluster: &Cluster, settings: SuccessRate) -> Vec<&Endpoint> {
    let rates: Vec<(&Endpoint, f64)> = endpoints(cluster)
        .filter_map(|endpoint| {
            let total = endpoint.state.window_total.load(Ordering::Acquire);
            let success = endpoint.state.window_success.load(Ordering::Acquire);
            (total >= settings.request_volume.max(1)).then(|| (endpoint, 100.0 * f64::from(success) / f64::from(total)))
        })
        .collect();
    let count = u32::try_from(rates.len()).unwrap_or(u32::MAX);
    if rates.is_empty() || count < settings.minimum_hosts {
        return Vec::new();
    }
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / f64::from(count);
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / f64::from(count);
    let threshold = mean - settings.stdev_factor * variance.sqrt();
    rates.into_iter().filter(|(_, rate)| *rate < threshold).map(|(endpoint, _)| endpoint).collect()
}

fn endpoints(cluster: &Cluster) -> impl Iterator<Item = &Endpoint> {
    cluster.endpoints.priorities.iter().flatten().flat_map(|locality| &locality.endpoints).map(AsRef::as_ref)
}

fn ejected(cluster: &Cluster) -> usize {
    endpoints(cluster).filter(|endpoint| endpoint.state.ejected_until_ms.load(Ordering::Acquire) != 0).count()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
