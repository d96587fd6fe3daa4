//! `cargo belljar probe`: what each output depends on, found with real cargo and rustc.

mod support;

use support::store::Store;
use support::{Done, Project, run};

const MACROS: &str = r##"
use proc_macro::TokenStream;

fn literal(text: impl std::fmt::Debug) -> TokenStream {
    format!("{text:?}").parse().unwrap()
}

/// The same always.
#[proc_macro]
pub fn steady(input: TokenStream) -> TokenStream {
    input
}

/// A number from a hasher's random keys.
#[proc_macro]
pub fn random(_: TokenStream) -> TokenStream {
    use std::hash::BuildHasher;
    literal(std::collections::hash_map::RandomState::new().hash_one(1u8))
}

/// The year.
#[proc_macro]
pub fn year(_: TokenStream) -> TokenStream {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    literal(1970 + now.as_secs() / 31_556_952)
}

/// How long it takes.
#[proc_macro]
pub fn took(_: TokenStream) -> TokenStream {
    literal(std::time::Instant::now().elapsed().as_nanos())
}

/// The working directory.
#[proc_macro]
pub fn directory(_: TokenStream) -> TokenStream {
    literal(std::env::current_dir().unwrap())
}

/// Where the package is, and what stands in a file of it.
#[proc_macro]
pub fn file(_: TokenStream) -> TokenStream {
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let text = std::fs::read_to_string(format!("{dir}/text.txt")).unwrap();
    literal(format!("{dir}: {text}"))
}

/// What stands in that file alone.
#[proc_macro]
pub fn content(_: TokenStream) -> TokenStream {
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    literal(std::fs::read_to_string(format!("{dir}/text.txt")).unwrap())
}

