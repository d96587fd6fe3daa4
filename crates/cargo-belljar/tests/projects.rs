//! Whole projects, built, tested and changed, by the real cargo and rustc.

mod support;

use std::path::Path;

use support::{Project, files, run};

/// A workspace with a macro crate of its own, which depends on another crate of the workspace under another name.
fn workspace(name: &str) -> Project {
    let project = Project::new(name);
    project
        .file(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"mac\", \"words\"]\n[workspace.package]\nversion = \
             \"0.3.1\"\nedition = \"2021\"\n[workspace.dependencies]\nglossary = { path = \"words\", package = \"words\" }\n",
        )
        .file(
            "words/Cargo.toml",
            "[package]\nname = \"words\"\nversion.workspace = true\nedition.workspace = true\n[features]\nloud = []\n",
        )
        .file(
            "words/src/lib.rs",
            "pub fn greeting() -> &'static str { if cfg!(feature = \"loud\") { \"HELLO\" } else { \"hello\" } }\n",
        )
        .file(
            "mac/Cargo.toml",
            "[package]\nname = \"mac\"\nversion.workspace = true\nedition.workspace = true\n[lib]\nproc-macro = \
             true\n[dependencies]\nglossary = { workspace = true, features = [\"loud\"] }\n",
        )
        .file(
            "mac/src/lib.rs",
            "//! Macros.\nuse proc_macro::TokenStream;\n\n/// Says `hello`.\n#[proc_macro]\npub fn hello(_: TokenStream) \
             -> TokenStream {\n    format!(\"{:?}\", glossary::greeting()).parse().unwrap()\n}\n\n#[proc_macro_derive(Named, \
             attributes(named))]\npub fn named(input: TokenStream) -> TokenStream {\n    let name = \
             input.into_iter().nth(1).unwrap();\n    format!(\"impl {name} {{ pub fn name() -> &'static str {{ \
             stringify!({name}) }} }}\").parse().unwrap()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn own() { \
             assert_eq!(glossary::greeting(), \"HELLO\"); }\n}\n",
        )
        .file(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\nversion.workspace = true\nedition.workspace = true\n[dependencies]\nmac = { path = \
             \"../mac\" }\n",
        )
        .file(
            "app/src/main.rs",
            "#[derive(mac::Named)]\nstruct Thing;\n\nfn main() {\n    println!(\"{} {}\", mac::hello!(), \
             Thing::name());\n    std::process::exit(std::env::args().count() as i32 - 1);\n}\n\n#[test]\nfn greets() { \
             assert_eq!(mac::hello!(), \"HELLO\"); }\n",
        );
    project
}

#[test]
fn the_program_of_a_workspace_with_its_own_macro() {
    let project = workspace("a folder, größer");
    let done = run(&mut project.belljar(&["run", "--quiet"])).ok();
    assert_eq!(done.stdout, "HELLO Thing\n");
    assert_eq!(done.stderr, "", "quiet is quiet");
    // The exit code is the program's, and its arguments reach it.
    assert_eq!(run(&mut project.belljar(&["run", "--quiet", "--", "a", "b", "c"])).code, Some(3));
    // Plain cargo's directory was not touched.
    assert!(project.root().join("target/belljar").is_dir());
    assert!(!project.root().join("target/debug").exists());
}

#[test]
fn no_native_code_of_a_macro_is_made() {
    let project = workspace("ws");
    run(&mut project.belljar(&["build", "-p", "app"])).ok();
    let deps = project.root().join("target/belljar/debug/deps");
    let words = files(&deps, |name| name.starts_with("libwords-") && name.ends_with(".rlib"));
    assert!(!words.is_empty());
    for path in words {
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "{path:?} is only needed by a macro");
    }
    for path in files(&deps, |name| name.starts_with("libmac-") && name.ends_with(".so")) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!contains(&bytes, b"HELLO"), "{path:?} is a shim, without the macro's code");
    }
}

