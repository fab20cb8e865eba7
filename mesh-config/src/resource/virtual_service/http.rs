//! An HTTP route: what it matches, what it does, and the policies on the way.

use serde::{Deserialize, Serialize};

use super::{Destination, DirectResponse, FaultInjection, HttpMatch, Percent, Redirect, Rewrite};
use crate::{
    resource::{
        duration::Duration,
        selector::Labels,
        spec::{names, spec},
        string_match::StringMatch,
    },
    schema::{alias, nullable, positive_duration},
};

/// One HTTP route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "HttpRouteFields", into = "HttpRouteFields")]
pub struct HttpRoute {
    /// For statistics and access logs.
    pub name: String,
    /// Alternatives; empty: every request.
    pub matches: Vec<HttpMatch>,
    /// What happens to the request.
    pub action: HttpAction,
    /// How the request is changed; with a route or a delegate.
    pub rewrite: Option<Rewrite>,
    /// For the whole request, retries included; absent: none.
    pub timeout: Option<Duration>,
    /// When to try again.
    pub retries: Option<HttpRetry>,
    /// Faults to inject.
    pub fault: Option<FaultInjection>,
    /// Where copies go, and the share; `mirror` and `mirrors` in one list.
    pub mirrors: Vec<HttpMirror>,
    /// `mirrorPercent` as it was written; already part of `mirrors`. Deprecated.
    pub mirror_percent: Option<u32>,
    /// `mirrorPercentage` as it was written; already part of `mirrors`.
    pub mirror_percentage: Option<Percent>,
    /// Cross-origin rules.
    pub cors_policy: Option<CorsPolicy>,
    /// Header changes.
    pub headers: Option<Headers>,
}

/// What happens to the request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction {
    /// Forward to one of the weighted destinations.
    Route(Vec<HttpRouteDestination>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer directly.
    DirectResponse(DirectResponse),
    /// Ask another VirtualService.
    Delegate(Delegate),
}

spec! {
    /// The JSON form of `HttpRoute`.
    #[schemars(transform = alias("mirrorPercent", "mirror_percent"))]
    struct HttpRouteFields {
        name: String,
        r#match: Vec<HttpMatch>,
        route: Vec<HttpRouteDestination>,
        redirect: Option<Redirect>,
        direct_response: Option<DirectResponse>,
        delegate: Option<Delegate>,
        rewrite: Option<Rewrite>,
        #[schemars(transform = positive_duration())]
        timeout: Option<Duration>,
        retries: Option<HttpRetry>,
        fault: Option<FaultInjection>,
        mirror: Option<Destination>,
        mirrors: Vec<HttpMirror>,
        #[serde(alias = "mirror_percent")]
        #[schemars(transform = nullable)]
        mirror_percent: Option<u32>,
        mirror_percentage: Option<Percent>,
        cors_policy: Option<CorsPolicy>,
        headers: Option<Headers>,
    }

    /// A destination and its share.
    pub struct HttpRouteDestination {
        required destination: Destination,
        /// Share of the sum; 0 or absent for the only destination counts as all.
        weight: i32,
        headers: Option<Headers>,
    }

    /// Where a copy of the requests goes.
    pub struct HttpMirror {
        required destination: Destination,
        /// Absent: all.
        percentage: Option<Percent>,
    }

    /// Another VirtualService, with no hosts of its own.
    pub struct Delegate {
        name: String,
        /// Empty: the same as the root's.
        namespace: String,
    }

    /// When to try again.
    pub struct HttpRetry {
        /// Tries beside the first; 0 turns retries off.
        attempts: i32,
        /// Absent: the route's timeout.
        #[schemars(transform = positive_duration())]
        per_try_timeout: Option<Duration>,
        /// Envoy's conditions and status codes, comma-separated; empty: Istio's default.
        retry_on: String,
        #[schemars(transform = nullable)]
        retry_remote_localities: Option<bool>,
        /// true if absent.
        #[schemars(transform = nullable)]
        retry_ignore_previous_hosts: Option<bool>,
        /// The base of the exponential back-off; 25 ms if absent.
        #[schemars(transform = positive_duration())]
        backoff: Option<Duration>,
    }

    /// Cross-origin resource sharing.
    pub struct CorsPolicy {
        /// Deprecated: `allow_origins` with exact.
        allow_origin: Vec<String>,
        allow_origins: Vec<StringMatch>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        #[schemars(transform = positive_duration())]
        max_age: Option<Duration>,
        #[schemars(transform = nullable)]
        allow_credentials: Option<bool>,
        unmatched_preflights: UnmatchedPreflights,
    }

    /// Header changes in both directions.
    pub struct Headers {
        request: Option<HeaderOperations>,
        response: Option<HeaderOperations>,
    }

    /// Header changes.
    pub struct HeaderOperations {
        /// Overwrite.
        set: Labels,
        /// Append.
        add: Labels,
        remove: Vec<String>,
    }
}

