//! Macros and what they are made of, from wherever cargo takes packages: git, vendored, patched, inherited, renamed.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Project, repository, run};

/// A program that prints what `mac::word!()` expands to, with `mac` from where this line of its manifest says.
fn app(project: &Project, dependency: &str) {
    project
        .file(
            "app/Cargo.toml",
            &format!(
                "[workspace]\n[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nmac = \
                 {dependency}\n"
            ),
        )
        .file("app/src/main.rs", "fn main() { println!(\"{}\", mac::word!()); }\n");
}

/// A macro crate `mac` at `dir` whose `word!()` is a string: what this expression says when it expands.
fn mac(project: &Project, dir: &str, dependencies: &str, expression: &str) {
    project
        .file(
            &format!("{dir}/Cargo.toml"),
            &format!(
                "[package]\nname = \"mac\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = \
                 true\n[dependencies]\n{dependencies}\n"
            ),
        )
        .file(
            &format!("{dir}/src/lib.rs"),
            &format!(
                "use proc_macro::TokenStream;\n#[proc_macro]\npub fn word(_: TokenStream) -> TokenStream {{\n    \
                 format!(\"{{:?}}\", {expression}).parse().unwrap()\n}}\n"
            ),
        );
}

/// `cargo belljar run --quiet` with these arguments in `app`, and what the program printed.
fn printed(project: &Project, args: &[&str]) -> String {
    let mut command = project.belljar(&[&["run", "--quiet"], args].concat());
    run(command.current_dir(project.root().join("app"))).ok().stdout
}

/// A package `itoa` with one function, to stand for the one of the registry.
fn itoa(project: &Project, dir: &str, word: &str) {
    project
        .file(
            &format!("{dir}/Cargo.toml"),
            "[package]\nname = \"itoa\"\nversion = \"1.99.0\"\nedition = \"2021\"\n[workspace]\n",
        )
        .file(&format!("{dir}/src/lib.rs"), &format!("pub fn word() -> &'static str {{ {word:?} }}\n"));
}

fn git(dir: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(["-c", "user.name=test", "-c", "user.email=test@example.invalid"])
        .args(words);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    run(&mut command).ok().stdout.trim().to_owned()
}

#[test]
fn a_macro_from_git() {
    let project = Project::new("ws");
    // The macro crate is one of several packages of its repository, inherits from its workspace and uses a sibling.
    mac(&project, "repository/mac", "words.workspace = true", "words::WORD");
    let manifest = project.read("repository/mac/Cargo.toml");
    project
        .file(
            "repository/mac/Cargo.toml",
            &manifest.replace("version = \"0.1.0\"", "version.workspace = true"),
        )
        .file(
            "repository/Cargo.toml",
            "[workspace]\nmembers = [\"mac\", \"words\"]\nresolver = \"3\"\n[workspace.package]\nversion = \
             \"0.1.0\"\n[workspace.dependencies]\nwords = { path = \"words\" }\n",
        )
        .file("repository/words/Cargo.toml", "[package]\nname = \"words\"\nversion.workspace = true\n")
        .file("repository/words/src/lib.rs", "pub const WORD: &str = \"first\";\n");
    let repository = project.root().join("repository");
    git(&repository, &["init", "--quiet", "--initial-branch", "trunk"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "-m", "first"]);
    git(&repository, &["tag", "one"]);
    project.file("repository/words/src/lib.rs", "pub const WORD: &str = \"second\";\n");
    git(&repository, &["commit", "--quiet", "-a", "-m", "second"]);
    let second = git(&repository, &["rev-parse", "HEAD"]);
    project.file("repository/words/src/lib.rs", "pub const WORD: &str = \"third\";\n");
    git(&repository, &["commit", "--quiet", "-a", "-m", "third"]);
    let url = format!("file://{}", repository.display());
    for (reference, word) in [
        (String::new(), "third"),
        (", tag = \"one\"".to_owned(), "first"),
        (format!(", rev = {second:?}"), "second"),
        (", branch = \"trunk\"".to_owned(), "third"),
    ] {
        app(&project, &format!("{{ git = {url:?}{reference} }}"));
        assert_eq!(printed(&project, &[]), format!("{word}\n"), "{reference}");
    }
    // And once cargo has it, without the repository.
    std::fs::rename(&repository, project.root().join("gone")).unwrap();
    std::fs::remove_dir_all(project.root().join("app/target")).unwrap();
    assert_eq!(printed(&project, &["--frozen"]), "third\n");
}