/// Which call it is.
#[proc_macro]
pub fn count(_: TokenStream) -> TokenStream {
    static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    literal(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// What the compiler says of tokens with a random number in them.
#[proc_macro]
pub fn asks(input: TokenStream) -> TokenStream {
    use std::hash::BuildHasher;
    let odd = std::collections::hash_map::RandomState::new().hash_one(1u8);
    literal(format!("{input} {odd}").parse::<TokenStream>().unwrap().to_string().len())
}

/// Fails.
#[proc_macro]
pub fn fails(_: TokenStream) -> TokenStream {
    panic!("no")
}
"##;

const POLICY: &str = r#"
[[grant]]
macro = "asks"
read = ["text.txt"]
state = "crate"
reason = "what it is for"
"#;

fn project(main: &str) -> Project {
    let project = Project::new("ws");
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let uses = package("app", "[dependencies]\nasks = { path = \"../asks\" }\n");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"asks\", \"plain\"]\n")
        .file("asks/Cargo.toml", &package("asks", "[lib]\nproc-macro = true\n"))
        .file("asks/src/lib.rs", MACROS)
        .file("app/Cargo.toml", &uses)
        .file("app/src/main.rs", &format!("fn main() {{\n{main}}}\n"))
        .file("app/text.txt", "one")
        .file("plain/Cargo.toml", &package("plain", ""))
        .file("plain/src/main.rs", "fn main() {}\n")
        .file("belljar.toml", POLICY);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

fn probe(store: &Store, project: &Project, args: &[&str]) -> Done {
    run(store.of(&mut project.belljar(&[&["probe"], args].concat())))
}

/// For one circumstance, the macros of which an output differs.
fn differing(report: &serde_json::Value, circumstance: &str) -> Vec<String> {
    let all = report["changed"].as_array().unwrap();
    let changed = all.iter().find(|changed| changed["circumstance"] == circumstance).unwrap();
    let examples = changed["examples"].as_array().unwrap();
    examples.iter().map(|example| example["macro"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_output_is_told_with_what_it_depends_on() {
    let store = Store::with_toolchain();
    let calls = ["steady", "random", "year", "took", "directory", "file", "content", "asks"];
    let main: String = calls.iter().map(|name| format!("    let _ = asks::{name}!(1);\n")).collect();
    let project = project(&main);
    let done = probe(&store, &project, &["asks", "--format", "json", "-q", "-p", "app"]).ok();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect(&done.stdout);
    assert_eq!((&report["crate"], &report["calls"]), (&"app".into(), &8.into()), "{report:#}");
    assert_eq!(report["unsteady"], serde_json::Value::Null);
    assert_eq!(differing(&report, "seed"), ["random!", "asks!"]);
    assert_eq!(differing(&report, "clock"), ["year!", "took!"]);
    assert_eq!(differing(&report, "directory"), ["directory!"]);
    // The workspace is the working directory, so that moves along; the file is found in the other place, too.
    assert_eq!(differing(&report, "path"), ["directory!", "file!"]);
    // Seeds count the calls of an instance that remembers; what is left of the clocks does not show.
    assert_eq!(differing(&report, "order"), ["random!", "asks!"]);
}

#[test]
fn it_says_where_and_how_outputs_differ() {
    let store = Store::with_toolchain();
    let project = project(
        "    let _ = (asks::count!(), asks::count!());\n    let _ = asks::steady!(\"same\");\n    let _ = asks::file!();\n",
    );
    let done = probe(&store, &project, &["asks", "-q", "-p", "app"]).ok();
    let root = project.root().to_str().unwrap();
    let above = project.root().parent().unwrap().to_str().unwrap();
    let shown = done.stdout.replace(root, "[WS]").replace(above, "[ABOVE]");
    insta::assert_snapshot!(shown);
    // One circumstance alone.
    let done = probe(&store, &project, &["asks", "--with", "clock", "-q", "-p", "app"]).ok();
    assert!(done.stdout.ends_with("asks: its outputs depend on none of these\n"), "{}", done.stdout);
    assert!(!done.stdout.contains("seed"), "{}", done.stdout);
}

#[test]
fn crates_are_compiled_again_for_it_and_no_other_build_is_disturbed() {
    let store = Store::with_toolchain();
    let project = project("    let _ = asks::year!();\n");
    let fresh = |args: &[&str]| {
        let done = run(store.of(&mut project.belljar(args))).ok();
        assert!(!done.stderr.contains("Checking") && !done.stderr.contains("Compiling"), "{}", done.stderr);
    };
    run(store.of(&mut project.belljar(&["build", "--workspace"]))).ok();
    run(store.of(&mut project.belljar(&["check", "--workspace"]))).ok();
    for _ in 0..2 {
        let done = probe(&store, &project, &["asks", "--workspace"]).ok();
        assert!(done.stdout.contains("its outputs depend on: clock"), "{}", done.stdout);
        assert!(done.stderr.contains("Checking app"), "{}", done.stderr);
        assert!(!done.stderr.contains("Checking plain"), "{}", done.stderr);
    }
    fresh(&["check", "--workspace"]);
    fresh(&["build", "--workspace"]);
    let left = std::fs::read_dir(project.root().join("target/belljar/probe")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn what_can_not_be_probed_is_an_error_with_the_next_step() {
    let store = Store::with_toolchain();
    let project = project("    let _ = asks::year!();\n");
    let unknown = probe(&store, &project, &["ask", "-q"]).failed().stderr;
    assert!(
        unknown.contains("ask: no macro package of this name is part of this build; there is asks"),
        "{unknown}"
    );
    let no_calls = probe(&store, &project, &["asks", "-q", "-p", "asks"]).failed().stderr;
    assert!(no_calls.contains("asks: no crate that was compiled calls a macro of it\nnext: "), "{no_calls}");
    // A crate that does not compile is looked at as far as it goes; calls that fail are counted.
    project.file("app/src/main.rs", "fn main() {\n    let _ = asks::year!();\n    asks::fails!();\n}\n");
    let failed = probe(&store, &project, &["asks", "-q", "-p", "app"]);
    assert_eq!(failed.code, Some(101), "{}", failed.stderr);
    assert!(
        failed.stdout.contains("asks 0.1.0 in app 0.1.0: 1 call, and 1 without an output"),
        "{}",
        failed.stdout
    );
}
