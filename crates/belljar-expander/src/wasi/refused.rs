//! What no guest is given: changing files, sockets, signals.

use belljar_policy::{Access, Request};

use super::paths::asked_for;
use super::{Answer, Refusal, errno, error};
use crate::files::ROOT;
use crate::guest::Call;

/// Records a wish and refuses it, in the same way whether the thing exists or not.
pub(super) fn refuse<T>(call: &mut Call, request: Request) -> Result<T, Refusal> {
    call.refused(request);
    error(errno::ACCES)
}

fn refuse_path(m: &[u8], call: &mut Call, access: Access, fd: u32, path: u32, len: u32) -> Answer {
    let name = asked_for(m, call, access, fd, path, len)?;
    refuse(call, Request::Path { access, path: name.text })
}

pub(super) fn path_create_directory(m: &mut [u8], call: &mut Call, fd: u32, path: u32, len: u32) -> Answer {
    refuse_path(m, call, Access::MakeDirectory, fd, path, len)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_filestat_set_times(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    _: u32,
    path: u32,
    len: u32,
    _: u64,
    _: u64,
    _: u32,
) -> Answer {
    refuse_path(m, call, Access::Touch, fd, path, len)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_link(
    m: &mut [u8],
    call: &mut Call,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    fd: u32,
    path: u32,
    len: u32,
) -> Answer {
    refuse_path(m, call, Access::Link, fd, path, len)
}

pub(super) fn path_remove_directory(m: &mut [u8], call: &mut Call, fd: u32, path: u32, len: u32) -> Answer {
    refuse_path(m, call, Access::Remove, fd, path, len)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_rename(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    path: u32,
    len: u32,
    _: u32,
    _: u32,
    _: u32,
) -> Answer {
    refuse_path(m, call, Access::Rename, fd, path, len)
}

pub(super) fn path_symlink(
    m: &mut [u8],
    call: &mut Call,
    _: u32,
    _: u32,
    fd: u32,
    path: u32,
    len: u32,
) -> Answer {
    refuse_path(m, call, Access::Link, fd, path, len)
}

pub(super) fn path_unlink_file(m: &mut [u8], call: &mut Call, fd: u32, path: u32, len: u32) -> Answer {
    refuse_path(m, call, Access::Remove, fd, path, len)
}

pub(super) fn proc_raise(_: &mut [u8], call: &mut Call, _: u32) -> Answer {
    refuse(call, Request::Signal)
}

fn socket(call: &mut Call, fd: u32) -> Answer {
    call.refused(Request::Socket(None));
    error(if fd <= ROOT || call.files.is_open(fd) { errno::NOTSOCK } else { errno::BADF })
}

pub(super) fn sock_accept(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32) -> Answer {
    socket(call, fd)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn sock_recv(
    _: &mut [u8],
    call: &mut Call,
    fd: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
) -> Answer {
    socket(call, fd)
}

pub(super) fn sock_send(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    socket(call, fd)
}

pub(super) fn sock_shutdown(_: &mut [u8], call: &mut Call, fd: u32, _: u32) -> Answer {
    socket(call, fd)
}
