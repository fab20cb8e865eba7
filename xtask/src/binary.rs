//! The workspace's own binaries: built by cargo, found where it puts them.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::process;

/// Builds `binary` of `package` with a cargo profile and gives its path.
pub(crate) fn build(root: &Path, profile: &str, package: &str, binary: &str) -> Result<PathBuf> {
    let status = process::cargo(root, ["build", "--quiet", "--profile", profile, "--package", package, "--bin", binary]).status()?;
    if !status.success() {
        bail!("cannot build {binary}");
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    Ok(target.join(if profile == "dev" { "debug" } else { profile }).join(binary))
}
