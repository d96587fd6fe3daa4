//! Guests built from small projects, by the program in `guests/seal.rs`: what a user relies on when a macro becomes a module.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use belljar_guest::toolchain::{self, Toolchain};
use belljar_store::Store;
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

static TOOLCHAIN: LazyLock<Toolchain> = LazyLock::new(|| {
    let store = Store::open_default().expect("a store");
    toolchain::find(&store, "rustc".into()).expect("a std for guests: run `cargo xtask setup-toolchain`")
});

/// A store that most tests share: what belljar compiles for itself is then made once.
static SHARED: LazyLock<Home> = LazyLock::new(Home::new);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn command(&self, project: &Utf8Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seal"));
        command.arg(project).env("BELLJAR_HOME", self.path());
        let stds = [
            ("SEAL_ABORTING", TOOLCHAIN.aborting.path.as_ref()),
            ("SEAL_UNWINDING", TOOLCHAIN.unwinding.as_ref().and_then(|s| s.path.as_ref())),
        ];
        for (name, path) in stds {
            if let Some(path) = path.filter(|_| std::env::var_os(name).is_none()) {
                command.env(name, path);
            }
        }
        command
    }

    fn run(&self, project: &Utf8Path) -> Output {
        self.command(project).output().unwrap()
    }

    /// Package to digest.
    fn seal(&self, project: &Utf8Path) -> BTreeMap<String, String> {
        modules(&self.run(project))
    }

    fn fails(&self, project: &Utf8Path) -> String {
        let output = self.run(project);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    fn module(&self, digest: &str) -> Utf8PathBuf {
        self.path().join("v1/modules").join(format!("{digest}.wasm"))
    }
}

fn modules(output: &Output) -> BTreeMap<String, String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ');
        (words.next().unwrap().to_owned(), words.nth(1).unwrap().to_owned())
    };
    text.lines().map(line).collect()
}

/// A project on disk, for as long as this lives.
struct Project(#[expect(dead_code, reason = "it removes the directory")] TempDir, Utf8PathBuf);

impl Project {
    fn new(directory: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root =
            Utf8Path::from_path(temporary.path()).unwrap().canonicalize_utf8().unwrap().join(directory);
        fs::create_dir_all(&root).unwrap();
        Self(temporary, root)
    }

    fn path(&self) -> &Utf8Path {
        &self.1
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.1.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn lock(&self) -> &Self {
        let done = Command::new(&TOOLCHAIN.cargo)
            .current_dir(&self.1)
            .args(["generate-lockfile", "--offline", "--quiet"])
            .status();
        assert!(done.unwrap().success());
        self
    }

    /// A package `app` that uses a macro package `m` whose library is this.
    fn with_macro(directory: &str, library: &str) -> Self {
        let project = Self::new(directory);
        project
            .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"m\"]\nresolver = \"2\"\n")
            .write("app/Cargo.toml", &package("app", "[dependencies]\nm = { path = \"../m\" }\n"))
            .write("app/src/lib.rs", "")
            .write("m/Cargo.toml", &package("m", "[lib]\nproc-macro = true\n"))
            .write("m/src/lib.rs", library)
            .lock();
        project
    }
}

fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n{rest}")
}

const MACRO: &str =
    "use proc_macro::TokenStream;\n#[proc_macro]\npub fn same(input: TokenStream) -> TokenStream { input }\n";

#[test]
fn the_same_source_gives_the_same_module_anywhere() {
    // A panic's location is in the module.
    let library = format!(
        "{MACRO}#[proc_macro] pub fn first(i: TokenStream) -> TokenStream {{ i.into_iter().next().unwrap().into() }}\n"
    );
    let plain = Project::with_macro("a", &library);
    let other = Project::with_macro("an other dïrectory", &library);
    let (here, there) = (Home::new(), &SHARED);
    assert_eq!(here.seal(plain.path()), there.seal(other.path()));
}

#[test]
fn a_macro_package_that_a_rule_about_dependencies_names_too() {
    let project = Project::new("overlaid");
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"m\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", &package("app", "[dependencies]\naskama_derive = { path = \"../m\" }\n"))
        .write("app/src/lib.rs", "")
        .write("m/Cargo.toml", &package("askama_derive", "[lib]\nproc-macro = true\n"))
        .write("m/src/lib.rs", &format!("{MACRO}mod wide;\n"))
        .write("m/src/wide.rs", "pub fn parsed(text: &str) -> Option<usize> { text.parse().ok() }\n")
        .lock();
    assert_eq!(SHARED.seal(project.path()).len(), 1);
}

