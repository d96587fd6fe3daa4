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
use belljar_guest::shim::{self, Compiled, ShimRequest};
use belljar_guest::{EntryRecord, GuestRecord};
use belljar_store::{ModuleDigest, Store};
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
    ("lexed", "Lexed"),
    ("panics", "Panics"),
    ("panics_silently", "PanicsSilently"),
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
    "bad_flag",
    "flag_and_text",
    "bad_question",
    "lexes",
    "names",
    "refused_once",
    "empty",
    "bad_tag",
    "bad_handle",
    "bad_group_handle",
    "bad_stream",
    "bad_text_number",
    "later_text",
    "bad_text_handle",
    "bad_text_group",
    "other_tokens",
    "fewer_tokens",
    "unlexable",
    "reported",
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

    fn compile(&self, record: &GuestRecord, folder: &str) -> Result<Compiled<()>, shim::ShimError> {
        let args = cargo_args(&self.folder(folder));
        let request = ShimRequest {
            rustc: "rustc".into(),
            cargo_args: &args,
            record,
            inside: &self.inside,
            belljar_exe: &self.belljar(),
            home: "/home of/belljar".into(),
            policy_root: Some("/work space".into()),
            belljar_dir: None,
        };
        shim::compile(&request, &self.store())
    }

    fn store(&self) -> Store {
        Store::open(&path(self.dir.path().join("store"))).unwrap()
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

/// How many errors rustc reported; the one that only counts the others is none.
fn reported(stderr: &str) -> usize {
    stderr.lines().filter(|line| line.starts_with("error") && !line.starts_with("error: aborting")).count()
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

/// The expansions of function-like macro, attribute and derive; `expected` must be in all three.
#[track_caller]
fn three(name: &str, derive: &str, expected: &str) {
    let source = format!(
        "#![allow(warnings)]\n\
         const A: &str = macros::{name}! {{ struct S {{ été: u8 }} fn f() -> Vec<&'static u8> {{ x <<= \"y\" }} }};\n\
         macro_rules! m {{ ($e:expr) => {{ const B: &str = macros::{name}!($e + {{ 1 }}); }} }}\n\
         m!(1 + \n 2);\n\
         #[derive(macros::{derive})] struct D<'a> {{ /// doc\n a: &'a u8 }}\n"
    );
    let expanded = assert_expands_same(&format!("{name}.rs"), &source);
    assert!(expanded.contains(expected), "{expanded}");
}

#[test]
fn questions_about_spans_get_the_compilers_answers() {
    three("asked", "Asked", r#"2:34 asked.rs Some(\"asked.rs\") Some(\"struct\")"#);
}

#[test]
fn texts_are_lexed_by_the_compiler() {
    let errors = errors("lexes", "macros::lexes!();");
    let answers =
        "error: 15 tokens; unexpected closing delimiter: `]`; 2 tokens; comment or whitespace around literal";
    assert!(errors.contains(answers), "{errors}");
}

#[test]
fn tokens_are_printed_by_the_compiler() {
    three("printed", "Printed", "Vec<&'static u8>");
}

#[test]
fn literals_are_the_ones_that_constructors_make() {
    let expanded = assert_expands_same(
        "literals.rs",
        "const A: () = macros::literals!(); #[macros::literals_attr] struct S; #[derive(macros::Literals)] struct D;",
    );
    assert!(expanded.contains(r#""it's \"quoted\" \\ \n\t\r\0 é 日本 \u{200b}""#), "{expanded}");
}

#[test]
fn spans_of_delimiters_are_the_native_ones() {
    // Each `1` stands where a token is expected that it isn't: the errors point at its span.
    for source in ["macros::opened! { ( ) }", "macros::opened! { [\n\n] }", "macros::opened! { a { b } }"] {
        let (native, sealed) = SHARED.both("opened.rs", source, &["--error-format=json"]);
        similar(&without_definition(&native), &without_definition(&sealed));
        assert!(!native.status.success());
    }
}

/// Diagnostics in JSON, without the place where the macro is defined: a shim has no source files.
fn without_definition(output: &Output) -> String {
    let mut lines = Vec::new();
    for line in text(&output.stderr).lines() {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        strip(&mut value);
        lines.push(value.to_string());
    }
    return lines.join("\n");

    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.remove("def_site_span");
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
}

#[test]
fn an_attribute_gets_its_arguments() {
    assert_expands_same(
        "arguments.rs",
        "#[macros::arguments(fn f<'a>(x: &'a u8) -> bool { x <= &1 })] struct Gone;",
    );
}

#[test]
fn a_panic_reads_as_the_native_one() {
    let source = "macros::panics!();\n#[macros::panics_attr]\nstruct A;\n#[derive(macros::Panics)]\nstruct B;\n\
                  fn f() -> i32 { macros::panics!(1) }\n";
    let (native, sealed) = SHARED.both("panics.rs", source, &[]);
    assert_same(&native, &sealed);
    assert!(text(&sealed.stderr).contains("= help: message: the input is"), "{}", text(&sealed.stderr));
    let (native, sealed) = SHARED.both("panics_json.rs", source, &["--error-format=json"]);
    similar(&without_definition(&native), &without_definition(&sealed));
    let source = source.replace("panics", "panics_silently").replace("Panics", "PanicsSilently");
    let (native, sealed) = SHARED.both("panics_silently.rs", &source, &[]);
    assert_same(&native, &sealed);
    assert!(!text(&sealed.stderr).contains("help: message"), "{}", text(&sealed.stderr));
}

#[test]
fn what_a_macro_prints_comes_out() {
    let (native, sealed) =
        SHARED.both("prints.rs", "macros::prints!(struct S;);", &["--emit=metadata=prints.rmeta"]);
    assert_same(&native, &sealed);
    assert_eq!(text(&sealed.stdout), "to stdout\n");
    assert!(text(&sealed.stderr).starts_with("to stderr\n"));
}

/// The errors of a crate that is compiled with the shim only.
fn errors(name: &str, source: &str) -> String {
    let file = format!("{name}_errors.rs");
    std::fs::write(SHARED.dir.path().join(&file), source).unwrap();
    let output = with_socket(SHARED.rustc("shim").arg("--emit=metadata=errors.rmeta").arg(&file));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_refusal_is_one_error_wherever_the_macro_stands() {
    let source = "macros::fails!();\nmacros::fails! {}\nfn f(x: macros::fails![]) -> i32 {\n    macros::fails!();\n    \
                  let macros::fails!() = 1 else { return 1 };\n    let y = 1 + macros::fails!() * 2;\n    \
                  match 1 { macros::fails!() => macros::fails!() }\n}\nstruct S;\nimpl S { macros::fails!(); }\n\
                  trait T { macros::fails! {} }\nunsafe extern \"C\" { macros::fails!{} }\n";
    let errors = errors("fails", source);
    let calls = source.matches("fails!").count();
    assert_eq!(
        errors.matches("error: belljar: it is \"refused\"\n       next: nothing\n").count(),
        calls,
        "{errors}"
    );
    assert_eq!(reported(&errors), calls, "{errors}");
}

#[test]
fn whatever_the_expander_says_rustc_reports_an_error() {
    let lost = "gave no tokens: the connection to its expander was lost";
    let message = "gave no tokens: its expander sent a message that breaks the format";
    let output = "gave no tokens: its expander sent an output that breaks the format";
    let refused = "gave no tokens: the compiler refused what it produced";
    for (name, expected) in [
        ("hangs_up", lost),
        ("half_a_frame", lost),
        ("unknown_kind", message),
        ("two_replies", message),
        ("no_text", message),
        ("bad_flag", message),
        ("flag_and_text", message),
        ("bad_question", "gave no tokens: its expander sent a question that breaks the format"),
        ("empty", output),
        ("bad_tag", output),
        ("bad_handle", output),
        ("bad_group_handle", output),
        ("bad_stream", output),
        ("bad_text_number", output),
        ("later_text", output),
        ("bad_text_handle", output),
        ("bad_text_group", output),
        ("other_tokens", output),
        ("fewer_tokens", output),
        ("unlexable", output),
        ("bad_ident", refused),
        ("bad_unicode_ident", refused),
        ("bad_raw", refused),
        ("bad_punct", output),
        ("bad_literal", output),
        ("bad_span", output),
        ("bad_derived", output),
        ("many_derived", output),
        ("long_group", output),
        ("crossing_groups", output),
        ("deep", output),
    ] {
        let errors = errors(name, &format!("macros::{name}!(a);"));
        let expected = format!("error: belljar: the function macro `{name}` of fake-macros 1.2.3 {expected}");
        assert!(errors.contains(&expected) && errors.contains("next: "), "{name}: {errors}");
        assert_eq!(reported(&errors), 1, "{name}: {errors}");
    }
}

#[test]
fn texts_are_the_native_ones() {
    let expanded = nasty("lexed", "Lexed");
    assert!(expanded.contains("/// documented"), "{expanded}");
    // Each of the seven calls shows it whole, its group once as it came and twice with only the contents.
    let shown = expanded.matches("($a : expr,$($b:tt)*) => { $a+ 1;$($b)* };").count();
    assert_eq!(shown, 7 * 4, "{expanded}");
}

#[test]
fn names_are_spelled_by_the_compiler() {
    let errors = errors("names", "macros::names!();");
    assert!(errors.contains("error: Some(\"\u{e9}\"); Some(\"名前\"); None; None; None\n"), "{errors}");
    assert_eq!(reported(&errors), 1, "the compiler says nothing of the bad ones: {errors}");
}

#[test]
fn what_the_compiler_says_of_a_text_it_says_once() {
    // The text has been lexed for the macro, is printed, and comes back in the output.
    let errors = errors("refused_once", "const A: u8 = macros::refused_once!();");
    assert_eq!(errors.matches("error: invalid digit for a base 2 literal").count(), 1, "{errors}");
    assert_eq!(reported(&errors), 1, "{errors}");
}

#[test]
fn what_rustc_can_not_even_lex_is_an_error_too() {
    let errors = errors("unclosed_literal", "macros::unclosed_literal!(a);");
    assert!(errors.contains("gave no tokens: the compiler refused what it produced"), "{errors}");
    let errors = self::errors("reported", "macros::reported!(a);");
    assert!(errors.contains("error[E0765]: unterminated double quote string"), "{errors}");
    assert!(
        errors.contains("gave no tokens: its expander sent an output that breaks the format"),
        "{errors}"
    );
}

#[test]
fn a_long_chain_of_spans_needs_no_stack() {
    let errors = errors("chain", "macros::chain!(a);");
    assert!(errors.contains("macro expansion ignores `1`"), "{errors}");
}

/// Compiles a source with a shim that inherits nothing, and returns the process ids and packages that its expanders logged.
fn alone(name: &str, source: &str, prepare: impl FnOnce(&mut Command)) -> (Output, Vec<String>) {
    let file = format!("{name}.rs");
    std::fs::write(SHARED.dir.path().join(&file), source).unwrap();
    let log = SHARED.dir.path().join(format!("{name}.log"));
    let mut rustc = SHARED.rustc("shim");
    rustc.arg(format!("--emit=metadata={name}.rmeta")).arg(&file).env("BELLJAR_TEST_LOG", &log);
    prepare(&mut rustc);
    let output = rustc.output().unwrap();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    (output, log.lines().map(str::to_owned).collect())
}

#[test]
fn without_a_socket_one_expander_is_started_and_ends_with_rustc() {
    let source = "macros::whole!(struct A;); macros::whole!(struct B;); const C: (A, B) = (A, B);";
    let values = [None, Some("77"), Some("0"), Some("nonsense"), Some("-1"), Some("99999999999999999999")];
    for (number, value) in values.into_iter().enumerate() {
        let name = format!("alone_{number}");
        let (output, log) = alone(&name, source, |rustc| {
            rustc.env("CARGO_PKG_NAME", "user");
            if let Some(value) = value {
                rustc.env("BELLJAR_SOCKET", value);
            }
        });
        assert!(output.status.success(), "{}", text(&output.stderr));
        let [line] = &log[..] else { panic!("{log:?}") };
        let (pid, package) = line.split_once(' ').unwrap();
        assert_eq!(package, "user");
        // Its end of the socket was closed with rustc: it ends by itself.
        let gone = (0..12_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        });
        assert!(gone, "expander {pid} is still there");
    }
}

#[test]
fn a_descriptor_that_is_something_else_is_left_alone() {
    // A file where the socket would be, and a socket with another inode.
    let file = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).unwrap();
    for value in [file.as_raw_fd().to_string(), format!("{}:1", theirs.as_raw_fd())] {
        let name = format!("left_{}", value.len());
        let (output, log) = alone(&name, "macros::whole!(struct A;);", |rustc| {
            rustc.env("BELLJAR_SOCKET", value);
        });
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(log.len(), 1);
    }
    drop(theirs);
    let mut ours = ours;
    assert_eq!(
        std::io::Read::read(&mut ours, &mut [0]).unwrap(),
        0,
        "the shim wrote to a socket that isn't its own"
    );
}

#[test]
fn an_inode_names_the_socket_for_certain() {
    use std::os::unix::fs::MetadataExt as _;
    let (ours, theirs) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).unwrap();
    let number = theirs.as_raw_fd();
    let inode = std::fs::File::from(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()))
        .metadata()
        .unwrap()
        .ino();
    std::thread::spawn(move || fake::serve(ours));
    let (output, log) = alone("inode", "macros::whole!(struct A;);", |rustc| {
        rustc.env("BELLJAR_SOCKET", format!("{number}:{inode}"));
    });
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(log, Vec::<String>::new());
}

#[test]
fn a_lost_expander_is_replaced_for_the_next_macro() {
    let (output, log) =
        alone("replaced", "macros::hangs_up!(); macros::whole!(struct A;); const _: A = A;", |_| {});
    let errors = text(&output.stderr);
    assert!(
        errors.contains("the connection to its expander was lost")
            && errors.contains("it ended with exit status: 0")
    );
    assert_eq!((reported(&errors), log.len()), (1, 2), "{errors}");
}

#[test]
fn a_belljar_that_is_gone_is_named() {
    let folder = SHARED.folder("gone");
    std::fs::create_dir(&folder).unwrap();
    let args = cargo_args(&folder);
    let record = record();
    let request = ShimRequest {
        rustc: "rustc".into(),
        cargo_args: &args,
        record: &record,
        inside: &SHARED.inside,
        belljar_exe: "/not here/\"belljar\"".into(),
        home: "/".into(),
        policy_root: None,
        belljar_dir: None,
    };
    shim::compile(&request, &SHARED.store()).unwrap();
    std::fs::write(SHARED.dir.path().join("gone.rs"), "macros::whole!(struct A;);").unwrap();
    let output = SHARED.rustc("gone").arg("--emit=metadata=gone.rmeta").arg("gone.rs").output().unwrap();
    let errors = text(&output.stderr);
    assert!(
        errors.contains("belljar could not be started from `/not here/\"belljar\"`: No such file"),
        "{errors}"
    );
    assert!(errors.contains("cargo clean -p fake-macros"), "{errors}");
}

#[test]
fn a_shim_is_linked_once_and_each_knows_its_own_expander() {
    let make = |folder: &str, home: &str, more: &[&str]| {
        let folder = SHARED.folder(folder);
        let _ = std::fs::create_dir(&folder);
        let mut args = cargo_args(&folder);
        args.extend(["-C".into(), "metadata=reused".into()]);
        args.extend(more.iter().map(OsString::from));
        let record = record_of(vec![entry(EntryKind::Function, "whole")]);
        let belljar_exe = Utf8PathBuf::from(format!("{home}/belljar"));
        let compiled = shim::compile(
            &ShimRequest {
                rustc: "rustc".into(),
                cargo_args: &args,
                record: &record,
                inside: &SHARED.inside,
                belljar_exe: &belljar_exe,
                home: home.into(),
                policy_root: None,
                belljar_dir: Some(&folder),
            },
            &SHARED.store(),
        );
        compiled.unwrap()
    };
    // Where it would start an expander, there is none: the error says where.
    let expander_of = |folder: &str| {
        let source = SHARED.dir.path().join(format!("{folder}.rs"));
        std::fs::write(&source, "macros::whole!(struct A;);").unwrap();
        let output = SHARED.rustc(folder).arg("--emit=metadata=reused.rmeta").arg(source).output().unwrap();
        let errors = text(&output.stderr);
        let (_, rest) =
            errors.split_once("belljar could not be started from `").unwrap_or_else(|| panic!("{errors}"));
        rest.split_once('`').unwrap().0.to_owned()
    };
    assert_eq!(make("first project", "/first", &[]), Compiled::Now(()));
    let Compiled::Before(messages) = make("second, größer", "/second", &[]) else { panic!("linked twice") };
    let library = SHARED.folder("second, größer").join("libmacros-fedcba9876543210.so");
    let dep_info = library.with_file_name("macros-fedcba9876543210.d");
    let messages: Vec<serde_json::Value> =
        messages.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let artifact = |artifact: &Utf8Path, emit| serde_json::json!({ "$message_type": "artifact", "artifact": artifact, "emit": emit });
    assert_eq!(messages, [artifact(&dep_info, "dep-info"), artifact(&library, "link")]);
    assert!(std::fs::read_to_string(dep_info).unwrap().contains("macros\\ dir/src/lib.rs"));
    let mode = std::fs::metadata(&library).unwrap().permissions();
    assert_eq!(
        mode,
        std::fs::metadata(SHARED.folder("first project").join(library.file_name().unwrap()))
            .unwrap()
            .permissions()
    );
    assert_eq!(expander_of("first project"), "/first/belljar");
    assert_eq!(expander_of("second, größer"), "/second/belljar");
    assert!(
        matches!(make("third", "/third", &["-Copt-level=3"]), Compiled::Before(_)),
        "the profile says nothing"
    );

    // What is in the store is not believed when it is damaged.
    let shims = SHARED.store().dir(belljar_store::Area::Shims);
    let damage = |how: &dyn Fn(&mut Vec<u8>)| {
        for entry in shims.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            let mut bytes = std::fs::read(&path).unwrap();
            how(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        }
    };
    for (how, what) in [
        (&(|bytes: &mut Vec<u8>| bytes[5000] ^= 1) as &dyn Fn(&mut Vec<u8>), "a bit"),
        (&|bytes| bytes.truncate(100_000), "cut short"),
        (&|bytes| bytes.truncate(10), "next to nothing"),
    ] {
        damage(how);
        assert_eq!(make("third", "/third", &[]), Compiled::Now(()), "{what}");
        assert!(matches!(make("third", "/third", &[]), Compiled::Before(_)), "{what}");
        assert_eq!(expander_of("third"), "/third/belljar");
    }
    // Another linker is another library.
    assert_eq!(make("third", "/third", &["-Clink-arg=-Wl,-z,now"]), Compiled::Now(()));
    assert_eq!(make("third", "/third", &["-Clink-arg=-Wl,-z,now"]), Compiled::Now(()));
}

#[test]
fn the_linker_that_rustc_starts_does_not_inherit_the_socket() {
    // A linker that lists its descriptors and its variable, then links.
    let linker = SHARED.dir.path().join("linker.sh");
    let listing = SHARED.dir.path().join("descriptors");
    let script = format!("#!/bin/sh\nls -l /proc/self/fd > '{}'\nexec cc \"$@\"\n", listing.display());
    std::fs::write(&linker, script).unwrap();
    std::fs::set_permissions(&linker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(SHARED.dir.path().join("linked.rs"), "macros::whole!(struct A;);").unwrap();
    let output = with_socket(SHARED.rustc("shim").args([
        "--crate-type=cdylib",
        "-olinked",
        "linked.rs",
        "-Clinker=./linker.sh",
    ]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listing = std::fs::read_to_string(listing).unwrap();
    assert!(!listing.contains("socket:"), "{listing}");
}

#[test]
fn cargo_learns_what_the_module_was_made_of() {
    let dep_info = std::fs::read_to_string(SHARED.folder("shim").join("macros-fedcba9876543210.d")).unwrap();
    let dep_info = dep_info.replace(SHARED.folder("shim").as_str(), "OUT");
    assert_eq!(
        dep_info,
        "OUT/macros-fedcba9876543210.d: /other.rs /some\\ where/lib.rs macros\\ dir/src/lib.rs\n\n\
         OUT/libmacros-fedcba9876543210.so: /other.rs /some\\ where/lib.rs macros\\ dir/src/lib.rs\n\n\
         /other.rs:\n/some\\ where/lib.rs:\nmacros\\ dir/src/lib.rs:\n"
    );
}

#[test]
fn names_and_texts_of_a_guest_stay_names_and_texts() {
    let evil = "*/ \" \\\" }} \u{202e} \r\n #![feature(x)] \0 ' r#\"";
    let entries = vec![
        Entry {
            helpers: vec!["fn".to_owned(), "naïve".to_owned()],
            docs: evil.to_owned(),
            deprecated: Some((evil.to_owned(), evil.to_owned())),
            ..entry(EntryKind::Derive, "struct")
        },
        Entry { hidden: true, deprecated: Some(Default::default()), ..entry(EntryKind::Derive, "Été") },
        // The names that the shim itself uses or could use.
        entry(EntryKind::Function, "derive_0"),
        entry(EntryKind::Function, "derive_0_"),
        entry(EntryKind::Attribute, "belljar_shim"),
        entry(EntryKind::Function, "proc_macro"),
        entry(EntryKind::Function, "ENTRY"),
        entry(EntryKind::Attribute, "fn"),
        entry(EntryKind::Attribute, "macro_rules"),
        entry(EntryKind::Function, "input"),
    ];
    for edition in ["2015", "2018", "2021", "2024"] {
        let mut record = record_of(entries.clone());
        edition.clone_into(&mut record.edition);
        record.package = evil.to_owned();
        let folder = format!("evil{edition}");
        std::fs::create_dir(SHARED.folder(&folder)).unwrap();
        SHARED.compile(&record, &folder).unwrap();
        let source = "#![allow(deprecated)]\n#[derive(macros::r#struct)] #[r#fn] struct S { #[naïve] a: u8 }\n\
                      #[derive(macros::Été)] struct T;\nmacros::derive_0!(); macros::derive_0_!(); macros::input!();\n\
                      #[macros::r#fn] #[macros::belljar_shim] struct U; macros::ENTRY!(); macros::proc_macro!();\n";
        std::fs::write(SHARED.dir.path().join("evil.rs"), source).unwrap();
        let mut rustc = SHARED.rustc(&folder);
        // Every entry point exists: what is missing is an expander, ten times.
        let output = rustc.arg("--emit=metadata=evil.rmeta").arg("evil.rs").output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(errors.matches("the connection to its expander was lost").count(), 8, "{errors}");
        assert_eq!(reported(&errors), 8, "{errors}");
    }
}

#[test]
fn deprecation_and_documentation_are_carried_over() {
    let folder = SHARED.folder("deprecated");
    std::fs::create_dir(&folder).unwrap();
    let deprecated = Some(("1.1".to_owned(), "use \"another\"".to_owned()));
    let entries = vec![Entry { deprecated, ..entry(EntryKind::Function, "whole") }];
    SHARED.compile(&record_of(entries), "deprecated").unwrap();
    std::fs::write(SHARED.dir.path().join("deprecated.rs"), "macros::whole!();").unwrap();
    let mut rustc = SHARED.rustc("deprecated");
    let output = rustc.arg("--emit=metadata=deprecated.rmeta").arg("deprecated.rs").output().unwrap();
    let warning = "warning: use of deprecated macro `macros::whole`: use \"another\"";
    assert!(text(&output.stderr).starts_with(warning), "{}", text(&output.stderr));
}

#[test]
fn records_that_can_be_no_crate_are_refused() {
    let twice = record_of(vec![entry(EntryKind::Function, "a"), entry(EntryKind::Attribute, "a")]);
    let error = SHARED.compile(&twice, "nowhere").unwrap_err().to_string();
    assert_eq!(
        error.lines().next(),
        Some("the stand-in for the macro crate fake-macros 1.2.3 can't be made: it has two entry points `a`")
    );
    let edition = GuestRecord { edition: "2021 --cfg x".to_owned(), ..record_of(Vec::new()) };
    let error = SHARED.compile(&edition, "nowhere").unwrap_err().to_string();
    assert!(error.contains("it has the edition") || error.contains("its record has the edition"), "{error}");
}
