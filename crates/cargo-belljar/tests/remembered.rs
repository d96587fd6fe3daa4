//! Expansions that are remembered, through real cargo: a build with them is the build without.

mod support;

use std::fs;
use std::process::Command;

use support::random::edits;
use support::store::Store;
use support::{Project, run};

const MACROS: &str = r##"
use proc_macro::{TokenStream, TokenTree};
use std::sync::atomic::{AtomicUsize, Ordering};

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
    let Ok(entries) = std::fs::read_dir(path(input)) else { return literal("none") };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    literal(names.join(" "))
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

/// The line of its first token.
#[proc_macro]
pub fn line(input: TokenStream) -> TokenStream {
    literal(input.into_iter().next().map_or(0, |token| token.span().start().line()).to_string())
}

/// How many calls of it came before, where that is granted.
#[proc_macro]
pub fn count(_: TokenStream) -> TokenStream {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    literal(CALLS.fetch_add(1, Ordering::Relaxed).to_string())
}

/// The names of a struct's fields.
#[proc_macro_derive(Fields)]
pub fn fields(input: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    let name = tokens[tokens.len() - 2].to_string();
    let body = tokens[tokens.len() - 1].to_string();
    format!("impl {name} {{ pub const FIELDS: &str = concat!(VERSION, {body:?}); }}").replace("VERSION", "\"v1 \"").parse().unwrap()
}
"##;

const APP: &str = r#"
#[derive(asks::Fields)]
struct Of { a: u8 }

fn main() {
    println!("{} {}", Of { a: 1 }.a, Of::FIELDS);
    println!("{} | {} | {}", asks::text!("texts/a.txt"), asks::names!("texts"), asks::exists!("maybe.txt"));
    println!("{} | {}", asks::var!("GREETING"), asks::var!("CARGO_PKG_VERSION"));
    println!("{}{}{} {}", asks::count!(), asks::count!(1), asks::count!(), asks::line!(x));
}
"#;

fn policy(grants: &str) -> String {
    format!("[[grant]]\nmacro = \"asks\"\nreason = \"a test\"\n{grants}\n")
}

const GRANTS: &str =
    "read = [\"texts/**\", \"maybe.txt\"]\nlist = [\"texts\"]\nenv = [\"GREETING\"]\nstate = \"crate\"";

fn workspace(name: &str) -> Project {
    let project = Project::new(name);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"asks\", \"app\"]\n")
        .file("asks/Cargo.toml", &package("asks", "[lib]\nproc-macro = true\n"))
        .file("asks/src/lib.rs", MACROS)
        .file("app/Cargo.toml", &package("app", "[dependencies]\nasks = { path = \"../asks\" }\n"))
        .file("app/src/main.rs", APP)
        .file("app/texts/a.txt", "one")
        .file("belljar.toml", &policy(GRANTS));
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// One side of a comparison: a target directory of its own, with what is remembered or without.
struct Side<'a> {
    project: &'a Project,
    store: &'a Store,
    target: &'static str,
    cache: &'static str,
}

impl Side<'_> {
    fn command(&self, args: &[&str], variables: &[(&str, String)]) -> Command {
        let mut command = self.project.belljar(args);
        self.store.of(&mut command).env("CARGO_TARGET_DIR", self.project.root().join("..").join(self.target));
        command.env("BELLJAR_CACHE", self.cache).envs(variables.iter().map(|(n, v)| (n, v)));
        command.env_remove("CI");
        command
    }

    /// What the program says, or the compiler.
    fn says(&self, variables: &[(&str, String)]) -> (Option<i32>, String) {
        let done = run(&mut self.command(&["run", "-q", "-p", "app"], variables));
        let errors: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("error")).collect();
        (done.code, format!("{}{}", done.stdout, errors.join("\n")))
    }
}

