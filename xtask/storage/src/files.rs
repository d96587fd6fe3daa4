//! One file per entry in 256 folders; the time of use is the time of change.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::data::Key;
use crate::store::{Entry, Result, Store};

pub struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Files {
            dir: dir.to_path_buf(),
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(&name[..2]).join(&name[2..])
    }
}

/// Writes a file under another name, then renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut done = fs::write(&temporary, bytes);
    if let Err(error) = &done
        && error.kind() == ErrorKind::NotFound
        && let Some(parent) = path.parent()
    {
        fs::create_dir_all(parent)?;
        done = fs::write(&temporary, bytes);
    }
    let done = done.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Sets the time of change to now.
pub fn touch(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.set_modified(SystemTime::now())
}

/// All files below `dir` with their times of change and sizes, oldest first.
pub fn oldest_first(dir: &Path) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut all = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                all.push((meta.modified()?, meta.len(), entry.path()));
            }
        }
    }
    all.sort_unstable();
    Ok(all)
}

impl Store for Files {
    fn get(&mut self, _unit: u64, key: &Key) -> Result<Option<Vec<u8>>> {
        match fs::read(self.path(key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn insert(&mut self, _unit: u64, entries: &[Entry], _now: i64) -> Result<()> {
        for (key, value) in entries {
            write_atomically(&self.path(key), value)?;
        }
        Ok(())
    }

    fn touch(&mut self, _unit: u64, keys: &[Key], _now: i64) -> Result<()> {
        for key in keys {
            touch(&self.path(key))?;
        }
        Ok(())
    }

    fn evict(&mut self, count: u64) -> Result<()> {
        for (_, _, path) in oldest_first(&self.dir)?.iter().take(count as usize) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}
