//! `mesh-testkit gen`: files of the repository that are made from its types: the CRD manifests.

mod yaml;

use std::{collections::BTreeMap, fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args as ClapArgs, ValueEnum};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// What to make
    what: What,
    /// Folder to write into; it holds nothing else
    #[arg(long)]
    into: PathBuf,
    /// Write nothing: fail if what is there is not what would be written
    #[arg(long)]
    check: bool,
}

/// What can be made.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// One CustomResourceDefinition a kind
    Crds,
}

/// Each file's first line.
const HEADER: &str = "# Made from the types by `cargo xtask gen crds`; not edited by hand.\n";

/// Makes the files. Returns whether they are (now) as they should be.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let files = match args.what {
        What::Crds => crds(),
    };
    let stale = stale(args, &files)?;
    if args.check {
        for name in &stale {
            println!("{} is not what the types say: run `cargo xtask gen crds`", args.into.join(name).display());
        }
        return Ok(stale.is_empty());
    }
    fs::create_dir_all(&args.into).with_context(|| format!("cannot create {}", args.into.display()))?;
    for name in &stale {
        let path = args.into.join(name);
        match files.get(name) {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        }
        .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} of {} files written in {}", stale.len(), files.len(), args.into.display());
    Ok(true)
}

/// File name → text.
fn crds() -> BTreeMap<String, String> {
    let file = |(kind, manifest): (mesh_config::resource::Kind, serde_json::Value)| {
        (format!("{}.{}.yaml", kind.plural(), kind.group()), format!("{HEADER}{}", yaml::text(&manifest)))
    };
    mesh_config::schema::manifests().into_iter().map(file).collect()
}

/// The files that are missing, differ, or should not be there.
fn stale(args: &Args, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut there = BTreeMap::new();
    match fs::read_dir(&args.into) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                there.insert(entry.file_name().to_string_lossy().into_owned(), text);
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", args.into.display())),
    }
    let changed = files.iter().filter(|(name, text)| there.get(*name) != Some(text)).map(|(name, _)| name);
    let left_over = there.keys().filter(|name| !files.contains_key(*name));
    Ok(changed.chain(left_over).cloned().collect())
}
