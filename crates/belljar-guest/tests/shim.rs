//! Shims in a real rustc, against a fake expander: what a macro passes on or makes anew must reach the compiler exactly as
//! from a native macro that does the same, and whatever the expander says must leave the compiler standing.

#[path = "shim/fake.rs"]
mod fake;

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use belljar_guest::inside::HostInside;
use belljar_guest::shim::{self, ShimRequest};
use belljar_guest::{EntryRecord, GuestRecord};
use belljar_store::ModuleDigest;
use belljar_wire::abi::{Entry, EntryKind};
use camino::{Utf8Path, Utf8PathBuf};

/// What all tests share: the client that shims link, a fake belljar, native macros and the shim that stands in for them.
struct Shared {
    dir: tempfile::TempDir,
    inside: HostInside,
}

/// Behaviours that exist as function-like macro, attribute and derive.
const BEHAVIOURS: &[(&str, &str)] = &[
    ("whole", "Whole"),
    ("by_tree", "ByTree"),
    ("contents", "Contents"),
    ("rebuilt", "Rebuilt"),
    ("called", "Called"),
    ("mixed", "Mixed"),
    ("derived", "Derived"),
    ("opened", "Opened"),
    ("asked", "Asked"),
    ("printed", "Printed"),
    ("literals", "Literals"),
    ("panics", "Panics"),
    ("prints", "Prints"),
];

/// Function-like macros that only a shim can have.
const MISBEHAVIOURS: &[&str] = &[
    "fails",
    "hangs_up",
    "half_a_frame",
    "unknown_kind",
    "two_replies",
    "no_text",
    "bad_question",
    "empty",
    "bad_tag",
    "bad_handle",
    "bad_group_handle",
    "bad_stream",
    "bad_ident",
    "bad_unicode_ident",
    "bad_raw",
    "bad_punct",
    "bad_literal",
    "unclosed_literal",
    "bad_span",
    "bad_derived",
    "many_derived",
    "long_group",
    "crossing_groups",
    "deep",
    "chain",
];

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let lib_dir = path(dir.path().join("lib"));
    for folder in ["lib", "native", "shim"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = |name: &str, source: Utf8PathBuf| {
        rustc(&[
            &format!("--crate-name={name}"),
            "--crate-type=rlib",
            "--edition=2024",
            "-Copt-level=2",
            &format!("--out-dir={lib_dir}"),
            &format!("-L{lib_dir}"),
            &format!("--extern=belljar_wire={lib_dir}/libbelljar_wire.rlib"),
            source.as_str(),
        ]);
    };
    lib("belljar_wire", root.join("../belljar-wire/src/lib.rs"));
    lib("belljar_shim", root.join("../../inside/shim/src/lib.rs"));
    rustc(&[
        "--edition=2024",
        &format!("-o{lib_dir}/belljar with spaces"),
        &format!("--extern=belljar_wire={lib_dir}/libbelljar_wire.rlib"),
        root.join("tests/shim/expander.rs").as_str(),
    ]);
    rustc(&[
        "--crate-name=macros",
        "--crate-type=proc-macro",
        "--edition=2021",
        "-Cprefer-dynamic",
        &format!("--out-dir={}", dir.path().join("native").display()),
        root.join("tests/shim/native.rs").as_str(),
    ]);
    let inside = HostInside { lib_dir };
    let shared = Shared { dir, inside };
    shared.compile(&record(), "shim").unwrap();
    shared
});

impl Shared {
    fn belljar(&self) -> Utf8PathBuf {
        self.inside.lib_dir.join("belljar with spaces")
    }

    fn folder(&self, name: &str) -> Utf8PathBuf {
        path(self.dir.path().join(name))
    }

    fn compile(&self, record: &GuestRecord, folder: &str) -> Result<(), shim::ShimError> {
        let args = cargo_args(&self.folder(folder));
        let request = ShimRequest {
            rustc: "rustc".into(),
            cargo_args: &args,
            record,
            inside: &self.inside,
            belljar_exe: &self.belljar(),
        };
        shim::compile(&request)
    }

