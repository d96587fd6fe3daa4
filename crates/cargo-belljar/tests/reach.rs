//! A macro that wants in: what it tries by the means that Rust's std has, under a policy that grants one directory. Each attempt
//! is one printed line; nothing gets through, and everything is in the log.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::store::Store;
use support::{Project, run};

/// `tried!("how" "path" …)` is an array of what came of each.
const MACROS: &str = r##"
use std::fs;
use std::io::Read;
use proc_macro::{TokenStream, TokenTree};

fn tried_one(how: &str, path: &str) -> String {
    let content = |bytes: Vec<u8>| format!("{} bytes", bytes.len());
    let done = match how {
        "read" => fs::read(path).map(content),
        "open" => fs::File::open(path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| content(bytes))
        }),
        "look" => fs::metadata(path).map(|m| format!("{} bytes", m.len())),
        "look at link" => fs::symlink_metadata(path).map(|m| format!("{} bytes", m.len())),
        "exists" => fs::exists(path).map(|there| format!("{there}")),
        "list" => fs::read_dir(path).map(|entries| format!("{} entries", entries.count())),
        "canonicalize" => fs::canonicalize(path).map(|to| to.display().to_string()),
        "read link" => fs::read_link(path).map(|to| to.display().to_string()),
        "write" => fs::write(path, "x").map(|()| String::new()),
        "append" => fs::OpenOptions::new().append(true).open(path).map(|_| String::new()),
        "truncate" => fs::OpenOptions::new().write(true).truncate(true).open(path).map(|_| String::new()),
        "make directory" => fs::create_dir(path).map(|()| String::new()),
        "remove" => fs::remove_file(path).map(|()| String::new()),
        "remove directory" => fs::remove_dir(path).map(|()| String::new()),
        "rename" => fs::rename(path, format!("{path}.new")).map(|()| String::new()),
        "link" => fs::hard_link(path, format!("{path}.new")).map(|()| String::new()),
        "variable" => std::env::var(path).map_err(|e| std::io::Error::other(e.to_string())),
        other => panic!("{other}"),
    };
    done.unwrap_or_else(|e| e.to_string())
}

#[proc_macro]
pub fn tried(input: TokenStream) -> TokenStream {
    let words: Vec<String> = input
        .into_iter()
        .filter_map(|tree| match tree {
            TokenTree::Literal(literal) => Some(literal.to_string().trim_matches('"').to_owned()),
            _ => None,
        })
        .collect();
    let all: Vec<String> = words.chunks(2).map(|pair| tried_one(&pair[0], &pair[1])).collect();
    format!("{all:?}").parse().unwrap()
}
"##;

const POLICY: &str = "[[grant]]\nmacro = \"reach\"\nread = [\"granted/**\", \"*.txt\"]\nlist = [\"granted/**\"]\nreason = \"a test\"\n";

/// A workspace whose `app` calls the macro with these attempts, and another member with a secret.
fn workspace(attempts: &[(&str, String)]) -> Project {
    let project = Project::new("reach");
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let words: Vec<String> =
        attempts.iter().map(|(how, path)| format!("        \"{how}\" \"{path}\"\n")).collect();
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"reach\", \"other\"]\n")
        .file("reach/Cargo.toml", &package("reach", "[lib]\nproc-macro = true\n"))
        .file("reach/src/lib.rs", MACROS)
        .file("other/Cargo.toml", &package("other", ""))
        .file("other/src/lib.rs", "")
        .file("other/secret.txt", "secret")
        .file("app/Cargo.toml", &package("app", "[dependencies]\nreach = { path = \"../reach\" }\n"))
        .file(
            "app/src/main.rs",
            &format!(
                "fn main() {{\n    for line in reach::tried!(\n{}    ) {{\n        println!(\"{{line}}\");\n    }}\n}}\n",
                words.concat()
            ),
        )
        .file("app/granted/a.txt", "granted")
        .file("app/granted/deep/b.txt", "too")
        .file("app/.env", "SECRET=1")
        .file("app/secret.key", "secret")
        .file(".env", "SECRET=1")
        .file("belljar.toml", POLICY);
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    project
}