#[test]
fn what_was_left_empty_is_built_when_it_is_needed() {
    let project = workspace("ws");
    // The macro asks for the same features as everybody, and without debug information the profile of macros is that of
    // programs: so its dependency is the very unit that is needed later.
    let root = project.read("Cargo.toml");
    project.file("Cargo.toml", &format!("{root}[profile.dev]\ndebug = 0\n"));
    let plain = "glossary = { workspace = true }\n";
    let mac = project.read("mac/Cargo.toml");
    project.file(
        "mac/Cargo.toml",
        &mac.replace("glossary = { workspace = true, features = [\"loud\"] }\n", plain),
    );
    run(&mut project.belljar(&["build", "-p", "app"])).ok();
    project.file("words/src/main.rs", "fn main() { println!(\"{}\", words::greeting()); }\n");
    let done = run(&mut project.belljar(&["run", "-q", "-p", "words"])).ok();
    assert_eq!(done.stdout, "hello\n");
    // And back, in either order.
    run(&mut project.belljar(&["build", "-p", "app"])).ok();
    assert_eq!(run(&mut project.belljar(&["run", "-q", "-p", "words"])).ok().stdout, "hello\n");
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn without_time(line: &str) -> &str {
    line.split("; finished in").next().unwrap_or(line)
}

#[test]
fn tests_pass_and_fail_as_natively() {
    let project = workspace("ws");
    let results = |stdout: &str| -> Vec<String> {
        let mut lines: Vec<String> =
            stdout.lines().filter(|l| l.starts_with("test ")).map(|l| without_time(l).to_owned()).collect();
        lines.sort();
        lines
    };
    let sealed = run(&mut project.belljar(&["test", "--workspace"])).ok();
    let native = run(&mut project.cargo(&["test", "--workspace"])).ok();
    assert_eq!(results(&sealed.stdout), results(&native.stdout));
    assert!(sealed.stdout.contains("test greets ... ok") && sealed.stdout.contains("test tests::own ... ok"));
    project.file("app/tests/red.rs", "#[test]\nfn red() { assert_eq!(mac::hello!(), \"blue\"); }\n");
    let sealed = run(&mut project.belljar(&["test", "-p", "app"])).failed();
    assert!(sealed.stdout.contains("test red ... FAILED"), "{}", sealed.stdout);
}

#[test]
fn an_edit_of_a_macro_is_seen() {
    let project = workspace("ws");
    let says = || run(&mut project.belljar(&["run", "-q"])).ok().stdout;
    assert_eq!(says(), "HELLO Thing\n");
    let words = project.read("words/src/lib.rs");
    project.file("words/src/lib.rs", &words.replace("HELLO", "HEY"));
    assert_eq!(says(), "HEY Thing\n", "a crate that the macro depends on");
    let mac = project.read("mac/src/lib.rs");
    project.file(
        "mac/src/lib.rs",
        &mac.replace("format!(\"{:?}\", glossary::greeting())", "\"1 + 1\".to_owned()"),
    );
    assert_eq!(says(), "2 Thing\n", "the macro crate");
    // And nothing is built again when nothing has changed.
    let again = run(&mut project.belljar(&["build"])).ok();
    assert!(!again.stderr.contains("Compiling"), "{}", again.stderr);
}

#[test]
fn check_clippy_doc_and_release() {
    let project = workspace("ws");
    run(&mut project.belljar(&["check", "--workspace", "--all-targets"])).ok();
    run(&mut project.belljar(&["clippy", "--workspace", "--", "-D", "warnings"])).ok();
    run(&mut project.belljar(&["doc", "--workspace", "--no-deps"])).ok();
    let page = project.read("target/belljar/doc/mac/macro.hello.html");
    assert!(page.contains("Says"), "the macro's own documentation");
    let done = run(&mut project.belljar(&["run", "--release", "-q"])).ok();
    assert_eq!(done.stdout, "HELLO Thing\n");
}

#[test]
fn messages_for_machines_are_cargos() {
    let project = workspace("ws");
    project.file("app/src/main.rs", "fn main() { let x: u8 = mac::hello!(); }\n");
    let reasons = |text: &str| -> Vec<(String, String)> {
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line))
            .filter(|message| message["target"]["name"] == "app")
            .map(|m| (m["reason"].to_string(), m["message"]["rendered"].to_string()))
            .collect()
    };
    let args = ["check", "--message-format", "json"];
    let sealed = run(&mut project.belljar(&args)).failed();
    let native = run(&mut project.cargo(&args)).failed();
    assert!(!reasons(&sealed.stdout).is_empty());
    assert_eq!(reasons(&sealed.stdout), reasons(&native.stdout));
}

