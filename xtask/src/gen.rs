//! `cargo xtask gen`: files of the repository that are made from its types. The work is `mesh-testkit`'s; here it is only told where.

use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args as ClapArgs, Subcommand};

use crate::{binary, root};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What can be made.
#[derive(Subcommand)]
enum What {
    /// The CRD manifests in deploy/crds
    Crds {
        /// Write nothing: fail if a manifest is not what the types say
        #[arg(long)]
        check: bool,
        /// Cargo profile of the binary
        #[arg(long, default_value = "ci")]
        profile: String,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let What::Crds { check, profile } = &args.what;
    let mut command = Command::new(binary::build(&root, profile, "mesh-ctl", "mesh-testkit")?);
    command.current_dir(&root).args(["gen", "crds", "--into", "deploy/crds"]);
    if *check {
        command.arg("--check");
    }
    if !command.status()?.success() {
        bail!("deploy/crds is not what the types say");
    }
    Ok(())
}
