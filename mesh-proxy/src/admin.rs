//! Envoy's admin endpoints, under its paths and in its shapes (Envoy docs: "Administration interface").
//!
//! What changes something is a POST. Secrets are redacted. Descriptors for dumps are loaded when the first one is asked for.

mod certs;
mod clusters;
mod dump;
mod listeners;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use mesh_runtime::{
    admin::{Pages, Reply, Request},
    ready::Readiness,
    telemetry::Logging,
};
use serde_json::json;

use crate::{
    app::{Lifecycle, Node},
    metrics::{self, Facts, Filter},
    server::DataPlane,
    snapshot::Address,
    telemetry::Telemetry,
    xds::Session,
};

/// What the endpoints look at.
pub(crate) struct Admin {
    pub(crate) node: Node,
    /// The bootstrap's text, if there is one.
    pub(crate) static_text: Option<String>,
    pub(crate) session: Arc<Session>,
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) readiness: Readiness,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) concurrency: usize,
    pub(crate) drain_time: Duration,
}

/// All pages.
pub(crate) fn pages(admin: Admin, logging: Option<Logging>) -> Pages {
    let admin = Arc::new(admin);
    let started = Instant::now();
    let get = |page: fn(&Admin, &Request) -> Reply| {
        let admin = admin.clone();
        move |request: Request| std::future::ready(page(&admin, &request))
    };
    let (quit, drain) = (admin.lifecycle.clone(), admin.lifecycle.clone());
    let info = admin.clone();
    let pages = Pages::new()
        .get("/ready", get(ready))
        .get("/healthz/ready", get(ready))
        .get("/stats", get(stats))
        .get("/stats/prometheus", get(prometheus))
        .get("/config_dump", get(dump::page))
        .get("/clusters", get(clusters::page))
        .get("/listeners", get(listeners::page))
        .get("/certs", get(certs::page))
        .get("/memory", get(memory))
        .get("/server_info", move |_| std::future::ready(server_info(&info, started)))
        .get("/help", |_| std::future::ready(Reply::text(HELP)))
        .post("/quitquitquit", move |_| {
            quit.quit.notify_one();
            std::future::ready(Reply::text("OK\n"))
        })
        .post("/drain_listeners", move |_| {
            drain.drain_listeners.notify_one();
            std::future::ready(Reply::text("OK\n"))
        });
    match logging {
        Some(logging) => pages.logging(logging),
        None => pages,
    }
}

const HELP: &str = "admin commands are:
  /certs: certificates in use (GET)
  /clusters: clusters and endpoints; ?format=json (GET)
  /config_dump: configuration in force, secrets redacted; ?resource=, ?name_regex=, ?include_eds (GET)
  /drain_listeners: stop accepting and end connections gracefully (POST)
  /help: this list (GET)
  /listeners: addresses listened on; ?format=json (GET)
  /logging: the log filter; ?level= sets it (POST)
  /memory: memory in use (GET)
  /quitquitquit: drain and end (POST)
  /ready: LIVE, or 503 (GET)
  /server_info: version, state, node (GET)
  /stats: counters; ?format=json|prometheus, ?filter=regex, ?usedonly (GET)
  /stats/prometheus: counters in Prometheus' format (GET)
";

impl Admin {
    /// As Envoy names and numbers it.
    fn state(&self) -> (&'static str, u64) {
        match (self.lifecycle.is_draining(), self.readiness.is_ready()) {
            (true, _) => ("DRAINING", 1),
            (false, true) => ("LIVE", 0),
            (false, false) => ("PRE_INITIALIZING", 2),
        }
    }

    fn with_stats<R>(&self, render: impl FnOnce(&[metrics::Stat]) -> R) -> R {
        let snapshot = self.plane.snapshot();
        let facts = Facts {
            snapshot: &snapshot,
            concurrency: self.concurrency,
            state: self.state().1,
            days_until_first_cert_expires: certs::first_expiry_days(&snapshot),
            log_lines: self.telemetry.logs.written(),
            session: self.session.stats(),
        };
        render(&self.telemetry.metrics.stats(&facts))
    }
}

fn ready(admin: &Admin, _request: &Request) -> Reply {
    let (state, number) = admin.state();
    let reply = Reply::text(format!("{state}\n"));
    if number == 0 { reply } else { reply.status(StatusCode::SERVICE_UNAVAILABLE) }
}

fn stats(admin: &Admin, request: &Request) -> Reply {
    let filter = match Filter::new(request.query.get("filter").map(String::as_str)) {
        Ok(filter) => filter.used_only(request.query.contains_key("usedonly")),
        Err(error) => return Reply::text(format!("{error}\n")).status(StatusCode::BAD_REQUEST),
    };
    match request.query.get("format").map(String::as_str) {
        None | Some("text") => Reply::text(admin.with_stats(|stats| metrics::text(stats, &filter))),
        Some("json") => Reply::json(&admin.with_stats(|stats| metrics::json(stats, &filter))),
        Some("prometheus") => prometheus(admin, request),
        Some(other) => Reply::text(format!("format {other:?}: expected text, json or prometheus\n")).status(StatusCode::BAD_REQUEST),
    }
}

fn prometheus(admin: &Admin, request: &Request) -> Reply {
    let filter = match Filter::new(request.query.get("filter").map(String::as_str)) {
        Ok(filter) => filter.used_only(request.query.contains_key("usedonly")),
        Err(error) => return Reply::text(format!("{error}\n")).status(StatusCode::BAD_REQUEST),
    };
    let mut text = admin.with_stats(|stats| metrics::prometheus(stats, &filter));
    text.push_str(&admin.telemetry.metrics.istio(&filter));
    Reply::text(text).content_type("text/plain; version=0.0.4; charset=utf-8")
}

fn memory(_admin: &Admin, _request: &Request) -> Reply {
    let resident = metrics::resident_bytes().to_string();
    Reply::json(&json!({
        "allocated": resident,
        "heap_size": resident,
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": resident,
    }))
}

fn server_info(admin: &Admin, started: Instant) -> Reply {
    let uptime = format!("{}s", started.elapsed().as_secs());
    let node = &admin.node;
    let locality = node.locality.as_ref().map(|(region, zone, sub_zone)| json!({"region": region, "zone": zone, "sub_zone": sub_zone}));
    Reply::json(&json!({
        "version": concat!("mesh-proxy/", env!("CARGO_PKG_VERSION")),
        "state": admin.state().0,
        "hot_restart_version": "disabled",
        "command_line_options": {
            "concurrency": admin.concurrency,
            "drain_time": format!("{}s", admin.drain_time.as_secs()),
            "service_node": node.id,
            "service_cluster": node.cluster,
        },
        "node": {
            "id": node.id,
            "cluster": node.cluster,
            "metadata": node.metadata,
            "locality": locality,
            "user_agent_name": "mesh-proxy",
        },
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
    }))
}

/// `envoy.config.core.v3.Address` as JSON.
fn address_json(address: &Address) -> serde_json::Value {
    match address {
        Address::Socket(address) => {
            json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
        }
        Address::Pipe(path) => json!({"pipe": {"path": path}}),
    }
}

fn wants_json(request: &Request) -> bool {
    request.query.get("format").is_some_and(|format| format == "json")
}
