//! cargo's subcommands and arguments behind `cargo belljar`: what each does natively it does sealed.

mod support;

use std::path::{Path, PathBuf};

use support::{Done, Project, files, is_shim, run};

/// A workspace with a program, a library with documentation tests, a benchmark, and a macro crate with a feature.
fn workspace() -> Project {
    let project = Project::new("ws");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"mac\", \"words\"]\n")
        .file(
            "words/Cargo.toml",
            "[package]\nname = \"words\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[features]\nloud = []\n",
        )
        .file(
            "words/src/lib.rs",
            "pub fn greeting() -> &'static str { if cfg!(feature = \"loud\") { \"HELLO\" } else { \"hello\" } }\n",
        )
        .file(
            "mac/Cargo.toml",
            "[package]\nname = \"mac\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = \
             true\n[features]\nshout = [\"words/loud\"]\n[dependencies]\nwords = { path = \"../words\" }\n",
        )
        .file(
            "mac/src/lib.rs",
            "//! Macros.\nuse proc_macro::TokenStream;\n\n/// Says it.\n///\n/// ```\n/// \
             assert_eq!(mac::hello!().to_lowercase(), \"hello\");\n/// ```\n#[proc_macro]\npub fn hello(_: TokenStream) -> \
             TokenStream {\n    format!(\"{:?}\", words::greeting()).parse().unwrap()\n}\n",
        )
        .file(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[features]\nshout = \
             [\"mac/shout\"]\n[dependencies]\nmac = { path = \"../mac\" }\n[[bench]]\nname = \"speed\"\nharness = false\n",
        )
        .file(
            "app/src/lib.rs",
            "//! A library.\n//!\n//! ```\n//! assert_eq!(app::hello(), mac::hello!());\n//! ```\n\n/// Greets.\n///\n/// \
             ```compile_fail\n/// let number: u8 = mac::hello!();\n/// ```\npub fn hello() -> &'static str {\n    \
             mac::hello!()\n}\n",
        )
        .file(
            "app/src/main.rs",
            "fn main() {\n    println!(\"{} {:?}\", app::hello(), \
             std::env::args().skip(1).collect::<Vec<_>>());\n}\n",
        )
        .file("app/benches/speed.rs", "fn main() {\n    println!(\"measured {}\", mac::hello!());\n}\n")
        .file(
            "app/tests/greets.rs",
            "#[test]\nfn greets() {\n    assert_eq!(mac::hello!().to_lowercase(), \"hello\");\n}\n",
        );
    project
}

fn host() -> String {
    let version = run(std::process::Command::new("rustc").arg("-vV")).ok().stdout;
    version.lines().find_map(|l| l.strip_prefix("host: ")).unwrap().to_owned()
}

/// Every macro that was compiled below this directory.
fn macros(target: &Path) -> Vec<PathBuf> {
    files(target, |name| name.starts_with("libmac-") && name.ends_with(".so"))
}

#[track_caller]
fn all_sealed(target: &Path) {
    let macros = macros(target);
    assert!(!macros.is_empty(), "no macro was compiled in {target:?}");
    for path in macros {
        assert!(is_shim(&path), "{path:?} is no shim");
    }
}

/// What a native build says, run with the same arguments in a directory of its own.
fn native(project: &Project, args: &[&str]) -> Done {
    run(project.cargo(args).env("CARGO_TARGET_DIR", project.root().join("native")))
}

#[test]
fn arguments_that_choose_what_is_built() {
    let project = workspace();
    let host = host();
    for (args, directory, printed) in [
        (&["run", "-q"][..], "debug", "hello []\n"),
        (&["run", "--quiet", "--features", "app/shout"], "debug", "HELLO []\n"),
        (
            &["run", "-q", "--all-features", "--", "--release", "-p"],
            "debug",
            "HELLO [\"--release\", \"-p\"]\n",
        ),
        (&["run", "-q", "--release", "-p", "app", "x"], "release", "hello [\"x\"]\n"),
        (&["run", "-q", "--profile", "release", "--bin", "app"], "release", "hello []\n"),
        (&["run", "-q", "--target", &host], &format!("{host}/debug"), "hello []\n"),
        (&["run", "-q", "--locked"], "debug", "hello []\n"),
        (&["run", "-q", "--offline", "--config", "profile.dev.debug=0"], "debug", "hello []\n"),
        (&["run", "-q", "--frozen", "--keep-going", "-j1"], "debug", "hello []\n"),
        (&["run", "-q", "--manifest-path", "app/Cargo.toml"], "debug", "hello []\n"),
    ] {
        let done = run(&mut project.belljar(args)).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (printed, ""), "{args:?}");
        assert!(project.root().join("target/belljar").join(directory).join("app").is_file(), "{args:?}");
    }
    all_sealed(&project.root().join("target"));
}

