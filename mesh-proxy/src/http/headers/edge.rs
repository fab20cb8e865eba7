//! What a connection manager does to a request's headers before anything looks at them: who the client is, request id,
//! headers that only we may set (Envoy's `ConnectionManagerUtility::mutateRequestHeaders`).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::request::{Call, Kind},
    append_to_list, remove_hop_by_hop,
};
use crate::{
    info::ConnectionInfo,
    snapshot::{Hcm, RouteTable},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers by which our own behaviour is steered: only internal clients may.
const INTERNAL: [&str; 14] = [
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-hedge-on-per-try-timeout",
];

/// Headers that other proxies of the mesh set: a client at the edge may not.
const EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-path",
    "x-envoy-original-host",
];

/// The client's address: beyond the trusted hops of `x-forwarded-for`, else the peer.
pub(crate) fn client_address(headers: &HeaderMap, hcm: &Hcm, connection: &ConnectionInfo) -> SocketAddr {
    let hops = usize::try_from(hcm.xff_trusted_hops).unwrap_or(usize::MAX);
    // At the edge the peer is the last hop, and is appended only later.
    let skip = match (hcm.use_remote_address, hops) {
        (true, 0) => return connection.remote,
        (true, hops) => hops - 1,
        (false, hops) => hops,
    };
    forwarded_for(headers, skip).map_or(connection.remote, |ip| SocketAddr::new(ip, 0))
}

/// The address `skip` places from the right of `x-forwarded-for`. Whatever stands left of it, it counts: only the left can be
/// forged, and nothing forged may change which place is looked at.
fn forwarded_for(headers: &HeaderMap, skip: usize) -> Option<IpAddr> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entry = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).nth(skip)?;
    std::str::from_utf8(entry).ok()?.trim().parse().ok()
}

/// Edits a request that has just come in.
pub(crate) fn receive(call: &mut Call, hcm: &Hcm, table: Option<&RouteTable>, connection: &ConnectionInfo, local_address: IpAddr) {
    remove_hop_by_hop(&mut call.headers, call.kind != Kind::Plain);
    // We answer `expect: 100-continue` ourselves.
    if call.headers.contains_key(http::header::EXPECT) {
        call.headers.remove(http::header::EXPECT);
    }
    let headers = &mut call.headers;
    let proto = if connection.tls.is_some() { "https" } else { "http" };
    let client = client_address(headers, hcm, connection).ip();
    trust(headers, hcm, table, client);
    if hcm.use_remote_address {
        if !hcm.skip_xff_append {
            let remote = connection.remote.ip();
            append_forwarded_for(headers, if is_localhost(remote) { local_address } else { remote });
        }
        if hcm.xff_trusted_hops == 0 || !headers.contains_key(X_FORWARDED_PROTO) {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        }
    } else if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    match headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => call.scheme = "https",
        Some(b"http") => call.scheme = "http",
        _ => {}
    }
    request_id(headers, hcm);
    if let Some(via) = &hcm.via
        && let Ok(value) = HeaderValue::try_from(&**via)
    {
        headers.append(http::header::VIA, value);
    }
}

/// Says whether the client is internal, and takes from others what only internal clients may say (Envoy docs: "HTTP header
/// sanitizing"). Internal is whose address is in `internal_address_config` and is not a guess from a longer list.
fn trust(headers: &mut HeaderMap, hcm: &Hcm, table: Option<&RouteTable>, client: IpAddr) {
    const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
    let addresses: usize = headers.get_all(X_FORWARDED_FOR).iter().map(|value| value.as_bytes().split(|b| *b == b',').count()).sum();
    let certain = if hcm.use_remote_address {
        addresses == 0
    } else {
        addresses == 1 && hcm.xff_trusted_hops == 0 && forwarded_for(headers, 0).is_some()
    };
    if certain && hcm.internal_networks.iter().any(|network| network.contains(&client)) {
        headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
        return;
    }
    headers.remove(X_ENVOY_INTERNAL);
    for name in INTERNAL {
        headers.remove(name);
    }
    for name in table.iter().flat_map(|table| &table.internal_only_headers) {
        headers.remove(name);
    }
    if hcm.use_remote_address {
        for name in EDGE {
            headers.remove(name);
        }
        set(headers, HeaderName::from_static("x-envoy-external-address"), &client.to_string());
    }
}

/// Marks a request that we make ourselves (a mirror's): from here, and internal.
pub(crate) fn mark_internal(headers: &mut HeaderMap, local_address: IpAddr) {
    headers.insert(HeaderName::from_static("x-envoy-internal"), HeaderValue::from_static("true"));
    append_forwarded_for(headers, local_address);
}

/// 127.0.0.1 or ::1, which say nothing to anyone else; other loopback addresses are told as they are, as Envoy does.
fn is_localhost(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1]) || address == IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
}

fn append_forwarded_for(headers: &mut HeaderMap, address: IpAddr) {
    if let Ok(value) = HeaderValue::try_from(address.to_string()) {
        append_to_list(headers, X_FORWARDED_FOR, &value);
    }
}

fn request_id(headers: &mut HeaderMap, hcm: &Hcm) {
    if !hcm.generate_request_id {
        return;
    }
    let replace = hcm.use_remote_address && !hcm.preserve_external_request_id;
    if (replace || !headers.contains_key(X_REQUEST_ID))
        && let Ok(id) = HeaderValue::from_bytes(&uuid_v4(rand::random()))
    {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// RFC 9562 §5.4.
fn uuid_v4(mut random: [u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in random.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn request_ids_are_version_4() {
        let text = uuid_v4([0xff; 16]);
        assert_eq!(&text, b"ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn the_client_is_found_beyond_trusted_hops() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1, 2.2.2.2"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("3.3.3.3"));
        let cases = [(0, Some([3, 3, 3, 3])), (1, Some([2, 2, 2, 2])), (2, Some([1, 1, 1, 1])), (3, None)];
        for (skip, expected) in cases {
            assert_eq!(forwarded_for(&headers, skip), expected.map(IpAddr::from), "{skip}");
        }
    }

    #[test]
    fn what_a_client_forges_moves_no_place() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.1"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"\xff, 1.1.1.1").unwrap());
        let cases = [(0, Some([1, 1, 1, 1])), (1, None), (2, Some([10, 0, 0, 1]))];
        for (skip, expected) in cases {
            assert_eq!(forwarded_for(&headers, skip), expected.map(IpAddr::from), "{skip}");
        }
    }

    #[test]
    fn an_address_is_appended_to_all_lines() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"10.0.0.1\xff").unwrap());
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("2.2.2.2"));
        mark_internal(&mut headers, [3, 3, 3, 3].into());
        let lines: Vec<&[u8]> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(lines, [&b"10.0.0.1\xff,2.2.2.2,3.3.3.3"[..]]);
    }
}
