//! From a refusal to a grant, the modes, and policies with mistakes.

mod support;

use std::fs;
use std::process::Command;

use support::store::Store;
use support::{Project, run};

const MACROS: &str = r##"
use proc_macro::TokenStream;

/// What stands in a file of the package, or an error.
#[proc_macro]
pub fn text(input: TokenStream) -> TokenStream {
    let name = input.to_string();
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let text = std::fs::read_to_string(format!("{dir}/{}", name.trim_matches('"')));
    text.map_or_else(|e| format!("compile_error!({:?})", e.to_string()), |text| format!("{text:?}")).parse().unwrap()
}

/// The value of a variable, or none.
#[proc_macro]
pub fn var(input: TokenStream) -> TokenStream {
    format!("{:?}", std::env::var(input.to_string().trim_matches('"')).unwrap_or_default()).parse().unwrap()
}

/// How often it was called.
#[proc_macro]
pub fn count(_: TokenStream) -> TokenStream {
    static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string().parse().unwrap()
}

/// Six bytes of a hash that is another one in every process, natively.
#[proc_macro]
pub fn random(_: TokenStream) -> TokenStream {
    use std::hash::BuildHasher;
    (std::collections::hash_map::RandomState::new().hash_one(1u8) >> 16).to_string().parse().unwrap()
}

/// The year.
#[proc_macro]
pub fn year(_: TokenStream) -> TokenStream {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    (1970 + seconds / 31_556_952).to_string().parse().unwrap()
}
"##;

fn project(main: &str) -> Project {
    let project = Project::new("it's a project");
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"asks\"]\n")
        .file("asks/Cargo.toml", &package("asks", "[lib]\nproc-macro = true\n"))
        .file("asks/src/lib.rs", MACROS)
        .file("app/Cargo.toml", &package("app", "[dependencies]\nasks = { path = \"../asks\" }\n"))
        .file("app/src/main.rs", &format!("fn main() {{\n    {main}\n}}\n"))
        .file("app/it's {a} text.txt", "granted");
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

#[test]
fn the_command_that_a_failed_build_names_makes_it_succeed() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}\", asks::text!(\"it's {a} text.txt\"));");
    let failed = run(store.of(&mut project.belljar(&["run", "-q"]))).failed().stderr;
    let (_, command) = failed.split_once("if that is why this fails, and you want it: ").expect(&failed);
    let command = command.lines().next().unwrap().replace('…', "because");
    let belljar = format!("'{}' belljar ", env!("CARGO_BIN_EXE_cargo-belljar"));
    let script = command.replace("cargo belljar ", &belljar);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(project.root());
    let done = run(&mut shell).ok();
    assert!(done.stderr.contains("Allowed asks to read"), "{}", done.stderr);
    assert_eq!(run(store.of(&mut project.belljar(&["run", "-q"]))).ok().stdout, "granted\n");
    insta::assert_snapshot!(project.read("belljar.toml"));
    // Again: nothing is written twice.
    let again = run(&mut shell).ok();
    assert!(again.stderr.contains("Unchanged"), "{}", again.stderr);
}

#[test]
fn what_the_last_build_was_refused_is_proposed() {
    let store = Store::with_toolchain();
    let project =
        project("println!(\"{}{}\", asks::text!(\"it's {a} text.txt\"), asks::var!(\"MY_VARIABLE\"));");
    run(store.of(&mut project.belljar(&["check", "-q"]))).failed();
    let proposed = run(project.belljar(&["allow", "--from-log"]).stdin(std::process::Stdio::null()));
    assert_eq!(proposed.code, Some(1), "nobody was asked, so nothing was done");
    assert_eq!(
        proposed.stdout,
        "cargo belljar allow asks --for app --read 'it'\\''s \\{a\\} text.txt' --env MY_VARIABLE --reason '…'\n"
    );
    assert!(!project.root().join("belljar.toml").exists());
    let empty = Project::new("nothing built");
    empty.file("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\n").file("src/lib.rs", "");
    let nothing = run(&mut empty.belljar(&["allow", "--from-log"])).ok();
    assert!(nothing.stderr.contains("refused nothing"), "{}", nothing.stderr);
}

