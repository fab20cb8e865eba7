//! Which requests are logged (`envoy.config.accesslog.v3.AccessLogFilter`).

use rand::Rng as _;

use crate::{
    info::RequestInfo,
    plan::facts::{self, Repeated, Values},
    snapshot::{Comparison, HeaderKey, LogFilter},
};

/// Whether `info` is to be logged.
pub(super) fn passes(filter: &LogFilter, info: &RequestInfo) -> bool {
    match filter {
        LogFilter::And(all) => all.iter().all(|filter| passes(filter, info)),
        LogFilter::Or(any) => any.iter().any(|filter| passes(filter, info)),
        LogFilter::Status(comparison) => compare(*comparison, info.status.into()),
        LogFilter::Duration(comparison) => {
            let end = info.end.unwrap_or_else(std::time::Instant::now);
            let millis = end.saturating_duration_since(info.start).as_millis();
            compare(*comparison, u64::try_from(millis).unwrap_or(u64::MAX))
        }
        LogFilter::Header(matcher) => {
            let one = |text: &str| if text.is_empty() { Values::Absent } else { Values::One(text.to_owned().into()) };
            let values = match &matcher.name {
                HeaderKey::Name(name) => Values::of(&info.request_headers, name),
                HeaderKey::Path => one(&info.original_path),
                HeaderKey::Method => one(info.method.as_str()),
                HeaderKey::Authority => one(&info.authority),
                HeaderKey::Scheme => one(if info.connection.tls.is_some() { "https" } else { "http" }),
            };
            facts::header_matches(matcher, &values, Repeated::Joined)
        }
        LogFilter::Flags(wanted) if wanted.is_empty() => !info.flags.is_empty(),
        LogFilter::Flags(wanted) => info.flags.short().any(|flag| wanted.iter().any(|wanted| &**wanted == flag)),
        LogFilter::Fraction(share) => share.hits(rand::rng().next_u64()),
        // No health check filter is implemented, so no request is one.
        LogFilter::NotHealthCheck => true,
    }
}

fn compare(comparison: Comparison, value: u64) -> bool {
    match comparison {
        Comparison::Equal(wanted) => value == wanted,
        Comparison::AtLeast(wanted) => value >= wanted,
        Comparison::AtMost(wanted) => value <= wanted,
        Comparison::NotEqual(wanted) => value != wanted,
    }
}
