//! What is seen of a thing through its handle: once, and as a whole.

use std::fmt;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

/// What kind of thing something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    /// Pipes, sockets, devices: never opened.
    Special,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        }
    }

    /// `filetype` of WASI.
    pub(crate) fn number(self) -> u8 {
        match self {
            Kind::Special => 0,
            Kind::Directory => 3,
            Kind::File => 4,
            Kind::Link => 7,
        }
    }
}

/// What can be asked of a thing without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    /// Bytes of a file, or of a link's target; nothing of anything else.
    pub(crate) size: u64,
    /// When it was last read, written, changed: nanoseconds since 1970.
    pub(crate) times: [u64; 3],
}

impl Stat {
    pub(super) fn of(handle: &OwnedFd) -> rustix::io::Result<Self> {
        let stat = fs::fstat(handle)?;
        let kind = Kind::of(FileType::from_raw_mode(stat.st_mode));
        let size = match kind {
            Kind::File | Kind::Link => u64::try_from(stat.st_size).unwrap_or(0),
            Kind::Directory | Kind::Special => 0,
        };
        let times = [
            time(stat.st_atime, stat.st_atime_nsec),
            time(stat.st_mtime, stat.st_mtime_nsec),
            time(stat.st_ctime, stat.st_ctime_nsec),
        ];
        Ok(Self { kind, size, times })
    }

    /// What is known of it without reading it.
    pub(crate) fn seen(&self) -> Seen {
        match self.kind {
            Kind::File => Seen::File { size: self.size, digest: None },
            Kind::Directory => Seen::Directory { entries: None },
            // A link is read to be seen: its target tells.
            Kind::Link | Kind::Special => Seen::Special,
        }
    }

    /// Whether nothing was written in between.
    fn unchanged(&self, later: &Self) -> bool {
        self.size == later.size && self.times[1..] == later.times[1..]
    }
}

fn time(seconds: i64, nanoseconds: impl TryInto<u64>) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000);
    seconds.saturating_add(nanoseconds.try_into().unwrap_or(0))
}

/// Why there is no snapshot.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It may not be read by this user.
    Forbidden,
    /// It is larger, or has more entries, than is allowed.
    TooLarge,
    /// It was written to while it was read.
    Changing,
    Failed(std::io::Error),
}

impl From<rustix::io::Errno> for Unread {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => Self::Forbidden,
            other => Self::Failed(other.into()),
        }
    }
}

/// A file's content, of `allowed` bytes at most. The handle must be a file's.
pub(crate) fn read(handle: &OwnedFd, allowed: u64) -> Result<(Stat, Vec<u8>), Unread> {
    // The handle was opened without a right to read, so that nothing happened to what is no file. This opens what it holds,
    // and not again by a name.
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = fs::open(path, flags, Mode::empty())?;
    let before = Stat::of(&file)?;
    if before.size > allowed {
        return Err(Unread::TooLarge);
    }
    let file = std::fs::File::from(file);
    let mut content = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0));
    // Some files, those of `/proc` among them, are larger than they say.
    let read = (&file).take(allowed.saturating_add(1)).read_to_end(&mut content);
    read.map_err(Unread::Failed)?;
    if content.len() as u64 > allowed {
        return Err(Unread::TooLarge);
    }
    let after = Stat::of(&file.into())?;
    if !before.unchanged(&after) {
        return Err(Unread::Changing);
    }
    Ok((Stat { size: content.len() as u64, ..after }, content))
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// `filetype` of WASI.
    pub(crate) kind: u8,
}

/// A directory's entries, sorted by the bytes of their names, without `.` and `..`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// Names that are not UTF-8, as far as they can be shown: no guest can say them.
    pub(crate) unspeakable: Vec<String>,
}

impl Listing {
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for Entry { name, kind } in &self.entries {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(&[*kind]);
        }
        for name in &self.unspeakable {
            hasher.update(b"?").update(name.as_bytes());
        }
        hasher.finalize()
    }
}

/// A directory's entries, `allowed` of them at most. The handle must be a directory's.
pub(crate) fn list(handle: &OwnedFd, allowed: u64) -> Result<Listing, Unread> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let open = fs::openat(handle, ".", flags, Mode::empty())?;
    let before = Stat::of(&open)?;
    let mut listing = Listing::default();
    for entry in fs::Dir::read_from(&open)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        if (listing.entries.len() + listing.unspeakable.len()) as u64 >= allowed {
            return Err(Unread::TooLarge);
        }
        let Ok(name) = str::from_utf8(name) else {
            listing.unspeakable.push(String::from_utf8_lossy(name).into_owned());
            continue;
        };
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW);
                // What is gone by now makes the directory another one, which is noticed below.
                stat.map_or(Kind::Special, |stat| Kind::of(FileType::from_raw_mode(stat.st_mode)))
            }
            known => Kind::of(known),
        };
        listing.entries.push(Entry { name: name.to_owned(), kind: kind.number() });
    }
    if !before.unchanged(&Stat::of(&open)?) {
        return Err(Unread::Changing);
    }
    listing.entries.sort_unstable();
    listing.unspeakable.sort_unstable();
    Ok(listing)
}

/// A digest of the names in a directory and of what they are, by which
/// [`Observation::Listing`](crate::Observation::Listing) knows it. The directory itself must not be a link.
pub fn listing_digest(directory: &std::path::Path) -> std::io::Result<blake3::Hash> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let handle = fs::open(directory, flags, Mode::empty())?;
    match list(&handle, u64::MAX) {
        Ok(listing) => Ok(listing.digest()),
        Err(Unread::Failed(error)) => Err(error),
        Err(Unread::Forbidden) => Err(std::io::ErrorKind::PermissionDenied.into()),
        Err(Unread::TooLarge | Unread::Changing) => Err(std::io::ErrorKind::Interrupted.into()),
    }
}

/// What was seen under one name, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Absent,
    File { size: u64, digest: Option<blake3::Hash> },
    Directory { entries: Option<blake3::Hash> },
    Link { to: String },
    Special,
}

impl Seen {
    /// What both say together, unless they contradict each other.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let both = |a: &Option<blake3::Hash>, b: &Option<blake3::Hash>| match (a, b) {
            (Some(a), Some(b)) if a != b => None,
            (a, b) => Some(a.or(*b)),
        };
        Some(match (self, other) {
            (Seen::File { size, digest }, Seen::File { size: now, digest: other }) if size == now => {
                Seen::File { size: *size, digest: both(digest, other)? }
            }
            (Seen::Directory { entries }, Seen::Directory { entries: other }) => {
                Seen::Directory { entries: both(entries, other)? }
            }
            (Seen::File { .. } | Seen::Directory { .. }, _) => return None,
            (before, now) if before == now => now.clone(),
            _ => return None,
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Absent => f.write_str("not there"),
            Seen::File { size, digest: None } => write!(f, "a file of {size} bytes"),
            Seen::File { size, digest: Some(digest) } => {
                write!(f, "a file of {size} bytes (BLAKE3 {}…)", &digest.to_hex()[..8])
            }
            Seen::Directory { entries: None } => f.write_str("a directory"),
            Seen::Directory { entries: Some(_) } => f.write_str("a directory with certain entries"),
            Seen::Link { to } => write!(f, "a link to `{}`", to.escape_debug()),
            Seen::Special => f.write_str("neither a file nor a directory"),
        }
    }
}
