//! Certificate files for programs that read files: gRPC's `file_watcher` provider, Istio's `OUTPUT_CERTS`.
//!
//! The three files must never be seen mixed. So a generation is written to a folder of its own, and one rename swaps the
//! link `..data` that all three names go through, as Kubernetes does for mounted Secrets.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Svid;

const CHAIN: &str = "cert-chain.pem";
const KEY: &str = "key.pem";
const ROOTS: &str = "root-cert.pem";
const LINK: &str = "..data";

/// Where [`Svid::write_files`] wrote. The paths stay the same over rotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key, PKCS#8, mode 0600.
    pub key: PathBuf,
    /// The roots.
    pub roots: PathBuf,
}

impl Svid {
    /// Writes `cert-chain.pem`, `key.pem` and `root-cert.pem` into `folder` (made with mode 0700 if missing; files have
    /// mode 0600), replacing an earlier generation in one step. One writer a folder. Blocks: a few small files.
    ///
    /// # Errors
    /// The file system's. The earlier generation is then still whole.
    pub fn write_files(&self, folder: &Path) -> io::Result<Written> {
        private_folder(folder)?;
        let generation = format!("..{}", self.serial());
        let fresh = folder.join(&generation);
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        private_folder(&fresh)?;
        write_private(&fresh.join(CHAIN), &self.chain_pem())?;
        write_private(&fresh.join(KEY), &self.key_pem())?;
        write_private(&fresh.join(ROOTS), &self.roots_pem())?;

        let previous = fs::read_link(folder.join(LINK)).ok();
        replace_link(&folder.join(LINK), Path::new(&generation))?;
        for name in [CHAIN, KEY, ROOTS] {
            let (link, target) = (folder.join(name), Path::new(LINK).join(name));
            if fs::read_link(&link).ok().as_ref() != Some(&target) {
                replace_link(&link, &target)?;
            }
        }
        if let Some(previous) = previous.filter(|previous| previous.as_os_str() != generation.as_str()) {
            // Stale secrets must not pile up; but the new generation is in force whether or not this succeeds.
            if let Err(error) = fs::remove_dir_all(folder.join(&previous)) {
                tracing::warn!(folder = %folder.display(), %error, "cannot remove the previous certificate files");
            }
        }
        Ok(Written { chain: folder.join(CHAIN), key: folder.join(KEY), roots: folder.join(ROOTS) })
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let mut fresh = link.as_os_str().to_owned();
    fresh.push(".new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}
