//! Faults that a route injects.

use serde::{Deserialize, Serialize};

use crate::{
    resource::{duration::Duration, spec::spec},
    schema::{oneof, positive_duration},
};

spec! {
    /// A delay, an abort, or first the one and then the other.
    pub struct FaultInjection {
        delay: Option<FaultDelay>,
        abort: Option<FaultAbort>,
    }

    /// A share in percent, 0 to 100, as fine as 0.0001.
    pub struct Percent {
        value: f64,
    }

    /// Hold a share of the requests back.
    #[schemars(transform = oneof(&["fixedDelay", "exponentialDelay"]))]
    pub struct FaultDelay {
        /// The delay.
        #[schemars(transform = positive_duration())]
        fixed_delay: Option<Duration>,
        /// Not implemented by Istio; refused.
        #[schemars(transform = positive_duration())]
        exponential_delay: Option<Duration>,
        /// Absent: all.
        percentage: Option<Percent>,
        /// Deprecated: `percentage` in whole percents.
        percent: i32,
    }

    /// The JSON form of `FaultAbort`.
    #[schemars(transform = oneof(&["httpStatus", "grpcStatus", "http2Error"]))]
    struct AbortFields {
        #[schemars(with = "Option<i32>")]
        http_status: Option<u32>,
        grpc_status: Option<String>,
        http2_error: Option<String>,
        percentage: Option<Percent>,
    }
}

/// Answer a share of the requests with an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AbortFields", into = "AbortFields")]
pub struct FaultAbort {
    /// The answer.
    pub status: AbortStatus,
    /// Absent: all.
    pub percentage: Option<Percent>,
}

/// The answer of an abort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// An HTTP status code, 200 to 599.
    Http(u32),
    /// A gRPC status by name (`UNAVAILABLE`) or number.
    Grpc(String),
    /// Not implemented by Istio; refused by validation.
    Http2(String),
}

/// Not exactly one kind of answer.
#[derive(Debug, thiserror::Error)]
#[error("exactly one of httpStatus, grpcStatus and http2Error must be set")]
struct NotOneStatus;

impl TryFrom<AbortFields> for FaultAbort {
    type Error = NotOneStatus;

    fn try_from(fields: AbortFields) -> Result<Self, NotOneStatus> {
        let status = match (fields.http_status, fields.grpc_status, fields.http2_error) {
            (Some(code), None, None) => AbortStatus::Http(code),
            (None, Some(name), None) => AbortStatus::Grpc(name),
            (None, None, Some(name)) => AbortStatus::Http2(name),
            _ => return Err(NotOneStatus),
        };
        Ok(Self { status, percentage: fields.percentage })
    }
}

impl From<FaultAbort> for AbortFields {
    fn from(abort: FaultAbort) -> Self {
        let mut fields = Self { percentage: abort.percentage, ..Self::default() };
        match abort.status {
            AbortStatus::Http(code) => fields.http_status = Some(code),
            AbortStatus::Grpc(name) => fields.grpc_status = Some(name),
            AbortStatus::Http2(name) => fields.http2_error = Some(name),
        }
        fields
    }
}

impl FaultDelay {
    /// The share of requests delayed, in percent.
    pub fn share(&self) -> f64 {
        match &self.percentage {
            Some(percent) => percent.value,
            None if self.percent > 0 => f64::from(self.percent),
            None => 100.0,
        }
    }
}

impl FaultAbort {
    /// The share of requests aborted, in percent.
    pub fn share(&self) -> f64 {
        self.percentage.as_ref().map_or(100.0, |percent| percent.value)
    }
}

crate::resource::spec::schema_of! {
    FaultAbort => AbortFields;
}
