//! `envoy.filters.http.cors`: answers preflights and marks answers, as the route's policy says.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Answer, Verdict};
use crate::{
    http::request::Call,
    plan::Matched,
    snapshot::{Cors, FilterOverride},
};

/// The policy in force for a route.
pub(super) fn policy<'a>(over: Option<&'a FilterOverride>, matched: Option<&'a Matched>) -> Option<&'a Cors> {
    match over {
        Some(FilterOverride::Cors(cors)) => Some(cors),
        _ => matched?.forward()?.cors.as_deref(),
    }
}

/// Answers a preflight.
pub(super) fn request(cors: Option<&Cors>, call: &Call) -> Verdict {
    let (Some(cors), Some(origin)) = (cors, call.headers.get(header::ORIGIN)) else { return Verdict::Continue };
    let preflight = call.method == Method::OPTIONS && call.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !preflight {
        return Verdict::Continue;
    }
    let mut headers = HeaderMap::new();
    if allows(cors, origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let mut set = |name, value: &Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        };
        set(header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        set(header::ACCESS_CONTROL_MAX_AGE, &cors.max_age);
        credentials(cors, &mut headers);
    } else if cors.forward_unmatched_preflights {
        return Verdict::Continue;
    }
    Verdict::Respond(Answer::Headers(StatusCode::OK, headers))
}

/// Marks an answer to an origin that is allowed.
pub(super) fn response(cors: Option<&Cors>, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let (Some(cors), Some(origin)) = (cors, origin) else { return };
    if !allows(cors, origin) {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if let Some(expose) = &cors.expose_headers {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
    }
    credentials(cors, headers);
}

fn credentials(cors: &Cors, headers: &mut HeaderMap) {
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn allows(cors: &Cors, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| cors.allow_origins.iter().any(|matcher| matcher.matches(origin)))
}
