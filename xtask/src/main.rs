//! `cargo xtask`: the one door to the project's chores. Links no workspace crate; it spawns cargo and the built binaries, and judges them from outside.
#![allow(clippy::print_stdout, reason = "a chore speaks to whoever runs it")]

mod audit;
mod bench;
mod binary;
mod ci;
mod conformance;
mod demo;
mod differential;
mod fuzz;
mod r#gen;
mod interop;
mod peers;
mod process;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI runs, stage by stage, each within its time budget
    Ci(ci::Args),
    /// The rules of the house that no compiler checks: file sizes, headers, walls between crates, dependency budget
    Tidy,
    /// Judge the demo from outside, with curl and openssl, and see that each mutant turns exactly its check red
    DemoAudit(audit::Args),
    /// The same bootstrap and requests in Envoy and in mesh-proxy: what differs
    Differential(differential::Args),
    /// Measure
    Bench(bench::Args),
    /// Cases with Istio's answers, from a folder: how many of ours agree, and every one that does not
    Conformance(conformance::Args),
    /// The fuzz targets, each for a while
    Fuzz(fuzz::Args),
    /// Files of the repository that are made from its types
    Gen(r#gen::Args),
    /// A foreign proxy as a sidecar of our mesh, judged by its own statistics
    Interop(interop::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Tidy => tidy::run(),
        Task::DemoAudit(args) => audit::run(&args),
        Task::Differential(args) => differential::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Gen(args) => r#gen::run(&args),
        Task::Interop(args) => interop::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> Result<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(PathBuf::from).ok_or_else(|| anyhow::anyhow!("xtask is not in a workspace"))
}
