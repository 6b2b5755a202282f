//! The directory of a store: databases by number and a pointer file that names the one in force.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::Error;

/// Names the database in force; replaced whole by a rename.
const POINTER: &str = "CURRENT_DB";
const POINTER_NEW: &str = "CURRENT_DB.new";
const DATABASE: &str = "db-";
/// Extensions of the copy of a database's index, and of one being written.
pub(crate) const INDEX: &str = "index";
pub(crate) const INDEX_NEW: &str = "index-new";
/// Longest pointer that makes sense, in bytes.
const POINTER_BYTES_MAX: u64 = 64;

/// Finds the database in force, or makes the first, and removes all others: what an interrupted
/// install or a replaced database left.
pub(crate) fn enter(dir: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(dir)?;
    let number = match current(dir)? {
        Some(number) => number,
        None => create_first(dir)?,
    };
    let database = database_path(dir, number);
    if !database.is_dir() {
        return Err(Error::corrupt(format!(
            "{POINTER} names {} but it is gone",
            name(number)
        )));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(parse);
        let removed = match path.extension().and_then(|extension| extension.to_str()) {
            None if stem.is_some_and(|other| other != number) => fs::remove_dir_all(&path),
            Some(INDEX) if stem.is_some_and(|other| other != number) => fs::remove_file(&path),
            Some(INDEX_NEW) if stem.is_some() => fs::remove_file(&path),
            _ => Ok(()),
        };
        // They cost space and nothing else, and the next start finds them again.
        if let Err(error) = removed {
            tracing::warn!(%error, path = %path.display(), "a leftover could not be removed");
        }
    }
    sync_dir(dir)?;
    Ok(database)
}

/// The database in force, or, where the pointer to it cannot be read, the newest there is. Changes
/// nothing.
pub(crate) fn find(dir: &Path) -> Result<PathBuf, Error> {
    if let Ok(Some(number)) = current(dir) {
        return Ok(database_path(dir, number));
    }
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        newest = newest.max(name.to_str().and_then(parse));
    }
    match newest {
        Some(number) => Ok(database_path(dir, number)),
        None => Err(Error::corrupt("there is no database")),
    }
}

/// Makes `received` (on the same file system) the database in force.
pub(crate) fn switch(dir: &Path, received: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir)?;
    let number = current(dir)?.unwrap_or(0) + 1;
    let database = database_path(dir, number);
    if database.exists() {
        // Left by an install that was interrupted between rename and pointer.
        fs::remove_dir_all(&database)?;
    }
    fs::rename(received, &database)?;
    sync_dir(dir)?;
    point(dir, number)
}

fn create_first(dir: &Path) -> Result<u64, Error> {
    let database = database_path(dir, 1);
    // A database that was used without a pointer to it means that the pointer was lost.
    if database.join("CURRENT").exists() {
        return Err(Error::corrupt(format!(
            "{} exists but {POINTER} does not",
            name(1)
        )));
    }
    fs::create_dir_all(&database)?;
    sync_dir(dir)?;
    point(dir, 1)?;
    Ok(1)
}

pub(crate) fn current(dir: &Path) -> Result<Option<u64>, Error> {
    let path = dir.join(POINTER);
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(meta) if meta.len() > POINTER_BYTES_MAX => {
            return Err(Error::corrupt(format!("{POINTER} is too long")));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path)?;
    match parse(text.trim_end()) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::corrupt(format!("{POINTER} names no database"))),
    }
}

fn point(dir: &Path, number: u64) -> Result<(), Error> {
    let new = dir.join(POINTER_NEW);
    let mut file = File::create(&new)?;
    writeln!(file, "{}", name(number))?;
    file.sync_all()?;
    fs::rename(&new, dir.join(POINTER))?;
    sync_dir(dir)
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    Ok(File::open(dir)?.sync_all()?)
}

fn name(number: u64) -> String {
    format!("{DATABASE}{number:06}")
}

fn parse(name: &str) -> Option<u64> {
    name.strip_prefix(DATABASE)?.parse().ok()
}

fn database_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_replaces_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = enter(dir.path()).unwrap();
        fs::write(first.join("CURRENT"), "x").unwrap();
        assert_eq!(enter(dir.path()).unwrap(), first);
        let received = dir.path().join("received");
        fs::create_dir(&received).unwrap();
        fs::write(received.join("CURRENT"), "y").unwrap();
        switch(dir.path(), &received).unwrap();
        let second = enter(dir.path()).unwrap();
        assert_eq!(fs::read(second.join("CURRENT")).unwrap(), b"y");
        assert!(!first.exists());
        fs::remove_dir_all(&second).unwrap();
        assert!(
            enter(dir.path()).is_err(),
            "a lost database is not replaced by an empty one"
        );
    }
}
