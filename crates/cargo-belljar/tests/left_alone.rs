//! Under plain cargo, an edit of `belljar.toml` has cargo call every crate that calls macros, and all that depend on them. Those
//! for which it changes nothing are left as they are: the compiler does not run, and what it leaves and says is the same.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::random::edits;
use support::store::Store;
use support::{Done, Project, run};

const MACROS: &str = r##"
use proc_macro::TokenStream;

fn literal(text: impl std::fmt::Debug) -> TokenStream {
    format!("{text:?}").parse().unwrap()
}

/// The value of a variable.
#[proc_macro]
pub fn var(input: TokenStream) -> TokenStream {
    literal(std::env::var(input.to_string().trim_matches('"')).unwrap_or_else(|e| e.to_string()))
}

/// What stands in a file of the calling package.
#[proc_macro]
pub fn text(input: TokenStream) -> TokenStream {
    let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/" + input.to_string().trim_matches('"');
    literal(std::fs::read_to_string(path).unwrap_or_else(|e| e.kind().to_string()))
}

/// Where a link leads.
#[proc_macro]
pub fn link(input: TokenStream) -> TokenStream {
    let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/" + input.to_string().trim_matches('"');
    literal(std::fs::read_link(path).map(|to| to.display().to_string()).unwrap_or_else(|e| e.kind().to_string()))
}

/// How often it has been called.
#[proc_macro]
pub fn count(_: TokenStream) -> TokenStream {
    static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    literal(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string())
}
"##;

/// Asks for nothing.
const OTHER: &str = "#[proc_macro]\npub fn one(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \"1\".parse().unwrap()\n}\n";

const POLICY: &str =
    "[[grant]]\nmacro = \"asks\"\nenv = [\"GREETING\"]\nread = [\"texts/**\"]\nreason = \"a test\"\n";

