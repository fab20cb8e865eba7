//! A request as the pipeline edits it, whatever version it came in and whatever version it leaves in.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::body::UpBody;
use crate::{error::LocalReply, info::PeerTls, plan::RequestFacts, snapshot::Hcm};

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) scheme: &'static str,
    pub(crate) authority: Arc<str>,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    /// As it came in.
    pub(crate) version: Version,
    pub(crate) kind: Kind,
}

/// What a request wants of its connection. Decided once, where the request comes in, in the same way for all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An answer.
    Plain,
    /// To switch to this protocol, lower case: `upgrade` in HTTP/1, an extended CONNECT in HTTP/2 (RFC 8441), which is
    /// from here on a GET with an `upgrade` header, as in Envoy: it has a path, and is normalized, routed and authorized by it.
    Upgrade(Arc<str>),
    /// A tunnel: CONNECT, which has an authority and no path.
    Connect,
}

impl Kind {
    /// The protocol as `upgrade_configs` names it, lower case.
    pub(crate) fn protocol(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Upgrade(protocol) => Some(protocol),
            Self::Connect => Some("connect"),
        }
    }
}

impl Call {
    /// Reads the request line. What cannot be a request for a proxy is answered at once, as Envoy does.
    pub(crate) fn read(parts: http::request::Parts, over_tls: bool, hcm: &Hcm) -> Result<Self, LocalReply> {
        let http::request::Parts { mut method, uri, version, mut headers, extensions, .. } = parts;
        if version < Version::HTTP_2 {
            http1_line(version, &method, &uri, hcm.accept_http10)?;
        }
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > hcm.max_header_bytes {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(LocalReply::new(status, "Request Header Fields Too Large", "request_headers_too_large"));
        }
        let kind = kind(&mut method, &uri, &mut headers, extensions.get())?;
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(bad("multiple_host_headers"));
        }
        let authority: Arc<str> = match uri.authority() {
            Some(authority) => authority.as_str().into(),
            None => match headers.get(header::HOST).map(HeaderValue::to_str) {
                Some(Ok(host)) => host.into(),
                Some(Err(_)) => return Err(bad("invalid_host")),
                None if version < Version::HTTP_11 => Arc::default(),
                None => return Err(bad("missing_host_header")),
            },
        };
        // RFC 9112 §3.2.2: an absolute target overrides the header, and what is routed by is what is forwarded.
        if uri.authority().is_some() && headers.contains_key(header::HOST) {
            headers.insert(header::HOST, HeaderValue::try_from(&*authority).map_err(|_| bad("invalid_host"))?);
        }
        let path = match uri.path_and_query() {
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        let whole_server = method == Method::OPTIONS && path == "*";
        if !(kind == Kind::Connect || whole_server || path.as_str().starts_with('/')) {
            return Err(LocalReply::new(StatusCode::NOT_FOUND, "", "absolute_path_rejected"));
        }
        let scheme = if over_tls { "https" } else { "http" };
        Ok(Self { method, scheme, authority, path, headers, version, kind })
    }

    /// As the matcher sees it.
    pub(crate) fn facts<'a>(&'a self, tls: Option<&'a PeerTls>) -> RequestFacts<'a> {
        RequestFacts {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.authority,
            path: if self.kind == Kind::Connect { "" } else { self.path.as_str() },
            headers: &self.headers,
            tls,
        }
    }

    /// Gives it another authority.
    pub(crate) fn set_authority(&mut self, value: HeaderValue) {
        if let Ok(text) = value.to_str() {
            self.authority = text.into();
            if self.headers.contains_key(header::HOST) {
                self.headers.insert(header::HOST, value);
            }
        }
    }

