//! belljar as the wrapper of the compiler while a guest is built.
//!
//! Nothing that depends on this machine may be in cargo's `RUSTFLAGS`, for cargo hashes them; so what a unit for
//! WebAssembly needs is added here, one unit at a time:
//!
//! - the std for guests, which tells of attempts, and belljar's `proc_macro` under the name that macros know;
//! - for the macro package itself, the attributes that stand for rustc's markers, and how a module is linked;
//! - what makes the same source the same bytes anywhere: names for paths, `-C metadata` made of name, version and
//!   features, and an environment in which only cargo's own variables and a build script's are left;
//! - the [overlays](crate::overlay), and for a crate that makes [hashers](crate::hashers) another `std`.
//!
//! What stays of this machine is what a crate asks for itself: `env!("CARGO_MANIFEST_DIR")` and `env!("OUT_DIR")` must
//! name the real directories, or `include!` could not read there. A crate that keeps such a path as data has another
//! module on another machine; whoever builds it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use belljar_store::{Store, tree};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::inside::{HASHERS_DIR, field};
use crate::manifest::SHARED_PREFIX;
use crate::sources::{self, Sources};
use crate::toolchain::TARGET;
use crate::{GuestError, config, hashers, overlay, scratch};

/// Names the file with what the wrapper must know, a [`Nested`].
pub const VARIABLE: &str = "BELLJAR_NESTED";

/// Where wrappers of a guest build write down what macros wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestLog {
    /// belljar's part of the target directory of the project for which it is built.
    pub belljar_dir: Utf8PathBuf,
    /// Names the run of cargo that needs it.
    pub build: Option<String>,
}

/// What the command hands to the wrappers of one guest build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nested {
    /// Of the user's project.
    pub workspace_root: Utf8PathBuf,
    /// Of the scratch workspace; a part of the user's.
    pub lockfile: Utf8PathBuf,
    /// The user's directory, for cargo's configuration.
    pub cwd: Utf8PathBuf,
    /// Values of the user's `--config` arguments.
    pub config: Vec<String>,
    pub offline: bool,
    pub log: Option<GuestLog>,
    /// How many guest builds there are around this one's units: 1 for a guest of the project itself.
    pub depth: usize,
    /// The scratch workspace: packages in it are guests.
    pub(crate) scratch: Utf8PathBuf,
    /// The real directories of its packages, by those in it.
    pub(crate) members: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// For the std, as `--sysroot` and the like.
    pub(crate) sysroot_args: Vec<String>,
    /// Directory with `libproc_macro.rlib`.
    pub(crate) libraries: Utf8PathBuf,
    /// The proc macro that stands for rustc's markers.
    pub(crate) entry: Utf8PathBuf,
    /// `crt1-reactor.o`
    pub(crate) reactor: Utf8PathBuf,
    /// For changed copies of dependencies.
    pub(crate) overlays: Utf8PathBuf,
    /// Variables that cargo was started with: none of them is a crate's business.
    pub(crate) ambient: BTreeSet<String>,
}

impl Nested {
    /// What this process was given, if it is part of a guest's build.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        let path = std::env::var(VARIABLE).ok()?;
        serde_json::from_slice(&belljar_store::own_file(Utf8Path::new(&path))?).ok()
    }
}

/// Does this call of rustc compile something for a guest? (A question such as `--print` doesn't.)
#[must_use]
pub fn is_guest_unit(rustc_args: &[OsString]) -> bool {
    let target = rustc_args.windows(2).any(|w| w[0] == "--target" && w[1] == TARGET)
        || rustc_args.iter().any(|a| a.to_str().and_then(|a| a.strip_prefix("--target=")) == Some(TARGET));
    let asks = rustc_args.iter().any(|a| a.as_encoded_bytes().starts_with(b"--print") || a == "-vV");
    target && !asks
}

