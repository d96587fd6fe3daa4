//! Directories that are made once and used by many: believed only for as long as they are what was made.

use std::fs;
use std::io;

use camino::Utf8Path;

use crate::error::{Doing, StoreError};
use crate::file;

/// Holds the digest of everything else in the directory.
const SEAL: &str = ".belljar-digest";

/// Notes in `dir` what is in it now. Done before the directory gets its place, so that one without a note was never
/// finished.
pub fn seal(dir: &Utf8Path) -> Result<(), StoreError> {
    let digest = digest(dir).map_err(|e| StoreError::io(Doing::Read, dir, e))?;
    let path = dir.join(SEAL);
    fs::write(&path, digest.to_hex().as_bytes()).map_err(|e| StoreError::io(Doing::Write, path, e))
}

/// Is everything in `dir` as it was when [`seal`] noted it? Reads all of it. Links count by where they point, not by what
/// is there.
#[must_use]
pub fn is_sound(dir: &Utf8Path) -> bool {
    let is_directory = fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir());
    is_directory
        && digest(dir)
            .is_ok_and(|now| fs::read(dir.join(SEAL)).is_ok_and(|then| then == now.to_hex().as_bytes()))
}

/// Removes what is not to be believed, whatever it is. Where that fails, it is found again the next time.
pub fn discard(path: &Utf8Path) {
    file::discard(path);
}

fn digest(dir: &Utf8Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    add(dir, true, &mut hasher)?;
    Ok(hasher.finalize())
}

/// Kind, name and content of every entry, in the order of their names.
fn add(dir: &Utf8Path, top: bool, hasher: &mut blake3::Hasher) -> io::Result<()> {
    let mut entries = dir.read_dir_utf8()?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    let mut field = |kind: &[u8], name: &str, content: &[u8]| {
        hasher.update(kind);
        for bytes in [name.as_bytes(), content] {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
    };
    let mut below = Vec::new();
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if top && name == SEAL {
            continue;
        }
        if kind.is_dir() {
            let mut inner = blake3::Hasher::new();
            add(entry.path(), false, &mut inner)?;
            below.push((name.to_owned(), inner.finalize()));
        } else if kind.is_symlink() {
            field(b"l", name, entry.path().read_link_utf8()?.as_str().as_bytes());
        } else if kind.is_file() {
            field(b"f", name, &fs::read(entry.path())?);
        } else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "neither file, directory nor link"));
        }
    }
    for (name, digest) in below {
        field(b"d", &name, digest.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_done_to_a_sealed_directory_shows() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        let make = |name: &str| {
            let dir = home.join(name);
            fs::create_dir_all(dir.join("src")).unwrap();
            fs::write(dir.join("a.rlib"), "library").unwrap();
            fs::write(dir.join("src/lib.rs"), "source").unwrap();
            std::os::unix::fs::symlink("/elsewhere", dir.join("link")).unwrap();
            dir
        };
        let dir = make("unsealed");
        assert!(!is_sound(&dir) && !is_sound(&home.join("absent")));
        type Change = fn(&Utf8Path);
        let changes: [(&str, Change); 8] = [
            ("altered", |dir| fs::write(dir.join("a.rlib"), "librarz").unwrap()),
            ("emptied", |dir| fs::write(dir.join("src/lib.rs"), "").unwrap()),
            ("removed", |dir| fs::remove_file(dir.join("a.rlib")).unwrap()),
            ("added", |dir| fs::write(dir.join("src/other.rs"), "").unwrap()),
            ("renamed", |dir| fs::rename(dir.join("a.rlib"), dir.join("b.rlib")).unwrap()),
            ("pointed elsewhere", |dir| {
                fs::remove_file(dir.join("link")).unwrap();
                std::os::unix::fs::symlink("/there", dir.join("link")).unwrap();
            }),
            ("replaced by a directory", |dir| {
                fs::remove_file(dir.join("a.rlib")).unwrap();
                fs::create_dir(dir.join("a.rlib")).unwrap();
            }),
            ("its note altered", |dir| fs::write(dir.join(SEAL), "0".repeat(64)).unwrap()),
        ];
        for (what, change) in changes {
            let dir = make(what);
            seal(&dir).unwrap();
            assert!(is_sound(&dir), "{what}");
            change(&dir);
            assert!(!is_sound(&dir), "{what}");
        }
    }
}