#[test]
fn a_dependency_of_a_macro_from_git() {
    let project = Project::new("ws");
    project
        .file(
            "repository/Cargo.toml",
            "[package]\nname = \"words\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        )
        .file("repository/src/lib.rs", "pub const WORD: &str = \"from afar\";\n");
    let repository = project.root().join("repository");
    git(&repository, &["init", "--quiet", "--initial-branch", "trunk/new"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "-m", "first"]);
    let url = format!("file://{}", repository.display());
    mac(&project, "mac", &format!("words = {{ git = {url:?}, branch = \"trunk/new\" }}"), "words::WORD");
    app(&project, "{ path = \"../mac\" }");
    assert_eq!(printed(&project, &[]), "from afar\n");
}

/// With all of the registry's packages in the project and nothing else in reach.
#[test]
fn vendored_sources() {
    let project = Project::new("ws");
    // A comment makes it a macro that no store has.
    let unique = format!("{:?}", std::time::SystemTime::now());
    let text = format!("{{ /* {unique} */ quote::quote!(vendored words).to_string() }}");
    mac(&project, "mac", "quote = \"1\"", &text);
    app(&project, "{ path = \"../mac\" }");
    // The versions are those of a fixture.
    let lock = std::fs::read_to_string(repository().join("fixtures/workspace/Cargo.lock")).unwrap();
    project.file("app/Cargo.lock", &lock);
    let app = project.root().join("app");
    let config = run(project.cargo(&["vendor", "vendored"]).current_dir(&app)).ok().stdout;
    project.file("app/.cargo/config.toml", &config);
    let home = tempfile::tempdir().unwrap();
    let mut command = project.belljar(&["run", "--quiet", "--locked"]);
    command.current_dir(&app).env("CARGO_HOME", home.path()).env("CARGO_NET_OFFLINE", "true");
    assert_eq!(run(&mut command).ok().stdout, "vendored words\n");
}

#[test]
fn a_patch_in_the_manifest() {
    let project = Project::new("ws");
    mac(&project, "mac", "itoa = \"1\"", "itoa::word()");
    app(&project, "{ path = \"../mac\" }");
    itoa(&project, "patched", "patched");
    let manifest = project.read("app/Cargo.toml");
    project.file(
        "app/Cargo.toml",
        &format!("{manifest}[patch.crates-io]\nitoa = {{ path = \"../patched\" }}\n"),
    );
    assert_eq!(printed(&project, &[]), "patched\n");
    itoa(&project, "patched", "edited");
    assert_eq!(printed(&project, &[]), "edited\n");
}

#[test]
fn a_patch_in_cargos_configuration() {
    let project = Project::new("ws");
    mac(&project, "mac", "itoa = \"1\"", "itoa::word()");
    app(&project, "{ path = \"../mac\" }");
    itoa(&project, "patched", "patched");
    project.file("app/.cargo/config.toml", "[patch.crates-io]\nitoa = { path = \"../patched\" }\n");
    assert_eq!(printed(&project, &[]), "patched\n");
    itoa(&project, "patched", "edited");
    assert_eq!(printed(&project, &[]), "edited\n");
    // As does the next project whose patch has the same name and version, which is what a lockfile says of it.
    let other = Project::new("ws");
    mac(&other, "mac", "itoa = \"1\"", "itoa::word()");
    app(&other, "{ path = \"../mac\" }");
    itoa(&other, "patched", "another");
    other.file("app/.cargo/config.toml", "[patch.crates-io]\nitoa = { path = \"../patched\" }\n");
    assert_eq!(printed(&other, &[]), "another\n");
}

#[test]
fn a_patch_on_the_command_line() {
    let project = Project::new("ws");
    mac(&project, "mac", "itoa = \"1\"", "itoa::word()");
    app(&project, "{ path = \"../mac\" }");
    itoa(&project, "patched", "from the command line");
    let path = project.root().join("patched");
    let setting = format!("patch.crates-io.itoa.path={path:?}");
    assert_eq!(printed(&project, &["--config", &setting]), "from the command line\n");
    // The same from a file.
    project.file("settings/more.toml", "[patch.crates-io]\nitoa = { path = \"patched\" }\n");
    itoa(&project, "patched", "from a file");
    assert_eq!(printed(&project, &["--config=../settings/more.toml"]), "from a file\n");
}

/// A macro crate patched as a whole, by git.
#[test]
fn a_patched_macro_crate() {
    let project = Project::new("ws");
    mac(&project, "patched", "", "\"patched\"");
    let manifest = project.read("patched/Cargo.toml");
    let manifest =
        manifest.replace("name = \"mac\"\nversion = \"0.1.0\"", "name = \"paste\"\nversion = \"1.99.0\"");
    project.file("patched/Cargo.toml", &manifest);
    git(&project.root().join("patched"), &["init", "--quiet"]);
    git(&project.root().join("patched"), &["add", "."]);
    git(&project.root().join("patched"), &["commit", "--quiet", "-m", "first"]);
    app(&project, "{ package = \"paste\", version = \"1\" }");
    let manifest = project.read("app/Cargo.toml");
    let url = format!("file://{}", project.root().join("patched").display());
    project.file("app/Cargo.toml", &format!("{manifest}[patch.crates-io]\npaste = {{ git = {url:?} }}\n"));
    assert_eq!(printed(&project, &[]), "patched\n");
}

/// A macro that uses a macro that uses a macro; build scripts of what they are made of; modules by `#[path]`.
#[test]
fn everything_a_macro_can_be_made_of() {
    let project = Project::new("ws");
    app(&project, "{ path = \"../mac\" }");
    mac(
        &project,
        "mac",
        "inner = { package = \"inner-macros\", path = \"../inner\" }\nwords = { path = \"../words\" }\n\
         [build-dependencies]\ninner = { package = \"inner-macros\", path = \"../inner\" }",
        "format!(\"{} {} {} {}\", inner::inner!(), words::WORD, words::BUILT, module::HERE)",
    );
    let text = project.read("mac/src/lib.rs");
    project
        .file("mac/src/lib.rs", &format!("#[path = \"../odd/place.rs\"]\nmod module;\n{text}"))
        .file("mac/odd/place.rs", "pub const HERE: &str = concat!(env!(\"PLACE\"), include_str!(\"text.txt\"));\n")
        .file("mac/odd/text.txt", "!")
        .file(
            "mac/build.rs",
            "fn main() { println!(\"cargo::rustc-env=PLACE={}\", inner::inner!()); }\n",
        )
        .file(
            "inner/Cargo.toml",
            "[package]\nname = \"inner-macros\"\nversion = \"0.2.0\"\nedition = \"2018\"\n[lib]\nname = \
             \"inner\"\npath = \"lib/macros.rs\"\nproc-macro = true\n[dependencies]\ninnermost = { path = \
             \"../innermost\" }\n",
        )
        .file(
            "inner/lib/macros.rs",
            "extern crate proc_macro;\nuse proc_macro::TokenStream;\n#[proc_macro]\npub fn inner(_: TokenStream) -> \
             TokenStream { innermost::innermost!().parse().unwrap() }\n",
        )
        .file(
            "innermost/Cargo.toml",
            "[package]\nname = \"innermost\"\nversion = \"0.3.0\"\nedition = \"2015\"\n[lib]\nproc-macro = true\n",
        )
        .file(
            "innermost/src/lib.rs",
            "extern crate proc_macro;\n#[proc_macro]\npub fn innermost(_: proc_macro::TokenStream) -> \
             proc_macro::TokenStream { \"r##\\\"\\\"deep\\\"\\\"##\".parse().unwrap() }\n",
        )
        .file(
            "words/Cargo.toml",
            "[package]\nname = \"words\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[build-dependencies]\nmade = { path \
             = \"../made\" }\n",
        )
        .file(
            "words/build.rs",
            "fn main() {\n    let out = std::env::var_os(\"OUT_DIR\").unwrap();\n    let out = \
             std::path::Path::new(&out).join(\"made.rs\");\n    std::fs::write(out, made::made()).unwrap();\n    \
             println!(\"cargo::rustc-check-cfg=cfg(chosen)\\ncargo::rustc-cfg=chosen\\ncargo::rerun-if-changed=build.rs\");\n}\n",
        )
        .file(
            "words/src/lib.rs",
            "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\npub const WORD: &str = if cfg!(chosen) { \"chosen\" } \
             else { \"not chosen\" };\n",
        )
        .file("made/Cargo.toml", "[package]\nname = \"made\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .file(
            "made/src/lib.rs",
            "pub fn made() -> &'static str { \"pub const BUILT: &str = \\\"built\\\";\" }\n",
        );
    assert_eq!(printed(&project, &[]), "deep chosen built deep!\n");
    project.file("mac/odd/text.txt", "?");
    assert_eq!(printed(&project, &[]), "deep chosen built deep?\n");
    let made = project.read("made/src/lib.rs");
    project.file("made/src/lib.rs", &made.replace("\\\"built\\\"", "\\\"rebuilt\\\""));
    assert_eq!(printed(&project, &[]), "deep chosen rebuilt deep?\n");
}

/// A program that is no library, with a macro crate of its own repository: `cargo install` from there and from a path.
#[test]
fn a_program_is_installed() {
    let project = Project::new("ws");
    mac(&project, "repository/mac", "", "\"installed\"");
    app(&project, "{ path = \"../mac\" }");
    let repository = project.root().join("repository");
    std::fs::rename(project.root().join("app"), repository.join("app")).unwrap();
    let manifest = project.read("repository/app/Cargo.toml").replace("[workspace]\n", "");
    project
        .file("repository/app/Cargo.toml", &manifest)
        .file("repository/Cargo.toml", "[workspace]\nmembers = [\"app\", \"mac\"]\nresolver = \"3\"\n");
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "-m", "first"]);
    let url = format!("file://{}", repository.display());
    for (root, args) in [
        ("from git", &["install", "--git", &url, "app", "--root", "from git", "--debug"][..]),
        ("from a path", &["install", "--path", "repository/app", "--root", "from a path", "--debug"]),
    ] {
        let done = run(&mut project.belljar(args)).ok();
        assert!(done.stderr.contains("Installed package `app v0.1.0"), "{}", done.stderr);
        let program = project.root().join(root).join("bin/app");
        assert_eq!(run(&mut Command::new(program)).ok().stdout, "installed\n", "{root}");
    }
    // What doesn't exist is said by cargo, or by belljar with its name.
    let done = run(&mut project.belljar(&["install", "--git", &url, "nobody", "--root", "x"]));
    assert!(done.code != Some(0) && done.stderr.contains("nobody"), "{}", done.stderr);
}
