//! What proxies and Pilot say of themselves, over their admin interfaces: the view's facts that callers cannot see.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use mesh_runtime::task::Tasks;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{load::Caller, mesh::Mesh};

const EVERY: Duration = Duration::from_secs(1);

/// What was learned.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Caller and callee, with the requests between them, by what the callee's proxy says.
    pub hops: BTreeMap<(String, String), Hop>,
    /// Retries of all proxies so far.
    pub retries: u64,
    /// Ejections of all proxies so far.
    pub ejections: u64,
    /// Age and remaining life of each proxy's certificate.
    pub certificates: BTreeMap<String, Certificate>,
    /// The last push that reached every proxy.
    pub push: Option<Push>,
    /// What Galley refuses in the YAML as it is now.
    pub refused: Vec<String>,
}

/// Requests of one caller to one callee.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hop {
    /// Over mutual TLS.
    pub mutual_tls: u64,
    /// Otherwise.
    pub plain: u64,
}

/// A proxy's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// Since it was made.
    pub age: Duration,
    /// Until it ends.
    pub remaining: Duration,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Which configuration.
    pub revision: String,
    /// From the change's arrival at Pilot to the last proxy's acknowledgement.
    pub took: Option<Duration>,
    /// Proxies that have it.
    pub proxies: usize,
    /// Since then.
    pub ago: Duration,
}

/// Looks once a second, on a task of its own.
pub struct Scraper {
    facts: Arc<Mutex<Facts>>,
    _tasks: Tasks,
}

impl Scraper {
    /// Looks at all of the mesh's proxies and its Pilot.
    pub fn start(mesh: &Mesh) -> Self {
        let facts = Arc::<Mutex<Facts>>::default();
        let tasks = Tasks::new("view");
        let proxies: Vec<(String, SocketAddr)> = mesh.places().iter().map(|place| (place.name.clone(), place.admin())).collect();
        let sources = Sources { proxies, pilot: mesh.pilot_monitoring(), galley: mesh.galley_monitoring() };
        tasks.spawn("look", keep_looking(sources, facts.clone()));
        Self { facts, _tasks: tasks }
    }

    /// What was learned last.
    pub fn facts(&self) -> Facts {
        self.facts.lock().map(|facts| facts.clone()).unwrap_or_default()
    }
}

struct Sources {
    proxies: Vec<(String, SocketAddr)>,
    pilot: SocketAddr,
    galley: SocketAddr,
}

async fn keep_looking(sources: Sources, shared: Arc<Mutex<Facts>>) {
    loop {
        let seen = look(&sources).await;
        if let Ok(mut facts) = shared.lock() {
            *facts = seen;
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(sources: &Sources) -> Facts {
    let mut facts = Facts::default();
    for (name, admin) in &sources.proxies {
        if let Some(text) = get(*admin, "/stats/prometheus").await {
            read_metrics(&text, &mut facts);
        }
        if let Some(certificate) = get(*admin, "/certs").await.and_then(|text| read_certificate(&text)) {
            facts.certificates.insert(name.clone(), certificate);
        }
    }
    facts.push = get(sources.pilot, "/debug/syncz").await.and_then(|text| read_push(&text));
    facts.refused = get(sources.galley, "/debug/status").await.map(|text| read_refused(&text)).unwrap_or_default();
    facts
}

async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut caller = Caller::new(address, "admin").ok()?;
    let answer = tokio::time::timeout(Duration::from_millis(500), caller.get(path, &[])).await.ok()?.ok()?;
    answer.status.is_success().then_some(answer.text)
}

/// Prometheus text: the few series that the view shows.
fn read_metrics(text: &str, facts: &mut Facts) {
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is a whole number that is not negative")]
        let value = value.parse::<f64>().unwrap_or(0.0) as u64;
        match name {
            "istio_requests_total" if label(labels, "reporter") == Some("destination") => {
                let side = |name| label(labels, name).unwrap_or("unknown").to_owned();
                let hop = facts.hops.entry((side("source_workload"), side("destination_workload"))).or_default();
                match label(labels, "connection_security_policy") {
                    Some("mutual_tls") => hop.mutual_tls += value,
                    _ => hop.plain += value,
                }
            }
            "envoy_cluster_upstream_rq_retry" => facts.retries += value,
            "envoy_cluster_outlier_detection_ejections_enforced_total" => facts.ejections += value,
            _ => {}
        }
    }
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Envoy's `/certs`: the first certificate chain's leaf.
fn read_certificate(text: &str) -> Option<Certificate> {
    let certs: Value = serde_json::from_str(text).ok()?;
    let chain = certs["certificates"].as_array()?.iter().find_map(|entry| entry["cert_chain"].get(0))?;
    let time = |field: &str| chain[field].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).map(SystemTime::from);
    let now = SystemTime::now();
    Some(Certificate {
        age: now.duration_since(time("valid_from")?).unwrap_or_default(),
        remaining: time("expiration_time")?.duration_since(now).unwrap_or_default(),
    })
}

/// Pilot's `/debug/syncz`.
fn read_push(text: &str) -> Option<Push> {
    let sync: Value = serde_json::from_str(text).ok()?;
    let last = &sync["last_push"];
    let millis = |field: &str| last[field].as_u64().map(Duration::from_millis);
    Some(Push {
        revision: last["revision"].as_str()?.to_owned(),
        took: millis("converged_ms"),
        proxies: usize::try_from(last["proxies"].as_u64()?).ok()?,
        ago: millis("ago_ms").unwrap_or_default(),
    })
}

/// Galley's `/debug/status`.
fn read_refused(text: &str) -> Vec<String> {
    let status: Value = serde_json::from_str(text).unwrap_or_default();
    let errors = status["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn series_are_read() {
        let mut facts = Facts::default();
        let text = concat!(
            "# TYPE istio_requests_total counter\n",
            "istio_requests_total{reporter=\"destination\",source_workload=\"a\",destination_workload=\"b\",connection_security_policy=\"mutual_tls\"} 7\n",
            "istio_requests_total{reporter=\"source\",source_workload=\"a\",destination_workload=\"b\",connection_security_policy=\"unknown\"} 7\n",
            "envoy_cluster_upstream_rq_retry{envoy_cluster_name=\"x\"} 2\n",
        );
        read_metrics(text, &mut facts);
        assert_eq!(facts.hops[&("a".into(), "b".into())], Hop { mutual_tls: 7, plain: 0 });
        assert_eq!(facts.retries, 2);
    }

    #[test]
    fn a_certificate_is_read() {
        let text = r#"{"certificates":[{"ca_cert":[],"cert_chain":[{"valid_from":"2026-01-01T00:00:00Z","expiration_time":"2126-01-01T00:00:00Z"}]}]}"#;
        assert!(read_certificate(text).unwrap().remaining > Duration::from_secs(3600));
        assert_eq!(read_certificate("{}"), None);
    }
}
