//! What can go wrong with the store, each with its path and the next step.

use std::fmt;
use std::io;
use std::path::PathBuf;

use camino::Utf8PathBuf;

/// A store that can't be used. An entry that is damaged or missing is never an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error(
        "belljar finds no place for its store: BELLJAR_HOME, XDG_CACHE_HOME and HOME are all unset\n  \
         help: set BELLJAR_HOME to the absolute path of a directory that only you can write"
    )]
    NoHome,

    #[error(
        "{variable} is `{}`, which is not an absolute path in UTF-8\n  \
         help: set BELLJAR_HOME to the absolute path of a directory that only you can write",
        .value.display()
    )]
    BadHome { variable: &'static str, value: PathBuf },

    #[error(
        "belljar's store `{path}` is not a directory\n  \
         help: move it away, or set BELLJAR_HOME to another directory"
    )]
    NotADirectory { path: Utf8PathBuf },

    #[error(
        "belljar's store `{path}` belongs to user {owner}, and belljar runs as user {user}\n  \
         help: run belljar as that user, or set BELLJAR_HOME to a directory of your own"
    )]
    Foreign { path: Utf8PathBuf, owner: u32, user: u32 },

    #[error(
        "others may write to `{path}` (mode {mode:03o}), so they could swap belljar's store\n  \
         help: run `chmod go-w '{path}'`, or set BELLJAR_HOME to a directory that only you can write"
    )]
    Exposed { path: Utf8PathBuf, mode: u32 },

    #[error("belljar can't {doing} `{path}` in its store: {source}\n  help: {}", advice(source))]
    Io { doing: Doing, path: Utf8PathBuf, source: io::Error },
}

/// What was being done to a file of the store when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    Create,
    Read,
    Write,
    Lock,
    Remove,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doing::Create => "create",
            Doing::Read => "read",
            Doing::Write => "write",
            Doing::Lock => "lock",
            Doing::Remove => "remove",
        })
    }
}

impl StoreError {
    pub(crate) fn io(doing: Doing, path: impl Into<Utf8PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}

fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            "make room on that disk, or set BELLJAR_HOME to a directory on another one"
        }
        Kind::ReadOnlyFilesystem | Kind::PermissionDenied | Kind::NotADirectory => {
            "make it writable for you, or set BELLJAR_HOME to a directory that is"
        }
        Kind::Unsupported => {
            "that file system has no file locks: set BELLJAR_HOME to a directory on a local disk"
        }
        _ => "if it stays so, set BELLJAR_HOME to a directory on another disk",
    }
}
