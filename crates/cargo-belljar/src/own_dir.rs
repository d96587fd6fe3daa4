//! Directories of belljar's own in cargo's target directory: `<target>/belljar`, and those in it.
//!
//! A target directory can come with a project that somebody else wrote, and in it links that lead to the user's files. The
//! target directory itself may be a link: people do that. Below it, every directory of belljar's is a real one of this user's or
//! an error; each step goes through the descriptor of the one before, so that what was looked at is what is used. Nothing
//! is removed but regular files, one by one, of a name that belljar gives.

use std::fs::{File, FileTimes, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// All of them, below `<target>/belljar`.
const NAMES: [&str; 11] = [
    "absent",
    "ahead",
    "differences",
    "empty",
    "log",
    "policy",
    "probe",
    "seen",
    "sessions",
    "units",
    "written",
];

/// How the names of files begin that aren't whole yet.
const NEW: &str = ".new-";

/// Something else is where a directory or a file of belljar's should be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} is {what}, in a place where belljar keeps files of its own: belljar leaves it alone, and what is behind it\nnext: find out who put it there, and remove it"
)]
pub(crate) struct NotOurs {
    path: Utf8PathBuf,
    what: &'static str,
}

impl From<NotOurs> for io::Error {
    fn from(error: NotOurs) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

/// What to do about an error of this module's, or `otherwise` where it doesn't say so itself.
pub(crate) fn advice<'a>(error: &io::Error, otherwise: &'a str) -> AdviceText<'a> {
    let says_itself = error.get_ref().is_some_and(|inner| inner.is::<NotOurs>());
    AdviceText((!says_itself).then_some(otherwise))
}

/// A line with the next step, or nothing.
pub(crate) struct AdviceText<'a>(Option<&'a str>);

impl std::fmt::Display for AdviceText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |advice| write!(f, "\nnext: {advice}"))
    }
}

/// Looks at all of them before anything is done: a link among them is an error. Those that aren't there are made later.
pub(crate) fn check(belljar_dir: &Utf8Path) -> io::Result<()> {
    let Some(belljar) = OwnDir::find(belljar_dir, &[])? else { return Ok(()) };
    NAMES.iter().try_for_each(|name| belljar.beneath(name).map(drop))
}

/// Is this the name of a `.json` file that is a digest of so many digits?
pub(crate) fn is_digest_json(name: &str, digits: usize) -> bool {
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    name.strip_suffix(".json").is_some_and(|stem| stem.len() == digits && stem.bytes().all(hex))
}

/// A directory of belljar's own, looked at and open.
#[derive(Debug)]
pub(crate) struct OwnDir {
    path: Utf8PathBuf,
    fd: OwnedFd,
}

