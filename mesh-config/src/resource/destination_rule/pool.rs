//! Limits on connections, and when an endpoint counts as broken. Shared with Sidecar.

use crate::{
    resource::{
        duration::Duration,
        spec::{names, spec},
    },
    schema::{nullable, positive_duration},
};

spec! {
    /// Limits towards a service. 0 or absent: Istio's default, which is no limit.
    pub struct ConnectionPool {
        tcp: Option<TcpPool>,
        http: Option<HttpPool>,
    }

    /// Limits for TCP (HTTP has them too).
    pub struct TcpPool {
        max_connections: i32,
        /// 10 s if absent.
        #[schemars(transform = positive_duration())]
        connect_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        #[schemars(transform = positive_duration())]
        max_connection_duration: Option<Duration>,
        /// 1 h if absent.
        idle_timeout: Option<Duration>,
    }

    /// SO_KEEPALIVE.
    pub struct TcpKeepalive {
        probes: u32,
        #[schemars(transform = positive_duration())]
        time: Option<Duration>,
        #[schemars(transform = positive_duration())]
        interval: Option<Duration>,
    }

    /// Limits for HTTP.
    pub struct HttpPool {
        /// Requests waiting for a connection.
        http1_max_pending_requests: i32,
        /// Active requests, of either version.
        http2_max_requests: i32,
        /// 1 turns keep-alive off.
        max_requests_per_connection: i32,
        /// Retries outstanding over the whole cluster.
        max_retries: i32,
        #[schemars(transform = positive_duration())]
        idle_timeout: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        /// Upstream speaks what the client speaks.
        use_client_protocol: bool,
        max_concurrent_streams: i32,
        http2_keep_alive: Option<Http2KeepAlive>,
    }

    /// HTTP/2 PING.
    pub struct Http2KeepAlive {
        #[schemars(transform = positive_duration())]
        interval: Option<Duration>,
        #[schemars(transform = positive_duration())]
        timeout: Option<Duration>,
    }

    /// When an endpoint is taken out for a while.
    pub struct OutlierDetection {
        /// Deprecated: 5xx in a row; read as gateway errors.
        consecutive_errors: i32,
        /// Count local-origin failures (connect, timeout) apart from the endpoint's own answers.
        split_external_local_origin_errors: bool,
        #[schemars(transform = nullable)]
        consecutive_local_origin_failures: Option<u32>,
        /// 502, 503, 504 in a row; absent or 0: not judged.
        #[schemars(transform = nullable)]
        consecutive_gateway_errors: Option<u32>,
        /// 5xx in a row; 5 if absent, 0: not judged.
        #[serde(rename = "consecutive5xxErrors")]
        #[schemars(transform = nullable)]
        consecutive_5xx_errors: Option<u32>,
        /// Between two analyses; 10 s if absent.
        #[schemars(transform = positive_duration())]
        interval: Option<Duration>,
        /// Times the number of ejections so far; 30 s if absent.
        #[schemars(transform = positive_duration())]
        base_ejection_time: Option<Duration>,
        /// 0 to 100; 10 if absent (one endpoint always may go).
        max_ejection_percent: i32,
        /// Below this share of healthy endpoints, ejection is ignored. 0 if absent.
        min_health_percent: i32,
        /// Status codes that count as failures, 100 to 599; empty: 5xx.
        #[schemars(inner(range(min = 100, max = 599)))]
        outlier_detection_http_error_codes: Vec<u32>,
    }
}

names! {
    /// Whether HTTP/1.1 becomes HTTP/2 on the way.
    pub enum H2UpgradePolicy {
        /// As MeshConfig says.
        #[default]
        Default = "DEFAULT",
        DoNotUpgrade = "DO_NOT_UPGRADE",
        Upgrade = "UPGRADE",
    }
}
