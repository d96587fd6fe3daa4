//! What a guest does with what is open: three streams, the directory `/`, and the files and directories that it has opened.

use belljar_policy::{Access, Request};

use super::paths::{filestat, serial};
use super::refused::refuse;
use super::{Answer, MAX_PIECES, Refusal, errno, error};
use crate::files::{File, Kind, ROOT};
use crate::guest::Call;
use crate::memory;

/// The answer to what makes no sense for anything that is open.
fn unsuitable(call: &Call, fd: u32) -> Answer {
    error(if fd <= ROOT || call.files.is_open(fd) { errno::NOTSUP } else { errno::BADF })
}

/// The answer to what has no effect on a file that is only read.
fn needless(call: &Call, fd: u32) -> Answer {
    if call.files.is_open(fd) { Ok(()) } else { unsuitable(call, fd) }
}

pub(super) fn fd_advise(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64, _: u32) -> Answer {
    needless(call, fd)
}

pub(super) fn fd_allocate(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64) -> Answer {
    change(call, fd, Access::Write)
}

pub(super) fn fd_close(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    // What a guest finds open stays open.
    if fd <= ROOT || call.files.close(fd) { Ok(()) } else { error(errno::BADF) }
}

pub(super) fn fd_datasync(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    needless(call, fd)
}

const UNKNOWN_TYPE: u8 = 0;

/// What kind of thing a descriptor is, as the first byte of its `fdstat`.
fn file_type(call: &Call, fd: u32) -> Result<u8, Refusal> {
    match fd {
        // Not a character device: libc would take it for a terminal.
        0..ROOT => Ok(UNKNOWN_TYPE),
        ROOT => Ok(Kind::Directory.number()),
        _ if call.files.file(fd).is_some() => Ok(Kind::File.number()),
        _ if call.files.directory(fd).is_some() => Ok(Kind::Directory.number()),
        _ => error(errno::BADF),
    }
}

pub(super) fn fd_fdstat_get(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    const READ: u64 = 1 << 1;
    const SEEK: u64 = 1 << 2;
    const TELL: u64 = 1 << 5;
    const WRITE: u64 = 1 << 6;
    const ADVISE: u64 = 1 << 7;
    const FILESTAT_GET: u64 = 1 << 21;
    const POLL: u64 = 1 << 27;
    const ALL: u64 = (1 << 30) - 1;
    let kind = file_type(call, fd)?;
    let (base, inheriting) = match fd {
        0 => (READ, 0),
        1 | 2 => (WRITE, 0),
        // libc asks for no more than this when it opens a file, so that its request says what it wants.
        _ if kind == Kind::Directory.number() => (ALL, ALL),
        // libc takes a descriptor for one to write to by these rights.
        _ => (READ | SEEK | TELL | ADVISE | FILESTAT_GET | POLL, 0),
    };
    let mut stat = [0; 24];
    stat[0] = kind;
    stat[8..16].copy_from_slice(&base.to_le_bytes());
    stat[16..].copy_from_slice(&inheriting.to_le_bytes());
    Ok(memory::write(m, at, &stat)?)
}

pub(super) fn fd_fdstat_set_flags(_: &mut [u8], call: &mut Call, fd: u32, _: u32) -> Answer {
    needless(call, fd)
}

pub(super) fn fd_fdstat_set_rights(_: &mut [u8], call: &mut Call, fd: u32, _: u64, _: u64) -> Answer {
    unsuitable(call, fd)
}

pub(super) fn fd_filestat_get(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    let open = call.files.file(fd).map(|file| (file.name.clone(), file.stat));
    let open = open.or_else(|| call.files.directory(fd).map(|dir| (dir.name.clone(), dir.stat)));
    let stat = match open {
        Some((name, stat)) => filestat(call, &name, &stat),
        None => {
            let mut stat = [0; 64];
            stat[16] = file_type(call, fd)?;
            stat
        }
    };
    Ok(memory::write(m, at, &stat)?)
}

/// Refuses to change what is open.
fn change(call: &mut Call, fd: u32, access: Access) -> Answer {
    let open = call.files.file(fd).map(|file| &file.name);
    let open = open.or_else(|| call.files.directory(fd).map(|directory| &directory.name));
    match open.cloned() {
        Some(path) => refuse(call, Request::Path { access, path }),
        None => unsuitable(call, fd),
    }
}

