//! The one place where what went wrong becomes an answer: status, body, gRPC status, response flag and details, as Envoy
//! has them (docs: "Response flags", "Response code details"; `Router::Filter`, `Http::Utility::resetReasonToString`).

use std::{borrow::Cow, sync::Arc};

use http::StatusCode;

use crate::info::Flags;

/// Why a request got no answer from its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A circuit breaker is open.
    Overflow,
    /// No connection within `connect_timeout`.
    ConnectTimeout,
    /// The connection was refused or broke, TLS included; with the transport's reason.
    Connect(Arc<str>),
    /// The connection ended before an answer.
    Terminated,
    /// The endpoint reset the stream.
    RemoteReset,
    /// The endpoint refused the stream (HTTP/2 `REFUSED_STREAM`): it did nothing with it.
    RefusedStream,
    /// The answer is not HTTP.
    Protocol,
    /// This try took longer than `per_try_timeout`.
    PerTryTimeout,
    /// No byte for `per_try_idle_timeout`.
    PerTryIdleTimeout,
    /// The route's timeout.
    Timeout,
    /// Nothing moved on the stream for `stream_idle_timeout`; with whether the request had come whole.
    StreamIdle(bool),
    /// The request did not come whole within `request_timeout`.
    RequestTimeout,
    /// `max_stream_duration`, or the client's own `grpc-timeout`.
    Duration,
    /// The client went away or broke its request.
    Downstream,
}

/// An answer that the proxy makes itself.
#[derive(Debug, Clone)]
pub(crate) struct LocalReply {
    /// Status, unless the request is gRPC.
    pub(crate) status: StatusCode,
    /// Text, and `grpc-message` of a gRPC request.
    pub(crate) body: Cow<'static, str>,
    /// Status of a gRPC request, if not the one that belongs to `status`.
    pub(crate) grpc: Option<u32>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub(crate) details: Cow<'static, str>,
    /// `%RESPONSE_FLAGS%`.
    pub(crate) flags: Flags,
    /// `x-envoy-overloaded: true` is added.
    pub(crate) overloaded: bool,
}

impl LocalReply {
    /// A reply without flags.
    pub(crate) fn new(status: StatusCode, body: impl Into<Cow<'static, str>>, details: impl Into<Cow<'static, str>>) -> Self {
        Self { status, body: body.into(), grpc: None, details: details.into(), flags: Flags::default(), overloaded: false }
    }

    /// With flags.
    pub(crate) fn flagged(mut self, flags: Flags) -> Self {
        self.flags.insert(flags);
        self
    }

