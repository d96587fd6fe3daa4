//! Stamps: small files that cargo watches in place of what it can't watch.
//!
//! cargo compiles a crate again when a file that it depends on is newer than the last build. For what is no file's content
//! (rules of the policy, the names in a directory) there is a stamp below belljar's part of the target directory, which says
//! what it was. The command looks at all stamps before cargo does, and writes those anew that are not true any more.

use std::io;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::own_dir::{OwnDir, is_digest_json};

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

    /// Whether others learn from its time that it says something else.
    fn is_news(&self) -> bool {
        true
    }

    fn file_name(&self) -> String {
        format!("{}.json", digest(&self.about()))
    }

    fn path(&self, dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(self.file_name())
    }

    /// Makes sure that the stamp is there and says this.
    fn put(&self, dir: &Utf8Path) -> io::Result<Utf8PathBuf> {
        let (own, name) = (OwnDir::make(dir)?, self.file_name());
        match read::<Self>(&own, &name) {
            Some(there) if there.says_the_same(self) => {}
            // Whoever depends on what it said is to be compiled again.
            Some(_) if self.is_news() => write(&own, &name, self, SystemTime::now())?,
            _ => write(&own, &name, self, long_ago())?,
        }
        Ok(own.path(&name))
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
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

const DIGITS: usize = 32;

/// Writes anew the stamps in `dir` that say something else `now`.
pub(crate) fn refresh<S: Stamp, E>(
    dir: &Utf8Path,
    failed: impl Fn(Utf8PathBuf, io::Error) -> E,
    mut now: impl FnMut(&S) -> Result<S, E>,
) -> Result<(), E> {
    let Some(own) = OwnDir::open(dir).map_err(|e| failed(dir.to_owned(), e))? else { return Ok(()) };
    for name in names(&own).map_err(|e| failed(dir.to_owned(), e))? {
        // What is no stamp goes: what depends on it is compiled again.
        match read::<S>(&own, &name) {
            None => own.remove(&name).map_err(|e| failed(own.path(&name), e))?,
            Some(stamp) => {
                let now = now(&stamp)?;
                if now != stamp {
                    let of_stamp = || own.path(&name).symlink_metadata()?.modified();
                    let time = if now.says_the_same(&stamp) { of_stamp() } else { Ok(SystemTime::now()) };
                    time.and_then(|time| write(&own, &name, &now, time))
                        .map_err(|e| failed(own.path(&name), e))?;
                }
            }
        }
    }
    Ok(())
}

/// The files that have a stamp's name.
fn names(dir: &OwnDir) -> io::Result<Vec<String>> {
    let mut names = dir.names()?;
    names.retain(|name| is_digest_json(name, DIGITS));
    Ok(names)
}

/// Stamps that look new, with the times that they had: whatever depends on them is stale for cargo.
#[derive(Debug)]
pub(crate) struct Renewed(Vec<(Utf8PathBuf, SystemTime)>);

impl Renewed {
    pub(crate) fn of(paths: Vec<Utf8PathBuf>) -> Result<Self, (Utf8PathBuf, io::Error)> {
        let mut renewed = Self(Vec::new());
        for path in paths {
            let before = place(&path).and_then(|(dir, name)| {
                let modified = dir.modified(&name)?;
                dir.set_modified(&name, SystemTime::now())?;
                Ok(modified)
            });
            match before {
                Ok(modified) => renewed.0.push((path, modified)),
                Err(error) => {
                    // Where that fails too, more is compiled again than need be.
                    let _ = renewed.restore();
                    return Err((path, error));
                }
            }
        }
        Ok(renewed)
    }

    /// For who did not depend on them meanwhile, nothing has changed.
    pub(crate) fn restore(self) -> Result<(), (Utf8PathBuf, io::Error)> {
        for (path, modified) in self.0 {
            match place(&path).and_then(|(dir, name)| dir.set_modified(&name, modified)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((path, e)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// All stamps in `dir`.
pub(crate) fn all<S: Stamp>(dir: &Utf8Path) -> Vec<S> {
    // One that could not be used has been an error before.
    let Ok(Some(own)) = OwnDir::open(dir) else { return Vec::new() };
    names(&own).unwrap_or_default().iter().filter_map(|name| read(&own, name)).collect()
}

/// The directory of a stamp, and its name there.
fn place(path: &Utf8Path) -> io::Result<(OwnDir, String)> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let (dir, name) = path.parent().zip(path.file_name()).ok_or_else(missing)?;
    Ok((OwnDir::open(dir)?.ok_or_else(missing)?, name.to_owned()))
}

/// The stamp of that name. One under another name than its own is not believed.
fn read<S: Stamp>(dir: &OwnDir, name: &str) -> Option<S> {
    let stamp: S = serde_json::from_slice(&dir.read(name, MAX).ok()?).ok()?;
    (stamp.file_name() == name).then_some(stamp)
}

fn write(dir: &OwnDir, name: &str, stamp: &impl Stamp, time: SystemTime) -> io::Result<()> {
    dir.write(name, &serde_json::to_vec(stamp)?, Some(time))
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
        let junk = format!("{}.json", "0".repeat(DIGITS));
        std::fs::write(dir.join(&junk), "{").unwrap();
        std::fs::write(dir.join("notes.txt"), "mine").unwrap();
        all(&dir, |stamp| if stamp.name == "a" { 2 } else { 1 });
        assert!(modified(&a) > long_ago());
        assert_eq!(modified(&b), long_ago(), "it is not concerned");
        assert!(!dir.join(junk).exists());
        assert!(dir.join("notes.txt").exists(), "belljar gives no such name");
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
        let moved = dir.join(format!("{}.json", "0".repeat(DIGITS)));
        std::fs::rename(said("a", 1).put(&dir).unwrap(), &moved).unwrap();
        all(&dir, |_| 1);
        assert!(!moved.exists());
        all(&dir.join("none"), |_| 1);
    }
}