pub(super) fn fd_filestat_set_size(_: &mut [u8], call: &mut Call, fd: u32, _: u64) -> Answer {
    change(call, fd, Access::Write)
}

pub(super) fn fd_filestat_set_times(
    _: &mut [u8],
    call: &mut Call,
    fd: u32,
    _: u64,
    _: u64,
    _: u32,
) -> Answer {
    change(call, fd, Access::Touch)
}

/// The answer to what only a file can do, where there is none.
fn not_a_file<T>(call: &Call, fd: u32) -> Result<T, Refusal> {
    error(match fd {
        0..ROOT => errno::SPIPE,
        ROOT => errno::ISDIR,
        _ if call.files.is_open(fd) => errno::ISDIR,
        _ => errno::BADF,
    })
}

/// Reads from `offset` into pieces of memory, and gives how much that was.
fn read_pieces(m: &mut [u8], file: &File, offset: u64, pieces: u32, count: u32) -> Result<u32, Refusal> {
    if count > MAX_PIECES {
        return error(errno::INVAL);
    }
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.content.len());
    let mut left = &file.content[from..];
    for i in 0..count {
        // A piece may lie where the list of pieces lies: it is read before it is written, as it stands by then.
        let piece = memory::bytes(m, pieces, 8 * count)?;
        let (at, len) = (memory::read_u32(piece, 8 * i)?, memory::read_u32(piece, 8 * i + 4)?);
        let room = memory::bytes_mut(m, at, len)?;
        let n = room.len().min(left.len());
        room[..n].copy_from_slice(&left[..n]);
        left = &left[n..];
    }
    // What fits into a guest's memory has a length of 32 bits, unless pieces overlap.
    Ok(u32::try_from(file.content.len() - from - left.len()).unwrap_or(u32::MAX))
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
    let Some(file) = call.files.file(fd) else { return not_a_file(call, fd) };
    let n = read_pieces(m, file, offset, pieces, count)?;
    Ok(memory::write_u32(m, read, n)?)
}

pub(super) fn fd_pwrite(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32, _: u64, _: u32) -> Answer {
    if call.files.file(fd).is_some() { write_refused(call, fd) } else { not_a_file(call, fd) }
}

/// The answer to a wish to write into what was opened only to be read: that of any system.
fn write_refused<T>(call: &mut Call, fd: u32) -> Result<T, Refusal> {
    if let Some(file) = call.files.file(fd) {
        let request = Request::Path { access: Access::Write, path: file.name.clone() };
        call.refused(request);
    }
    error(errno::BADF)
}

pub(super) fn fd_prestat_get(m: &mut [u8], _: &mut Call, fd: u32, at: u32) -> Answer {
    if fd != ROOT {
        return error(errno::BADF);
    }
    // A directory, whose name is one byte long.
    Ok(memory::write(m, at, &[0, 0, 0, 0, 1, 0, 0, 0])?)
}

pub(super) fn fd_prestat_dir_name(m: &mut [u8], _: &mut Call, fd: u32, at: u32, len: u32) -> Answer {
    match (fd, len) {
        (ROOT, 0) => error(errno::NAMETOOLONG),
        (ROOT, _) => Ok(memory::write(m, at, b"/")?),
        _ => error(errno::BADF),
    }
}

pub(super) fn fd_read(m: &mut [u8], call: &mut Call, fd: u32, pieces: u32, count: u32, read: u32) -> Answer {
    if let Some(file) = call.files.file_mut(fd) {
        let n = read_pieces(m, file, file.at, pieces, count)?;
        memory::write_u32(m, read, n)?;
        file.at = file.at.saturating_add(n.into());
        return Ok(());
    }
    match fd {
        0 => Ok(memory::write_u32(m, read, 0)?),
        1 | 2 => error(errno::BADF),
        _ => not_a_file(call, fd),
    }
}

