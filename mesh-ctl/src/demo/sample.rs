//! The shop's Istio YAML: the repository's folder when the demo is run there, else a copy of what is embedded.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mesh_deploy::{SHOP, SHOP_PATH};

use crate::mesh::folder::write_atomically;

/// A folder with the shop's YAML.
#[derive(Debug)]
pub struct Sample {
    folder: PathBuf,
    // Removed with the demo, if it was made for it.
    _own: Option<tempfile::TempDir>,
}

impl Sample {
    /// The folder people edit: the repository's if the demo runs there, else a copy.
    ///
    /// # Errors
    /// When a copy cannot be written.
    pub fn to_edit() -> io::Result<Self> {
        let there = Path::new(SHOP_PATH);
        if SHOP.iter().all(|file| there.join(file.name).is_file()) {
            return Ok(Self { folder: fs::canonicalize(there)?, _own: None });
        }
        Self::copy()
    }

    /// A copy that may be edited without touching anybody's files.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn copy() -> io::Result<Self> {
        let own = tempfile::Builder::new().prefix("mesh-shop-").tempdir()?;
        for file in SHOP {
            fs::write(own.path().join(file.name), file.text)?;
        }
        Ok(Self { folder: own.path().to_owned(), _own: Some(own) })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sets the canary's weights, as an editor would.
    ///
    /// # Errors
    /// When the file is not as the sample has it.
    pub fn set_weights(&self, v1: u32, v2: u32) -> io::Result<()> {
        self.edit("traffic.yaml", |text| {
            let mut weights = [v1, v2].into_iter();
            let lines: Vec<String> = text
                .lines()
                .map(|line| match line.find("weight:") {
                    Some(at) => weights.next().map_or_else(|| line.to_owned(), |weight| format!("{}weight: {weight}", &line[..at])),
                    None => line.to_owned(),
                })
                .collect();
            weights.next().is_none().then(|| lines.join("\n") + "\n")
        })
    }

    /// Rewrites one file; `change` gives `None` when the file is not what it expects.
    ///
    /// # Errors
    /// As the file system gives them, or `InvalidData`.
    pub fn edit(&self, name: &str, change: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
        let path = self.folder.join(name);
        let text = fs::read_to_string(&path)?;
        let changed = change(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not as the sample has it: restore it and try again", path.display()))
        })?;
        write_atomically(&path, &changed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn weights_are_edited_and_nothing_else() {
        let sample = Sample::copy().unwrap();
        let before = fs::read_to_string(sample.folder().join("traffic.yaml")).unwrap();
        sample.set_weights(50, 50).unwrap();
        let after = fs::read_to_string(sample.folder().join("traffic.yaml")).unwrap();
        assert_eq!(after, before.replace("weight: 80", "weight: 50").replace("weight: 20", "weight: 50"));
    }

    #[test]
    fn a_sample_without_weights_is_an_error() {
        let sample = Sample::copy().unwrap();
        sample.edit("traffic.yaml", |text| Some(text.replace("weight:", "wait:"))).unwrap();
        assert_eq!(sample.set_weights(1, 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