#[test]
fn in_report_mode_nothing_breaks_and_all_is_listed() {
    let store = Store::with_toolchain();
    let project =
        project("println!(\"{} {}\", asks::text!(\"it's {a} text.txt\"), asks::var!(\"MY_VARIABLE\"));");
    let with = |args: &[&str], mode: &str| {
        let mut command = project.belljar(args);
        run(store.of(&mut command).env("MY_VARIABLE", "mine").env("BELLJAR_MODE", mode))
    };
    let done = with(&["run"], "report").ok();
    assert_eq!(done.stdout, "granted mine\n");
    assert!(done.stderr.contains("warning: the policy's mode is `report`"), "{}", done.stderr);
    let log = run(&mut project.belljar(&["log", "--outcome", "reported", "--format", "json"])).ok().stdout;
    let names: Vec<String> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["what"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names, ["read", "env", "state"]);
    // What is enforced again is enforced on what was built in the other mode.
    with(&["check"], "enforce").failed();
    let wrong = with(&["check"], "off").failed().stderr;
    assert!(wrong.contains("BELLJAR_MODE") && wrong.contains("help"), "{wrong}");
}

#[test]
fn state_seed_and_time_are_granted_by_name() {
    let store = Store::with_toolchain();
    let calls = "println!(\"{} {} {}\", asks::count!(), asks::count!(), asks::random!());\n    let year: u32 = \
                 asks::year!();\n    println!(\"{}\", year > 2020);";
    let project = project(calls);
    let says = || {
        let done = run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
        let (first, second) = done.stdout.trim_end().split_once('\n').unwrap();
        let words: Vec<&str> = first.split(' ').collect();
        ([words[0], words[1]].join(" "), words[2].to_owned(), second.to_owned())
    };
    let (counted, random, year) = says();
    assert_eq!((counted.as_str(), year.as_str()), ("1 1", "false"));
    let grant = "[[grant]]\nmacro = \"asks\"\nstate = \"crate\"\nrandom = \"ours\"\ntime = true\nreason = \"a test\"\n";
    project.file("belljar.toml", grant);
    let (counted, seeded, year) = says();
    assert_eq!((counted.as_str(), year.as_str()), ("1 2", "true"));
    assert_ne!(seeded, random);
    let log = run(&mut project.belljar(&["log", "--outcome", "granted"])).ok().stdout;
    assert!(log.contains("remember earlier calls — belljar.toml:1: a test"), "{log}");
    project.file("belljar.toml", &grant.replace("ours", "theirs"));
    let (_, other, _) = says();
    assert!(other != seeded && other != random);
    project.file("belljar.toml", grant);
    assert_eq!(says().1, seeded, "the same seed gives the same numbers");
}

#[test]
fn mistakes_are_told_with_their_lines() {
    let store = Store::with_toolchain();
    let project = project("asks::count!();");
    // What leads out of a package is known when a package is: by now, from the last build.
    run(store.of(&mut project.belljar(&["check", "-q"]))).ok();
    let check = |text: &str| {
        project.file("belljar.toml", text);
        let stderr = run(store.of(&mut project.belljar(&["check"]))).failed().stderr;
        stderr.replace(project.root().parent().unwrap().to_str().unwrap(), "[dir]")
    };
    let grant = |lines: &str| format!("[[grant]]\nmacro = \"asks\"\n{lines}\nreason = \"a test\"\n");
    let told: Vec<String> = [
        grant("raed = [\"a\"]"),
        grant("read = [\"a[\"]"),
        grant("read = [\"/**\"]"),
        grant("read = [\"../../**\"]"),
        grant("env = [\"A\"]").replace("a test", " "),
        format!("{}{}", grant("random = \"a\""), grant("random = \"b\"")),
        "grant = 1".to_owned(),
        "[[grant]".to_owned(),
    ]
    .iter()
    .map(|text| check(text))
    .collect();
    insta::assert_snapshot!(told.join("\n"));
    fs::remove_file(project.root().join("belljar.toml")).unwrap();
    fs::create_dir(project.root().join("belljar.toml")).unwrap();
    let directory = run(store.of(&mut project.belljar(&["check"]))).failed().stderr;
    assert!(directory.contains("belljar.toml") && directory.contains("help"), "{directory}");
}

#[test]
fn a_mistake_fails_plain_cargo_too_where_a_macro_is_used() {
    let store = Store::with_toolchain();
    let project = project("asks::count!();");
    run(store.of(&mut project.belljar(&["init", "-q"]))).ok();
    project.file("belljar.toml", "mode = \"none\"\n");
    let error = run(store.of(&mut project.cargo(&["check", "-q"]))).failed().stderr;
    assert!(
        error.contains("belljar.toml:1") && error.contains("unknown") || error.contains("`none`"),
        "{error}"
    );
    project.file("belljar.toml", "mode = \"enforce\"\n");
    run(store.of(&mut project.cargo(&["check", "-q"]))).ok();
}

