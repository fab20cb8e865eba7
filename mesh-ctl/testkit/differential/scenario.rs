//! What a scenario file says. A file holds YAML documents, each one scenario: backends, the configuration, the requests, and what must have happened for the
//! comparison to mean anything. `bootstrap.rs` says which shorthand the configuration may use.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// One scenario: one configuration, and a list of requests made in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// What it shows, in a sentence.
    pub(super) about: String,
    #[serde(default)]
    pub(super) backends: BTreeMap<String, Backend>,
    /// Shorthand for one plaintext listener `main` with an HTTP connection manager.
    pub(super) http: Option<Value>,
    /// Envoy listeners by name; the address is filled in.
    #[serde(default)]
    pub(super) listeners: BTreeMap<String, Value>,
    /// Envoy clusters by name; every backend that no cluster here is named after gets one of its own.
    #[serde(default)]
    pub(super) clusters: BTreeMap<String, Value>,
    /// Further top-level fields of the bootstrap.
    #[serde(default)]
    pub(super) bootstrap: Value,
    #[serde(default)]
    pub(super) compare: Compare,
    pub(super) requests: Vec<Request>,
}

/// A server of ours.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Backend {
    pub(super) protocol: Protocol,
    /// Answers in order; the last one repeats. None: 200 with a line of JSON that names the backend.
    pub(super) script: Vec<Reply>,
    /// Scripts of their own for paths that begin so.
    pub(super) paths: BTreeMap<String, Vec<Reply>>,
    /// TCP: what it says first.
    pub(super) greeting: String,
    pub(super) tls: Option<BackendTls>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    #[default]
    Http1,
    Http2,
    /// Echoes bytes until the peer ends, then ends.
    Tcp,
    /// A port on which nobody listens.
    Closed,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendTls {
    /// One of `certificates.rs`.
    pub(super) certificate: String,
    #[serde(default)]
    pub(super) require_client: bool,
}

/// One scripted answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reply {
    pub(super) status: Option<u16>,
    /// `name: value` lines.
    pub(super) headers: Vec<String>,
    pub(super) body: Option<String>,
    /// A body of this many `x`.
    pub(super) body_size: Option<usize>,
    pub(super) chunked: bool,
    pub(super) trailers: Vec<String>,
    pub(super) delay_ms: u64,
    /// Interim answers first.
    pub(super) informational: Vec<u16>,
    /// Answer as HTTP/1.0, body until close.
    pub(super) until_close: bool,
    /// Close the connection after the answer.
    pub(super) close: bool,
    /// Drop the connection instead of (the rest of) the answer.
    pub(super) reset: Option<Reset>,
    /// After a 101: echo bytes.
    pub(super) tunnel: bool,
    /// HTTP/1: exactly these bytes, then close.
    pub(super) raw: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reset {
    BeforeHeaders,
    MidBody,
}

/// What is compared beyond status, headers, body and what the backends saw.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Compare {
    pub(super) upstream: Upstream,
    /// Backends may be reached in any order (mirrors).
    pub(super) unordered: bool,
    /// Fields (as the report names them) that are not compared here; for what is random by nature.
    pub(super) ignore: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Upstream {
    /// Request by request.
    #[default]
    Exact,
    /// The same cycle, wherever it began.
    Rotation,
    /// The same shares, within `tolerance` of what the scenario expects.
    Distribution,
}

/// One request, or several alike.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Request {
    /// For the report; else method and path.
    pub(super) name: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    /// `Host` or `:authority`; `test.example` if absent, none if empty.
    pub(super) host: Option<String>,
    /// `name: value` lines.
    pub(super) headers: Vec<String>,
    pub(super) body: Option<String>,
    pub(super) body_size: Option<usize>,
    pub(super) chunked: bool,
    pub(super) trailers: Vec<String>,
    pub(super) version: Version,
    /// These bytes and nothing else, over HTTP/1.
    pub(super) raw: Option<String>,
    pub(super) listener: Option<String>,
    /// The client's own address; 127.0.0.1 is special to proxies, 127.0.0.2 is not.
    pub(super) from: Option<std::net::IpAddr>,
    pub(super) tls: Option<ClientTls>,
    pub(super) tcp: Option<Tcp>,
    /// After a 101 or a CONNECT's 200: send this and read as many bytes back.
    pub(super) tunnel: Option<String>,
    pub(super) repeat: Option<usize>,
    pub(super) pause_ms: u64,
    /// Send on the connection of the request before.
    pub(super) reuse: bool,
    /// Compare whether the connection is closed after the answer.
    pub(super) observe_close: bool,
    /// Send the request this many times at once (answers are sorted).
    pub(super) at_once: Option<usize>,
    pub(super) expect: Expect,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "1.0")]
    Http10,
    #[default]
    #[serde(rename = "1.1")]
    Http11,
    #[serde(rename = "2")]
    Http2,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientTls {
    pub(super) sni: Option<String>,
    pub(super) alpn: Vec<String>,
    pub(super) certificate: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tcp {
    pub(super) send: String,
    pub(super) half_close: bool,
    /// Stop reading after this many bytes; else at the end of the stream.
    pub(super) read: Option<usize>,
}

/// What must have happened, in Envoy and in mesh-proxy alike.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    /// The backend that was reached last.
    pub(super) upstream: Option<String>,
    /// How many requests reached backends; waited for.
    pub(super) backend_requests: Option<usize>,
    pub(super) body: Option<String>,
    pub(super) body_contains: Option<String>,
    /// Response headers; null: absent.
    pub(super) headers: BTreeMap<String, Option<String>>,
    /// Headers of the last request that reached a backend; null: absent.
    pub(super) seen_headers: BTreeMap<String, Option<String>>,
    pub(super) seen_path: Option<String>,
    /// No answer: the connection was refused or ended.
    pub(super) closed: bool,
    pub(super) at_least_ms: Option<u64>,
    pub(super) at_most_ms: Option<u64>,
    /// `distribution`: backend to share, in percent.
    pub(super) shares: BTreeMap<String, f64>,
    /// `distribution`: points of deviation allowed.
    pub(super) tolerance: Option<f64>,
}

impl Request {
    /// How the report calls it.
    pub(super) fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        if self.raw.is_some() {
            return "raw".to_owned();
        }
        if self.tcp.is_some() {
            return "tcp".to_owned();
        }
        format!("{} {}", self.method.as_deref().unwrap_or("GET"), self.path.as_deref().unwrap_or("/"))
    }
}

/// All scenarios of a folder, by file and place.
pub(super) fn load(folder: &Path) -> Result<Vec<Scenario>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut scenarios: Vec<Scenario> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for document in mesh_proto::yaml::parse(&text).with_context(|| file.display().to_string())? {
            let json = document.root.to_json();
            let name = json["name"].as_str().unwrap_or("without a name").to_owned();
            let scenario: Scenario = serde_json::from_value(json).with_context(|| format!("{}: scenario {name}", file.display()))?;
            if scenarios.iter().any(|other| other.name == scenario.name) {
                bail!("{}: scenario {name} is there twice", file.display());
            }
            scenarios.push(scenario);
        }
    }
    Ok(scenarios)
}