/// May this unit of a guest's build load macros, that is: shims? Also one that a dependency hands on: then it is in one of
/// the directories where rustc looks for dependencies.
#[must_use]
pub fn may_use_macros(rustc_args: &[OsString]) -> bool {
    let dirs = rustc_args.windows(2).filter(|w| w[0] == "-L").filter_map(|w| w[1].to_str());
    let dirs = dirs.chain(rustc_args.iter().filter_map(|a| a.to_str()?.strip_prefix("-L")));
    let mut files = dirs
        .filter_map(|dir| Utf8Path::new(dir.strip_prefix("dependency=").unwrap_or(dir)).read_dir_utf8().ok())
        .flat_map(|dir| dir.flatten());
    files.any(|file| file.file_name().ends_with(std::env::consts::DLL_SUFFIX))
}

/// Compiles a unit of a guest's build: `compilers` is the compiler, with an inner wrapper before it where there is one.
pub fn rustc(compilers: &[OsString], rustc_args: &[OsString]) -> Result<ExitStatus, GuestError> {
    let (mut command, sources) = command(compilers, rustc_args)?;
    let status = match command.status() {
        Err(error) if error.kind() == std::io::ErrorKind::ArgumentListTooLong => {
            in_a_file(&command).and_then(|mut command| command.status())
        }
        done => done,
    };
    let program = || compilers.last().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default();
    let status = status.map_err(|source| GuestError::Start { program: program().into(), source })?;
    if status.success() {
        sources.check()?;
    }
    Ok(status)
}

/// The same command with its arguments in a file, which stands in the scratch workspace and goes with that.
fn in_a_file(command: &Command) -> std::io::Result<Command> {
    let scratch = Nested::of_environment().map(|nested| nested.scratch).unwrap_or_default();
    let mut text = Vec::new();
    for arg in command.get_args() {
        text.extend_from_slice(arg.as_encoded_bytes());
        text.push(b'\n');
    }
    let path = scratch.join(format!("{}.args", std::process::id()));
    std::fs::write(&path, text)?;
    let mut short = Command::new(command.get_program());
    short.arg(format!("@{path}")).env_clear();
    short.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(short)
}

/// The command that [`rustc`] runs, and what is to be looked at when it has ended well.
pub fn command(compilers: &[OsString], rustc_args: &[OsString]) -> Result<(Command, Sources), GuestError> {
    // Cargo may be stopped without a word to its children.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let path = std::env::var(VARIABLE).unwrap_or_default();
    let nested = Nested::of_environment().ok_or(GuestError::Nested { path: path.into() })?;
    let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v)));
    let variables: Vec<_> = variables.collect();
    let text = |name: &str| {
        let found = variables.iter().find(|(k, _)| k == name);
        found.and_then(|(_, v)| v.to_str()).unwrap_or_default().to_owned()
    };
    let unit = Unit {
        name: text("CARGO_PKG_NAME"),
        version: text("CARGO_PKG_VERSION"),
        dir: text("CARGO_MANIFEST_DIR").into(),
        out_dir: Some(text("OUT_DIR")).filter(|d| !d.is_empty()).map(Utf8PathBuf::from),
    };
    let args = nested.args(&unit, rustc_args)?;
    let sources = nested.sources(&unit, &args);
    let (program, before) =
        compilers.split_last().map_or((OsStr::new("rustc"), &[][..]), |(last, before)| {
            before
                .split_first()
                .map_or((last.as_os_str(), &[][..]), |(first, _)| (first.as_os_str(), &compilers[1..]))
        });
    let mut command = Command::new(program);
    command.args(before).args(args).env_clear();
    command.envs(variables.iter().filter(|(name, _)| nested.reaches_rustc(name)).map(|(k, v)| (k, v)));
    // SAFETY: `prctl` may be called between fork and exec. If this process is killed, so is the compiler.
    unsafe {
        command.pre_exec(|| {
            let signal = Some(rustix::process::Signal::TERM);
            rustix::process::set_parent_process_death_signal(signal).map_err(std::io::Error::from)
        });
    }
    Ok((command, sources))
}