#[test]
fn grants_that_do_nothing_are_reported() {
    let store = Store::with_toolchain();
    let project = project("asks::var!(\"A\");");
    let grant =
        |name: &str, rest: &str| format!("[[grant]]\nmacro = \"{name}\"\n{rest}\nreason = \"a test\"\n");
    let text = format!(
        "{}{}{}",
        grant("asks", "env = [\"A\"]"),
        grant("asks", "env = [\"B\"]"),
        grant("ask", "env = [\"A\"]")
    );
    project.file("belljar.toml", &text);
    let built = run(store.of(&mut project.belljar(&["check"]))).ok().stderr;
    let notes: Vec<&str> = built.lines().filter(|line| line.starts_with("note")).collect();
    let [note] = notes[..] else { panic!("{built}") };
    assert!(note.contains("belljar.toml:9"), "{note}");
    let log = run(&mut project.belljar(&["log"])).ok().stdout;
    let unused: Vec<&str> =
        log.lines().filter(|line| line.contains("belljar.toml:") && !line.contains("granted")).collect();
    assert!(unused.len() == 2 && unused[0].contains("belljar.toml:5"), "{log}");
}

const SECRET: &str =
    "[[grant]]\nmacro = \"asks\"\nfor = \"trusted\"\nenv = [\"MY_VARIABLE\"]\nreason = \"a test\"\n";

#[test]
fn calls_that_can_not_be_planned_are_granted_what_the_workspace_grants() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}\", asks::var!(\"MY_VARIABLE\"));");
    project.file("belljar.toml", &SECRET.replace("trusted", "app"));
    project.file(".cargo/config.toml", "[alias]\nxx = \"run -q\"\n");
    let mut command = project.belljar(&["xx"]);
    assert_eq!(run(store.of(&mut command).env("MY_VARIABLE", "mine")).ok().stdout, "mine\n");
    assert!(
        !project.root().join("target/debug").exists(),
        "it is a sealed build, and stands with the others"
    );
}

#[test]
fn neither_cargos_config_nor_a_build_script_decides_what_is_granted() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}.\", asks::var!(\"MY_VARIABLE\"));");
    project
        .file("belljar.toml", SECRET)
        .file(".cargo/config.toml", "[env]\nBELLJAR_MODE = \"report\"\n")
        .file(
            "app/build.rs",
            "fn main() {\n    println!(\"cargo::rustc-env=CARGO_PKG_NAME=trusted\");\n    \
             println!(\"cargo::rustc-env=BELLJAR_MODE=report\");\n    println!(\"cargo::rustc-env=CARGO_MANIFEST_DIR=/\");\n}\n",
        );
    let mut command = project.belljar(&["run", "-q"]);
    assert_eq!(run(store.of(&mut command).env("MY_VARIABLE", "mine")).ok().stdout, ".\n");
}

#[test]
fn whoever_wants_grants_enforced_gets_that() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}.\", asks::var!(\"MY_VARIABLE\"));");
    project.file("belljar.toml", "mode = \"report\"\n").file("mine.toml", "mode = \"enforce\"\n");
    let says = |config: &str| {
        let mut command = project.belljar(&["run", "-q"]);
        let done = run(store.of(&mut command).env("MY_VARIABLE", "mine").env("BELLJAR_CONFIG", config)).ok();
        (done.stdout, done.stderr.contains("the policy's mode is `report`"))
    };
    assert_eq!(says(""), ("mine.\n".to_owned(), true), "it is said whatever else is not");
    let mine = project.root().join("mine.toml");
    assert_eq!(says(mine.to_str().unwrap()), (".\n".to_owned(), false));
}

#[test]
fn what_is_installed_grants_itself_nothing() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}.\", asks::var!(\"MY_VARIABLE\"));");
    project.file("belljar.toml", "mode = \"report\"\n");
    let root = project.root().join("installed");
    let mut command = project.belljar(&["install", "-q", "--path", "app", "--root", root.to_str().unwrap()]);
    run(store.of(&mut command).env("MY_VARIABLE", "mine")).ok();
    assert_eq!(run(&mut project.program(&root.join("bin/app"))).ok().stdout, ".\n");
}

#[test]
fn what_is_installed_is_granted_what_the_users_own_defaults_say() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}\", asks::text!(\"text.txt\"));");
    project.file("app/text.txt", "granted");
    let root = project.root().join("installed");
    let own = project.root().join("own/defaults.toml");
    let install = || {
        let mut command =
            project.belljar(&["install", "-q", "--path", "app", "--root", root.to_str().unwrap()]);
        run(store.of(&mut command).env("BELLJAR_CONFIG", &own))
    };
    let failed = install().failed().stderr;
    let wanted = "and you want it: cargo belljar allow --user asks --read text.txt --reason '…'";
    assert!(failed.contains(wanted), "{failed}");
    let mut allow = project.belljar(&["allow", "--user", "asks", "--read", "text.txt", "--reason", "a test"]);
    run(allow.env("BELLJAR_CONFIG", &own)).ok();
    assert!(!project.root().join("belljar.toml").exists());
    install().ok();
    assert_eq!(run(&mut project.program(&root.join("bin/app"))).ok().stdout, "granted\n");
    // What is known is granted to the versions for which it is known.
    run(project.belljar(&["allow", "--user", "sqlx-macros", "--known"]).env("BELLJAR_CONFIG", &own)).ok();
    let defaults = fs::read_to_string(&own).unwrap();
    assert_eq!(defaults.matches("macro = \"sqlx-macros\"\nversion = ").count(), 2, "{defaults}");
}

