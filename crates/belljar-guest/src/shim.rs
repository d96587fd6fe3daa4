//! The native proc-macro crate that cargo and rustc see in place of a macro crate.
//!
//! Its source has one function per entry point and nothing else; all work is done by `inside/shim`, compiled once per
//! rustc. For a crate with `#[proc_macro_derive(Name, attributes(help))]` it is:
//!
//! ```text
//! #![allow(warnings)]
//! extern crate proc_macro;
//! extern crate belljar_shim;
//! #[proc_macro_derive(r#Name, attributes(r#help))]
//! #[doc = "What its author says."]
//! pub fn derive_0(input: ::proc_macro::TokenStream) -> ::proc_macro::TokenStream {
//!     const ENTRY: ::belljar_shim::Macro = ::belljar_shim::Macro { module: [7, 255, …], name: "Name", … };
//!     ::belljar_shim::derive(&ENTRY, &crate::room::ROOM, input)
//! }
//! mod room { … }
//! ```
//!
//! Every name in it is an identifier by its type ([`EntryRecord`]) and written raw, so that keywords need no list; every
//! other text of the guest stands in a string literal made of printable ASCII. A guest can't write code here.
//!
//! It is compiled by cargo's own command line for the macro crate, as far as that says where the result goes, how it is
//! linked and how to report ([`kept`]). The profile is left out: nothing of the user's is in a shim, and what costs time
//! in building one is linking. Nor is anything of the project: where its expander is, is written into the
//! [room](belljar_wire::place) of the library afterwards. So most libraries are the same for all projects of a user, and are
//! linked once: see [`reused`].

mod reused;
mod room;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use belljar_store::{EntryRecord, GuestRecord, Store};
use belljar_wire::abi::EntryKind;
use belljar_wire::place::Place;
use camino::{Utf8Path, Utf8PathBuf};

use crate::inside::HostInside;

/// What a shim is made of.
#[derive(Debug, Clone, Copy)]
pub struct ShimRequest<'a> {
    /// The compiler that will load it.
    pub rustc: &'a Utf8Path,
    /// The arguments with which cargo wanted to compile the macro crate, without the compiler's own path.
    pub cargo_args: &'a [OsString],
    pub record: &'a GuestRecord,
    /// Where the client that it links is.
    pub inside: &'a HostInside,
    /// Absolute path of belljar, for processes that inherit no expander.
    pub belljar_exe: &'a Utf8Path,
    /// Where the store is: what was given to `Store::open`.
    pub home: &'a Utf8Path,
    /// Where the project's policy is, if it has a say.
    pub policy_root: Option<&'a Utf8Path>,
    /// belljar's part of the target directory, if it is known.
    pub belljar_dir: Option<&'a Utf8Path>,
}

#[derive(Debug, thiserror::Error)]
#[error("the stand-in for the macro crate {package} {version} can't be made: {kind}")]
pub struct ShimError {
    package: String,
    version: String,
    kind: ShimErrorKind,
}

#[derive(Debug, thiserror::Error)]
enum ShimErrorKind {
    #[error(
        "cargo's command line has no `{0}`\nnext: this belljar doesn't know your cargo; please report both versions"
    )]
    MissingArgument(&'static str),
    #[error("its record has the edition `{0}`\nnext: run `cargo belljar clean`, which makes records anew")]
    Edition(String),
    #[error("it has two entry points `{0}`\nnext: please report it: rustc would have refused the crate")]
    Duplicate(String),
    #[error("the compiler {rustc} could not be run: {source}\nnext: check that `{rustc} -vV` works")]
    Run { rustc: Utf8PathBuf, source: std::io::Error },
    #[error(
        "the compiler ended with {0}; its own messages are above\nnext: check that this machine can link programs (`cargo belljar doctor`)"
    )]
    Failed(ExitStatus),
    #[error("{path} can't be written: {source}\nnext: check the target directory's disk and rights")]
    Write { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "what the compiler linked has no room for the path of its expander\nnext: please report it, with what linker is used here"
    )]
    NoRoom,
}