/// The unit as cargo's variables describe it.
struct Unit {
    name: String,
    version: String,
    dir: Utf8PathBuf,
    out_dir: Option<Utf8PathBuf>,
}

/// Set by cargo or belljar for rustc's sake, but different on every machine.
const HIDDEN: [&str; 7] =
    ["CARGO", "CARGO_HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", VARIABLE, crate::WORKSPACE];

impl Nested {
    /// A variable that a crate can read with `env!`: cargo's description of the package, or a build script's word.
    fn reaches_rustc(&self, name: &str) -> bool {
        // The job server: without it each rustc would take as many threads as it likes.
        if matches!(name, "CARGO_MAKEFLAGS" | "MAKEFLAGS" | "MFLAGS" | "TMPDIR") {
            return name != "MFLAGS";
        }
        let ours = name.starts_with("RUSTUP_") || name.starts_with("BELLJAR_");
        !self.ambient.contains(name) && !HIDDEN.contains(&name) && !ours
    }

    /// What this unit may be made of. `args` are rustc's.
    fn sources(&self, unit: &Unit, args: &[OsString]) -> Sources {
        let real = self.members.get(&unit.dir).unwrap_or(&unit.dir);
        let mut allowed = sources::places(real, &self.workspace_root);
        let own = [Some(&unit.dir), unit.out_dir.as_ref(), Some(&self.overlays)];
        allowed.extend(own.into_iter().flatten().filter_map(|dir| dir.canonicalize_utf8().ok()));
        Sources { package: format!("{} {}", unit.name, unit.version), dep_info: dep_info(args), allowed }
    }

    /// rustc's arguments for this unit.
    fn args(&self, unit: &Unit, given: &[OsString]) -> Result<Vec<OsString>, GuestError> {
        let features = features(given);
        // A guest's own sources have been changed in its scratch package.
        let is_guest = unit.dir.starts_with(&self.scratch);
        let overlay = overlay::of(&unit.name, &unit.version).filter(|_| !is_guest);
        let mut dir = unit.dir.clone();
        let mut args = kept(given);
        if let Some(overlay) = overlay
            && let Some(copy) = self.copied(unit, overlay)?
        {
            replace_root(&mut args, &dir, &copy);
            dir = copy;
        }
        let mut add = |arg: String| args.push(arg.into());
        for arg in &self.sysroot_args {
            add(arg.clone());
        }
        add("--cap-lints=allow".to_owned());
        add(format!("-Cmetadata={}", metadata(unit, &features)));
        // The last one that matches counts.
        let name = place(&unit.name, &unit.version);
        add(format!("--remap-path-prefix={}={name}", self.scratch));
        if let Some(out) = &unit.out_dir {
            add(format!("--remap-path-prefix={out}={name}/out"));
        }
        for dir in BTreeSet::from([&unit.dir, &dir]) {
            add(format!("--remap-path-prefix={dir}={name}"));
        }
        // Cargo names the members of the scratch workspace as seen from there.
        if let Ok(below) = unit.dir.strip_prefix(&self.scratch) {
            add(format!("--remap-path-prefix={below}={name}"));
        }
        add(format!("-Ldependency={}", self.libraries));
        add(format!("--extern=proc_macro={}/libproc_macro.rlib", self.libraries));
        let hashers = self.libraries.join(HASHERS_DIR);
        add(format!("-Ldependency={hashers}"));
        if hashers::makes_its_own(&unit.dir) {
            add(format!("--extern=std={hashers}/libstd.rlib"));
        }
        for cfg in overlay.into_iter().flat_map(|o| o.cfgs(&features)) {
            add(format!("--cfg={cfg}"));
        }
        add(format!("-Ccodegen-units={CODEGEN_UNITS}"));
        if is_guest {
            add("--cfg=proc_macro".to_owned());
            add(format!("--extern=belljar={}", self.entry));
            add(format!("-Clink-arg={}", self.reactor));
            add("-Clink-arg=--export=_initialize".to_owned());
            add(format!("-Clink-arg=-zstack-size={STACK}"));
            self.own_place(unit, &mut args);
        }
        Ok(args)
    }