#[test]
fn a_changed_macro_is_a_new_module_and_the_old_one_is_kept() {
    let project = Project::with_macro("a", MACRO);
    let first = SHARED.seal(project.path());
    project.write("m/src/lib.rs", &MACRO.replace("{ input }", "{ drop(input); TokenStream::new() }"));
    let second = SHARED.seal(project.path());
    assert_ne!(first["m"], second["m"]);
    project.write("m/src/lib.rs", MACRO);
    let again = SHARED.run(project.path());
    assert_eq!(first, modules(&again));
    assert!(!String::from_utf8_lossy(&again.stderr).contains("Sealing"));
}

#[test]
fn what_a_macro_is_made_of_decides_its_module() {
    let project = Project::new("a");
    project
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\", \"m\", \"words\"]\nresolver = \"2\"\n\
             [workspace.package]\nversion = \"3.2.1\"\nedition = \"2021\"\n\
             [workspace.dependencies]\nwords = { path = \"words\" }\n",
        )
        .write(
            "app/Cargo.toml",
            &package("app", "[dependencies]\nmacros = { path = \"../m\", package = \"m\" }\n"),
        )
        .write("app/src/lib.rs", "")
        .write(
            "m/Cargo.toml",
            "[package]\nname = \"m\"\nversion.workspace = true\nedition.workspace = true\n\
             [lib]\nproc-macro = true\nname = \"other_name\"\npath = \"lib.rs\"\n\
             [features]\ndefault = [\"loud\"]\nloud = [\"words/loud\"]\n\
             [dependencies]\nwords.workspace = true\n",
        )
        .write("m/text.txt", "one")
        .write(
            "m/lib.rs",
            "use proc_macro::TokenStream;\nconst TEXT: &str = include_str!(\"text.txt\");\n\
             #[cfg(not(feature = \"loud\"))] compile_error!(\"the default feature is missing\");\n\
             const _: () = assert!(matches!(env!(\"CARGO_PKG_VERSION\").as_bytes(), b\"3.2.1\"));\n\
             #[proc_macro]\npub fn word(_: TokenStream) -> TokenStream {\n\
             format!(\"{:?}\", [TEXT, words::WORD]).parse().unwrap()\n}\n",
        )
        .write("words/Cargo.toml", &package("words", "[features]\nloud = []\n"))
        .write("words/build.rs", "fn main() { println!(\"cargo:rustc-env=WORD_OF_BUILD={}\", \"word\") }")
        .write(
            "words/src/lib.rs",
            "#[cfg(feature = \"loud\")] pub const WORD: &str = concat!(env!(\"WORD_OF_BUILD\"), \"!\");\n",
        )
        .lock();
    let mut seen = vec![SHARED.seal(project.path())["m"].clone()];
    for (path, from, to) in [
        ("m/text.txt", "one", "two"),
        ("words/build.rs", "\"word\"", "\"sword\""),
        ("words/src/lib.rs", "!\"", "?\""),
    ] {
        let text = fs::read_to_string(project.path().join(path)).unwrap();
        project.write(path, &text.replace(from, to));
        let digest = SHARED.seal(project.path())["m"].clone();
        assert!(!seen.contains(&digest), "{path}");
        seen.push(digest);
    }
}

#[test]
fn nothing_of_this_machine_reaches_a_module() {
    let seen = "const SEEN: &[Option<&str>] = &[option_env!(\"HOME\"), option_env!(\"PATH\"), option_env!(\"USER\"),\n\
                option_env!(\"CARGO\"), option_env!(\"CARGO_HOME\"), option_env!(\"SECRET_OF_TESTS\")];\n\
                const PLACE: &str = concat!(file!(), \"|\", module_path!());\n";
    let library = MACRO.replace(
        "{ input }",
        "{ if SEEN.iter().any(Option::is_some) { panic!(\"{SEEN:?}\") } PLACE.parse().unwrap_or(input) }",
    );
    let project = Project::with_macro("a", &format!("{library}{seen}"));
    let output =
        SHARED.command(project.path()).env("SECRET_OF_TESTS", "unlikely-text-5309").output().unwrap();
    let wasm = fs::read(SHARED.module(&modules(&output)["m"])).unwrap();
    let text = String::from_utf8_lossy(&wasm);
    let home = std::env::var("HOME").unwrap();
    for leaked in ["unlikely-text-5309", &home, SHARED.path().as_str(), project.path().as_str()] {
        assert!(!text.contains(leaked), "{leaked}");
    }
}

