//! Stamps: small files that cargo watches in place of what it can't watch.
//!
//! cargo compiles a crate again when a file that it depends on is newer than the last build. For what is no file's content
//! (rules of the policy, the names in a directory) there is a stamp below belljar's part of the target directory, which says
//! what it was. The command looks at all stamps before cargo does, and writes those anew that are not true any more.

use std::fs::FileTimes;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest stamp that is read.
const MAX: u64 = 1 << 20;

/// Something that a stamp can say.
pub(crate) trait Stamp: Serialize + DeserializeOwned + PartialEq {
    /// What it is about, apart from what was so: its file's name is a digest of this.
    fn about(&self) -> Vec<&str>;

    /// Whether both say the same to whoever depends on them.
    fn says_the_same(&self, other: &Self) -> bool {
        self == other
    }

    fn path(&self, dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(format!("{}.json", digest(&self.about())))
    }

    /// Makes sure that the stamp is there and says this.
    fn put(&self, dir: &Utf8Path) -> io::Result<Utf8PathBuf> {
        let path = self.path(dir);
        match read::<Self>(&path) {
            Some(there) if there.says_the_same(self) => {}
            // Whoever depends on what it said is to be compiled again.
            Some(_) => write(&path, self, SystemTime::now())?,
            None => write(&path, self, long_ago())?,
        }
        Ok(path)
    }
}

/// Older than any build, or cargo would take it for something that changed while it compiled.
pub(crate) fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

/// A name made of texts.
pub(crate) fn digest(texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Writes anew the stamps in `dir` that say something else `now`.
pub(crate) fn refresh<S: Stamp, E>(
    dir: &Utf8Path,
    failed: impl Fn(Utf8PathBuf, io::Error) -> E,
    mut now: impl FnMut(&S) -> Result<S, E>,
) -> Result<(), E> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(dir.to_owned(), e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| failed(dir.to_owned(), e))?.into_path();
        // What is no stamp goes: what depends on it is compiled again.
        match read::<S>(&path).filter(|stamp| stamp.path(dir) == path) {
            None => remove(&path).map_err(|e| failed(path, e))?,
            Some(stamp) => {
                let now = now(&stamp)?;
                if now != stamp {
                    let of_stamp = || path.metadata()?.modified();
                    let time = if now.says_the_same(&stamp) { of_stamp() } else { Ok(SystemTime::now()) };
                    time.and_then(|time| write(&path, &now, time)).map_err(|e| failed(path, e))?;
                }
            }
        }
    }
    Ok(())
}

/// Stamps that are away: whatever depends on them is stale for cargo.
#[derive(Debug)]
pub(crate) struct Away(Vec<(Utf8PathBuf, SystemTime)>);

impl Away {
    pub(crate) fn take(paths: Vec<Utf8PathBuf>) -> Result<Self, (Utf8PathBuf, io::Error)> {
        let mut away = Self(Vec::new());
        for path in paths {
            let taken = path.symlink_metadata().and_then(|m| m.modified()).and_then(|modified| {
                remove(&path)?;
                Ok(modified)
            });
            match taken {
                Ok(modified) => away.0.push((path, modified)),
                Err(error) => {
                    // What is away by now has whatever depends on it compiled again, no more.
                    let _ = away.bring_back();
                    return Err((path, error));
                }
            }
        }
        Ok(away)
    }

    /// Those that were made again get the times that they had: for who did not depend on them meanwhile, nothing has changed.
    pub(crate) fn bring_back(self) -> Result<(), (Utf8PathBuf, io::Error)> {
        for (path, modified) in self.0 {
            let times = FileTimes::new().set_modified(modified);
            let set = std::fs::File::options().write(true).open(&path).and_then(|file| file.set_times(times));
            match set {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((path, e)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// All stamps in `dir`.
pub(crate) fn all<S: Stamp>(dir: &Utf8Path) -> Vec<S> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    let of = |path: &Utf8Path| read::<S>(path).filter(|stamp| stamp.path(dir) == path);
    entries.filter_map(|entry| of(entry.path())).collect()
}

fn read<S: Stamp>(path: &Utf8Path) -> Option<S> {
    path.symlink_metadata().ok().filter(|m| m.is_file() && m.len() <= MAX)?;
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write(path: &Utf8Path, stamp: &impl Stamp, time: SystemTime) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(stamp)?)?;
    file.as_file().set_times(FileTimes::new().set_modified(time))?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn remove(path: &Utf8Path) -> io::Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
    struct Said {
        name: String,
        value: u8,
    }

    impl Stamp for Said {
        fn about(&self) -> Vec<&str> {
            vec![&self.name]
        }
    }

    fn said(name: &str, value: u8) -> Said {
        Said { name: name.to_owned(), value }
    }

    fn modified(path: &Utf8Path) -> SystemTime {
        path.metadata().unwrap().modified().unwrap()
    }

    fn all(dir: &Utf8Path, now: impl Fn(&Said) -> u8) {
        let now = |stamp: &Said| Ok(Said { value: now(stamp), ..stamp.clone() });
        refresh::<Said, (Utf8PathBuf, io::Error)>(dir, |path, e| (path, e), now).unwrap();
    }

    #[test]
    fn a_stamp_is_new_only_when_it_says_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("stamps");
        let (a, b) = (said("a", 1).put(&dir).unwrap(), said("b", 1).put(&dir).unwrap());
        assert_ne!(a, b);
        assert_eq!((modified(&a), modified(&b)), (long_ago(), long_ago()));
        said("a", 1).put(&dir).unwrap();
        assert_eq!(modified(&a), long_ago(), "nothing has changed");
        std::fs::write(dir.join("junk"), "{").unwrap();
        all(&dir, |stamp| if stamp.name == "a" { 2 } else { 1 });
        assert!(modified(&a) > long_ago());
        assert_eq!(modified(&b), long_ago(), "it is not concerned");
        assert!(!dir.join("junk").exists());
        let now = modified(&a);
        said("a", 2).put(&dir).unwrap();
        assert_eq!(modified(&a), now, "the command has written it already");
        said("a", 3).put(&dir).unwrap();
        assert!(modified(&a) > now, "others may depend on what it said");
    }

    #[test]
    fn a_stamp_under_another_name_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("stamps");
        let moved = dir.join("other.json");
        std::fs::rename(said("a", 1).put(&dir).unwrap(), &moved).unwrap();
        all(&dir, |_| 1);
        assert!(!moved.exists());
        all(&dir.join("none"), |_| 1);
    }
}
