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
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;
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
        "permissions" => {
            let any = || fs::metadata(std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/granted/a.txt");
            any().and_then(|any| fs::set_permissions(path, any.permissions())).map(|()| String::new())
        }
        "start" => Command::new(path).arg("-c").arg("true").spawn().map(|_| String::new()),
        "run" => Command::new(path).arg("--version").status().map(|status| status.to_string()),
        "output" => Command::new(path).arg("--version").output().map(|output| content(output.stdout)),
        "connect" => TcpStream::connect(path).map(|_| String::new()),
        "connect to pair" => TcpStream::connect((path, 443)).map(|_| String::new()),
        "connect within" => {
            TcpStream::connect_timeout(&path.parse().unwrap(), Duration::from_secs(1)).map(|_| String::new())
        }
        "listen" => TcpListener::bind(path).map(|_| String::new()),
        "udp" => UdpSocket::bind(path).map(|_| String::new()),
        "look up" => path.to_socket_addrs().map(|all| format!("{} addresses", all.count())),
        "thread" => thread::Builder::new().name(path.to_owned()).spawn(|| ()).map(|_| String::new()),
        "scoped thread" => thread::scope(|scope| {
            thread::Builder::new().spawn_scoped(scope, || ()).map(|_| String::new())
        }),
        "variable" => std::env::var(path).map_err(|e| std::io::Error::other(e.to_string())),
        other => panic!("{other}"),
    };
    done.unwrap_or_else(|e| e.to_string())
}

