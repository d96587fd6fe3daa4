//! Builds a std for `wasm32-wasip1` from source, as rustc's own build does it: cargo on the package `sysroot`.
//!
//! What makes the result the same everywhere: paths are remapped, one codegen unit per crate, no debug information,
//! dependencies pinned by the lockfile that comes with the source, settings of the user's cargo overridden, and an
//! environment of only what cargo needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Output, Stdio};

use belljar_store::{Area, Store, tree};
use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item, Table};

use super::TARGET;
use super::compiler::Compiler;
use super::error::ToolchainError;
use super::machine::Machine;
use super::sources::{LIBC_FILES, Sources};
use super::sysroot::{self, RECIPE, Stamp, Sysroot, UNWINDING_FLAGS};
use crate::Progress;

/// Prefix of the directories in which something is being made.
const MAKING: &str = ".making-";

/// Settings of cargo's release profile, each given so that the user's own can't reach in.
const PROFILE: [&str; 8] = [
    "opt-level=3",
    "codegen-units=1",
    "debug=0",
    "debug-assertions=false",
    "overflow-checks=false",
    "incremental=false",
    "lto=\"off\"",
    "strip=\"none\"",
];

/// Makes an overlay in the store. The caller holds the lock.
pub(super) fn make(
    machine: &Machine,
    store: &Store,
    compiler: &Compiler,
    sources: &Sources,
    unwinds: bool,
    offline: bool,
    progress: &dyn Progress,
) -> Result<Sysroot, ToolchainError> {
    let kind = Sysroot::kind(unwinds);
    progress.step("Building", &format!("{kind} std for {TARGET} of rustc {}", compiler.release));
    let toolchains = store.dir(Area::Toolchains);
    let work = Work::start(&toolchains)?;

    let library = work.dir.join("library");
    let mut digests = BTreeMap::new();
    copy(&sources.library, &library, "", &mut digests)?;
    let source = digest_of(&digests);
    if unwinds {
        define_exception_tag(&library)?;
    }
    let cargo = |command: &mut Command| {
        let output = command.output().map_err(ToolchainError::io("run", &compiler.cargo))?;
        if output.status.success() {
            return Ok(());
        }
        let (release, source_dir) = (compiler.release.clone(), sources.library.clone());
        Err(ToolchainError::Build { release, kind, log: tail(&output), source_dir })
    };
    drop_dev_dependencies(&library)?;
    let lockfile = library.join("Cargo.lock");
    let pinned = fs::read_to_string(&lockfile).map_err(ToolchainError::io("read", &lockfile))?;
    // The crates it depends on may have come with the source. If not all of them did, cargo downloads them now; the build
    // then has to know where the sources of all crates are, to keep paths of this machine out of it.
    let mut vendored = library.join("vendor").is_dir();
    if vendored && cargo(base_command(machine, compiler, &library, true).arg("fetch")).is_err() {
        vendored = false;
        fs::write(&lockfile, &pinned).map_err(ToolchainError::io("write", &lockfile))?;
    }
    if !vendored {
        let mut fetch = base_command(machine, compiler, &library, false);
        cargo(fetch.args(["fetch", "--target", TARGET]).args(offline.then_some("--offline")))?;
    }
    check_lockfile(&lockfile, &pinned)?;
    cargo(&mut build_command(machine, compiler, &work.dir, unwinds, vendored))?;

    let overlay = work.dir.join("overlay");
    let lib = sysroot::libraries(&overlay);
    fs::create_dir_all(lib.join("self-contained")).map_err(ToolchainError::io("create", &lib))?;
    let mut files = BTreeMap::new();
    let deps = work.dir.join("target").join(TARGET).join("release/deps");
    for entry in deps.read_dir_utf8().map_err(ToolchainError::io("read", &deps))?.flatten() {
        let name = entry.file_name();
        // `sysroot` itself is only there to depend on the others.
        if name.ends_with(".rlib") && !name.starts_with("libsysroot-") {
            files.insert(name.to_owned(), entry.path().to_owned());
        }
    }
    let mut libc = BTreeMap::new();
    for name in LIBC_FILES {
        let path = sources.libc.join(name);
        let found = sysroot::digest(&path).map_err(ToolchainError::io("read", &path))?;
        libc.insert(name.to_owned(), found.digest);
        files.insert(format!("self-contained/{name}"), path);
    }
    let mut stamp = Stamp {
        recipe: RECIPE,
        rustc: compiler.version.clone(),
        host: compiler.host.clone(),
        unwinds,
        source,
        libc: digest_of(&libc),
        files: BTreeMap::new(),
    };
    for (name, from) in files {
        let to = lib.join(&name);
        copy_file(&from, &to)?;
        stamp.files.insert(name, sysroot::digest(&to).map_err(ToolchainError::io("read", &to))?);
    }
    sysroot::link_host(&overlay, compiler).map_err(ToolchainError::io("link", &overlay))?;
    stamp.write(&overlay)?;
    try_linking(compiler, &work.dir, &overlay, unwinds)?;

    let place = toolchains.join(stamp.name(&compiler.release));
    tree::discard(&place);
    fs::rename(&overlay, &place).map_err(ToolchainError::io("create", &place))?;
    sysroot::made(store, compiler, unwinds).ok_or_else(|| ToolchainError::Io {
        doing: "use",
        path: place,
        source: io::Error::other("it is not what was just written there"),
    })
}