/// How many calls were answered from what is remembered, and how many were run, up to now.
fn calls(project: &Project, store: &Store) -> (u64, u64) {
    let stats = run(store.of(&mut project.belljar(&["cache", "stats"]))).ok().stdout;
    let number = |name: &str| -> u64 {
        let line = stats.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{stats}"));
        line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    let remembered = number("remembered");
    (remembered, number("calls") - remembered)
}

#[test]
fn what_is_remembered_is_not_run_and_is_in_the_log() {
    let (store, project) = (Store::with_toolchain(), workspace("once"));
    let side = Side { project: &project, store: &store, target: "cached", cache: "on" };
    let first = side.says(&[]);
    assert_eq!(first.0, Some(0), "{}", first.1);
    assert!(first.1.ends_with("\n012 9\n"), "{}", first.1);
    let (remembered, ran) = calls(&project, &store);
    // The two calls of `count!()` are two, as the macro remembers the first.
    assert_eq!((remembered, ran), (0, 10));
    // A line above, and everything is where it was, but for the macro that asks for its line.
    project.file("app/src/main.rs", &format!("// A comment.\n{APP}"));
    let moved = side.says(&[]);
    assert_ne!(first.1, moved.1);
    assert_eq!(calls(&project, &store).0, 9);
    let log = run(&mut side.command(&["log"], &[])).ok().stdout;
    let line = log.lines().find(|line| line.contains("texts/a.txt")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("granted") && line.contains("(remembered)"), "{log}");

    // Another project of the user's has all of it, where it sees the same.
    let other = workspace("once");
    let (remembered, _) = calls(&project, &store);
    let side = Side { project: &other, store: &store, target: "cached", cache: "on" };
    assert_eq!(side.says(&[]), first);
    assert!(calls(&project, &store).0 > remembered, "what depends on nothing but its tokens");

    let off = Side { cache: "off", target: "off", ..side };
    let before = calls(&project, &store);
    assert_eq!(off.says(&[]), first);
    assert_eq!(calls(&project, &store), before, "it is off");
}

#[test]
fn what_is_read_ahead_is_only_a_hint() {
    let (store, project) = (Store::with_toolchain(), workspace("ahead"));
    let side = Side { project: &project, store: &store, target: "cached", cache: "on" };
    let first = side.says(&[]);
    assert_eq!(first.0, Some(0), "{}", first.1);
    let dir = project.root().join("../cached/belljar/ahead");
    let dir = if dir.is_dir() { dir } else { project.root().join("../cached/ahead") };
    let files = || support::files(&dir, |name| name.starts_with("app-"));
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let keys = fs::read(file).unwrap();
    // As many as calls, each of which has an entry of its own.
    assert_eq!(keys.len(), 10 * 32);
    let mut n = 0;
    let mut again = |what: &str| {
        n += 1;
        project.file("app/src/main.rs", &format!("{APP}// {n}\n"));
        let before = calls(&project, &store);
        assert_eq!(side.says(&[]), first, "{what}");
        let after = calls(&project, &store);
        assert_eq!((after.0 - before.0, after.1 - before.1), (10, 0), "{what}");
        assert_eq!(fs::read(file).unwrap(), keys, "{what}");
        assert!(file.symlink_metadata().unwrap().is_file(), "{what}");
    };
    again("as it was left");
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no key", vec![1; 31]),
        ("keys of nothing", vec![0; 64]),
        ("other keys first", [vec![9; 32], keys.clone()].concat()),
        ("too much", vec![0; 3 << 20]),
    ] {
        fs::write(file, bytes).unwrap();
        again(what);
    }
    fs::remove_file(file).unwrap();
    again("no file");
    fs::remove_file(file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", file).unwrap();
    again("a link");
}

#[test]
fn verification_runs_what_is_remembered_and_finds_what_is_wrong() {
    let (store, project) = (Store::with_toolchain(), workspace("verified"));
    // What is granted something can only be verified in its project.
    fs::remove_file(project.root().join("belljar.toml")).unwrap();
    let side = Side { project: &project, store: &store, target: "cached", cache: "on" };
    side.says(&[]);
    let checks = |args: &[&str]| {
        // cargo would find nothing to do.
        project.file("app/src/main.rs", &format!("{APP}// {}\n", args.join(" ")));
        run(&mut side.command(args, &[]))
    };
    checks(&["check", "-p", "app", "--verify-cache=all"]).ok();
    let stats = run(&mut side.command(&["cache", "stats"], &[])).ok().stdout;
    assert!(stats.contains("verified       10"), "{stats}");
    let verified = run(&mut side.command(&["cache", "verify"], &[])).ok().stderr;
    assert!(verified.contains("Verified ") && verified.contains("depend on a project"), "{verified}");

    // Somebody who may write there, and who knows the key, has put in another output.
    let poisoned = poison(&store, b"v1 ", b"v2 ");
    assert!(poisoned > 0);
    let trusting = side.says(&[]);
    assert!(trusting.1.contains("v2 "), "{}", trusting.1);
    let failed = checks(&["build", "-p", "app", "--verify-cache=all"]).failed().stderr;
    assert!(
        failed.contains(
            "`derive(Fields)` of asks 0.1.0 can't be expanded: it does not write what belljar remembers"
        ),
        "{failed}"
    );
    assert!(failed.contains("src/main.rs:2"), "{failed}");
    let kept = support::files(&project.root().join("../cached/belljar/differences"), |_| true);
    let texts: Vec<String> = kept.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts.len(), 2, "{failed}");
    assert!(
        texts.iter().any(|text| text.contains("\"v1 \""))
            && texts.iter().any(|text| text.contains("\"v2 \""))
    );
    // It is forgotten.
    checks(&["build", "-p", "app", "--verify-cache", "all"]).ok();
    assert!(side.says(&[]).1.contains("v1 "));

    poison(&store, b"v1 ", b"v3 ");
    let wrong = run(&mut side.command(&["cache", "verify"], &[]));
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("`derive(Fields)` of asks 0.1.0 does not write what is remembered of it"),
        "{}",
        wrong.stderr
    );
    run(&mut side.command(&["cache", "verify"], &[])).ok();

    let bad = run(&mut side.command(&["check", "--verify-cache=much"], &[]));
    assert!(bad.code == Some(101) && bad.stderr.contains("next: write a percentage"), "{}", bad.stderr);
}

