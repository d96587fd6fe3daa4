//! Guests that are built while cargo compiles what needs no macros yet.
//!
//! ```text
//! command   locks a file for each guest → starts cargo → builds the guests, frees the file of each that is in the store
//! wrapper   of a macro's unit: waits for its guest's file, and leaves its job to others meanwhile; then looks into the store
//! ```
//!
//! The kernel holds the locks, so that nobody waits for a command that has ended. One that fails keeps those of the guests that
//! it has not made until cargo has been ended: what went wrong is the command's to say.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use belljar_expander::Awaited;
use belljar_guest::toolchain::Toolchain;
use belljar_guest::{GuestKey, GuestRecord, GuestRequest, Guests, Progress, Promised};
use belljar_store::{Area, Store};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::build::CommandError;
use crate::interrupt;
use crate::report::{self, StatusLines};

/// How long the main thread may take to clear up when cargo has ended before all guests were there.
const GRACE: Duration = Duration::from_secs(10);

/// How long a job is waited for that was left to others, and how often it is looked.
const BACK: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(5);

/// A guest, as a session has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Guest {
    Made(GuestRecord),
    Promised(Promise),
}

/// A guest that the command is going to build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// The macro package.
    package: String,
    guest: Promised,
    /// Locked until it is there.
    lock: Utf8PathBuf,
}

impl Promise {
    /// Waits until it is there. `None` when it never will be.
    pub(crate) fn wait(&self, store: &Store) -> Result<Option<GuestRecord>, belljar_guest::GuestError> {
        wait_for(&self.lock);
        self.guest.look(store)
    }
}

/// Lets an expander wait for modules of these promises, those of the package that is called.
pub(crate) fn awaited(promises: Vec<Promise>) -> Option<Awaited> {
    if promises.is_empty() {
        return None;
    }
    let wait = move |package: &str| {
        promises
            .iter()
            .filter(|promise| promise.package == package)
            .for_each(|promise| wait_for(&promise.lock));
    };
    Some(Awaited::new(wait))
}

/// Waits until nobody holds the lock, and leaves this process's job to others meanwhile. The file goes with the command.
fn wait_for(lock: &Utf8Path) {
    let Ok(file) = File::open(lock) else { return };
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        without_job(|| while file.lock_shared().is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {});
    }
}

/// Does what only waits, while cargo can use this process's job for another unit.
///
/// Each compiler that cargo runs has a token of its job server (<https://www.gnu.org/software/make/manual/html_node/POSIX-Jobserver.html>),
/// which it may give back for a while.
fn without_job(wait: impl FnOnce()) {
    // SAFETY: the descriptors that cargo names in the environment are those that it made for its children. This process has
    // closed none of its descriptors, and the client looks whether they are pipes.
    let jobs = unsafe { jobserver::Client::from_env_ext(true) }.client.ok();
    let given = jobs.filter(|jobs| jobs.release_raw().is_ok());
    wait();
    let Some(jobs) = given else { return };
    // cargo takes each token that it sees, for units that can mostly wait; much waits for this one. So after a moment there is one
    // job more than cargo wants.
    for _ in 0..BACK.as_millis() / STEP.as_millis() {
        match jobs.try_acquire() {
            Ok(Some(token)) => return token.drop_without_releasing(),
            Ok(None) => std::thread::sleep(STEP),
            Err(_) => return,
        }
    }
}

/// The guests that the store doesn't have, to be made by this process.
#[derive(Debug)]
pub(crate) struct Making {
    guests: Guests,
    locks: Locks,
    quiet: bool,
}

impl Making {
    /// What is known of each of them, and who makes those that the store doesn't have.
    pub(crate) fn of(
        store: &Store,
        toolchain: &Toolchain,
        requests: &[GuestRequest],
        quiet: bool,
    ) -> Result<(Vec<Guest>, Option<Self>), CommandError> {
        let guests = Guests::find(store, toolchain, requests)?;
        if guests.each().any(|found| found.is_err()) {
            // In its own words.
            store.check_writable()?;
        }
        let locks = Locks::of(store, guests.each().filter_map(Result::err))
            .map_err(|source| CommandError::Promise { path: store.dir(Area::Tmp), source })?;
        let guest = |(request, found): (&GuestRequest, _)| match found {
            Ok(record) => Guest::Made(GuestRecord::clone(record)),
            Err(guest) => {
                let (package, lock) = (request.name.clone(), locks.path(guest));
                Guest::Promised(Promise { package, lock, guest: Promised::clone(guest) })
            }
        };
        let found = requests.iter().zip(guests.each()).map(guest).collect();
        let is_needed = !locks.are_free();
        Ok((found, is_needed.then_some(Self { guests, locks, quiet })))
    }

    /// Has those made first that most waits for, which is said in bytes for each request.
    pub(crate) fn first(mut self, awaited: &[u64]) -> Self {
        self.guests.make_first(awaited);
        self
    }

    /// Makes them.
    pub(crate) fn make(self) -> Result<(), CommandError> {
        self.guests.make(&StatusLines::precompiling(self.quiet))?;
        Ok(())
    }