/// ```text
/// app (bin) → shared (lib, calls `asks`) → base (lib, calls no macro)
///           → other (lib, calls `still`)
/// ```
fn workspace(name: &str) -> Project {
    let project = Project::new(name);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let uses = |names: &[&str]| {
        let lines: Vec<_> =
            names.iter().map(|name| format!("{name} = {{ path = \"../{name}\" }}\n")).collect();
        format!("[dependencies]\n{}", lines.concat())
    };
    project
        .file(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"asks\", \"still\", \"base\", \"shared\", \"other\", \"app\"]\n",
        )
        .file("asks/Cargo.toml", &package("asks", "[lib]\nproc-macro = true\n"))
        .file("asks/src/lib.rs", MACROS)
        .file("still/Cargo.toml", &package("still", "[lib]\nproc-macro = true\n"))
        .file("still/src/lib.rs", OTHER)
        .file("base/Cargo.toml", &package("base", ""))
        .file("base/src/lib.rs", "pub fn base() -> u32 {\n    1\n}\n")
        .file("shared/Cargo.toml", &package("shared", &uses(&["asks", "base"])))
        .file(
            "shared/src/lib.rs",
            "pub fn greeting() -> String {\n    let unused = 1;\n    format!(\"{} {} {}\", asks::var!(\"GREETING\"), \
             asks::text!(\"texts/a.txt\"), base::base())\n}\n",
        )
        .file("shared/texts/a.txt", "one")
        .file("other/Cargo.toml", &package("other", &uses(&["still"])))
        .file("other/src/lib.rs", "pub fn other() -> u32 {\n    still::one!()\n}\n")
        .file("app/Cargo.toml", &package("app", &uses(&["shared", "other"])))
        .file("app/src/main.rs", "fn main() {\n    println!(\"{} {}\", shared::greeting(), other::other());\n}\n")
        .file("belljar.toml", POLICY);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// A workspace in which plain cargo is sealed, with a compiler that writes down what it compiles.
struct Sealed {
    store: Store,
    project: Project,
    compiler: tempfile::TempDir,
}

impl Sealed {
    fn new(project: Project) -> Self {
        let (store, compiler) = (Store::with_toolchain(), tempfile::tempdir().unwrap());
        let sysroot = run(Command::new("rustc").args(["--print", "sysroot"])).ok().stdout;
        let real = Path::new(sysroot.trim()).join("bin/rustc");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --crate-name ] && [ \"$2\" != ___ ]; then echo \"$2\" >> \"{}\"; fi\nexec \"{}\" \"$@\"\n",
            compiler.path().join("compiled").display(),
            real.display()
        );
        let path = compiler.path().join("rustc");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let this = Self { store, project, compiler };
        run(this.store.of(&mut this.project.belljar(&["init"]))).ok();
        this
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.project.cargo(args);
        command.env("RUSTC", self.compiler.path().join("rustc"));
        self.store.of(&mut command);
        command
    }

    /// What was compiled since the last time.
    fn compiled(&self) -> BTreeSet<String> {
        let path = self.compiler.path().join("compiled");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, "").unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Runs cargo, and says what it compiled.
    #[track_caller]
    fn does(&self, command: &mut Command) -> (BTreeSet<String>, Done) {
        self.compiled();
        let done = run(command).ok();
        (self.compiled(), done)
    }

    /// Runs cargo, and looks at what it compiled, and that it calls nothing the next time.
    #[track_caller]
    fn compiles(&self, args: &[&str], expected: &[&str], why: &str) -> Done {
        let (compiled, done) = self.does(&mut self.cargo(args));
        assert_eq!(compiled, set(expected), "{why}\n{}", done.stderr);
        self.is_fresh(args, why);
        done
    }

    #[track_caller]
    fn is_fresh(&self, args: &[&str], why: &str) {
        let (compiled, done) = self.does(&mut self.cargo(args));
        assert_eq!(compiled, set(&[]), "{why}: the next time");
        let calls = |line: &&str| line.contains("Checking ") || line.contains("Compiling ");
        assert_eq!(done.stderr.lines().find(calls), None, "{why}: the next time");
        assert!(!done.stderr.contains("Seal"), "steps of an earlier build: {}", done.stderr);
    }

    fn says(&self) -> String {
        run(&mut self.cargo(&["run", "-q", "-p", "app"])).ok().stdout.trim_end().to_owned()
    }

    fn policy(&self, text: &str) {
        self.project.file("belljar.toml", text);
    }

    fn records(&self) -> Vec<PathBuf> {
        let dir = self.project.root().join("target/belljar/units");
        support::files(&dir, |name| name.ends_with(".json"))
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Apart from the macros, which are shims.
const CRATES: [&str; 4] = ["app", "base", "other", "shared"];

fn grant(macro_name: &str, rest: &str) -> String {
    format!("{POLICY}[[grant]]\nmacro = \"{macro_name}\"\n{rest}\nreason = \"more\"\n")
}

/// What an edit of the policy has compiled, by this command.
fn each_edit(sealed: &Sealed, args: &[&str]) {
    let (compiled, done) = sealed.does(&mut sealed.cargo(args));
    assert!(CRATES.iter().all(|name| compiled.contains(*name)), "{compiled:?}");
    assert!(done.stderr.contains("unused variable"), "{}", done.stderr);
    sealed.is_fresh(args, "at first");

    sealed.policy(&format!("# A comment.\n{POLICY}"));
    let done = sealed.compiles(args, &[], "a comment");
    assert!(done.stderr.contains("unused variable: `unused`"), "warnings are shown: {}", done.stderr);
    assert!(done.stderr.contains("`shared` (lib) generated 1 warning"), "{}", done.stderr);
    for _ in 0..2 {
        sealed.policy(POLICY);
        sealed.compiles(args, &[], "again, and what was left alone is left alone");
    }
    let path = sealed.project.root().join("belljar.toml");
    let touched = fs::File::options().write(true).open(path).unwrap();
    touched.set_modified(std::time::SystemTime::now()).unwrap();
    sealed.compiles(args, &[], "the same content");

    sealed.policy(&grant("nobody", "env = [\"A\"]"));
    sealed.compiles(args, &[], "a grant for another macro");
    sealed.policy(&grant("asks", "for = \"other\"\nenv = [\"A\"]"));
    sealed.compiles(args, &[], "a grant in a package that does not call it");
    sealed.policy(&grant("asks", "env = [\"A\"]"));
    sealed.compiles(args, &["app", "shared"], "a grant for the one that calls it");
    sealed.policy(&format!("# A comment.\n{}", grant("asks", "env = [\"A\"]")));
    sealed.compiles(args, &[], "a comment after that");
    sealed.policy(&grant("still", "state = \"crate\""));
    sealed.compiles(args, &["app", "other", "shared"], "also a macro that asked for nothing");
    sealed.policy(POLICY);
    sealed.compiles(args, &["app", "other"], "less");

    fs::remove_file(sealed.project.root().join("belljar.toml")).unwrap();
    sealed.compiles(args, &["app", "other", "shared"], "no policy");
    sealed.policy("# Nothing.\n");
    sealed.compiles(args, &[], "one that says as much");
    fs::remove_file(sealed.project.root().join("belljar.toml")).unwrap();
    sealed.compiles(args, &[], "and none again");
    sealed.policy(POLICY);
    sealed.compiles(args, &["app", "shared"], "it is back");
    sealed.policy("[[grant]]\nmacro = 1\n");
    assert!(run(&mut sealed.cargo(args)).failed().stderr.contains("belljar.toml"), "a mistake is told");
    sealed.policy(POLICY);
    sealed.does(&mut sealed.cargo(args));
    sealed.is_fresh(args, "and mended");

    sealed.project.file("base/src/lib.rs", "pub fn base() -> u32 {\n    2\n}\n");
    sealed.policy(&format!("# Another comment.\n{POLICY}"));
    sealed.compiles(args, &["app", "base", "shared"], "a source with the policy");
    sealed.project.file("shared/texts/a.txt", "two");
    sealed.policy(POLICY);
    sealed.compiles(args, &["app", "shared"], "a file that a macro read, with the policy");
}

#[test]
fn of_a_check() {
    let sealed = Sealed::new(workspace("checked"));
    each_edit(&sealed, &["check", "--workspace"]);
}

#[test]
fn of_a_build() {
    let sealed = Sealed::new(workspace("built, größer"));
    each_edit(&sealed, &["build", "--workspace"]);
    assert_eq!(sealed.says(), "environment variable not found two 2 1");
    let bin = sealed.project.root().join("target/debug/app");
    let before = fs::metadata(&bin).unwrap().modified().unwrap();
    sealed.policy("# Only this.\n");
    sealed.compiles(&["build", "--workspace"], &["app", "shared"], "less is granted");
    assert_ne!(fs::metadata(bin).unwrap().modified().unwrap(), before);
    assert_eq!(sealed.says(), "environment variable not found permission denied 2 1");
}

#[test]
fn a_part_of_the_workspace_after_another_and_elsewhere() {
    let sealed = Sealed::new(workspace("parts"));
    let elsewhere = tempfile::tempdir().unwrap();
    let cargo = |args: &[&str]| {
        let mut command = sealed.cargo(args);
        command.env("CARGO_TARGET_DIR", elsewhere.path());
        command
    };
    let compiles = |args: &[&str], expected: &[&str]| {
        let (compiled, done) = sealed.does(&mut cargo(args));
        assert_eq!(compiled, set(expected), "{args:?}\n{}", done.stderr);
    };
    for what in ["check", "build"] {
        sealed.does(&mut cargo(&[what, "--workspace", "--exclude", "asks", "--exclude", "still"]));
        sealed.policy(&format!("# {what}\n{POLICY}"));
        compiles(&[what, "-p", "shared"], &[]);
        compiles(&[what, "-p", "shared"], &[]);
        compiles(&[what, "-p", "app"], &[]);
        compiles(&[what, "--workspace", "--exclude", "asks", "--exclude", "still"], &[]);
        let done = run(&mut cargo(&[
            what,
            "--workspace",
            "--exclude",
            "asks",
            "--exclude",
            "still",
            "--message-format",
            "json",
        ]))
        .ok();
        assert!(!done.stdout.contains("\"fresh\":false"), "{}", done.stdout);

        sealed.project.file("base/src/lib.rs", &format!("// {what}\npub fn base() -> u32 {{\n    3\n}}\n"));
        compiles(&[what, "-p", "base"], &["base"]);
        sealed.policy(&format!("# {what} again\n{POLICY}"));
        compiles(&[what, "-p", "shared"], &["shared"]);
        compiles(&[what, "--workspace", "--exclude", "asks", "--exclude", "still"], &["app"]);
        sealed.policy(&format!("# {what} once more\n{POLICY}"));
        compiles(&[what, "--workspace", "--exclude", "asks", "--exclude", "still"], &[]);
    }
}

#[test]
fn what_is_not_there_or_damaged_is_compiled() {
    let sealed = Sealed::new(workspace("damaged"));
    let mut comments = 0;
    let mut edit = || {
        comments += 1;
        sealed.policy(&format!("# {comments}\n{POLICY}"));
    };
    let build = ["build", "--workspace"];
    sealed.does(&mut sealed.cargo(&build));
    edit();
    sealed.compiles(&build, &[], "nothing is damaged");

    let unit = |name: &str| {
        let is = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(name);
        sealed.records().into_iter().find(is).unwrap()
    };
    for (name, damaged) in [
        ("cut", None),
        ("forged", Some(("\"stderr\":\"", "\"stderr\":1,\"_\":\""))),
        ("of another compilation", Some(("\"name\":\"", "\"name\":\"0"))),
        ("with another key", Some(("\"key\":\"", "\"key\":\"0"))),
    ] {
        let path = unit("shared-");
        let text = fs::read_to_string(&path).unwrap();
        let text = match damaged {
            None => text[..text.len() / 2].to_owned(),
            Some((from, to)) => text.replacen(from, to, 1),
        };
        fs::write(&path, text).unwrap();
        edit();
        sealed.compiles(&build, &["app", "shared"], name);
    }
    let path = unit("shared-");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    edit();
    let (compiled, _) = sealed.does(&mut sealed.cargo(&build));
    assert_eq!(compiled, set(&["app", "shared"]), "a link");
    sealed
        .records()
        .into_iter()
        .filter(|path| path.is_symlink())
        .for_each(|path| fs::remove_file(path).unwrap());
    sealed.does(&mut sealed.cargo(&build));

    let deps = sealed.project.root().join("target/debug/deps");
    let output = |start: &str, end: &str| {
        let is = |name: &str| name.starts_with(start) && name.ends_with(end);
        support::files(&deps, is).remove(0)
    };
    edit();
    fs::remove_file(output("libshared-", ".rmeta")).unwrap();
    sealed.compiles(&build, &["app", "shared"], "an artifact is gone");
    edit();
    let path = output("app-", "");
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    sealed.compiles(&build, &["app"], "a program that was written to");
    edit();
    support::files(&sealed.project.root().join("target/belljar/units"), |name| name.ends_with(".kept"))
        .iter()
        .for_each(|path| fs::remove_file(path).unwrap());
    sealed.compiles(
        &build,
        &CRATES[..1].iter().chain(&["other", "shared"]).copied().collect::<Vec<_>>(),
        "nothing is kept",
    );

    run(&mut sealed.cargo(&["clean", "-p", "shared"])).ok();
    sealed.compiles(&build, &["app", "shared"], "`cargo clean -p`");
    run(&mut sealed.cargo(&["clean"])).ok();
    let (compiled, _) = sealed.does(&mut sealed.cargo(&build));
    assert!(CRATES.iter().all(|name| compiled.contains(*name)), "{compiled:?}");
    assert_eq!(sealed.says(), "environment variable not found one 1 1");
}

#[test]
fn what_no_dep_info_names() {
    let sealed = Sealed::new(workspace("outside"));
    let check = ["check", "--workspace"];
    let mut comments = 0;
    let mut edit = || {
        comments += 1;
        sealed.policy(&format!("# {comments}\n{POLICY}"));
    };
    sealed.project.file(
        "other/src/lib.rs",
        "pub fn other() -> u32 {\n    still::one!() + option_env!(\"SIZE\").map_or(0, |size| size.len() as u32)\n}\n",
    );
    std::os::unix::fs::symlink("a", sealed.project.root().join("shared/texts/link")).unwrap();
    sealed.project.file(
        "shared/src/lib.rs",
        "pub fn greeting() -> &'static str {\n    concat!(asks::link!(\"texts/link\"), asks::var!(\"GREETING\"))\n}\n",
    );
    sealed.does(&mut sealed.cargo(&check));
    let with = |name: &str, value: &str| {
        let mut command = sealed.cargo(&check);
        command.env(name, value);
        sealed.does(&mut command).0
    };
    edit();
    assert_eq!(with("SIZE", "12"), set(&["app", "other"]), "a variable that `option_env!` sees");
    edit();
    assert_eq!(with("SIZE", "12"), set(&[]));
    edit();
    assert_eq!(with("SIZE", "123"), set(&["app", "other"]), "its value");
    edit();
    sealed.compiles(&check, &["app", "other"], "that it was set");
    edit();
    assert_eq!(with("GREETING", "hello"), set(&["app", "shared"]), "a variable that a macro sees");
    edit();
    sealed.compiles(&check, &["app", "shared"], "that it was set");
    edit();
    assert_eq!(with("RUSTC_LOG", "off"), set(&["app", "other", "shared"]), "a variable of the compiler's");
    edit();
    sealed.compiles(&check, &["app", "other", "shared"], "that it was set");

    let link = sealed.project.root().join("shared/texts/link");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("b", link).unwrap();
    edit();
    sealed.compiles(&check, &["app", "shared"], "where a link leads");

    let compiler = sealed.compiler.path().join("rustc");
    let text = fs::read_to_string(&compiler).unwrap();
    fs::write(&compiler, format!("{text}\n# another one\n")).unwrap();
    edit();
    sealed.compiles(&check, &["app", "other", "shared"], "another compiler");
}

#[test]
fn files_of_the_policy_that_are_sources_too() {
    let sealed = Sealed::new(workspace("policy as source"));
    let source =
        "pub fn other() -> u32 {\n    still::one!() + include_str!(\"../../belljar.toml\").len() as u32\n}\n";
    sealed.project.file("other/src/lib.rs", source);
    let check = ["check", "--workspace"];
    sealed.does(&mut sealed.cargo(&check));
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&check, &["app", "other"], "by a relative path");
    sealed.project.file(
        "other/src/lib.rs",
        &source
            .replace("\"../../belljar.toml\"", "concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../belljar.toml\")"),
    );
    sealed.does(&mut sealed.cargo(&check));
    sealed.policy(POLICY);
    sealed.compiles(&check, &["app", "other"], "by an absolute one");
    // Without any macro: it is a source like others.
    sealed.project.file(
        "base/src/lib.rs",
        "pub fn base() -> usize {\n    include_str!(\"../../belljar.toml\").len()\n}\n",
    );
    sealed.does(&mut sealed.cargo(&check));
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&check, &["app", "base", "other", "shared"], "in a crate that calls no macro");
    // By a macro.
    sealed
        .project
        .file("belljar.toml", "[[grant]]\nmacro = \"asks\"\nread = [\"workspace:*\"]\nreason = \"a test\"\n");
    sealed.project.file(
        "shared/src/lib.rs",
        "pub fn greeting() -> &'static str {\n    asks::text!(\"../belljar.toml\")\n}\n",
    );
    sealed.does(&mut sealed.cargo(&check));
    sealed.project.file(
        "belljar.toml",
        "# A comment.\n[[grant]]\nmacro = \"asks\"\nread = [\"workspace:*\"]\nreason = \"a test\"\n",
    );
    sealed.compiles(&check, &["app", "base", "other", "shared"], "by a macro");
}

