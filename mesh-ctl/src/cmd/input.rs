//! Files, folders and standard input for the verbs that look at configuration without running it. Bounded: a wrong path does not fill the memory.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use super::say;

/// A larger file is not configuration.
const MAX_FILE: u64 = 32 << 20;
/// More than this in all files together is a mistake.
const MAX_TOTAL: u64 = 256 << 20;
/// More files than this are a mistake: somebody pointed us at `/`.
const MAX_FILES: usize = 50_000;
/// Folders within folders.
const MAX_DEPTH: usize = 32;

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// What went wrong before anything could be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: more than {MAX_FILE} bytes: split it", .0.display())]
    FileTooLarge(PathBuf),
    #[error("{}: with it all files together have more than {MAX_TOTAL} bytes: give folders that hold configuration only", .0.display())]
    TotalTooLarge(PathBuf),
    #[error("more than {MAX_FILES} files: give folders that hold configuration only")]
    TooMany,
    #[error("{}: folders are more than {MAX_DEPTH} deep: is one a link to its parent?", .0.display())]
    TooDeep(PathBuf),
}

/// Reads what is named, in order, one file in memory at a time, and gives each file's name and content to `take`. `-` is standard input; folders are
/// read with all below them; a file with another ending is told about and left out. Returns the names of what was read.
pub(super) fn read(paths: &[PathBuf], mut take: impl FnMut(&str, &[u8])) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(path.clone());
            continue;
        }
        let meta = fs::metadata(path).map_err(|error| Error::Read { path: path.clone(), error })?;
        if meta.is_dir() {
            folder(path, 0, &mut files)?;
        } else {
            one(path, &mut files)?;
        }
    }
    let mut room = MAX_TOTAL;
    let mut names = Vec::with_capacity(files.len());
    for path in files {
        let bytes = content(&path, room)?;
        room -= bytes.len() as u64;
        let name = path.to_string_lossy().into_owned();
        take(&name, &bytes);
        names.push(name);
    }
    Ok(names)
}

fn folder(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep(path.to_owned()));
    }
    let failed = |error| Error::Read { path: path.to_owned(), error };
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    entries.sort();
    for entry in entries {
        // Kubernetes' and editors' own (`..data`, `.file.swp`).
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let meta = fs::metadata(&entry).map_err(|error| Error::Read { path: entry.clone(), error })?;
        if meta.is_dir() {
            folder(&entry, depth + 1, files)?;
        } else {
            one(&entry, files)?;
        }
    }
    Ok(())
}

fn one(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    if !path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known)) {
        say(&format!("Skipping file {}, recognized file extensions are: .json .yaml .yml", path.display()));
        return Ok(());
    }
    if files.len() == MAX_FILES {
        return Err(Error::TooMany);
    }
    files.push(path.to_owned());
    Ok(())
}

fn content(path: &Path, room: u64) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Read { path: path.to_owned(), error };
    let most = MAX_FILE.min(room);
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            say("Reading from stdin:");
        }
        io::stdin().lock().take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        fs::File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    match bytes.len() as u64 > most {
        true if room < MAX_FILE => Err(Error::TotalTooLarge(path.to_owned())),
        true => Err(Error::FileTooLarge(path.to_owned())),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_are_read_in_order_and_only_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("sub")).unwrap();
        for name in ["b.yaml", "a.json", "sub/c.yml", "notes.md", ".hidden.yaml"] {
            fs::write(root.join(name), name).unwrap();
        }
        let mut seen = Vec::new();
        let names = read(&[root.to_owned()], |_, bytes| seen.push(String::from_utf8_lossy(bytes).into_owned())).unwrap();
        assert_eq!(seen, ["a.json", "b.yaml", "sub/c.yml"]);
        assert_eq!(names.len(), 3);
        assert!(matches!(read(&[root.join("none")], |_, _| ()), Err(Error::Read { .. })));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(read(&[path], |_, _| ()), Err(Error::FileTooLarge(_))));
    }
}
