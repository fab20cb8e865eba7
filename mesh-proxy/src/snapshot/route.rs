//! Route tables: virtual hosts, routes and their actions, as compiled for `plan::route`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

use super::{ClusterSlot, Cors, Fault, HeaderKey, HeaderMatcher, Percent, QueryMatcher, Rbac};

/// `envoy.config.route.v3.RouteConfiguration`.
#[derive(Debug)]
pub struct RouteTable {
    /// Resource name.
    pub name: Arc<str>,
    /// In configuration order.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// Which virtual host an authority belongs to.
    pub hosts: HostIndex,
    /// Header edits after those of route and virtual host (or before: `most_specific_header_mutations_wins`).
    pub headers: HeaderMutations,
    /// `most_specific_header_mutations_wins`.
    pub most_specific_wins: bool,
    /// `ignore_port_in_host_matching`.
    pub ignore_port: bool,
    /// `internal_only_headers` and the like removed from external requests.
    pub internal_only_headers: Vec<HeaderName>,
    /// Content hash.
    pub hash: u64,
}

/// Domains to virtual hosts: exact, then the longest suffix wildcard (`*.a.b`), then the longest prefix wildcard (`a.*`), then `*`.
/// All lower case.
#[derive(Debug, Default)]
pub struct HostIndex {
    /// Exact domain.
    pub exact: HashMap<Arc<str>, usize>,
    /// `*` + suffix, longest first.
    pub suffix: Vec<(Arc<str>, usize)>,
    /// prefix + `*`, longest first.
    pub prefix: Vec<(Arc<str>, usize)>,
    /// `*`.
    pub any: Option<usize>,
}

/// `envoy.config.route.v3.VirtualHost`.
#[derive(Debug)]
pub struct VirtualHost {
    /// Name.
    pub name: Arc<str>,
    /// First match wins.
    pub routes: Vec<Arc<Route>>,
    /// `require_tls`: redirect plaintext.
    pub require_tls: bool,
    /// Header edits.
    pub headers: HeaderMutations,
    /// `include_request_attempt_count`: endpoints are told in `x-envoy-attempt-count` which try it is.
    pub attempt_count_in_request: bool,
    /// `include_attempt_count_in_response`: the client is told how many there were.
    pub attempt_count_in_response: bool,
}

/// `envoy.config.route.v3.Route`. What a virtual host or table says for all its routes (retry policy, overrides, CORS) is already folded in.
#[derive(Debug)]
pub struct Route {
    /// `name`, as access logs print it.
    pub name: Arc<str>,
    /// Where it came from: `metadata.filter_metadata.istio.config`, if the control plane said so.
    pub provenance: Option<Arc<str>>,
    /// When it applies.
    pub matcher: RouteMatch,
    /// What it does.
    pub action: Action,
    /// Header edits.
    pub headers: HeaderMutations,
    /// Per-filter configuration under the filter's name; most specific only.
    pub overrides: Vec<(Arc<str>, FilterOverride)>,
    /// `decorator.operation`: the span's name.
    pub operation: Option<Arc<str>>,
    /// `stat_prefix`.
    pub stat_prefix: Option<Arc<str>>,
}

/// When a route applies: all of it.
#[derive(Debug)]
pub struct RouteMatch {
    /// The path, without its query.
    pub path: PathMatch,
    /// Compare `path` case-sensitively (default). When false the patterns are lower case.
    pub case_sensitive: bool,
    /// All must match.
    pub headers: Vec<HeaderMatcher>,
    /// All must match.
    pub query: Vec<QueryMatcher>,
    /// Only gRPC requests.
    pub grpc: bool,
    /// Only this share (`runtime_fraction`).
    pub fraction: Option<Percent>,
    /// `tls_context.presented` / `validated`.
    pub client_cert_presented: Option<bool>,
    /// See `client_cert_presented`.
    pub client_cert_validated: Option<bool>,
}

/// The path part of a route match.
#[derive(Debug)]
pub enum PathMatch {
    /// Plain string prefix.
    Prefix(Arc<str>),
    /// Prefix by whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.
    SegmentPrefix(Arc<str>),
    /// The whole path.
    Exact(Arc<str>),
    /// RE2 full match.
    Regex(regex::Regex),
    /// `connect_matcher`: CONNECT requests.
    Connect,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Send it on.
    Forward(Box<Forward>),
    /// Answer 3xx.
    Redirect(Redirect),
    /// Answer at once.
    Direct {
        /// Status.
        status: StatusCode,
        /// Body, bounded by `max_direct_response_body_size_bytes`.
        body: bytes::Bytes,
    },
    /// Asked for and not implemented: answered 500.
    Refuse {
        /// What is missing.
        reason: Arc<str>,
    },
}

