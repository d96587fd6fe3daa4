//! What happens when a module is made for the first time: in a store with nothing but the toolchain.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::{Project, files, run};

/// A store that has only the toolchain of the one that the tests run with.
fn new_store(project: &Project) -> PathBuf {
    let store = project.root().join("store");
    let made = std::env::var_os("BELLJAR_HOME").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
            cache.unwrap_or_else(home).join("belljar")
        },
        PathBuf::from,
    );
    std::fs::create_dir_all(store.join("v1")).unwrap();
    support::copy(&made.join("v1/toolchains"), &store.join("v1/toolchains"));
    store
}

fn with_macro(source: &str, dependencies: &str) -> Project {
    let project = Project::new("project");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"m\"]\n")
        .file(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nm.path = \"../m\"\n",
        )
        .file("app/src/lib.rs", "pub const N: u8 = m::fields!(struct S { a: u8, b: u8 });\n")
        .file(
            "m/Cargo.toml",
            &format!(
                "[package]\nname = \"m\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n{dependencies}"
            ),
        )
        .file("m/src/lib.rs", source);
    project
}

fn modules(store: &Path) -> Vec<PathBuf> {
    files(&store.join("v1/modules"), |name| name.ends_with(".wasm"))
}

#[test]
fn native_code_is_made_beside_the_build() {
    let project = with_macro(
        "#[proc_macro]\npub fn fields(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \"2\".parse().unwrap()\n}\n",
        "",
    );
    let store = new_store(&project);
    let home = |command: &mut std::process::Command| {
        command.env("BELLJAR_HOME", &store);
    };
    let mut check = project.belljar(&["check", "--offline"]);
    home(&mut check);
    run(&mut check).ok();
    let native = store.join("v1/native");
    let made = files(&native, |_| true);
    assert!(!made.is_empty());

    // The process that does it, alone.
    std::fs::remove_dir_all(&native).unwrap();
    let [module] = &modules(&store)[..] else { panic!("one module") };
    let digest = module.file_stem().unwrap().to_str().unwrap();
    let precompile = |lines: &str| {
        let mut command = project.belljar(&[]);
        let program = command.get_program().to_owned();
        command = std::process::Command::new(program);
        home(&mut command);
        let mut child = command.arg("__precompile").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    // A module that isn't there is somebody else's error to tell.
    let unknown = "0".repeat(64);
    assert_eq!(precompile(&format!("{unknown}\n{digest}\n")), Some(0));
    assert_eq!(files(&native, |_| true), made);
    // What is no digest is not worked on.
    assert_eq!(precompile("../../etc/passwd\n"), Some(1));
    assert_eq!(files(&native, |_| true), made);
}

/// Natively this builds when another crate of the build asks syn for `visit` and `extra-traits`; as a guest it is alone.
#[test]
fn a_macro_may_use_of_syn_what_only_others_ask_for() {
    let source = "use syn::visit::Visit;\n\nstruct Count(usize);\n\nimpl Visit<'_> for Count {\n    fn visit_field(&mut self, \
                  field: &syn::Field) {\n        assert_eq!(format!(\"{:?}\", field.ident).is_empty(), false);\n        self.0 \
                  += 1;\n    }\n}\n\n#[proc_macro]\npub fn fields(input: proc_macro::TokenStream) -> proc_macro::TokenStream \
                  {\n    let item = syn::parse_macro_input!(input as syn::DeriveInput);\n    let mut count = Count(0);\n    \
                  count.visit_derive_input(&item);\n    count.0.to_string().parse().unwrap()\n}\n";
    let project = with_macro(source, "[dependencies]\nsyn = \"2\"\n");
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"m\", \"other\"]\n")
        .file(
            "other/Cargo.toml",
            "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n[dependencies]\n\
             syn = { version = \"2\", features = [\"extra-traits\", \"visit\"] }\n",
        )
        .file("other/src/lib.rs", "#[proc_macro]\npub fn none(_: proc_macro::TokenStream) -> proc_macro::TokenStream { todo!() }\n");
    let store = new_store(&project);
    run(project.belljar(&["check", "--workspace"]).env("BELLJAR_HOME", store)).ok();
}