#[test]
fn directories() {
    let project = workspace();
    let prints = |command: &mut std::process::Command| {
        let done = run(command).ok();
        assert_eq!(done.stdout, "hello []\n", "{}", done.stderr);
    };
    let at = |path: &str| project.root().join(path);
    prints(project.belljar(&["run", "-q"]).current_dir(at("app/src")));
    all_sealed(&at("target/belljar/debug"));
    prints(project.belljar(&["run", "-q"]).env("CARGO_TARGET_DIR", at("by variable")));
    all_sealed(&at("by variable/belljar/debug"));
    prints(project.belljar(&["run", "-q", "--target-dir", "as given"]).current_dir(at("app")));
    all_sealed(&at("app/as given/debug"));
    let configured = format!("[build]\ntarget = {:?}\ntarget-dir = \"configured\"\n", host());
    project.file(".cargo/config.toml", &configured);
    prints(&mut project.belljar(&["run", "-q"]));
    assert!(at("configured/belljar").join(host()).join("debug/app").is_file());
    all_sealed(&at("configured"));
}

#[test]
fn bench_and_rustc() {
    let project = workspace();
    let done = run(&mut project.belljar(&["bench", "-q", "-p", "app", "--bench", "speed"])).ok();
    assert_eq!(done.stdout, "measured hello\n");
    let args = ["rustc", "-p", "app", "--bin", "app", "--", "--cfg", "special", "--print", "crate-name"];
    let done = run(&mut project.belljar(&args)).ok();
    assert_eq!(done.stdout, native(&project, &args).ok().stdout);
    // An unstable flag of cargo's is refused by cargo.
    let args = ["check", "-Z", "unstable-options"];
    let (sealed, native) = (run(&mut project.belljar(&args)), native(&project, &args));
    assert_eq!(sealed.code, native.code);
    assert_eq!(sealed.stderr, native.stderr);
    all_sealed(&project.root().join("target"));
}

/// `cargo fix` compiles what it mends itself, without the wrapper: also a macro crate that is to be mended.
#[test]
fn fix_mends_macro_crates_without_loading_them() {
    let project = workspace();
    let mac = project.read("mac/src/lib.rs").replace("    format!", "    let mut unused = 1;\n    format!");
    project.file("mac/src/lib.rs", &mac.replace("parse()", "parse::<TokenStream>()"));
    let lib = project.read("app/src/lib.rs");
    project
        .file("app/src/lib.rs", &lib.replace("    mac::hello!()", "    let mut x = mac::hello!();\n    x"));
    let args = ["fix", "--workspace", "--all-targets", "--allow-no-vcs"];
    let done = run(&mut project.belljar(&args)).ok();
    assert!(done.stderr.contains("Fixed app/src/lib.rs (1 fix)"), "{}", done.stderr);
    assert!(project.read("app/src/lib.rs").contains("let x = mac::hello!()"));
    assert!(!project.read("mac/src/lib.rs").contains("let mut"));
    all_sealed(&project.root().join("target"));
    // And so does plain cargo in a workspace that belljar is written into.
    run(&mut project.belljar(&["init", "-q"])).ok();
    run(project.cargo(&args).env("CARGO_TARGET_DIR", project.root().join("plain"))).ok();
    all_sealed(&project.root().join("plain"));
}