/// How each of them is compiled: nothing of the user's is in it.
const FLAGS: [&str; 5] =
    ["-Copt-level=0", "-Cdebuginfo=0", "-Ccodegen-units=1", "-Cembed-bitcode=no", "-Cstrip=symbols"];

/// How a shim came to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Compiled<T> {
    /// The compiler was run.
    Now(T),
    /// It was linked before. This is what the compiler would say of it for cargo.
    Before(String),
}

impl<T> Compiled<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Compiled<U> {
        match self {
            Self::Now(value) => Compiled::Now(f(value)),
            Self::Before(messages) => Compiled::Before(messages),
        }
    }
}

/// Compiles the shim to where cargo expects the macro crate, with a dep-info file that names what the *module* was made of. A
/// shim that was compiled before and kept in the store is not compiled again.
pub fn compile(request: &ShimRequest<'_>, store: &Store) -> Result<Compiled<()>, ShimError> {
    let compiled = try_compile(request, store, [Stdio::inherit(), Stdio::inherit()], |_| Ok(()));
    compiled.map_err(|kind| request.error(kind))
}

/// The same, and what the compiler prints goes to pipes, of which `with` has to take care until it ends.
pub fn compile_with<T>(
    request: &ShimRequest<'_>,
    store: &Store,
    with: impl FnOnce(&mut Child) -> std::io::Result<T>,
) -> Result<Compiled<T>, ShimError> {
    try_compile(request, store, [Stdio::piped(), Stdio::piped()], with).map_err(|kind| request.error(kind))
}

/// What decides what comes of it, beside the arguments: the shim's source, the library that it is linked with by its name, and where
/// its expander is.
pub fn decides(request: &ShimRequest<'_>) -> Result<Vec<u8>, ShimError> {
    let mut source = source(request).map_err(|kind| request.error(kind))?;
    let GuestRecord { edition, sources, .. } = request.record;
    let (lib_dir, place) = (&request.inside.lib_dir, request.place());
    let _ = write!(source, "\n// {edition:?} {lib_dir:?} {place:?} {sources:?}");
    Ok(source.into_bytes())
}

impl<'a> ShimRequest<'a> {
    fn error(&self, kind: ShimErrorKind) -> ShimError {
        let GuestRecord { package, version, .. } = self.record;
        ShimError { package: package.clone(), version: version.clone(), kind }
    }

    fn place(&self) -> Place<'a> {
        let optional = |path: Option<&'a Utf8Path>| path.map_or("", Utf8Path::as_str);
        Place {
            belljar: self.belljar_exe.as_str(),
            home: self.home.as_str(),
            policy_root: optional(self.policy_root),
            belljar_dir: optional(self.belljar_dir),
        }
    }
}

