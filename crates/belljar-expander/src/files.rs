//! Files and directories, as far as guests may read them.
//!
//! ```text
//! wasi: path ── name: absolute, without `.` and `..` ── policy: this access to this name? ── no ──> refused, recorded;
//!                                                          │ yes                                    nothing was touched
//!                                                          v
//!        reach: held handle of a trusted directory ── beneath it, no links ── handle of the thing itself
//!                  ^                                      │ a link
//!                  └───────── its target's name ──────────┘
//!                                                          v
//!        snapshot: type from the handle, then content or entries, once ── world: the same as at the last look?
//!                                                          v
//!        files: a descriptor of the guest's, with the snapshot behind it
//! ```
//!
//! Nothing is looked up twice by its name: what was judged is what is read. A guest sees one version of a file from
//! opening to closing it, and one version in all its calls in one compilation: another one is an error, since the crate
//! would come from a mixture that nobody ever had.

mod name;
mod reach;
mod snapshot;
mod world;

pub(crate) use self::name::{BadName, Name, parent};
pub(crate) use self::reach::{Reached, forbidden, look, reach, read_link};
pub use self::snapshot::listing_digest;
pub(crate) use self::snapshot::{Kind, Listing, Seen, Stat, Unread, list, read};
pub(crate) use self::world::World;

/// The directory that guests find open: `/`.
pub(crate) const ROOT: u32 = 3;

/// Descriptors that a guest may have at a time, as is usual natively. It sees the error, so this is the same everywhere.
const MAX_OPEN: usize = 1024;

/// An open file: what it held when it was opened.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) stat: Stat,
    pub(crate) content: Vec<u8>,
    /// Where the next read begins.
    pub(crate) at: u64,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) name: String,
    pub(crate) stat: Stat,
    /// What is in it, since the guest wanted to know.
    pub(crate) listing: Option<Listing>,
}

#[derive(Debug)]
pub(crate) enum Open {
    File(File),
    Directory(Directory),
}

/// The descriptors of one instance, beyond those that it finds open. Nothing is allocated until there is one.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// From the number behind [`ROOT`] on.
    open: Vec<Option<Open>>,
    /// What is in `/`.
    root: Option<Listing>,
    /// Bytes of the contents of all open files.
    held: u64,
}

fn index(fd: u32) -> Option<usize> {
    usize::try_from(fd.checked_sub(ROOT + 1)?).ok()
}

impl Files {
    fn get(&self, fd: u32) -> Option<&Open> {
        self.open.get(index(fd)?)?.as_ref()
    }

    /// Whether this descriptor is one that the guest has opened.
    pub(crate) fn is_open(&self, fd: u32) -> bool {
        self.get(fd).is_some()
    }

    pub(crate) fn file(&self, fd: u32) -> Option<&File> {
        match self.get(fd)? {
            Open::File(file) => Some(file),
            Open::Directory(_) => None,
        }
    }

    pub(crate) fn file_mut(&mut self, fd: u32) -> Option<&mut File> {
        match self.open.get_mut(index(fd)?)?.as_mut()? {
            Open::File(file) => Some(file),
            Open::Directory(_) => None,
        }
    }

    /// The name and the state of a directory that the guest has opened.
    pub(crate) fn directory(&self, fd: u32) -> Option<&Directory> {
        match self.get(fd)? {
            Open::Directory(directory) => Some(directory),
            Open::File(_) => None,
        }
    }

    /// The entries of an open directory, [`ROOT`] among them, if they were read.
    pub(crate) fn listing(&self, fd: u32) -> Option<&Listing> {
        if fd == ROOT { self.root.as_ref() } else { self.directory(fd)?.listing.as_ref() }
    }

    /// Keeps the entries of an open directory.
    pub(crate) fn keep_listing(&mut self, fd: u32, listing: Listing) {
        if fd == ROOT {
            self.root = Some(listing);
        } else if let Some(Some(Open::Directory(directory))) =
            index(fd).and_then(|index| self.open.get_mut(index))
        {
            directory.listing = Some(listing);
        }
    }

    /// Bytes of the contents of all open files.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Whether there can be one more.
    pub(crate) fn room(&self) -> bool {
        self.open.len() < MAX_OPEN || self.open.iter().any(Option::is_none)
    }

    /// Gives it the lowest free number, as on Unix. `None`: there are too many.
    pub(crate) fn add(&mut self, open: Open) -> Option<u32> {
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        let fd = u32::try_from(free).ok().filter(|_| free < MAX_OPEN)? + ROOT + 1;
        if free == self.open.len() {
            self.open.push(None);
        }
        if let Open::File(file) = &open {
            self.held = self.held.saturating_add(file.content.len() as u64);
        }
        self.open[free] = Some(open);
        Some(fd)
    }

    /// Whether it was open.
    pub(crate) fn close(&mut self, fd: u32) -> bool {
        let closed = index(fd).and_then(|index| self.open.get_mut(index)?.take());
        if let Some(Open::File(file)) = &closed {
            self.held = self.held.saturating_sub(file.content.len() as u64);
        }
        closed.is_some()
    }

    /// Puts what is open at `from` in the place of what is open at `to`, and whether both were.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> bool {
        if !self.is_open(from) || !self.is_open(to) {
            return false;
        }
        if from != to {
            self.close(to);
            if let (Some(from), Some(to)) = (index(from), index(to)) {
                self.open.swap(from, to);
            }
        }
        true
    }
}
