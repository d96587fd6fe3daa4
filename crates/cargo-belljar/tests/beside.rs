//! Guests are built while cargo compiles what needs no macros yet: it goes on, it waits, and neither outlives the other's failure.
//!
//! A build script on each side waits for a file that the other side makes, so that the tests depend on no time.

mod support;

use std::path::Path;

use support::held::{Build, paths, waiting_script};
use support::store::{Store, tiny};
use support::{Project, run};

/// The tiny project, whose program also needs `other`, a crate with this build script. That of the macro's guest, where it is
/// built for WebAssembly, is the other one.
fn with_other(name: &str, other: &str, guests: &str) -> Project {
    let project = tiny(name);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    project
        .file(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"mac\", \"helper\", \"other\"]\n",
        )
        .file(
            "app/Cargo.toml",
            &package("app", "[dependencies]\nmac = { path = \"../mac\" }\nother = { path = \"../other\" }\n"),
        )
        .file("other/Cargo.toml", &package("other", ""))
        .file("other/build.rs", other)
        .file("other/src/lib.rs", "")
        .file("helper/build.rs", guests);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// A build script that makes `mark`.
fn making(mark: &Path) -> String {
    format!("fn main() {{\n    std::fs::write({mark:?}, \"\").unwrap();\n}}\n")
}

/// A build script that, for a guest, waits until `gate` is there.
fn waiting_for(gate: &Path) -> String {
    format!(
        "fn main() {{\n    println!(\"cargo::rustc-env=TEXT=sealed\");\n    if std::env::var(\"TARGET\").unwrap() != \"wasm32-wasip1\" \
         {{\n        return;\n    }}\n    for _ in 0..30_000 {{\n        if std::path::Path::new({gate:?}).exists() {{\n            return;\n        }}\n        \
         std::thread::sleep(std::time::Duration::from_millis(10));\n    }}\n    panic!(\"not in five minutes\");\n}}\n"
    )
}

#[test]
fn what_needs_no_macro_is_compiled_meanwhile() {
    // With one job at a time, a macro's unit that waits must leave it to others.
    for jobs in ["1", "4"] {
        let store = Store::with_toolchain();
        let project = with_other("beside", "", "");
        let (_, gate) = paths(&project);
        project.file("other/build.rs", &making(&gate)).file("helper/build.rs", &waiting_for(&gate));
        let done = run(store.of(&mut project.belljar(&["build", "--jobs", jobs]))).ok();
        let at = |what: &str| done.stderr.find(what).unwrap_or_else(|| panic!("{what}: {}", done.stderr));
        assert!(at("Sealing mac") < at("Compiling other"), "{}", done.stderr);
        assert!(at("Compiling other") < at("Sealed mac"), "{}", done.stderr);
        assert!(at("Sealed mac") < at("Finished"), "{}", done.stderr);
        assert_eq!(run(store.of(&mut project.belljar(&["run", "-q"]))).ok().stdout, "sealed\n");
    }
}

#[test]
fn when_a_guest_fails_cargo_is_ended() {
    let store = Store::with_toolchain();
    let project = with_other("guest", "", "");
    let (mark, gate) = paths(&project);
    project
        .file("other/build.rs", &waiting_script(&mark, &gate))
        // It fails when cargo is in the middle of something.
        .file(
            "helper/build.rs",
            &waiting_for(&mark).replace("            return;", "            panic!(\"no more\");"),
        );
    let mut command = project.belljar(&["build"]);
    let mut build = Build::start(store.of(&mut command));
    let said = build.rest();
    assert_eq!(build.ended().code(), Some(101), "{said}");
    assert!(said.contains("no more") && said.contains("mac 0.1.0"), "{said}");
    assert!(!said.contains("was not made"), "one error is enough: {said}");
}

#[test]
fn when_cargo_fails_guests_are_not_finished() {
    let store = Store::with_toolchain();
    let project = with_other("cargo", "", "");
    let (mark, gate) = paths(&project);
    let failing = format!(
        "fn main() {{\n    while !std::path::Path::new({mark:?}).exists() {{\n        \
         std::thread::sleep(std::time::Duration::from_millis(10));\n    }}\n    panic!(\"no way\");\n}}\n"
    );
    project.file("other/build.rs", &failing).file(
        "helper/build.rs",
        &waiting_script(&mark, &gate)
            .replace("if !std", "if std::env::var(\"TARGET\").unwrap() == \"wasm32-wasip1\" && !std"),
    );
    let mut command = project.belljar(&["build"]);
    let mut build = Build::start(store.of(&mut command));
    let said = build.rest();
    assert_eq!(build.ended().code(), Some(101), "{said}");
    assert!(said.contains("no way"), "{said}");
    assert!(!said.contains("mac 0.1.0: "), "nothing is wrong with the macro: {said}");
    std::fs::write(&gate, "").unwrap();
    project.file("other/build.rs", "fn main() {}\n");
    let done = run(store.of(&mut project.belljar(&["run", "-q"]))).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("sealed\n", ""), "no manual cleaning");
}

/// The shim is there from the last time, so that nothing but the call itself waits for the module.
#[test]
fn a_call_waits_for_a_module_that_is_being_made() {
    let store = Store::with_toolchain();
    let project = tiny("again");
    let build = || run(store.of(&mut project.belljar(&["run", "-q"]))).ok().stdout;
    assert_eq!(build(), "sealed\n");
    for area in ["guests", "modules", "native", "target", "expansions"] {
        std::fs::remove_dir_all(store.root().join(area)).unwrap();
    }
    project.file("app/src/main.rs", "fn main() {\n    println!(\"{}!\", mac::say!());\n}\n");
    assert_eq!(build(), "sealed!\n");
}