#[test]
fn what_a_build_script_makes_and_native_libraries() {
    let project = workspace("scripts");
    project.file(
        "other/build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=number\");\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
         std::fs::copy(\"number\", out + \"/number.rs\").unwrap();\n}\n",
    );
    project.file("other/number", "1");
    project.file(
        "other/src/lib.rs",
        "pub fn other() -> u32 {\n    still::one!() + include!(concat!(env!(\"OUT_DIR\"), \"/number.rs\"))\n}\n",
    );
    let sealed = Sealed::new(project);
    let build = ["build", "--workspace"];
    sealed.does(&mut sealed.cargo(&build));
    assert_eq!(sealed.says(), "environment variable not found one 1 2");
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&build, &[], "a comment");
    sealed.policy(POLICY);
    sealed.project.file("other/number", "2");
    sealed.compiles(&build, &["app", "other"], "what a build script has made");
    assert_eq!(sealed.says(), "environment variable not found one 1 3");
    // The script is run again and makes nothing else: cargo takes all that depends on it for old.
    sealed
        .project
        .file("other/build.rs", "fn main() {\n    println!(\"cargo::rerun-if-changed=number\");\n}\n");
    sealed.does(&mut sealed.cargo(&build));
    sealed.project.file("other/number", "3");
    let (_, done) = sealed.does(&mut sealed.cargo(&build));
    sealed.is_fresh(&build, &done.stderr);
}

