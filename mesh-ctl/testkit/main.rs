//! `mesh-testkit`: what `cargo xtask` spawns to judge the built binaries from outside. It links no component, only the wire and the runtime, so that a
//! mistake in mesh-proxy cannot hide in the judge.
#![allow(clippy::print_stdout)]

mod differential;

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
    /// Run every scenario in Envoy and in mesh-proxy and compare what came of it
    Differential(differential::Args),
}

fn main() -> ExitCode {
    mesh_runtime::tls::install_provider();
    let done = match Cli::parse().task {
        Task::Differential(args) => differential::run(&args),
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
