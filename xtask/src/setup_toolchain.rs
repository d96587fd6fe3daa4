//! `cargo xtask setup-toolchain`: what belljar's tests and benchmarks compile guests with, on Debian machines where rustup
//! can't download.
//!
//! Debian's packages have all it takes: `rust-src` of many releases (in a newer Debian than the machine's, which is why
//! nothing is installed) and `wasi-libc`. They are fetched with an apt of its own (sources, lists and cache in a directory
//! that goes away afterwards; the system's are neither used nor changed), checked by apt against Debian's keys, and
//! unpacked into belljar's store. `belljar_guest::toolchain` does the rest: an aborting and an unwinding std. Where
//! rustup or the system has the sources, nothing is fetched.

use std::fs;
use std::io;
use std::process::{Command, ExitCode, Output, Stdio};

use belljar_guest::Progress;
use belljar_guest::toolchain::{self, ToolchainError};
use belljar_store::{Area, Store, StoreError};
use camino::{Utf8Path, Utf8PathBuf};

/// Suites that are looked through, in this order, for a package of the right version. All packages taken are for every
/// architecture and every release of Debian alike: source text, and libraries for WebAssembly.
const SUITES: [&[&str]; 2] = [&["trixie", "trixie-backports"], &["sid"]];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The compiler to set up for
    #[arg(long, default_value = "rustc", value_name = "PATH")]
    rustc: Utf8PathBuf,
}

impl Default for Args {
    fn default() -> Self {
        Self { rustc: "rustc".into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error(
        "`{program}` can't be run: {source}\n  \
         help: this chore is for Debian; elsewhere, see `cargo belljar doctor` for what is missing"
    )]
    NotDebian { program: String, source: io::Error },

    #[error(
        "apt on this machine knows no mirror of Debian (an address that ends in `/debian`)\n  \
         help: see `cargo belljar doctor` for what else belljar can build a std from"
    )]
    NoMirror,

    #[error(
        "Debian has no `{package}`{}\n  help: {mend}",
        if offered.is_empty() { String::new() } else { format!(" of that version; it has {}", offered.join(", ")) }
    )]
    NoPackage { package: String, offered: Vec<String>, mend: String },

    #[error("`{command}` failed:\n{log}\n  help: try again; `apt-get update` should work on this machine")]
    Failed { command: String, log: String },

    #[error("the Debian package `{package}` has no `{what}`\n  help: please report it with this message")]
    Package { package: String, what: String },

    #[error("can't {doing} `{path}`: {source}")]
    Io { doing: &'static str, path: Utf8PathBuf, source: io::Error },
}

fn io(doing: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::Io { doing, path, source }
}

struct Lines;

