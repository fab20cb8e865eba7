//! Objects of the Gateway API: what is below `valid/` is accepted, what is below `invalid/` is refused.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{
    case::{Case, Expected, Got},
    judge,
};

/// The files of `gateway-api/`, in order.
pub(super) fn cases(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (below, refused) in [("valid", false), ("invalid", true)] {
        let below = folder.join(below);
        if !below.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        walk(&below, &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            let got = match judge::bytes(&std::fs::read(&file)?, &[]) {
                Ok(verdict) => Got::Verdict(verdict),
                Err(reason) => Got::Nothing(reason),
            };
            cases.push(Case { name, expected: Expected::Verdict { refused, error: None, warning: None }, got });
        }
    }
    Ok(cases)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}
