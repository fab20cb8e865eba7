//! `HTTPRoute`: hosts, matches, filters, backends.

pub mod filter;
pub mod matches;

use schemars::{Schema, transform::Transform as _};

use super::{
    duration::Duration,
    form,
    gateway::DefaultScope,
    refs::{ParentRef, parents, rule_names_differ, service_has_port, targets},
    session::SessionPersistence,
};
use crate::{
    resource::spec::spec,
    schema::{cel, list_set},
};
use filter::HttpFilter;
use matches::HttpMatch;

spec! {
    /// Where the requests for some hosts go.
    pub struct HttpRoute {
        #[schemars(transform = parents)]
        parent_refs: Vec<ParentRef>,
        /// Empty: the listener's.
        #[schemars(with = "Vec<form::Hostname>", length(max = 16))]
        hostnames: Vec<String>,
        /// Absent: one that takes every path, and has no backend.
        #[serde(default = "any_path")]
        #[schemars(
            length(min = 1, max = 16),
            extend("default" = [{ "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }] }]),
            transform = rules
        )]
        required rules: Vec<HttpRule>,
        /// Attach to the default Gateways, too (experimental).
        use_default_gateways: Option<DefaultScope>,
    }

    /// What happens to the requests that match.
    #[schemars(transform = rule)]
    pub struct HttpRule {
        /// Unique in the route.
        #[schemars(with = "form::SectionName")]
        name: Option<String>,
        /// One of them must hold. Empty: every path.
        #[schemars(
            length(max = 64),
            extend("default" = [{ "path": { "type": "PathPrefix", "value": "/" } }])
        )]
        matches: Vec<HttpMatch>,
        #[schemars(length(max = 16), transform = filter::filters)]
        filters: Vec<HttpFilter>,
        /// Empty, or all of weight 0, and no filter answers: 500.
        #[schemars(length(max = 16))]
        backend_refs: Vec<HttpBackendRef>,
        timeouts: Option<Timeouts>,
        /// Experimental.
        retry: Option<Retry>,
        /// Experimental.
        session_persistence: Option<SessionPersistence>,
    }

    /// Where requests go, with a share of them and filters of its own.
    #[schemars(transform = service_has_port)]
    pub struct HttpBackendRef {
        /// Default: the core group.
        #[schemars(with = "form::Group", extend("default" = ""))]
        group: Option<String>,
        /// Default: Service.
        #[schemars(with = "form::KindName", extend("default" = "Service"))]
        kind: Option<String>,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// Absent: the route's own. Another one must allow it with a ReferenceGrant.
        #[schemars(with = "form::Namespace")]
        namespace: Option<String>,
        /// A Service's port; it must have one.
        #[schemars(with = "form::PortNumber")]
        port: Option<u16>,
        /// Its share among the rule's backends; default 1.
        #[schemars(with = "i32", range(min = 0, max = 1_000_000), extend("default" = 1))]
        weight: Option<u32>,
        /// Only for requests that go here.
        #[schemars(length(max = 16), transform = filter::filters)]
        filters: Vec<HttpFilter>,
    }

    /// How long a request may take.
    #[schemars(transform = cel(
        "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > \
         duration(self.request))",
        "backendRequest timeout cannot be longer than request timeout",
    ))]
    pub struct Timeouts {
        /// From the request's start to the answer's end, retries included; `0s`: no bound.
        request: Option<Duration>,
        /// Each try; `0s`: no bound.
        backend_request: Option<Duration>,
    }

    /// When a request is sent again.
    pub struct Retry {
        /// Statuses to retry on.
        #[schemars(inner(range(min = 400, max = 599)), transform = list_set)]
        codes: Vec<u16>,
        /// Absent: the implementation chooses.
        #[schemars(with = "form::Count", range(min = 1))]
        attempts: Option<u32>,
        /// At least this long between two.
        backoff: Option<Duration>,
    }
}

targets! {
    HttpBackendRef: "", "Service";
}

impl HttpBackendRef {
    /// Its share among the rule's backends.
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(1)
    }
}

/// What the API server writes where a route has no rules.
fn any_path() -> Vec<HttpRule> {
    vec![HttpRule { matches: vec![HttpMatch::default()], ..HttpRule::default() }]
}

/// On a route's rules: at most 128 matches in all, names differ.
fn rules(schema: &mut Schema) {
    cel(FEW_MATCHES, super::refs::FEW_MATCHES_MESSAGE).transform(schema);
    rule_names_differ(schema);
}

/// The matches of each of the 16 rules, which have at least the default ones.
const FEW_MATCHES: &str = "(self.size() > 0 ? self[0].matches.size() : 0) + (self.size() > 1 ? self[1].matches.size() : 0) + \
    (self.size() > 2 ? self[2].matches.size() : 0) + (self.size() > 3 ? self[3].matches.size() : 0) + \
    (self.size() > 4 ? self[4].matches.size() : 0) + (self.size() > 5 ? self[5].matches.size() : 0) + \
    (self.size() > 6 ? self[6].matches.size() : 0) + (self.size() > 7 ? self[7].matches.size() : 0) + \
    (self.size() > 8 ? self[8].matches.size() : 0) + (self.size() > 9 ? self[9].matches.size() : 0) + \
    (self.size() > 10 ? self[10].matches.size() : 0) + (self.size() > 11 ? self[11].matches.size() : 0) + \
    (self.size() > 12 ? self[12].matches.size() : 0) + (self.size() > 13 ? self[13].matches.size() : 0) + \
    (self.size() > 14 ? self[14].matches.size() : 0) + (self.size() > 15 ? self[15].matches.size() : 0) <= 128";

/// On a rule: a redirect has no backends; a prefix is replaced only where exactly one is matched.
fn rule(schema: &mut Schema) {
    let rules = [
        (
            "(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, \
             !has(f.requestRedirect))): true",
            "RequestRedirect filter must not be used together with backendRefs",
        ),
        (
            "(has(self.filters) && self.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && \
             f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) ? \
             ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        ),
        (
            "(has(self.filters) && self.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && \
             f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) ? \
             ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        ),
        (
            "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.requestRedirect) && \
             has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' && \
             has(f.requestRedirect.path.replacePrefixMatch))) )) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || \
             self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "Within backendRefs, when using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        ),
        (
            "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.urlRewrite) && \
             has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) )) ? \
             ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            "Within backendRefs, When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        ),
    ];
    for (rule, message) in rules {
        cel(rule, message).transform(schema);
    }
}
