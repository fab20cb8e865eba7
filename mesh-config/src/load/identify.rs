//! Which kind an object is of: ours, somebody else's, or a slip of the pen.

use crate::{
    decode::{Error, Path, View},
    resource::{ApiVersion, Kind},
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

/// What Istio's installers read, in Istio's groups though it is.
const INSTALLERS: &[(&str, &str)] = &[("install.istio.io", "IstioOperator")];

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
    if INSTALLERS.contains(&(version.group, name)) {
        return Ok(Identity::Foreign(format!(
            "{name} ({}) is an installer's input and not the mesh's configuration, skipped",
            written(version)
        )));
    }
    let istio = version.group.ends_with("istio.io");
    if let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == name)
        && (istio || nearest(version.group, [kind.group()]).is_some() || is_bare_version(version, kind))
    {
        let message = format!("apiVersion `{}` has no kind {name}", written(version));
        return Err(wrong_version(Error::new(message).suggest(use_version(kind))));
    }
    let names: Vec<&str> = Kind::ALL.iter().filter(|kind| kind.group() == version.group).map(|kind| kind.as_str()).collect();
    if istio || nearest(name, names.iter().copied()).is_some() {
        return Err(wrong_kind(Error::unknown_name("kind", name, &names)));
    }
    Ok(Identity::Foreign(format!("{name} ({}) is not read by the mesh, skipped", written(version))))
}

/// The kind that an object was probably meant to be of, when it is not clear: one of ours, mistyped or with the wrong version.
pub(super) fn meant(root: View<'_>) -> Option<Kind> {
    let name = root.get("kind").and_then(View::text)?;
    let known = nearest(name, Kind::ALL.iter().map(|kind| kind.as_str()))?;
    Kind::ALL.iter().copied().find(|kind| kind.as_str() == known)
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
