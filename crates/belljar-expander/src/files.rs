//! Files as guests see them.
//!
//! A guest names a path, and gets what is there if its rules grant that name. Nothing else of the machine has a say:
//!
//! - The decision comes first and is by name alone. What isn't granted is not looked at, so a refusal is the same, and as
//!   quick, whether there is something or not.
//! - What is granted is found component by component, from the fixed part of the grant down, each step by the handle of the
//!   one before and never through a link. A link's target is a new name, to be granted like any other. So nobody who
//!   changes the tree meanwhile can lead the search elsewhere.
//! - A handle is opened for reading only when it is known to be a file or a directory: a FIFO, a device or a socket never is.
//! - Contents and listings are taken whole when they are opened. What a guest sees of them is one version, and the same one in
//!   the whole compilation, or the expansion fails.
//!
//! Names are made absolute and free of `.` and `..` before anything else, as text.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use belljar_policy::{Access, Decision, Reason, Request};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::error::Cause;
use crate::guest::{Call, stop};
use crate::limits::Limit;
use crate::record::Observation;
use crate::wasi::{Refusal, errno};

/// The directory to which guests' libc takes relative paths to be relative; no real one has this name. See
/// `inside/proc_macro`.
pub(crate) const WORKING_DIRECTORY: &str = "/.belljar-cwd";

/// Links on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;

/// Files and directories that one guest may have open.
const MAX_OPEN: usize = 4096;

/// What an entry of a listing costs beside its name.
const ENTRY_OVERHEAD: u64 = 64;

/// Something that was found, not opened yet.
pub(crate) struct Found {
    /// Can be asked what it is, and nothing else.
    handle: OwnedFd,
    pub(crate) stat: Stat,
    /// Where it is: the name after all links.
    pub(crate) name: String,
}

/// What a guest's descriptor stands for.
pub(crate) struct Open {
    pub(crate) name: String,
    pub(crate) stat: Stat,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    File {
        bytes: Arc<[u8]>,
        /// Where the next read begins.
        at: u64,
    },
    /// The entries once they have been asked for, sorted.
    Directory { handle: OwnedFd, entries: Option<Arc<[Entry]>> },
}

pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: FileType,
}

/// The files and directories that a guest has open.
#[derive(Default)]
pub(crate) struct Files {
    open: Vec<Option<Open>>,
    /// Bytes of their contents and listings.
    held: u64,
}

impl Files {
    pub(crate) fn get(&mut self, number: usize) -> Option<&mut Open> {
        self.open.get_mut(number)?.as_mut()
    }

    /// Puts it at the lowest free number.
    pub(crate) fn insert(&mut self, open: Open) -> Result<usize, Refusal> {
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if free >= MAX_OPEN {
            return Err(Refusal::Errno(errno::MFILE));
        }
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(open);
        Ok(free)
    }

    pub(crate) fn close(&mut self, number: usize) -> Option<Open> {
        let open = self.open.get_mut(number)?.take()?;
        self.held = self.held.saturating_sub(open.held());
        Some(open)
    }

    /// Puts what is open as `from` in the place of `to`.
    pub(crate) fn renumber(&mut self, from: usize, to: usize) -> bool {
        if self.get(from).is_none() || self.get(to).is_none() {
            return false;
        }
        if from != to {
            self.close(to);
            self.open.swap(from, to);
        }
        true
    }
}

impl Open {
    fn held(&self) -> u64 {
        match &self.content {
            Content::File { bytes, .. } => bytes.len() as u64,
            Content::Directory { entries, .. } => {
                entries.iter().flat_map(|entries| entries.iter()).map(Entry::held).sum()
            }
        }
    }
}

impl Entry {
    fn held(&self) -> u64 {
        self.name.len() as u64 + ENTRY_OVERHEAD
    }
}

