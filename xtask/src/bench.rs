//! `cargo xtask bench`: measurements that answer a question. The work is `mesh-testkit`'s.

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

/// What can be measured.
#[derive(Subcommand)]
enum What {
    /// Reading and analysing generated objects: less than a second and 200 MB for ten thousand?
    Analyze {
        /// How many objects
        #[arg(long, default_value_t = 10_000)]
        objects: usize,
        /// Fail beyond a second or 200 MB
        #[arg(long)]
        check: bool,
        /// Cargo profile of the binary
        #[arg(long, default_value = "dist")]
        profile: String,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let What::Analyze { objects, check, profile } = &args.what;
    let mut command = Command::new(binary::build(&root, profile, "mesh-ctl", "mesh-testkit")?);
    command.current_dir(&root).args(["bench", "analyze", "--objects", &objects.to_string()]);
    if *check {
        command.args(["--most-milliseconds", "1000", "--most-megabytes", "200"]);
    }
    if !command.status()?.success() {
        bail!("a bound does not hold");
    }
    Ok(())
}
