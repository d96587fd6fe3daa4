//! Files and directories, and by what they are known to be the same.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use camino::Utf8Path;

/// Entries below one directory that are looked at.
const ENTRIES: usize = 4096;

/// Entries of all directories together in which one unit's native libraries are looked for.
const NATIVE: usize = 16 * 1024;

/// How deep.
const DEPTH: usize = 40;

/// Seconds and nanoseconds since 1970.
pub(super) type Time = (i64, i64);

/// By what a file is known: device, inode, size, time of modification.
pub(super) type Identity = [u64; 5];

/// What was found where a dep-info says.
pub(super) struct Looked {
    pub(super) digest: String,
    /// When the last of it changed.
    pub(super) newest: Option<Time>,
}

#[derive(Default)]
pub(super) struct Looking {
    pub(super) hasher: blake3::Hasher,
    pub(super) newest: Option<Time>,
    pub(super) is_own: bool,
    entries: usize,
    libraries: usize,
    /// Directories of which it is known whether they are links.
    above: HashSet<PathBuf>,
}

impl Looking {
    pub(super) fn add(&mut self, metadata: &Metadata) {
        let parts = identity(metadata);
        let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
        for part in parts.into_iter().chain([seconds.cast_unsigned(), nanoseconds.cast_unsigned()]) {
            self.hasher.update(&part.to_le_bytes());
        }
        if !self.is_own {
            // Some file systems know seconds only, or every other.
            let changed = if nanoseconds == 0 { (seconds + 2, 0) } else { (seconds, nanoseconds) };
            self.newest = self.newest.max(Some(changed));
        }
    }

    /// Links on the way to a file: one that leads elsewhere since the compiler has begun may have led there or here.
    pub(super) fn add_links(&mut self, path: &Path) {
        for step in path.ancestors() {
            if step != path && !self.above.insert(step.to_owned()) {
                break;
            }
            if let Some(link) = step.symlink_metadata().ok().filter(Metadata::is_symlink) {
                self.add(&link);
            }
        }
    }

    /// A file that a linker may read, or a directory in which it looks for libraries, or nothing yet.
    pub(super) fn native(&mut self, path: &Path) -> Option<()> {
        self.name(path.as_os_str().as_bytes());
        self.add_links(path);
        let Ok(metadata) = path.metadata() else {
            self.hasher.update(&[0]);
            return Some(());
        };
        self.hasher.update(&[1]);
        self.add(&metadata);
        if !metadata.is_dir() {
            return Some(());
        }
        for name in self.names(path, |this| &mut this.libraries, NATIVE)? {
            let path = path.join(&name);
            self.name(name.as_bytes());
            let metadata = path.symlink_metadata().ok()?;
            self.add(&metadata);
            if metadata.is_symlink() {
                path.metadata().iter().for_each(|there| self.add(there));
            }
        }
        Some(())
    }

    fn name(&mut self, name: &[u8]) {
        self.hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
    }

    /// What is in a directory, in order, as long as it isn't too much.
    fn names(
        &mut self,
        dir: &Path,
        count: impl Fn(&mut Self) -> &mut usize,
        most: usize,
    ) -> Option<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).ok()? {
            names.push(entry.ok()?.file_name());
            *count(self) += 1;
            if *count(self) > most {
                return None;
            }
        }
        names.sort_unstable();
        self.hasher.update(&(names.len() as u64).to_le_bytes());
        Some(names)
    }

    /// All that can be reached from a directory, as `cargo_util::paths::mtime_recursive` does.
    pub(super) fn walk(&mut self, dir: &Path, depth: usize) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        for name in self.names(dir, |this| &mut this.entries, ENTRIES)? {
            let path = dir.join(&name);
            self.name(name.as_bytes());
            let metadata = path.symlink_metadata().ok()?;
            self.add(&metadata);
            let is_link = metadata.is_symlink();
            let there = if is_link { path.metadata().ok() } else { Some(metadata) };
            self.hasher.update(&[u8::from(there.is_some())]);
            if let Some(there) = there {
                // A link of belljar's leads to what was not there; what is there now may have come while the compiler ran.
                let is_own = self.is_own;
                self.is_own &= !is_link;
                self.add(&there);
                if there.is_dir() {
                    self.walk(&path, depth + 1)?;
                }
                self.is_own = is_own;
            }
        }
        Some(())
    }
}

pub(super) fn identity(metadata: &Metadata) -> Identity {
    let (seconds, nanoseconds) = (metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned());
    [metadata.dev(), metadata.ino(), metadata.len(), seconds, nanoseconds]
}

pub(super) fn modified(metadata: &Metadata) -> io::Result<Time> {
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}

pub(super) fn regular(path: &Utf8Path) -> Option<Metadata> {
    path.symlink_metadata().ok().filter(Metadata::is_file)
}

pub(super) fn content(path: &Utf8Path) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_a_link_of_belljars_leads_to_is_not_belljars() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(dir.path().join("template"), own.join("link")).unwrap();
        let newest = || {
            let mut looking = Looking { is_own: true, ..Looking::default() };
            looking.walk(&own, 0).unwrap();
            assert!(looking.is_own);
            looking.newest
        };
        assert_eq!(newest(), None);
        std::fs::write(dir.path().join("template"), "").unwrap();
        assert!(newest().is_some(), "it has come meanwhile");
    }

    #[test]
    fn whatever_can_be_reached_in_a_directory_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all");
        std::fs::create_dir_all(path.join("deep")).unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "1").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, path.join(name)).unwrap();
        link(&outside, "link");
        link(Path::new("nowhere"), "dangling");
        let walked = || {
            let mut looking = Looking::default();
            looking.walk(&path, 0).map(|()| looking.hasher.finalize())
        };
        let mut seen = vec![walked().unwrap()];
        assert_eq!(walked().unwrap(), seen[0]);
        std::fs::write(path.join("deep/file"), "1").unwrap();
        seen.push(walked().unwrap());
        std::fs::write(&outside, "22").unwrap();
        seen.push(walked().unwrap());
        std::fs::write(path.join("nowhere"), "").unwrap();
        seen.push(walked().unwrap());
        std::fs::rename(path.join("nowhere"), path.join("elsewhere")).unwrap();
        seen.push(walked().unwrap());
        let different: HashSet<_> = seen.iter().map(|digest| *digest.as_bytes()).collect();
        assert_eq!(different.len(), seen.len());
        link(&path, "loop");
        assert_eq!(walked(), None);
    }
}
