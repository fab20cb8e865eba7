//! `envoy.filters.http.header_mutation`: fixed edits, and the route's too.

use http::HeaderMap;

use super::{Scope, Verdict};
use crate::{
    http::{flight::Flight, headers, request::Call},
    snapshot::{FilterOverride, HeaderKey, HeaderMutation},
};

/// Edits a request.
pub(super) fn request(configured: &HeaderMutation, over: Option<&FilterOverride>, call: &mut Call, scope: &Scope<'_>) -> Verdict {
    let routes = match over {
        Some(FilterOverride::HeaderMutation { request, .. }) => Some(&**request),
        _ => None,
    };
    for mutation in std::iter::once(configured).chain(routes) {
        edit_request(mutation, call, scope.flight);
    }
    Verdict::Continue
}

/// Applies a mutation to a request, pseudo-headers included.
pub(crate) fn edit_request(mutation: &HeaderMutation, call: &mut Call, flight: &Flight) {
    if mutation.remove.is_empty() && mutation.set.is_empty() {
        return;
    }
    let mut pseudo = Vec::new();
    headers::mutate(mutation, &mut call.headers, &flight.info, None, |key, value| pseudo.push((key.clone(), value)));
    for (key, value) in pseudo {
        match key {
            HeaderKey::Authority => call.set_authority(value),
            HeaderKey::Path => {
                if let Ok(path) = value.to_str() {
                    // A value that is no path leaves the path as it is.
                    let _ = call.set_path(path);
                }
            }
            HeaderKey::Method => {
                if let Ok(method) = value.as_bytes().try_into() {
                    call.method = method;
                }
            }
            HeaderKey::Scheme | HeaderKey::Name(_) => {}
        }
    }
}

/// Edits a response.
pub(super) fn response(configured: &HeaderMutation, over: Option<&FilterOverride>, headers: &mut HeaderMap, flight: &Flight) {
    let routes = match over {
        Some(FilterOverride::HeaderMutation { response, .. }) => Some(&**response),
        _ => None,
    };
    for mutation in std::iter::once(configured).chain(routes) {
        headers::mutate(mutation, headers, &flight.info, Some(&flight.info.request_headers), |_, _| {});
    }
}
