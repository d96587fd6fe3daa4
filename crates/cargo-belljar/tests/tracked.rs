//! What a macro saw is an input of the crate that called it: real cargo compiles that crate again when it changes, and no
//! other.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use support::store::Store;
use support::{Project, run};

const MACROS: &str = r##"
use proc_macro::TokenStream;

fn argument(input: TokenStream) -> String {
    input.to_string().trim_matches('"').to_owned()
}

fn path(input: TokenStream) -> std::path::PathBuf {
    std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(argument(input))
}

fn literal(text: impl std::fmt::Debug) -> TokenStream {
    format!("{text:?}").parse().unwrap()
}

/// What stands in a file, or why it can't be read.
#[proc_macro]
pub fn text(input: TokenStream) -> TokenStream {
    literal(std::fs::read_to_string(path(input)).unwrap_or_else(|e| e.kind().to_string()))
}

/// The names in a directory.
#[proc_macro]
pub fn names(input: TokenStream) -> TokenStream {
    let entries = std::fs::read_dir(path(input)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    literal(names.collect::<Vec<_>>().join(" "))
}

/// Whether something is there.
#[proc_macro]
pub fn exists(input: TokenStream) -> TokenStream {
    literal(path(input).exists().to_string())
}

/// The value of a variable.
#[proc_macro]
pub fn var(input: TokenStream) -> TokenStream {
    literal(std::env::var(argument(input)).unwrap_or_else(|e| e.to_string()))
}
"##;

const POLICY: &str = r#"
[[grant]]
macro = "asks"
read = ["texts/**", "maybe.txt"]
list = ["texts"]
env = ["GREETING"]
reason = "what it is for"
"#;

/// Three programs: `web` and `shop` use macros that look around, `plain` uses none.
fn workspace(name: &str) -> Project {
    let project = Project::new(name);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let uses = "[dependencies]\nasks = { path = \"../asks\" }\n";
    project
        .file(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"asks\", \"web\", \"shop\", \"plain\"]\n",
        )
        .file("asks/Cargo.toml", &package("asks", "[lib]\nproc-macro = true\n"))
        .file("asks/src/lib.rs", MACROS)
        .file("web/Cargo.toml", &package("web", uses))
        .file(
            "web/src/main.rs",
            "fn main() {\n    println!(\"{} | {} | {} | {}\", asks::text!(\"texts/a.txt\"), asks::names!(\"texts\"), \
             asks::exists!(\"maybe.txt\"), asks::var!(\"GREETING\"));\n}\n",
        )
        .file("web/texts/a.txt", "one")
        .file("shop/Cargo.toml", &package("shop", uses))
        .file("shop/src/main.rs", "fn main() {\n    println!(\"{}\", asks::text!(\"texts/b.txt\"));\n}\n")
        .file("shop/texts/b.txt", "two")
        .file("plain/Cargo.toml", &package("plain", ""))
        .file("plain/src/main.rs", "fn main() {}\n")
        .file("belljar.toml", POLICY);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// Builds, and gives the packages that were compiled.
#[track_caller]
fn built(store: &Store, mut command: Command) -> BTreeSet<String> {
    let done = run(store.of(&mut command)).ok();
    let artifacts =
        done.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let compiled = artifacts.filter(|a| a["reason"] == "compiler-artifact" && a["fresh"] == false);
    compiled.map(|artifact| artifact["target"]["name"].as_str().unwrap().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

const BUILD: [&str; 4] = ["build", "--workspace", "--message-format", "json"];

/// Makes every change, and looks at what is compiled again and what the program says then. `command` runs cargo, and `stamped`
/// says whether belljar's command looks around before.
fn each_change(project: &Project, store: &Store, stamped: bool, command: impl Fn(&[&str]) -> Command) {
    let build = || built(store, command(&BUILD));
    let says = |package: &str| {
        let done = run(store.of(&mut command(&["run", "-q", "-p", package]))).ok();
        done.stdout.trim_end().to_owned()
    };
    let nothing = BTreeSet::new();
    assert_eq!(build(), set(&["asks", "plain", "shop", "web"]));
    assert_eq!(build(), nothing);
    assert_eq!(says("web"), "one | a.txt | false | environment variable not found");
    assert_eq!(says("shop"), "two");

    project.file("web/texts/a.txt", "three");
    assert_eq!(build(), set(&["web"]), "a file that was read");
    assert_eq!(says("web"), "three | a.txt | false | environment variable not found");

    project.file("shop/texts/unread.txt", "").file("web/README.md", "").file("new/deep/file", "");
    assert_eq!(build(), nothing, "files that nobody asked for, where others were asked for");
    project.file("shop/texts/unread.txt", "more").file("web/README.md", "more");
    assert_eq!(build(), nothing, "the same, changed");

    project.file("web/texts/c.txt", "");
    assert_eq!(build(), set(&["web"]), "a directory that was listed");
    assert_eq!(says("web"), "three | a.txt c.txt | false | environment variable not found");

    project.file("web/texts/c.txt", "more");
    let listed = if stamped { nothing.clone() } else { set(&["web"]) };
    assert_eq!(build(), listed, "the content of a file whose name was seen: only the command knows better");
    assert_eq!(build(), nothing);

    project.file("web/maybe.txt", "");
    assert_eq!(build(), set(&["web"]), "a file that was not there");
    assert_eq!(says("web"), "three | a.txt c.txt | true | environment variable not found");
    fs::remove_file(project.root().join("web/maybe.txt")).unwrap();
    assert_eq!(build(), set(&["web"]), "a file that was there");
    assert_eq!(says("web"), "three | a.txt c.txt | false | environment variable not found");

    let greeting = |value: &str| {
        let mut command = command(&BUILD);
        command.env("GREETING", value).env("OTHER", value);
        built(store, command)
    };
    assert_eq!(greeting("hello"), set(&["web"]), "a variable that was not set");
    assert_eq!(greeting("hello"), nothing);
    assert_eq!(greeting("good\nday\\"), set(&["web"]), "its value");
    assert_eq!(greeting("good\nday\\"), nothing);
    assert_eq!(build(), set(&["web"]), "that it was set");
    let mut other = command(&BUILD);
    other.env("OTHER", "1");
    assert_eq!(built(store, other), nothing, "a variable that nobody asked for");
}

#[test]
fn with_the_command() {
    let (store, project) = (Store::with_toolchain(), workspace("tracked"));
    each_change(&project, &store, true, |args| project.belljar(args));
}

#[test]
fn with_plain_cargo_after_init_and_a_target_directory_elsewhere() {
    let (store, project) = (Store::with_toolchain(), workspace("plain cargo, träcked"));
    run(store.of(&mut project.belljar(&["init"]))).ok();
    let elsewhere = tempfile::tempdir().unwrap();
    each_change(&project, &store, false, |args| {
        let mut command = project.cargo(args);
        command.env("CARGO_TARGET_DIR", elsewhere.path());
        command
    });
}

#[test]
fn a_change_of_the_policy_concerns_whom_it_concerns() {
    let (store, project) = (Store::with_toolchain(), workspace("policy"));
    let build = || built(&store, project.belljar(&BUILD));
    let nothing = BTreeSet::new();
    assert_eq!(build(), set(&["asks", "plain", "shop", "web"]));

    project.file(
        "belljar.toml",
        &format!("# A comment.\n{}", POLICY.replace("what it is for", "another reason")),
    );
    assert_eq!(build(), nothing, "nothing else is granted");
    let other = "[[grant]]\nmacro = \"asks\"\nfor = \"shop\"\nenv = [\"SHOP\"]\nreason = \"only there\"\n";
    project.file("belljar.toml", &format!("{other}{POLICY}"));
    assert_eq!(build(), set(&["shop"]), "a grant for one calling package");
    let nobody = "[[grant]]\nmacro = \"nobody\"\nenv = [\"SHOP\"]\nreason = \"of another macro\"\n";
    project.file("belljar.toml", &format!("{nobody}{other}{POLICY}"));
    assert_eq!(build(), nothing, "a grant for another macro");
    project.file("belljar.toml", &POLICY.replace("env = [\"GREETING\"]\n", ""));
    assert_eq!(build(), set(&["shop", "web"]), "less is granted");
    fs::remove_file(project.root().join("belljar.toml")).unwrap();
    let done = run(store.of(&mut project.belljar(&["build", "-p", "web"]))).failed();
    assert!(done.stderr.contains("belljar refused: list directory"), "{}", done.stderr);
    project.file("belljar.toml", POLICY);
    assert_eq!(build(), set(&["shop", "web"]), "the policy is back");

    run(store.of(&mut project.belljar(&["clean"]))).ok();
    assert_eq!(build(), set(&["asks", "plain", "shop", "web"]));
    project.file("web/texts/a.txt", "anew");
    assert_eq!(build(), set(&["web"]));
}

#[test]
fn what_was_refused_can_be_granted_later() {
    let (store, project) = (Store::with_toolchain(), workspace("refused"));
    fs::remove_file(project.root().join("belljar.toml")).unwrap();
    let shop = |args: &[&str]| run(store.of(&mut project.belljar(args))).ok();
    assert_eq!(shop(&["run", "-q", "-p", "shop"]).stdout, "permission denied\n", "the macro goes on without");
    project.file("belljar.toml", POLICY);
    assert_eq!(shop(&["run", "-q", "-p", "shop"]).stdout, "two\n");
    // Under plain cargo too, where no command comes by.
    shop(&["init"]);
    let plain = || run(store.of(&mut project.cargo(&["run", "-q", "-p", "shop"]))).ok().stdout;
    assert_eq!(plain(), "two\n");
    fs::remove_file(project.root().join("belljar.toml")).unwrap();
    assert_eq!(plain(), "permission denied\n");
    project.file("belljar.toml", POLICY);
    assert_eq!(plain(), "two\n");
}
