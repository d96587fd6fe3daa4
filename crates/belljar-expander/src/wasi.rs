//! `wasi_snapshot_preview1` for guests: every function of it, and nothing behind them.
//!
//! | what | what a guest finds |
//! |---|---|
//! | standard input | empty |
//! | standard output and error | go to the compiler's, through the shim; neither is a terminal |
//! | files | below one directory, `/`: what rules grant can be read; every access is recorded, and refused with the same error, whatever is there |
//! | sockets, signals, threads | refused, recorded |
//! | wall clock | stands still, at `SOURCE_DATE_EPOCH` or else 2000-01-01 |
//! | other clocks | one [`STEP`] further each time one is read, and as far as a sleep lasts, which takes no time |
//! | random numbers | a stream fixed by module, macro, input and the project's seed |
//! | arguments | one: `rustc`, the program that a macro is part of natively |
//! | variables | those that the policy grants, sorted |
//!
//! A pointer that leads out of the guest's memory gives the error `fault`.
//!
//! Source of numbers and layouts: the WASI repository, `legacy/preview1/docs.md`.

mod descriptors;

use belljar_policy::Request;
use wasmtime::{Caller, Linker};

use crate::error::Cause;
use crate::guest::{self, Arguments, Call};
use crate::memory::{self, OutOfMemory};
use crate::record::Observation;
use descriptors::{
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights,
    fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_pread, fd_prestat_dir_name,
    fd_prestat_get, fd_pwrite, fd_read, fd_readdir, fd_renumber, fd_seek, fd_sync, fd_tell, not_writable,
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_open, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};

pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// What a libc imports that has no function of its own to start a thread (newer ones always refuse by themselves).
pub(crate) const THREAD: (&str, &str) = ("env", "pthread_create");

/// Nanoseconds by which reading a clock advances it.
pub(crate) const STEP: u64 = 1_000_000;

/// 2000-01-01T00:00:00Z in seconds.
const EPOCH: u64 = 946_684_800;

const ARGUMENT: &[u8] = b"rustc\0";

/// The one directory that guests find open.
const ROOT_FD: u32 = 3;

/// Pieces that one read or write may have, as on Linux.
const MAX_PIECES: u32 = 1024;

/// Things that one poll may wait for.
const MAX_EVENTS: u32 = 4096;

pub(crate) mod errno {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const ACCES: u32 = 2;
    pub(crate) const BADF: u32 = 8;
    pub(crate) const FAULT: u32 = 21;
    pub(crate) const INVAL: u32 = 28;
    pub(crate) const IO: u32 = 29;
    pub(crate) const ISDIR: u32 = 31;
    pub(crate) const LOOP: u32 = 32;
    pub(crate) const MFILE: u32 = 33;
    pub(crate) const NAMETOOLONG: u32 = 37;
    pub(crate) const NOENT: u32 = 44;
    pub(crate) const NOTDIR: u32 = 54;
    pub(crate) const NOTSOCK: u32 = 57;
    pub(crate) const NOTSUP: u32 = 58;
    pub(crate) const SPIPE: u32 = 70;
}

/// State of one call.
pub(crate) struct Wasi {
    /// Nanoseconds since 1970 on the wall clock.
    wall: u64,
    /// Nanoseconds on the other clocks.
    elapsed: u64,
    /// What decides the random numbers, until the first is wanted.
    seed: blake3::Hasher,
    random: Option<blake3::OutputReader>,
}

impl Wasi {
    /// `project` is the project's seed, `source_date_epoch` in seconds.
    pub(crate) fn new(project: &[u8], source_date_epoch: Option<u64>, arguments: &Arguments<'_>) -> Self {
        let mut seed = blake3::Hasher::new_derive_key("belljar 2026 random_get of a guest");
        let name = arguments.name.as_bytes();
        seed.update(arguments.module.as_bytes()).update(&[arguments.kind.as_u8()]);
        seed.update(&(project.len() as u64).to_le_bytes()).update(project);
        seed.update(&(name.len() as u64).to_le_bytes()).update(name);
        seed.update(arguments.input);
        let wall = source_date_epoch.unwrap_or(EPOCH).saturating_mul(1_000_000_000);
        Self { wall, elapsed: 0, seed, random: None }
    }