/// A package of the workspace whose other packages are there already.
fn add(project: &Project, name: &str, rest: &str, lib: &str) {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}");
    let members = project.read("Cargo.toml").replace("\"app\"]", &format!("\"{name}\", \"app\"]"));
    project
        .file("Cargo.toml", &members)
        .file(&format!("{name}/Cargo.toml"), &manifest)
        .file(&format!("{name}/src/lib.rs"), lib);
}

/// `app` depends on it too.
fn used_by_app(project: &Project, name: &str) {
    let manifest = project.read("app/Cargo.toml");
    project.file("app/Cargo.toml", &format!("{manifest}{name} = {{ path = \"../{name}\" }}\n"));
}

fn relock(project: &Project) {
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
}

#[test]
fn native_libraries() {
    let project = workspace("native");
    // A library in C that the build script makes, and one that is nowhere but in a directory.
    let script = r#"
        use std::process::Command;
        fn main() {
            println!("cargo::rerun-if-changed=number.c");
            let out = std::env::var("OUT_DIR").unwrap();
            let run = |program: &str, args: &[&str]| assert!(Command::new(program).args(args).status().unwrap().success());
            run("cc", &["-c", "number.c", "-o", &format!("{out}/number.o")]);
            run("ar", &["rcs", &format!("{out}/libnumber.a"), &format!("{out}/number.o")]);
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=static=number");
            println!("cargo::rustc-link-search=/usr/lib");
            println!("cargo::rustc-link-search=native=/nowhere");
        }
    "#;
    project
        .file("other/build.rs", script)
        .file("other/number.c", "int number(void) { return 1; }\n")
        .file(
            "other/src/lib.rs",
            "unsafe extern \"C\" {\n    safe fn number() -> i32;\n}\n\npub fn other() -> i32 {\n    still::one!() + number()\n}\n",
        );
    let sealed = Sealed::new(project);
    let build = ["build", "--workspace"];
    sealed.does(&mut sealed.cargo(&build));
    assert_eq!(sealed.says(), "environment variable not found one 1 2");
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&build, &[], "a comment");
    sealed.policy(&grant("still", "state = \"crate\""));
    sealed.compiles(&build, &["app", "other"], "a grant for its macro");
    sealed.policy(&format!("# A comment.\n{}", grant("still", "state = \"crate\"")));
    sealed.compiles(&build, &[], "a comment after that");

    sealed.project.file("other/number.c", "int number(void) { return 2; }\n");
    sealed.compiles(&build, &["app", "other"], "another library");
    assert_eq!(sealed.says(), "environment variable not found one 1 3");
    sealed.policy(POLICY);
    sealed.compiles(&build, &["app", "other"], "less");
    // What cargo knows nothing of counts when it calls.
    let out = sealed.project.root().join("target/debug/build");
    let script_output = support::files(&out, |name| name == "libnumber.a");
    let [library] = &script_output[..] else { panic!("{script_output:?}") };
    fs::write(library.with_file_name("libmore.a"), "").unwrap();
    sealed.policy(&format!("# Another comment.\n{POLICY}"));
    sealed.compiles(&build, &["app", "other"], "one more library in the directory");
    sealed.policy(POLICY);
    sealed.compiles(&build, &[], "a comment");
}