impl OwnDir {
    /// `<target>/belljar/<name>`, if it is there.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Option<Self>> {
        let (belljar_dir, name) = split(path)?;
        Self::find(belljar_dir, &[name])
    }

    /// `<target>/belljar/<name>`, made if it isn't there.
    pub(crate) fn make(path: &Utf8Path) -> io::Result<Self> {
        let (belljar_dir, name) = split(path)?;
        let (target_dir, belljar) = split(belljar_dir)?;
        make_target(target_dir)?;
        let target_dir = Self { path: target_dir.to_owned(), fd: open_any(target_dir)? };
        target_dir.directory(belljar)?.directory(name)
    }

    fn find(belljar_dir: &Utf8Path, names: &[&str]) -> io::Result<Option<Self>> {
        let (target_dir, belljar) = split(belljar_dir)?;
        let fd = match open_any(target_dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            fd => fd?,
        };
        let mut dir = Self { path: target_dir.to_owned(), fd };
        for name in [belljar].iter().chain(names) {
            match dir.beneath(name)? {
                Some(found) => dir = found,
                None => return Ok(None),
            }
        }
        Ok(Some(dir))
    }

    /// A directory in this one, if it is there.
    fn beneath(&self, name: &str) -> io::Result<Option<Self>> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) if rustix::fs::fstat(&fd)?.st_uid != rustix::process::geteuid().as_raw() => {
                Err(NotOurs { path, what: "a directory of another user's" }.into())
            }
            Ok(fd) => Ok(Some(Self { path, fd })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(NotOurs { path, what: self.kind(name)? }.into()),
            Err(e) => Err(e.into()),
        }
    }

    /// A directory in this one, made if it isn't there.
    pub(crate) fn directory(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        self.beneath(name)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What is at that name, for a person.
    fn kind(&self, name: &str) -> io::Result<&'static str> {
        let found = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => "a symbolic link",
            FileType::Directory => "a directory",
            FileType::RegularFile => "a file",
            _ => "neither a file nor a directory",
        })
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// The names of what is in it. Files that were left behind unfinished are not among them, and go in time.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            // None of belljar's is anything but ASCII.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with(NEW) {
                let age = self.modified(name).ok().and_then(|modified| modified.elapsed().ok());
                if age.is_some_and(|age| age > DAY) {
                    self.remove(name)?;
                }
            } else if !matches!(name, "." | "..") {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A regular file that is there.
    fn file(&self, name: &str) -> io::Result<File> {
        // Neither follows a link nor waits for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(NotOurs { path: self.path(name), what: self.kind(name)? }.into());
            }
            opened => File::from(opened?),
        };
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(NotOurs { path: self.path(name), what: self.kind(name)? }.into()),
        }
    }

    /// What a file says that is `max` bytes long at most.
    pub(crate) fn read(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let mut bytes = Vec::new();
        // It may grow meanwhile.
        file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > max {
            true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max} bytes"))),
            false => Ok(bytes),
        }
    }

    /// When a regular file was changed.
    pub(crate) fn modified(&self, name: &str) -> io::Result<SystemTime> {
        self.file(name)?.metadata()?.modified()
    }

    pub(crate) fn set_modified(&self, name: &str, time: SystemTime) -> io::Result<()> {
        let file = self.file(name)?;
        file.set_times(FileTimes::new().set_modified(time))
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
        let (new, mut file) = self.new_file()?;
        let mut written = file.write_all(bytes);
        if let (Ok(()), Some(time)) = (&written, modified) {
            written = file.set_times(FileTimes::new().set_modified(time));
        }
        let written = written.and_then(|()| match rustix::fs::renameat(&self.fd, &new, &self.fd, name) {
            Err(Errno::ISDIR) => Err(NotOurs { path: self.path(name), what: "a directory" }.into()),
            renamed => Ok(renamed?),
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.fd, &new, AtFlags::empty());
        }
        written
    }

    /// A file under a name that nobody has.
    fn new_file(&self) -> io::Result<(String, File)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{NEW}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            match rustix::fs::openat(&self.fd, &name, flags, Mode::from_raw_mode(0o600)) {
                // Left by a process of that number, or by one of another container.
                Err(Errno::EXIST) => {}
                opened => return Ok((name, File::from(opened?))),
            }
        }
    }

    /// Gives a file that is elsewhere a name here too, in the place of what has it.
    pub(crate) fn keep(&self, name: &str, file: &Utf8Path) -> io::Result<()> {
        self.remove(name)?;
        Ok(rustix::fs::linkat(CWD, file.as_std_path(), &self.fd, name, AtFlags::empty())?)
    }

    /// Gives a regular file of this directory a name elsewhere too, where nothing has it.
    pub(crate) fn give_back(&self, name: &str, to: &Utf8Path) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.fd, name, CWD, to.as_std_path(), AtFlags::empty())?)
    }

    /// A regular file's metadata.
    pub(crate) fn metadata(&self, name: &str) -> io::Result<Metadata> {
        self.file(name)?.metadata()
    }

    /// Removes a regular file. What else is there stays.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let is_file = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => FileType::from_raw_mode(found?.st_mode) == FileType::RegularFile,
        };
        match is_file.then(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())) {
            None | Some(Ok(()) | Err(Errno::NOENT)) => Ok(()),
            Some(Err(e)) => Err(e.into()),
        }
    }
}

impl AsFd for OwnDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn split(path: &Utf8Path) -> io::Result<(&Utf8Path, &str)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("{path} is no directory of belljar's"));
    path.parent().zip(path.file_name()).ok_or_else(bad)
}

/// A directory that the user chose, whatever leads to it.
fn open_any(path: &Utf8Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path.as_std_path(), flags, Mode::empty())?)
}

