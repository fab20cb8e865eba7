//! The rules of the house that no compiler checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{process, root};

/// No file is longer than this.
const MAX_LINES: usize = 800;
/// Half of all files are at most this long.
const MEDIAN_LINES: usize = 220;
/// Packages that `cargo tree -e normal` may show.
const MAX_PROXY: usize = 215;
const MAX_WORKSPACE: usize = 420;
/// One version of each, one TLS provider.
const ONCE: &[&str] = &["rustls", "hyper", "h2", "http", "tokio", "tonic", "prost", "kube", "k8s-openapi", "cel"];
const NEVER: &[&str] = &["openssl", "openssl-sys", "native-tls", "reqwest"];
/// Who may depend directly on what: `deny.toml` says the same to cargo-deny.
const WALLS: &[(&str, &[&str])] = &[
    ("kube", &["mesh-galley", "mesh-ctl"]),
    ("mesh-config", &["mesh-galley", "mesh-pilot", "mesh-ctl"]),
    ("notify", &["mesh-galley", "mesh-ctl"]),
    ("ratatui", &["mesh-ctl"]),
    ("mesh-galley", &["mesh-ctl"]),
    ("mesh-pilot", &["mesh-ctl"]),
    ("mesh-citadel", &["mesh-ctl"]),
    ("mesh-proxy", &["mesh-ctl"]),
    ("mesh-ctl", &[]),
];

/// Checks everything and tells all that is wrong at once.
pub(crate) fn run() -> Result<()> {
    let root = root()?;
    let mut wrong = Vec::new();
    files(&root, &mut wrong)?;
    dependencies(&root, &mut wrong)?;
    if wrong.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    bail!("{} things to mend:\n  {}", wrong.len(), wrong.join("\n  "))
}

fn files(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let mut sources = Vec::new();
    walk(root, &mut sources)?;
    let mut lengths = Vec::new();
    for path in &sources {
        let text = fs::read_to_string(path)?;
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > MAX_LINES {
            wrong.push(format!("{name}: {lines} lines, at most {MAX_LINES}"));
        }
        if !text.trim_start().starts_with("//!") {
            wrong.push(format!("{name}: does not open with `//!` and why it exists"));
        }
        for (n, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") || name.starts_with("xtask/src/tidy") {
                continue;
            }
            if code.contains("#[ignore]") {
                wrong.push(format!("{name}:{}: an ignored test without a reason", n + 1));
            }
        }
    }
    lengths.sort_unstable();
    if let Some(median) = lengths.get(lengths.len() / 2)
        && *median > MEDIAN_LINES
    {
        wrong.push(format!("the median file has {median} lines, at most {MEDIAN_LINES}"));
    }
    Ok(())
}

fn walk(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            walk(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

fn dependencies(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let tree = |arguments: &[&str]| -> Result<BTreeSet<String>> {
        let text = process::output(process::cargo(root, ["tree", "-e", "normal", "--prefix", "none", "--format", "{p}"]).args(arguments))?;
        Ok(text
            .lines()
            .filter_map(|line| Some(line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).filter(|p| !p.is_empty()))
            .collect())
    };
    let all = tree(&["--workspace"])?;
    let proxy = tree(&["-p", "mesh-proxy"])?;
    for (what, packages, most) in [("mesh-proxy", &proxy, MAX_PROXY), ("the workspace", &all, MAX_WORKSPACE)] {
        println!("tidy: {what} builds from {} packages (at most {most})", packages.len());
        if packages.len() > most {
            wrong.push(format!("{what} builds from {} packages, at most {most}", packages.len()));
        }
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &all {
        let (name, version) = package.split_once(' ').unwrap_or((package, ""));
        versions.entry(name).or_default().insert(version);
    }
    for name in ONCE {
        if let Some(found) = versions.get(name).filter(|found| found.len() > 1) {
            wrong.push(format!("{name} is there in several versions: {found:?}"));
        }
    }
    for name in NEVER.iter().chain(&["ring"]) {
        if versions.contains_key(name) {
            wrong.push(format!("{name} must not be a dependency: aws-lc-rs is the one provider"));
        }
    }
    walls(root, wrong)
}

fn walls(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = process::output(&mut process::cargo(root, ["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let normal = package["dependencies"].as_array().into_iter().flatten().filter(|dependency| dependency["kind"].is_null());
        for dependency in normal.filter_map(|dependency| dependency["name"].as_str()) {
            if let Some((_, may)) = WALLS.iter().find(|(wall, _)| *wall == dependency)
                && !may.contains(&name)
            {
                wrong.push(format!("{name} must not depend on {dependency}; only {} may", may.join(", ")));
            }
        }
    }
    Ok(())
}