    /// Nanoseconds since 1970 on the wall clock.
    pub(crate) fn wall_clock(&self) -> u64 {
        self.wall
    }

    fn now(&mut self, clock: u32) -> Result<u64, Refusal> {
        match clock {
            0 => Ok(self.wall),
            1..=3 => {
                self.elapsed = self.elapsed.saturating_add(STEP);
                Ok(self.elapsed)
            }
            _ => Err(Refusal::Errno(errno::INVAL)),
        }
    }
}

/// Why a function does not do what was asked.
pub(crate) enum Refusal {
    /// The guest sees an error.
    Errno(u32),
    /// The guest's call is over.
    Stop(wasmtime::Error),
}

impl From<OutOfMemory> for Refusal {
    fn from(_: OutOfMemory) -> Self {
        Self::Errno(errno::FAULT)
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Errno(crate::files::wasi(error))
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stop(error)
    }
}

type Answer = Result<(), Refusal>;

fn error(errno: u32) -> Answer {
    Err(Refusal::Errno(errno))
}

/// Makes, from functions over the guest's memory and its call's state, what modules import.
macro_rules! functions {
    ($($name:ident($($arg:ident: $ty:ty),*))*) => {
        /// Names of all functions.
        pub(crate) const FUNCTIONS: &[&str] = &["proc_exit", $(stringify!($name)),*];

        /// Puts all functions into a linker.
        pub(crate) fn add_to(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
            linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
                Err(guest::stop(Cause::Exit { code }))
            })?;
            linker.func_wrap(THREAD.0, THREAD.1, |mut caller: Caller<'_, Call>, _: u32, _: u32, _: u32, _: u32| {
                caller.data_mut().granted(Request::Thread);
                errno::NOTSUP
            })?;
            $(linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, Call>, $($arg: $ty),*| {
                let (memory, call) = guest::parts(&mut caller)?;
                match $name(memory, call, $($arg),*) {
                    Ok(()) => Ok(errno::SUCCESS),
                    Err(Refusal::Errno(errno)) => Ok(errno),
                    Err(Refusal::Stop(error)) => Err(error),
                }
            })?;)*
            Ok(())
        }
    };
}

functions! {
    args_get(pointers: u32, bytes: u32)
    args_sizes_get(count: u32, size: u32)
    clock_res_get(clock: u32, at: u32)
    clock_time_get(clock: u32, precision: u64, at: u32)
    environ_get(pointers: u32, bytes: u32)
    environ_sizes_get(count: u32, size: u32)
    fd_advise(fd: u32, offset: u64, len: u64, advice: u32)
    fd_allocate(fd: u32, offset: u64, len: u64)
    fd_close(fd: u32)
    fd_datasync(fd: u32)
    fd_fdstat_get(fd: u32, at: u32)
    fd_fdstat_set_flags(fd: u32, flags: u32)
    fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64)
    fd_filestat_get(fd: u32, at: u32)
    fd_filestat_set_size(fd: u32, size: u64)
    fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32)
    fd_pread(fd: u32, pieces: u32, count: u32, offset: u64, read: u32)
    fd_prestat_dir_name(fd: u32, at: u32, len: u32)
    fd_prestat_get(fd: u32, at: u32)
    fd_pwrite(fd: u32, pieces: u32, count: u32, offset: u64, written: u32)
    fd_read(fd: u32, pieces: u32, count: u32, read: u32)
    fd_readdir(fd: u32, at: u32, len: u32, cookie: u64, used: u32)
    fd_renumber(from: u32, to: u32)
    fd_seek(fd: u32, offset: u64, whence: u32, at: u32)
    fd_sync(fd: u32)
    fd_tell(fd: u32, at: u32)
    fd_write(fd: u32, pieces: u32, count: u32, written: u32)
    path_create_directory(fd: u32, path: u32, len: u32)
    path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, at: u32)
    path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, which: u32)
    path_link(old_fd: u32, flags: u32, old: u32, old_len: u32, fd: u32, path: u32, len: u32)
    path_open(fd: u32, lookup: u32, path: u32, len: u32, how: u32, rights: u64, inheriting: u64, flags: u32, opened: u32)
    path_readlink(fd: u32, path: u32, len: u32, at: u32, room: u32, used: u32)
    path_remove_directory(fd: u32, path: u32, len: u32)
    path_rename(fd: u32, path: u32, len: u32, new_fd: u32, new: u32, new_len: u32)
    path_symlink(to: u32, to_len: u32, fd: u32, path: u32, len: u32)
    path_unlink_file(fd: u32, path: u32, len: u32)
    poll_oneoff(wanted: u32, happened: u32, count: u32, events: u32)
    proc_raise(signal: u32)
    random_get(at: u32, len: u32)
    sched_yield()
    sock_accept(fd: u32, flags: u32, accepted: u32)
    sock_recv(fd: u32, pieces: u32, count: u32, flags: u32, read: u32, out_flags: u32)
    sock_send(fd: u32, pieces: u32, count: u32, flags: u32, written: u32)
    sock_shutdown(fd: u32, how: u32)
}

