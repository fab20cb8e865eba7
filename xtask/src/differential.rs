//! `cargo xtask differential`: the same bootstrap, requests and backends in Envoy and in mesh-proxy, and what differs. The work is `mesh-testkit`'s; here it is
//! only given its peers.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use crate::{binary, peers, root};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Only scenarios whose names begin so
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// `text` or `json`
    #[arg(long, default_value = "text")]
    output: String,
    /// Cargo profile of the binaries
    #[arg(long, default_value = "ci")]
    profile: String,
    /// Only see whether Envoy does what the scenarios expect
    #[arg(long)]
    envoy_only: bool,
    /// Keep bootstraps, certificates and logs in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let envoy = peers::envoy()?;
    let mut command = Command::new(binary::build(&root, &args.profile, "mesh-ctl", "mesh-testkit")?);
    command.current_dir(&root).arg("differential").arg("--envoy").arg(envoy);
    if !args.envoy_only {
        command.arg("--mesh-proxy").arg(binary::build(&root, &args.profile, "mesh-proxy", "mesh-proxy")?);
    }
    command.arg("--scenarios").arg(root.join("mesh-ctl/testkit/scenarios")).args(["--output", &args.output]);
    for only in &args.only {
        command.args(["--only", only]);
    }
    if let Some(folder) = &args.keep {
        command.arg("--keep").arg(env::current_dir()?.join(folder));
    }
    // What differs is told by the command itself; its exit is our verdict.
    if !command.status()?.success() {
        bail!("not every scenario agrees");
    }
    Ok(())
}