impl Progress for Lines {
    fn step(&self, verb: &str, what: &str) {
        eprintln!("{verb:>12} {what}");
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, SetupError> {
    let store = Store::open_default()?;
    let ready = |found: &toolchain::Toolchain| {
        found.unwinding.is_some() && toolchain::std_source(&store, &args.rustc).is_some()
    };
    let toolchain = match toolchain::find(&store, &args.rustc) {
        Ok(found) if ready(&found) => found,
        Ok(_) | Err(ToolchainError::NoStd { .. }) => make(&store, &args.rustc)?,
        Err(other) => return Err(other.into()),
    };
    Lines.step("Ready", &format!("{}, and one that unwinds", toolchain.summary()));
    Ok(ExitCode::SUCCESS)
}

/// Where the std's sources of the default compiler are, once [`run`] has succeeded.
pub(crate) fn std_source() -> Result<Utf8PathBuf, SetupError> {
    let store = Store::open_default()?;
    let rustc = Args::default().rustc;
    toolchain::std_source(&store, &rustc).ok_or_else(|| SetupError::NoPackage {
        package: "rust-src".to_owned(),
        offered: Vec::new(),
        mend: "run `cargo xtask setup-toolchain`".to_owned(),
    })
}

fn make(store: &Store, rustc: &Utf8Path) -> Result<toolchain::Toolchain, SetupError> {
    let needs = toolchain::needs(store, rustc)?;
    if needs.source || needs.libc {
        let _lock = store.lock_or_wait("sources", || {
            Lines.step("Blocking", "waiting for another belljar that is unpacking sources");
        })?;
        let needs = toolchain::needs(store, rustc)?;
        let place = toolchain::unpacked(store, &needs.release);
        fs::create_dir_all(&place).map_err(io("create", &place))?;
        let tmp = store.dir(Area::Tmp);
        // On the same disk as the store, so that what is complete can be moved to its place at once.
        let work =
            tempfile::Builder::new().prefix("sources-").tempdir_in(&tmp).map_err(io("create", &tmp))?;
        let Some(work) = Utf8Path::from_path(work.path()) else { return Err(SetupError::NoMirror) };
        let mut apt = Apt::new(work)?;
        if needs.source {
            source(&mut apt, work, &needs.release, &place)?;
        }
        if needs.libc {
            libc(&mut apt, work, &place)?;
        }
    }
    if toolchain::find(store, rustc).is_err() {
        toolchain::build_one(store, rustc, false, &Lines)?;
    }
    toolchain::build_one(store, rustc, true, &Lines)?;
    Ok(toolchain::find(store, rustc)?)
}

/// Std's source, from `rust-src` of the compiler's own release.
fn source(apt: &mut Apt, work: &Utf8Path, release: &str, place: &Utf8Path) -> Result<(), SetupError> {
    // 1.95.0+dfsg1-2~bpo13+1: Rust's version, what Debian left out of the sources, Debian's revision.
    let of_release = |version: &str| version.split('+').next() == Some(release);
    let deb = apt.get("rust-src", of_release, || {
        format!(
            "install a rustc of one of those releases, or get the std of this one from rustup: \
             `rustup target add {} && rustup component add rust-src`",
            toolchain::TARGET
        )
    })?;
    let dir = work.join("rust-src");
    unpack(&deb, &format!("./usr/src/rustc-{release}/library"), &dir)?;
    let library = dir.join(format!("usr/src/rustc-{release}/library"));
    move_to(&library, &place.join("library"))
}

/// The files of the C library that a std carries.
fn libc(apt: &mut Apt, work: &Utf8Path, place: &Utf8Path) -> Result<(), SetupError> {
    // Not a backport: those come and go, and the module a guest becomes should not.
    let stable = |version: &str| !version.contains("bpo");
    let deb = apt.get("wasi-libc", stable, || "set WASI_SDK_PATH to an unpacked WASI SDK".to_owned())?;
    let dir = work.join("wasi-libc");
    unpack(&deb, "./usr/lib", &dir)?;
    let found = [toolchain::TARGET, "wasm32-wasi"]
        .into_iter()
        .map(|name| dir.join("usr/lib").join(name))
        .find(|lib| toolchain::LIBC_FILES.iter().all(|file| lib.join(file).is_file()));
    let Some(found) = found else {
        let what = toolchain::LIBC_FILES.join("`, `");
        return Err(SetupError::Package { package: "wasi-libc".to_owned(), what });
    };
    let chosen = work.join("libc");
    fs::create_dir(&chosen).map_err(io("create", &chosen))?;
    for file in toolchain::LIBC_FILES {
        fs::copy(found.join(file), chosen.join(file)).map_err(io("copy", &found.join(file)))?;
    }
    move_to(&chosen, &place.join("wasi-libc"))
}

fn move_to(from: &Utf8Path, to: &Utf8Path) -> Result<(), SetupError> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(io("replace", to))?;
    }
    fs::rename(from, to).map_err(io("create", to))
}

/// An apt with a state of its own.
struct Apt {
    dir: Utf8PathBuf,
    mirror: String,
    /// How many of [`SUITES`] its lists are of.
    suites: usize,
}