#[test]
fn a_build_ends_with_what_was_refused() {
    let store = Store::with_toolchain();
    let project = project("println!(\"{}\", asks::var!(\"MY_VARIABLE\"));");
    let last = |args: &[&str]| {
        let mut command = project.belljar(args);
        let done = run(store.of(&mut command).env("MY_VARIABLE", "mine"));
        let at = done.stderr.rfind("note: belljar refused").map(|at| done.stderr[at..].trim_end().to_owned());
        (done.code, at)
    };
    let said =
        "note: belljar refused macros of `app` something: `cargo belljar log --last --outcome refused`";
    assert_eq!(last(&["build"]), (Some(0), Some(said.to_owned())));
    // Nothing was compiled: cargo repeats the crate's own note, and there is no more to say.
    let (code, again) = last(&["build"]);
    assert!(code == Some(0) && again.unwrap().starts_with("note: belljar refused what macros of this crate"));
    // Where the variable is not set, the macro was told what it would have been told anyway.
    project.file("app/src/main.rs", "fn main() {\n    println!(\"{}\", asks::var!(\"NOT_SET\"));\n}\n");
    assert_eq!(last(&["build"]), (Some(0), None));
    let log = run(&mut project.belljar(&["log"])).ok().stdout;
    assert!(log.contains("refused  environment variable `NOT_SET`"), "{log}");
    project.file("app/src/main.rs", "fn main() {\n    asks::text!(\"it's {a} text.txt\");\n}\n");
    let (code, said) = last(&["build"]);
    let said = said.unwrap();
    assert_eq!(code, Some(101));
    assert!(
        said.contains(
            "\n  help: if that is why this fails, and you want it: cargo belljar allow asks --read "
        ),
        "{said}"
    );
    // What runs a program adds to it only if it was never built.
    for command in ["run", "test", "bench"] {
        let (code, failed) = last(&[command]);
        assert_eq!((code, failed.as_ref()), (Some(101), Some(&said)), "{command}");
    }
    project.file(
        "app/src/main.rs",
        "fn main() {\n    println!(\"{}\", asks::var!(\"MY_VARIABLE\"));\n    panic!();\n}\n",
    );
    let (code, own) = last(&["run"]);
    assert!(code == Some(101) && own.unwrap().starts_with("note: belljar refused what macros of this crate"));
}

#[test]
fn a_grant_goes_into_a_file_or_nowhere() {
    let project = Project::new("files");
    project.file("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\n").file("src/lib.rs", "");
    let file = project.root().join("belljar.toml");
    let allow = || run(&mut project.belljar(&["allow", "mac", "--env", "A", "--reason", "a test"]));
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o600.into()).unwrap();
    let failed = allow().failed().stderr;
    assert!(failed.contains("belljar.toml` is not a regular file"), "{failed}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(allow().failed().stderr.contains("belljar.toml` is a directory"));
    fs::remove_dir(&file).unwrap();

    std::os::unix::fs::symlink("ci/belljar.toml", &file).unwrap();
    let failed = allow().failed().stderr;
    assert!(failed.contains("is a link that leads to no file") && failed.contains("next: "), "{failed}");
    assert!(file.is_symlink());
    project.file("ci/belljar.toml", "# ours\n");
    allow().ok();
    assert!(file.is_symlink() && project.read("ci/belljar.toml").starts_with("# ours\n\n[[grant]]"));
}

#[test]
fn the_log_is_found_where_plain_cargo_builds() {
    let store = Store::with_toolchain();
    let project = project("asks::var!(\"A\");");
    run(store.of(&mut project.belljar(&["init", "-q"]))).ok();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = project.cargo(&["check", "-q"]);
    run(store.of(command.env("CARGO_BUILD_BUILD_DIR", elsewhere.path()))).ok();
    assert!(elsewhere.path().join("belljar/log").is_dir());
    let log = run(project.belljar(&["log"]).env("CARGO_BUILD_BUILD_DIR", elsewhere.path())).ok().stdout;
    assert!(log.contains("refused  environment variable `A`"), "{log}");
}