fn try_compile<T>(
    request: &ShimRequest<'_>,
    store: &Store,
    [stdout, stderr]: [Stdio; 2],
    with: impl FnOnce(&mut Child) -> std::io::Result<T>,
) -> Result<Compiled<T>, ShimErrorKind> {
    let record = request.record;
    let source = source(request)?;
    let edition = &record.edition;
    if edition.len() != 4 || !edition.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ShimErrorKind::Edition(edition.clone()));
    }
    let unit = Unit::read(request.cargo_args)?;
    let lib_dir = &request.inside.lib_dir;
    let key = reused::key(&unit, [&source, edition, lib_dir.as_str(), request.rustc.as_str()]);
    // A store that can't be read, or has something else, is no reason not to compile.
    let known = key.as_ref().and_then(|key| store.shim(key).ok().flatten());
    // Where there is no macro, nobody starts anything: the linker has left the room out.
    let fill =
        |library: &mut [u8]| record.entries.is_empty() || room::fill(library, &request.place()).is_some();
    if let Some(mut library) = known
        && fill(&mut library)
    {
        unit.write_library(&library)?;
        unit.write_dep_info(&record.sources)?;
        return Ok(Compiled::Before(unit.notifications()));
    }
    let run_error = |source| ShimErrorKind::Run { rustc: request.rustc.to_owned(), source };
    let mut rustc = Command::new(request.rustc)
        .args(&unit.kept)
        .args(["--edition", edition, "--crate-type", "proc-macro", "--cap-lints", "allow"])
        .args(FLAGS)
        .arg("--extern")
        .arg(format!("belljar_shim={lib_dir}/libbelljar_shim.rlib"))
        .arg("-L")
        .arg(format!("dependency={lib_dir}"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(run_error)?;
    // A compiler that ends early closes the pipe; its exit code says more than the failed write.
    let _ = rustc.stdin.take().map(|mut stdin| stdin.write_all(source.as_bytes()));
    let done = with(&mut rustc).map_err(run_error);
    let status = rustc.wait().map_err(run_error)?;
    if !status.success() {
        return Err(ShimErrorKind::Failed(status));
    }
    if unit.links {
        let path = unit.library();
        let library =
            std::fs::read(&path).map_err(|source| ShimErrorKind::Write { path: path.clone(), source })?;
        let mut filled = library.clone();
        if !fill(&mut filled) {
            return Err(ShimErrorKind::NoRoom);
        }
        unit.write_library(&filled)?;
        if let Some(key) = &key {
            // It only saves time. Where the store can't be written, the next build links it again.
            let _ = store.put_shim(key, &library);
        }
    }
    unit.write_dep_info(&record.sources)?;
    done.map(Compiled::Now)
}

/// The shim's source.
fn source(request: &ShimRequest<'_>) -> Result<String, ShimErrorKind> {
    let record = request.record;
    let mut names: Vec<_> = record.entries.iter().map(|e| (e.kind == EntryKind::Derive, &e.name)).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ShimErrorKind::Duplicate(twice[0].1.clone()));
    }
    let mut out = String::from("#![allow(warnings)]\nextern crate proc_macro;\nextern crate belljar_shim;\n");
    for (number, entry) in record.entries.iter().enumerate() {
        write_entry(&mut out, request, number, entry);
    }
    // A module's name is in the way of no macro's.
    out.push_str(
        "mod room {\n    pub static ROOM: ::belljar_shim::Room = ::belljar_shim::Room::empty();\n}\n",
    );
    Ok(out)
}

fn write_entry(out: &mut String, request: &ShimRequest<'_>, number: usize, entry: &EntryRecord) {
    let record = request.record;
    let name = &entry.name;
    // The name of a derive's function is seen by nobody; it only must not be another entry point's.
    let mut function = format!("derive_{number}");
    while record.entries.iter().any(|e| e.name == function) {
        function.push('_');
    }
    const TOKENS: &str = "::proc_macro::TokenStream";
    let (call, parameters, arguments) = match entry.kind {
        EntryKind::Derive => {
            let helpers =
                entry.helpers.iter().map(|helper| format!("r#{helper}")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "#[proc_macro_derive(r#{name}, attributes({helpers}))]");
            ("derive", format!("input: {TOKENS}"), "input")
        }
        EntryKind::Attribute => {
            out.push_str("#[proc_macro_attribute]\n");
            function.clone_from(name);
            ("attribute", format!("arguments: {TOKENS}, item: {TOKENS}"), "arguments, item")
        }
        EntryKind::Function => {
            out.push_str("#[proc_macro]\n");
            function.clone_from(name);
            ("function", format!("input: {TOKENS}"), "input")
        }
    };
    if !entry.docs.is_empty() {
        let _ = writeln!(out, "#[doc = {}]", quoted(&entry.docs));
    }
    if entry.hidden {
        out.push_str("#[doc(hidden)]\n");
    }
    if let Some((since, note)) = &entry.deprecated {
        let given = [("since", since), ("note", note)].into_iter().filter(|(_, text)| !text.is_empty());
        let given =
            given.map(|(key, text)| format!("{key} = {}", quoted(text))).collect::<Vec<_>>().join(", ");
        let _ = match given.as_str() {
            "" => writeln!(out, "#[deprecated]"),
            given => writeln!(out, "#[deprecated({given})]"),
        };
    }
    let _ = writeln!(
        out,
        "pub fn r#{function}({parameters}) -> {TOKENS} {{\n    \
         const ENTRY: ::belljar_shim::Macro = ::belljar_shim::Macro {{ module: {:?}, name: {}, package: {}, version: {} \
         }};\n    \
         ::belljar_shim::{call}(&ENTRY, &crate::room::ROOM, {arguments})\n}}",
        record.module.as_bytes(),
        quoted(name),
        quoted(&record.package),
        quoted(&record.version),
    );
}