/// Clippy's own mending calls no wrapper at all.
#[test]
fn clippy_mends_what_is_no_macro_crate() {
    let project = workspace();
    let lib = project.read("app/src/lib.rs");
    project.file("app/src/lib.rs", &lib.replace("    mac::hello!()", "    return mac::hello!();"));
    let done = run(&mut project.belljar(&["clippy", "--fix", "--allow-no-vcs", "--workspace"])).failed();
    // Whether it is sealed before depends on what the store has.
    let error = done.stderr.find("error:").map(|at| &done.stderr[at..]);
    insta::assert_snapshot!(error.unwrap_or(&done.stderr), @"
    error: mac: `cargo clippy --fix` would compile and load this macro crate without belljar
    next: mend the other packages with `-p`, or use `cargo belljar clippy` and mend mac by hand
    ");
    run(&mut project.belljar(&["clippy", "--fix", "--allow-no-vcs", "-p", "app"])).ok();
    assert_eq!(project.read("app/src/lib.rs"), lib);
    all_sealed(&project.root().join("target"));
}

#[test]
fn nextest_lists_and_runs() {
    let project = workspace();
    let list =
        run(&mut project.belljar(&["nextest", "list", "--workspace", "--message-format", "oneline"])).ok();
    assert_eq!(list.stdout, "app::greets greets\n");
    let done = run(&mut project.belljar(&["nextest", "run", "-p", "app", "--cargo-profile", "dev"])).ok();
    assert!(done.stderr.contains("1 test run: 1 passed"), "{}", done.stderr);
    project
        .file("app/tests/greets.rs", "#[test]\nfn greets() {\n    assert_eq!(mac::hello!(), \"red\");\n}\n");
    // nextest's own code for tests that fail.
    assert_eq!(run(&mut project.belljar(&["nextest", "run"])).code, Some(100));
    all_sealed(&project.root().join("target"));
}

#[test]
fn codes_and_streams_are_cargos() {
    let project = workspace();
    let lines = |text: &str| -> Vec<String> {
        let unstable = ["Compiling", "Finished", "Running", "Checking", "Blocking"];
        let stable = text.lines().filter(|l| !unstable.iter().any(|word| l.trim_start().starts_with(word)));
        stable.map(|l| l.split("; finished in").next().unwrap_or(l).replace(&project_hash(l), "")).collect()
    };
    project.file("app/tests/red.rs", "#[test]\nfn red() {\n    assert_eq!(mac::hello!(), \"red\");\n}\n");
    project.file("app/examples/broken.rs", "fn main() {\n    let x: u8 = mac::hello!();\n}\n");
    for args in [
        &["test", "-p", "app", "--test", "red"][..],
        &["test", "-p", "app", "--test", "greets"],
        &["build", "--examples"],
        &["check", "--bin", "nothing"],
        &["run", "--bin"],
        &["build", "--manifest-path", "nowhere/Cargo.toml"],
        &["metadata", "--no-deps", "--format-version", "7"],
        &["tree"],
    ] {
        run(&mut project.belljar(args));
        native(&project, args);
        let (sealed, native) = (run(&mut project.belljar(args)), native(&project, args));
        assert_eq!(sealed.code, native.code, "{args:?}\n{}", sealed.stderr);
        assert_eq!(lines(&sealed.stderr), lines(&native.stderr), "{args:?}");
        if args[0] != "test" {
            assert_eq!(lines(&sealed.stdout), lines(&native.stdout), "{args:?}");
        }
    }
}

/// The number of a test's thread.
fn project_hash(line: &str) -> String {
    let start = line.find("thread '").and_then(|i| line[i..].find('(').map(|j| i + j));
    start.and_then(|i| Some(line[i..=i + line[i..].find(')')?].to_owned())).unwrap_or_else(|| "\0".to_owned())
}

#[test]
fn colours_are_there_when_they_are_wanted() {
    let project = workspace();
    let escape = "\u{1b}[";
    // A macro that is new to the store, so that belljar itself speaks.
    let touch = || {
        let words = project.read("words/src/lib.rs");
        project.file("words/src/lib.rs", &format!("{words}// {:?}\n", std::time::SystemTime::now()));
    };
    let said = |variables: &[(&str, &str)], args: &[&str]| {
        touch();
        let mut command = project.belljar(&[&["check"], args].concat());
        command.env_remove("CARGO_TERM_COLOR").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let done = run(command.envs(variables.iter().copied())).ok();
        assert!(args.contains(&"-q") || done.stderr.contains("Seal"), "{}", done.stderr);
        done.stderr
    };
    assert!(!said(&[], &[]).contains(escape), "not to a file");
    assert!(!said(&[("NO_COLOR", "1")], &[]).contains(escape));
    assert!(!said(&[], &["--color", "never"]).contains(escape));
    assert!(!said(&[("CARGO_TERM_COLOR", "never")], &[]).contains(escape));
    for said in [said(&[("CARGO_TERM_COLOR", "always")], &[]), said(&[], &["--color=always"])] {
        let sealed = said.lines().find(|l| l.contains("Sealed")).unwrap();
        assert!(sealed.contains(escape), "{sealed:?}");
    }
    assert_eq!(said(&[], &["-q"]), "");
}
