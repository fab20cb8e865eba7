//! Which kind an object is of: ours, somebody else's, or a slip of the pen.

use crate::{
    decode::{Error, Path, View},
    resource::{ApiVersion, Kind, Meta},
    suggest::nearest,
};

/// What an object turned out to be.
pub(super) enum Identity {
    /// A kind that the mesh reads.
    Ours(Kind),
    /// A list of objects.
    List,
    /// Not for the mesh; why, in a sentence.
    Foreign(String),
}

/// Istio's kinds that this mesh does not read. Skipping one silently could drop a policy, so they are refused.
const UNSUPPORTED: &[&str] =
    &["EnvoyFilter", "ProxyConfig", "RequestAuthentication", "Telemetry", "TrafficExtension", "WasmPlugin", "WorkloadGroup"];

/// Tells an object's kind from its `apiVersion` and `kind`.
pub(super) fn identify(version: ApiVersion<'_>, name: &str, root: View<'_>, path: &Path<'_>) -> Result<Identity, Error> {
    let wrong_version = |error: Error| error.at(&path.field("apiVersion"), root.get("apiVersion").and_then(View::span));
    let wrong_kind = |error: Error| error.at(&path.field("kind"), root.get("kind").and_then(View::span));
    if is_list(version.group, name) {
        return Ok(Identity::List);
    }
    if let Some(kind) = Kind::find(version.group, name) {
        if kind.versions().contains(&version.version) {
            return Ok(Identity::Ours(kind));
        }
        return Err(wrong_version(Error::unknown_name("version", version.version, kind.versions()).suggest(use_version(kind))));
    }
    let istio = version.group.ends_with("istio.io");
    if let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == name)
        && (istio || nearest(version.group, [kind.group()]).is_some() || is_bare_version(version, kind))
    {
        let message = format!("apiVersion `{}` has no kind {name}", written(version));
        return Err(wrong_version(Error::new(message).suggest(use_version(kind))));
    }
    if istio && UNSUPPORTED.contains(&name) {
        let message = format!("{name} is not supported by this mesh");
        return Err(wrong_kind(Error::new(message).suggest("remove it; what it asks for would not be done")));
    }
    let names: Vec<&str> = Kind::ALL.iter().filter(|kind| kind.group() == version.group).map(|kind| kind.as_str()).collect();
    if istio || nearest(name, names.iter().copied()).is_some() {
        return Err(wrong_kind(Error::unknown_name("kind", name, &names)));
    }
    Ok(Identity::Foreign(format!("{name} ({}) is not read by the mesh, skipped", written(version))))
}

/// Which kind an object was probably meant to be of, when it is not clear.
pub(super) enum Meant {
    /// One of ours, mistyped or with the wrong version.
    Kind(Kind),
    /// One of Istio's that this mesh does not read.
    NotOurs,
    /// Nobody knows.
    Unknown,
}

/// Reads what it can of `kind`.
pub(super) fn meant(root: View<'_>) -> Meant {
    let Some(name) = root.get("kind").and_then(View::text) else { return Meant::Unknown };
    if UNSUPPORTED.contains(&name) {
        return Meant::NotOurs;
    }
    let known = nearest(name, Kind::ALL.iter().map(|kind| kind.as_str()));
    known.and_then(|known| Kind::ALL.iter().copied().find(|kind| kind.as_str() == known)).map_or(Meant::Unknown, Meant::Kind)
}

/// Checks that a name is one that Kubernetes takes: a DNS subdomain (RFC 1123).
pub(super) fn check_name(meta: &Meta) -> Result<(), Error> {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if meta.name.len() <= 253 && meta.name.split('.').all(label) {
        return Ok(());
    }
    Err(Error::new(format!("`{}` is not a name", meta.name))
        .suggest("use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit"))
}

fn is_list(group: &str, name: &str) -> bool {
    name == "List" && group.is_empty() || name.strip_suffix("List").is_some_and(|name| Kind::find(group, name).is_some())
}

/// `apiVersion: v1` for a kind that has a group: the group was forgotten.
fn is_bare_version(version: ApiVersion<'_>, kind: Kind) -> bool {
    version.group.is_empty() && !kind.group().is_empty()
}

fn written(version: ApiVersion<'_>) -> String {
    if version.group.is_empty() { version.version.to_owned() } else { format!("{}/{}", version.group, version.version) }
}

fn use_version(kind: Kind) -> String {
    format!("use apiVersion: {}", kind.api_version())
}
