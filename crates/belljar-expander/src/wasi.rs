//! `wasi_snapshot_preview1` for guests: every function of it, and behind them what policy grants.
//!
//! | what | what a guest finds |
//! |---|---|
//! | standard input | empty |
//! | standard output and error | go to the compiler's, through the shim; neither is a terminal |
//! | files | one directory, `/`, in which reading is as policy says of each name, and nothing else is done (see [`crate::files`]) |
//! | sockets, signals | refused, recorded |
//! | wall clock | stands still, at `SOURCE_DATE_EPOCH` or else 2000-01-01, unless the real time is granted |
//! | other clocks | one [`time::STEP`] further each time one is read, and as far as a sleep lasts, which takes no time |
//! | random numbers | a stream fixed by module, macro, input and seed |
//! | arguments | one: `rustc`, the program that a macro is part of natively |
//! | variables | those that the policy grants, sorted |
//!
//! A pointer that leads out of the guest's memory gives the error `fault`. What is refused gives the same error whether
//! it exists or not.
//!
//! Source of numbers and layouts: the WASI repository, `legacy/preview1/docs.md`.

mod descriptors;
mod paths;
mod random;
mod refused;
mod time;

use belljar_policy::Request;
use wasmtime::{Caller, Linker};

use self::descriptors::*;
use self::paths::*;
use self::random::*;
use self::refused::*;
use self::time::*;
use crate::error::Cause;
use crate::guest::{self, Call};
use crate::memory::{self, OutOfMemory};
use crate::record::Observation;

pub(crate) use self::random::{Random, Seed};
pub(crate) use self::time::{Clock, STEP};

pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

const ARGUMENT: &[u8] = b"rustc\0";

/// Pieces that one read or write may have, as on Linux.
const MAX_PIECES: u32 = 1024;

/// What a guest is told.
pub(crate) mod errno {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const ACCES: u32 = 2;
    pub(crate) const BADF: u32 = 8;
    pub(crate) const FAULT: u32 = 21;
    pub(crate) const ILSEQ: u32 = 25;
    pub(crate) const INVAL: u32 = 28;
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
    pub(crate) clock: Clock,
    pub(crate) random: Random,
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

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stop(error)
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self::Stop(guest::stop(cause))
    }
}

type Answer = Result<(), Refusal>;

fn error<T>(errno: u32) -> Result<T, Refusal> {
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

/// The guest sees all variables that it may see, or how many and how long they are.
fn see_variables(call: &mut Call) {
    call.lists_variables = true;
    let rules = &call.rules;
    let (names, patterns) = rules.listed();
    let set = rules.variables().map(|(name, _)| name).filter(|name| rules.names_variable(name));
    let seen = names.into_iter().chain(set).map(|name| Observation::Variable {
        name: name.to_owned(),
        value: rules.variable(name).map(str::to_owned),
    });
    call.observations.extend(seen);
    call.observations.extend(patterns.into_iter().map(|pattern| Observation::Names { pattern }));
}

fn environ_get(m: &mut [u8], call: &mut Call, pointers: u32, bytes: u32) -> Answer {
    call.granted(Request::Variables);
    see_variables(call);
    write_texts(m, pointers, bytes, environ_texts(call))
}

fn environ_sizes_get(m: &mut [u8], call: &mut Call, count: u32, size: u32) -> Answer {
    see_variables(call);
    let (n, bytes) = environ_texts(call).fold((0u32, 0usize), |(n, bytes), text| (n + 1, bytes + text.len()));
    memory::write_u32(m, count, n)?;
    // An environment is limited by the system to far less.
    Ok(memory::write_u32(m, size, u32::try_from(bytes).unwrap_or(u32::MAX))?)
}

fn sched_yield(_: &mut [u8], _: &mut Call) -> Answer {
    Ok(())
}