/// A string literal of printable ASCII with this value.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' | '\\' => out.extend(['\\', ch]),
            ' '..='~' => out.push(ch),
            _ => out.extend(ch.escape_unicode()),
        }
    }
    out.push('"');
    out
}

/// What cargo's command line says about the unit that a shim stands in for.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    crate_name: String,
    out_dir: Utf8PathBuf,
    extra_filename: String,
    /// The crate root, which cargo expects in the dep-info.
    root: Option<Utf8PathBuf>,
    dep_info: bool,
    /// Whether a library is to be linked.
    links: bool,
    /// Whether nothing else is to come of it.
    is_plain: bool,
    /// Whether cargo wants to be told of each file.
    notifies: bool,
    /// The arguments that the shim is compiled with too.
    kept: Vec<OsString>,
}

impl Unit {
    fn read(cargo_args: &[OsString]) -> Result<Self, ShimErrorKind> {
        let mut crate_name = None;
        let mut out_dir = None;
        let mut extra_filename = String::new();
        let mut root = None;
        let (mut dep_info, mut links, mut is_plain, mut notifies) = (false, false, true, false);
        let mut elsewhere = false;
        let mut keep = Vec::new();
        let mut args = cargo_args.iter();
        while let Some(arg) = args.next() {
            let Some(text) = arg.to_str() else { continue };
            let Some((flag, inline)) = split(text) else {
                if text.ends_with(".rs") {
                    root = Some(Utf8PathBuf::from(text));
                }
                continue;
            };
            let value = match inline {
                Some(value) => Some(OsStr::new(value)),
                None if takes_value(flag) => args.next().map(OsString::as_os_str),
                None => None,
            };
            let Some(value) = value else {
                continue;
            };
            if kept(flag, value.to_str().unwrap_or_default()) {
                keep.extend([OsString::from(flag), value.to_owned()]);
            }
            let Some(value) = value.to_str() else { continue };
            match (flag, value.split_once('=')) {
                ("--crate-name", _) => crate_name = Some(value.to_owned()),
                ("--out-dir", _) => out_dir = Some(Utf8PathBuf::from(value)),
                ("--emit", _) => {
                    let emits = |kind| value.split(',').any(|emit| emit == kind);
                    dep_info |= emits("dep-info");
                    // Where it is to go elsewhere, that is nothing that cargo asks for.
                    links |= emits("link");
                    elsewhere |= value.split(',').any(|emit| emit.starts_with("link="));
                    is_plain &= value.split(',').all(|emit| matches!(emit, "dep-info" | "link"));
                }
                ("--json", _) => notifies |= value.split(',').any(|what| what == "artifacts"),
                ("-C", Some(("extra-filename", suffix))) => suffix.clone_into(&mut extra_filename),
                _ => {}
            }
        }
        Ok(Self {
            crate_name: crate_name.ok_or(ShimErrorKind::MissingArgument("--crate-name"))?,
            out_dir: out_dir.ok_or(ShimErrorKind::MissingArgument("--out-dir"))?,
            extra_filename,
            root,
            dep_info,
            links: links && !elsewhere,
            is_plain,
            notifies,
            kept: keep,
        })
    }

    /// Where the compiler writes its dep-info.
    fn dep_info(&self) -> Utf8PathBuf {
        self.out_dir.join(format!("{}{}.d", self.crate_name, self.extra_filename))
    }

    /// Where it links the library.
    fn library(&self) -> Utf8PathBuf {
        let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        self.out_dir.join(format!("{prefix}{}{}{suffix}", self.crate_name, self.extra_filename))
    }

