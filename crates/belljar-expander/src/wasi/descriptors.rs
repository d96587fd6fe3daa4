//! The functions of preview 1 on descriptors and paths. What they do with files is in [`crate::files`].
//!
//! Descriptors 0 to 2 are the standard streams, 3 is the root directory, and from 4 on is what the guest has opened.

use belljar_policy::{Access, Request};

use super::{Answer, MAX_PIECES, ROOT_FD, Refusal, errno, error};
use crate::files::{self, Content, Open};
use crate::guest::{self, Call, MAX_NAME};
use crate::memory;

/// The first descriptor of what the guest has opened.
const FIRST_FD: u32 = ROOT_FD + 1;

const UNKNOWN_TYPE: u8 = 0;
const DIRECTORY_TYPE: u8 = 3;

fn number(fd: u32) -> usize {
    (fd - FIRST_FD) as usize
}

fn opened(call: &mut Call, fd: u32) -> Result<&mut Open, Refusal> {
    let open = (fd >= FIRST_FD).then(|| call.files.get(number(fd))).flatten();
    open.ok_or(Refusal::Errno(errno::BADF))
}

/// The answer to what makes no sense for this descriptor.
fn unsuitable(call: &mut Call, fd: u32) -> Answer {
    if fd > ROOT_FD {
        opened(call, fd)?;
        return error(errno::INVAL);
    }
    error(errno::NOTSUP)
}

/// The answer to a hint that changes nothing.
fn hint(call: &mut Call, fd: u32) -> Answer {
    if fd > ROOT_FD { opened(call, fd).map(drop) } else { error(errno::NOTSUP) }
}

pub(super) fn fd_advise(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64, _: u32) -> Answer {
    hint(call, fd)
}

pub(super) fn fd_allocate(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64) -> Answer {
    unsuitable(call, fd)
}

pub(super) fn fd_close(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    if fd > ROOT_FD && call.files.close(number(fd)).is_none() { error(errno::BADF) } else { Ok(()) }
}

pub(super) fn fd_datasync(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    hint(call, fd)
}

/// What kind of thing a descriptor is, as preview 1 numbers them.
fn file_type(call: &mut Call, fd: u32) -> Result<u8, Refusal> {
    match fd {
        // Not a character device: libc would take it for a terminal.
        0..=2 => Ok(UNKNOWN_TYPE),
        ROOT_FD => Ok(DIRECTORY_TYPE),
        _ => {
            let mode = opened(call, fd)?.stat.st_mode;
            Ok(files::type_number(rustix::fs::FileType::from_raw_mode(mode)))
        }
    }
}

pub(super) fn fd_fdstat_get(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    const READ: u64 = 1 << 1;
    const WRITE: u64 = 1 << 6;
    const ALL: u64 = (1 << 30) - 1;
    let kind = file_type(call, fd)?;
    let (base, inheriting) = match fd {
        0 => (READ, 0),
        1 | 2 => (WRITE, 0),
        // libc asks for no more than this when it opens a file, so that its request says what it wants.
        _ if kind == DIRECTORY_TYPE => (ALL, ALL),
        _ => (ALL & !WRITE, 0),
    };
    let mut stat = [0; 24];
    stat[0] = kind;
    stat[8..16].copy_from_slice(&base.to_le_bytes());
    stat[16..].copy_from_slice(&inheriting.to_le_bytes());
    Ok(memory::write(m, at, &stat)?)
}

pub(super) fn fd_fdstat_set_flags(_: &mut [u8], call: &mut Call, fd: u32, _: u32) -> Answer {
    hint(call, fd)
}

pub(super) fn fd_fdstat_set_rights(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64) -> Answer {
    unsuitable(call, fd)
}