/// An absolute name without `.`, `..` and empty parts: `path`, which is relative to the directory `dir`.
pub(crate) fn absolute(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let dir = if path.starts_with('/') { "" } else { dir };
    for part in dir.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn join(dir: &str, name: &str) -> String {
    if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") }
}

/// The rest of a name below a directory.
fn below<'a>(dir: &str, name: &'a str) -> Option<&'a str> {
    match name.strip_prefix(dir)? {
        "" => Some(""),
        rest if dir.ends_with('/') => Some(rest),
        rest => rest.strip_prefix('/'),
    }
}

impl Call {
    /// The name by which rules know a guest's path.
    pub(crate) fn real_name(&mut self, name: String) -> Result<String, Refusal> {
        let Some(rest) = below(WORKING_DIRECTORY, &name) else { return Ok(name) };
        let Some(cwd) = self.working_directory() else {
            self.refuse(Request::Path { access: Access::LookAt, path: name }, Reason::NotGranted);
            return Err(Refusal::Errno(errno::ACCES));
        };
        Ok(absolute(&cwd, rest))
    }

    /// The compiler's working directory, which the guest gets to know.
    pub(crate) fn working_directory(&mut self) -> Option<String> {
        let cwd = self.rules.cwd()?.to_owned();
        self.observations.insert(Observation::WorkingDirectory { path: cwd.clone() });
        Some(cwd)
    }

    fn refuse(&mut self, request: Request, reason: Reason) {
        self.attempts.record(request, &Decision::Refused(reason));
    }

    /// Finds what is at a name, if that is granted. Links are followed, the one at the end only if `follow` says so.
    pub(crate) fn find(&mut self, access: Access, name: String, follow: bool) -> Result<Found, Refusal> {
        let mut name = name;
        for _ in 0..=MAX_LINKS {
            if !self.granted(Request::Path { access, path: name.clone() }) {
                return Err(Refusal::Errno(errno::ACCES));
            }
            match self.find_below_root(access, &name, follow)? {
                Step::Found(found) => return Ok(found),
                Step::Link { target } => name = target,
            }
        }
        Err(Refusal::Errno(errno::LOOP))
    }