    /// A rustc that knows the macros of a folder.
    fn rustc(&self, folder: &str) -> Command {
        let mut rustc = Command::new("rustc");
        rustc.env_remove("BELLJAR_SOCKET");
        rustc.current_dir(self.dir.path());
        rustc.args(["--crate-type=lib", "--edition=2024", "--crate-name=user"]);
        let library = std::fs::read_dir(self.folder(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION));
        rustc.arg(format!("--extern=macros={}", library.unwrap().display()));
        rustc
    }

    /// Compiles a source with the native macros, and with a shim that inherits its expander.
    fn both(&self, name: &str, source: &str, args: &[&str]) -> (Output, Output) {
        std::fs::write(self.dir.path().join(name), source).unwrap();
        let native = self.rustc("native").args(args).arg(name).output().unwrap();
        let sealed = with_socket(self.rustc("shim").args(args).arg(name));
        (native, sealed)
    }
}

/// Runs a command that inherits a socket with a fake expander at the other end, as belljar's wrapper does it.
fn with_socket(command: &mut Command) -> Output {
    let (ours, theirs) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).unwrap();
    command.env("BELLJAR_SOCKET", theirs.as_raw_fd().to_string());
    std::thread::spawn(move || fake::serve(ours));
    command.output().unwrap()
}

fn rustc(args: &[&str]) {
    let status = Command::new("rustc").args(args).status().unwrap();
    assert!(status.success(), "rustc {args:?}");
}

fn path(path: impl AsRef<Path>) -> Utf8PathBuf {
    Utf8PathBuf::try_from(path.as_ref().to_owned()).unwrap()
}

fn entry(kind: EntryKind, name: &str) -> Entry {
    let name = name.to_owned();
    Entry { kind, name, helpers: Vec::new(), hidden: false, docs: String::new(), deprecated: None }
}

fn record() -> GuestRecord {
    let mut entries = vec![entry(EntryKind::Attribute, "arguments")];
    for (name, derive) in BEHAVIOURS {
        entries.push(entry(EntryKind::Function, name));
        entries.push(entry(EntryKind::Attribute, &format!("{name}_attr")));
        let helpers = vec!["help".to_owned(), "type".to_owned()];
        entries.push(Entry { helpers, ..entry(EntryKind::Derive, derive) });
    }
    entries.extend(MISBEHAVIOURS.iter().map(|name| entry(EntryKind::Function, name)));
    record_of(entries)
}

fn record_of(entries: Vec<Entry>) -> GuestRecord {
    GuestRecord {
        package: "fake-macros".to_owned(),
        version: "1.2.3".to_owned(),
        module: ModuleDigest::of(b"a module"),
        unwinds: false,
        edition: "2021".to_owned(),
        entries: entries.into_iter().map(|entry| EntryRecord::try_from(entry).unwrap()).collect(),
        sources: vec!["/some where/lib.rs".into(), "/other.rs".into()],
    }
}