    /// Writes the library to where it is expected: whole, or not at all.
    fn write_library(&self, library: &[u8]) -> Result<(), ShimErrorKind> {
        let path = self.library();
        let written = || {
            let mut file = tempfile::Builder::new()
                .permissions(std::fs::Permissions::from_mode(0o777))
                .tempfile_in(&self.out_dir)?;
            file.write_all(library)?;
            file.persist(&path).map_err(|e| e.error)
        };
        written().map(drop).map_err(|source| ShimErrorKind::Write { path: path.clone(), source })
    }

    /// What the compiler tells cargo of the files that it has written. Source: "JSON Output" in the rustc book.
    fn notifications(&self) -> String {
        let of = |artifact: Utf8PathBuf, emit| {
            format!(
                "{}\n",
                serde_json::json!({ "$message_type": "artifact", "artifact": artifact, "emit": emit })
            )
        };
        match self.notifies {
            true => of(self.dep_info(), "dep-info") + &of(self.library(), "link"),
            false => String::new(),
        }
    }

    /// Writes the dep-info over the compiler's own, in the compiler's form (`rustc_interface::passes::write_out_deps`).
    /// cargo rebuilds the shim, and looks for another module, when one of these files changes.
    fn write_dep_info(&self, sources: &[Utf8PathBuf]) -> Result<(), ShimErrorKind> {
        if !self.dep_info {
            return Ok(());
        }
        let path = self.dep_info();
        let mut sources: Vec<_> = self.root.iter().chain(sources).map(|path| escaped(path)).collect();
        sources.sort_unstable();
        sources.dedup();
        let all = sources.join(" ");
        let mut text = String::new();
        for target in [path.clone(), self.library()] {
            let _ = writeln!(text, "{}: {all}\n", escaped(&target));
        }
        for source in &sources {
            let _ = writeln!(text, "{source}:");
        }
        std::fs::write(&path, text).map_err(|source| ShimErrorKind::Write { path, source })
    }
}

/// A path in a makefile.
fn escaped(path: &Utf8Path) -> String {
    path.as_str().replace(' ', "\\ ")
}

/// Flag and, where it stands in the same argument, value. `None` for what is no flag.
fn split(arg: &str) -> Option<(&str, Option<&str>)> {
    if arg.starts_with("--") {
        return Some(arg.split_once('=').map_or((arg, None), |(flag, value)| (flag, Some(value))));
    }
    let at = arg.strip_prefix('-').filter(|rest| !rest.is_empty())?.chars().next()?.len_utf8() + 1;
    Some(match arg.split_at(at) {
        (flag, "") => (flag, None),
        (flag, value) => (flag, Some(value)),
    })
}

/// Does rustc take the next argument as this flag's value? All flags that cargo and `RUSTFLAGS` can hold but these do.
fn takes_value(flag: &str) -> bool {
    !matches!(flag, "-g" | "-O" | "-v" | "-V" | "-h" | "--test" | "--verbose" | "--version" | "--help")
}

/// Is this argument for the shim too? What it is called, where it goes, how it is linked, how the compiler reports. Not the
/// profile, dependencies, features, lints and instrumentation of the macro crate.
fn kept(flag: &str, value: &str) -> bool {
    match flag {
        "--crate-name" | "--out-dir" | "--emit" | "--error-format" | "--json" | "--diagnostic-width"
        | "--color" | "--target" | "--sysroot" => true,
        "-C" | "--codegen" => match value.split_once('=').map_or(value, |(key, _)| key) {
            "metadata"
            | "extra-filename"
            | "prefer-dynamic"
            | "linker"
            | "linker-flavor"
            | "linker-features"
            | "link-arg"
            | "link-args"
            | "pre-link-args"
            | "link-self-contained" => true,
            // musl hosts can make no proc macro without it.
            "target-feature" => value.contains("crt-static"),
            _ => false,
        },
        // What other kept flags may need on a nightly compiler.
        "-Z" => {
            matches!(
                value.split_once('=').map_or(value, |(key, _)| key),
                "unstable-options" | "embed-metadata"
            )
        }
        _ => false,
    }
}
