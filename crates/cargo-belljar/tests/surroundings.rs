//! Machines and environments that are not as they should be: each gives a build that works, or an error that says what to
//! do.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::thread::CapabilitySet;
use support::store::{Store, tiny};
use support::{Done, Project, files, run};

fn script(path: PathBuf, text: &str) -> PathBuf {
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn outside(project: &Project, name: &str) -> PathBuf {
    project.root().parent().unwrap().join(name)
}

fn forget_target(project: &Project) {
    let _ = fs::remove_dir_all(project.root().join("target"));
}

fn rustc() -> String {
    let done = run(Command::new("rustc").args(["--print", "sysroot"])).ok();
    format!("{}/bin/rustc", done.stdout.trim())
}

#[test]
fn without_a_toolchain_the_error_and_the_doctor_name_setup() {
    let project = tiny("no toolchain");
    let home = tempfile::tempdir().unwrap();
    let sysroot = tempfile::tempdir().unwrap();
    // A compiler with no std for guests, and no source to build one from.
    let text = format!(
        "if [ \"$*\" = '--print sysroot' ]; then echo '{}'; else exec '{}' \"$@\"; fi",
        sysroot.path().display(),
        rustc()
    );
    let rustc = script(outside(&project, "rustc"), &text);
    let with =
        |args: &[&str]| run(project.belljar(args).env("RUSTC", &rustc).env("BELLJAR_HOME", home.path()));
    let error = with(&["check"]).failed().stderr;
    assert!(error.contains("has no std for wasm32-wasip1"), "{error}");
    let (_, help) = error.split_once("  help: ").expect("a next step");
    assert!(help.contains("cargo belljar setup"), "{error}");
    let doctor = with(&["doctor"]);
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains(help.trim()), "{}\n{error}", doctor.stdout);
}

/// Runs with files that can't grow beyond so many blocks of 512 bytes, as they can't on a full disk. Without the trap, the
/// kernel would end the process instead of refusing the write.
fn on_a_full_disk(project: &Project, store: &Store, blocks: u32) -> Done {
    let belljar = project.belljar(&["check"]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    command.arg(belljar.get_program()).args(belljar.get_args()).current_dir(project.root());
    for (name, value) in belljar.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run(store.of(&mut command))
}

#[test]
fn a_disk_that_is_full_at_any_moment() {
    let (store, project) = (Store::with_toolchain(), tiny("full"));
    for blocks in [0, 4, 40, 400, 1600, 4000] {
        forget_target(&project);
        let done = on_a_full_disk(&project, &store, blocks);
        if done.code != Some(0) {
            let said = done.stderr;
            assert!(
                !said.contains("panicked at crates/") && !said.contains("compile for WASI"),
                "{blocks}: {said}"
            );
            // Where it is belljar that fails, and not the compiler of the project itself.
            let next = ["make room", "check the disk", "can be written", "File too large"];
            assert!(next.iter().any(|next| said.contains(next)), "{blocks}: {said}");
        }
    }
    let done = run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
    assert_eq!(done.stdout, "sealed\n", "with room again, no cleaning is needed");
}

/// As somebody whom file modes stop, which root is not.
fn without_privileges(command: &mut Command) -> &mut Command {
    let is_root = rustix::process::geteuid().is_root();
    let drop = move || {
        let powers = [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH];
        for power in powers.into_iter().filter(|_| is_root) {
            rustix::thread::remove_capability_from_bounding_set(power)?;
        }
        Ok(())
    };
    // SAFETY: `prctl` may be called between fork and exec.
    unsafe { command.pre_exec(drop) }
}

fn set_modes(dir: &Path, writable: bool) {
    let (for_dirs, for_files) = if writable { (0o700, 0o600) } else { (0o500, 0o400) };
    fs::set_permissions(dir, PermissionsExt::from_mode(for_dirs)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            set_modes(&entry.path(), writable);
        } else if kind.is_file() && entry.path().components().all(|part| part.as_os_str() != "toolchains") {
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(for_files)).unwrap();
        }
    }
}

