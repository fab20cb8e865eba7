//! Header edits that every request and response gets, whatever its route.

mod edge;
mod format;
mod mutate;
mod trace;
mod xfcc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(crate) use self::{
    edge::{client_address, mark_internal, receive},
    mutate::mutate,
    trace::begin_span,
    xfcc::forward_client_certificate,
};

/// Removes what belongs to one connection only (RFC 9110 §7.6.1) and names that `connection` lists. An upgrade keeps its two.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| token.trim().parse().ok())
            .filter(|name| !is_protected(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        if !upgrade {
            headers.remove(header::CONNECTION);
        }
    }
    if !upgrade && headers.contains_key(header::UPGRADE) {
        headers.remove(header::UPGRADE);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove(header::TRANSFER_ENCODING);
    if headers.get(header::TE).is_some_and(|value| value != "trailers") {
        let wants_trailers = headers
            .get_all(header::TE)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("trailers"))));
        headers.remove(header::TE);
        if wants_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// All values of a header in one line: repeating a header and listing its values mean the same (RFC 9110 §5.3), so what edits
/// one line must edit all of them. `None`: it is not there, or empty.
pub(crate) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join(&b","[..]))
}

/// Adds a value at the end of a header that is a list, and makes one line of it.
pub(crate) fn append_to_list(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    let list = joined(headers, &name).map(|before| [&before, value.as_bytes()].join(&b","[..]));
    let list = list.and_then(|list| HeaderValue::from_bytes(&list).ok());
    headers.insert(name, list.unwrap_or_else(|| value.clone()));
}

/// Names that a client may not have removed by listing them: those that decide where a request goes and who sent it.
fn is_protected(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::CONNECTION
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == header::CONTENT_LENGTH
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("x-envoy-")
}
