//! What was in force, where a restart finds it: one small file for each file of configuration, so that a broken one still has its last good version then.
//!
//! A state file is a line of JSON with the format's number and a checksum of the rest, then the rest: the configuration file's path and its resources, as
//! JSON; of Secrets only the names, for no key is ever written. It is replaced whole. One that cannot be trusted is reported and not used; what it held is unknown then, which is not the same as nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use mesh_config::resource::{ApiVersion, Key, Kind, Resource};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    source::folder::{MAX_FILE, MAX_FILES},
    store::Unsaved,
};

/// Of the format described above.
const FORMAT: u32 = 1;
/// JSON says the same in more bytes than YAML.
const MAX_STATE: u64 = 8 * MAX_FILE;
const EXTENSION: &str = "state";
const UNFINISHED: &str = ".unfinished-";

/// A folder of state files. No other process may write to it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// What is wrong with which state file.
    faults: BTreeMap<PathBuf, String>,
}

/// What is wrong with a state file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a state file: {0}")]
    Format(#[from] serde_json::Error),
    #[error("it has more than {MAX_STATE} bytes")]
    Size,
    #[error("it is of format {0}, and this version reads {FORMAT}")]
    Version(u32),
    #[error("its checksum is wrong: it was changed or not written to the end")]
    Checksum,
    #[error("a resource in it is refused: {0}")]
    Resource(String),
    #[error("the file's name is not UTF-8: rename it")]
    Name,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    path: String,
    resources: Vec<Value>,
    /// `namespace/name` of Secrets, whose content is written nowhere.
    #[serde(default)]
    secrets: Vec<String>,
}

/// What a configuration file held.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) rank: usize,
    pub(crate) path: PathBuf,
    pub(crate) resources: Vec<Resource>,
    pub(crate) secrets: Vec<Key>,
}

impl State {
    /// In `folder`, which is made if it is not there.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // Better to learn now than at the first change that it cannot be written.
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder)?;
        Ok(Self { folder, faults: BTreeMap::new() })
    }

    /// What the files in `folders` held. What cannot be read is a fault.
    pub(crate) fn load(&mut self, folders: &[PathBuf]) -> Vec<Remembered> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.unusable(self.folder.clone(), &error.into());
                return all;
            }
        };
        for entry in entries.flatten().take(2 * MAX_FILES) {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // Of a write that a crash interrupted.
                let _ = fs::remove_file(&path);
            } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
                match read(&path) {
                    Ok((of, resources, secrets)) => all.extend(places(&of, folders).map(|(rank, path)| Remembered {
                        rank,
                        path,
                        resources: resources.clone(),
                        secrets: secrets.clone(),
                    })),
                    Err(error) => self.unusable(path, &error),
                }
            }
        }
        all
    }

    /// Keeps what a file holds; nothing is kept for one that holds nothing. A failure is a fault, and tells false.
    pub(crate) fn save(&mut self, unsaved: &Unsaved<'_>) -> bool {
        let (path, done) = match absolute(unsaved.path) {
            Ok(of) => {
                let path = self.folder.join(format!("{:032x}.{EXTENSION}", xxh3_128(of.as_bytes())));
                let nothing = unsaved.resources.is_empty() && unsaved.secrets.is_empty();
                let done = if nothing { remove(&path) } else { self.write(&path, of, unsaved) };
                (path, done)
            }
            Err(error) => (unsaved.path.to_owned(), Err(error)),
        };
        match &done {
            Ok(()) => drop(self.faults.remove(&path)),
            Err(error) => {
                self.fault(path, format!("{error}: cannot keep it; a restart would not know the last good version of what is broken then"))
            }
        }
        done.is_ok()
    }

    /// What is wrong, in sentences.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|(path, fault)| format!("{}: {fault}", path.display()))
    }

    fn write(&self, path: &Path, of: String, unsaved: &Unsaved<'_>) -> Result<(), Error> {
        let body = serde_json::to_vec(&Body {
            path: of,
            resources: unsaved.resources.iter().map(|resource| resource.to_json()).collect(),
            secrets: unsaved.secrets.iter().map(ToString::to_string).collect(),
        })?;
        let head = serde_json::to_vec(&Head { format: FORMAT, checksum: checksum(&body) })?;
        if (head.len() + 1 + body.len()) as u64 > MAX_STATE {
            return Err(Error::Size);
        }
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        for part in [&head[..], b"\n", &body] {
            file.write_all(part)?;
        }
        file.as_file().sync_data()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn unusable(&mut self, path: PathBuf, error: &Error) {
        let text = format!("{error}: what was last good here is unknown; it is written anew once its file is in order, and may be removed");
        self.fault(path, text);
    }

    fn fault(&mut self, path: PathBuf, text: String) {
        self.faults.insert(path, text);
    }
}

fn read(path: &Path) -> Result<(PathBuf, Vec<Resource>, Vec<Key>), Error> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_STATE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_STATE {
        return Err(Error::Size);
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Error::Checksum)?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let head: Head = serde_json::from_slice(head)?;
    if head.format != FORMAT {
        return Err(Error::Version(head.format));
    }
    if head.checksum != checksum(body) {
        return Err(Error::Checksum);
    }
    let body: Body = serde_json::from_slice(body)?;
    let resources = body.resources.iter().map(resource).collect::<Result<_, _>>()?;
    let secrets = body.secrets.iter().map(|key| key.parse::<Key>()).collect::<Result<_, _>>();
    let secrets = secrets.map_err(|_| Error::Resource("a Secret's name is not `namespace/name`".to_owned()))?;
    Ok((body.path.into(), resources, secrets))
}

fn resource(json: &Value) -> Result<Resource, Error> {
    let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (ApiVersion::parse(text("apiVersion")), text("kind"));
    let known = Kind::find(version.group, kind).ok_or_else(|| Error::Resource(format!("no kind {kind} in group {:?}", version.group)))?;
    Resource::from_json(known, json).map_err(|error| Error::Resource(error.to_string()))
}

/// Where the reader of `folders` will meet a file: in every folder that holds it, by the name that it has there.
fn places(of: &Path, folders: &[PathBuf]) -> impl Iterator<Item = (usize, PathBuf)> {
    folders.iter().enumerate().filter_map(|(rank, folder)| {
        let inside = of.strip_prefix(std::path::absolute(folder).ok()?).ok()?;
        Some((rank, folder.join(inside)))
    })
}

fn absolute(path: &Path) -> Result<String, Error> {
    std::path::absolute(path)?.into_os_string().into_string().map_err(|_| Error::Name)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

#[cfg(test)]
mod tests;