/// Puts other bytes in the place of these in every entry, with this store's own seal.
fn poison(store: &Store, was: &[u8], now: &[u8]) -> usize {
    let home = camino::Utf8PathBuf::from_path_buf(store.home().to_path_buf()).unwrap();
    let expansions = belljar_store::Expansions::of(&belljar_store::Store::open(&home).unwrap());
    let mut changed = Vec::new();
    expansions
        .each(|key, found| {
            let mut body = found.body.clone();
            for at in 0..body.len().saturating_sub(was.len()) {
                if body[at..].starts_with(was) {
                    body[at..at + now.len()].copy_from_slice(now);
                }
            }
            if body != found.body {
                changed.push((*key, found.variant, body));
            }
        })
        .unwrap();
    changed.iter().for_each(|(key, variant, body)| expansions.keep(key, variant, body));
    expansions.settle();
    changed.len()
}

#[test]
fn the_cache_can_be_looked_at_and_cleared() {
    let (store, project) = (Store::small(), workspace("commands"));
    let cache = |args: &[&str]| run(store.of(&mut project.belljar(&[&["cache"], args].concat())));
    let path = cache(&["path"]).ok().stdout;
    assert_eq!(path.trim_end(), store.root().join("expansions").to_str().unwrap());
    let stats = cache(&["stats"]).ok().stdout;
    assert!(stats.contains("on disk") && stats.contains(" of 1.1 GB at most"), "{stats}");
    cache(&["gc", "--max-size", "1K"]).ok();
    cache(&["clear"]).ok();
    assert!(cache(&["stats"]).ok().stdout.starts_with("expansions     0\n"));
    assert_eq!(cache(&["gc", "--max-size", "some"]).code, Some(2));

    // What can't be used is a warning, and builds go on.
    let mut build = project.belljar(&["check"]);
    let done = run(store.of(&mut build).env("BELLJAR_CACHE_SIZE", "much")).ok();
    let warning = "warning: expansions are not remembered: BELLJAR_CACHE_SIZE is `much`, which is no size";
    assert_eq!(done.stderr.matches(warning).count(), 1, "{}", done.stderr);
    for database in store.files("expansions") {
        fs::write(database, "no database").unwrap();
    }
    project.file("app/src/main.rs", &format!("{APP}//\n"));
    let done = run(store.of(&mut project.belljar(&["check"]))).ok();
    assert!(!done.stderr.contains("warning: expansions"), "there is a new one: {}", done.stderr);
}