    fn find_below_root(&mut self, access: Access, name: &str, follow: bool) -> Result<Step, Refusal> {
        // What is granted has a root above it; a name that has none is not granted after all.
        let root = self.rules.root_of(access, name).unwrap_or_default();
        let parent = name.rsplit_once('/').map_or("/", |(dir, _)| if dir.is_empty() { "/" } else { dir });
        let root = if root == name && name != "/" { parent.to_owned() } else { root };
        let Some(rest) = below(&root, name).filter(|_| root.starts_with('/')) else {
            return Err(Refusal::Errno(errno::ACCES));
        };
        let path = OFlags::PATH | OFlags::CLOEXEC;
        let mut dir = match openat(CWD, &*root, path | OFlags::DIRECTORY, Mode::empty()) {
            Ok(dir) => dir,
            Err(e) => return Err(self.not_found(e, name, &root)),
        };
        let mut stat = fstat(&dir)?;
        let mut here = root;
        let mut parts = rest.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let there = join(&here, part);
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                self.observations.insert(Observation::File { path: here });
                return Err(Refusal::Errno(errno::NOTDIR));
            }
            let next = match openat(&dir, part, path | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(next) => next,
                Err(e) => return Err(self.not_found(e, &there, &here)),
            };
            stat = fstat(&next)?;
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if is_link && (follow || parts.peek().is_some()) {
                let target = readlinkat(&next, c"", Vec::new())?.into_bytes();
                let Ok(target) = String::from_utf8(target) else {
                    let path = there;
                    self.refuse(Request::Path { access, path }, Reason::NotGranted);
                    return Err(Refusal::Errno(errno::ACCES));
                };
                self.observations.insert(Observation::Link { path: there, target: target.clone() });
                let rest: Vec<&str> = std::iter::once(&*target).chain(parts).collect();
                return Ok(Step::Link { target: absolute(&here, &rest.join("/")) });
            }
            (dir, here) = (next, there);
        }
        Ok(Step::Found(Found { handle: dir, stat, name: here }))
    }

    /// Nothing is at `name`, or it can't be reached.
    fn not_found(&mut self, error: Errno, name: &str, dir: &str) -> Refusal {
        self.observations.insert(match error {
            Errno::NOENT => Observation::Absent { path: name.to_owned() },
            _ => Observation::File { path: dir.to_owned() },
        });
        error.into()
    }

    /// Notes that the guest gets to know what this is.
    pub(crate) fn saw(&mut self, found: &Found) {
        let path = found.name.clone();
        self.observations.insert(match found.kind() {
            FileType::Directory => Observation::Directory { path },
            // Asked for without being followed.
            FileType::Symlink => match readlinkat(&found.handle, c"", Vec::new()).map(|t| t.into_string()) {
                Ok(Ok(target)) => Observation::Link { path, target },
                _ => Observation::File { path },
            },
            _ => Observation::File { path },
        });
    }

    /// Opens what was found, if it is a file or a directory.
    pub(crate) fn open(&mut self, access: Access, found: Found) -> Result<Open, Refusal> {
        self.saw(&found);
        let content = match found.kind() {
            FileType::Directory => Content::Directory { handle: found.handle, entries: None },
            FileType::RegularFile => Content::File { bytes: self.content(&found)?, at: 0 },
            _ => {
                let request = Request::Path { access, path: found.name };
                self.refuse(request, Reason::NeitherFileNorDirectory);
                return Err(Refusal::Errno(errno::ACCES));
            }
        };
        Ok(Open { name: found.name, stat: found.stat, content })
    }

    fn content(&mut self, found: &Found) -> Result<Arc<[u8]>, Refusal> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = reopened(&found.handle, flags)?;
        let room = self.limits.files.saturating_sub(self.files.held);
        let mut bytes = Vec::new();
        std::fs::File::from(file).take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| {
            Refusal::Errno(e.raw_os_error().map_or(errno::IO, |n| wasi(Errno::from_raw_os_error(n))))
        })?;
        self.hold(bytes.len() as u64)?;
        if !self.recorder.is_still(&found.name, blake3::hash(&bytes)) {
            return Err(Refusal::Stop(stop(Cause::Changed { path: found.name.clone() })));
        }
        Ok(bytes.into())
    }

    /// Counts what is kept in memory for the guest.
    fn hold(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.files.held = self.files.held.saturating_add(bytes);
        if self.files.held > self.limits.files {
            return Err(Refusal::Stop(stop(self.exceeded(Limit::Files))));
        }
        Ok(())
    }

    /// The entries of an open directory, sorted, if it may be listed.
    pub(crate) fn entries(&mut self, number: usize) -> Result<Arc<[Entry]>, Refusal> {
        let not_a_directory = || Refusal::Errno(errno::NOTDIR);
        let open = self.files.get(number).ok_or(Refusal::Errno(errno::BADF))?;
        let Content::Directory { handle, entries } = &open.content else { return Err(not_a_directory()) };
        if let Some(entries) = entries {
            return Ok(Arc::clone(entries));
        }
        let name = open.name.clone();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let handle = reopened(handle, flags);
        if !self.granted(Request::Path { access: Access::List, path: name.clone() }) {
            return Err(Refusal::Errno(errno::ACCES));
        }
        let listed: Arc<[Entry]> = listing(handle?, |entry| self.hold(entry.held()))?.into();
        let digest = digest(&listed);
        // A name no file has: it tells a listing from a file's content.
        if !self.recorder.is_still(&format!("{name}/"), digest) {
            return Err(Refusal::Stop(stop(Cause::Changed { path: name })));
        }
        self.observations.insert(Observation::Listing { path: name, digest });
        if let Some(Open { content: Content::Directory { entries, .. }, .. }) = self.files.get(number) {
            *entries = Some(Arc::clone(&listed));
        }
        Ok(listed)
    }

    /// What a guest gets to know of a file: a `filestat`. Nothing in it depends on the machine, unless real times are granted.
    pub(crate) fn filestat(&self, name: &str, stat: &Stat) -> [u8; 64] {
        const DEVICE: u64 = 1;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let size = match kind {
            FileType::RegularFile | FileType::Symlink => u64::try_from(stat.st_size).unwrap_or_default(),
            _ => 0,
        };
        let real = || {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
            seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec)
        };
        let time = if self.rules.real_time() { real() } else { self.wasi.wall_clock() };
        let mut bytes = [0; 64];
        let fields = [DEVICE, inode(name), u64::from(type_number(kind)), 1, size, time, time, time];
        for (at, field) in fields.iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Where the link at a name leads.
    pub(crate) fn link(&mut self, name: String) -> Result<Vec<u8>, Refusal> {
        // libc's `realpath`, behind `std::fs::canonicalize`, asks this of every directory on the way.
        if self.rules.leads_to_granted(&name) {
            return Err(Refusal::Errno(errno::INVAL));
        }
        let found = self.find(Access::ReadLink, name, false)?;
        self.saw(&found);
        if found.kind() != FileType::Symlink {
            return Err(Refusal::Errno(errno::INVAL));
        }
        Ok(readlinkat(&found.handle, c"", Vec::new())?.into_bytes())
    }
}

