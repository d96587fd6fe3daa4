//! Whatever macros do, what they wanted is on record: where others want much, and in processes that are no unit of cargo's.

mod support;

use support::store::Store;
use support::{Project, run};

const MACROS: &str = r##"
use proc_macro::TokenStream;

/// Whether a variable is set.
#[proc_macro]
pub fn var(input: TokenStream) -> TokenStream {
    format!("{}", std::env::var_os(input.to_string().trim_matches('"')).is_some()).parse().unwrap()
}

/// Asks for much, each with a long name of characters that are written as many.
#[proc_macro]
pub fn flood(_: TokenStream) -> TokenStream {
    let long = "\u{1}".repeat(3000);
    for n in 0..12_000 {
        let _ = std::fs::metadata(format!("/{n}{long}"));
    }
    TokenStream::new()
}
"##;

fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}")
}

/// A workspace with a library that uses the macros of `mac` and `noisy`, which are the same.
fn workspace(library: &str) -> Project {
    let project = Project::new("record");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"mac\", \"noisy\"]\n")
        .file(
            "app/Cargo.toml",
            &package("app", "[dependencies]\nmac = { path = \"../mac\" }\nnoisy = { path = \"../noisy\" }\n"),
        )
        .file("app/src/lib.rs", library);
    for name in ["mac", "noisy"] {
        project
            .file(&format!("{name}/Cargo.toml"), &package(name, "[lib]\nproc-macro = true\n"))
            .file(&format!("{name}/src/lib.rs"), MACROS);
    }
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

#[test]
fn a_flood_of_attempts_hides_nothing() {
    let store = Store::with_toolchain();
    let project = workspace(
        "noisy::flood!();\npub const A: bool = noisy::var!(\"GRANTED\");\npub const B: bool = mac::var!(\"REFUSED\");\n",
    );
    let grant =
        |name: &str| format!("[[grant]]\nmacro = \"noisy\"\nenv = [\"{name}\"]\nreason = \"a test\"\n");
    project.file("belljar.toml", &format!("{}{}", grant("GRANTED"), grant("NEVER")));
    let done = run(store.of(&mut project.belljar(&["check"]))).ok();
    assert!(done.stderr.len() < 20_000, "{} bytes", done.stderr.len());

    let shown = |args: &[&str]| run(&mut project.belljar(&[&["log"], args].concat())).ok();
    let all = shown(&[]);
    assert_eq!(all.stderr, "");
    for line in ["granted  environment variable `GRANTED`", "refused  environment variable `REFUSED`"] {
        assert!(all.stdout.contains(line), "{line}");
    }
    let (_, end) = all.stdout.rsplit_once("noisy 0.1.0: ").unwrap();
    assert!(end.contains("more attempts (refused) are not listed"), "{end}");
    assert!(end.contains("no grant is known to be unused") && !end.contains("nobody used"), "{end}");
    let json = shown(&["--format", "json"]).stdout;
    let mut wanted = 0;
    for line in json.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let of_flood = line["package"] == "noisy" && line["outcome"] == "refused";
        wanted += if of_flood { line["times"].as_u64().unwrap() } else { 0 };
    }
    assert_eq!(wanted, 12_000, "each of them is listed or counted");
    assert!(shown(&["--outcome", "granted"]).stdout.lines().all(|line| !line.contains("not listed")));

    // What can't be read is told.
    project.file("target/belljar/log/app-0.jsonl", "{}");
    let warned = shown(&["--last"]).stderr;
    assert!(warned.contains("warning: ") && warned.contains("log/app-0.jsonl can't be read"), "{warned}");
}