#[test]
fn another_target_and_target_dir() {
    let project = workspace("ws");
    let host = run(std::process::Command::new("rustc").arg("-vV")).ok().stdout;
    let host = host.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
    run(&mut project.belljar(&["build", "--target", host, "--target-dir", "elsewhere"])).ok();
    assert!(project.root().join("elsewhere").join(host).join("debug/app").is_file());
}

#[test]
fn cargos_own_errors_are_cargos() {
    let project = workspace("ws");
    for args in [&["build", "-p", "nobody"][..], &["build", "--no-such-flag"], &["no-such-subcommand"]] {
        let sealed = run(&mut project.belljar(args));
        let native = run(&mut project.cargo(args));
        assert_eq!(sealed.code, native.code, "{args:?}");
        // Other tests use cargo's caches at the same time.
        let without_waiting = |text: &str| -> Vec<String> {
            text.lines().filter(|l| !l.contains("Blocking waiting")).map(str::to_owned).collect()
        };
        assert_eq!(without_waiting(&sealed.stderr), without_waiting(&native.stderr), "{args:?}");
    }
}

#[test]
fn init_seals_plain_cargo_and_undo_unseals_it() {
    let project = workspace("ws");
    run(&mut project.belljar(&["init"])).ok();
    let done = run(&mut project.cargo(&["run"])).ok();
    assert_eq!(done.stdout, "HELLO Thing\n");
    let deps = project.root().join("target/debug/deps");
    let shims = || files(&deps, |name| name.starts_with("libmac-") && name.ends_with(".so"));
    let is_shim = |path: &Path| contains(&std::fs::read(path).unwrap(), b"BELLJAR_SOCKET");
    assert_eq!(shims().iter().filter(|p| is_shim(p)).count(), 1);
    run(&mut project.belljar(&["init", "--undo"])).ok();
    assert!(!project.root().join(".cargo").exists());
    run(&mut project.cargo(&["run"])).ok();
    assert_eq!(shims().iter().filter(|p| !is_shim(p)).count(), 1, "off means off");
}

#[test]
fn a_guest_wanted_without_a_plan_is_the_one_that_was_planned() {
    let project = workspace("ws");
    let words = project.read("words/src/lib.rs");
    project.file("words/src/lib.rs", &format!("// {:?}\n{words}", std::time::SystemTime::now()));
    let sealed = |stderr: &str| stderr.lines().filter(|line| line.contains("Sealed mac")).count();
    for args in [&["check"][..], &["check", "--release"]] {
        let planned = run(&mut project.belljar(args)).ok();
        assert_eq!(sealed(&planned.stderr), 1, "{args:?}: {}", planned.stderr);
    }
    run(&mut project.belljar(&["init"])).ok();
    for args in [&["check"][..], &["check", "--release"]] {
        let done = run(&mut project.cargo(args)).ok();
        assert_eq!(sealed(&done.stderr), 0, "{args:?}: {}", done.stderr);
    }
}