    /// Lets rustc write a guest into its scratch package. Cargo's place for it has no hash in its name: guests of one
    /// name would share it, and a compiler that outlives a killed build could write there while the next one links.
    fn own_place(&self, unit: &Unit, args: &mut [OsString]) {
        let find = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.to_str());
        let (crate_name, out_dir) = (find("--crate-name"), find("--out-dir"));
        let extra = args
            .iter()
            .filter_map(|a| a.to_str())
            .find_map(|a| a.strip_prefix("-Cextra-filename=").or_else(|| a.strip_prefix("extra-filename=")));
        let dep_info = match (crate_name, out_dir) {
            (Some(name), Some(dir)) => {
                let path = Utf8Path::new(dir).join(format!("{name}{}.d", extra.unwrap_or_default()));
                Some(format!("dep-info={}", without_comma(&path)))
            }
            _ => None,
        };
        let out_dir = out_dir.map(str::to_owned);
        for arg in args {
            if let Some(emit) = arg.to_str().and_then(|a| a.strip_prefix("--emit=")) {
                let link = format!("link={}", without_comma(&unit.dir.join(LINKED)));
                let kinds = emit.split(',').map(|kind| match kind {
                    "link" => link.as_str(),
                    "dep-info" => dep_info.as_deref().unwrap_or(kind),
                    _ => kind,
                });
                *arg = format!("--emit={}", kinds.collect::<Vec<_>>().join(",")).into();
            } else if out_dir.as_deref().is_some_and(|dir| *arg == *dir) {
                *arg = unit.dir.join("out").into_string().into();
            }
        }
    }

    /// The changed copy of a dependency's sources, made once for all units.
    fn copied(&self, unit: &Unit, overlay: &overlay::Overlay) -> Result<Option<Utf8PathBuf>, GuestError> {
        let io = |source| GuestError::File { path: unit.dir.clone(), source };
        let mut hasher = blake3::Hasher::new();
        for text in [unit.dir.as_str(), &unit.name, &unit.version, &overlay::id()] {
            field(&mut hasher, text);
        }
        // Elsewhere the same directory can hold another version tomorrow, or another project's package.
        if !config::is_fetched(&unit.dir) {
            for file in scratch::files(&unit.dir).map_err(io)? {
                field(&mut hasher, file.as_str());
                field(&mut hasher, &blake3::hash(&std::fs::read(unit.dir.join(&file)).map_err(io)?).to_hex());
            }
        }
        let copy = self.overlays.join(format!("{}-{}", &hasher.finalize().to_hex()[..16], unit.name));
        let unchanged = self.overlays.join(format!("{}.same", copy.file_name().unwrap_or_default()));
        let io = |source| GuestError::File { path: copy.clone(), source };
        if tree::is_sound(&copy) {
            return Ok(Some(copy));
        }
        if unchanged.is_file() {
            return Ok(None);
        }
        std::fs::create_dir_all(&self.overlays).map_err(io)?;
        let temporary = tempfile::Builder::new().prefix(".copy-").tempdir_in(&self.overlays).map_err(io)?;
        let at = Utf8Path::from_path(temporary.path()).unwrap_or(&copy);
        if !overlay.copy(&unit.dir, at).map_err(io)? {
            tree::discard(&unchanged);
            std::fs::write(&unchanged, "").map_err(io)?;
            return Ok(None);
        }
        tree::seal(at)?;
        // What is there now is damaged, or another wrapper has made it just now.
        if !tree::is_sound(&copy) {
            tree::discard(&copy);
        }
        match std::fs::rename(at, &copy) {
            Err(_) if tree::is_sound(&copy) => {}
            done => done.map_err(io)?,
        }
        Ok(Some(copy))
    }
}

