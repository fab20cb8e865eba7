//! Reading folders of YAML: bounded, in a defined order, never half a file's consequences.

mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_128;

/// A file larger than this is not configuration.
pub const MAX_FILE: u64 = 32 << 20;
/// More bytes than this in all files together is no configuration: it would be held in memory several times over.
pub const MAX_TOTAL: u64 = 256 << 20;
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

/// All files of all folders, by folder and path, one after the other: only one file's bytes are in memory at a time. A folder or file that cannot be read is told
/// apart from one that is gone: what it held stays in force.
pub fn read(folders: &[PathBuf]) -> Reading {
    read_at_most(MAX_FILES, MAX_TOTAL, folders)
}

/// Files being read. To be run to its end before [`Reading::unreadable`] says everything.
#[derive(Debug)]
pub struct Reading {
    paths: std::vec::IntoIter<(usize, PathBuf)>,
    unreadable: Vec<Unreadable>,
    /// Bytes that may still be read.
    room: u64,
}

impl Reading {
    /// What could not be read so far.
    pub fn unreadable(self) -> Vec<Unreadable> {
        self.unreadable
    }
}

impl Iterator for Reading {
    type Item = File;

    fn next(&mut self) -> Option<File> {
        loop {
            let (rank, path) = self.paths.next()?;
            match read_file(&path, self.room) {
                Ok(Some(bytes)) => {
                    self.room -= bytes.len() as u64;
                    return Some(File { hash: xxh3_128(&bytes), path, rank, bytes });
                }
                Ok(None) => {}
                Err(reason) => self.unreadable.push(Unreadable { path, reason }),
            }
        }
    }
}

fn read_at_most(most: usize, bytes: u64, folders: &[PathBuf]) -> Reading {
    let mut all = Vec::new();
    let mut unreadable = Vec::new();
    for (rank, folder) in folders.iter().enumerate() {
        let mut walk = Walk { room: most - all.len(), paths: Vec::new(), full: false, unreadable: &mut unreadable };
        walk.folder(folder, 0);
        let Walk { mut paths, full, .. } = walk;
        if full {
            // Which files were left out is chance: nothing here or in the folders after this may pass for gone.
            let reason = format!("more than {most} files in all: give folders that hold configuration only");
            unreadable.extend(folders.iter().skip(rank).map(|folder| Unreadable { path: folder.clone(), reason: reason.clone() }));
        }
        paths.sort();
        all.extend(paths.into_iter().map(|path| (rank, path)));
        if full {
            break;
        }
    }
    Reading { paths: all.into_iter(), unreadable, room: bytes }
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

/// `None`: it is gone since it was listed. `room`: how many bytes there may be.
fn read_file(path: &Path, room: u64) -> Result<Option<Vec<u8>>, String> {
    let most = MAX_FILE.min(room);
    let split = || {
        if room < MAX_FILE {
            format!("with it all files together have more than {MAX_TOTAL} bytes: give folders that hold configuration only")
        } else {
            format!("more than {MAX_FILE} bytes: split it")
        }
    };
    let read = || {
        let length = fs::metadata(path)?.len();
        if length > most {
            return Ok(Err(split()));
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, most + 1), &mut bytes)?;
        Ok::<_, io::Error>(if bytes.len() as u64 > most { Err(split()) } else { Ok(bytes) })
    };
    match read() {
        Ok(Ok(bytes)) => Ok(Some(bytes)),
        Ok(Err(reason)) => Err(format!("{reason}: what it held stays in force")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{error}: what it held stays in force")),
    }
}
