//! Reading folders of YAML: bounded, in a defined order, never half a file's consequences.

mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_128;

/// A file larger than this is not configuration.
pub const MAX_FILE: u64 = 32 << 20;
/// More files than this in all folders is a mistake (somebody pointed us at `/`).
pub const MAX_FILES: usize = 50_000;
/// Folders within folders.
const MAX_DEPTH: usize = 16;

/// A file as it was read.
#[derive(Debug)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// Index of the folder it belongs to; lower wins.
    pub rank: usize,
    /// Hash of its bytes.
    pub hash: u128,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Unreadable {
    /// Where.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: String,
}

/// All files of all folders, by folder and path. A folder or file that cannot be read is told apart from one that is gone: what it held stays in force.
pub fn read(folders: &[PathBuf]) -> (Vec<File>, Vec<Unreadable>) {
    read_at_most(MAX_FILES, folders)
}

fn read_at_most(most: usize, folders: &[PathBuf]) -> (Vec<File>, Vec<Unreadable>) {
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    for (rank, folder) in folders.iter().enumerate() {
        let mut walk = Walk { room: most - files.len(), paths: Vec::new(), full: false, unreadable: &mut unreadable };
        walk.folder(folder, 0);
        let Walk { mut paths, full, .. } = walk;
        if full {
            // Which files were left out is chance: nothing here or in the folders after this may pass for gone.
            let reason = format!("more than {most} files in all: give folders that hold configuration only");
            unreadable.extend(folders.iter().skip(rank).map(|folder| Unreadable { path: folder.clone(), reason: reason.clone() }));
        }
        paths.sort();
        for path in paths {
            match read_file(&path) {
                Ok(Some(bytes)) => files.push(File { hash: xxh3_128(&bytes), path, rank, bytes }),
                Ok(None) => {}
                Err(reason) => unreadable.push(Unreadable { path, reason }),
            }
        }
        if full {
            break;
        }
    }
    (files, unreadable)
}

struct Walk<'a> {
    /// How many files there may be.
    room: usize,
    paths: Vec<PathBuf>,
    /// There are more.
    full: bool,
    unreadable: &'a mut Vec<Unreadable>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Gone since it was listed. The folders we were given do not just go: they are not mounted yet, or any more.
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.skip(folder, &error.to_string()),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(&entry, depth),
                Err(error) => return self.skip(folder, &error.to_string()),
            }
            if self.full {
                return;
            }
        }
    }

    fn entry(&mut self, entry: &fs::DirEntry, depth: usize) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Editors' and Kubernetes' own (`..data`, `.file.swp`, `file~`).
        if name.starts_with('.') || name.ends_with('~') {
            return;
        }
        let path = entry.path();
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.skip(&path, &error.to_string()),
        };
        if meta.is_dir() {
            if depth < MAX_DEPTH {
                self.folder(&path, depth + 1);
            } else {
                self.skip(&path, &format!("folders are more than {MAX_DEPTH} deep: is one a link to its parent?"));
            }
        } else if meta.is_file() && is_configuration(&path) {
            if self.paths.len() < self.room {
                self.paths.push(path);
            } else {
                self.full = true;
            }
        }
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        self.unreadable.push(Unreadable { path: path.to_owned(), reason: format!("{reason}: what it held stays in force") });
    }
}

fn is_configuration(path: &Path) -> bool {
    matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json"))
}

/// `None`: it is gone since it was listed.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let read = || {
        let length = fs::metadata(path)?.len();
        if length > MAX_FILE {
            return Ok(Err(format!("{length} bytes, at most {MAX_FILE} are read: split it")));
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, MAX_FILE + 1), &mut bytes)?;
        Ok::<_, io::Error>(if bytes.len() as u64 > MAX_FILE { Err(format!("more than {MAX_FILE} bytes: split it")) } else { Ok(bytes) })
    };
    match read() {
        Ok(Ok(bytes)) => Ok(Some(bytes)),
        Ok(Err(reason)) => Err(reason),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