/// Where rustc, called with these, writes what it has read.
fn dep_info(args: &[OsString]) -> Option<Utf8PathBuf> {
    let texts = || args.iter().filter_map(|a| a.to_str());
    let mut emits = texts().filter_map(|a| a.strip_prefix("--emit=")).flat_map(|list| list.split(','));
    let kind = emits.rfind(|kind| kind.starts_with("dep-info"))?;
    if let Some(path) = kind.strip_prefix("dep-info=") {
        return Some(path.into());
    }
    let value = |flag: &str| texts().zip(texts().skip(1)).find(|(f, _)| *f == flag).map(|(_, value)| value);
    let extra = texts()
        .filter_map(|a| a.strip_prefix("-Cextra-filename=").or_else(|| a.strip_prefix("extra-filename=")))
        .next_back();
    let name = format!("{}{}.d", value("--crate-name")?, extra.unwrap_or_default());
    Some(Utf8Path::new(value("--out-dir")?).join(name))
}

/// A path that can stand in `--emit`, which is a list with commas and knows no way to quote one: seen from the directory in
/// which rustc runs, where that helps. Both are in the store, so a comma is most likely above both.
fn without_comma(path: &Utf8Path) -> Utf8PathBuf {
    let cwd = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
    match cwd {
        Some(cwd) if path.as_str().contains(',') => relative(path, &cwd),
        _ => path.to_owned(),
    }
}

pub(crate) fn relative(path: &Utf8Path, from: &Utf8Path) -> Utf8PathBuf {
    let shared = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Utf8Path::new(".."));
    up.chain(path.components().skip(shared).map(|part| Utf8Path::new(part.as_str()))).collect()
}

/// Set here instead, or not at all.
const DROPPED: [&str; 5] = ["metadata=", "linker=", "linker-flavor=", "incremental=", "codegen-units="];

/// Fixed, for it decides a module's bytes. What cargo says is not how many units there are but what the unit's sources
/// are (see `build`).
const CODEGEN_UNITS: u32 = 4;

/// Bytes of the stack in a guest's memory: what rustc gives its own threads, and with them native macros
/// (`DEFAULT_STACK_SIZE` in `compiler/rustc_interface/src/util.rs`). What a frame keeps where nothing points to it is on
/// the engine's stack, which the expander limits.
const STACK: u32 = 8 << 20;

/// Where the linker leaves a guest, in its scratch package.
pub(crate) const LINKED: &str = "linked.wasm";

/// What a package's directory is called in a module.
pub(crate) fn place(name: &str, version: &str) -> String {
    format!("/belljar/{name}-{version}")
}

/// Cargo's arguments without those that differ between machines or that a guest must not have.
fn kept(given: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::with_capacity(given.len() + 16);
    let mut given = given.iter().peekable();
    while let Some(arg) = given.next() {
        let text = arg.to_str().unwrap_or_default();
        let takes_value = matches!(text, "-C" | "--extern" | "--cap-lints");
        let value = if takes_value { given.peek().and_then(|v| v.to_str()).unwrap_or_default() } else { "" };
        let (flag, value) = match text {
            "-C" => ("-C", value),
            "--extern" => ("--extern", value),
            _ if text.starts_with("-C") => ("-C", &text[2..]),
            _ => (text, value),
        };
        let dropped = match flag {
            "-C" => DROPPED.iter().any(|p| value.starts_with(p)),
            "--extern" => value.starts_with(SHARED_PREFIX),
            _ => flag.starts_with("--cap-lints"),
        };
        let also = if takes_value { given.next() } else { None };
        if !dropped {
            kept.push(arg.clone());
            kept.extend(also.cloned());
        }
    }
    kept
}

fn features(given: &[OsString]) -> Vec<String> {
    let cfgs = given.windows(2).filter(|w| w[0] == "--cfg").filter_map(|w| w[1].to_str());
    let mut features: Vec<String> =
        cfgs.filter_map(|cfg| cfg.strip_prefix("feature=\"")?.strip_suffix('"')).map(str::to_owned).collect();
    features.sort();
    features
}