    /// Gives it another path. One that is no path is refused by the caller's answer.
    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), LocalReply> {
        self.path = path.parse().map_err(|_| bad("invalid_path"))?;
        Ok(())
    }

    /// The request on its way to an endpoint that speaks HTTP/2, or HTTP/1.
    pub(crate) fn into_request(mut self, http2: bool, body: UpBody) -> Result<Request<UpBody>, LocalReply> {
        let bodiless = matches!(body, UpBody::Empty);
        let mut request = Request::new(body);
        *request.uri_mut() = self.target(http2)?;
        if http2 {
            self.headers.remove(header::HOST);
            *request.version_mut() = Version::HTTP_2;
            if let Kind::Upgrade(protocol) = &self.kind {
                // RFC 8441, which hyper keeps in an extension.
                request.extensions_mut().insert(hyper::ext::Protocol::from(&**protocol));
                self.method = Method::CONNECT;
                self.headers.remove(header::UPGRADE);
                self.headers.remove(header::CONNECTION);
            }
        } else {
            if let Kind::Upgrade(protocol) = &self.kind
                && self.version == Version::HTTP_2
            {
                super::upgrade::ask_http1(&mut self.headers, protocol);
            }
            if !self.headers.contains_key(header::HOST) || self.version == Version::HTTP_2 {
                let host = HeaderValue::try_from(&*self.authority).map_err(|_| bad("invalid_host"))?;
                self.headers.insert(header::HOST, host);
            }
            if self.version == Version::HTTP_2 {
                join_cookies(&mut self.headers);
            }
            // Methods that usually have a body say that they have none (RFC 9110 §8.6), as Envoy does.
            let usually_none = matches!(self.method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT);
            if bodiless && !usually_none && !self.headers.contains_key(header::CONTENT_LENGTH) {
                self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    fn target(&self, http2: bool) -> Result<Uri, LocalReply> {
        let mut parts = http::uri::Parts::default();
        let authority = || Authority::try_from(&*self.authority).map_err(|_| bad("invalid_host"));
        if self.kind == Kind::Connect {
            parts.authority = Some(authority()?);
        } else {
            parts.path_and_query = Some(self.path.clone());
            if http2 {
                parts.scheme = Some(self.scheme()?);
                parts.authority = Some(authority()?);
            }
        }
        Uri::from_parts(parts).map_err(|_| bad("invalid_path"))
    }

    fn scheme(&self) -> Result<Scheme, LocalReply> {
        self.scheme.parse().map_err(|_| bad("invalid_scheme"))
    }
}

/// Gives a request in HTTP/2's form that of HTTP/1: for connections whose protocol is known only once they are open.
pub(crate) fn to_http1(request: &mut Request<UpBody>) {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if request.method() != Method::CONNECT
        && let Some(path) = request.uri().path_and_query().cloned()
    {
        *request.uri_mut() = Uri::from(path);
    }
    if let Some(authority) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
    *request.version_mut() = Version::HTTP_11;
    join_cookies(request.headers_mut());
}

/// Of what kind a request is. One that asks in HTTP/2's way to switch is given the form of HTTP/1.
fn kind(method: &mut Method, uri: &Uri, headers: &mut HeaderMap, protocol: Option<&hyper::ext::Protocol>) -> Result<Kind, LocalReply> {
    if *method != Method::CONNECT {
        return Ok(upgrade_of(headers).map_or(Kind::Plain, Kind::Upgrade));
    }
    let Some(protocol) = protocol else {
        // RFC 9110 §9.3.6: a target with a path would be one that nothing looks at.
        let has_path = uri.scheme().is_some() || uri.authority().is_none();
        return if has_path { Err(bad("http1.codec_error")) } else { Ok(Kind::Connect) };
    };
    *method = Method::GET;
    headers.insert(header::UPGRADE, HeaderValue::from_str(protocol.as_str()).map_err(|_| bad("invalid_protocol"))?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    Ok(Kind::Upgrade(protocol.as_str().to_ascii_lowercase().into()))
}

/// What an `upgrade` header that counts (`connection: upgrade`) asks for.
fn upgrade_of(headers: &HeaderMap) -> Option<Arc<str>> {
    let wanted = headers.get(header::UPGRADE)?.to_str().ok()?;
    let listed = headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))));
    // Envoy refuses HTTP/2 over an upgrade; it is ignored like any unknown protocol.
    (listed && !wanted.eq_ignore_ascii_case("h2c")).then(|| wanted.to_ascii_lowercase().into())
}

/// HTTP/2 may send cookies in crumbs; HTTP/1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// What Envoy's parser refuses in a request line of HTTP/1 and hyper's does not.
fn http1_line(version: Version, method: &Method, uri: &Uri, accept_http10: bool) -> Result<(), LocalReply> {
    if version < Version::HTTP_11 && !accept_http10 {
        return Err(LocalReply::new(StatusCode::UPGRADE_REQUIRED, "Upgrade Required", "low_version"));
    }
    let authority_form = uri.scheme().is_none() && uri.authority().is_some();
    if !METHODS.contains(&method.as_str()) || (authority_form && method != Method::CONNECT) {
        return Err(LocalReply::new(StatusCode::BAD_REQUEST, "Bad Request", "http1.codec_error"));
    }
    Ok(())
}

/// The methods that Envoy's HTTP/1 parser knows (`allow_custom_methods` is off).
const METHODS: [&str; 34] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

fn bad(details: &'static str) -> LocalReply {
    LocalReply::new(StatusCode::BAD_REQUEST, "", details)
}