/// Entries from the one with the number `cookie` on, of which 0 and 1 are `.` and `..`; the last is cut off where the room
/// ends, by which a guest sees that there are more.
pub(super) fn fd_readdir(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    at: u32,
    len: u32,
    cookie: u64,
    used: u32,
) -> Answer {
    if fd < ROOT || call.files.file(fd).is_some() {
        return error(errno::NOTDIR);
    }
    if fd != ROOT && !call.files.is_open(fd) {
        return error(errno::BADF);
    }
    call.list(fd)?;
    let name = call.files.directory(fd).map_or("/", |directory| directory.name.as_str());
    let Some(listing) = call.files.listing(fd) else { return error(errno::BADF) };
    let dots = [".", ".."].map(|name| (name, Kind::Directory.number()));
    let all = listing.entries.iter().map(|entry| (entry.name.as_str(), entry.kind));
    let count = (listing.entries.len() + dots.len()) as u64;
    if cookie > count {
        return error(errno::INVAL);
    }
    let room = memory::bytes_mut(m, at, len)?;
    let mut filled = 0;
    let from = usize::try_from(cookie).unwrap_or(usize::MAX);
    for ((entry, kind), next) in dots.into_iter().chain(all).skip(from).zip(cookie + 1..) {
        let parent = crate::files::parent(name);
        let number = match entry {
            "." => serial(name),
            ".." => serial(parent),
            entry => serial(&format!("{}/{entry}", name.trim_end_matches('/'))),
        };
        let mut head = [0; 24];
        head[..8].copy_from_slice(&next.to_le_bytes());
        head[8..16].copy_from_slice(&number.to_le_bytes());
        // A name is no longer than 255 bytes on any system.
        head[16..20].copy_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
        head[20] = kind;
        for bytes in [&head[..], entry.as_bytes()] {
            let n = bytes.len().min(room.len() - filled);
            room[filled..filled + n].copy_from_slice(&bytes[..n]);
            filled += n;
        }
        if filled == room.len() {
            break;
        }
    }
    // It fits into a length of 32 bits, since the room does.
    Ok(memory::write_u32(m, used, u32::try_from(filled).unwrap_or(u32::MAX))?)
}

pub(super) fn fd_renumber(_: &mut [u8], call: &mut Call, from: u32, to: u32) -> Answer {
    if call.files.renumber(from, to) {
        return Ok(());
    }
    let known = |fd| fd <= ROOT || call.files.is_open(fd);
    // What a guest finds open stays where it is.
    error(if known(from) && known(to) { errno::NOTSUP } else { errno::BADF })
}

pub(super) fn fd_seek(m: &mut [u8], call: &mut Call, fd: u32, offset: u64, whence: u32, at: u32) -> Answer {
    const SET: u32 = 0;
    const CURRENT: u32 = 1;
    const END: u32 = 2;
    let Some(file) = call.files.file_mut(fd) else { return not_a_file(call, fd) };
    let from = match whence {
        SET => 0,
        CURRENT => file.at,
        END => file.content.len() as u64,
        _ => return error(errno::INVAL),
    };
    // Its bits are those of a signed number.
    let to = from.checked_add_signed(offset.cast_signed()).filter(|&to| i64::try_from(to).is_ok());
    let to = to.ok_or(Refusal::Errno(errno::INVAL))?;
    memory::write_u64(m, at, to)?;
    file.at = to;
    Ok(())
}

pub(super) fn fd_sync(_: &mut [u8], call: &mut Call, fd: u32) -> Answer {
    needless(call, fd)
}

pub(super) fn fd_tell(m: &mut [u8], call: &mut Call, fd: u32, at: u32) -> Answer {
    let Some(file) = call.files.file(fd) else { return not_a_file(call, fd) };
    Ok(memory::write_u64(m, at, file.at)?)
}

pub(super) fn fd_write(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    pieces: u32,
    count: u32,
    written: u32,
) -> Answer {
    if !matches!(fd, 1 | 2) {
        let directory = fd == ROOT || call.files.directory(fd).is_some();
        return if directory { error(errno::ISDIR) } else { write_refused(call, fd) };
    }
    if count > MAX_PIECES {
        return error(errno::INVAL);
    }
    let mut total = 0u32;
    for i in 0..count {
        let piece = memory::bytes(m, pieces, 8 * count)?;
        let (at, len) = (memory::read_u32(piece, 8 * i)?, memory::read_u32(piece, 8 * i + 4)?);
        let bytes = memory::bytes(m, at, len)?;
        call.print(fd as u8, bytes)?;
        // The limit on printing is reached long before this sum overflows.
        total = total.saturating_add(len);
    }
    Ok(memory::write_u32(m, written, total)?)
}