    /// Makes them, and runs cargo, which `start` starts, as soon as the first is being compiled: before, two cargos would wait
    /// for each other's look at the registry. When a guest can't be made, cargo is ended. When cargo fails, which it does when none
    /// of its compilers is waiting any more, no other guest is made.
    pub(crate) fn make_beside(
        self,
        start: impl FnOnce() -> Result<Child, CommandError> + Send,
    ) -> Result<io::Result<ExitStatus>, CommandError> {
        let Self { guests, locks, quiet } = self;
        let lines = StatusLines::precompiling(quiet);
        let (cleared, clearing) = mpsc::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let watched = Watch { failed: Arc::clone(&failed), clearing };
        let cargo = Mutex::new(Cargo::Waits(start, watched));
        let beside = || begin(&mut cargo.lock().unwrap_or_else(PoisonError::into_inner));
        let made = guests.make(&Beside { lines: &lines, locks: &locks, begin: &beside });
        // From now on nothing but cargo is waited for.
        drop(cleared);
        match made {
            Ok(_) => beside(),
            // It has said itself what is wrong.
            Err(_) if failed.load(Ordering::SeqCst) => {}
            Err(error) => {
                // Before anybody is told that a module is there who would not find it.
                interrupt::end_descendants();
                interrupt::end_if_interrupted();
                return Err(error.into());
            }
        }
        // Somebody else may have made some of them.
        drop(locks);
        let status = match cargo.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Cargo::Runs(thread) => Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            Cargo::NotStarted(error) => Err(error),
            Cargo::Waits(..) | Cargo::Begins => {
                let source = io::Error::other("it was not started");
                Err(CommandError::Thread { source })
            }
        };
        report::alone();
        status
    }
}

/// cargo, which runs beside the building of guests.
enum Cargo<F> {
    Waits(F, Watch),
    Begins,
    Runs(JoinHandle<io::Result<ExitStatus>>),
    NotStarted(CommandError),
}

/// For the thread that waits for cargo.
struct Watch {
    failed: Arc<AtomicBool>,
    /// Closed when no guest is being built any more.
    clearing: mpsc::Receiver<()>,
}

/// Starts cargo, once.
fn begin<F: FnOnce() -> Result<Child, CommandError>>(cargo: &mut Cargo<F>) {
    *cargo = match std::mem::replace(cargo, Cargo::Begins) {
        Cargo::Waits(start, watch) => match start().and_then(|child| watch.over(child)) {
            Ok(thread) => Cargo::Runs(thread),
            Err(error) => Cargo::NotStarted(error),
        },
        begun => begun,
    };
}

impl Watch {
    /// Waits for cargo in a thread of its own. When it fails, guests aren't needed any more.
    fn over(self, mut cargo: Child) -> Result<JoinHandle<io::Result<ExitStatus>>, CommandError> {
        report::beside_cargo();
        let watch = move || {
            let status = cargo.wait()?;
            if !status.success() && self.clearing.try_recv() == Err(mpsc::TryRecvError::Empty) {
                self.failed.store(true, Ordering::SeqCst);
                interrupt::end_descendants();
                // The main thread sees its own cargo end, and clears up. It may also be waiting for a lock that another belljar
                // has for long.
                if self.clearing.recv_timeout(GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    interrupt::end_if_interrupted();
                    let signal = status.signal().unwrap_or_default();
                    std::process::exit(status.code().unwrap_or(128 + signal));
                }
            }
            Ok(status)
        };
        std::thread::Builder::new().name("cargo".to_owned()).spawn(watch).map_err(|source| {
            interrupt::end_descendants();
            CommandError::Thread { source }
        })
    }
}

/// A locked file for each guest that is to be made.
#[derive(Debug)]
struct Locks {
    held: Mutex<HashMap<GuestKey, File>>,
    dir: Utf8PathBuf,
    _remover: Option<tempfile::TempDir>,
}

impl Locks {
    fn of<'a>(store: &Store, guests: impl Iterator<Item = &'a Promised>) -> io::Result<Self> {
        let mut locks = Self { held: Mutex::default(), dir: store.dir(Area::Tmp), _remover: None };
        let mut guests = guests.peekable();
        if guests.peek().is_none() {
            return Ok(locks);
        }
        let remover = tempfile::Builder::new().prefix("promised-").tempdir_in(&locks.dir)?;
        locks.dir = Utf8Path::from_path(remover.path())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its path is not UTF-8"))?
            .to_owned();
        locks._remover = Some(remover);
        let mut held = HashMap::new();
        for guest in guests {
            if held.contains_key(&guest.key) {
                continue;
            }
            let file = File::create(locks.path(guest))?;
            file.lock()?;
            held.insert(guest.key, file);
        }
        locks.held = Mutex::new(held);
        Ok(locks)
    }

    fn path(&self, guest: &Promised) -> Utf8PathBuf {
        self.dir.join(guest.key.to_string())
    }

    fn free(&self, key: &GuestKey) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn are_free(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Status lines of a build that frees the lock of each guest that is there.
struct Beside<'a> {
    lines: &'a StatusLines,
    locks: &'a Locks,
    begin: &'a (dyn Fn() + Sync),
}

impl Progress for Beside<'_> {
    fn step(&self, verb: &str, what: &str) {
        self.lines.step(verb, what);
    }

    fn refused(&self, note: &str) {
        self.lines.refused(note);
    }

    fn compiling(&self) {
        (self.begin)();
    }

    fn sealed(&self, guest: &GuestRecord) {
        self.lines.sealed(guest);
    }

    fn ready(&self, key: &GuestKey) {
        self.locks.free(key);
    }
}