/// A macro package whose dependency writes code in its build script and includes it.
fn with_included_code(directory: &str, included: &str) -> Project {
    let project = Project::with_macro(
        directory,
        &MACRO.replace("{ input }", "{ words::WORD.parse().unwrap_or(input) }"),
    );
    project
        .write(
            "m/Cargo.toml",
            &package("m", "[lib]\nproc-macro = true\n[dependencies]\nwords = { path = \"../words\" }\n"),
        )
        .write("words/Cargo.toml", &package("words", ""))
        .write(
            "words/build.rs",
            &format!(
                "fn main() {{\n let out = std::env::var(\"OUT_DIR\").unwrap();\n \
                 std::fs::write(format!(\"{{out}}/word.rs\"), {included:?}).unwrap();\n}}\n"
            ),
        )
        .write(
            "words/src/lib.rs",
            "include!(concat!(env!(\"OUT_DIR\"), \"/word.rs\"));\n\
             pub const OTHER: &str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/Cargo.toml\"));\n\
             pub fn other() -> String { panic!(\"{OTHER}\") }\n",
        )
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"m\", \"words\"]\nresolver = \"2\"\n")
        .lock();
    project
}

#[test]
fn code_that_a_build_script_writes_is_the_same_anywhere() {
    let word = "pub const WORD: &str = concat!(file!(), \"|\", \"word\");\n";
    let (here, there) = (with_included_code("a", word), with_included_code("an other dïrectory", word));
    let outputs = [Home::new().run(here.path()), SHARED.run(there.path())];
    assert_eq!(modules(&outputs[0]), modules(&outputs[1]));
    assert!(!String::from_utf8_lossy(&outputs[0].stderr).contains("Note"));
}

#[test]
fn a_module_with_a_path_of_this_machine_is_remarked_upon() {
    let project = with_included_code("a", "pub const WORD: &str = env!(\"CARGO_MANIFEST_DIR\");\n");
    let said = String::from_utf8(SHARED.run(project.path()).stderr).unwrap();
    let place = project.path().join("words");
    assert!(said.contains(&format!("Note m 0.1.0 holds the path {place}: ")), "{said}");
}

#[test]
fn the_users_configuration_does_not_change_a_module() {
    let plain = Project::with_macro("a", MACRO);
    let configured = Project::with_macro("a", MACRO);
    configured.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"--cfg\", \"x\", \"-Cdebuginfo=2\"]\ntarget-dir = \"elsewhere\"\nrustc-wrapper = \"/nowhere\"\n\
         [target.wasm32-wasip1]\nlinker = \"/nowhere\"\nrustflags = [\"-Copt-level=3\"]\n\
         [profile.release]\nopt-level = 3\nlto = true\ndebug = true\n",
    );
    assert_eq!(SHARED.seal(plain.path()), Home::new().seal(configured.path()));
}

#[test]
fn a_variable_of_the_users_configuration_is_in_the_module_of_that_project_only() {
    let with = |config: Option<&str>| {
        let word = "pub const WORD: &str = match option_env!(\"WORD_OF_CONFIG\") { Some(word) => word, None => \"none\" };\n";
        let project = with_included_code("a", word);
        if let Some(word) = config {
            project.write(".cargo/config.toml", &format!("[env]\nWORD_OF_CONFIG = \"{word}\"\n"));
        }
        SHARED.seal(project.path())["m"].clone()
    };
    let (one, two) = (with(Some("one")), with(Some("two")));
    assert_ne!(one, two);
    assert_eq!([with(Some("one")), with(Some("two"))], [one.clone(), two.clone()]);
    assert!(![one, two].contains(&with(None)));
}

#[test]
fn a_patch_in_the_users_configuration_counts() {
    let project = Project::new("a");
    let words = |word: &str| format!("pub const WORD: &str = \"{word}\";\n");
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"m\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", &package("app", "[dependencies]\nm = { path = \"../m\" }\n"))
        .write("app/src/lib.rs", "")
        .write("m/Cargo.toml", &package("m", "[lib]\nproc-macro = true\n[dependencies]\nmemchr = \"2\"\n"))
        .write("m/src/lib.rs", &MACRO.replace("{ input }", "{ memchr::WORD.parse().unwrap_or(input) }"))
        .write(".cargo/config.toml", "[patch.crates-io]\nmemchr = { path = \"other/memchr\" }\n")
        .write("other/memchr/Cargo.toml", &package("memchr", "").replace("0.1.0", "2.99.0"))
        .write("other/memchr/src/lib.rs", &words("one"))
        .lock();
    let first = SHARED.seal(project.path());
    project.write("other/memchr/src/lib.rs", &words("two"));
    let second = SHARED.seal(project.path());
    assert_ne!(first["m"], second["m"]);
    project.write("other/memchr/src/lib.rs", &words("one"));
    assert_eq!(SHARED.seal(project.path()), first);
}

