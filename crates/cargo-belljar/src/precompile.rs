//! Native code for modules that were just made, while the build goes on: `cargo-belljar __precompile`.
//!
//! A process of its own, because the command becomes cargo. It reads digests from its standard input, a line each, and
//! makes what the first expansion would have to wait for. It only saves time: whoever needs a module before it is ready
//! makes it themselves, or waits at the store's lock. It dies with the command, or with the cargo that took its place.

use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use belljar_store::{ModuleDigest, Store};

/// First argument of such a process.
pub(crate) const PRECOMPILE: &str = "__precompile";

/// The role of the process.
pub(crate) fn run() -> ExitCode {
    let Ok(store) = Store::open_default() else { return ExitCode::FAILURE };
    for line in std::io::stdin().lock().lines() {
        let Some(digest) = line.ok().and_then(|line| line.parse().ok()) else { return ExitCode::FAILURE };
        // Whoever needs the module meets the same error, and can tell for which macro.
        let _ = belljar_expander::precompile(&store, &digest);
    }
    ExitCode::SUCCESS
}

/// Starts that process when there is something to do.
#[derive(Default)]
pub(crate) struct Precompiler {
    started: Mutex<Option<ChildStdin>>,
}

impl Precompiler {
    /// From the main thread: the process ends with the thread that starts it.
    pub(crate) fn add(&self, module: &ModuleDigest) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if started.is_none() {
            *started = start();
        }
        if let Some(stdin) = started.as_mut() {
            // Then it is gone, and all that is lost is time.
            let _ = writeln!(stdin, "{module}");
        }
    }
}

fn start() -> Option<ChildStdin> {
    let mut command = Command::new(belljar_guest::current_exe().ok()?);
    command.arg(PRECOMPILE).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: `prctl` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let signal = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(signal).map_err(std::io::Error::from)
        });
    }
    command.spawn().ok()?.stdin.take()
}
