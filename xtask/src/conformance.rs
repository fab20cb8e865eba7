//! `cargo xtask conformance`: cases with Istio's answers, from a folder that is not part of this project, against what we answer. The work is
//! `mesh-testkit`'s; here it is only given its folder.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use crate::{binary, root};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Folder of cases
    #[arg(long)]
    data: PathBuf,
    /// Only these areas: analyze, crd, validation, gateway-api
    #[arg(long = "area", value_delimiter = ',')]
    areas: Vec<String>,
    /// `text` or `json`
    #[arg(long, default_value = "text")]
    output: String,
    /// Change every expected answer and see whether that is noticed
    #[arg(long)]
    self_test: bool,
    /// Cargo profile of the binary
    #[arg(long, default_value = "ci")]
    profile: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let mut command = Command::new(binary::build(&root, &args.profile, "mesh-ctl", "mesh-testkit")?);
    command.current_dir(&root).arg("conformance").arg("--data").arg(env::current_dir()?.join(&args.data)).args(["--output", &args.output]);
    command.arg("--differences").arg(root.join("mesh-ctl/testkit/conformance-differences.yaml"));
    for area in &args.areas {
        command.args(["--area", area]);
    }
    if args.self_test {
        command.arg("--self-test");
    }
    // What disagrees is told by the command itself; its exit is our verdict.
    if !command.status()?.success() {
        bail!("not every case agrees, or has a reason why not");
    }
    Ok(())
}