#[test]
fn sources_outside_the_package_are_found_and_count() {
    let library = format!("#[path = \"../../shared/word.rs\"] mod word;\n{MACRO}");
    let library =
        library.replace("{ input }", "{ [word::WORD, words::WORD].concat().parse().unwrap_or(input) }");
    let project = with_included_code("a", "");
    project
        .write("m/src/lib.rs", &library)
        .write("words/src/lib.rs", "pub const WORD: &str = include_str!(\"../../shared/text\");\n")
        .write("shared/word.rs", "mod deep;\npub use deep::WORD;\n")
        .write("shared/deep.rs", "pub const WORD: &str = \"one\";\n")
        .write("shared/text", "text");
    let mut seen = vec![SHARED.seal(project.path())["m"].clone()];
    for (path, text) in [("shared/deep.rs", "pub const WORD: &str = \"two\";\n"), ("shared/text", "other")] {
        project.write(path, text);
        let digest = SHARED.seal(project.path())["m"].clone();
        assert!(!seen.contains(&digest), "{path}");
        seen.push(digest);
    }
}

#[test]
fn a_macro_that_does_not_compile_is_named_with_the_compilers_error() {
    let project = Project::with_macro("a", &format!("{MACRO}fn wrong() -> u8 {{ \"text\" }}\n"));
    let said = SHARED.fails(project.path());
    assert!(said.contains("the macros of m 0.1.0 can't be sealed"), "{said}");
    assert!(said.contains("expected `u8`, found `&str`") && said.contains("next: "), "{said}");
}

#[test]
fn a_dependency_that_does_not_know_wasi_is_named_with_the_macro_that_needs_it() {
    let project = Project::with_macro("a", MACRO);
    project
        .write(
            "m/Cargo.toml",
            &package("m", "[lib]\nproc-macro = true\n[dependencies]\nunixy = { path = \"../unixy\" }\n"),
        )
        .write("unixy/Cargo.toml", &package("unixy", ""))
        .write("unixy/src/lib.rs", "pub use std::os::unix::process::CommandExt;")
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"m\", \"unixy\"]\nresolver = \"2\"\n")
        .lock();
    let said = SHARED.fails(project.path());
    assert!(said.contains("the macros of m 0.1.0 can't be sealed: unixy 0.1.0 doesn't compile"), "{said}");
}

#[test]
fn a_damaged_module_is_built_again() {
    let project = Project::with_macro(
        "a",
        &format!("{MACRO}#[proc_macro] pub fn more(i: TokenStream) -> TokenStream {{ i }}\n"),
    );
    let first = SHARED.seal(project.path());
    let path = SHARED.module(&first["m"]);
    let whole = fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"", b"\0asm"] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(SHARED.seal(project.path()), first);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_lockfile_without_the_macro_is_an_error() {
    let project = Project::with_macro("a", MACRO);
    let lock = fs::read_to_string(project.path().join("Cargo.lock")).unwrap();
    let mut command = SHARED.command(project.path());
    // `seal` asks cargo first, which would mend the file; the request then finds this one.
    command.env("SEAL_LOCKFILE", project.path().join("other.lock"));
    project.write("other.lock", &lock.replace("name = \"m\"", "name = \"n\""));
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(
        said.contains("the macros of m 0.1.0 can't be sealed") && said.contains("cargo update"),
        "{said}"
    );
    project.write("other.lock", "[[package");
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains("is damaged") && said.contains("next: "), "{said}");
}

