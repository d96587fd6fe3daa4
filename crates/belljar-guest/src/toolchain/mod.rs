//! The compiler that builds guests, and a std for `wasm32-wasip1` that fits it.
//!
//! A guest needs a std of exactly the rustc that compiles it. There are two kinds. On the **aborting** one, which is what
//! rustup installs, a panic ends the guest. The **unwinding** one is built here, for guests that call `catch_unwind`; it
//! makes modules larger and slower, so only those get it.
//!
//! ```text
//! rustc ─ which one, its version, its sysroot                    compiler
//!   ├─ the target installed in that sysroot?   take it           sysroot::installed
//!   ├─ one made before, in the store?          take it           sysroot::made
//!   │                                          ── find stops here: it never builds, and takes milliseconds
//!   ├─ rustup?                                 rustup target add rustup
//!   └─ std's source and wasi-libc?             build it          sources, build
//! ```
//!
//! A std that is built here becomes a *sysroot overlay* in the store: a directory for `--sysroot` that has the libraries
//! for `wasm32-wasip1`, and the rustc's own for the host by a link. The same rustc, source and libc give the same bytes in
//! every directory and on every machine.
//!
//! [`doctor`] says what of all this is there and what to do about the rest.

mod build;
mod compiler;
mod doctor;
mod error;
mod machine;
mod rustup;
mod sources;
mod sysroot;
#[cfg(test)]
mod tests;

use belljar_store::Store;
use camino::{Utf8Path, Utf8PathBuf};

use crate::Progress;

use compiler::Compiler;
use machine::Machine;

pub use doctor::{Item, Report, Row, State, doctor};
pub use error::ToolchainError;
pub use sources::{LIBC_FILES, Needs, needs, std_source, unpacked};
pub use sysroot::Sysroot;

/// The target that guests are compiled for.
pub const TARGET: &str = "wasm32-wasip1";

/// A compiler that can build guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler itself, never a proxy of rustup: it can be run in any directory.
    pub rustc: Utf8PathBuf,
    /// The cargo that belongs to it.
    pub cargo: Utf8PathBuf,
    /// `1.95.0`
    pub release: String,
    /// `x86_64-unknown-linux-gnu`
    pub host: String,
    /// All of what `rustc -vV` says.
    pub version: String,
    /// The rustc's own sysroot.
    pub sysroot: Utf8PathBuf,
    pub aborting: Sysroot,
    /// `None` when it wasn't built yet: see [`unwinding`].
    pub unwinding: Option<Sysroot>,
}

impl Toolchain {
    /// `rustc 1.95.0 and the wasm32-wasip1 std installed with it`
    #[must_use]
    pub fn summary(&self) -> String {
        let origin = if self.aborting.path.is_some() { "that belljar built" } else { "installed with it" };
        format!("rustc {} and the {TARGET} std {origin}", self.release)
    }
}

/// What [`setup`] may do.
#[derive(Debug, Clone)]
pub struct SetupOptions {
    /// The compiler: a path, or a name to be looked up as a shell would.
    pub rustc: Utf8PathBuf,
    /// Download nothing.
    pub offline: bool,
    /// Make a std that unwinds, too.
    pub unwinding: bool,
}

/// Finds what is there. Never builds, downloads or waits.
pub fn find(store: &Store, rustc: &Utf8Path) -> Result<Toolchain, ToolchainError> {
    find_on(&Machine::here(), store, rustc)
}

fn find_on(machine: &Machine, store: &Store, rustc: &Utf8Path) -> Result<Toolchain, ToolchainError> {
    let compiler = Compiler::find(machine, Some(store), rustc)?;
    look(store, &compiler).ok_or_else(|| ToolchainError::NoStd {
        release: compiler.release.clone(),
        tried: Vec::new(),
        mend: doctor::mend_std(machine, store, &compiler),
    })
}

/// Finds what is there and makes what is not. One process does so at a time; others wait for it.
pub fn setup(
    store: &Store,
    options: &SetupOptions,
    progress: &dyn Progress,
) -> Result<Toolchain, ToolchainError> {
    setup_on(&Machine::here(), store, options, progress)
}