/// Writes texts, each with its final zero, one behind the other, and a pointer to each.
fn write_texts(m: &mut [u8], mut pointers: u32, mut at: u32, texts: impl Iterator<Item = Vec<u8>>) -> Answer {
    let beyond = || Refusal::Errno(errno::FAULT);
    for text in texts {
        memory::write_u32(m, pointers, at)?;
        memory::write(m, at, &text)?;
        pointers = pointers.checked_add(4).ok_or_else(beyond)?;
        at = u32::try_from(text.len()).ok().and_then(|len| at.checked_add(len)).ok_or_else(beyond)?;
    }
    Ok(())
}

fn args_get(m: &mut [u8], _: &mut Call, pointers: u32, bytes: u32) -> Answer {
    write_texts(m, pointers, bytes, std::iter::once(ARGUMENT.to_vec()))
}

fn args_sizes_get(m: &mut [u8], _: &mut Call, count: u32, size: u32) -> Answer {
    memory::write_u32(m, count, 1)?;
    Ok(memory::write_u32(m, size, ARGUMENT.len() as u32)?)
}

fn environ_texts(call: &Call) -> impl Iterator<Item = Vec<u8>> {
    call.rules.variables().map(|(name, value)| format!("{name}={value}\0").into_bytes())
}

fn environ_get(m: &mut [u8], call: &mut Call, pointers: u32, bytes: u32) -> Answer {
    call.granted(Request::Variables);
    let all = call.rules.variables();
    let seen = all.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    let seen = seen.map(|(name, value)| Observation::Variable { name, value });
    call.observations.extend(seen);
    write_texts(m, pointers, bytes, environ_texts(call))
}

fn environ_sizes_get(m: &mut [u8], call: &mut Call, count: u32, size: u32) -> Answer {
    let (n, bytes) = environ_texts(call).fold((0u32, 0usize), |(n, bytes), text| (n + 1, bytes + text.len()));
    memory::write_u32(m, count, n)?;
    // An environment is limited by the system to far less.
    Ok(memory::write_u32(m, size, u32::try_from(bytes).unwrap_or(u32::MAX))?)
}

fn clock_res_get(m: &mut [u8], call: &mut Call, clock: u32, at: u32) -> Answer {
    call.wasi.now(clock)?;
    Ok(memory::write_u64(m, at, STEP)?)
}

fn clock_time_get(m: &mut [u8], call: &mut Call, clock: u32, _precision: u64, at: u32) -> Answer {
    let now = call.wasi.now(clock)?;
    call.granted(Request::Clock);
    Ok(memory::write_u64(m, at, now)?)
}