/// Edits everything that a build can depend on, and each time builds with what is remembered and without.
/// `BELLJAR_TEST_EDITS` says how many edits, and `BELLJAR_TEST_SEED` which.
#[test]
fn whatever_is_edited_the_build_is_the_same_as_without() {
    let (edits, seed, mut random) = edits();
    let (store, project) = (Store::with_toolchain(), workspace("edited"));
    let cached = Side { project: &project, store: &store, target: "cached", cache: "on" };
    let without = Side { project: &project, store: &store, target: "without", cache: "off" };
    let mut greeting = String::new();
    for edit in 0..edits {
        let n = random.below(4);
        let what = match random.below(10) {
            0 => {
                project.file("app/texts/a.txt", &format!("text {n}"));
                "a file's content"
            }
            1 => {
                let path = project.root().join("app/maybe.txt");
                if fs::remove_file(&path).is_err() {
                    project.file("app/maybe.txt", "");
                }
                "whether a file is there"
            }
            2 => {
                let name = format!("app/texts/{n}.txt");
                if fs::remove_file(project.root().join(&name)).is_err() {
                    project.file(&name, "");
                }
                "the names in a directory"
            }
            3 => {
                greeting = format!("hello {n}");
                "a variable"
            }
            4 => {
                let without_one: Vec<&str> = GRANTS
                    .lines()
                    .enumerate()
                    .filter(|(at, _)| *at as u64 != n)
                    .map(|(_, line)| line)
                    .collect();
                project.file("belljar.toml", &policy(&without_one.join("\n")));
                "a grant"
            }
            5 => {
                project.file("belljar.toml", &policy(GRANTS));
                "all grants"
            }
            6 => {
                project.file("asks/src/lib.rs", &MACROS.replace("v1", &format!("v{n}")));
                "the macro crate"
            }
            7 => {
                project
                    .file("app/src/main.rs", &format!("{}{APP}", "//\n".repeat(usize::try_from(n).unwrap())));
                "the lines"
            }
            8 => {
                project.file(
                    "app/src/main.rs",
                    &APP.replace("{ a: u8 }", &format!("{{ a: u8, // {n}\n    b{n}: [u8; 0] }}"))
                        .replace("Of { a: 1 }", &format!("Of {{ a: 1, b{n}: [] }}")),
                );
                "the tokens"
            }
            _ => {
                let manifest = project.read("app/Cargo.toml");
                let (head, rest) = manifest.split_once("version = \"").unwrap();
                let rest = rest.split_once('"').unwrap().1;
                project.file("app/Cargo.toml", &format!("{head}version = \"0.{n}.0\"{rest}"));
                "the package's version"
            }
        };
        let variables = [("GREETING", greeting.clone())];
        let (with, without) = (cached.says(&variables), without.says(&variables));
        assert_eq!(with, without, "edit {edit} ({what}, seed {seed})");
        assert_eq!(with.0, Some(0), "edit {edit} ({what}, seed {seed}): {}", with.1);
    }
    let (remembered, ran) = calls(&project, &store);
    println!("{edits} edits: {remembered} calls were remembered, {ran} were run");
    assert!(remembered > edits, "{remembered} calls were remembered, {ran} were run");
}