names! {
    /// What happens to a preflight request that no origin matches.
    pub enum UnmatchedPreflights {
        #[default]
        Unspecified = "UNSPECIFIED",
        Forward = "FORWARD",
        Ignore = "IGNORE",
    }
}

/// Fields of a route that cannot stand together.
#[derive(Debug, thiserror::Error)]
enum InvalidHttpRoute {
    #[error("HTTP route, redirect or direct_response is required: add one of route, redirect, directResponse and delegate")]
    NoAction,
    #[error("HTTP route cannot contain both {0} and {1}: keep one")]
    TwoActions(&'static str, &'static str),
    #[error("HTTP route cannot contain both mirror and mirrors: move the mirror into mirrors")]
    TwoMirrors,
}

impl TryFrom<HttpRouteFields> for HttpRoute {
    type Error = InvalidHttpRoute;

    fn try_from(fields: HttpRouteFields) -> Result<Self, InvalidHttpRoute> {
        let percentage = fields.mirror_percentage.clone().or(fields.mirror_percent.map(|percent| Percent { value: f64::from(percent) }));
        let mirrors = match (fields.mirror, percentage) {
            (Some(_), _) if !fields.mirrors.is_empty() => return Err(InvalidHttpRoute::TwoMirrors),
            (Some(destination), percentage) => vec![HttpMirror { destination, percentage }],
            // A percentage without a mirror has no effect in Istio either.
            (None, _) => fields.mirrors,
        };
        let mut actions: Vec<(&'static str, HttpAction)> = Vec::with_capacity(1);
        if !fields.route.is_empty() {
            actions.push(("route", HttpAction::Route(fields.route)));
        }
        actions.extend(fields.redirect.map(|redirect| ("redirect", HttpAction::Redirect(redirect))));
        actions.extend(fields.direct_response.map(|answer| ("direct_response", HttpAction::DirectResponse(answer))));
        actions.extend(fields.delegate.map(|delegate| ("delegate", HttpAction::Delegate(delegate))));
        let mut actions = actions.into_iter();
        let (name, action) = actions.next().ok_or(InvalidHttpRoute::NoAction)?;
        if let Some((other, _)) = actions.next() {
            return Err(InvalidHttpRoute::TwoActions(name, other));
        }
        Ok(Self {
            name: fields.name,
            matches: fields.r#match,
            action,
            rewrite: fields.rewrite,
            timeout: fields.timeout,
            retries: fields.retries,
            fault: fields.fault,
            mirrors,
            mirror_percent: fields.mirror_percent,
            mirror_percentage: fields.mirror_percentage,
            cors_policy: fields.cors_policy,
            headers: fields.headers,
        })
    }
}

impl From<HttpRoute> for HttpRouteFields {
    fn from(route: HttpRoute) -> Self {
        let mut fields = Self {
            name: route.name,
            r#match: route.matches,
            rewrite: route.rewrite,
            timeout: route.timeout,
            retries: route.retries,
            fault: route.fault,
            mirrors: route.mirrors,
            mirror_percent: route.mirror_percent,
            mirror_percentage: route.mirror_percentage,
            cors_policy: route.cors_policy,
            headers: route.headers,
            ..Self::default()
        };
        match route.action {
            HttpAction::Route(destinations) => fields.route = destinations,
            HttpAction::Redirect(redirect) => fields.redirect = Some(redirect),
            HttpAction::DirectResponse(answer) => fields.direct_response = Some(answer),
            HttpAction::Delegate(delegate) => fields.delegate = Some(delegate),
        }
        fields
    }
}

crate::resource::spec::schema_of! {
    HttpRoute => HttpRouteFields;
}