#[test]
fn a_read_only_store_is_enough_when_everything_is_in_it() {
    let (store, project) = (Store::small(), tiny("read-only"));
    run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
    forget_target(&project);
    set_modes(store.home(), false);
    let read_only = |args: &[&str]| run(without_privileges(store.of(&mut project.belljar(args))));
    let first = read_only(&["run", "-q"]);
    project.file("helper/src/lib.rs", "pub const TEXT: &str = \"new\";\n");
    let second = read_only(&["run", "-q"]);
    set_modes(store.home(), true);
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("sealed\n", ""));
    let said = second.failed().stderr;
    assert!(said.contains("could not be read or written") || said.contains("BELLJAR_HOME"), "{said}");
    assert!(said.contains("next: ") || said.contains("help: "), "{said}");
}

#[test]
fn a_home_that_can_not_be_made() {
    let project = tiny("home");
    let file = outside(&project, "file");
    fs::write(&file, "").unwrap();
    for home in [file.join("below"), file, "relative".into(), "/proc/none".into()] {
        let said = run(project.belljar(&["check"]).env("BELLJAR_HOME", &home)).failed().stderr;
        assert!(said.contains("error: ") && said.contains("set BELLJAR_HOME to"), "{home:?}: {said}");
    }
}

#[test]
fn a_command_line_that_is_too_long_comes_in_a_file() {
    let (store, project) = (Store::with_toolchain(), tiny("long"));
    // The list of features is one argument, and none may have more than 128 KiB: cargo then writes them into a file.
    let features: String =
        (0..2500).map(|n| format!("{}{n} = []\n", "a-feature-with-a-long-name-".repeat(2))).collect();
    for package in ["app", "mac", "helper"] {
        let manifest = project.read(&format!("{package}/Cargo.toml"));
        project.file(&format!("{package}/Cargo.toml"), &format!("{manifest}[features]\n{features}"));
    }
    run(store.of(&mut project.belljar(&["build", "-q", "-p", "app"]))).ok();
    let deps = project.root().join("target/belljar/debug/deps");
    let empty = files(&deps, |name| name.starts_with("libhelper-") && name.ends_with(".rlib"));
    assert!(
        !empty.is_empty() && empty.iter().all(|file| fs::metadata(file).unwrap().len() == 0),
        "the plan is followed"
    );
    let done = run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("sealed\n", ""));
    // Without a plan, too.
    forget_target(&project);
    let done = run(
        store.of(project.cargo(&["run", "-q"]).env("RUSTC_WRAPPER", env!("CARGO_BIN_EXE_cargo-belljar")))
    )
    .ok();
    assert_eq!(done.stdout, "sealed\n");
}

#[test]
fn another_wrapper_is_named_and_the_workspaces_is_used() {
    let (store, project) = (Store::small(), tiny("wrapper"));
    let log = outside(&project, "log");
    let logs = |name: &str| {
        let text = format!("echo \"{name} $*\" >> '{}'\nexec \"$@\"", log.display());
        script(outside(&project, name), &text)
    };
    let (cache, lint) = (logs("compiler-cache"), logs("lint"));
    let check = |set: &dyn Fn(&mut Command)| {
        forget_target(&project);
        let mut command = project.belljar(&["check"]);
        set(store.of(&mut command));
        run(&mut command).ok().stderr
    };
    let said = check(&|c| {
        c.env("RUSTC_WRAPPER", &cache).env("RUSTC_WORKSPACE_WRAPPER", &lint);
    });
    assert!(
        said.contains(&format!(
            "warning: RUSTC_WRAPPER sets the compiler's wrapper to `{}`",
            cache.display()
        )),
        "{said}"
    );
    let log = fs::read_to_string(&log).unwrap();
    assert!(!log.contains("compiler-cache ") && log.contains("--crate-name app"), "{log}");

    project.file(".cargo/config.toml", &format!("[build]\nrustc-wrapper = {cache:?}\n"));
    let said = check(&|_| {});
    assert!(said.contains(".cargo/config.toml sets the compiler's wrapper"), "{said}");
    let said = check(&|c| {
        c.env("RUSTC_WRAPPER", "");
    });
    assert!(!said.contains("warning"), "{said}");
    let said = check(&|c| {
        c.env("RUSTC_WRAPPER", env!("CARGO_BIN_EXE_cargo-belljar"));
    });
    assert!(!said.contains("warning"), "belljar in belljar: {said}");
}

