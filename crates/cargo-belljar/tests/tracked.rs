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

/// The time, in seconds.
#[proc_macro]
pub fn now(_: TokenStream) -> TokenStream {
    literal(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string())
}

/// All variables that it is given whose names begin so.
#[proc_macro]
pub fn all(input: TokenStream) -> TokenStream {
    let start = argument(input);
    let all = std::env::vars().filter(|(name, _)| name.starts_with(&start));
    literal(all.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
}

/// What belljar says of the workspace.
#[proc_macro]
pub fn workspace(_: TokenStream) -> TokenStream {
    literal(std::env::var("BELLJAR_WORKSPACE_MANIFEST").unwrap())
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

/// The workspace, with this in the place of what `shop` does.
fn shop_does(name: &str, expression: &str, grants: &str) -> Project {
    let project = workspace(name);
    project.file("shop/src/main.rs", &format!("fn main() {{\n    println!(\"{{}}\", {expression});\n}}\n"));
    project.file("belljar.toml", &format!("{POLICY}{grants}"));
    project
}

#[test]
fn files_that_come_with_an_old_time() {
    let store = Store::with_toolchain();
    let project =
        shop_does("old", "asks::text!(\"texts/b.txt\").to_owned() + asks::exists!(\"maybe.txt\")", "");
    let build = || built(&store, project.belljar(&BUILD));
    let says = || run(store.of(&mut project.belljar(&["run", "-q", "-p", "shop"]))).ok().stdout;
    build();
    assert_eq!(says(), "twofalse\n");
    let moved = |text: &str, to: &str| {
        project.file("elsewhere", text);
        let from = project.root().join("elsewhere");
        let file = fs::File::options().write(true).open(&from).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
        fs::rename(from, project.root().join(to)).unwrap();
    };
    moved("old", "shop/maybe.txt");
    assert_eq!(build(), set(&["shop"]), "a file that was not there");
    assert_eq!(says(), "twotrue\n");
    moved("TWO", "shop/texts/b.txt");
    assert_eq!(build(), set(&["shop"]), "another file, as long as the one before");
    assert_eq!(says(), "TWOtrue\n");
    assert_eq!(build(), BTreeSet::new());
}

#[test]
fn the_time_at_which_clocks_stand() {
    let store = Store::with_toolchain();
    let project = shop_does("clocks", "asks::now!()", "");
    let build = |time: &str| {
        let mut command = project.belljar(&BUILD);
        command.env("SOURCE_DATE_EPOCH", time);
        built(&store, command)
    };
    build("1000");
    assert_eq!(build("1000"), BTreeSet::new());
    // Whoever looks at a file sees that time in it, too.
    assert_eq!(build("2000"), set(&["shop", "web"]));
}

#[test]
fn all_variables() {
    let store = Store::with_toolchain();
    let grant =
        "[[grant]]\nmacro = \"asks\"\nfor = \"shop\"\nenv = [\"APP_*\", \"APPEAR\"]\nreason = \"all\"\n";
    let project = shop_does("variables", "asks::all!(\"APP\")", grant);
    let with = |command: &mut Command, variables: &[(&str, &str)]| {
        command.env_remove("APP_A").envs(variables.iter().copied());
    };
    let build = |variables: &[(&str, &str)]| {
        let mut command = project.belljar(&BUILD);
        with(&mut command, variables);
        built(&store, command)
    };
    let nothing = BTreeSet::new();
    build(&[("APP_A", "1"), ("OTHER", "1")]);
    assert_eq!(build(&[("APP_A", "1"), ("OTHER", "2"), ("MORE", "3")]), nothing, "others");
    assert_eq!(build(&[("APP_A", "2")]), set(&["shop"]), "a value");
    assert_eq!(
        build(&[("APP_A", "2"), ("APP_B", "")]),
        set(&["shop"]),
        "a variable that the pattern is about"
    );
    assert_eq!(build(&[("APP_A", "2"), ("APP_B", ""), ("APPEAR", "x")]), set(&["shop"]), "one by its name");
    assert_eq!(build(&[("APP_A", "2"), ("APP_B", ""), ("APPEAR", "x")]), nothing);
    let mut says = project.belljar(&["run", "-q", "-p", "shop"]);
    with(&mut says, &[("APP_A", "2"), ("APP_B", ""), ("APPEAR", "x")]);
    assert_eq!(run(store.of(&mut says)).ok().stdout, "APPEAR=x APP_A=2 APP_B=\n");
    assert_eq!(build(&[]), set(&["shop"]), "all of them are gone");
}

#[test]
fn in_report_mode_no_value_is_written_down_that_only_the_mode_gives() {
    let store = Store::with_toolchain();
    let project = shop_does("secrets", "asks::all!(\"SECRET\")", "");
    let mut command = project.belljar(&BUILD);
    command.env("SECRET_TOKEN", "abc-secret").env("BELLJAR_MODE", "report");
    built(&store, command);
    let texts =
        support::files(&project.root().join("target"), |name| name.ends_with(".d") || name.contains("json"));
    assert!(!texts.is_empty());
    for file in texts {
        let bytes = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("abc-secret"), "{}", file.display());
    }
}

#[test]
fn what_belljar_itself_says_is_no_input() {
    let store = Store::with_toolchain();
    let project = shop_does("own", "asks::workspace!()", "");
    let build = || built(&store, project.belljar(&BUILD));
    build();
    assert_eq!(build(), BTreeSet::new());
    run(store.of(&mut project.belljar(&["init"]))).ok();
    let plain = || built(&store, project.cargo(&BUILD));
    plain();
    assert_eq!(plain(), BTreeSet::new());
}

#[test]
fn under_plain_cargo_the_mode_and_seeds_are_inputs_too() {
    let store = Store::with_toolchain();
    let project = shop_does("modes", "asks::var!(\"SHOP\").to_owned() + asks::now!()", "");
    run(store.of(&mut project.belljar(&["init"]))).ok();
    let plain = |mode: Option<&str>| {
        let mut command = project.cargo(&["run", "-q", "-p", "shop"]);
        command.env("SHOP", "open ").env("SOURCE_DATE_EPOCH", "1000");
        mode.map(|mode| command.env("BELLJAR_MODE", mode));
        run(store.of(&mut command)).ok().stdout
    };
    assert_eq!(plain(Some("report")), "open 1000\n");
    assert_eq!(plain(None), "environment variable not found1000\n", "nothing of it is left");
    let real = "[[grant]]\nmacro = \"asks\"\nfor = \"shop\"\ntime = true\nreason = \"the real time\"\n";
    project.file("belljar.toml", &format!("{POLICY}{real}"));
    assert_ne!(plain(None), "environment variable not found1000\n");
}
