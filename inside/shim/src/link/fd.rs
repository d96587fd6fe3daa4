//! The inherited socket. Taking a descriptor by its number needs `unsafe`.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;

use belljar_wire::message::SOCKET_VAR;

/// The socket that the wrapper left for the shims of this process. `None` when there is none: no variable, or one that
/// came from further up and names something else here.
///
/// The variable is the descriptor's number, or the number and the socket's inode (`5:28311`), which no other file has.
pub(super) fn inherited() -> Option<UnixStream> {
    let value = std::env::var(SOCKET_VAR).ok()?;
    let (number, inode) = match value.split_once(':') {
        Some((number, inode)) => (number, Some(inode.parse::<u64>().ok()?)),
        None => (value.as_str(), None),
    };
    // The first three are never the wrapper's.
    let number: RawFd = number.parse().ok().filter(|&n| n > 2)?;
    // SAFETY: the descriptor is only handed to `fcntl(F_DUPFD_CLOEXEC)`, which reports one that isn't open. It is open
    // as long as this process lives if it is the wrapper's: no shim closes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let file = File::from(borrowed.try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    if !metadata.file_type().is_socket() || inode.is_some_and(|inode| inode != metadata.ino()) {
        return None;
    }
    let socket = UnixStream::from(OwnedFd::from(file));
    let is_of_a_pair = socket.local_addr().ok()?.is_unnamed() && socket.peer_addr().ok()?.is_unnamed();
    if !is_of_a_pair {
        return None;
    }
    keep_from_children(number);
    Some(socket)
}

/// The linker that rustc starts has no business with the expander. The duplicate is closed in children by itself; the
/// descriptor the other shims of this process will look for has to be told.
fn keep_from_children(number: RawFd) {
    // Of the C library that std links. The same values on every Unix.
    unsafe extern "C" {
        fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    }
    const F_SETFD: c_int = 2;
    const FD_CLOEXEC: c_int = 1;
    // SAFETY: `F_SETFD` takes an `int` and touches no memory.
    unsafe { fcntl(number, F_SETFD, FD_CLOEXEC) };
}
