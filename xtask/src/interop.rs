//! `cargo xtask interop envoy`: a real Envoy as a sidecar of the shop, judged by its own `/stats`. The work is `mesh-interop`'s; here it is only given its
//! peer and a budget.

use std::{process::Command, time::Duration};

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use crate::{binary, peers, process, root};

/// All scenarios together take at most so long.
const BUDGET: Duration = Duration::from_secs(420);

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// Envoy: sidecar, ADS client of Pilot, certificates by our SDS
    Envoy(Envoy),
}

#[derive(ClapArgs)]
struct Envoy {
    /// Only these scenarios: vocabulary, envoys, callee, caller, caller-sotw
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// `text` or `json`
    #[arg(long, default_value = "text")]
    output: String,
    /// Cargo profile of the binaries
    #[arg(long, default_value = "ci")]
    profile: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Peer::Envoy(args) = &args.peer;
    let root = root()?;
    let envoy = peers::envoy()?;
    let mut command = Command::new(binary::build(&root, &args.profile, "mesh-ctl", "mesh-interop")?);
    command.current_dir(&root).arg("envoy").arg("--envoy").arg(envoy).args(["--output", &args.output]);
    command.arg("--cases").arg(root.join("mesh-pilot/tests/golden"));
    for only in &args.only {
        command.args(["--only", only]);
    }
    // Each scenario sees for itself that nothing of it is left.
    process::run(&mut command, BUDGET).map(drop)
}
