//! Retry policies.

use std::time::Duration;

use mesh_proto::envoy::config::route::v3::{
    RetryPolicy as WireRetry,
    retry_policy::{RetryBackOff, RetryHostPredicate, retry_host_predicate::ConfigType},
};

use super::{
    any::Typed,
    context::{Context, Result, ignored},
    fault, scalar, text,
};
use crate::snapshot::{RetryOn, RetryPolicy};

/// Back-off base, if nothing else is said.
const BASE: Duration = Duration::from_millis(25);

/// A retry policy.
pub(crate) fn policy(cx: &mut Context<'_>, wire: &WireRetry) -> Result<RetryPolicy> {
    let WireRetry {
        retry_on: wire_on,
        num_retries,
        per_try_timeout,
        per_try_idle_timeout,
        retry_priority,
        retry_host_predicate,
        retry_options_predicates,
        host_selection_retry_max_attempts,
        retriable_status_codes,
        retry_back_off,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
        refresh_cluster_on_retry,
    } = wire;
    // These choose where and when a retry goes, not whether there is one.
    ignored!(cx; retry_priority, retry_options_predicates, rate_limited_retry_back_off, refresh_cluster_on_retry);
    let predicates = cx.each("retry_host_predicate", retry_host_predicate, previous_hosts)?;
    let (base_interval, max_interval) = back_off(cx, retry_back_off.as_ref())?;
    Ok(RetryPolicy {
        on: retry_on(cx, wire_on),
        status_codes: cx.each("retriable_status_codes", retriable_status_codes, |cx, status| fault::status_code(cx, "", *status))?,
        headers: text::headers(cx, "retriable_headers", retriable_headers)?,
        request_headers: text::headers(cx, "retriable_request_headers", retriable_request_headers)?,
        retries: scalar::number(num_retries.as_ref(), 1),
        per_try_timeout: scalar::zero_is_off(cx, "per_try_timeout", per_try_timeout.as_ref(), None)?,
        per_try_idle_timeout: scalar::zero_is_off(cx, "per_try_idle_timeout", per_try_idle_timeout.as_ref(), None)?,
        avoid_previous_hosts: predicates.into_iter().any(|previous| previous),
        host_attempts: u32::try_from(*host_selection_retry_max_attempts).unwrap_or(0).clamp(1, 1000),
        base_interval,
        max_interval,
    })
}

fn back_off(cx: &mut Context<'_>, wire: Option<&RetryBackOff>) -> Result<(Duration, Duration)> {
    let Some(RetryBackOff { base_interval, max_interval }) = wire else { return Ok((BASE, BASE * 10)) };
    cx.field("retry_back_off", |cx| {
        // Envoy rounds what is less than a millisecond up to one.
        let base = scalar::positive(cx, "base_interval", base_interval.as_ref(), BASE)?.max(Duration::from_millis(1));
        let max = scalar::positive(cx, "max_interval", max_interval.as_ref(), base.saturating_mul(10))?.max(Duration::from_millis(1));
        if max < base {
            return Err(cx.refuse_field("max_interval", "must be at least base_interval"));
        }
        Ok((base, max))
    })
}

fn previous_hosts(cx: &mut Context<'_>, wire: &RetryHostPredicate) -> Result<bool> {
    let RetryHostPredicate { name, config_type } = wire;
    let previous = match config_type {
        Some(ConfigType::TypedConfig(any)) => {
            Typed::open(cx, any)?.name() == "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        }
        None => name == "envoy.retry_host_predicates.previous_hosts",
    };
    if !previous {
        cx.ignore("");
    }
    Ok(previous)
}

/// `retry_on`. Envoy passes over words that it does not know; here they are listed as ignored.
fn retry_on(cx: &mut Context<'_>, text: &str) -> RetryOn {
    let mut on = RetryOn::default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match flag(&mut on, word) {
            Some(flag) => *flag = true,
            None => cx.ignore(&format!("retry_on[{word:?}]")),
        }
    }
    on
}

fn flag<'a>(on: &'a mut RetryOn, word: &str) -> Option<&'a mut bool> {
    Some(match word {
        "5xx" => &mut on.server_error,
        "gateway-error" => &mut on.gateway_error,
        "reset" => &mut on.reset,
        "reset-before-request" => &mut on.reset_before_request,
        "connect-failure" => &mut on.connect_failure,
        "envoy-ratelimited" => &mut on.rate_limited,
        "retriable-4xx" => &mut on.retriable_4xx,
        "refused-stream" => &mut on.refused_stream,
        "retriable-status-codes" => &mut on.status_codes,
        "retriable-headers" => &mut on.headers,
        "http3-post-connect-failure" => &mut on.http3,
        "cancelled" => &mut on.cancelled,
        "deadline-exceeded" => &mut on.deadline_exceeded,
        "internal" => &mut on.internal,
        "resource-exhausted" => &mut on.resource_exhausted,
        "unavailable" => &mut on.unavailable,
        _ => return None,
    })
}