#[test]
fn each_example_of_a_documentation_is_on_record() {
    let store = Store::with_toolchain();
    let example = |name: &str| format!("/// ```\n/// let _ = mac::var!(\"{name}\");\n/// ```\n");
    let nothing = "/// ```\n/// assert!(true);\n/// ```\n";
    let examples = [example("HOME"), example("PATH"), example("CARGO_PKG_NAME"), nothing.to_owned()];
    let library: String =
        examples.iter().enumerate().map(|(n, e)| format!("{e}pub fn f{n}() {{}}\n")).collect();
    let project = workspace(&library);
    let refused = |args: &[&str]| {
        let json =
            run(&mut project.belljar(&[&["log", "--format", "json", "--outcome", "refused"], args].concat()));
        let name = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["name"].as_str().unwrap().to_owned(), line["times"].as_u64().unwrap())
        };
        let mut names: Vec<_> = json.ok().stdout.lines().map(name).collect();
        names.sort();
        names
    };
    let both = [("HOME".to_owned(), 1), ("PATH".to_owned(), 1)];
    for _ in 0..2 {
        run(store.of(&mut project.belljar(&["test", "--doc", "-p", "app"]))).ok();
        assert_eq!(refused(&["--last"]), both);
    }
    // An example that is no more leaves nothing behind.
    project.file("app/src/lib.rs", &library.replace("PATH", "CARGO_PKG_VERSION"));
    run(store.of(&mut project.belljar(&["test", "--doc", "-p", "app"]))).ok();
    assert_eq!(refused(&[]), both[..1]);
    // Under plain cargo nobody names the build.
    project.file("app/src/lib.rs", &library);
    run(store.of(&mut project.belljar(&["init", "-q"]))).ok();
    run(store.of(project.cargo(&["test", "--doc", "-p", "app"]).env_remove("BELLJAR_BUILD"))).ok();
    assert_eq!(refused(&[]), both);
}

/// A macro crate that is made with a macro itself, which wants what it may not have, and with a helper that is.
fn made_with_a_macro() -> Project {
    let project = Project::new("inside");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"outer\", \"helper\", \"mac\"]\n")
        .file("app/Cargo.toml", &package("app", "[dependencies]\nouter = { path = \"../outer\" }\n"))
        .file("app/src/main.rs", "fn main() {\n    println!(\"{}\", outer::home!());\n}\n")
        .file(
            "outer/Cargo.toml",
            &package(
                "outer",
                "[lib]\nproc-macro = true\n[dependencies]\nhelper = { path = \"../helper\" }\nmac = { path = \"../mac\" }\n",
            ),
        )
        .file(
            "outer/src/lib.rs",
            "const SEEN: bool = mac::var!(\"SECRET_TOKEN\") || helper::SEEN;\n\n#[proc_macro]\npub fn home(_: \
             proc_macro::TokenStream) -> proc_macro::TokenStream {\n    SEEN.to_string().parse().unwrap()\n}\n",
        )
        .file("helper/Cargo.toml", &package("helper", "[dependencies]\nmac = { path = \"../mac\" }\n"))
        .file("helper/src/lib.rs", "pub const SEEN: bool = mac::var!(\"HOME\");\n")
        .file("mac/Cargo.toml", &package("mac", "[lib]\nproc-macro = true\n"))
        .file("mac/src/lib.rs", MACROS);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

#[test]
fn macros_that_macros_are_made_with_are_on_record() {
    let project = made_with_a_macro();
    for plain in [false, true] {
        let store = Store::with_toolchain();
        let said = if plain {
            run(store.of(&mut project.belljar(&["init", "-q"]))).ok();
            let built = run(store.of(project.cargo(&["build", "-p", "app"]).env("SECRET_TOKEN", "1")));
            built.ok().stderr
        } else {
            run(store.of(project.belljar(&["build", "-p", "app"]).env("SECRET_TOKEN", "1"))).ok().stderr
        };
        let log = run(&mut project.belljar(&["log", "--crate", "outer", "--crate", "helper"])).ok().stdout;
        for (package, variable) in [("outer 0.1.0", "SECRET_TOKEN"), ("helper 0.1.0", "HOME")] {
            let request = format!("environment variable `{variable}`");
            assert!(log.contains(package) && log.contains(&format!("refused  {request}")), "{plain}: {log}");
            if !plain {
                let told = format!("that {package} itself is made with\n  `var!` of mac 0.1.0: {request}");
                assert!(said.contains(&told), "{said}");
            }
        }
        if !plain {
            assert!(said.contains("belljar refused macros of 2 packages something"), "{said}");
            // No grant would change anything.
            let proposed = run(&mut project.belljar(&["allow", "--from-log"])).ok();
            assert!(proposed.stderr.contains("refused nothing that can be granted"), "{}", proposed.stderr);
            let again = run(store.of(&mut project.belljar(&["build", "-p", "app"]))).ok().stderr;
            assert!(!again.contains("refused"), "the module is there: {again}");
        }
        std::fs::remove_dir_all(project.root().join("target")).unwrap();
    }
}