#[test]
fn what_a_linker_is_told() {
    let project = workspace("linker");
    project
        .file(
            "app/build.rs",
            "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
             println!(\"cargo::rustc-link-arg-bins=-Wl,--dynamic-list={}/symbols\", \
             std::env::var(\"CARGO_MANIFEST_DIR\").unwrap());\n}\n",
        )
        .file("app/symbols", "{ one; };\n");
    let sealed = Sealed::new(project);
    let build = ["build", "--workspace"];
    sealed.does(&mut sealed.cargo(&build));
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&build, &[], "a comment");
    sealed.project.file("app/symbols", "{ another; };\n");
    sealed.policy(POLICY);
    sealed.compiles(&build, &["app"], "a file that an argument names");
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&build, &[], "a comment after that");
}

#[test]
fn dynamic_and_static_libraries() {
    let project = workspace("kinds");
    let lib = "[lib]\ncrate-type = [\"lib\", \"cdylib\", \"staticlib\"]\n[dependencies]\nasks = { path = \"../asks\" }\n";
    add(
        &project,
        "plugin",
        lib,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn length() -> usize {\n    asks::var!(\"GREETING\").len()\n}\n",
    );
    used_by_app(&project, "plugin");
    project.file(
        "app/src/main.rs",
        "fn main() {\n    println!(\"{} {} {}\", shared::greeting(), other::other(), plugin::length());\n}\n",
    );
    relock(&project);
    let sealed = Sealed::new(project);
    for build in [&["build", "--workspace"][..], &["build", "--workspace", "--release"]] {
        sealed.does(&mut sealed.cargo(build));
        sealed.is_fresh(build, "at first");
        let dir =
            sealed.project.root().join("target").join(if build.len() > 2 { "release" } else { "debug" });
        let made = ["libplugin.so", "libplugin.a", "libplugin.rlib", "app"].map(|name| dir.join(name));
        let times = || made.each_ref().map(|path| fs::metadata(path).unwrap().modified().unwrap());
        let before = times();
        for comment in ["One.", "Two."] {
            sealed.policy(&format!("# {comment}\n{POLICY}"));
            sealed.compiles(build, &[], "a comment");
        }
        assert_eq!(times(), before);
        sealed.policy(&grant("asks", "for = \"plugin\"\nenv = [\"A\"]"));
        sealed.compiles(build, &["app", "plugin"], "a grant");
        assert!(times().iter().zip(&before).all(|(now, before)| now > before));
        fs::remove_file(dir.join("deps/libplugin.so")).unwrap();
        sealed.policy(POLICY);
        sealed.compiles(build, &["app", "plugin"], "less");
        fs::write(dir.join("deps/libplugin.a"), "").unwrap();
        sealed.policy(&format!("# Three.\n{POLICY}"));
        sealed.compiles(build, &["app", "plugin"], "one of them is not what was left");
        sealed.policy(POLICY);
        sealed.compiles(build, &[], "a comment after that");
    }
    // Libraries of both have the same names, and both know what they left.
    let profiles = [&["build", "--workspace"][..], &["build", "--workspace", "--release"]];
    for build in profiles {
        sealed.does(&mut sealed.cargo(build));
    }
    sealed.policy(&format!("# Four.\n{POLICY}"));
    for build in profiles {
        sealed.compiles(build, &[], "a comment");
    }
}

#[test]
fn what_macros_print_is_printed_again() {
    let project = workspace("printing");
    let asks = project.read("asks/src/lib.rs");
    project
        .file(
            "asks/src/lib.rs",
            &(asks + "\n#[proc_macro]\npub fn print(_: TokenStream) -> TokenStream {\n    println!(\"printed, größer\");\n    \
             eprintln!(\"complained\");\n    TokenStream::new()\n}\n"),
        )
        .file("shared/src/lib.rs", "asks::print!();\npub fn greeting() -> &'static str {\n    \"hello\"\n}\n");
    let sealed = Sealed::new(project);
    let check = ["check", "--workspace"];
    let printed = |done: &Done| done.stdout == "printed, größer\n" && done.stderr.contains("complained\n");
    let (_, done) = sealed.does(&mut sealed.cargo(&check));
    assert!(printed(&done), "{}{}", done.stdout, done.stderr);
    for comment in ["One.", "Two."] {
        sealed.policy(&format!("# {comment}\n{POLICY}"));
        let done = sealed.compiles(&check, &[], "a comment");
        assert!(printed(&done), "{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn variables_by_a_pattern() {
    let project = workspace("pattern");
    let asks = project.read("asks/src/lib.rs");
    project
        .file(
            "asks/src/lib.rs",
            &(asks + "\n#[proc_macro]\npub fn vars(_: TokenStream) -> TokenStream {\n    \
             let names = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(\"APP_\"));\n    \
             literal(names.collect::<Vec<_>>().join(\" \"))\n}\n"),
        )
        .file("shared/src/lib.rs", "pub fn greeting() -> &'static str {\n    asks::vars!()\n}\n");
    let sealed = Sealed::new(project);
    let policy = "[[grant]]\nmacro = \"asks\"\nenv = [\"APP_*\"]\nreason = \"a test\"\n";
    sealed.policy(policy);
    let does = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = sealed.cargo(args);
        command.envs(variables.iter().copied());
        sealed.does(&mut command)
    };
    let run = ["run", "-q", "-p", "app"];
    let (_, done) = does(&run, &[("APP_B", "1")]);
    assert_eq!(done.stdout, "APP_B 1\n");
    // cargo calls each time, as it can't watch which are set.
    for comment in ["", "# A comment.\n"] {
        sealed.policy(&format!("{comment}{policy}"));
        let (compiled, done) = does(&run, &[("APP_B", "1"), ("OTHER", "1")]);
        assert_eq!((compiled, &*done.stdout), (set(&[]), "APP_B 1\n"), "{comment}");
    }
    for (variables, says) in [
        (&[("APP_B", "1"), ("APP_A", "1")][..], "APP_A APP_B 1\n"),
        (&[("APP_A", "1")], "APP_A 1\n"),
        (&[], " 1\n"),
    ] {
        let (compiled, done) = does(&run, variables);
        assert_eq!((compiled, &*done.stdout), (set(&["app", "shared"]), says));
        let (compiled, done) = does(&run, variables);
        assert_eq!((compiled, &*done.stdout), (set(&[]), says));
    }
    fs::write(sealed.project.root().join("target/belljar/untracked-names"), "").unwrap();
    assert_eq!(does(&run, &[]).0, set(&["app", "shared"]), "somebody put something there");
}

/// Variables that no grant names are seen in report mode, and no dep-info names them.
#[test]
fn variables_in_report_mode() {
    let project = workspace("report");
    let asks = project.read("asks/src/lib.rs");
    project
        .file(
            "asks/src/lib.rs",
            &(asks
                + "\n#[proc_macro]\npub fn other(_: TokenStream) -> TokenStream {\n    \
             literal(std::env::vars().find(|(name, _)| name == \"OTHER\").map(|(_, value)| value))\n}\n"),
        )
        .file(
            "shared/src/lib.rs",
            "pub fn greeting() -> &'static str {\n    asks::other!().unwrap_or(\"nothing\")\n}\n",
        )
        .file("belljar.toml", "mode = \"report\"\n");
    let sealed = Sealed::new(project);
    let says = |other: Option<&str>| {
        let mut command = sealed.cargo(&["run", "-q", "-p", "app"]);
        command.envs(other.map(|other| ("OTHER", other)));
        run(&mut command).ok().stdout
    };
    for (other, expected) in [(Some("1"), "1 1\n"), (Some("2"), "2 1\n"), (None, "nothing 1\n")] {
        assert_eq!(says(other), expected);
        assert_eq!(says(other), expected);
    }
}

/// A library that nobody links, though a package depends on it: cargo holds its time against that of the program.
#[test]
fn a_dynamic_library_that_is_loaded_later() {
    let project = workspace("loaded");
    let plugin = |n: u32| {
        format!("#[unsafe(no_mangle)]\npub extern \"C\" fn number() -> u32 {{\n    still::one!() + {n}\n}}\n")
    };
    let lib = "[lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nstill = { path = \"../still\" }\n";
    add(&project, "plugin", lib, &plugin(1));
    used_by_app(&project, "plugin");
    relock(&project);
    let sealed = Sealed::new(project);
    let build = ["build", "--workspace"];
    sealed.does(&mut sealed.cargo(&build));
    sealed.is_fresh(&build, "at first");
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    sealed.compiles(&build, &[], "a comment");
    sealed.project.file("plugin/src/lib.rs", &plugin(2));
    sealed.compiles(&build, &["app", "plugin"], "as cargo does without belljar");
    sealed.project.file("plugin/src/lib.rs", &plugin(3));
    sealed.policy(POLICY);
    sealed.does(&mut sealed.cargo(&build));
    sealed.does(&mut sealed.cargo(&build));
    sealed.is_fresh(&build, "with the policy");
    let library = sealed.project.root().join("target/debug/libplugin.so");
    fs::File::options()
        .write(true)
        .open(library)
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    sealed.does(&mut sealed.cargo(&build));
    sealed.is_fresh(&build, "a library that somebody has written to");
}

/// A macro crate that uses a library that calls macros.
#[test]
fn macros_above_what_is_left_alone() {
    let project = workspace("above");
    let uses = |name: &str| format!("[dependencies]\n{name} = {{ path = \"../{name}\" }}\n");
    add(
        &project,
        "words",
        &uses("still"),
        "pub fn word() -> String {\n    format!(\"{}\", still::one!())\n}\n",
    );
    let lib = "#[proc_macro]\npub fn word(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
               words::word().parse().unwrap()\n}\n";
    add(&project, "spells", &format!("[lib]\nproc-macro = true\n{}", uses("words")), lib);
    used_by_app(&project, "spells");
    project.file(
        "app/src/main.rs",
        "fn main() {\n    println!(\"{} {} {}\", shared::greeting(), other::other(), spells::word!());\n}\n",
    );
    relock(&project);
    let sealed = Sealed::new(project);
    for command in ["check", "build"] {
        let args = [command, "--workspace"];
        let (compiled, _) = sealed.does(&mut sealed.cargo(&args));
        assert!(compiled.contains("app") && compiled.contains("spells"), "{compiled:?}");
        for comment in ["One.", "Two."] {
            sealed.policy(&format!("# {command} {comment}\n{POLICY}"));
            sealed.compiles(&args, &[], "a comment");
        }
        assert_eq!(sealed.says(), "environment variable not found one 1 1 1");
    }
    let words = "pub fn word() -> String {\n    format!(\"{}\", still::one!() + 1)\n}\n";
    sealed.project.file("words/src/lib.rs", words);
    sealed.policy(POLICY);
    sealed.compiles(&["build", "--workspace"], &["app", "spells", "words"], "what a macro is made of");
    assert_eq!(sealed.says(), "environment variable not found one 1 1 2");
}

#[test]
fn a_macro_that_changes_with_the_policy() {
    let sealed = Sealed::new(workspace("macros"));
    let check = ["check", "--workspace"];
    sealed.does(&mut sealed.cargo(&check));
    sealed.project.file("still/src/lib.rs", &OTHER.replace("\"1\"", "\"2\""));
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    let (compiled, _) = sealed.does(&mut sealed.cargo(&check));
    assert!(compiled.contains("other") && compiled.contains("app"), "{compiled:?}");
    assert!(!compiled.contains("shared") && !compiled.contains("base"), "{compiled:?}");
    assert_eq!(sealed.says(), "environment variable not found one 1 2");
}

#[test]
fn notes_of_belljar_are_shown_again_and_what_was_wanted_stays_on_record() {
    let sealed = Sealed::new(workspace("noted"));
    let check = |greeting: &str| {
        let mut command = sealed.cargo(&["check", "--workspace"]);
        command.env("GREETING", greeting);
        sealed.does(&mut command)
    };
    sealed.policy("# Nothing is granted.\n");
    let (_, done) = check("hello");
    assert!(done.stderr.contains("belljar refused what macros of this crate asked for"), "{}", done.stderr);
    let log = || run(sealed.store.of(&mut sealed.project.belljar(&["log"]))).ok().stdout;
    let before = log();
    assert!(before.contains("GREETING"), "{before}");
    sealed.policy("# Nothing at all.\n");
    let (compiled, done) = check("hello");
    assert_eq!(compiled, set(&[]));
    assert!(done.stderr.contains("belljar refused what macros of this crate asked for"), "{}", done.stderr);
    assert_eq!(log(), before);
}

#[test]
fn of_clippy() {
    let sealed = Sealed::new(workspace("clippy"));
    sealed.project.file(
        "shared/src/lib.rs",
        "pub fn greeting() -> &'static str {\n    return asks::var!(\"GREETING\");\n}\n",
    );
    // The compiler that writes down what it does is not the one that runs.
    let clippy = || {
        let mut command = sealed.cargo(&["clippy", "--workspace"]);
        run(&mut command).ok()
    };
    let metadata = || {
        let is = |name: &str| name.ends_with(".made");
        let made = support::files(&sealed.project.root().join("target/belljar/units"), is);
        made.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
    };
    let warning = "warning: unneeded `return` statement";
    assert!(clippy().stderr.contains(warning));
    let before = metadata();
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    let done = clippy();
    assert!(done.stderr.contains(warning) && done.stderr.contains("Checking shared"), "{}", done.stderr);
    assert_eq!(metadata(), before, "nothing is compiled");
    assert!(!clippy().stderr.contains("Checking "));
    sealed.policy(POLICY);
    sealed.project.file("clippy.toml", "too-many-lines-threshold = 1\n");
    assert!(clippy().stderr.contains(warning));
    assert_ne!(metadata(), before, "settings that were not there");
}

#[test]
fn with_the_command_where_plain_cargo_is_sealed_too() {
    let sealed = Sealed::new(workspace("both"));
    let check = || {
        let mut command = sealed.project.belljar(&["check", "--workspace"]);
        command.env("RUSTC", sealed.compiler.path().join("rustc"));
        sealed.does(sealed.store.of(&mut command)).0
    };
    check();
    sealed.does(&mut sealed.cargo(&["check", "--workspace"]));
    sealed.policy(&format!("# A comment.\n{POLICY}"));
    assert_eq!(check(), set(&[]));
    sealed.compiles(&["check", "--workspace"], &[], "by plain cargo");
    sealed.policy(&grant("asks", "env = [\"A\"]"));
    assert_eq!(check(), set(&["app", "shared"]));
    sealed.compiles(&["check", "--workspace"], &["app", "shared"], "by plain cargo");
}

/// Edits all that a build can depend on, one or two things at a time, builds now this part and now that, and each time holds the
/// program and the warnings against a build of which nothing is known, which compiles all that cargo calls.
/// `BELLJAR_TEST_EDITS` says how many edits, and `BELLJAR_TEST_SEED` which.
#[test]
fn whatever_is_edited_it_is_the_same_as_compiled() {
    let (edits, seed, mut random) = edits();
    let sealed = Sealed::new(workspace("edited"));
    let project = &sealed.project;
    let base = |lines: u64| {
        let lines = "//\n".repeat(usize::try_from(lines).unwrap());
        format!(
            "pub fn base() -> u32 {{\n    1\n}}\n{lines}pub fn line<T>(_: T) -> u32 {{\n    line!()\n}}\n"
        )
    };
    let app = |n: u64| {
        format!(
            "fn main() {{\n    let unused{n} = 1;\n    println!(\"{n} {{}} {{}} {{}}\", shared::greeting(), other::other(), \
             shared::line(1));\n}}\n"
        )
    };
    let shared = project.read("shared/src/lib.rs");
    project
        .file("base/src/lib.rs", &base(0))
        .file("shared/src/lib.rs", &format!("pub use base::line;\n{shared}"))
        .file("other/build.rs", "fn main() {\n    println!(\"cargo::rerun-if-changed=number\");\n    \
             println!(\"cargo::rustc-env=NUMBER={}\", std::fs::read_to_string(\"number\").unwrap());\n}\n")
        .file("other/number", "1")
        .file("other/src/lib.rs", "pub fn other() -> String {\n    format!(\"{} {} {}\", still::one!(), asks::count!(), env!(\"NUMBER\"))\n}\n")
        .file("other/Cargo.toml", &(project.read("other/Cargo.toml") + "asks = { path = \"../asks\" }\n"))
        .file("app/src/main.rs", &app(0));
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    let side = |target: &str, args: &[&str], greeting: &str| {
        let mut command = sealed.cargo(args);
        command.env("CARGO_TARGET_DIR", project.root().join(target)).env("GREETING", greeting);
        command
    };
    let mut greeting = String::new();
    let (mut called, mut compiled) = (0, 0);
    for edit in 0..edits {
        let mut what = Vec::new();
        for _ in 0..=random.below(2) {
            let n = random.below(4);
            what.push(match random.below(12) {
                0..3 => {
                    let policy = project.root().join("belljar.toml");
                    let text = fs::read_to_string(&policy).unwrap_or_default();
                    fs::write(policy, format!("# {edit}\n{text}")).unwrap();
                    "a comment in the policy"
                }
                3 => {
                    sealed.policy(&grant("asks", &format!("for = \"shared\"\nenv = [\"A{n}\"]")));
                    "a grant"
                }
                4 => {
                    sealed.policy(&grant("asks", "for = \"other\"\nstate = \"crate\""));
                    "a grant of state"
                }
                5 => {
                    let _ = fs::remove_file(project.root().join("belljar.toml"));
                    "no policy"
                }
                6 => {
                    project.file("base/src/lib.rs", &base(n));
                    "lines of a crate below"
                }
                7 => {
                    project.file("shared/texts/a.txt", &format!("text {n}"));
                    "a file that a macro reads"
                }
                8 => {
                    greeting = format!("hello {n}");
                    "a variable"
                }
                9 => {
                    project.file("still/src/lib.rs", &OTHER.replace("\"1\"", &format!("\"{n}\"")));
                    "a macro"
                }
                10 => {
                    project.file("other/number", &n.to_string());
                    "what a build script says"
                }
                _ => {
                    project.file("app/src/main.rs", &app(n));
                    "the program"
                }
            });
        }
        let at = format!("edit {edit} ({}, seed {seed})", what.join(" and "));
        let part = ["shared", "other", "base", "app"][usize::try_from(random.below(4)).unwrap()];
        let first = ["check", "build"][usize::try_from(random.below(2)).unwrap()];
        run(&mut side("left", &[first, "-p", part], &greeting)).ok();
        let what = [&["run", "-p", "app"][..], &["check", "-p", "app"]];
        for args in what {
            let (now, left) = sealed.does(&mut side("left", args, &greeting));
            compiled += now.len();
            called +=
                left.stderr.lines().filter(|line| line.contains("ing ") && line.contains(" v0.1.0")).count();
            let _ = fs::remove_dir_all(project.root().join("anew/belljar/units"));
            let anew = run(&mut side("anew", args, &greeting)).ok();
            assert_eq!(left.stdout, anew.stdout, "{at}");
            let warnings = |done: &Done| {
                let of = |line: &&str| {
                    line.contains("warning") || line.contains("-->") || line.contains("belljar refused")
                };
                done.stderr.lines().filter(of).map(str::to_owned).collect::<BTreeSet<_>>()
            };
            assert_eq!(warnings(&left), warnings(&anew), "{at}");
            let (again, done) = sealed.does(&mut side("left", args, &greeting));
            assert!(
                again.is_empty() && !done.stderr.contains(" v0.1.0 ("),
                "{at}: the next time\n{}",
                done.stderr
            );
        }
    }
    println!("{edits} edits: {called} crates were called, {compiled} were compiled");
    assert!(called > compiled, "{called} crates were called, {compiled} were compiled");
}
