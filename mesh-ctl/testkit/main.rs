//! `mesh-testkit`: what `cargo xtask` spawns to judge the built binaries from outside. It links no component, only the wire and the runtime, so that a
//! mistake in mesh-proxy cannot hide in the judge.
#![allow(clippy::print_stdout)]

mod bench;
mod conformance;
mod differential;
mod r#gen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "mesh-testkit", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure
    Bench(bench::Args),
    /// Run every scenario in Envoy and in mesh-proxy and compare what came of it
    Differential(differential::Args),
    /// Cases and their expected answers, from a folder, against mesh-config
    Conformance(conformance::Args),
    /// Make the files that are made from the types
    Gen(r#gen::Args),
}

fn main() -> ExitCode {
    mesh_runtime::tls::install_provider();
    let done = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Differential(args) => differential::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Gen(args) => r#gen::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("mesh-testkit: {error:#}");
            ExitCode::FAILURE
        }
    }
}