/// Ends as natively where no thread can be started: with a panic.
#[proc_macro]
pub fn thread(input: TokenStream) -> TokenStream {
    if input.is_empty() {
        drop(thread::spawn(|| ()));
    } else {
        thread::scope(|scope| drop(scope.spawn(|| ())));
    }
    TokenStream::new()
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
            let all =
                log.iter().any(|line| line.starts_with("granted ") && line.ends_with(&format!(" {path}")));
            // `/` is itself, whoever is asked: libc asks nobody.
            assert!(all || *path == "/", "{how} {path} is not in the log: {log:#?}");
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

/// What WASI's std refuses by itself, without a question to anybody, is on record as the rest.
#[test]
fn programs_sockets_and_threads() {
    const UNSUPPORTED: &str = "operation not supported on this platform";
    const NO_THREAD: &str = "Resource temporarily unavailable (os error 6)";
    const NO_PERMISSIONS: &str = "Function not implemented (os error 52)";
    let attempts = [
        ("start", "/bin/sh", UNSUPPORTED, "process /bin/sh"),
        ("run", "sh", UNSUPPORTED, "process sh"),
        ("output", "git", UNSUPPORTED, "process git"),
        ("connect", "127.0.0.1:1", UNSUPPORTED, "socket 127.0.0.1:1"),
        ("connect", "collect.example.org:443", UNSUPPORTED, "socket collect.example.org:443"),
        ("connect to pair", "pair.example.org", UNSUPPORTED, "socket pair.example.org:443"),
        ("connect within", "[::1]:2", UNSUPPORTED, "socket [::1]:2"),
        ("look up", "name.example.org:53", UNSUPPORTED, "socket name.example.org:53"),
        ("look up", "192.0.2.1:53", "1 addresses", ""),
        ("listen", "0.0.0.0:8080", UNSUPPORTED, "socket 0.0.0.0:8080"),
        ("udp", "127.0.0.1:5353", UNSUPPORTED, "socket 127.0.0.1:5353"),
        ("thread", "worker", NO_THREAD, "thread "),
        ("scoped thread", "", NO_THREAD, "thread "),
        ("read", "/dev/tcp/127.0.0.1/1", DENIED, "read /dev/tcp/127.0.0.1/1"),
        ("append", "/dev/udp/127.0.0.1/1", DENIED, "write /dev/udp/127.0.0.1/1"),
        ("permissions", "/etc/crontab", NO_PERMISSIONS, "write /etc/crontab"),
    ];
    let words: Vec<String> =
        attempts.iter().map(|(how, what, ..)| format!("\"{how}\" \"{what}\" ")).collect();
    // A guest that calls `catch_unwind` gets another std than others.
    for catches in [false, true] {
        let project = workspace(&[]);
        if catches {
            let more = "\n#[allow(dead_code)] fn caught() { let _ = std::panic::catch_unwind(|| ()); }\n";
            project.file("reach/src/lib.rs", &format!("{MACROS}{more}"));
        }
        project.file(
            "app/src/main.rs",
            &format!(
                "fn main() {{\n    for line in reach::tried!({}) {{ println!(\"{{line}}\"); }}\n}}\n",
                words.concat()
            ),
        );
        let store = Store::with_toolchain();
        let (came, log) = tried(&store, &project);
        assert_eq!(came.len(), attempts.len());
        for ((how, what, expected, logged), came) in attempts.iter().zip(&came) {
            assert_eq!(came, expected, "{how} {what}");
            assert!(
                logged.is_empty() || log.contains(&format!("refused {logged}")),
                "{how} {what}: {log:#?}"
            );
        }
        assert!(!log.iter().any(|line| line.contains("192.0.2.1")), "{log:#?}");
        for (call, shown) in [("", "spawn"), ("scoped", "scope")] {
            project.file("app/src/main.rs", &format!("reach::thread!({call});\nfn main() {{}}\n"));
            let done = run(store.of(&mut project.belljar(&["check", "-q"]))).failed();
            assert!(done.stderr.contains("failed to spawn thread"), "{shown}: {}", done.stderr);
            assert!(done.stderr.contains("belljar refused: start a thread"), "{shown}: {}", done.stderr);
        }
    }
}

/// Crates that a macro is made of: they name the std in one way and another, or not at all, and hand its types around.
const TOOLS: [(&str, &str); 4] = [
    (
        "bare",
        "#![no_std]\nextern crate std as s;\n\
         pub fn run() -> bool { s::process::Command::new(\"of-bare\").status().is_ok() }\n",
    ),
    (
        "again",
        "pub use std as again;\n\
         pub fn command() -> std::process::Command { std::process::Command::new(\"of-again\") }\n",
    ),
    (
        "sockets",
        "use std::{io, net::*};\n\
         pub trait Stream: io::Read + io::Write + std::os::fd::AsRawFd {}\n\
         impl Stream for TcpStream {}\n\
         pub fn to(addr: impl ToSocketAddrs) -> io::Result<Box<dyn Stream>> { Ok(Box::new(TcpStream::connect(addr)?)) }\n",
    ),
    (
        "none",
        "#![no_std]\nmod std { pub use core::*; }\nuse std::fmt;\npub fn text() -> impl fmt::Display { 1 }\n",
    ),
];

/// It also makes a hasher, for which it has another std than the crates above.
const THROUGH_TOOLS: &str = r#"
use proc_macro::TokenStream;

fn command() -> again::again::process::Command {
    let _ = std::collections::hash_map::DefaultHasher::new();
    let command: std::process::Command = again::command();
    command
}

#[proc_macro]
pub fn through(_: TokenStream) -> TokenStream {
    let ran = bare::run() || command().output().is_ok();
    let connected = sockets::to(("of-sockets", 80)).is_ok();
    format!("({ran}, {connected}, {})", none::text()).parse().unwrap()
}
"#;

#[test]
fn every_crate_of_a_macro_is_heard() {
    let project = workspace(&[]);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let mut dependencies = "[lib]\nproc-macro = true\n[dependencies]\n".to_owned();
    for (name, library) in TOOLS {
        dependencies += &format!("{name} = {{ path = \"../{name}\" }}\n");
        project.file(&format!("{name}/Cargo.toml"), &package(name, ""));
        project.file(&format!("{name}/src/lib.rs"), library);
    }
    project
        .file("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\nexclude = [\"target\"]\n")
        .file("reach/Cargo.toml", &package("reach", &dependencies))
        .file("reach/src/lib.rs", THROUGH_TOOLS)
        .file("app/src/main.rs", "fn main() {\n    println!(\"{:?}\", reach::through!());\n}\n");
    run(&mut project.cargo(&["generate-lockfile", "--offline"])).ok();
    let (came, log) = tried(&Store::with_toolchain(), &project);
    assert_eq!(came, ["(false, false, 1)"]);
    for wanted in ["process of-bare", "process of-again", "socket of-sockets:80"] {
        assert!(log.contains(&format!("refused {wanted}")), "{wanted}: {log:#?}");
    }
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
