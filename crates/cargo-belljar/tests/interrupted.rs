//! Ctrl-C and other ends, in every phase of a build: no process is left, and the next build needs no cleaning.
//!
//! Each phase is held by something in the build that waits for ever and says that it does, so that the signal always comes
//! in the middle of it.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use support::held::{Build, End, paths, waiting_script};
use support::store::{Store, tiny};
use support::{Project, run};

#[track_caller]
fn builds(project: &Project, store: &Store) {
    let done = run(store.of(&mut project.belljar(&["run", "--quiet"]))).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("sealed\n", ""), "no manual cleaning");
}

fn scratch(store: &Store) -> usize {
    let entries = std::fs::read_dir(store.root().join("scratch")).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with("guests-")).count()
}

#[test]
fn while_cargo_is_asked_for_its_plan() {
    let (store, project) = (Store::small(), tiny("planning"));
    let (mark, _) = paths(&project);
    // cargo asks the compiler for its version before it can plan; this one never answers.
    let rustc = project.root().parent().unwrap().join("rustc");
    std::fs::write(&rustc, format!("#!/bin/sh\n: > '{}'\nwhile :; do sleep 1; done\n", mark.display()))
        .unwrap();
    std::fs::set_permissions(&rustc, PermissionsExt::from_mode(0o755)).unwrap();
    for end in [End::CtrlC, End::Alone(Signal::TERM), End::Alone(Signal::HUP)] {
        let mut command = project.belljar(&["check"]);
        let mut build = Build::start(store.of(&mut command).env("RUSTC", &rustc));
        build.makes(&mark);
        assert_eq!(build.end(end), "", "no error on top");
        std::fs::remove_file(&mark).unwrap();
    }
    builds(&project, &store);
}

#[test]
fn while_a_guest_is_built() {
    let (store, project) = (Store::with_toolchain(), tiny("guest"));
    let (mark, gate) = paths(&project);
    project.file("helper/build.rs", &waiting_script(&mark, &gate));
    for end in [End::CtrlC, End::Alone(Signal::TERM), End::Alone(Signal::HUP)] {
        let mut command = project.belljar(&["check"]);
        let mut build = Build::start(store.of(&mut command));
        build.makes(&mark);
        let said = build.end(end);
        assert!(!said.contains("error"), "{said}");
        std::fs::remove_file(&mark).unwrap();
        if !matches!(end, End::CtrlC) {
            assert_eq!(scratch(&store), 0, "{end:?}: nothing half-done is left");
        }
    }
    std::fs::write(&gate, "").unwrap();
    builds(&project, &store);
    assert_eq!(scratch(&store), 0, "and what was left is gone");
}

/// Two macro crates: `outer` uses a macro of `inner`, which never returns.
fn macro_in_a_macro() -> Project {
    let project = tiny("nested");
    project
        .file(
            "helper/Cargo.toml",
            "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n",
        )
        .file(
            "helper/src/lib.rs",
            "#[proc_macro]\npub fn text(input: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    if input.is_empty() \
             {\n        loop {}\n    }\n    input\n}\n",
        )
        .file(
            "mac/src/lib.rs",
            "#[proc_macro]\npub fn say(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
             format!(\"{:?}\", helper::text!()).parse().unwrap()\n}\n",
        );
    std::fs::remove_file(project.root().join("helper/build.rs")).unwrap();
    project
}

#[test]
fn killed_without_a_word_while_a_guests_own_macro_loops() {
    let (store, project) = (Store::with_toolchain(), macro_in_a_macro());
    let mut command = project.belljar(&["check"]);
    let mut build = Build::start(store.of(&mut command).env("BELLJAR_LIMIT_TIME", "86400"));
    build.says("Sealing mac");
    build.expands();
    build.end(End::Alone(Signal::KILL));
    let lib = project.read("mac/src/lib.rs").replace("text!()", "text!(\"sealed\")");
    project.file("mac/src/lib.rs", &lib);
    builds(&project, &store);
    assert_eq!(scratch(&store), 0, "what was left is gone");
}

#[test]
fn while_cargo_builds() {
    let (store, project) = (Store::small(), tiny("build"));
    let (mark, gate) = paths(&project);
    project.file("app/build.rs", &waiting_script(&mark, &gate));
    let mut command = project.belljar(&["check"]);
    let mut build = Build::start(store.of(&mut command));
    build.makes(&mark);
    build.end(End::CtrlC);
    std::fs::write(&gate, "").unwrap();
    builds(&project, &store);
}

#[test]
fn while_a_macro_loops() {
    let (store, project) = (Store::with_toolchain(), macro_in_a_macro());
    let app = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nhelper = { path = \
               \"../helper\" }\n";
    project.file("app/Cargo.toml", app);
    project.file("app/src/main.rs", "fn main() { println!(\"{}\", helper::text!()); }\n");
    for end in [End::CtrlC, End::Alone(Signal::TERM), End::Alone(Signal::HUP), End::Alone(Signal::KILL)] {
        let mut command = project.belljar(&["check", "-p", "app"]);
        let mut build = Build::start(store.of(&mut command).env("BELLJAR_LIMIT_TIME", "86400"));
        build.expands();
        build.end(end);
    }
    // The same where rustc is not belljar's child: rustdoc's shim starts an expander of its own.
    let mut command = project.belljar(&["doc", "-p", "app", "--bins"]);
    project.file("app/src/main.rs", "//! App\nhelper::text!();\nfn main() {}\n");
    let mut build = Build::start(store.of(&mut command).env("BELLJAR_LIMIT_TIME", "86400"));
    build.expands();
    build.end(End::CtrlC);
    project.file("app/src/main.rs", "fn main() { println!(\"{}\", helper::text!(\"sealed\")); }\n");
    let lib = project.read("mac/src/lib.rs").replace("text!()", "text!(\"sealed\")");
    project.file("mac/src/lib.rs", &lib);
    builds(&project, &store);
}

#[test]
fn a_program_that_is_run_decides_what_signals_do() {
    let (store, project) = (Store::small(), tiny("program"));
    let script = project.root().join("runner.sh");
    let text = "trap 'echo said USR1 >&2' USR1\ntrap 'echo said TERM >&2; exit 7' TERM\ntrap 'exit 8' INT\necho begun >&2\n\
                while :; do sleep 0.05; done\n";
    std::fs::write(&script, text).unwrap();
    let runner = format!("target.'cfg(all())'.runner = ['sh', '{}']", script.display());
    let begin = || {
        let mut command = project.belljar(&["run", "--config", &runner]);
        let mut build = Build::start(store.of(&mut command));
        build.says("begun");
        build
    };
    let mut build = begin();
    let pid = Pid::from_child(&build.child);
    kill_process(pid, Signal::USR1).unwrap();
    build.says("said USR1");
    kill_process(pid, Signal::TERM).unwrap();
    build.says("said TERM");
    assert_eq!(build.ended().code(), Some(7));

    let build = begin();
    kill_process_group(Pid::from_child(&build.child), Signal::INT).unwrap();
    assert_eq!(build.ended().code(), Some(8));

    // The kernel ends what is left when belljar is killed.
    let mut build = begin();
    kill_process(Pid::from_child(&build.child), Signal::KILL).unwrap();
    build.says("said TERM");
    assert_eq!(build.ended().signal(), Some(Signal::KILL.as_raw()));
}
