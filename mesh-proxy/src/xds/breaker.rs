//! Circuit breakers and outlier detection.

use std::time::Duration;

use mesh_proto::envoy::config::{
    cluster::v3::{
        CircuitBreakers, OutlierDetection,
        circuit_breakers::{Thresholds, thresholds::RetryBudget},
    },
    core::v3::RoutingPriority,
};

use super::{
    context::{Context, Result, ignored},
    scalar,
};
use crate::snapshot::{Breakers, Outlier, SuccessRate};

/// What holds when nothing is said.
const DEFAULT: Breakers = Breakers { max_connections: 1024, max_pending: 1024, max_requests: 1024, max_retries: 3, retry_budget: None };

/// Breakers of the default priority and of the high one.
pub(crate) fn breakers(cx: &mut Context<'_>, wire: Option<&CircuitBreakers>) -> Result<(Breakers, Breakers)> {
    let (mut default, mut high) = (DEFAULT, DEFAULT);
    let Some(CircuitBreakers { thresholds, per_host_thresholds }) = wire else { return Ok((default, high)) };
    cx.field("circuit_breakers", |cx| {
        ignored!(cx; per_host_thresholds);
        cx.each("thresholds", thresholds, |cx, wire| {
            let breakers = threshold(cx, wire)?;
            match scalar::known(cx, "priority", wire.priority)? {
                RoutingPriority::Default => default = breakers,
                RoutingPriority::High => high = breakers,
            }
            Ok(())
        })
    })?;
    Ok((default, high))
}

fn threshold(cx: &mut Context<'_>, wire: &Thresholds) -> Result<Breakers> {
    let Thresholds {
        priority: _,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    } = wire;
    ignored!(cx; track_remaining, max_connection_pools);
    let budget = |cx: &mut Context<'_>, wire: &RetryBudget| {
        let RetryBudget { budget_percent, budget_interval, min_retry_concurrency } = wire;
        ignored!(cx; budget_interval);
        let percent = budget_percent.as_ref().map_or(20.0, |share| share.value);
        if !(0.0..=100.0).contains(&percent) {
            return Err(cx.refuse_field("budget_percent", "must be a percentage of 0 to 100"));
        }
        Ok((percent, scalar::number(min_retry_concurrency.as_ref(), 3)))
    };
    Ok(Breakers {
        max_connections: scalar::number(max_connections.as_ref(), DEFAULT.max_connections),
        max_pending: scalar::number(max_pending_requests.as_ref(), DEFAULT.max_pending),
        max_requests: scalar::number(max_requests.as_ref(), DEFAULT.max_requests),
        max_retries: scalar::number(max_retries.as_ref(), DEFAULT.max_retries),
        retry_budget: retry_budget.as_ref().map(|wire| cx.field("retry_budget", |cx| budget(cx, wire))).transpose()?,
    })
}

/// Outlier detection.
pub(crate) fn outlier(cx: &mut Context<'_>, wire: &OutlierDetection) -> Result<Outlier> {
    let OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        enforcing_consecutive_5xx,
        enforcing_success_rate,
        success_rate_minimum_hosts,
        success_rate_request_volume,
        success_rate_stdev_factor,
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate,
        failure_percentage_threshold,
        enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin,
        failure_percentage_minimum_hosts,
        failure_percentage_request_volume,
        max_ejection_time,
        max_ejection_time_jitter,
        successful_active_health_check_uneject_host,
        monitors,
        always_eject_one_host,
        detect_degraded_hosts,
    } = wire;
    ignored!(cx; enforcing_local_origin_success_rate, failure_percentage_threshold, enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin, failure_percentage_minimum_hosts, failure_percentage_request_volume, max_ejection_time_jitter,
        successful_active_health_check_uneject_host, monitors, detect_degraded_hosts);
    let base_ejection = scalar::positive(cx, "base_ejection_time", base_ejection_time.as_ref(), Duration::from_secs(30))?;
    let max_ejection = scalar::positive(cx, "max_ejection_time", max_ejection_time.as_ref(), Duration::from_secs(300))?.max(base_ejection);
    let enforcing = scalar::hundred(cx, "enforcing_success_rate", enforcing_success_rate.as_ref(), 100)?;
    Ok(Outlier {
        consecutive_5xx: (
            scalar::number(consecutive_5xx.as_ref(), 5),
            scalar::hundred(cx, "enforcing_consecutive_5xx", enforcing_consecutive_5xx.as_ref(), 100)?,
        ),
        consecutive_gateway: (
            scalar::number(consecutive_gateway_failure.as_ref(), 5),
            scalar::hundred(cx, "enforcing_consecutive_gateway_failure", enforcing_consecutive_gateway_failure.as_ref(), 0)?,
        ),
        consecutive_local: (
            scalar::number(consecutive_local_origin_failure.as_ref(), 5),
            scalar::hundred(cx, "enforcing_consecutive_local_origin_failure", enforcing_consecutive_local_origin_failure.as_ref(), 100)?,
        ),
        split_local: *split_external_local_origin_errors,
        interval: scalar::positive(cx, "interval", interval.as_ref(), Duration::from_secs(10))?,
        base_ejection,
        max_ejection,
        max_ejection_percent: scalar::hundred(cx, "max_ejection_percent", max_ejection_percent.as_ref(), 10)?,
        always_eject_one: scalar::flag(always_eject_one_host.as_ref(), false),
        success_rate: (enforcing > 0).then(|| SuccessRate {
            minimum_hosts: scalar::number(success_rate_minimum_hosts.as_ref(), 5),
            request_volume: scalar::number(success_rate_request_volume.as_ref(), 100),
            stdev_factor: f64::from(scalar::number(success_rate_stdev_factor.as_ref(), 1900)) / 1000.0,
            enforcing,
        }),
    })
}