impl Apt {
    fn new(work: &Utf8Path) -> Result<Self, SetupError> {
        let dir = work.join("apt");
        for sub in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(sub)).map_err(io("create", &dir))?;
        }
        Ok(Self { dir, mirror: mirror()?, suites: 0 })
    }

    /// Downloads the newest version of a package that is acceptable, and returns the file.
    fn get(
        &mut self,
        package: &str,
        acceptable: impl Fn(&str) -> bool,
        mend: impl Fn() -> String,
    ) -> Result<Utf8PathBuf, SetupError> {
        let mut offered = Vec::new();
        for suites in 1..=SUITES.len() {
            if self.suites < suites {
                self.update(suites)?;
            }
            offered = self.versions(package)?;
            if let Some(version) = offered.iter().find(|version| acceptable(version)) {
                Lines.step("Downloading", &format!("{package} {version} from Debian"));
                return self.download(package, version);
            }
        }
        Err(SetupError::NoPackage { package: package.to_owned(), offered, mend: mend() })
    }

    fn update(&mut self, suites: usize) -> Result<(), SetupError> {
        let key =
            if Utf8Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let list: String = SUITES[..suites]
            .concat()
            .iter()
            .map(|suite| format!("deb {key}{} {suite} main\n", self.mirror))
            .collect();
        let file = self.dir.join("sources.list");
        fs::write(&file, list).map_err(io("write", &file))?;
        Lines.step("Updating", "a list of Debian's packages of its own");
        self.run("apt-get", &["update", "-o", "Acquire::Retries=3"])?;
        self.suites = suites;
        Ok(())
    }

    /// Newest first.
    fn versions(&self, package: &str) -> Result<Vec<String>, SetupError> {
        // A line: "rust-src | 1.95.0+dfsg1-2~bpo13+1 | mirror suite/main amd64 Packages"
        let output = self.run("apt-cache", &["madison", package])?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned())).collect())
    }

    fn download(&self, package: &str, version: &str) -> Result<Utf8PathBuf, SetupError> {
        let wanted = format!("{package}={version}");
        self.run("apt-get", &["download", "-o", "Acquire::Retries=3", &wanted])?;
        let debs = self.dir.join("debs");
        let entries = debs.read_dir_utf8().map_err(io("read", &debs))?.flatten();
        let mut files = entries.map(camino::Utf8DirEntry::into_path);
        let found = files.find(|file| {
            file.file_name()
                .is_some_and(|name| name.starts_with(&format!("{package}_")) && name.ends_with(".deb"))
        });
        found.ok_or_else(|| SetupError::Package {
            package: wanted,
            what: "file after its download".to_owned(),
        })
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<Output, SetupError> {
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::sourcelist={}", self.dir.join("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", self.dir.join("lists")),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", self.dir.join("cache")),
            // Root would hand downloads to the user `_apt`, who can't write to the store.
            "APT::Sandbox::User=root".to_owned(),
            "APT::Default-Release=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // Lists for software centres; only `Packages` is wanted.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        output(command.arg("-q").args(args).current_dir(self.dir.join("debs")))
    }
}

/// The mirror of Debian that this machine's own apt is set up with.
fn mirror() -> Result<String, SetupError> {
    let mut command = Command::new("apt-get");
    let output = output(command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_debian = |uri: &&str| uri.trim_end_matches('/').ends_with("/debian");
    text.lines().map(str::trim).find(is_debian).map(str::to_owned).ok_or(SetupError::NoMirror)
}

/// Unpacks one directory of a package.
fn unpack(deb: &Utf8Path, member: &str, to: &Utf8Path) -> Result<(), SetupError> {
    Lines.step("Unpacking", deb.file_name().unwrap_or_default());
    fs::create_dir(to).map_err(io("create", to))?;
    let mut archive = Command::new("dpkg-deb");
    archive.arg("--fsys-tarfile").arg(deb).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut archive = archive.spawn().map_err(|source| not_debian("dpkg-deb", source))?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--directory"]).arg(to).arg(member);
    if let Some(stdout) = archive.stdout.take() {
        tar.stdin(stdout);
    }
    let unpacked = output(&mut tar);
    archive.wait().map_err(io("read", deb))?;
    unpacked.map(drop)
}

fn output(command: &mut Command) -> Result<Output, SetupError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|source| not_debian(&program, source))?;
    if output.status.success() {
        return Ok(output);
    }
    let last = command.get_args().last().unwrap_or_default().to_string_lossy().into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    let log = said.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    Err(SetupError::Failed { command: format!("{program} … {last}"), log })
}

fn not_debian(program: &str, source: io::Error) -> SetupError {
    SetupError::NotDebian { program: program.to_owned(), source }
}