/// What came of each attempt, and the outcomes of what the log has on it: `outcome what name`.
fn tried(store: &Store, project: &Project) -> (Vec<String>, BTreeSet<String>) {
    let done = run(store.of(&mut project.belljar(&["run", "-q"])).env("SECRET_TOKEN", "secret")).ok();
    let log = run(store.of(&mut project.belljar(&["log", "--format", "json"]))).ok().stdout;
    let line = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("package"), "reach");
        assert!(
            entry["calls"][0]["line"].as_u64().is_some_and(|line| line == 2) || text("outcome") == "fixed"
        );
        format!("{} {} {}", text("outcome"), text("what"), text("name"))
    };
    (done.stdout.lines().map(str::to_owned).collect(), log.lines().map(line).collect())
}

const DENIED: &str = "Permission denied (os error 2)";

#[test]
fn what_is_not_granted() {
    let home = std::env::home_dir().unwrap();
    let home = home.to_str().unwrap();
    let root = std::env::temp_dir();
    let mut attempts: Vec<(&str, String)> = Vec::new();
    for path in [
        "/etc/passwd",
        "/etc/no-such-file",
        "/proc/self/environ",
        "/proc/self/exe",
        "/proc/self/fd/0",
        "/proc/1/root/etc/passwd",
        "/proc/self/cwd/app/secret.key",
        "/dev/urandom",
        "/dev/tty",
        "/",
        root.to_str().unwrap(),
        &format!("{home}/.ssh/id_rsa"),
        &format!("{home}/.cargo/credentials.toml"),
        &format!("{home}/.no-such-file"),
        home,
    ] {
        for how in ["read", "open", "look", "look at link", "exists", "list", "canonicalize"] {
            attempts.push((how, path.to_owned()));
        }
    }
    let placeholder = workspace(&attempts);
    let app = placeholder.root().join("app");
    let inside = |path: &str| format!("{}/{path}", app.display());
    for path in [
        ".env",
        "secret.key",
        "no-such.key",
        "src/main.rs",
        "granted/../secret.key",
        "granted/deep/../../secret.key",
        "./secret.key",
        "granted/../../other/secret.txt",
        "../other/secret.txt",
        "../.env",
        "../target/belljar/log",
        "../no-such-member/secret.txt",
        "Granted/a.txt",
        "granted/../../../../../../../../../../../etc/passwd",
    ] {
        for how in ["read", "open", "look", "look at link", "exists", "read link", "canonicalize"] {
            attempts.push((how, inside(path)));
        }
    }
    for how in
        ["write", "append", "truncate", "make directory", "remove", "remove directory", "rename", "link"]
    {
        for path in ["granted/a.txt", "granted/new.txt", "secret.key", "granted/deep"] {
            attempts.push((how, inside(path)));
        }
    }
    for name in ["HOME", "SECRET_TOKEN", "NO_SUCH_VARIABLE", "CARGO", "PATH"] {
        attempts.push(("variable", name.to_owned()));
    }
    let words: Vec<String> = attempts.iter().map(|(how, path)| format!("\"{how}\" \"{path}\" ")).collect();
    placeholder.file(
        "app/src/main.rs",
        &format!(
            "fn main() {{\n    for line in reach::tried!({}) {{ println!(\"{{line}}\"); }}\n}}\n",
            words.concat()
        ),
    );
    let store = Store::with_toolchain();
    let (came, log) = tried(&store, &placeholder);
    assert_eq!(came.len(), attempts.len());
    for ((how, path), came) in attempts.iter().zip(&came) {
        println!("{how} {path}: {came}");
        let expected = if *how == "variable" { "environment variable not found" } else { DENIED };
        if *how == "canonicalize" && app.starts_with(path) {
            // That it is a directory follows from where the package is, which the macro may know.
            assert_eq!(came, path);
            continue;
        }
        assert_eq!(came, expected, "{how} {path}");
        let name = normalised(path);
        let logged =
            log.iter().any(|line| line.starts_with("refused ") && line.ends_with(&format!(" {name}")));
        assert!(logged, "{how} {path} is not in the log: {log:#?}");
    }
    assert_eq!(fs::read(app.join("granted/a.txt")).unwrap(), b"granted");
    assert!(app.join("granted/deep/b.txt").is_file() && !app.join("granted/new.txt").exists());
}

