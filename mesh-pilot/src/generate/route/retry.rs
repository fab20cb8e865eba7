//! Retry policies. Source of defaults: Istio's `route/retry/retry.go`.

use mesh_config::resource::virtual_service::HttpRetry;
use mesh_proto::any::pack;
use mesh_proto::envoy::{
    config::route::v3::{
        RetryPolicy,
        retry_policy::{RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority},
    },
    extensions::retry::{host::previous_hosts::v3::PreviousHostsPredicate, priority::previous_priorities::v3::PreviousPrioritiesConfig},
};

use super::super::wire::{duration, number};

/// Failures after which the request has certainly not been served.
const DEFAULT_CONDITIONS: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const STATUS_CODES: &str = "retriable-status-codes";

/// Istio's default: two tries more. `hashed`: the endpoint is chosen by hash, so another cannot be asked for.
pub(super) fn default(hashed: bool) -> RetryPolicy {
    RetryPolicy {
        retry_on: DEFAULT_CONDITIONS.into(),
        num_retries: number(2),
        retry_host_predicate: if hashed { Vec::new() } else { other_hosts() },
        host_selection_retry_max_attempts: 5,
        ..Default::default()
    }
}

/// Towards the application: only if no byte of the request can have reached it.
pub(crate) fn inbound() -> RetryPolicy {
    RetryPolicy { retry_on: "reset-before-request".into(), num_retries: number(2), ..Default::default() }
}

/// What a VirtualService asks for; `None`: no retries.
pub(super) fn asked(retries: Option<&HttpRetry>, hashed: bool) -> Option<RetryPolicy> {
    let Some(asked) = retries else { return Some(default(hashed)) };
    let attempts = u32::try_from(asked.attempts).ok().filter(|attempts| *attempts > 0)?;
    let mut policy = default(hashed || asked.retry_ignore_previous_hosts == Some(false));
    policy.num_retries = number(attempts);
    if !asked.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = conditions(&asked.retry_on);
    }
    policy.per_try_timeout = asked.per_try_timeout.and_then(|timeout| duration(timeout.get()));
    policy.retry_back_off = asked.backoff.map(|base| RetryBackOff { base_interval: duration(base.get()), ..Default::default() });
    if asked.retry_remote_localities == Some(true) {
        policy.retry_priority = Some(RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".into(),
            config_type: Some(retry_priority::ConfigType::TypedConfig(pack(&PreviousPrioritiesConfig { update_frequency: 2 }))),
        });
    }
    Some(policy)
}

fn other_hosts() -> Vec<RetryHostPredicate> {
    let config = retry_host_predicate::ConfigType::TypedConfig(pack(&PreviousHostsPredicate {}));
    vec![RetryHostPredicate { name: "envoy.retry_host_predicates.previous_hosts".into(), config_type: Some(config) }]
}

/// `5xx,503,reset` → `5xx,reset,retriable-status-codes` and 503.
fn conditions(text: &str) -> (String, Vec<u32>) {
    let mut words = Vec::new();
    let mut codes = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse::<u32>() {
            Ok(code) if (100..600).contains(&code) => codes.push(code),
            _ => words.push(part),
        }
    }
    if !codes.is_empty() && !words.contains(&STATUS_CODES) {
        words.push(STATUS_CODES);
    }
    (words.join(","), codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_status_codes() {
        assert_eq!(conditions("5xx, 503,reset"), ("5xx,reset,retriable-status-codes".into(), vec![503]));
        assert_eq!(conditions("gateway-error"), ("gateway-error".into(), vec![]));
    }
}
