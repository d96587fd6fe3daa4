//! Entry points of all kinds, in every edition: what they export and what they say of themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use belljar_wire::abi::{ENTRY_SECTION, Entry, EntryKind};
use object::{Object, ObjectSection, ObjectSymbol};

fn rustc() -> Command {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg("--error-format=short");
    rustc
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("rustc starts");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The crate and a stand-in for the guest's `proc_macro`, compiled with rustc alone as belljar does.
fn compile_inside(dir: &Path) {
    let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    succeed(
        rustc()
            .args([
                "--edition=2024",
                "--crate-type=proc-macro",
                "--crate-name=belljar",
                "--extern=proc_macro",
            ])
            .arg(entry)
            .arg("--out-dir")
            .arg(dir),
    );
    succeed(
        rustc()
            .args(["--edition=2024", "--crate-type=rlib", "--crate-name=proc_macro"])
            .arg(fixture("proc_macro.rs"))
            .arg("--out-dir")
            .arg(dir),
    );
}

fn guest(dir: &Path, edition: &str, source: &Path) -> Command {
    let belljar = format!("{}belljar{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let mut command = rustc();
    command
        .arg(format!("--edition={edition}"))
        // Host linkers don't take names with spaces; wasm-ld does.
        .args(["--crate-type=lib", "--emit=obj", "-Ccodegen-units=1", "--crate-name=guest"])
        .arg(format!("--extern=proc_macro={}", dir.join("libproc_macro.rlib").display()))
        .arg(format!("--extern=belljar={}", dir.join(belljar).display()))
        .arg("--out-dir")
        .arg(dir)
        .arg(source);
    command
}

fn entry(kind: EntryKind, name: &str) -> Entry {
    Entry {
        kind,
        name: name.to_owned(),
        helpers: Vec::new(),
        hidden: false,
        docs: String::new(),
        deprecated: None,
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn every_kind_in_every_edition() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    compile_inside(dir);

    let mut expected = vec![
        Entry {
            docs: text(" First line,\n \"second\" \\ line."),
            deprecated: Some((text("1.0"), text("use é\t'that'"))),
            ..entry(EntryKind::Function, "try")
        },
        Entry {
            docs: text("raw \"docs\""),
            hidden: true,
            deprecated: Some((String::new(), text("short"))),
            ..entry(EntryKind::Function, "hidden")
        },
        Entry { deprecated: Some(Default::default()), ..entry(EntryKind::Attribute, "attribute") },
        entry(EntryKind::Derive, "Conditional"),
        Entry {
            docs: text(" Made."),
            helpers: vec![text("in"), text("helper"), text("Ünï")],
            ..entry(EntryKind::Derive, "Made")
        },
        entry(EntryKind::Derive, "Plain"),
        entry(EntryKind::Function, "function_in_a_body"),
    ];
    expected.sort_by_key(Entry::export);

    for edition in ["2015", "2018", "2021", "2024"] {
        succeed(&mut guest(dir, edition, &fixture("guest.rs")));
        let library = std::fs::read(dir.join("guest.o")).expect("an object file");
        let library = object::File::parse(&*library).expect("an object file");

        // A linker would join them.
        let sections = library.sections().filter(|section| section.name() == Ok(ENTRY_SECTION));
        let records: Vec<u8> = sections.flat_map(|s| s.data().expect("a section").to_vec()).collect();
        let mut entries = Entry::read_section(&records).expect("well-formed entries");
        entries.sort_by_key(Entry::export);
        assert_eq!(entries, expected, "edition {edition}");

        let exports = library.symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
        let exports: BTreeSet<String> =
            exports.filter_map(|symbol| symbol.name().map(str::to_owned).ok()).collect();
        for entry in &entries {
            assert!(
                exports.contains(&entry.export()),
                "edition {edition}: {} in {exports:?}",
                entry.export()
            );
        }
    }
}

/// What the compiler says of a guest that can't be right.
fn errors(source: &str) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory");
    compile_inside(dir.path());
    let file = dir.path().join("guest.rs");
    std::fs::write(&file, format!("#![allow(warnings)] extern crate proc_macro;\n{source}"))
        .expect("a source");
    let output = guest(dir.path(), "2021", &file).output().expect("rustc starts");
    assert!(!output.status.success(), "it compiles: {source}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    errors
        .lines()
        .map(|line| line.split_once("guest.rs:").map_or(line, |(_, rest)| rest))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn wrong_entry_points_are_errors_where_they_stand() {
    let errors = [
        "#[belljar::f] pub struct S;",
        "#[belljar::deriving] pub fn f(t: proc_macro::TokenStream) -> proc_macro::TokenStream { t }",
        "#[belljar::deriving(\"A\")] pub fn f(t: proc_macro::TokenStream) -> proc_macro::TokenStream { t }",
        "#[belljar::attribution] pub fn f(t: proc_macro::TokenStream) -> proc_macro::TokenStream { t }",
    ]
    .map(errors);
    assert!(
        errors[0]
            .contains("2:1: error: a procedural macro's attribute stands on something that is no function")
    );
    assert!(
        errors[1].contains("2:1: error: a derive macro needs a name: #[proc_macro_derive(Name)]"),
        "{}",
        errors[1]
    );
    assert!(
        errors[2].contains("2:1: error: a derive macro needs a name: #[proc_macro_derive(Name)]"),
        "{}",
        errors[2]
    );
    assert!(errors[3].contains("error[E0308]: mismatched types"), "{}", errors[3]);
}
