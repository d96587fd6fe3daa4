//! Which rustc it really is.
//!
//! Asking a rustc for its version takes some 15 ms and belljar starts once per unit of a build, so the answer is kept in
//! the store for as long as the file is the same one. A proxy of rustup stands for another rustc in another
//! directory and is asked each time.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use belljar_store::{Area, Store, tree};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::error::ToolchainError;
use super::machine::{Machine, is_program};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiler {
    pub rustc: Utf8PathBuf,
    pub cargo: Utf8PathBuf,
    pub release: String,
    pub host: String,
    /// All of what `rustc -vV` says.
    pub version: String,
    pub sysroot: Utf8PathBuf,
}

impl Compiler {
    pub(super) fn find(
        machine: &Machine,
        store: Option<&Store>,
        rustc: &Utf8Path,
    ) -> Result<Self, ToolchainError> {
        let rustc = machine
            .program(rustc)
            .filter(|file| is_program(file))
            .ok_or_else(|| ToolchainError::NoRustc { rustc: rustc.to_owned() })?;
        let rustc = match is_proxy(&rustc) {
            true => behind_proxy(&rustc)?,
            false => rustc,
        };
        let said = match store.and_then(|store| remembered(store, &rustc)) {
            Some(said) => said,
            None => {
                let version = ask(&rustc, &["-vV"])?;
                let sysroot = ask(&rustc, &["--print", "sysroot"])?.trim().into();
                let said = Said { version, sysroot };
                if let Some(store) = store {
                    remember(store, &rustc, &said);
                }
                said
            }
        };
        let field = |name: &str| {
            let value = said.version.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().to_owned()).ok_or_else(|| ToolchainError::Rustc {
                rustc: rustc.clone(),
                args: "-vV".to_owned(),
                why: format!("it says no `{name}`"),
            })
        };
        Ok(Self {
            release: field("release:")?,
            host: field("host:")?,
            cargo: cargo(machine, &said.sysroot, &rustc)
                .ok_or_else(|| ToolchainError::NoCargo { rustc: rustc.clone() })?,
            version: said.version,
            sysroot: said.sysroot,
            rustc,
        })
    }

    /// The compiler's directory of libraries, one directory per target.
    pub(super) fn rustlib(&self) -> Utf8PathBuf {
        rustlib(&self.sysroot)
    }
}

/// As rustc itself looks: `lib64` where a distribution uses it.
pub(super) fn rustlib(sysroot: &Utf8Path) -> Utf8PathBuf {
    let lib64 = sysroot.join("lib64/rustlib");
    if lib64.is_dir() { lib64 } else { sysroot.join("lib/rustlib") }
}

/// The cargo installed with the compiler: of the same version, and no proxy.
fn cargo(machine: &Machine, sysroot: &Utf8Path, rustc: &Utf8Path) -> Option<Utf8PathBuf> {
    let own = [sysroot.join("bin/cargo"), rustc.with_file_name("cargo")];
    own.into_iter()
        .chain(machine.cargo.clone())
        .find(|file| is_program(file))
        .or_else(|| machine.program(Utf8Path::new("cargo")))
}

/// Whether a file is rustup under another name: rustup installs its proxies as links to itself, or as copies.
fn is_proxy(rustc: &Utf8Path) -> bool {
    let Ok(real) = fs::canonicalize(rustc) else { return false };
    if real.file_stem().is_some_and(|name| name == "rustup" || name == "rustup-init") {
        return true;
    }
    match (fs::metadata(rustc), fs::metadata(rustc.with_file_name("rustup"))) {
        (Ok(one), Ok(two)) => one.len() == two.len(),
        _ => false,
    }
}

fn behind_proxy(proxy: &Utf8Path) -> Result<Utf8PathBuf, ToolchainError> {
    let sysroot = ask(proxy, &["--print", "sysroot"])?;
    let rustc = Utf8Path::new(sysroot.trim()).join("bin/rustc");
    Ok(if is_program(&rustc) { rustc } else { proxy.to_owned() })
}

fn ask(rustc: &Utf8Path, args: &[&str]) -> Result<String, ToolchainError> {
    let failed = |why: String| ToolchainError::Rustc { rustc: rustc.to_owned(), args: args.join(" "), why };
    let output = Command::new(rustc)
        .args(args)
        .env_remove("RUSTC_LOG")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(
            said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").into(),
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("it says something that is not UTF-8".to_owned()))
}

struct Said {
    version: String,
    sysroot: Utf8PathBuf,
}

/// What a rustc said, and the file that said so.
#[derive(Serialize, Deserialize, PartialEq)]
struct Remembered {
    file: Utf8PathBuf,
    stamp: [i64; 6],
    version: String,
    sysroot: Utf8PathBuf,
    /// Digest of the rest: a damaged note would give every guest another key, and find no std.
    check: String,
}

impl Remembered {
    fn new(rustc: &Utf8Path, said: &Said) -> Option<Self> {
        let stamp = stamp(rustc)?;
        let mut hasher = blake3::Hasher::new();
        for text in [rustc.as_str(), &format!("{stamp:?}"), &said.version, said.sysroot.as_str()] {
            crate::inside::field(&mut hasher, text);
        }
        Some(Self {
            file: rustc.to_owned(),
            stamp,
            version: said.version.clone(),
            sysroot: said.sysroot.clone(),
            check: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// Anything that replaces the file changes one of these.
fn stamp(rustc: &Utf8Path) -> Option<[i64; 6]> {
    let found = fs::metadata(rustc).ok()?;
    Some([
        found.ino().cast_signed(),
        found.len().cast_signed(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ])
}

fn note(store: &Store, rustc: &Utf8Path) -> Utf8PathBuf {
    let name = blake3::hash(rustc.as_str().as_bytes()).to_hex();
    store.dir(Area::Toolchains).join("rustc").join(format!("{name}.json"))
}

fn remembered(store: &Store, rustc: &Utf8Path) -> Option<Said> {
    let text = fs::read(note(store, rustc)).ok()?;
    let found: Remembered = serde_json::from_slice(&text).ok()?;
    let said = Said { version: found.version.clone(), sysroot: found.sysroot.clone() };
    let same = Remembered::new(rustc, &said).is_some_and(|now| now == found) && said.sysroot.is_dir();
    same.then_some(said)
}

/// Where the note can't be kept (a read-only store), the rustc is asked again the next time.
fn remember(store: &Store, rustc: &Utf8Path, said: &Said) -> Option<()> {
    let note = note(store, rustc);
    let found = Remembered::new(rustc, said)?;
    fs::create_dir_all(note.parent()?).ok()?;
    let mut file = tempfile::NamedTempFile::new_in(store.dir(Area::Tmp)).ok()?;
    file.write_all(&serde_json::to_vec(&found).ok()?).ok()?;
    tree::discard(&note);
    file.persist(&note).ok().map(drop)
}