#[test]
fn belljars_variables_set_by_somebody_else() {
    let (store, project) = (Store::small(), tiny("variables"));
    let pipe = outside(&project, "pipe");
    run(Command::new("mkfifo").arg(&pipe)).ok();
    // A session as belljar writes them, and what can have become of one.
    run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
    let sessions = files(&project.root().join("target/belljar/sessions"), |name| name.ends_with(".json"));
    let session = sessions[0].clone();
    let text = fs::read(&session).unwrap();
    let damaged = |name: &str, bytes: &[u8], owner: u32| {
        let dir = outside(&project, name);
        fs::create_dir(&dir).unwrap();
        let path = dir.join(session.file_name().unwrap());
        fs::write(&path, bytes).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        } else if owner != 0 {
            fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        }
        path
    };
    let flipped = String::from_utf8(text.clone()).unwrap().replacen("mac", "nac", 1);
    let files = [
        "".into(),
        "nonsense".into(),
        "/no/such/file".into(),
        "/".into(),
        pipe,
        damaged("half", &text[..text.len() / 2], 0),
        damaged("flipped", flipped.as_bytes(), 0),
        damaged("another user's", &text, 65534),
    ];
    let sockets = ["", "nonsense", "1", "99:1", "-1", "4294967296", "3:18446744073709551616"];
    for (number, file) in files.iter().enumerate() {
        let socket = sockets[number % sockets.len()];
        let set = |command: &mut Command| {
            forget_target(&project);
            let variables = [
                ("BELLJAR_SESSION", file.as_path()),
                ("BELLJAR_NESTED", file),
                ("BELLJAR_SOCKET", Path::new(socket)),
            ];
            let done = run(store.of(command).envs(variables));
            assert_eq!(done.stdout, "sealed\n", "{file:?}, {socket}: {}", done.stderr);
        };
        set(&mut project.belljar(&["run", "-q"]));
        // Plain cargo with the wrapper, which has these variables from where it was started.
        set(project.cargo(&["run", "-q"]).env("RUSTC_WRAPPER", env!("CARGO_BIN_EXE_cargo-belljar")));
    }
}

#[test]
fn a_limit_that_is_no_number() {
    let (store, project) = (Store::small(), tiny("limits"));
    for (name, value) in
        [("TIME", "abc"), ("MEMORY", "0"), ("STACK", "-1"), ("OUTPUT", ""), ("PRINT", "99999999999")]
    {
        let variable = format!("BELLJAR_LIMIT_{name}");
        let done = run(store.of(&mut project.belljar(&["check"])).env(&variable, value)).failed();
        let said = done.stderr;
        assert!(
            said.contains("`say!` of mac 0.1.0") && said.contains(&variable) && said.contains("help: "),
            "{said}"
        );
    }
}

#[test]
fn a_build_that_waits_for_another_says_so() {
    let (store, project) = (Store::with_toolchain(), tiny("waiting"));
    let (mark, gate) = (outside(&project, "mark"), outside(&project, "gate"));
    // Both guests and programs: the script is left out of the project's own build, so each phase has one.
    for package in ["helper", "app"] {
        project.file(
            &format!("{package}/build.rs"),
            &format!(
                "fn main() {{\n    println!(\"cargo::rustc-env=TEXT=sealed\");\n    std::fs::write(\"{0}-{package}\", \
                 \"\").unwrap();\n    while !std::path::Path::new(\"{1}-{package}\").exists() {{\n        \
                 std::thread::sleep(std::time::Duration::from_millis(10));\n    }}\n}}\n",
                mark.display(),
                gate.display()
            ),
        );
    }
    let of = |path: &Path, package: &str| PathBuf::from(format!("{}-{package}", path.display()));
    // What both say, line by line: once the macro is sealed, either of them may be the one that cargo makes wait.
    let (lines, said) = std::sync::mpsc::channel();
    let start = || {
        let mut command = project.belljar(&["check"]);
        store.of(&mut command).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = lines.clone();
        std::thread::spawn(move || stderr.lines().map(Result::unwrap).try_for_each(|line| lines.send(line)));
        child
    };
    let mut first = start();
    while !of(&mark, "helper").exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut second = start();
    drop(lines);
    let wait_for = |words: &str| {
        let line = said.iter().find(|line| line.contains(words)).expect(words);
        assert!(line.starts_with("    Blocking waiting for "), "as cargo says it: {line}");
    };
    wait_for("another belljar that seals mac 0.1.0");
    fs::write(of(&gate, "helper"), "").unwrap();
    wait_for("file lock on");
    fs::write(of(&gate, "app"), "").unwrap();
    assert!(said.iter().all(|line| !line.contains("error")));
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
}