/// `envoy.config.route.v3.RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub target: Target,
    /// 503 or 404 when the cluster is unknown (`cluster_not_found_response_code`).
    pub cluster_not_found: StatusCode,
    /// Path edits.
    pub rewrite: Option<Rewrite>,
    /// Authority edits.
    pub host_rewrite: Option<HostRewrite>,
    /// `append_x_forwarded_host`.
    pub append_x_forwarded_host: bool,
    /// Whole response must have begun and ended in this time; `None` is no limit (Envoy's own default is 15 s, Istio sends 0s).
    pub timeout: Option<Duration>,
    /// Overrides the connection manager's stream idle timeout.
    pub idle_timeout: Option<Duration>,
    /// `max_stream_duration`.
    pub max_stream_duration: Option<Duration>,
    /// `grpc_timeout_header_max` (`None`: the header is not honoured).
    pub grpc_timeout_max: Option<Duration>,
    /// Retries.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Consistent hashing, in order.
    pub hash_policy: Vec<HashPolicy>,
    /// Copies to send, answers ignored.
    pub mirrors: Vec<Mirror>,
    /// CORS.
    pub cors: Option<Arc<Cors>>,
    /// Upgrades allowed or forbidden here, over the connection manager's.
    pub upgrades: Vec<(Arc<str>, bool)>,
    /// `metadata_match` for subset load balancing: key to value.
    pub metadata_match: Vec<(Arc<str>, Arc<str>)>,
    /// Routing priority HIGH.
    pub high_priority: bool,
}

/// Where a route forwards to.
#[derive(Debug)]
pub enum Target {
    /// One cluster.
    Cluster(ClusterSlot),
    /// The cluster this request header names.
    Header(HeaderName),
    /// By weight.
    Weighted {
        /// The parts.
        clusters: Vec<WeightedCluster>,
        /// Sum of weights, never 0.
        total: u32,
        /// Header that carries the draw (`header_name`), else random.
        draw: Option<HeaderName>,
    },
}

/// One part of a weighted target.
#[derive(Debug)]
pub struct WeightedCluster {
    /// Which.
    pub cluster: ClusterSlot,
    /// Weight.
    pub weight: u32,
    /// Header edits for this part.
    pub headers: HeaderMutations,
    /// Authority for this part.
    pub host_rewrite: Option<HostRewrite>,
    /// Overrides for this part, over the route's.
    pub overrides: Vec<(Arc<str>, FilterOverride)>,
}

/// Path edits; the original goes to `x-envoy-original-path`.
#[derive(Debug)]
pub enum Rewrite {
    /// Replace what the prefix (or the whole exact path) matched.
    Prefix(Arc<str>),
    /// Replace all matches in the path.
    Regex {
        /// Pattern.
        pattern: regex::Regex,
        /// Substitution in the `regex` crate's syntax.
        substitution: Arc<str>,
    },
}

/// Authority edits.
#[derive(Debug)]
pub enum HostRewrite {
    /// A constant.
    Literal(HeaderValue),
    /// The endpoint's hostname.
    Auto,
    /// The value of a header.
    Header(HeaderName),
    /// From the path by regex.
    PathRegex {
        /// Pattern.
        pattern: regex::Regex,
        /// Substitution.
        substitution: Arc<str>,
    },
}

/// `envoy.config.route.v3.RedirectAction`.
#[derive(Debug)]
pub struct Redirect {
    /// Status.
    pub status: StatusCode,
    /// New scheme (`https_redirect` is `https`).
    pub scheme: Option<Arc<str>>,
    /// New host.
    pub host: Option<Arc<str>>,
    /// New port.
    pub port: Option<u16>,
    /// New path.
    pub path: Option<RedirectPath>,
    /// Drop the query.
    pub strip_query: bool,
}

/// The path of a redirect.
#[derive(Debug)]
pub enum RedirectPath {
    /// The whole path (may carry a query).
    Full(Arc<str>),
    /// In place of the matched prefix.
    Prefix(Arc<str>),
    /// By regex.
    Regex {
        /// Pattern.
        pattern: regex::Regex,
        /// Substitution.
        substitution: Arc<str>,
    },
}

/// `envoy.config.route.v3.RetryPolicy`.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Which failures.
    pub on: RetryOn,
    /// Statuses for `retriable-status-codes`.
    pub status_codes: Vec<StatusCode>,
    /// Headers for `retriable-headers`.
    pub headers: Vec<HeaderMatcher>,
    /// Only requests whose headers match one of these, if there are any.
    pub request_headers: Vec<HeaderMatcher>,
    /// Retries after the first try (`num_retries`, default 1).
    pub retries: u32,
    /// Each try's own limit.
    pub per_try_timeout: Option<Duration>,
    /// Each try's own idle limit.
    pub per_try_idle_timeout: Option<Duration>,
    /// Prefer endpoints not tried yet (`previous_hosts`).
    pub avoid_previous_hosts: bool,
    /// Draws for such an endpoint (`host_selection_retry_max_attempts`).
    pub host_attempts: u32,
    /// Back-off base (default 25 ms).
    pub base_interval: Duration,
    /// Back-off cap (default 10 × base).
    pub max_interval: Duration,
}

