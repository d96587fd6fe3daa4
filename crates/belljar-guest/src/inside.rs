//! What belljar brings as source and compiles on the user's machine, once per compiler and version of belljar.
//!
//! ```text
//! inside/<id>/   for guests, one per std     libbelljar_wire.rlib, libproc_macro.rlib, hashers/libstd.rlib,
//!                                            and a sysroot with libstd.rlib
//!                for the host                libbelljar_wire.rlib, libbelljar_shim.rlib, libbelljar.so
//! ```
//!
//! The id is a digest of the sources, the compiler and the flags. A part of it runs in the compiler, so it is compared with
//! its digest whenever it is used, and made again where it is not what was made.

mod sysroot;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use belljar_store::{Area, Store, tree};
use camino::{Utf8Path, Utf8PathBuf};

use crate::toolchain::{Sysroot, TARGET, Toolchain};
use crate::{GuestError, trouble};

/// Sources of a crate: path below its `src`, and text.
type Crate = &'static [(&'static str, &'static str)];

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// What shims are linked with and guests' entry points are made by, for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInside {
    /// Holds `libbelljar_wire.rlib` and `libbelljar_shim.rlib`.
    pub lib_dir: Utf8PathBuf,
}

impl HostInside {
    /// The proc macro whose attributes stand for rustc's markers.
    pub(crate) fn entry(&self) -> Utf8PathBuf {
        self.lib_dir.join(format!("{}belljar{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
    }
}

/// What guests are compiled against: holds `libproc_macro.rlib`, `libbelljar_wire.rlib`, [`HASHERS_DIR`], and the
/// [sysroot].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestInside {
    pub(crate) lib_dir: Utf8PathBuf,
}

impl GuestInside {
    /// What rustc must be given to compile with it, on that std.
    pub(crate) fn rustc_args(&self, sysroot: &Sysroot) -> Vec<String> {
        sysroot::args(&self.lib_dir).into_iter().chain(sysroot.codegen_args()).collect()
    }
}

/// Where the std with [other hashers](crate::hashers) is, below the libraries for guests: apart, because nobody may find it
/// who isn't pointed to it.
pub(crate) const HASHERS_DIR: &str = "hashers";

/// Digest of everything embedded: two belljars with the same make the same guests.
fn embedded() -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    for sources in [WIRE, PROC_MACRO, STD, HASHERS, ENTRY, SHIM] {
        for (path, text) in sources {
            field(&mut hasher, path);
            field(&mut hasher, text);
        }
    }
    hasher
}

