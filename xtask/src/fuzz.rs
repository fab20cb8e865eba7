//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, each for a while. Needs cargo-fuzz, which is installed if it is not there.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;

use crate::{process, root};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Only these targets
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    if !process::exists("cargo-fuzz") {
        println!("installing cargo-fuzz");
        let installed = Command::new("cargo").args(["install", "--locked", "--quiet", "cargo-fuzz"]).status()?;
        if !installed.success() {
            bail!("cargo-fuzz could not be installed");
        }
    }
    for target in targets(&root)? {
        if !args.only.is_empty() && !args.only.contains(&target) {
            continue;
        }
        let seeds = seeds(&root, &target)?;
        println!("==== {target}: {} seconds, {seeds} seeds", args.seconds);
        let status = Command::new("cargo")
            .current_dir(root.join("fuzz"))
            // Coverage for libFuzzer is an unstable flag; the toolchain is the workspace's own.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--fuzz-dir", ".", &target, "--"])
            .args([
                format!("-max_total_time={}", args.seconds),
                "-rss_limit_mb=1024".to_owned(),
                "-timeout=10".to_owned(),
                "-max_len=16384".to_owned(),
            ])
            .status()?;
        if !status.success() {
            bail!("{target} found something: see fuzz/artifacts/{target}");
        }
    }
    Ok(())
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// The project's own samples are where the fuzzer begins.
fn seeds(root: &Path, target: &str) -> Result<usize> {
    let corpus = root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut files = BTreeMap::new();
    let samples = env::var_os("MESH_FUZZ_SEEDS").map_or_else(|| root.join("deploy/samples"), Into::into);
    collect(&samples, &mut files)?;
    for (name, text) in &files {
        fs::write(corpus.join(name), text)?;
    }
    Ok(files.len())
}

fn collect(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "json") {
            let name = path.display().to_string().replace('/', "_");
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}