fn fd_write(m: &mut [u8], call: &mut Call, fd: u32, pieces: u32, count: u32, written: u32) -> Answer {
    if !matches!(fd, 1 | 2) {
        return if fd == 0 { error(errno::BADF) } else { not_writable(call, fd) };
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

/// Records a wish and refuses it, in the same way whether the thing exists or not.
fn refuse(call: &mut Call, request: Request) -> Answer {
    call.granted(request);
    error(errno::ACCES)
}

/// Waits for nothing: the clocks are moved to the first timeout, and all that is due by then has happened.
fn poll_oneoff(m: &mut [u8], call: &mut Call, wanted: u32, happened: u32, count: u32, events: u32) -> Answer {
    const WANTED: u32 = 48;
    const HAPPENED: u32 = 32;
    const CLOCK: u8 = 0;
    const READ: u8 = 1;
    const WRITE: u8 = 2;
    const ABSOLUTE: u8 = 1;

    struct Wanted {
        user_data: [u8; 8],
        kind: u8,
        /// When it happens, on the clocks that move; `None` for never.
        due: Option<u64>,
        errno: u32,
    }

    if count == 0 || count > MAX_EVENTS {
        return error(errno::INVAL);
    }
    let now = call.wasi.elapsed;
    let mut all = Vec::with_capacity(count as usize);
    let (list, _) = memory::bytes(m, wanted, WANTED * count)?.as_chunks::<{ WANTED as usize }>();
    for entry in list {
        let kind = entry[8];
        let number = memory::read_u32(entry, 16)?;
        let (due, errno) = match kind {
            CLOCK => {
                let timeout = memory::read_u64(entry, 24)?;
                let due = match (entry[40] & ABSOLUTE != 0, number) {
                    (false, 0..=3) => Some(now.saturating_add(timeout)),
                    // The wall clock stands still: a time that is not yet there will come after so long.
                    (true, 0) => Some(now.saturating_add(timeout.saturating_sub(call.wasi.wall))),
                    (true, 1..=3) => Some(timeout),
                    _ => return error(errno::INVAL),
                };
                (due, errno::SUCCESS)
            }
            READ | WRITE => match (kind, number) {
                (READ, 0) | (WRITE, 1 | 2) => (Some(now), errno::SUCCESS),
                _ => (Some(now), errno::BADF),
            },
            _ => return error(errno::INVAL),
        };
        let mut user_data = [0; 8];
        user_data.copy_from_slice(&entry[..8]);
        all.push(Wanted { user_data, kind, due, errno });
    }
    let first = all.iter().filter_map(|w| w.due).min().unwrap_or(now).max(now);
    call.wasi.elapsed = first;
    let mut n = 0;
    for event in all.iter().filter(|w| w.due.is_some_and(|due| due <= first)) {
        let mut out = [0; HAPPENED as usize];
        out[..8].copy_from_slice(&event.user_data);
        out[8..10].copy_from_slice(&(event.errno as u16).to_le_bytes());
        out[10] = event.kind;
        let at = happened.checked_add(HAPPENED * n).ok_or(Refusal::Errno(errno::FAULT))?;
        memory::write(m, at, &out)?;
        n += 1;
    }
    Ok(memory::write_u32(m, events, n)?)
}

fn proc_raise(_: &mut [u8], call: &mut Call, _: u32) -> Answer {
    refuse(call, Request::Signal)
}

fn random_get(m: &mut [u8], call: &mut Call, at: u32, len: u32) -> Answer {
    let bytes = memory::bytes_mut(m, at, len)?;
    call.granted(Request::Random);
    let wasi = &mut call.wasi;
    wasi.random.get_or_insert_with(|| wasi.seed.finalize_xof()).fill(bytes);
    Ok(())
}

fn sched_yield(_: &mut [u8], _: &mut Call) -> Answer {
    Ok(())
}

fn socket(call: &mut Call, fd: u32) -> Answer {
    call.granted(Request::Socket);
    error(if fd <= ROOT_FD { errno::NOTSOCK } else { errno::BADF })
}

fn sock_accept(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32) -> Answer {
    socket(call, fd)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
fn sock_recv(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    socket(call, fd)
}

fn sock_send(_: &mut [u8], call: &mut Call, fd: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    socket(call, fd)
}

fn sock_shutdown(_: &mut [u8], call: &mut Call, fd: u32, _: u32) -> Answer {
    socket(call, fd)
}