/// The entries of a directory, sorted by name. `take` may refuse to have more of them.
fn listing<E: From<Errno>>(
    directory: OwnedFd,
    mut take: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<Vec<Entry>, E> {
    let mut found = Vec::new();
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            let entry = Entry { name: name.to_vec(), kind: entry.file_type() };
            take(&entry)?;
            found.push(entry);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn digest(listing: &[Entry]) -> blake3::Hash {
    let mut digest = blake3::Hasher::new();
    for entry in listing {
        digest.update(&[type_number(entry.kind)]).update(&(entry.name.len() as u64).to_le_bytes());
        digest.update(&entry.name);
    }
    digest.finalize()
}

/// A digest of the names in a directory and of what they are, by which [`Observation::Listing`] knows it. The directory itself
/// must not be a link.
pub fn listing_digest(directory: &std::path::Path) -> std::io::Result<blake3::Hash> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let directory = openat(CWD, directory, flags, Mode::empty())?;
    Ok(digest(&listing::<Errno>(directory, |_| Ok(()))?))
}

enum Step {
    Found(Found),
    /// The way goes on at another name.
    Link {
        target: String,
    },
}

impl Found {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Another handle of the same thing, with other rights; it is not looked up again.
fn reopened(handle: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, format!("/proc/self/fd/{}", handle.as_raw_fd()), flags, Mode::empty())
}

/// Linux's error as WASI has it.
pub(crate) fn wasi(error: Errno) -> u32 {
    match error {
        Errno::ACCESS | Errno::PERM => errno::ACCES,
        Errno::NOENT => errno::NOENT,
        Errno::NOTDIR => errno::NOTDIR,
        Errno::ISDIR => errno::ISDIR,
        Errno::LOOP => errno::LOOP,
        Errno::NAMETOOLONG => errno::NAMETOOLONG,
        Errno::INVAL => errno::INVAL,
        Errno::MFILE | Errno::NFILE => errno::MFILE,
        _ => errno::IO,
    }
}

/// The number that preview 1 has for a kind of file.
pub(crate) fn type_number(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Symlink => 7,
        _ => 0,
    }
}

/// A file's number: some programs compare them to tell whether two names are one file.
pub(crate) fn inode(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_absolute_as_text() {
        for (dir, path, expected) in [
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "/c", "/c"),
            ("/a/b", "../c", "/a/c"),
            ("/a", "../../../etc/passwd", "/etc/passwd"),
            ("/", ".", "/"),
            ("/a", "./b//c/./d/..", "/a/b/c"),
            ("/a", "..", "/"),
            ("/a", "...", "/a/..."),
        ] {
            assert_eq!(absolute(dir, path), expected, "{dir} {path}");
        }
    }

    #[test]
    fn below_is_by_whole_names() {
        assert_eq!(below("/a", "/a/b"), Some("b"));
        assert_eq!(below("/a", "/a"), Some(""));
        assert_eq!(below("/a", "/ab"), None);
        assert_eq!(below("/", "/a"), Some("a"));
        assert_eq!(below("/a/b", "/a"), None);
    }
}