#[test]
fn two_builds_at_once_do_the_work_once() {
    let project = Project::with_macro(
        "a",
        &format!("{MACRO}#[proc_macro] pub fn two(i: TokenStream) -> TokenStream {{ i }}\n"),
    );
    let start = || {
        let mut command = SHARED.command(project.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let outputs: Vec<Output> =
        [start(), start()].map(|child: Child| child.wait_with_output().unwrap()).into_iter().collect();
    assert_eq!(modules(&outputs[0]), modules(&outputs[1]));
    let sealed = outputs.iter().filter(|o| String::from_utf8_lossy(&o.stderr).contains("Sealed m")).count();
    assert_eq!(sealed, 1);
}

#[test]
fn a_killed_build_leaves_no_process_and_nothing_half_done() {
    // Compiling this takes long enough to be killed in the middle of it.
    let slow = (0..2000)
        .map(|i| format!("pub fn f{i}(s: &str) -> String {{ format!(\"{{s}} {i}\") }}\n"))
        .collect::<String>();
    let library = format!("{MACRO}mod slow {{ {slow} }}\n");
    let project = Project::with_macro("a", &library);
    let mut child = SHARED.command(project.path()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    said.lines().map_while(Result::ok).find(|l| l.contains("Sealing m")).expect("the build begins");
    child.kill().unwrap();
    child.wait().unwrap();
    let scratch = SHARED.path().join("v1/scratch");
    let mine = || {
        let lines =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|p| fs::read(p.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(project.path().as_str())).count()
    };
    // The compilers end when cargo does, and cargo when belljar does: not at the same moment.
    let ended = (0..1200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        mine() == 0
    });
    assert!(ended);
    assert!(scratch.is_dir());
    assert!(SHARED.seal(project.path()).contains_key("m"));
}

/// The module of a macro package whose library is this.
fn module_of(library: &str) -> Vec<u8> {
    let project = Project::with_macro("a", library);
    fs::read(SHARED.module(&SHARED.seal(project.path())["m"])).unwrap()
}

fn payloads(wasm: &[u8]) -> impl Iterator<Item = wasmparser::Payload<'_>> {
    wasmparser::Parser::new(0).parse_all(wasm).map(|payload| payload.unwrap())
}

/// The functions that a module imports.
fn imports(wasm: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in payloads(wasm) {
        if let wasmparser::Payload::ImportSection(section) = payload {
            names.extend(section.into_imports().map(|import| import.unwrap().name.to_owned()));
        }
    }
    names
}

#[test]
fn a_macro_that_asks_for_one_variable_can_not_get_all() {
    let with = |call: &str| {
        let body = format!("{{ let _ = {call}; input }}");
        imports(&module_of(&MACRO.replace("{ input }", &body)))
    };
    let one = with("std::env::var(input.to_string()).unwrap().len()");
    assert!(one.iter().any(|i| i == "getenv"), "{one:?}");
    assert!(!one.iter().any(|i| i.starts_with("environ_")), "{one:?}");
    assert!(with("std::env::vars().count()").iter().any(|i| i == "environ_get"));
}

#[test]
fn a_guest_has_the_stack_that_rustc_gives_a_macro() {
    let wasm = module_of(MACRO);
    let pages = payloads(&wasm).find_map(|payload| match payload {
        wasmparser::Payload::MemorySection(section) => {
            Some(section.into_iter().next().unwrap().unwrap().initial)
        }
        _ => None,
    });
    assert!(pages.unwrap() * 65536 >= 8 << 20);
}

#[test]
fn a_macro_that_catches_panics_unwinds_and_no_other_does() {
    if TOOLCHAIN.unwinding.is_none() && std::env::var_os("SEAL_UNWINDING").is_none() {
        eprintln!("skipped: no std that unwinds; run `cargo xtask setup-toolchain`");
        return;
    }
    let unwinds = |library: &str| {
        let output = SHARED.run(Project::with_macro("a", library).path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().contains("unwinds")
    };
    assert!(!unwinds(&format!("{MACRO}// catch_unwind\n")));
    assert!(unwinds(&format!("{MACRO}pub(crate) fn c() {{ let _ = std::panic::catch_unwind(|| ()); }}\n")));
}

/// rustc itself would read the file, and the macro would have it.
#[test]
fn a_macro_is_not_made_of_somebody_elses_files() {
    let elsewhere = Project::new("elsewhere");
    elsewhere.write("secret", "the secret");
    let secret = elsewhere.path().join("secret");
    let including = |what: &str| {
        let library = format!("const _: &[u8] = {what};\n{MACRO}");
        let project = Project::with_macro("p", &library);
        project.write("m/own.txt", "its own");
        project
    };
    let link = including("include_bytes!(\"../link\")");
    std::os::unix::fs::symlink(&secret, link.path().join("m/link")).unwrap();
    for project in [including(&format!("include_bytes!({:?})", secret.as_str())), link] {
        let error = SHARED.fails(project.path());
        assert!(error.contains("m 0.1.0 includes") && error.contains(secret.as_str()), "{error}");
        // Nor the next time.
        assert!(SHARED.fails(project.path()).contains("includes"));
    }
    SHARED.seal(including("include_bytes!(\"../own.txt\")").path());
}