/// Adds a text so that no two sequences of texts give the same bytes.
pub(crate) fn field(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// One line that names this belljar: its version and a digest of what it embeds.
#[must_use]
pub fn version_line() -> String {
    format!("{} ({})", env!("CARGO_PKG_VERSION"), &embedded().finalize().to_hex()[..16])
}

/// Where a program is, as the system finds it.
#[must_use]
pub fn program(name: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// This executable, as an absolute path that stays valid in other directories.
pub fn current_exe() -> Result<Utf8PathBuf, GuestError> {
    let path = std::env::current_exe().map_err(|source| GuestError::OwnPath { source })?;
    Utf8PathBuf::from_path_buf(path).map_err(|path| GuestError::OwnPath {
        source: std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{} is not UTF-8", path.display()),
        ),
    })
}

/// The parts for the host, compiled if need be.
pub fn host(store: &Store, toolchain: &Toolchain) -> Result<HostInside, GuestError> {
    let lib_dir = made(store, toolchain, None, |dir| {
        let wire = Rustc {
            dir,
            sources: WIRE,
            name: "belljar_wire",
            flags: &["--crate-type=rlib", "-Copt-level=3"],
        };
        let shim = Rustc {
            dir,
            sources: SHIM,
            name: "belljar_shim",
            flags: &["--crate-type=rlib", "-Copt-level=3", "--extern=proc_macro", "--extern=belljar_wire"],
        };
        let entry = Rustc {
            dir,
            sources: ENTRY,
            name: "belljar",
            flags: &["--crate-type=proc-macro", "-Copt-level=0", "--extern=proc_macro"],
        };
        std::thread::scope(|scope| {
            let entry = scope.spawn(|| entry.run(toolchain, None));
            wire.run(toolchain, None)?;
            shim.run(toolchain, None)?;
            entry.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(HostInside { lib_dir })
}

/// Compiles what every build with a toolchain needs of this, if need be.
pub fn prepare(store: &Store, toolchain: &Toolchain) -> Result<(), GuestError> {
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| guest(store, toolchain, &toolchain.aborting));
        host(store, toolchain)?;
        guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
    })
}

/// The parts for guests on that std, compiled if need be.
pub(crate) fn guest(
    store: &Store,
    toolchain: &Toolchain,
    sysroot: &Sysroot,
) -> Result<GuestInside, GuestError> {
    let lib_dir = made(store, toolchain, Some(sysroot), |dir| {
        let flags = ["--crate-type=rlib", "-Copt-level=2", "-Ccodegen-units=4"];
        let on_real = sysroot.rustc_args();
        let std = dir.join("std");
        Rustc { dir: &std, sources: STD, name: "std", flags: &flags }.run(toolchain, Some(&on_real))?;
        sysroot::make(store.root(), &sysroot.libraries(toolchain), &std.join("libstd.rlib"), dir)?;
        // On the one before: it is that one, with other hashers.
        let hashers = dir.join(HASHERS_DIR);
        let on_own = GuestInside { lib_dir: dir.to_owned() }.rustc_args(sysroot);
        let told_apart = [flags.as_slice(), &["-Cmetadata=hashers"]].concat();
        Rustc { dir: &hashers, sources: HASHERS, name: "std", flags: &told_apart }
            .run(toolchain, Some(&on_own))?;
        Rustc { dir, sources: WIRE, name: "belljar_wire", flags: &flags }.run(toolchain, Some(&on_real))?;
        let flags = [flags.as_slice(), &["--extern=belljar_wire"]].concat();
        Rustc { dir, sources: PROC_MACRO, name: "proc_macro", flags: &flags }.run(toolchain, Some(&on_real))
    })?;
    Ok(GuestInside { lib_dir })
}

/// The directory of that id, made whole in another place first.
fn made(
    store: &Store,
    toolchain: &Toolchain,
    sysroot: Option<&Sysroot>,
    make: impl FnOnce(&Utf8Path) -> Result<(), GuestError>,
) -> Result<Utf8PathBuf, GuestError> {
    let mut hasher = embedded();
    field(&mut hasher, &compiler_id(toolchain));
    field(&mut hasher, sysroot.map_or("host", |s| &s.id));
    if let Some(sysroot) = sysroot {
        field(&mut hasher, sysroot::place(store.root(), &sysroot.libraries(toolchain)).as_str());
    }
    let id = hasher.finalize().to_hex();
    let area = store.dir(Area::Inside);
    let dir = area.join(id.as_str());
    if tree::is_sound(&dir) {
        return Ok(dir);
    }
    let _lock = store.lock(&format!("inside-{id}"))?;
    if tree::is_sound(&dir) {
        return Ok(dir);
    }
    let io = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| GuestError::File { path, source }
    };
    // Nobody else is making it, so what there is of an attempt was left by a process that was killed.
    let prefix = format!(".making-{}-", &id[..16]);
    for entry in area.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_name().starts_with(&prefix) {
            tree::discard(entry.path());
        }
    }
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(&area).map_err(io(&area))?;
    let at = Utf8Path::from_path(temporary.path()).ok_or_else(|| GuestError::File {
        path: area.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "its path is not UTF-8"),
    })?;
    make(at)?;
    tree::seal(at)?;
    tree::discard(&dir);
    std::fs::rename(at, &dir).map_err(io(&dir))?;
    Ok(dir)
}

/// The compiler as exactly as an rlib depends on it.
pub(crate) fn compiler_id(toolchain: &Toolchain) -> String {
    format!("{}\n{}", toolchain.version, toolchain.rustc)
}

struct Rustc<'a> {
    dir: &'a Utf8Path,
    sources: Crate,
    name: &'a str,
    flags: &'a [&'a str],
}

impl Rustc<'_> {
    /// Compiles for guests, on the std that these arguments are for, or for the host.
    fn run(&self, toolchain: &Toolchain, std: Option<&[String]>) -> Result<(), GuestError> {
        let src = self.dir.join("src").join(self.name);
        for (path, text) in self.sources {
            let path = src.join(path);
            let io = |source| GuestError::File { path: path.clone(), source };
            std::fs::create_dir_all(path.parent().unwrap_or(&src)).map_err(io)?;
            std::fs::write(&path, text).map_err(io)?;
        }
        let mut command = Command::new(&toolchain.rustc);
        command
            .current_dir(&src)
            .env_clear()
            .args(["lib.rs", "--edition=2024", "--cap-lints=allow", "--crate-name", self.name])
            .args(["-Cmetadata=belljar", "-Cembed-bitcode=no", "-Cstrip=debuginfo"])
            .args(self.flags)
            .arg("-L")
            .arg(self.dir)
            .arg("--out-dir")
            .arg(self.dir)
            .arg(format!("--remap-path-prefix={src}=/belljar/{}", self.name));
        for variable in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        if let Some(std) = std {
            command.arg(format!("--target={TARGET}")).args(std);
        }
        let output = command
            .output()
            .map_err(|source| GuestError::Start { program: toolchain.rustc.clone(), source })?;
        let Output { status, stderr, .. } = output;
        if status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&stderr).into_owned();
        let advice = if trouble::no_room(&output) {
            "make room on the disk, or set BELLJAR_HOME to a directory on another one"
        } else {
            "run `cargo belljar doctor`; the std and the compiler must be of one version"
        };
        Err(GuestError::Inside { name: self.name.to_owned(), output, advice })
    }
}