/// Makes a target directory as cargo makes it: marked as something that can be made again, so that backups leave it out.
/// Source: the Cache Directory Tagging Specification.
fn make_target(target_dir: &Utf8Path) -> io::Result<()> {
    const TAG: &str =
        "Signature: 8a477f597d28d172789f06886806bc55\n# Cargo's target directory, made by belljar.\n";
    if target_dir.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(target_dir)?;
    std::fs::write(target_dir.join("CACHEDIR.TAG"), TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("target");
        (dir, path)
    }

    fn link(to: &Utf8Path, at: &Utf8Path) {
        std::os::unix::fs::symlink(to, at).unwrap();
    }

    #[test]
    fn a_target_directory_may_be_a_link_and_nothing_below_it() {
        let (_keep, target) = target();
        let (real, outside) = (target.with_file_name("real"), target.with_file_name("outside"));
        std::fs::create_dir_all(outside.join("log")).unwrap();
        std::fs::create_dir(&real).unwrap();
        link(&real, &target);
        let belljar = target.join("belljar");
        check(&belljar).unwrap();
        OwnDir::make(&belljar.join("log")).unwrap().write("a", b"1", None).unwrap();
        assert_eq!(std::fs::read(real.join("belljar/log/a")).unwrap(), b"1");

        for path in [belljar.join("log"), belljar.clone()] {
            std::fs::remove_dir_all(&path).unwrap();
            link(&outside, &path);
            for error in [
                check(&belljar).unwrap_err(),
                OwnDir::open(&belljar.join("log")).unwrap_err(),
                OwnDir::make(&belljar.join("log")).unwrap_err(),
            ] {
                let text = error.to_string();
                assert!(text.starts_with(&format!("{path} is a symbolic link, ")), "{text}");
                assert!(text.contains("\nnext: ") && advice(&error, "else").to_string().is_empty());
            }
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        std::fs::write(belljar.join("seen"), "").unwrap();
        assert!(check(&belljar).unwrap_err().to_string().contains("seen is a file"));
    }

    #[test]
    fn only_regular_files_are_read_and_removed() {
        let (_keep, target) = target();
        let path = target.join("belljar/log");
        assert!(OwnDir::open(&path).unwrap().is_none());
        let dir = OwnDir::make(&path).unwrap();
        assert!(target.join("CACHEDIR.TAG").is_file());
        let outside = target.join("outside");
        std::fs::write(&outside, "mine").unwrap();
        link(&outside, &path.join("link"));
        std::fs::create_dir(path.join("directory")).unwrap();
        rustix::fs::mkfifoat(&dir, "fifo", Mode::from_raw_mode(0o600)).unwrap();
        for name in ["link", "directory", "fifo"] {
            assert!(dir.read(name, 100).is_err(), "{name}");
            dir.remove(name).unwrap();
            assert!(path.join(name).symlink_metadata().is_ok(), "{name}");
        }
        assert!(dir.write("directory", b"1", None).unwrap_err().to_string().contains("is a directory"));
        dir.write("link", b"1", None).unwrap();
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine", "replaced, not followed");
        assert_eq!(dir.names().unwrap(), ["directory", "fifo", "link"], "and nothing unfinished");
        assert_eq!(dir.read("link", 1).unwrap(), b"1");
        assert!(dir.read("link", 0).is_err());
        dir.remove("link").unwrap();
        dir.remove("link").unwrap();
        assert_eq!(dir.names().unwrap(), ["directory", "fifo"]);
    }

    #[test]
    fn what_was_never_finished_goes_in_time() {
        let (_keep, target) = target();
        let dir = OwnDir::make(&target.join("belljar/log")).unwrap();
        for (name, age) in [(".new-1-1", 0), (".new-1-2", 3 * 24 * 3600)] {
            dir.write(name, b"", Some(SystemTime::now() - Duration::from_secs(age))).unwrap();
        }
        assert!(dir.names().unwrap().is_empty());
        assert!(dir.modified(".new-1-1").is_ok() && dir.modified(".new-1-2").is_err());
    }

    #[test]
    fn names_of_digests() {
        assert!(is_digest_json(&format!("{}.json", "0a".repeat(16)), 32));
        for name in ["0a.json", "0g0a0a0a.json", "0A0A0A0A.json", "0a0a0a0a", "0a0a0a0a.json.json"] {
            assert!(!is_digest_json(name, 8), "{name}");
        }
    }
}
