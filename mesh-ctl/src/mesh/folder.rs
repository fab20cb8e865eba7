//! The private folder of a running mesh: sockets, trust, generated configuration, logs. Gone when the mesh is.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A folder only its owner can enter, removed when dropped.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes one.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn new() -> io::Result<Self> {
        // A short path: a Unix socket's may have 107 bytes.
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder =
            tempfile::Builder::new().prefix("mesh-").rand_bytes(6).permissions(fs::Permissions::from_mode(0o700)).tempdir_in(base)?;
        for sub in ["config", "generated", "logs", "run", "state", "trust"] {
            fs::create_dir(folder.path().join(sub))?;
        }
        Ok(Self(folder))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A copy of the user's configuration, when there is no folder of theirs to watch.
    pub fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    /// What the launcher tells Galley of the workloads.
    pub fn generated(&self) -> PathBuf {
        self.path().join("generated")
    }

    /// Citadel's root and the keys that workload tokens are verified with.
    pub fn trust(&self) -> PathBuf {
        self.path().join("trust")
    }

    /// Galley's last good configuration.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A Unix socket's place.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.path().join("run").join(format!("{name}.sock"))
    }

    /// A foreign proxy's bootstrap.
    pub fn bootstrap(&self, name: &str) -> PathBuf {
        self.path().join("run").join(format!("{name}.json"))
    }

    /// A process's log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(format!("{name}.log"))
    }

    /// Writes `text` so that a reader sees the old or the new file, never half of one.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        write_atomically(path, text)
    }
}

/// See [`Folder::write`].
///
/// # Errors
/// As the file system gives them.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(folder)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        fs::set_permissions(file.path(), old.permissions())?;
    }
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
