//! Processes that load a shim and have inherited no expander: rustdoc, and rust-analyzer's server for macros. The shim
//! starts an expander of its own, which ends with them.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Project, files, is_shim, run};

/// A library whose documentation uses its macros, and a macro crate that reports what it can see.
fn library() -> Project {
    let project = Project::new("ws");
    project
        .file(
            "Cargo.toml",
            "[workspace]\nmembers = [\"mac\"]\n[package]\nname = \"library\"\nversion = \"1.2.3\"\nedition = \
             \"2024\"\n[dependencies]\nmac = { path = \"mac\" }\n",
        )
        .file(
            "src/lib.rs",
            "//! ```\n//! assert_eq!(mac::shout!(hello), \"HELLO\");\n//! ```\n\n/// ```compile_fail,E0308\n/// let number: \
             u8 = mac::shout!(hello);\n/// ```\n///\n/// ```should_panic\n/// assert_eq!(mac::home!(), \"seen\");\n/// \
             ```\n///\n/// ```standalone_crate\n/// assert_eq!(mac::package!(), \"library 1.2.3\");\n/// ```\n\
             #[mac::documented]\npub struct Thing;\n",
        )
        .file(
            "mac/Cargo.toml",
            "[package]\nname = \"mac\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n",
        )
        .file(
            "mac/src/lib.rs",
            "//! Macros.\nuse proc_macro::TokenStream;\n\nfn string(text: String) -> TokenStream {\n    \
             format!(\"{text:?}\").parse().unwrap()\n}\n\n/// ```\n/// assert_eq!(mac::shout!(own), \"OWN\");\n/// \
             ```\n#[proc_macro]\npub fn shout(input: TokenStream) -> TokenStream {\n    \
             string(input.to_string().to_uppercase())\n}\n\n#[proc_macro]\npub fn home(_: TokenStream) -> TokenStream {\n    \
             string(if std::env::var_os(\"HOME\").is_some() { \"seen\" } else { \"unseen\" \
             }.to_owned())\n}\n\n#[proc_macro]\npub fn package(_: TokenStream) -> TokenStream {\n    let var = |name| \
             std::env::var(name).unwrap_or_default();\n    string(format!(\"{} {}\", var(\"CARGO_PKG_NAME\"), \
             var(\"CARGO_PKG_VERSION\")))\n}\n\n#[proc_macro_attribute]\npub fn documented(_: TokenStream, item: TokenStream) \
             -> TokenStream {\n    let mut all: TokenStream = \"/// Written by a macro.\".parse().unwrap();\n    \
             all.extend(item);\n    all\n}\n",
        );
    project
}

fn results(stdout: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        stdout.lines().filter(|l| l.starts_with("test ")).map(|l| without_time(l).to_owned()).collect();
    lines.sort();
    lines
}

fn without_time(line: &str) -> &str {
    line.split("; finished in").next().unwrap_or(line)
}

#[test]
fn examples_in_documentation_are_sealed() {
    let project = library();
    let args = ["test", "--doc", "--workspace", "--no-fail-fast"];
    let sealed = run(&mut project.belljar(&args)).ok();
    let native = run(project.cargo(&args).env("CARGO_TARGET_DIR", project.root().join("native"))).failed();
    // Natively one fails: it must panic, for a macro must not see HOME.
    let without_home = |stdout: &str| -> Vec<String> {
        results(stdout)
            .into_iter()
            .filter(|l| !l.contains("should panic") && !l.starts_with("test result"))
            .collect()
    };
    assert_eq!(without_home(&sealed.stdout), without_home(&native.stdout), "{}", sealed.stdout);
    assert_eq!(without_home(&sealed.stdout).len(), 4, "{}", sealed.stdout);
    assert!(native.stdout.contains("- should panic ... FAILED"), "{}", native.stdout);
    assert!(sealed.stdout.contains("- should panic ... ok"), "{}", sealed.stdout);
}

#[test]
fn pages_say_what_macros_wrote() {
    let project = library();
    run(&mut project.belljar(&["doc", "--no-deps", "--workspace"])).ok();
    let page = project.read("target/belljar/doc/library/struct.Thing.html");
    assert!(page.contains("Written by a macro."));
    assert!(project.read("target/belljar/doc/mac/macro.shout.html").contains("OWN"));
}

/// Where the toolchain has rust-analyzer's server. Toolchains of distributions need not.
fn server() -> Option<PathBuf> {
    let sysroot = run(std::process::Command::new("rustc").args(["--print", "sysroot"])).ok().stdout;
    let path = Path::new(sysroot.trim()).join("libexec/rust-analyzer-proc-macro-srv");
    path.is_file().then_some(path)
}

/// What the server answers to these requests, one a line.
fn asked(project: &Project, server: &Path, requests: &[Value]) -> Vec<Value> {
    let mut server = project.program(server);
    server.env("RUST_ANALYZER_INTERNALS_DO_NOT_USE", "this is unstable");
    let mut child =
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A request to expand a function-like macro with one identifier, in the server's flat form: the trees are numbers.
fn expand(library: &Path, name: &str, identifier: &str, version: &str) -> Value {
    json!({"ExpandMacro": {
        "lib": library,
        "env": [["CARGO_PKG_NAME", "app"], ["CARGO_PKG_VERSION", version], ["HOME", "/somewhere"]],
        "current_dir": null,
        "macro_body": {
            "subtree": [0, 0, 0, 0, 1], "literal": [], "punct": [], "ident": [0, 0, 0], "token_tree": [3],
            "text": [identifier],
        },
        "macro_name": name,
        "attributes": null,
        "has_global_spans": {"def_site": 0, "call_site": 0, "mixed_site": 0},
    }})
}

/// A workspace that belljar was written into, as an editor sees it: plain cargo builds the macros, the server loads them.
#[test]
fn rust_analyzers_server_gets_sealed_expansions() {
    let project = library();
    run(&mut project.belljar(&["init", "--quiet"])).ok();
    run(&mut project.cargo(&["check", "--workspace", "--quiet"])).ok();
    let found =
        files(&project.root().join("target/debug/deps"), |n| n.starts_with("libmac-") && n.ends_with(".so"));
    let [library] = &found[..] else { panic!("{found:?}") };
    assert!(is_shim(library));
    let Some(server) = server() else { return };
    let answers = asked(
        &project,
        &server,
        &[
            json!({"ListMacros": {"dylib_path": library}}),
            expand(library, "shout", "hello", "1"),
            expand(library, "package", "x", "1"),
            // The server is one process for all crates: each has variables of its own.
            expand(library, "package", "x", "2"),
            expand(library, "home", "x", "2"),
        ],
    );
    let listed = answers[0]["ListMacros"]["Ok"].as_array().unwrap();
    let mut names: Vec<_> = listed.iter().map(|entry| entry[0].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["documented", "home", "package", "shout"]);
    let texts: Vec<_> = answers[1..].iter().map(|a| a["ExpandMacro"]["Ok"]["text"][0].clone()).collect();
    assert_eq!(texts, ["HELLO", "app 1", "app 2", "unseen"]);
}
