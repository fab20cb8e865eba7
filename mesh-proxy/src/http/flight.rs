//! A request's record while it is under way. However the request ends, the record reaches the observer exactly once.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{HeaderMap, HeaderName};

use super::{
    body::RequestBody,
    serve::{Busy, Conn},
};
use crate::{
    info::{Flags, RequestInfo},
    snapshot::{Hcm, JsonFormat, LogFilter, LogFormat, LogHeader, Operator, SpanTag},
    worker::Worker,
};

/// The record, and who is to hear of it.
pub(crate) struct Flight {
    pub(crate) info: Box<RequestInfo>,
    pub(crate) hcm: Arc<Hcm>,
    pub(crate) worker: Rc<Worker>,
    needs: Rc<Needs>,
    body: Option<RequestBody>,
    /// The response went out whole.
    complete: bool,
    _busy: Busy,
}

/// Which headers logs, tags and metrics refer to: only these are copied.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    request: Vec<HeaderName>,
    response: Vec<HeaderName>,
    trailers: bool,
}

impl Flight {
    /// A request that has just come in.
    pub(super) fn new(conn: &Conn, busy: Busy, hcm: Arc<Hcm>) -> Self {
        let info = Box::new(RequestInfo::new(conn.connection.clone(), Instant::now(), SystemTime::now()));
        let needs = conn.needs(&hcm);
        Self { info, hcm, worker: conn.worker.clone(), needs, body: None, complete: false, _busy: busy }
    }

    /// Where to read how much of the request has come.
    pub(crate) fn watch(&mut self, body: RequestBody) {
        self.body = Some(body);
    }

    /// The request's body, if it has one.
    pub(crate) fn body(&self) -> Option<&RequestBody> {
        self.body.as_ref()
    }

    /// Copies what is referred to later.
    pub(crate) fn keep_request_headers(&mut self, headers: &HeaderMap) {
        copy(&self.needs.request, headers, &mut self.info.request_headers);
    }

    /// Copies what is referred to later.
    pub(crate) fn keep_response_headers(&mut self, headers: &HeaderMap) {
        copy(&self.needs.response, headers, &mut self.info.response_headers);
    }

    /// Takes note of trailers.
    pub(crate) fn keep_trailers(&mut self, trailers: &HeaderMap) {
        self.note_grpc_status(trailers);
        if self.needs.trailers {
            self.info.response_trailers = trailers.clone();
        }
    }

    /// Reads `grpc-status`, if this is gRPC.
    pub(crate) fn note_grpc_status(&mut self, headers: &HeaderMap) {
        if self.info.is_grpc
            && let Some(status) = headers.get("grpc-status")
        {
            self.info.grpc_status = status.to_str().ok().and_then(|text| text.parse().ok()).or(Some(2));
        }
    }

    /// The last byte is on its way.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let info = &mut self.info;
        info.end = Some(Instant::now());
        match &self.body {
            Some(body) => {
                info.bytes_received = body.received();
                info.request_complete = body.complete();
            }
            None => info.request_complete = Some(info.start),
        }
        if !self.complete && info.flags.is_empty() {
            info.flags.insert(Flags::DOWNSTREAM_CONNECTION_TERMINATION);
            info.details = "downstream_remote_disconnect".into();
        }
        self.worker.observer.request(info, &self.hcm);
    }
}

fn copy(names: &[HeaderName], from: &HeaderMap, to: &mut HeaderMap) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

impl Needs {
    /// What `hcm` refers to. Made once per connection.
    pub(crate) fn of(hcm: &Hcm) -> Self {
        let mut needs = Self::default();
        for log in &hcm.access_logs {
            match &log.format {
                LogFormat::Text(format) => needs.format(format),
                LogFormat::Json(json) => needs.json(json),
            }
            if let Some(filter) = &log.filter {
                needs.filter(filter);
            }
        }
        if let Some(tracing) = &hcm.tracing {
            for name in ["x-request-id", "user-agent", "x-client-trace-id"] {
                add(&mut needs.request, &HeaderName::from_static(name));
            }
            for tag in &tracing.tags {
                if let SpanTag::RequestHeader { name, .. } = tag {
                    add(&mut needs.request, name);
                }
            }
        }
        needs
    }

    fn json(&mut self, json: &JsonFormat) {
        match json {
            JsonFormat::Value(format) => self.format(format),
            JsonFormat::Object(members) => members.iter().for_each(|(_, member)| self.json(member)),
            JsonFormat::List(members) => members.iter().for_each(|member| self.json(member)),
            JsonFormat::Constant(_) => {}
        }
    }

    fn filter(&mut self, filter: &LogFilter) {
        match filter {
            LogFilter::And(filters) | LogFilter::Or(filters) => filters.iter().for_each(|filter| self.filter(filter)),
            LogFilter::Header(matcher) => {
                if let crate::snapshot::HeaderKey::Name(name) = &matcher.name {
                    add(&mut self.request, name);
                }
            }
            _ => {}
        }
    }

    fn format(&mut self, format: &crate::snapshot::Format) {
        for part in &format.parts {
            let crate::snapshot::FormatPart::Operator { operator, .. } = part else { continue };
            match operator {
                Operator::Request(first, second) => self.headers(true, first, second.as_ref()),
                Operator::Response(first, second) => self.headers(false, first, second.as_ref()),
                Operator::Trailer(..) => self.trailers = true,
                _ => {}
            }
        }
    }

    fn headers(&mut self, request: bool, first: &LogHeader, second: Option<&LogHeader>) {
        let list = if request { &mut self.request } else { &mut self.response };
        for header in std::iter::once(first).chain(second) {
            if let LogHeader::Name(name) = header {
                add(list, name);
            }
        }
    }
}

fn add(list: &mut Vec<HeaderName>, name: &HeaderName) {
    if !list.contains(name) {
        list.push(name.clone());
    }
}
