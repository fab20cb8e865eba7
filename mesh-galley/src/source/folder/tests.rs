//! What is read, what is gone, and what merely could not be looked at.
#![cfg(test)]
#![allow(clippy::unwrap_used)]

use super::*;

fn read(folders: &[PathBuf]) -> (Vec<File>, Vec<Unreadable>) {
    drained(super::read(folders))
}

fn drained(mut reading: Reading) -> (Vec<File>, Vec<Unreadable>) {
    let files = reading.by_ref().collect();
    (files, reading.unreadable())
}

fn names(files: &[File]) -> Vec<String> {
    files.iter().map(|file| file.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn editors_leftovers_and_other_files_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.yml", "a.yaml", "c.json", ".a.yaml.swp", "a.yaml~", "notes.txt"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/d.yaml"), "d").unwrap();
    let (files, unreadable) = read(&[folder.path().to_owned()]);
    assert_eq!((names(&files), unreadable.len()), (["a.yaml", "b.yml", "c.json", "d.yaml"].map(String::from).to_vec(), 0));
}

#[test]
fn a_link_to_nowhere_is_gone_and_a_link_to_itself_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", folder.path().join("gone.yaml")).unwrap();
    std::os::unix::fs::symlink("loop.yaml", folder.path().join("loop.yaml")).unwrap();
    let (files, unreadable) = read(&[folder.path().to_owned()]);
    assert!(files.is_empty());
    assert_eq!(unreadable.iter().map(|there| there.path.clone()).collect::<Vec<_>>(), [folder.path().join("loop.yaml")]);
}

#[test]
fn a_given_folder_that_is_missing_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not-mounted");
    let (_, unreadable) = read(std::slice::from_ref(&missing));
    assert_eq!(unreadable[0].path, missing);
}

#[test]
fn with_too_many_files_neither_this_folder_nor_the_next_passes_for_read() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        for name in ["a.yaml", "b.yaml"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
    }
    let paths: Vec<PathBuf> = folders.iter().map(|folder| folder.path().to_owned()).collect();
    let (files, unreadable) = drained(read_at_most(3, MAX_TOTAL, &paths));
    assert_eq!(files.len(), 3);
    assert_eq!(unreadable.iter().map(|there| there.path.clone()).collect::<Vec<_>>(), paths[1..]);
    assert_eq!(drained(read_at_most(6, MAX_TOTAL, &paths)).1, []);
}

#[test]
fn with_too_many_bytes_what_does_not_fit_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.yaml", "12345"), ("b.yaml", "123456"), ("c.yaml", "12345")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (files, unreadable) = drained(read_at_most(9, 10, &[folder.path().to_owned()]));
    assert_eq!((names(&files), unreadable.len()), (vec!["a.yaml".to_owned(), "c.yaml".to_owned()], 1));
    assert!(unreadable[0].path.ends_with("b.yaml") && unreadable[0].reason.contains("all files together"), "{}", unreadable[0]);
}
