//! `meshctl`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesh_ctl::{child, cmd, mesh::process::CHILD_VERB};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A service mesh that takes Istio's YAML: try it, run it, look into it.
#[derive(Parser)]
#[command(name = "meshctl", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the whole mesh and a small shop on this machine, and show what it does
    Demo(cmd::demo::Args),
    /// Run your own commands in a mesh on this machine, as mesh.yaml says
    Up(cmd::up::Args),
    /// Find what is wrong in configuration files, within and across objects
    Analyze(cmd::analyze::Args),
    /// Check each object of configuration files by itself, as the API server would
    #[command(visible_alias = "v")]
    Validate(cmd::validate::Args),
}

fn main() -> ExitCode {
    mesh_runtime::tls::install_provider();
    if !cfg!(target_os = "linux") {
        return cmd::fail("meshctl runs on Linux only (x86_64 and aarch64): the mesh needs Linux sockets");
    }
    // Before clap: this verb is not for people.
    let done =
        if std::env::args().nth(1).as_deref() == Some(CHILD_VERB) { run(child::run()).map(|()| ExitCode::SUCCESS) } else { dispatch() };
    done.unwrap_or_else(|error| cmd::fail(&format!("{error:#}")))
}

fn dispatch() -> anyhow::Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print()?;
            return Ok(if error.use_stderr() { cmd::exit::USAGE.into() } else { ExitCode::SUCCESS });
        }
    };
    let success = |held: bool| if held { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match cli.verb {
        Verb::Demo(args) => run(cmd::demo::run(args)).map(success),
        Verb::Up(args) => run(cmd::up::run(args)).map(success),
        Verb::Analyze(args) => cmd::analyze::run(&args),
        Verb::Validate(args) => cmd::validate::run(&args),
    }
}

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
