//! `cargo xtask ci`: exactly what CI runs. Stage by stage, each within its budget (`xtask/budgets.json`), and at the end what was skipped and why.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;

use crate::{process, root};

/// Processes whose death is tried; each is a run of its own.
const VICTIMS: &[&str] = &[
    "citadel",
    "galley",
    "pilot",
    "ingressgateway",
    "frontend-v1",
    "frontend-v1-proxy",
    "advertisement-v1-proxy",
    "advertisement-v2",
    "inventory-1",
    "inventory-2-proxy",
];

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Only these stages
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

struct Stage {
    name: &'static str,
    run: fn(&Path, Duration) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage { name: "fmt", run: |root, budget| cargo(root, budget, &["fmt", "--all", "--check"]) },
    Stage { name: "clippy", run: |root, budget| cargo(root, budget, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]) },
    Stage { name: "tidy", run: |_, _| crate::tidy::run() },
    Stage { name: "test", run: |root, budget| cargo(root, budget, &["test", "--workspace"]) },
    Stage {
        name: "build",
        run: |root, budget| cargo(root, budget, &["build", "--profile", "ci", "-p", "mesh-ctl", "-p", "mesh-proxy", "-p", "mesh-pilot"]),
    },
    Stage { name: "gen", run: |root, budget| xtask(root, budget, &["gen", "crds", "--check"]) },
    Stage { name: "conformance", run: conformance },
    Stage { name: "demo", run: |root, budget| meshctl(root, budget, &["demo", "--check"]) },
    Stage { name: "kill", run: kill },
    Stage { name: "demo-audit", run: |root, budget| xtask(root, budget, &["demo-audit"]) },
    Stage { name: "interop", run: |root, budget| xtask(root, budget, &["interop", "envoy"]) },
    Stage { name: "differential", run: |root, budget| xtask(root, budget, &["differential"]) },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let budgets = budgets(&root)?;
    let mut done = Vec::new();
    let begun = Instant::now();
    for stage in STAGES.iter().filter(|stage| args.only.is_empty() || args.only.iter().any(|only| only == stage.name)) {
        let budget = *budgets.get(stage.name).with_context(|| format!("xtask/budgets.json has no budget for {}", stage.name))?;
        println!("==== {} (at most {budget} s)", stage.name);
        let from = Instant::now();
        let ended = (stage.run)(&root, Duration::from_secs(budget));
        done.push((stage.name, from.elapsed(), budget));
        if let Err(error) = ended {
            summary(&done, begun);
            bail!("stage {}: {error:#}", stage.name);
        }
    }
    summary(&done, begun);
    for (what, why) in skipped(&root) {
        println!("skipped: {what}: {why}");
    }
    Ok(())
}

fn summary(done: &[(&str, Duration, u64)], begun: Instant) {
    println!("==== stages");
    for (name, took, budget) in done {
        println!("{name:<14} {:>7.1} s of {budget} s", took.as_secs_f64());
    }
    println!("{:<14} {:>7.1} s", "in all", begun.elapsed().as_secs_f64());
}

fn skipped(root: &Path) -> Vec<(&'static str, &'static str)> {
    let mut skipped = Vec::new();
    if !process::exists("cargo-deny") {
        let why = "cargo-deny is not installed; its bans on versions, providers and walls are checked by `tidy`, licences are not";
        skipped.push(("cargo deny check", why));
    }
    if conformance_data(root).is_none() {
        skipped.push((
            "conformance",
            "its data is not part of the repository: set MESH_CONFORMANCE to the folder, or put it at ../shared/conformance",
        ));
    }
    skipped.push(("fuzz", "it finds more the longer it runs: `cargo xtask fuzz --seconds N`"));
    skipped
}

/// Istio's answers, if they are on this machine.
fn conformance_data(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("MESH_CONFORMANCE").map(PathBuf::from);
    named.or_else(|| Some(root.parent()?.join("shared/conformance"))).filter(|folder| folder.is_dir())
}

fn conformance(root: &Path, budget: Duration) -> Result<()> {
    let Some(data) = conformance_data(root) else { return Ok(()) };
    let data = data.to_string_lossy();
    xtask(root, budget, &["conformance", "--data", &data])?;
    xtask(root, budget, &["conformance", "--data", &data, "--self-test"])
}

/// Stage to seconds.
fn budgets(root: &Path) -> Result<BTreeMap<String, u64>> {
    let path = root.join("xtask/budgets.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn cargo(root: &Path, budget: Duration, arguments: &[&str]) -> Result<()> {
    process::run(&mut process::cargo(root, arguments), budget).map(drop)
}

/// Through cargo: the stages before may have replaced the executable that is running.
fn xtask(root: &Path, budget: Duration, arguments: &[&str]) -> Result<()> {
    process::run(process::cargo(root, ["run", "--quiet", "--package", "xtask", "--"]).args(arguments), budget).map(drop)
}

fn meshctl(root: &Path, budget: Duration, arguments: &[&str]) -> Result<()> {
    process::run(Command::new(built(root)).current_dir(root).args(arguments), budget).map(drop)
}

fn kill(root: &Path, budget: Duration) -> Result<()> {
    let begun = Instant::now();
    for victim in VICTIMS {
        meshctl(root, budget.saturating_sub(begun.elapsed()), &["demo", "--check", "--kill", victim])?;
    }
    Ok(())
}

fn built(root: &Path) -> PathBuf {
    root.join("target/ci/meshctl")
}
