//! `cargo xtask demo-audit`: the demo judged with curl and openssl, by its printed addresses only. Nothing here reads a counter of ours.
//!
//! Then the same with the mesh broken on purpose: each mutant must turn exactly its check red, or the audit proves nothing.

mod checks;
mod curl;

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;

use crate::{demo::Demo, process, root};

/// Certificates live so long, in seconds: three rotations fit into the audit.
const CERTIFICATE_LIFETIME: &str = "12";

/// Mutants and the check that must notice.
const MUTANTS: &[(&str, &str)] = &[
    ("permissive", "no-certificate"),
    ("no-retry", "retry"),
    ("no-outlier", "outlier"),
    ("no-rotation", "rotation"),
    ("frozen-weights", "edit"),
    ("allow-all", "authorization"),
];

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// A meshctl built with `--features mutants`; built with profile ci if left out
    #[arg(long)]
    meshctl: Option<PathBuf>,
    /// Only this mutant (`none`: only the unbroken mesh)
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for program in ["curl", "openssl"] {
        if !process::exists(program) {
            bail!("{program} is not installed: the audit judges with it");
        }
    }
    let meshctl = match &args.meshctl {
        Some(path) => std::fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => build()?,
    };
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut wrong = Vec::new();
    if wanted("none") {
        let red = audit(&meshctl, None)?;
        if !red.is_empty() {
            wrong.push(format!("the unbroken mesh fails {}", red.join(", ")));
        }
    }
    for (mutant, check) in MUTANTS.iter().filter(|(mutant, _)| wanted(mutant)) {
        let red = audit(&meshctl, Some(mutant))?;
        if red != [*check] {
            wrong.push(format!("--break {mutant} must turn exactly {check} red, it turned red: [{}]", red.join(", ")));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// The names of the checks that do not hold.
fn audit(meshctl: &std::path::Path, mutant: Option<&str>) -> Result<Vec<&'static str>> {
    println!("== demo-audit: {}", mutant.map_or("the mesh as it is".into(), |mutant| format!("--break {mutant}")));
    let folder = tempfile::tempdir()?;
    let mut arguments = vec!["--certificate-lifetime", CERTIFICATE_LIFETIME];
    if let Some(mutant) = mutant {
        arguments.extend(["--break", mutant]);
    }
    let demo = Demo::start(meshctl, folder.path(), &arguments)?;
    let mut red = Vec::new();
    for (name, found) in checks::all(&demo) {
        report(name, &found);
        if found.is_err() {
            red.push(name);
        }
    }
    let left = demo.interrupt()?;
    let found = if left.is_empty() {
        Ok("SIGINT: exit 0, no process and no file is left".into())
    } else {
        Err(anyhow::anyhow!("left behind: {}", left.join(", ")))
    };
    report("clean-up", &found);
    if found.is_err() {
        red.push("clean-up");
    }
    Ok(red)
}

fn report(name: &str, found: &Result<String>) {
    match found {
        Ok(detail) => println!("ok   {name:<16} {detail}"),
        Err(error) => println!("FAIL {name:<16} {error:#}"),
    }
}

fn build() -> Result<PathBuf> {
    let root = root()?;
    let target = root.join("target/mutants");
    let mut cargo = process::cargo(&root, ["build", "--profile", "ci", "-p", "mesh-ctl", "--features", "mutants"]);
    process::run(cargo.env("CARGO_TARGET_DIR", root.join("target")), Duration::from_secs(1800))?;
    // Kept apart: the next build without the feature must not replace it under our feet.
    std::fs::create_dir_all(&target)?;
    let meshctl = target.join("meshctl");
    process::output(Command::new("cp").arg(root.join("target/ci/meshctl")).arg(&meshctl))?;
    Ok(meshctl)
}
