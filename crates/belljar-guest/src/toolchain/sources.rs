//! What a std is built from: its own source, and the C library that rustc's WASI targets link.

use belljar_store::{Area, Store};
use camino::{Utf8Path, Utf8PathBuf};

use super::TARGET;
use super::compiler::{Compiler, rustlib};
use super::doctor;
use super::error::ToolchainError;
use super::machine::Machine;

/// The files taken from a wasi-libc. Rustc's own builds of the target carry the same ones.
pub const LIBC_FILES: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    /// `library` of rust-lang/rust
    pub library: Utf8PathBuf,
    /// A directory with the [`LIBC_FILES`].
    pub libc: Utf8PathBuf,
}

pub(super) fn find(machine: &Machine, store: &Store, compiler: &Compiler) -> Result<Sources, ToolchainError> {
    let missing = |what| ToolchainError::NoSource {
        release: compiler.release.clone(),
        what,
        mend: doctor::mend_sources(machine, store, compiler),
    };
    Ok(Sources {
        library: std_source_of(store, compiler).ok_or_else(|| missing("std's source (rust-src)"))?,
        libc: libc(machine, store, compiler).ok_or_else(|| missing("wasi-libc"))?,
    })
}

/// What building a std for a compiler still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Of the compiler, as in [`Toolchain::release`](super::Toolchain::release).
    pub release: String,
    /// Whether std's source is missing.
    pub source: bool,
    /// Whether the C library is missing.
    pub libc: bool,
}

/// What building a std for that compiler still needs.
pub fn needs(store: &Store, rustc: &Utf8Path) -> Result<Needs, ToolchainError> {
    let machine = Machine::here();
    let compiler = Compiler::find(&machine, Some(store), rustc)?;
    Ok(Needs {
        source: std_source_of(store, &compiler).is_none(),
        libc: libc(&machine, store, &compiler).is_none(),
        release: compiler.release,
    })
}

/// Where sources are kept that belljar unpacked itself because they are not installed (`cargo xtask setup-toolchain`):
/// `library/` and `wasi-libc/` for one release of rustc.
#[must_use]
pub fn unpacked(store: &Store, release: &str) -> Utf8PathBuf {
    store.dir(Area::Toolchains).join("sources").join(release)
}

/// Source of std (the directory `library`) for that compiler, if it is there: installed with it, or unpacked by
/// belljar.
#[must_use]
pub fn std_source(store: &Store, rustc: &Utf8Path) -> Option<Utf8PathBuf> {
    std_source_of(store, &Compiler::find(&Machine::here(), Some(store), rustc).ok()?)
}

pub(super) fn std_source_of(store: &Store, compiler: &Compiler) -> Option<Utf8PathBuf> {
    let installed = compiler.rustlib().join("src/rust/library");
    let places = [installed, unpacked(store, &compiler.release).join("library")];
    places
        .into_iter()
        .find(|dir| dir.join("sysroot/Cargo.toml").is_file() && dir.join("Cargo.lock").is_file())
}

/// The C library: belljar's own copy, the installed target's, that of the WASI SDK, or the system's.
pub(super) fn libc(machine: &Machine, store: &Store, compiler: &Compiler) -> Option<Utf8PathBuf> {
    let mut places = vec![
        unpacked(store, &compiler.release).join("wasi-libc"),
        rustlib(&compiler.sysroot).join(TARGET).join("lib/self-contained"),
    ];
    let sdk = machine.wasi_sdk.iter().map(|sdk| sdk.join("share/wasi-sysroot/lib"));
    for lib in sdk.chain([machine.system_lib.clone()]) {
        places.extend([lib.join(TARGET), lib.join("wasm32-wasi")]);
    }
    places.into_iter().find(|dir| LIBC_FILES.iter().all(|file| dir.join(file).is_file()))
}