/// In a store that is not where it is by default: rustc, and so a shim, is told nothing of where it is.
#[test]
fn macros_that_a_macro_uses_are_sealed_too() {
    let project = workspace("ws");
    let library = project.read("mac/src/lib.rs");
    project
        .file("Cargo.toml", &project.read("Cargo.toml").replace("\"words\"]", "\"words\", \"inner\"]"))
        .file(
            "inner/Cargo.toml",
            "[package]\nname = \"inner\"\nversion.workspace = true\nedition.workspace = true\n[lib]\nproc-macro = true\n",
        )
        .file(
            "inner/src/lib.rs",
            "use proc_macro::TokenStream;\n#[proc_macro]\npub fn word(_: TokenStream) -> TokenStream {\n    \
             \"\\\"inner\\\"\".parse().unwrap()\n}\n",
        )
        .file(
            "mac/Cargo.toml",
            &format!("{}inner = {{ path = \"../inner\" }}\n", project.read("mac/Cargo.toml")),
        )
        .file("mac/src/lib.rs", &library.replace("glossary::greeting()).parse", "inner::word!()).parse"));
    let own = std::env::var_os("BELLJAR_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/belljar"),
        std::path::PathBuf::from,
    );
    let home = tempfile::tempdir().unwrap();
    let toolchains = home.path().join("v1/toolchains");
    std::fs::create_dir_all(&toolchains).unwrap();
    for entry in std::fs::read_dir(own.join("v1/toolchains")).into_iter().flatten().flatten() {
        std::os::unix::fs::symlink(entry.path(), toolchains.join(entry.file_name())).unwrap();
    }
    for dir in [home.path().join("v1"), toolchains] {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let done = run(project.belljar(&["run", "-q"]).env("BELLJAR_HOME", home.path())).ok();
    assert_eq!(done.stdout, "inner Thing\n");
}

#[test]
fn two_builds_at_once() {
    // A macro that no store has yet, wanted by two projects at the same time.
    let unique = format!("// {:?}\n", std::time::SystemTime::now());
    let projects = [workspace("first"), workspace("second")];
    let children: Vec<_> = projects
        .iter()
        .map(|project| {
            let words = project.read("words/src/lib.rs");
            project.file("words/src/lib.rs", &format!("{unique}{words}"));
            let mut command = project.belljar(&["run", "-q"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "HELLO Thing\n", "{output:?}");
    }
}

#[test]
fn help_and_completions() {
    let project = Project::new("empty");
    insta::assert_snapshot!(run(&mut project.belljar(&["--help"])).ok().stdout);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = run(&mut project.belljar(&["completions", shell])).ok();
        assert!(done.stdout.contains("doctor"), "{shell}");
    }
}

/// Cargo probes the compiler with a crate of the name `___`, and asks it things with `--print`. A macro crate can have that
/// name, and a project such flags.
#[test]
fn no_name_and_no_flag_makes_a_macro_native() {
    let project = Project::new("ws");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"m\"]\n")
        .file(
            "m/Cargo.toml",
            "[package]\nname = \"m\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nname = \"___\"\nproc-macro = true\n",
        )
        .file(
            "m/src/lib.rs",
            "#[proc_macro]\npub fn sealed(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
             cfg!(target_family = \"wasm\").to_string().parse().unwrap()\n}\n",
        )
        .file(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nm.path = \"../m\"\n",
        )
        .file("app/src/main.rs", "fn main() {\n    println!(\"{}\", ___::sealed!());\n}\n");
    let done = run(&mut project.belljar(&["run", "--quiet"])).ok();
    assert_eq!(done.stdout, "true\n");
    let done = run(project.belljar(&["run", "--quiet"]).env("RUSTFLAGS", "--print=target-list")).ok();
    assert_eq!(done.stdout.lines().last(), Some("true"));
}

#[test]
fn a_macro_crate_may_have_no_macro() {
    let project = workspace("ws");
    project.file("mac/src/lib.rs", "#[cfg(any())]\n#[proc_macro]\npub fn off() {}\n");
    project.file("app/src/main.rs", "use mac as _;\n\nfn main() {\n    println!(\"none\");\n}\n");
    assert_eq!(run(&mut project.belljar(&["run", "--quiet"])).ok().stdout, "none\n");
    // What is not there is not there, as natively.
    project.file("app/src/main.rs", "fn main() {\n    mac::off!();\n}\n");
    let done = run(&mut project.belljar(&["check"])).failed();
    assert!(
        done.stderr.contains("cannot find macro") || done.stderr.contains("could not find `off` in `mac`"),
        "{}",
        done.stderr
    );
}
