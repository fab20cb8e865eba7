//! Finds envoy-types' package: its descriptor set is a file beside its sources, not an export.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of the envoy-types package that this build links.
///
/// Cargo knows it whatever the source (registry, vendored, patched). Offline first, since a build must not touch the network when it need
/// not; but then cargo refuses if some *other* package of the workspace was never downloaded, so the registry's own folder is looked at
/// before the network is allowed.
pub(crate) fn envoy_types() -> Result<PathBuf, Box<dyn Error>> {
    let found = match by_metadata(&["--offline"]) {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    match in_registry() {
        Some(path) => Ok(path),
        None => by_metadata(&[]).map_err(|error| format!("cannot find envoy-types: offline: {found}; online: {error}").into()),
    }
}

fn by_metadata(extra: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(std::env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--filter-platform", &std::env::var("TARGET")?])
        .args(extra)
        .arg("--manifest-path")
        .arg(Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let manifest = packages.iter().find(|package| package["name"] == "envoy-types").and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent()).ok_or("envoy-types is not among the packages")?;
    Ok(folder.to_owned())
}

/// `$CARGO_HOME/registry/src/*/envoy-types-VERSION`, the version taken from the lock file.
fn in_registry() -> Option<PathBuf> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").ok()?);
    let lock = manifest.ancestors().find_map(|folder| std::fs::read_to_string(folder.join("Cargo.lock")).ok())?;
    let version = lock.split("[[package]]").find_map(|package| {
        let entry = package.trim_start().strip_prefix("name = \"envoy-types\"")?;
        entry.split("version = \"").nth(1)?.split('"').next()
    })?;
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?;
    registries.flatten().map(|registry| registry.path().join(format!("envoy-types-{version}"))).find(|path| path.is_dir())
}