/// A directory to work in, removed at the end; what an interrupted one left is removed at the start.
struct Work {
    dir: Utf8PathBuf,
}

impl Work {
    fn start(toolchains: &Utf8Path) -> Result<Self, ToolchainError> {
        for entry in toolchains.read_dir_utf8().into_iter().flatten().flatten() {
            if entry.file_name().starts_with(MAKING) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let dir = toolchains.join(format!("{MAKING}{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(ToolchainError::io("create", &dir))?;
        Ok(Self { dir })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Copies a tree, and notes the digest of each file.
fn copy(
    from: &Utf8Path,
    to: &Utf8Path,
    below: &str,
    digests: &mut BTreeMap<String, String>,
) -> Result<(), ToolchainError> {
    fs::create_dir_all(to).map_err(ToolchainError::io("create", to))?;
    for entry in from.read_dir_utf8().map_err(ToolchainError::io("read", from))? {
        let entry = entry.map_err(ToolchainError::io("read", from))?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        let name = format!("{below}{}", entry.file_name());
        // Following links: Debian's source has some.
        let found = fs::metadata(path).map_err(ToolchainError::io("read", path))?;
        if found.is_dir() {
            copy(path, &copied, &format!("{name}/"), digests)?;
        } else {
            let bytes = fs::read(path).map_err(ToolchainError::io("read", path))?;
            digests.insert(name, blake3::hash(&bytes).to_hex().to_string());
            fs::write(&copied, bytes).map_err(ToolchainError::io("write", &copied))?;
        }
    }
    Ok(())
}

fn copy_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), ToolchainError> {
    let bytes = fs::read(from).map_err(ToolchainError::io("read", from))?;
    let mut file = File::create(to).map_err(ToolchainError::io("create", to))?;
    io::Write::write_all(&mut file, &bytes)
        .and_then(|()| file.sync_all())
        .map_err(ToolchainError::io("write", to))
}

fn digest_of(digests: &BTreeMap<String, String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, digest) in digests {
        hasher.update(format!("{name}\0{digest}\0").as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Std's `throw` needs the tag of its exceptions. On WASI the source leaves defining it to a C++ runtime, and there is none
/// in a guest; what it does where there is no operating system is right here as well. A source that has changed so much that
/// the condition isn't there may need nothing: that shows when linking is tried.
fn define_exception_tag(library: &Utf8Path) -> Result<(), ToolchainError> {
    let file = library.join("unwind/src/wasm.rs");
    let text = fs::read_to_string(&file).map_err(ToolchainError::io("read", &file))?;
    let text = text.replace(r#"all(target_os = "unknown", panic = "unwind")"#, r#"panic = "unwind""#);
    fs::write(&file, text).map_err(ToolchainError::io("write", &file))
}

/// What tests of std depend on is not always shipped with its source, and not needed. Changes the copy.
fn drop_dev_dependencies(library: &Utf8Path) -> Result<(), ToolchainError> {
    let mut dirs = vec![library.to_owned()];
    while let Some(dir) = dirs.pop() {
        let manifest = dir.join("Cargo.toml");
        if let Ok(text) = fs::read_to_string(&manifest) {
            let mut toml: DocumentMut =
                text.parse().map_err(|e| ToolchainError::io("read", &manifest)(io::Error::other(e)))?;
            toml.remove("dev-dependencies");
            if let Some(targets) = toml.get_mut("target").and_then(Item::as_table_like_mut) {
                for (_, target) in targets.iter_mut() {
                    if let Some(target) = target.as_table_like_mut() {
                        target.remove("dev-dependencies");
                    }
                }
            }
            // Crates that are nothing but tests.
            if let Some(members) =
                toml.get_mut("workspace").and_then(|workspace| workspace.get_mut("members"))
                && let Some(members) = members.as_array_mut()
            {
                members.retain(|member| !member.as_str().is_some_and(|name| name.ends_with("tests")));
            }
            fs::write(&manifest, toml.to_string()).map_err(ToolchainError::io("write", &manifest))?;
        }
        for entry in dir.read_dir_utf8().map_err(ToolchainError::io("read", &dir))?.flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir && !["vendor", "src", "tests", "benches"].contains(&entry.file_name()) {
                dirs.push(entry.into_path());
            }
        }
    }
    Ok(())
}

/// Dropping dependencies drops them from the lockfile. Everything that is left must be as it was pinned.
fn check_lockfile(lockfile: &Utf8Path, pinned: &str) -> Result<(), ToolchainError> {
    let failed = |e| ToolchainError::io("check", lockfile)(e);
    let now = fs::read_to_string(lockfile).map_err(failed)?;
    let (before, now) = (packages(pinned).map_err(failed)?, packages(&now).map_err(failed)?);
    match now.difference(&before).next() {
        Some(stray) => Err(failed(io::Error::other(format!("cargo took a crate it doesn't pin: {stray}")))),
        None => Ok(()),
    }
}

/// Name, version and checksum of each package.
fn packages(lockfile: &str) -> io::Result<BTreeSet<String>> {
    let toml: DocumentMut = lockfile.parse().map_err(io::Error::other)?;
    let packages = toml.get("package").and_then(Item::as_array_of_tables);
    let field = |package: &Table, name| package.get(name).and_then(Item::as_str).unwrap_or("-").to_owned();
    Ok(packages
        .into_iter()
        .flatten()
        .map(|package| ["name", "version", "checksum"].map(|name| field(package, name)).join(" "))
        .collect())
}

/// Cargo on std's source, with nothing in its surroundings that could change what comes out. `vendored`: the crates it
/// depends on are those in `vendor`.
fn base_command(machine: &Machine, compiler: &Compiler, library: &Utf8Path, vendored: bool) -> Command {
    let mut command = Command::new(&compiler.cargo);
    command
        .current_dir(library.join("sysroot"))
        .env_clear()
        .envs(machine.variables.iter().cloned())
        .env("RUSTC", &compiler.rustc)
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        // Std is written with unstable features, and this is how rustc's own build allows them on stable.
        .env("RUSTC_BOOTSTRAP", "1")
        .stdin(Stdio::null())
        .args(["--color", "never"]);
    if vendored {
        let dir = format!("source.belljar-vendored.directory={:?}", library.join("vendor").as_str());
        command.args([
            "--offline",
            "--config",
            "source.crates-io.replace-with=\"belljar-vendored\"",
            "--config",
            &dir,
        ]);
    }
    command
}

fn build_command(
    machine: &Machine,
    compiler: &Compiler,
    work: &Utf8Path,
    unwinds: bool,
    vendored: bool,
) -> Command {
    let library = work.join("library");
    let mut flags = vec!["-Zforce-unstable-if-unmarked".to_owned(), "-Cembed-bitcode=yes".to_owned()];
    // The last one that fits is taken.
    flags.push(format!("--remap-path-prefix={library}=/rustc/library"));
    let vendor = vendored.then(|| library.join("vendor"));
    let crates = vendor.into_iter().chain(machine.cargo_home.iter().flat_map(|home| registries(home)));
    flags.extend(crates.map(|dir| format!("--remap-path-prefix={dir}=/rustc/crates")));
    if unwinds {
        flags.extend(UNWINDING_FLAGS.map(str::to_owned));
    }
    let mut command = base_command(machine, compiler, &library, vendored);
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // Goes into the names of the files and of the symbols: the two kinds can't be taken for each other.
        .env("__CARGO_DEFAULT_LIB_METADATA", format!("belljar-{}", Sysroot::kind(unwinds)))
        .args(["build", "--release", "--locked", "--offline", "--target", TARGET])
        .args(["--target-dir", work.join("target").as_str()]);
    for setting in PROFILE {
        command.args(["--config", &format!("profile.release.{setting}")]);
    }
    command
}

/// Directories of unpacked crates; each has a name of its own, which must not get into the libraries.
fn registries(cargo_home: &Utf8Path) -> Vec<Utf8PathBuf> {
    let src = cargo_home.join("registry/src");
    let entries = src.read_dir_utf8().into_iter().flatten().flatten();
    entries.map(camino::Utf8DirEntry::into_path).collect()
}

/// Links a module that uses what guests use, so that a std that can't serve never gets its place.
fn try_linking(
    compiler: &Compiler,
    work: &Utf8Path,
    overlay: &Utf8Path,
    unwinds: bool,
) -> Result<(), ToolchainError> {
    const PROBE: &str = r#"
        #[unsafe(no_mangle)]
        pub extern "C" fn probe() -> u32 {
            u32::from(std::panic::catch_unwind(|| println!("{:?}", std::env::args())).is_err())
        }
    "#;
    let source = work.join("probe.rs");
    fs::write(&source, PROBE).map_err(ToolchainError::io("write", &source))?;
    let sysroot = Sysroot { path: Some(overlay.to_owned()), unwinds, id: String::new() };
    let output = Command::new(&compiler.rustc)
        .current_dir(work)
        .args(sysroot.rustc_args())
        .args(["--target", TARGET, "--edition", "2024", "--crate-type", "cdylib", "-o", "probe.wasm"])
        .arg(&source)
        .stdin(Stdio::null())
        .output()
        .map_err(ToolchainError::io("run", &compiler.rustc))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ToolchainError::Link {
        release: compiler.release.clone(),
        kind: Sysroot::kind(unwinds),
        log: tail(&output),
    })
}

/// The end of what a compiler said, where its errors are.
fn tail(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(30);
    lines[from..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
