//! A target directory that came with somebody else's project: links in it, in the places of belljar's directories, that lead to
//! the user's files. Nothing behind them is touched, and the build says which link it is.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::store::{Store, tiny};
use support::{Project, run};

/// Somebody's documents: also some that are named as files of belljar's are.
fn documents() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("letter.txt", "dear");
    write("photos/one.jpg", "jpg");
    write(".env", "SECRET=1");
    write("app-0123456789abcdef.jsonl", "{}");
    for digits in [32, 64] {
        write(&format!("{}.json", "0".repeat(digits)), "{}");
    }
    let old = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    fs::File::open(dir.path().join("letter.txt")).unwrap().set_times(old).unwrap();
    dir
}

/// Every file below, with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, String> {
    let files = support::files(dir, |_| true);
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Has the command fail because of the link at `path`, which leads to documents.
#[track_caller]
fn leaves_alone(path: &Path, command: &mut Command) {
    let documents = documents();
    let before = content(documents.path());
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(documents.path(), path).unwrap();
    let failed = run(command);
    assert_eq!(content(documents.path()), before, "{path:?}");
    assert_eq!(failed.code, Some(101), "{path:?}: {}", failed.stderr);
    let told = failed.stderr.contains(&format!("{} is a symbolic link", path.display()));
    assert!(told && failed.stderr.contains("remove it"), "{path:?}: {}", failed.stderr);
    fs::remove_file(path).unwrap();
}

const NAMES: [&str; 9] = ["", "absent", "empty", "log", "policy", "probe", "seen", "sessions", "units"];

#[test]
fn the_command_follows_no_link() {
    let (store, project) = (Store::small(), tiny("somebody else's"));
    let belljar = project.root().join("target/belljar");
    for name in NAMES {
        let path = if name.is_empty() { belljar.clone() } else { belljar.join(name) };
        leaves_alone(&path, store.of(&mut project.belljar(&["check", "-q"])));
        leaves_alone(&path, store.of(&mut project.belljar(&["probe", "mac"])));
    }
    for name in ["", "log"] {
        let path = if name.is_empty() { belljar.clone() } else { belljar.join(name) };
        for args in [&["log"][..], &["allow", "--from-log"]] {
            leaves_alone(&path, store.of(&mut project.belljar(args)));
        }
    }
    // What is not a directory at all.
    for name in ["policy", "empty"] {
        project.file(&format!("target/belljar/{name}"), "mine");
        let failed = run(store.of(&mut project.belljar(&["check", "-q"]))).failed().stderr;
        assert!(failed.contains(&format!("belljar/{name} is a file")), "{failed}");
        assert_eq!(project.read(&format!("target/belljar/{name}")), "mine");
        fs::remove_file(belljar.join(name)).unwrap();
    }
    // The target directory itself may be elsewhere.
    fs::remove_dir_all(project.root().join("target")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), project.root().join("target")).unwrap();
    assert_eq!(run(store.of(&mut project.belljar(&["run", "-q"]))).ok().stdout, "sealed\n");
    assert!(elsewhere.path().join("belljar/sessions").is_dir());
}

#[test]
fn what_is_not_belljars_stays_in_its_directories() {
    let (store, project) = (Store::small(), tiny("somebody else's"));
    let documents = documents();
    let before = content(documents.path());
    let belljar = project.root().join("target/belljar");
    let digest = |digits| format!("{}.json", "1".repeat(digits));
    for name in &NAMES[1..] {
        let dir = belljar.join(name);
        fs::create_dir_all(dir.join("photos")).unwrap();
        fs::write(dir.join("photos/one.jpg"), "jpg").unwrap();
        fs::write(dir.join("letter.txt"), "dear").unwrap();
        let old = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        fs::File::open(dir.join("letter.txt")).unwrap().set_times(old).unwrap();
        for digits in [32, 64] {
            symlink(documents.path(), dir.join(digest(digits))).unwrap();
            symlink(documents.path().join("letter.txt"), dir.join(format!("2{}", digest(digits - 1))))
                .unwrap();
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join(format!("3{}", digest(31))), 0o600.into()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("fifo.jsonl"), 0o600.into()).unwrap();
    }
    assert_eq!(run(store.of(&mut project.belljar(&["run", "-q"]))).ok().stdout, "sealed\n");
    run(store.of(&mut project.belljar(&["log"]))).ok();
    assert_eq!(content(documents.path()), before);
    for name in &NAMES[1..] {
        for mine in ["letter.txt", "photos/one.jpg"] {
            assert!(belljar.join(name).join(mine).is_file(), "{name}/{mine}");
        }
    }
}

/// A program whose macro looks for a file that is granted and not there, and for one that is not granted.
fn looking() -> Project {
    let project = Project::new("looking");
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"mac\"]\n")
        .file("app/Cargo.toml", &package("app", "[dependencies]\nmac = { path = \"../mac\" }\n"))
        .file("app/src/main.rs", "fn main() {\n    mac::look!();\n}\n")
        .file("mac/Cargo.toml", &package("mac", "[lib]\nproc-macro = true\n"))
        .file(
            "mac/src/lib.rs",
            "#[proc_macro]\npub fn look(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
             let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n    \
             for name in [\"granted\", \"refused\"] {\n        \
             let _ = std::fs::read(format!(\"{dir}/{name}\"));\n    }\n    Default::default()\n}\n",
        )
        .file("belljar.toml", "[[grant]]\nmacro = \"mac\"\nread = [\"granted\"]\nreason = \"a test\"\n");
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

#[test]
fn plain_cargo_follows_no_link() {
    let (store, project) = (Store::with_toolchain(), looking());
    run(store.of(&mut project.belljar(&["init", "-q"]))).ok();
    let belljar = project.root().join("target/belljar");
    for name in ["", "absent", "log", "policy"] {
        let path = if name.is_empty() { belljar.clone() } else { belljar.join(name) };
        leaves_alone(&path, store.of(&mut project.cargo(&["check", "-q"])));
    }
    run(store.of(&mut project.cargo(&["check", "-q"]))).ok();
    let log = run(store.of(&mut project.belljar(&["log"]))).ok().stdout;
    assert!(log.contains("/app/granted`") && log.contains("/app/refused`"), "{log}");
}