/// What rustc tells crates of one name apart by; the same on every machine.
fn metadata(unit: &Unit, features: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [&unit.name, &unit.version].into_iter().chain(features) {
        field(&mut hasher, text);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Compiles from the copy: the crate root is the only source among the arguments.
fn replace_root(args: &mut [OsString], dir: &Utf8Path, copy: &Utf8Path) {
    for arg in args {
        let root = arg.to_str().filter(|a| a.ends_with(".rs") && !a.starts_with('-')).map(Utf8Path::new);
        if let Some(root) = root {
            let below = root.strip_prefix(dir).unwrap_or(root);
            *arg = copy.join(below).into_string().into();
        }
    }
}

/// Directory of the overlays' copies.
pub(crate) fn overlays(store: &Store) -> Utf8PathBuf {
    store.dir(belljar_store::Area::Scratch).join("overlays")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    fn nested(dir: &Utf8Path) -> Nested {
        Nested {
            workspace_root: "/user".into(),
            lockfile: "/scratch/Cargo.lock".into(),
            cwd: "/user".into(),
            config: Vec::new(),
            offline: true,
            log: None,
            depth: 1,
            scratch: "/scratch".into(),
            members: BTreeMap::new(),
            sysroot_args: vec!["--sysroot=/std".to_owned()],
            libraries: "/inside".into(),
            entry: "/inside/libbelljar.so".into(),
            reactor: "/std/crt1-reactor.o".into(),
            overlays: dir.join("overlays"),
            ambient: ["PATH", "HOME", "SECRET"].map(str::to_owned).into(),
        }
    }

    fn unit(name: &str, version: &str, dir: impl Into<Utf8PathBuf>) -> Unit {
        Unit { name: name.to_owned(), version: version.to_owned(), dir: dir.into(), out_dir: None }
    }

    #[test]
    fn only_compiling_for_wasi_is_a_guest_unit() {
        assert!(is_guest_unit(&os(&["--crate-name", "a", "--target", "wasm32-wasip1"])));
        assert!(is_guest_unit(&os(&["--crate-name", "a", "--target=wasm32-wasip1"])));
        assert!(!is_guest_unit(&os(&["--crate-name", "a"])));
        assert!(!is_guest_unit(&os(&[
            "-",
            "--crate-name",
            "___",
            "--print=cfg",
            "--target",
            "wasm32-wasip1"
        ])));
        assert!(!is_guest_unit(&os(&["--target", "wasm32-unknown-unknown"])));
    }

    #[test]
    fn units_that_can_not_use_macros_are_told_from_others() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_str().unwrap();
        let apart = ["-L".to_owned(), format!("dependency={dir}")];
        let may = |args: &[String]| may_use_macros(&args.iter().map(OsString::from).collect::<Vec<_>>());
        std::fs::write(temporary.path().join("liba.rlib"), "").unwrap();
        assert!(!may(&apart) && !may(&[format!("-L{dir}")]) && !may(&[]));
        std::fs::write(temporary.path().join("libm-1.so"), "").unwrap();
        assert!(may(&apart) && may(&[format!("-Ldependency={dir}")]));
        assert!(!may(&["-Ldependency=/not/there".to_owned()]));
    }

    #[test]
    fn a_guest_gets_what_makes_it_one_and_a_dependency_does_not() {
        let nested = nested(Utf8Path::new("/none"));
        let given = os(&[
            "--crate-name",
            "m",
            "src/lib.rs",
            "-C",
            "metadata=1234",
            "-Clinker=/usr/bin/cc",
            "-C",
            "opt-level=1",
            "--cap-lints",
            "allow",
            "--extern",
            "belljar_shared_0=/x.rlib",
            "--extern",
            "syn=/y.rlib",
            "--cfg",
            "feature=\"a\"",
            "--emit=dep-info,link",
            "--out-dir",
            "/target/deps",
        ]);
        let strings = |unit: &Unit| -> Vec<String> {
            nested.args(unit, &given).unwrap().into_iter().map(|a| a.into_string().unwrap()).collect()
        };
        let guest = strings(&unit("m", "1.0.0", "/scratch/m"));
        let dependency = strings(&unit("m", "1.0.0", "/registry/m-1.0.0"));
        for args in [&guest, &dependency] {
            assert!(args.contains(&"--extern=proc_macro=/inside/libproc_macro.rlib".to_owned()));
            assert!(args.contains(&"--sysroot=/std".to_owned()));
            assert!(args.contains(&"syn=/y.rlib".to_owned()) && args.contains(&"opt-level=1".to_owned()));
            assert!(
                !args.iter().any(|a| a.contains("1234") || a.contains("/usr/bin/cc") || a.contains("shared"))
            );
        }
        assert!(guest.contains(&"--extern=belljar=/inside/libbelljar.so".to_owned()));
        assert!(guest.contains(&"-Clink-arg=-zstack-size=8388608".to_owned()));
        assert!(guest.contains(&"--emit=dep-info=/target/deps/m.d,link=/scratch/m/linked.wasm".to_owned()));
        assert!(dependency.contains(&"--emit=dep-info,link".to_owned()));
        assert!(
            !guest.contains(&"/target/deps".to_owned()) && dependency.contains(&"/target/deps".to_owned())
        );
        assert!(!dependency.iter().any(|a| a.contains("libbelljar.so") || a.contains("reactor")));
        let metadata = |args: &[String]| args.iter().find(|a| a.starts_with("-Cmetadata=")).cloned();
        assert_eq!(metadata(&guest), metadata(&dependency));
        assert_ne!(metadata(&guest), metadata(&strings(&unit("m", "1.0.1", "/scratch/m"))));
    }

    #[test]
    fn a_path_is_seen_from_where_rustc_runs() {
        let seen = |path: &str, from: &str| relative(path.into(), from.into());
        assert_eq!(seen("/a,b/target/deps/m.d", "/a,b/scratch/x"), "../../target/deps/m.d");
        assert_eq!(seen("/a,b/scratch/x/m/linked.wasm", "/a,b/scratch/x"), "m/linked.wasm");
    }

    #[test]
    fn the_users_environment_does_not_reach_a_crate() {
        let nested = nested(Utf8Path::new("/none"));
        let ambient = ["PATH", "HOME", "SECRET"];
        for hidden in ambient.iter().chain(&HIDDEN) {
            assert!(!nested.reaches_rustc(hidden), "{hidden}");
        }
        for seen in
            ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR", "WORD_OF_A_BUILD_SCRIPT", "CARGO_MAKEFLAGS"]
        {
            assert!(nested.reaches_rustc(seen), "{seen}");
        }
    }

    #[test]
    fn an_overlay_compiles_a_changed_copy() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let dir = root.join("syn-1.0.0");
        std::fs::create_dir_all(dir.join("src")).unwrap();
        let gate = "#![cfg(not(target_arch = \"wasm32\"))]";
        std::fs::write(dir.join("src/lib.rs"), gate).unwrap();
        let nested = nested(root);
        let given = os(&["--crate-name", "syn", dir.join("src/lib.rs").as_str()]);
        for _ in 0..2 {
            let args = nested.args(&unit("syn", "1.0.0", dir.as_path()), &given).unwrap();
            let copy = args[2].to_str().unwrap();
            assert_ne!(copy, dir.join("src/lib.rs"));
            assert!(std::fs::read_to_string(copy).unwrap().contains("wasm00"));
        }
        std::fs::write(dir.join("src/lib.rs"), "").unwrap();
        let same = root.join("quote-1.0.0");
        std::fs::create_dir_all(same.join("src")).unwrap();
        std::fs::write(same.join("src/lib.rs"), "").unwrap();
        let given = os(&["--crate-name", "quote", same.join("src/lib.rs").as_str()]);
        for _ in 0..2 {
            let args = nested.args(&unit("quote", "1.0.0", same.as_path()), &given).unwrap();
            assert_eq!(args[2].to_str().unwrap(), same.join("src/lib.rs"));
        }
    }
}
