//! The fixtures that are whole projects, tested natively and sealed: what is said must be the same.
//!
//! What is built stays in cargo's directory for tests, so that only the first run compiles the fixtures' dependencies.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Done, Project, run};

/// Everything that `cargo test` and its test harnesses say of the results, in an order that doesn't depend on threads.
#[derive(Debug, PartialEq)]
struct Said {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Where `side` builds the fixture.
fn target_dir(fixture: &str, side: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fixture-{fixture}-{side}"))
}

fn said(done: &Done, target_dir: &str) -> Said {
    let lines = |text: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !tells_of_building(line))
            .map(|line| plain(line, target_dir))
            .collect();
        lines.sort();
        lines
    };
    Said { stdout: lines(&done.stdout), stderr: lines(&done.stderr) }
}

/// Lines that depend on what was built before, and belljar's own.
fn tells_of_building(line: &str) -> bool {
    const VERBS: [&str; 6] = ["Compiling", "Blocking", "Finished", "Sealing", "Sealed", "Waiting"];
    line.starts_with("   ") && line.split_whitespace().next().is_some_and(|verb| VERBS.contains(&verb))
        || line.starts_with("all doctests ran in")
}

/// Without times, target directory and the numbers of units.
fn plain(line: &str, target_dir: &str) -> String {
    let line = line.split("; finished in").next().unwrap_or(line);
    match line.split_once(target_dir) {
        Some((before, path)) => {
            let name = path.trim_start_matches("/belljar").split('-').next().unwrap_or_default();
            format!("{before}<target>{name}")
        }
        None => line.to_owned(),
    }
}

fn set_target_dir<'c>(command: &'c mut Command, dir: &str) -> &'c mut Command {
    command.env("CARGO_TARGET_DIR", dir)
}

/// Tests the fixture both ways and returns what both said.
fn tested_both_ways(fixture: &str) -> Said {
    let project = Project::in_place(fixture);
    // Whoever builds first on a new machine would say what it downloads.
    run(&mut project.cargo(&["fetch", "--locked"])).ok();
    let args = ["test", "--workspace", "--locked"];
    let [native_dir, sealed_dir] =
        ["native", "sealed"].map(|side| target_dir(fixture, side).into_os_string().into_string().unwrap());
    let mut native = project.cargo(&args);
    // Natively, macros are compiled for this one use.
    set_target_dir(&mut native, &native_dir).env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_OPT_LEVEL", "0");
    let native = said(&run(&mut native).ok(), &native_dir);
    let sealed = said(&run(set_target_dir(&mut project.belljar(&args), &sealed_dir)).ok(), &sealed_dir);
    assert_eq!(sealed, native);
    assert!(no_macro_is_native(&sealed_dir), "{sealed_dir} has a macro that is no shim");
    sealed
}

/// Is every macro that was compiled for rustc a shim? Test harnesses of macro crates are programs.
fn no_macro_is_native(target_dir: &str) -> bool {
    let deps = PathBuf::from(target_dir).join("belljar/debug/deps");
    let macros = support::files(&deps, |name| name.starts_with("lib") && name.ends_with(".so"));
    assert!(!macros.is_empty(), "{deps:?}");
    macros.iter().all(|path| support::is_shim(path))
}

/// tokio, tracing and async-trait: attribute macros on `async` functions, traits and tests.
#[test]
fn an_asynchronous_service() {
    let said = tested_both_ways("service");
    assert!(said.stdout.contains(&"test clients_share_a_store ... ok".to_owned()), "{said:?}");
}

/// Macro crates of the workspace's own: one depends, renamed and with a feature, on another crate of the workspace, has a
/// build script and tests; one is of edition 2015.
#[test]
fn a_workspace_with_macro_crates_of_its_own() {
    let said = tested_both_ways("workspace");
    assert!(said.stdout.contains(&"test derives ... ok".to_owned()), "{said:?}");
    let said: Vec<_> = said.stderr.iter().filter(|line| line.contains("Running")).collect();
    assert_eq!(said.len(), 6, "{said:?}");
}