/// The path as the log names it.
fn normalised(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[test]
fn links_and_strange_files_in_a_granted_directory() {
    let project = workspace(&[]);
    let app = project.root().join("app");
    let inside = |path: &str| format!("{}/{path}", app.display());
    let granted = app.join("granted");
    let link = |to: &str, name: &str| symlink(to, granted.join(name)).unwrap();
    link("/etc/passwd", "absolute");
    link("/etc/no-such-file", "absolute missing");
    link("../secret.key", "relative");
    link("../no-such.key", "relative missing");
    link("../../other", "member");
    link("/proc/self/environ", "environ");
    link("relative", "hop");
    link("loop", "loop");
    link("deep/../a.txt", "good");
    link(&inside("granted/a.txt"), "good absolute");
    link("../outside.txt", "other grant");
    fs::write(app.join("outside.txt"), "by name").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        granted.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(granted.join("socket")).unwrap();
    let mut expected: Vec<(&str, String, &str)> = Vec::new();
    for name in ["absolute", "absolute missing", "relative", "relative missing", "environ", "hop"] {
        for how in ["read", "open", "look", "exists"] {
            expected.push((how, inside(&format!("granted/{name}")), DENIED));
        }
    }
    for how in ["read", "look", "exists"] {
        expected.push((how, inside("granted/member/secret.txt"), DENIED));
        expected.push((how, inside("granted/member/no-such.txt"), DENIED));
    }
    expected.push(("list", inside("granted/member"), DENIED));
    for name in ["fifo", "socket"] {
        expected.push(("read", inside(&format!("granted/{name}")), DENIED));
    }
    for name in ["good", "good absolute", "other grant", "a.txt"] {
        expected.push(("read", inside(&format!("granted/{name}")), "7 bytes"));
        expected.push(("look", inside(&format!("granted/{name}")), "7 bytes"));
    }
    expected.push(("read", inside("granted/no-such.txt"), "No such file or directory (os error 44)"));
    expected.push(("read", inside("granted/deep"), "Is a directory (os error 31)"));
    expected.push(("read", inside("granted/a.txt/b"), "Not a directory (os error 54)"));
    expected.push(("read", inside("granted/loop"), "Symbolic link loop (os error 32)"));
    expected.push(("list", inside("granted/deep"), "1 entries"));
    expected.push(("read link", inside("granted/relative"), "../secret.key"));
    let (real, good) = (inside("granted/a.txt"), inside("granted/deep/../good"));
    expected.push(("canonicalize", good, &real));
    for name in ["absolute", "relative", "relative missing", "member/secret.txt"] {
        expected.push(("canonicalize", inside(&format!("granted/{name}")), DENIED));
    }
    let words: Vec<String> = expected.iter().map(|(how, path, _)| format!("\"{how}\" \"{path}\" ")).collect();
    project.file(
        "app/src/main.rs",
        &format!(
            "fn main() {{\n    for line in reach::tried!({}) {{ println!(\"{{line}}\"); }}\n}}\n",
            words.concat()
        ),
    );
    let store = Store::with_toolchain();
    let (came, log) = tried(&store, &project);
    assert_eq!(came.len(), expected.len());
    for ((how, path, expected), came) in expected.iter().zip(&came) {
        println!("{how} {path}: {came}");
        assert_eq!(came, expected, "{how} {path}");
    }
    let refused = |path: &Path| {
        log.iter().any(|line| line.starts_with("refused ") && line.ends_with(&format!(" {}", path.display())))
    };
    for target in ["/etc/passwd", "/etc/no-such-file", "/proc/self/environ"] {
        assert!(refused(Path::new(target)), "{target}: {log:#?}");
    }
    for target in ["app/secret.key", "app/no-such.key", "other/secret.txt", "other/no-such.txt", "other"] {
        assert!(refused(&project.root().join(target)), "{target}: {log:#?}");
    }
    drop(socket);
}