/// A command line as cargo 1.95 writes it for a proc macro, with what a user may add.
fn cargo_args(out_dir: &Utf8Path) -> Vec<OsString> {
    let out_dir = out_dir.as_str();
    [
        "--crate-name",
        "macros",
        "--edition=2018",
        "macros dir/src/lib.rs",
        "--error-format=json",
        "--json=diagnostic-rendered-ansi,artifacts,future-incompat",
        "--diagnostic-width=100",
        "--crate-type",
        "proc-macro",
        "--emit=dep-info,link",
        "-C",
        "prefer-dynamic",
        "-C",
        "embed-bitcode=no",
        "-C",
        "opt-level=3",
        "--warn=unused",
        "--cfg",
        "feature=\"full\"",
        "--check-cfg",
        "cfg(docsrs,test)",
        "-C",
        "metadata=0123456789abcdef",
        "-C",
        "extra-filename=-fedcba9876543210",
        "--out-dir",
        out_dir,
        "-C",
        "incremental=/nowhere/incremental",
        "-L",
        "dependency=/nowhere/deps",
        "--extern",
        "quote=/nowhere/libquote.rlib",
        "--extern",
        "proc_macro",
        "--cap-lints",
        "warn",
        "-Dwarnings",
        "-D",
        "unsafe_code",
        "-Cdebuginfo=2",
        "-g",
        "-F",
        "unused",
    ]
    .map(OsString::from)
    .to_vec()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn assert_same(native: &Output, sealed: &Output) {
    similar(&text(&native.stderr), &text(&sealed.stderr));
    similar(&text(&native.stdout), &text(&sealed.stdout));
    assert_eq!(native.status, sealed.status);
}

/// `assert_eq!` that shows where long texts part.
#[track_caller]
fn similar(native: &str, sealed: &str) {
    if native != sealed {
        let line = native.lines().zip(sealed.lines()).take_while(|(a, b)| a == b).count();
        let around =
            |text: &str| text.lines().skip(line.saturating_sub(3)).take(9).collect::<Vec<_>>().join("\n");
        panic!("line {}\n--- native\n{}\n--- sealed\n{}", line + 1, around(native), around(sealed));
    }
}

/// `/* 2518#17 */` behind a name: its number in the compiler's table of strings, which any other string moves, and its
/// syntax context, which is what counts.
fn without_symbols(expanded: &str) -> String {
    let mut rest = expanded;
    let mut out = String::new();
    // A comment may have been broken into two lines behind its `/*`.
    while let Some((before, after)) = rest.split_once("/*") {
        out += before;
        out += "/*";
        let number = after.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        rest = if number.starts_with('#') { number } else { after };
    }
    out + rest
}

/// The expansion text of both, with hygiene.
#[track_caller]
fn assert_expands_same(name: &str, source: &str) -> String {
    let args = ["-Zunpretty=expanded,hygiene"];
    std::fs::write(SHARED.dir.path().join(name), source).unwrap();
    let native = SHARED.rustc("native").env("RUSTC_BOOTSTRAP", "1").args(args).arg(name).output().unwrap();
    let sealed = with_socket(SHARED.rustc("shim").env("RUSTC_BOOTSTRAP", "1").args(args).arg(name));
    similar(&text(&native.stderr), &text(&sealed.stderr));
    assert!(!native.stdout.is_empty(), "{}", text(&native.stderr));
    let native = without_symbols(&text(&native.stdout));
    similar(&native, &without_symbols(&text(&sealed.stdout)));
    native
}

const NASTY: &str = include_str!("shim/nasty.rs");

#[track_caller]
fn nasty(name: &str, derive: &str) -> String {
    let mut source = NASTY.replace("NAME", name).replace("DERIVE", derive);
    if name == "mixed" {
        // There `$crate` is the macro's, and a local variable of the caller is out of reach.
        source = source.replace("$crate", "crate");
        source.truncate(source.find("// Names from both sides").unwrap());
    }
    assert_expands_same(&format!("{name}.rs"), &source)
}

#[test]
fn a_stream_passed_on_whole_is_the_native_one() {
    let expanded = nasty("whole", "Whole");
    assert!(expanded.contains("$crate") && expanded.contains("r#fn"), "{expanded}");
}

#[test]
fn trees_passed_on_one_by_one_are_the_native_ones() {
    nasty("by_tree", "ByTree");
}

#[test]
fn contents_of_groups_passed_on_are_the_native_ones() {
    nasty("contents", "Contents");
}

#[test]
fn tokens_made_anew_are_the_native_ones() {
    nasty("rebuilt", "Rebuilt");
}

#[test]
fn tokens_at_the_call_site_are_the_native_ones() {
    nasty("called", "Called");
}

#[test]
fn tokens_at_the_mixed_site_are_the_native_ones() {
    nasty("mixed", "Mixed");
}

#[test]
fn derived_spans_are_the_native_ones() {
    nasty("derived", "Derived");
}