/// `retry_on`, parsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of flags, each one word of retry_on")]
pub struct RetryOn {
    /// `5xx`.
    pub server_error: bool,
    /// `gateway-error`: 502, 503, 504.
    pub gateway_error: bool,
    /// `reset`.
    pub reset: bool,
    /// `reset-before-request`.
    pub reset_before_request: bool,
    /// `connect-failure`.
    pub connect_failure: bool,
    /// `envoy-ratelimited`.
    pub rate_limited: bool,
    /// `retriable-4xx`: 409.
    pub retriable_4xx: bool,
    /// `refused-stream`.
    pub refused_stream: bool,
    /// `retriable-status-codes`.
    pub status_codes: bool,
    /// `retriable-headers`.
    pub headers: bool,
    /// `http3-post-connect-failure`: accepted, no effect here.
    pub http3: bool,
    /// gRPC `cancelled`.
    pub cancelled: bool,
    /// gRPC `deadline-exceeded`.
    pub deadline_exceeded: bool,
    /// gRPC `internal`.
    pub internal: bool,
    /// gRPC `resource-exhausted`.
    pub resource_exhausted: bool,
    /// gRPC `unavailable`.
    pub unavailable: bool,
}

/// One step of consistent hashing.
#[derive(Debug, Clone)]
pub struct HashPolicy {
    /// What is hashed.
    pub source: HashSource,
    /// Stop here if it gave a hash.
    pub terminal: bool,
}

/// What a hash is made of.
#[derive(Debug, Clone)]
pub enum HashSource {
    /// A header's value.
    Header(HeaderKey),
    /// A cookie; made if absent when `ttl` is given.
    Cookie {
        /// Name.
        name: Arc<str>,
        /// Lifetime of a made one; zero is a session cookie.
        ttl: Option<Duration>,
        /// Its path.
        path: Option<Arc<str>>,
        /// Further attributes.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    /// The peer's IP.
    SourceIp,
    /// A query parameter.
    Query(Arc<str>),
}

/// A copy of a request.
#[derive(Debug)]
pub struct Mirror {
    /// Where to.
    pub cluster: ClusterSlot,
    /// Share of requests.
    pub fraction: Percent,
    /// Append `-shadow` to the host.
    pub shadow_suffix: bool,
}

/// What a route says for one filter.
#[derive(Debug, Clone)]
pub enum FilterOverride {
    /// Off here.
    Disabled,
    /// On here, as the chain has it (for a filter that is `disabled` in the chain).
    Enabled,
    /// This fault instead.
    Fault(Arc<Fault>),
    /// This policy instead; `None` is no policy (allow).
    Rbac(Option<Arc<Rbac>>),
    /// This CORS policy instead.
    Cors(Arc<Cors>),
    /// These edits too.
    HeaderMutation {
        /// On requests.
        request: Arc<HeaderMutation>,
        /// On responses.
        response: Arc<HeaderMutation>,
    },
}

/// Header edits of requests and responses.
#[derive(Debug, Clone, Default)]
pub struct HeaderMutations {
    /// On requests.
    pub request: HeaderMutation,
    /// On responses.
    pub response: HeaderMutation,
}

/// Header edits in one direction: removals first, then additions, as Envoy's router does.
#[derive(Debug, Clone, Default)]
pub struct HeaderMutation {
    /// Taken away.
    pub remove: Vec<HeaderName>,
    /// Put in.
    pub set: Vec<HeaderEdit>,
}

/// One addition.
#[derive(Debug, Clone)]
pub struct HeaderEdit {
    /// Field; pseudo-headers only where Envoy allows them (`:authority`, `:path` on requests).
    pub name: HeaderKey,
    /// Value, possibly with access-log operators.
    pub value: HeaderFormat,
    /// What if it is there already.
    pub append: AppendAction,
    /// Add it even when the value comes out empty.
    pub keep_empty: bool,
}

/// A header's value: constant, or made per request.
#[derive(Debug, Clone)]
pub enum HeaderFormat {
    /// A constant.
    Literal(HeaderValue),
    /// With operators such as `%REQ(x)%`, `%DOWNSTREAM_REMOTE_ADDRESS%`.
    Format(Arc<super::Format>),
}

/// `append_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendAction {
    /// Add another value.
    AppendIfExistsOrAdd,
    /// Only if absent.
    AddIfAbsent,
    /// Replace, or add.
    OverwriteIfExistsOrAdd,
    /// Replace only.
    OverwriteIfExists,
}

impl RetryPolicy {
    /// Whether nothing can ever be retried.
    pub fn is_off(&self) -> bool {
        self.retries == 0 || self.on == RetryOn::default()
    }
}
