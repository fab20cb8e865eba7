//! State files whole, torn, foreign and unwritable.
#![allow(clippy::unwrap_used)]

use mesh_config::load;

use super::*;

const GOOD: &str = "apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
";

fn good() -> Vec<Resource> {
    load::documents("f.yaml", GOOD.as_bytes()).objects.into_iter().map(|object| object.resource).collect()
}

fn unsaved(resources: &[Resource]) -> Unsaved<'_> {
    Unsaved { path: Path::new("/etc/mesh/f.yaml"), resources: resources.iter().collect(), secrets: Vec::new() }
}

/// A state folder that holds what `/etc/mesh/f.yaml` had.
fn saved(folder: &Path) -> PathBuf {
    let resources = good();
    let mut state = State::open(folder.to_owned()).unwrap();
    assert!(state.save(&unsaved(&resources)));
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    files[0].clone()
}

fn load(folder: &Path, of: &[&str]) -> (Vec<Remembered>, Vec<String>) {
    let mut state = State::open(folder.to_owned()).unwrap();
    let remembered = state.load(&of.iter().map(PathBuf::from).collect::<Vec<_>>());
    (remembered, state.faults().collect())
}

#[test]
fn what_was_saved_is_remembered_in_every_folder_that_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path());
    let (remembered, faults) = load(folder.path(), &["/srv", "/etc/mesh", "/etc"]);
    let places: Vec<_> = remembered.iter().map(|file| (file.rank, file.path.as_path())).collect();
    assert_eq!(places, [(1, Path::new("/etc/mesh/f.yaml")), (2, Path::new("/etc/mesh/f.yaml"))]);
    assert_eq!((remembered[0].resources.clone(), faults.len()), (good(), 0));
    assert!(load(folder.path(), &["/srv"]).0.is_empty());
}

#[test]
fn what_cannot_be_trusted_is_told_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = saved(folder.path());
    let whole = fs::read_to_string(&file).unwrap();
    for (text, why) in [
        (whole[..whole.len() - 3].to_owned(), "checksum"),
        (whole.replace("\"shop\"", "\"shot\""), "checksum"),
        (whole.replace("\"format\":1", "\"format\":2"), "format 2"),
        (String::new(), "checksum"),
        ("garbage\n".to_owned(), "not a state file"),
    ] {
        fs::write(&file, &text).unwrap();
        let (remembered, faults) = load(folder.path(), &["/etc/mesh"]);
        assert!(remembered.is_empty(), "{text}");
        assert!(faults.len() == 1 && faults[0].contains(why) && faults[0].contains("unknown"), "{faults:?}");
    }
    // Once there is something good again, the fault is gone.
    let mut state = State::open(folder.path().to_owned()).unwrap();
    state.load(&["/etc/mesh".into()]);
    assert!(state.save(&unsaved(&good())));
    assert_eq!(state.faults().count(), 0);
}

#[test]
fn nothing_is_kept_of_nothing_and_interrupted_writes_are_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let file = saved(folder.path());
    let unfinished = folder.path().join(format!("{UNFINISHED}x"));
    fs::write(&unfinished, "").unwrap();
    let mut state = State::open(folder.path().to_owned()).unwrap();
    state.load(&[]);
    assert!(!unfinished.exists() && file.exists());
    assert!(state.save(&unsaved(&[])) && !file.exists());
    assert!(state.save(&unsaved(&[])), "already gone");
}

#[test]
fn a_write_that_fails_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state");
    let mut state = State::open(place.clone()).unwrap();
    let resources = good();
    fs::remove_dir(&place).unwrap();
    assert!(!state.save(&unsaved(&resources)));
    assert_eq!(state.faults().count(), 1);
    fs::create_dir(&place).unwrap();
    assert!(state.save(&unsaved(&resources)));
    assert_eq!(state.faults().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(State::open(file.join("state")).is_err());
}
