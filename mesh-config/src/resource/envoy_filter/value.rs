//! Whether a patch's value is a part of the Envoy object that it is for, in protobuf JSON.
//!
//! As Istio judges: what cannot be read is an error; a field that the message does not have is a warning, as the proxy
//! may be newer than we are; the content of an extension that we do not know is not judged.

use mesh_proto::{
    envoy::{
        config::{
            bootstrap::v3::Bootstrap,
            cluster::v3::Cluster,
            core::v3::TypedExtensionConfig,
            listener::v3::{Filter, FilterChain, Listener, ListenerFilter},
            route::v3::{Route, RouteConfiguration, VirtualHost},
        },
        extensions::filters::network::http_connection_manager::v3::HttpFilter,
    },
    json::{self, Error, Reason, Segment},
};
use serde_json::{Map, Value};

use super::ApplyTo;
use crate::{
    resource::Duration,
    validate::{
        Checks,
        rules::{key, shown},
    },
};

/// Mistakes reported of one value.
const MAX_FINDINGS: usize = 16;

/// Values read anew after a mistake was taken out, at most.
const MAX_READINGS: usize = 64;

/// Fields that hold one extension, which must be named by a type as well.
const EXTENSIONS: &[&str] = &["transport_socket", "transportSocket", "cluster_type", "clusterType"];

/// Checks the value at the current field.
pub(super) fn check(apply_to: ApplyTo, value: &Map<String, Value>, checks: &mut Checks) {
    let mut rest = Value::Object(value.clone());
    let mut findings = 0;
    for _ in 0..MAX_READINGS {
        let Err(error) = read(apply_to, rest.clone()) else { break };
        let mut judged = Verdict::Unjudged;
        checks.field(&place(&error.path.0), |checks| judged = judge(&error, &mut rest, checks));
        findings += usize::from(judged != Verdict::Unjudged);
        if judged == Verdict::Refused || findings == MAX_FINDINGS {
            return;
        }
    }
    untyped_extensions(apply_to, value, checks);
}

/// Reads the value as the message that `apply_to` stands for.
fn read(apply_to: ApplyTo, value: Value) -> Result<(), Error> {
    match apply_to {
        ApplyTo::Invalid => Ok(()),
        ApplyTo::Listener => json::decode::<Listener>(value).map(drop),
        ApplyTo::FilterChain => json::decode::<FilterChain>(value).map(drop),
        ApplyTo::NetworkFilter => json::decode::<Filter>(value).map(drop),
        ApplyTo::HttpFilter => json::decode::<HttpFilter>(value).map(drop),
        ApplyTo::RouteConfiguration => json::decode::<RouteConfiguration>(value).map(drop),
        ApplyTo::VirtualHost => json::decode::<VirtualHost>(value).map(drop),
        ApplyTo::HttpRoute => json::decode::<Route>(value).map(drop),
        ApplyTo::Cluster => json::decode::<Cluster>(value).map(drop),
        ApplyTo::ExtensionConfig => json::decode::<TypedExtensionConfig>(value).map(drop),
        ApplyTo::Bootstrap => json::decode::<Bootstrap>(value).map(drop),
        ApplyTo::ListenerFilter => json::decode::<ListenerFilter>(value).map(drop),
    }
}

/// What came of a mistake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It was none that concerns us; it was taken out of the value.
    Unjudged,
    /// It was reported and taken out of the value: there may be others.
    Reported,
    /// The value cannot be read.
    Refused,
}

fn judge(error: &Error, value: &mut Value, checks: &mut Checks) -> Verdict {
    let path = error.path.0.as_slice();
    match &error.reason {
        Reason::UnknownField { message, suggestion } => {
            let remedy = match suggestion {
                Some(name) => format!("did you mean `{name}`?"),
                None => "remove it, unless the proxies are newer than this mesh".to_owned(),
            };
            checks.warning(None, format!("{message} has no such field"), remedy);
            if remove(value, path) { Verdict::Reported } else { Verdict::Refused }
        }
        Reason::UnknownType { type_url } => {
            let judged = unknown_type(type_url, checks);
            let extension = path.split_last().map_or(path, |(_, outer)| outer);
            match at(value, extension) {
                // An `Any` that is empty can always be read.
                Some(any) => *any = Value::Object(Map::new()),
                None => return Verdict::Refused,
            }
            judged
        }
        Reason::Malformed(_) if go_duration(value, path) => Verdict::Unjudged,
        reason => {
            checks.error(None, reason.to_string(), "write it as Envoy's API documents it");
            Verdict::Refused
        }
    }
}

fn unknown_type(type_url: &str, checks: &mut Checks) -> Verdict {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    let is_envoys = ["envoy.", "contrib.envoy.", "xds.", "udpa.", "istio."].iter().any(|root| name.starts_with(root));
    let old = name.split('.').any(|part| part.starts_with("v2"));
    if is_envoys && !old {
        return Verdict::Unjudged;
    }
    let remedy =
        if old { "use the type of Envoy's v3 API" } else { "name a type of Envoy, such as envoy.extensions.filters.http.lua.v3.Lua" };
    checks.error(shown(type_url), "referenced type unknown", remedy);
    Verdict::Reported
}

/// Istio also takes durations in Go's notation (`500ms`): puts protobuf's in its place.
fn go_duration(value: &mut Value, path: &[Segment]) -> bool {
    let Some(Value::String(text)) = at(value, path) else { return false };
    match text.parse::<Duration>() {
        // What has protobuf's form was refused for another reason.
        Ok(duration) if duration.to_string() != *text => {
            *text = duration.to_string();
            true
        }
        _ => false,
    }
}

/// Extensions by name alone, which Envoy no longer looks up.
fn untyped_extensions(apply_to: ApplyTo, value: &Map<String, Value>, checks: &mut Checks) {
    let is_extension =
        matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter | ApplyTo::ExtensionConfig);
    if is_extension {
        typed(value, checks);
    }
    for (name, inner) in value {
        if let (true, Value::Object(inner)) = (EXTENSIONS.contains(&name.as_str()), inner) {
            checks.field(name, |checks| typed(inner, checks));
        }
    }
}

fn typed(extension: &Map<String, Value>, checks: &mut Checks) {
    let given = ["typed_config", "typedConfig", "config_discovery", "configDiscovery"];
    if !given.iter().any(|name| extension.get(*name).is_some_and(|value| !value.is_null())) {
        let name = extension.get("name").and_then(Value::as_str).map(str::to_owned);
        checks.warning(name, "an extension by name without typed_config is deprecated", "add typed_config with its `@type`");
    }
}

/// The path below the value, as findings write it.
fn place(path: &[Segment]) -> String {
    let steps = path.iter().map(|segment| match segment {
        Segment::Key(name) => key(name),
        Segment::Index(index) => format!("[{index}]"),
    });
    let path: String = steps.collect();
    path.strip_prefix('.').map_or_else(|| path.clone(), str::to_owned)
}

fn at<'v>(value: &'v mut Value, path: &[Segment]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(name) => value.get_mut(name),
        Segment::Index(index) => value.get_mut(index),
    })
}

fn remove(value: &mut Value, path: &[Segment]) -> bool {
    let Some((Segment::Key(name), outer)) = path.split_last() else { return false };
    at(value, outer).and_then(Value::as_object_mut).is_some_and(|fields| fields.remove(name).is_some())
}