pub(super) fn fd_filestat_get(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    let mut stat = [0; 64];
    if fd > ROOT_FD {
        let open = opened(call, fd)?;
        let (name, of) = (open.name.clone(), open.stat);
        stat = call.filestat(&name, &of);
        // What it has is what was read, not what has become of it.
        if let Content::File { bytes, .. } = &opened(call, fd)?.content {
            stat[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        }
    } else {
        stat[16] = file_type(call, fd)?;
    }
    Ok(memory::write(m, at, &stat)?)
}

pub(super) fn fd_filestat_set_size(_: &mut [u8], call: &mut Call, fd: u32, _: u64) -> Answer {
    unsuitable(call, fd)
}

pub(super) fn fd_filestat_set_times(
    _: &mut [u8],
    call: &mut Call,
    fd: u32,
    _: u64,
    _: u64,
    _: u32,
) -> Answer {
    if fd > ROOT_FD {
        let path = opened(call, fd)?.name.clone();
        return super::refuse(call, Request::Path { access: Access::Touch, path });
    }
    unsuitable(call, fd)
}

/// Copies from `from` into the pieces of the guest's memory. Returns how much it was.
fn scatter(m: &mut [u8], pieces: u32, count: u32, mut from: &[u8]) -> Result<u32, Refusal> {
    if count > MAX_PIECES {
        return Err(Refusal::Errno(errno::INVAL));
    }
    let mut total = 0;
    for i in 0..count {
        let piece = memory::bytes(m, pieces, 8 * count)?;
        let (at, room) = (memory::read_u32(piece, 8 * i)?, memory::read_u32(piece, 8 * i + 4)?);
        // The whole piece has to be the guest's, as for any other host.
        let room = memory::bytes_mut(m, at, room)?;
        let len = room.len().min(from.len());
        room[..len].copy_from_slice(&from[..len]);
        from = &from[len..];
        total += len as u32;
        if from.is_empty() {
            break;
        }
    }
    Ok(total)
}

/// What of a file there is to read from `at` on.
fn rest(bytes: &[u8], at: u64) -> &[u8] {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[at..]
}

pub(super) fn fd_pread(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    pieces: u32,
    count: u32,
    offset: u64,
    read: u32,
) -> Answer {
    if fd <= ROOT_FD {
        return not_a_file(call, fd);
    }
    let Content::File { bytes, .. } = &opened(call, fd)?.content else { return error(errno::ISDIR) };
    let total = scatter(m, pieces, count, rest(bytes, offset))?;
    Ok(memory::write_u32(m, read, total)?)
}

pub(super) fn fd_pwrite(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32, _: u64, _: u32) -> Answer {
    not_writable(call, fd)
}

/// Nothing that a guest has opened can be written.
pub(super) fn not_writable(call: &mut Call, fd: u32) -> Answer {
    if fd <= ROOT_FD {
        return not_a_file(call, fd);
    }
    opened(call, fd)?;
    error(errno::BADF)
}

fn not_a_file(call: &mut Call, fd: u32) -> Answer {
    match fd {
        0..=2 => error(errno::SPIPE),
        ROOT_FD => error(errno::ISDIR),
        _ => match opened(call, fd)?.content {
            Content::Directory { .. } => error(errno::ISDIR),
            Content::File { .. } => error(errno::INVAL),
        },
    }
}

pub(super) fn fd_prestat_get(m: &mut [u8], _: &mut Call, fd: u32, at: u32) -> Answer {
    if fd != ROOT_FD {
        return error(errno::BADF);
    }
    // A directory, whose name is one byte long.
    Ok(memory::write(m, at, &[0, 0, 0, 0, 1, 0, 0, 0])?)
}

pub(super) fn fd_prestat_dir_name(m: &mut [u8], _: &mut Call, fd: u32, at: u32, len: u32) -> Answer {
    match (fd, len) {
        (ROOT_FD, 0) => error(errno::NAMETOOLONG),
        (ROOT_FD, _) => Ok(memory::write(m, at, b"/")?),
        _ => error(errno::BADF),
    }
}

pub(super) fn fd_read(m: &mut [u8], call: &mut Call, fd: u32, pieces: u32, count: u32, read: u32) -> Answer {
    match fd {
        0 => Ok(memory::write_u32(m, read, 0)?),
        1 | 2 => error(errno::BADF),
        ROOT_FD => error(errno::ISDIR),
        _ => {
            let Content::File { bytes, at } = &mut opened(call, fd)?.content else {
                return error(errno::ISDIR);
            };
            let total = scatter(m, pieces, count, rest(bytes, *at))?;
            *at = at.saturating_add(u64::from(total));
            Ok(memory::write_u32(m, read, total)?)
        }
    }
}

/// Opens the root directory where a guest lists it: it is no different from any other.
fn root(call: &mut Call) -> Result<usize, Refusal> {
    let found = call.find(Access::List, "/".to_owned(), true)?;
    let open = call.open(Access::List, found)?;
    call.files.insert(open)
}

pub(super) fn fd_readdir(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    at: u32,
    len: u32,
    cookie: u64,
    used: u32,
) -> Answer {
    match fd {
        0..=2 => error(errno::NOTDIR),
        ROOT_FD => {
            let number = root(call)?;
            let listed = list(m, call, number, [at, len, used], cookie);
            call.files.close(number);
            listed
        }
        _ => {
            opened(call, fd)?;
            list(m, call, number(fd), [at, len, used], cookie)
        }
    }
}

/// Writes entries from the `cookie`th on, as many as there is room for; the last one may be cut off, which tells the guest
/// that there are more.
fn list(m: &mut [u8], call: &mut Call, number: usize, [at, len, used]: [u32; 3], cookie: u64) -> Answer {
    let entries = call.entries(number)?;
    let name = call.files.get(number).map(|open| open.name.clone()).unwrap_or_default();
    let room = memory::bytes_mut(m, at, len)?;
    let mut filled = 0;
    let first = usize::try_from(cookie).unwrap_or(usize::MAX);
    // A directory has itself and the one above among its entries.
    let special = [(&b"."[..], name.clone()), (&b".."[..], files::absolute(&name, ".."))];
    let special = special.into_iter().map(|(entry, name)| (entry, DIRECTORY_TYPE, files::inode(&name)));
    let real = entries.iter().map(|entry| {
        let path = files::absolute(&name, &String::from_utf8_lossy(&entry.name));
        (&*entry.name, files::type_number(entry.kind), files::inode(&path))
    });
    for (next, (name, kind, inode)) in special.chain(real).enumerate().skip(first) {
        let mut entry = [0; 24];
        entry[..8].copy_from_slice(&(next as u64 + 1).to_le_bytes());
        entry[8..16].copy_from_slice(&inode.to_le_bytes());
        entry[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
        entry[20] = kind;
        for part in [&entry[..], name] {
            let len = part.len().min(room.len() - filled);
            room[filled..filled + len].copy_from_slice(&part[..len]);
            filled += len;
        }
        if filled == room.len() {
            break;
        }
    }
    Ok(memory::write_u32(m, used, filled as u32)?)
}

pub(super) fn fd_renumber(_: &mut [u8], call: &mut Call, from: u32, to: u32) -> Answer {
    if from <= ROOT_FD || to <= ROOT_FD {
        return error(if from.max(to) > ROOT_FD { errno::BADF } else { errno::NOTSUP });
    }
    if call.files.renumber(number(from), number(to)) { Ok(()) } else { error(errno::BADF) }
}

pub(super) fn fd_seek(m: &mut [u8], call: &mut Call, fd: u32, by: u64, whence: u32, moved: u32) -> Answer {
    if fd <= ROOT_FD {
        return not_a_file(call, fd);
    }
    let Content::File { bytes, at } = &mut opened(call, fd)?.content else { return error(errno::ISDIR) };
    let base = match whence {
        0 => 0,
        1 => *at,
        2 => bytes.len() as u64,
        _ => return error(errno::INVAL),
    };
    let Some(to) = base.checked_add_signed(by.cast_signed()).filter(|&to| i64::try_from(to).is_ok()) else {
        return error(errno::INVAL);
    };
    memory::write_u64(m, moved, to)?;
    *at = to;
    Ok(())
}

pub(super) fn fd_sync(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    hint(call, fd)
}

pub(super) fn fd_tell(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    if fd <= ROOT_FD {
        return not_a_file(call, fd);
    }
    let Content::File { at: here, .. } = opened(call, fd)?.content else { return error(errno::ISDIR) };
    Ok(memory::write_u64(m, at, here)?)
}

/// The name that a guest means by a path from a directory that it has open.
fn name(m: &[u8], call: &mut Call, fd: u32, path: u32, len: u32, access: Access) -> Result<String, Refusal> {
    let dir = match fd {
        0..=2 => return Err(Refusal::Errno(errno::NOTDIR)),
        ROOT_FD => "/".to_owned(),
        _ => {
            let open = opened(call, fd)?;
            if !matches!(open.content, Content::Directory { .. }) {
                return Err(Refusal::Errno(errno::NOTDIR));
            }
            open.name.clone()
        }
    };
    let bytes = memory::bytes(m, path, len)?;
    let shown = guest::name_from(bytes);
    // The root's libc leaves the first `/` away; below other directories preview 1 has no absolute paths.
    let absolute = files::absolute(&dir, if fd == ROOT_FD { shown.trim_start_matches('/') } else { &shown });
    if bytes.len() > MAX_NAME || std::str::from_utf8(bytes).is_err() || bytes.contains(&0) {
        // No rule can name it.
        super::refuse(call, Request::Path { access, path: absolute.clone() })?;
    }
    call.real_name(absolute)
}

fn refuse_path(m: &[u8], call: &mut Call, access: Access, fd: u32, path: u32, len: u32) -> Answer {
    let path = name(m, call, fd, path, len, access)?;
    super::refuse(call, Request::Path { access, path })
}

pub(super) fn path_create_directory(m: &mut [u8], call: &mut Call, fd: u32, path: u32, len: u32) -> Answer {
    refuse_path(m, call, Access::MakeDirectory, fd, path, len)
}

const FOLLOW: u32 = 1;

pub(super) fn path_filestat_get(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    flags: u32,
    path: u32,
    len: u32,
    at: u32,
) -> Answer {
    let name = name(m, call, fd, path, len, Access::LookAt)?;
    let found = call.find(Access::LookAt, name, flags & FOLLOW != 0)?;
    call.saw(&found);
    let stat = call.filestat(&found.name, &found.stat);
    Ok(memory::write(m, at, &stat)?)
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

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_open(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    lookup: u32,
    path: u32,
    len: u32,
    how: u32,
    rights: u64,
    _: u64,
    _: u32,
    opened: u32,
) -> Answer {
    const CREATE: u32 = 1;
    const DIRECTORY: u32 = 2;
    const TRUNCATE: u32 = 8;
    const WRITE: u64 = 1 << 6;
    let access = if how & (CREATE | TRUNCATE) != 0 || rights & WRITE != 0 {
        Access::Write
    } else if how & DIRECTORY != 0 {
        Access::List
    } else {
        Access::Read
    };
    let name = name(m, call, fd, path, len, access)?;
    if access == Access::Write {
        return super::refuse(call, Request::Path { access, path: name });
    }
    let found = call.find(access, name, lookup & FOLLOW != 0)?;
    match found.kind() {
        rustix::fs::FileType::Symlink => return error(errno::LOOP),
        rustix::fs::FileType::Directory => {}
        _ if how & DIRECTORY != 0 => {
            call.saw(&found);
            return error(errno::NOTDIR);
        }
        _ => {}
    }
    let open = call.open(access, found)?;
    let number = call.files.insert(open)?;
    let fd = FIRST_FD.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
    if let Err(error) = memory::write_u32(m, opened, fd) {
        call.files.close(number);
        return Err(error.into());
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_readlink(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    path: u32,
    len: u32,
    at: u32,
    room: u32,
    used: u32,
) -> Answer {
    let name = name(m, call, fd, path, len, Access::ReadLink)?;
    let target = call.link(name)?;
    let len = target.len().min(room as usize);
    memory::write(m, at, &target[..len])?;
    Ok(memory::write_u32(m, used, len as u32)?)
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