fn setup_on(
    machine: &Machine,
    store: &Store,
    options: &SetupOptions,
    progress: &dyn Progress,
) -> Result<Toolchain, ToolchainError> {
    let compiler = Compiler::find(machine, Some(store), &options.rustc)?;
    let _lock = lock(store, progress)?;
    sysroot::remove_damaged(store, &compiler);
    let mut tried = Vec::new();
    let mut mend = doctor::mend_std(machine, store, &compiler);
    let rustup = rustup::of(machine, &compiler).filter(|_| !options.offline);

    if look(store, &compiler).is_none() {
        match &rustup {
            Some(rustup) => {
                progress.step("Installing", &format!("std for {TARGET} with rustup"));
                if let Err(why) = rustup.add_target() {
                    progress.step("Skipped", &format!("rustup could not install it: {why}"));
                    tried.push(format!("`{}` failed: {why}", rustup.add_target_command()));
                    mend.push_str(", where it can download");
                }
            }
            None if options.offline => tried.push("rustup was not asked: offline".to_owned()),
            None => tried.push("this rustc is not one of rustup's".to_owned()),
        }
    }
    if look(store, &compiler).is_none() {
        let made = sources::find(machine, store, &compiler).and_then(|sources| {
            build::make(machine, store, &compiler, &sources, false, options.offline, progress)
        });
        match made {
            Ok(_) => {}
            Err(ToolchainError::NoSource { what, .. }) => {
                tried.push(format!("it can't be built here: {what} is not installed"));
            }
            Err(other) => return Err(other),
        }
    }
    let toolchain = look(store, &compiler).ok_or_else(|| ToolchainError::NoStd {
        release: compiler.release.clone(),
        tried,
        mend,
    })?;
    if !options.unwinding || toolchain.unwinding.is_some() {
        return Ok(toolchain);
    }
    if let Some(rustup) = rustup
        && sources::std_source_of(store, &compiler).is_none()
    {
        progress.step("Installing", "rust-src with rustup");
        if let Err(why) = rustup.add_source() {
            progress.step("Skipped", &format!("rustup could not install it: {why}"));
        }
    }
    let sources = sources::find(machine, store, &compiler)?;
    let unwinding = build::make(machine, store, &compiler, &sources, true, options.offline, progress)?;
    Ok(Toolchain { unwinding: Some(unwinding), ..toolchain })
}

/// The std that unwinds, built from source if it wasn't yet.
pub fn unwinding(
    store: &Store,
    toolchain: &Toolchain,
    progress: &dyn Progress,
) -> Result<Sysroot, ToolchainError> {
    if let Some(sysroot) = &toolchain.unwinding {
        return Ok(sysroot.clone());
    }
    build_one(store, &toolchain.rustc, true, progress)
}

/// Builds a std from source, whatever else there is, unless the store has it already.
pub fn build_one(
    store: &Store,
    rustc: &Utf8Path,
    unwinds: bool,
    progress: &dyn Progress,
) -> Result<Sysroot, ToolchainError> {
    let machine = Machine::here();
    let compiler = Compiler::find(&machine, Some(store), rustc)?;
    let _lock = lock(store, progress)?;
    sysroot::remove_damaged(store, &compiler);
    if let Some(sysroot) = sysroot::made(store, &compiler, unwinds) {
        return Ok(sysroot);
    }
    let sources = sources::find(&machine, store, &compiler)?;
    build::make(&machine, store, &compiler, &sources, unwinds, machine.offline, progress)
}

fn lock(store: &Store, progress: &dyn Progress) -> Result<belljar_store::StoreLock, ToolchainError> {
    let waiting = || progress.step("Blocking", "waiting for another belljar that is setting up a toolchain");
    Ok(store.lock_or_wait("toolchain", waiting)?)
}

/// What can be used as it is.
fn look(store: &Store, compiler: &Compiler) -> Option<Toolchain> {
    let aborting = sysroot::installed(&compiler.sysroot).or_else(|| sysroot::made(store, compiler, false))?;
    Some(Toolchain {
        rustc: compiler.rustc.clone(),
        cargo: compiler.cargo.clone(),
        release: compiler.release.clone(),
        host: compiler.host.clone(),
        version: compiler.version.clone(),
        sysroot: compiler.sysroot.clone(),
        aborting,
        unwinding: sysroot::made(store, compiler, true),
    })
}