    /// 404 without a body: no route, no virtual host.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "", "route_not_found").flagged(Flags::NO_ROUTE)
    }

    /// The route's cluster is not there.
    pub(crate) fn no_cluster(status: StatusCode) -> Self {
        Self::new(status, "", "cluster_not_found").flagged(Flags::NO_CLUSTER)
    }

    /// The cluster has nobody to send to.
    pub(crate) fn no_healthy_upstream() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream", "no_healthy_upstream").flagged(Flags::NO_HEALTHY_UPSTREAM)
    }

    /// `policy.drop_overloads` hit.
    pub(crate) fn dropped() -> Self {
        let reply = Self::new(StatusCode::SERVICE_UNAVAILABLE, "drop overload", "drop_overload");
        Self { overloaded: true, ..reply.flagged(Flags::OVERLOAD) }
    }

    /// RBAC said no.
    pub(crate) fn denied(details: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "RBAC: access denied", details)
    }

    /// A filter or action that is asked for and not implemented: never skipped.
    pub(crate) fn not_implemented(reason: &str) -> Self {
        let body = format!("not implemented by this proxy: {reason}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, body, "filter_not_implemented")
    }

    /// What the client is told of a failure upstream.
    pub(crate) fn upstream(failure: &Failure) -> Self {
        let reset = |reason: &'static str, details: &'static str, flags| {
            let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, body, details).flagged(flags)
        };
        match failure {
            Failure::Overflow => {
                let details = "upstream_reset_before_response_started{overflow}";
                Self { overloaded: true, ..reset("overflow", details, Flags::UPSTREAM_OVERFLOW) }
            }
            Failure::ConnectTimeout => reset(
                "connection timeout",
                "upstream_reset_before_response_started{connection_timeout}",
                Flags::UPSTREAM_CONNECTION_FAILURE,
            ),
            // The transport's reason is for the access log, not for the client.
            Failure::Connect(_) => reset(
                "remote connection failure",
                "upstream_reset_before_response_started{remote_connection_failure}",
                Flags::UPSTREAM_CONNECTION_FAILURE,
            ),
            Failure::Terminated => reset(
                "connection termination",
                "upstream_reset_before_response_started{connection_termination}",
                Flags::UPSTREAM_CONNECTION_TERMINATION,
            ),
            Failure::RemoteReset => {
                reset("remote reset", "upstream_reset_before_response_started{remote_reset}", Flags::UPSTREAM_REMOTE_RESET)
            }
            Failure::RefusedStream => reset(
                "remote refused stream reset",
                "upstream_reset_before_response_started{remote_refused_stream_reset}",
                Flags::UPSTREAM_REMOTE_RESET,
            ),
            // Envoy answers 502 to what is not HTTP, and 503 to all other resets.
            Failure::Protocol => Self {
                status: StatusCode::BAD_GATEWAY,
                ..reset("protocol error", "upstream_reset_before_response_started{protocol_error}", Flags::UPSTREAM_PROTOCOL_ERROR)
            },
            Failure::PerTryTimeout => timeout("upstream_per_try_timeout"),
            Failure::PerTryIdleTimeout => timeout("upstream_per_try_idle_timeout"),
            Failure::Timeout => timeout("upstream_response_timeout"),
            Failure::StreamIdle(whole) => {
                let status = if *whole { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::REQUEST_TIMEOUT };
                Self::new(status, "stream timeout", "stream_idle_timeout").flagged(Flags::STREAM_IDLE_TIMEOUT)
            }
            Failure::RequestTimeout => Self::new(StatusCode::REQUEST_TIMEOUT, "request timeout", "request_overall_timeout"),
            Failure::Duration => {
                let status = StatusCode::REQUEST_TIMEOUT;
                let reply = Self::new(status, "downstream duration timeout", "max_duration_timeout");
                Self { grpc: Some(4), ..reply.flagged(Flags::DURATION_TIMEOUT) }
            }
            Failure::Downstream => {
                Self::new(StatusCode::BAD_REQUEST, "", "downstream_remote_disconnect").flagged(Flags::DOWNSTREAM_CONNECTION_TERMINATION)
            }
        }
    }

    /// The gRPC status for a gRPC request.
    pub(crate) fn grpc_status(&self) -> u32 {
        self.grpc.unwrap_or_else(|| grpc_status_of(self.status))
    }
}

fn timeout(details: &'static str) -> LocalReply {
    LocalReply::new(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout", details).flagged(Flags::UPSTREAM_REQUEST_TIMEOUT)
}

/// Envoy's `Grpc::Utility::httpToGrpcStatus` (gRPC's "HTTP to gRPC Status Code Mapping").
pub(crate) fn grpc_status_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// What the transport's error means for the request that was on it.
pub(crate) fn of_hyper(error: &hyper::Error) -> Failure {
    if error.is_user() || error.is_body_write_aborted() {
        return Failure::Downstream;
    }
    if let Some(reason) = h2_reason(error) {
        return match reason {
            h2::Reason::REFUSED_STREAM => Failure::RefusedStream,
            h2::Reason::PROTOCOL_ERROR | h2::Reason::COMPRESSION_ERROR | h2::Reason::FRAME_SIZE_ERROR => Failure::Protocol,
            h2::Reason::NO_ERROR => Failure::Terminated,
            _ => Failure::RemoteReset,
        };
    }
    if error.is_parse() { Failure::Protocol } else { Failure::Terminated }
}

fn h2_reason(error: &hyper::Error) -> Option<h2::Reason> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason();
        }
        source = error.source();
    }
    None
}
