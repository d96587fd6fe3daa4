//! Ctrl-C and other ends, in every phase of a build: no process is left, and the next build needs no cleaning.
//!
//! Each phase is held by something in the build that waits for ever and says that it does, so that the signal always comes
//! in the middle of it.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use support::store::{Store, tiny};
use support::{Project, run};

/// How a build ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// What the terminal does at Ctrl-C: every process of the group gets it.
    CtrlC,
    /// For belljar (or the cargo that it has become) alone.
    Alone(Signal),
}

/// A build in a process group of its own.
struct Build {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Build {
    fn start(command: &mut Command) -> Self {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Waits until the build says so.
    fn says(&mut self, words: &str) {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.stderr.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
    }

    /// Waits until something in the build has made that file.
    fn makes(&mut self, file: &Path) {
        until("the phase is reached", || {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            file.exists()
        });
    }

    /// Waits until a macro is running: it never waits for anything, and its thread is the only one of that name that
    /// computes.
    fn expands(&mut self) {
        let group = Pid::from_child(&self.child).as_raw_nonzero().get();
        let running = |thread: &Path| {
            let text = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
            text.contains("(belljar guests) R")
        };
        let threads =
            |pid: i32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        until("a macro runs", || {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            group_of(group).into_iter().any(|pid| threads(pid).any(|thread| running(&thread.path())))
        });
    }

    /// Ends the build. Returns what it said, when all of its processes are gone.
    fn end(mut self, end: End) -> String {
        let pid = Pid::from_child(&self.child);
        let signal = match end {
            End::CtrlC => {
                kill_process_group(pid, Signal::INT).unwrap();
                Signal::INT
            }
            End::Alone(signal) => {
                kill_process(pid, signal).unwrap();
                signal
            }
        };
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{end:?}: as cargo ends by a signal: {status}");
        let group = pid.as_raw_nonzero().get();
        until("every process has ended", || group_of(group).is_empty());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut said).unwrap();
        said
    }

    /// Waits for the end of the build, and of all its processes.
    fn ended(mut self) -> std::process::ExitStatus {
        let group = Pid::from_child(&self.child).as_raw_nonzero().get();
        let status = self.child.wait().unwrap();
        until("every process has ended", || group_of(group).is_empty());
        status
    }
}

/// The processes of a group that have not ended. Source: proc_pid_stat(5).
fn group_of(group: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((before, rest)) = text.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if !matches!(fields[0], "Z" | "X") && fields[2] == group.to_string() {
            found.extend(before.split(' ').next().and_then(|pid| pid.parse::<i32>().ok()));
        }
    }
    found
}

#[track_caller]
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if reached() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not in five minutes: {what}");
}

/// A build script that makes `mark` and waits for ever, unless `gate` is there.
fn waiting_script(mark: &Path, gate: &Path) -> String {
    format!(
        "fn main() {{\n    println!(\"cargo::rustc-env=TEXT=sealed\");\n    if !std::path::Path::new({gate:?}).exists() {{\n        \
         std::fs::write({mark:?}, \"\").unwrap();\n        loop {{\n            std::thread::sleep(std::time::Duration::from_secs(1));\n        }}\n    }}\n}}\n"
    )
}

fn paths(project: &Project) -> (PathBuf, PathBuf) {
    let outside = project.root().parent().unwrap();
    (outside.join("mark"), outside.join("gate"))
}

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
