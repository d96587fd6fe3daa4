//! A macro that may read its templates, and tries everything else. Each attempt prints one line (`--nocapture` shows them):
//! what was tried, that it was refused, and that it is in the log.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use belljar_policy::{Access, Outcome};
use camino::Utf8PathBuf;
use rustix::fs::{CWD, RenameFlags, mkfifoat, renameat_with};

use crate::script::{CREATE, READ, ROOT, Script, Told, WRITE};
use crate::support::{Answer, Shim, input};
use crate::tree::{TEMPLATES, Tree};

const ACCES: u32 = 2;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const ILSEQ: u32 = 25;
const INVAL: u32 = 28;
const NOENT: u32 = 44;

/// One attempt: what it is in words, what the guest does, and what the log is to say of it.
struct Attempt {
    words: String,
    logged: (Access, Utf8PathBuf),
}

#[derive(Default)]
struct Attempts {
    script: Script,
    tried: Vec<Attempt>,
}

impl Attempts {
    fn tries(
        &mut self,
        words: impl Into<String>,
        access: Access,
        path: impl Into<Utf8PathBuf>,
    ) -> &mut Script {
        self.tried.push(Attempt { words: words.into(), logged: (access, path.into()) });
        &mut self.script
    }

    /// Opens, looks at, lists and reads the link at what a guest's path means, which is `path`.
    fn all(&mut self, words: &str, guest: &str, path: impl Into<Utf8PathBuf>) {
        let path = path.into();
        self.tries(format!("{words}: read"), Access::Read, &path).open(guest);
        self.tries(format!("{words}: look at"), Access::LookAt, &path).stat(guest);
        self.tries(format!("{words}: list"), Access::List, &path).open_directory(guest);
        self.tries(format!("{words}: read as a link"), Access::ReadLink, &path).read_link(guest, 1000);
    }

    /// Runs them all: each gives the same error, and is on record as refused.
    fn run(&self, tree: &Tree, shim: &mut Shim) {
        let told = self.script.run(shim);
        assert_eq!(told.len(), self.tried.len());
        for (Attempt { words, logged: (access, path) }, Told { errno, .. }) in self.tried.iter().zip(&told) {
            assert_eq!(*errno, ACCES, "{words} ({path})");
            assert!(tree.was(Outcome::Refused, *access, path), "{words} ({path}): {:#?}", tree.attempts());
            println!("{words:<60} refused, logged as {} {path}", access.word());
        }
    }
}

#[test]
fn nothing_but_what_is_granted_is_read() {
    let tree = Tree::new();
    let mut attempts = Attempts::default();
    let home = tree.path("home");
    let absolute = |path: &Utf8PathBuf| path.as_str().trim_start_matches('/').to_owned();
    for (words, path) in [
        ("passwords", "/etc/passwd".into()),
        ("the host's name", "/etc/hostname".into()),
        ("what is not there", "/etc/no-such-file".into()),
        ("the compiler's environment", "/proc/self/environ".into()),
        ("the compiler's environment by its process", "/proc/1/environ".into()),
        ("the compiler's memory", "/proc/self/mem".into()),
        ("a descriptor of the expander's", "/proc/self/fd/0".into()),
        ("another one", "/proc/self/fd/3".into()),
        ("one by a thread", "/proc/thread-self/fd/1".into()),
        ("one by /dev", "/dev/fd/2".into()),
        ("standard input", "/dev/stdin".into()),
        ("a terminal", "/dev/tty".into()),
        ("a disk", "/dev/vda".into()),
        ("the real random numbers", "/dev/urandom".into()),
        ("the kernel's version", "/proc/version".into()),
        ("a secret key", home.join(".ssh/id_rsa")),
        ("the directory of keys", home.join(".ssh")),
        ("cargo's credentials", home.join(".cargo/credentials.toml")),
        ("the user's own policy", home.join(".config/belljar/belljar.toml")),
        ("the policy", tree.path("ws/belljar.toml")),
        ("the workspace's .env", tree.path("ws/.env")),
        ("the package's .env", tree.path("ws/web/.env")),
        ("another member", tree.path("ws/other/src/lib.rs")),
        ("another member's directory", tree.path("ws/other")),
        ("the target directory", tree.path("ws/target/debug/deps/other.d")),
        ("the package's own sources", tree.path("ws/web/src/main.rs")),
        ("what begins with a granted name", tree.path("ws/web/templates2/a.html")),
    ] {
        attempts.all(words, &absolute(&path), path.clone());
    }
    attempts.run(&tree, &mut tree.shim(TEMPLATES));
}

#[test]
fn no_way_of_writing_a_path_leads_out() {
    let tree = Tree::new();
    let mut attempts = Attempts::default();
    let key = tree.path("home/.ssh/id_rsa");
    let up = "../".repeat(40);
    let from_template = |path: &str| tree.template(path);
    for (words, path, means) in [
        ("up from the root", format!("{up}etc/passwd"), Utf8PathBuf::from("/etc/passwd")),
        ("an absolute path", "/etc/passwd".into(), "/etc/passwd".into()),
        ("many slashes", "//etc///passwd".into(), "/etc/passwd".into()),
        ("a slash at the end", "etc/passwd/".into(), "/etc/passwd".into()),
        ("a dot at the end", "etc/passwd/.".into(), "/etc/passwd".into()),
        ("dots at the end", "etc/passwd/..".into(), "/etc".into()),
        ("up from a template", from_template("../../../home/.ssh/id_rsa"), key.clone()),
        ("down and up", from_template("sub/../../../../home/.ssh/id_rsa"), key.clone()),
        (
            "down where nothing is, and up",
            from_template("no/such/../../../../../home/.ssh/id_rsa"),
            key.clone(),
        ),
        ("through a file", from_template("a.html/../../../../home/.ssh/id_rsa"), key.clone()),
        ("up and almost back", from_template("../templates2/../../../home/.ssh/id_rsa"), key.clone()),
        ("to what is beside the grant", from_template("../src"), tree.path("ws/web/src")),
        ("up from the working directory", ".belljar-cwd/../home/.ssh/id_rsa".into(), key.clone()),
        ("the working directory", ".belljar-cwd/other".into(), tree.path("ws/other")),
        ("another case", tree.guest("ws/web/TEMPLATES/a.html"), tree.path("ws/web/TEMPLATES/a.html")),
        ("an escape that is none", from_template("%2e%2e/../../secret"), tree.path("ws/web/secret")),
    ] {
        attempts.tries(format!("{words}: read"), Access::Read, &means).open(&path);
        attempts.tries(format!("{words}: look at"), Access::LookAt, &means).stat(&path);
        attempts.tries(format!("{words}: list"), Access::List, &means).open_directory(&path);
    }
    attempts.run(&tree, &mut tree.shim(TEMPLATES));

    // By an open directory's descriptor.
    let mut script = Script::new();
    script.open_directory(&tree.template("sub"));
    let paths =
        ["../../.env", "../../../.env", "/etc/passwd", "../../../../home/.ssh/id_rsa", "./../..//.env"];
    for path in paths {
        script.open_with(4, path.as_bytes(), 0, READ, true).stat_at(4, path.as_bytes(), true);
    }
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!(told[0].errno, 0);
    for (i, told) in told[1..].iter().enumerate() {
        assert_eq!(told.errno, ACCES, "{}", paths[i / 2]);
        println!("{:<60} refused, logged", format!("by a directory's descriptor: {}", paths[i / 2]));
    }
    for path in ["ws/web/.env", "ws/.env", "home/.ssh/id_rsa"] {
        assert!(tree.was(Outcome::Refused, Access::Read, tree.path(path)), "{path}");
    }
}

#[test]
fn no_link_leads_out() {
    let tree = Tree::new();
    let templates = tree.path("ws/web/templates");
    let key = tree.path("home/.ssh/id_rsa");
    tree.link("../../../home/.ssh/id_rsa", "ws/web/templates/relative");
    tree.link(&key, "ws/web/templates/absolute");
    tree.link("../../../home", "ws/web/templates/home");
    tree.link("/", "ws/web/templates/root");
    tree.link("relative", "ws/web/templates/chain");
    tree.link("sub/../../../../home/.ssh/id_rsa", "ws/web/templates/winding");
    tree.link("/proc/self/fd/0", "ws/web/templates/magic");
    tree.link("/proc/self/root", "ws/web/templates/magic-root");
    tree.link("/proc/self/cwd", "ws/web/templates/magic-cwd");
    tree.link("/no/such/thing", "ws/web/templates/nothing");
    tree.link("../.env", "ws/web/templates/env");
    let mut attempts = Attempts::default();
    for (path, means) in [
        ("relative", key.clone()),
        ("absolute", key.clone()),
        ("home/.ssh/id_rsa", key.clone()),
        ("home/.ssh/../.ssh/id_rsa", key.clone()),
        ("root/etc/passwd", "/etc/passwd".into()),
        ("root/proc/self/environ", "/proc/self/environ".into()),
        ("chain", key.clone()),
        ("winding", key.clone()),
        ("magic", "/proc/self/fd/0".into()),
        ("magic-root/etc/passwd", "/proc/self/root/etc/passwd".into()),
        ("magic-cwd/.env", "/proc/self/cwd/.env".into()),
        ("nothing", "/no/such/thing".into()),
        ("env", tree.path("ws/web/.env")),
    ] {
        let guest = tree.template(path);
        let words = format!("the link {path}");
        attempts.tries(format!("{words}: read"), Access::Read, &means).open(&guest);
        attempts.tries(format!("{words}: look at"), Access::LookAt, &means).stat(&guest);
        attempts.tries(format!("{words}: list"), Access::List, &means).open_directory(&guest);
        attempts.tries(format!("{words}/: look at"), Access::LookAt, &means).stat(&format!("{guest}/"));
    }
    attempts.run(&tree, &mut tree.shim(TEMPLATES));
    // That it is a link, and where it leads, is in what is granted; what is there is not.
    let mut script = Script::new();
    script
        .stat_at(ROOT, tree.template("absolute").as_bytes(), false)
        .read_link(&tree.template("absolute"), 1000);
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!((told[0].bytes[16], told[1].text()), (7, key.to_string()));
    assert!(templates.join("absolute").is_symlink());
}

#[test]
fn what_is_no_file_is_never_opened() {
    let tree = Tree::new();
    let templates = tree.path("ws/web/templates");
    mkfifoat(CWD, templates.join("fifo").as_str(), 0o666.into()).unwrap();
    let _listener = UnixListener::bind(templates.join("socket")).unwrap();
    let mut attempts = Attempts::default();
    // Nobody writes to the FIFO: opening it would wait for ever.
    for name in ["fifo", "socket"] {
        let path = templates.join(name);
        attempts.tries(format!("a {name}: read"), Access::Read, path).open(&tree.template(name));
    }
    attempts.run(&tree, &mut tree.shim(TEMPLATES));
    let mut attempts = Attempts::default();
    for name in ["/dev/null", "/dev/tty", "/dev/zero", "/dev/urandom"] {
        attempts.tries(format!("the device {name}, granted: read"), Access::Read, name).open(&name[1..]);
    }
    attempts.run(&tree, &mut tree.shim("read = [\"/dev/*\"]\nwide = true"));
    let mut script = Script::new();
    script.stat(&tree.template("fifo")).stat(&tree.template("socket"));
    assert!(script.run(&mut tree.shim(TEMPLATES)).iter().all(|told| told.bytes[16] == 0));
}

#[test]
fn nothing_is_written() {
    let tree = Tree::new();
    let mut attempts = Attempts::default();
    for (words, path) in [
        ("a granted file", tree.template("a.html")),
        ("a new file", tree.template("new")),
        ("a file elsewhere", "tmp/belljar-was-here".into()),
        ("the package's source", tree.guest("ws/web/src/main.rs")),
    ] {
        let path = path.as_str();
        let means = Utf8PathBuf::from(format!("/{path}"));
        let script = attempts.tries(format!("{words}: write"), Access::Write, &means);
        script.open_with(ROOT, path.as_bytes(), 0, READ | WRITE, true);
        let script = attempts.tries(format!("{words}: create"), Access::Write, &means);
        script.open_with(ROOT, path.as_bytes(), CREATE, READ, true);
        let script = attempts.tries(format!("{words}: empty"), Access::Write, &means);
        script.open_with(ROOT, path.as_bytes(), 8, READ, true);
        for (name, access) in [
            ("path_create_directory", Access::MakeDirectory),
            ("path_remove_directory", Access::Remove),
            ("path_unlink_file", Access::Remove),
        ] {
            let script = attempts.tries(format!("{words}: {name}"), access, &means);
            let (at, len) = script.put(path.as_bytes());
            script.call(name, &[ROOT.into(), at.into(), len.into()], 0);
        }
        let script = attempts.tries(format!("{words}: rename"), Access::Rename, &means);
        let (at, len) = script.put(path.as_bytes());
        let (at, len) = (u64::from(at), u64::from(len));
        script.call("path_rename", &[3, at, len, 3, at, len], 0);
        let script = attempts.tries(format!("{words}: link"), Access::Link, &means);
        script.call("path_link", &[3, 0, at, len, 3, at, len], 0);
        let script = attempts.tries(format!("{words}: symbolic link"), Access::Link, &means);
        script.call("path_symlink", &[at, len, 3, at, len], 0);
        let script = attempts.tries(format!("{words}: set times"), Access::Touch, &means);
        script.call("path_filestat_set_times", &[3, 0, at, len, 0, 0, 5], 0);
    }
    attempts.run(&tree, &mut tree.shim(TEMPLATES));
    assert_eq!(fs::read_to_string(tree.path("ws/web/templates/a.html")).unwrap(), "<b>one</b>\n");
    assert!(!tree.path("ws/web/templates/new").exists());
}

/// A refusal tells nothing: what a guest is told is the same for what is there and what is not, and nothing was touched.
#[test]
fn what_is_there_is_not_told_from_what_is_not() {
    let tree = Tree::new();
    let mut shim = tree.shim(TEMPLATES);
    tree.link("../.env", "ws/web/templates/to-something");
    tree.link("../.nothing", "ws/web/templates/to-nothing");
    let mut ask = |path: &str| {
        let mut script = Script::new();
        script
            .open(path)
            .stat(path)
            .open_directory(path)
            .open(&format!("{path}/"))
            .open(&format!("{path}/x"));
        script.stat_at(ROOT, path.as_bytes(), false);
        script.open_with(ROOT, path.as_bytes(), CREATE | 4, READ | WRITE, true);
        script.run(&mut shim)
    };
    let something = ask(&tree.guest("ws/web/.env"));
    for (words, path) in [
        ("a file", tree.guest("ws/web/.env")),
        ("a large file", "proc/kcore".into()),
        ("nothing", tree.guest("ws/web/.nothing")),
        ("nothing in nothing", tree.guest("ws/no/such/thing")),
        ("a directory", tree.guest("home/.ssh")),
        ("a file as a directory", tree.guest("ws/web/.env/x")),
        ("what may not be read", "proc/sys/vm/compact_memory".into()),
        ("a name that is too long for a file", tree.guest(&"x".repeat(300))),
    ] {
        assert_eq!(ask(&path), something, "{words}");
        println!("{words:<60} told the same as of any other");
    }
    // What the link itself is may be known: the last but one step looks at that.
    let through = ask(&tree.template("to-something"));
    assert_eq!(through[..5], ask(&tree.template("to-nothing"))[..5]);
    println!("{:<60} told the same as of a link to nothing", "a link to something");
    assert!(
        tree.seen()
            .iter()
            .all(|seen| !format!("{seen:?}").contains(".env\"") || format!("{seen:?}").starts_with("Link"))
    );
}

#[test]
fn odd_paths_pointers_and_numbers_are_errors_of_their_own() {
    let tree = Tree::new();
    let mut script = Script::new();
    let path = tree.template("a.html");
    script.open_with(ROOT, b"etc/\xff", 0, READ, true).open_with(ROOT, b"etc/\0/x", 0, READ, true);
    script.open_with(ROOT, &[b'a'; 5000], 0, READ, true).open_with(ROOT, b"", 0, READ, true);
    script.open(&path);
    // Pointers out of memory, lengths beyond it, too many pieces.
    script.call("fd_read", &[4, 0xffff_fff0, 1, 0xf000], 0).call("fd_read", &[4, 0, 2000, 0xf000], 0);
    script.call("fd_read", &[4, 0, 1024, 0xffff_fffe], 0).call("fd_tell", &[4, 0xffff_fff9], 0);
    script.call("path_open", &[3, 0, 0xffff_ff00, 0x1000, 0, 2, 0, 0, 0x1_0000], 0);
    script.call("path_filestat_get", &[3, 1, 0x4_0000, 0xffff_ffff, 0x1_0000], 0);
    script.call("fd_readdir", &[99, 0, 0xffff_ffff, 0, 0xf000], 0);
    script.open_directory(&tree.template("")).call("fd_readdir", &[5, 0x1_0000, 0xffff_ffff, 0, 0xf000], 0);
    script.list(5, 100, u64::MAX).list(5, 100, 1 << 40).list(4, 100, 0);
    script.call("fd_seek", &[4, i64::MAX as u64, 0, 0x1_0000], 0).call("fd_seek", &[4, 1, 1, 0x1_0000], 0);
    script
        .call("fd_seek", &[4, 0, 7, 0x1_0000], 0)
        .read(4, 10)
        .read_at(4, 10, u64::MAX)
        .close(4)
        .close(4)
        .read(4, 1);
    // A descriptor that can't be written is not left open.
    let (at, len) = script.put(path.as_bytes());
    script.call("path_open", &[3, 1, at.into(), len.into(), 0, 2, 0, 0, 0xffff_fffe], 0).read(4, 1);
    let told: Vec<u32> = script.run(&mut tree.shim(TEMPLATES)).iter().map(|told| told.errno).collect();
    let expected = [
        &[ILSEQ, INVAL, 37, NOENT, 0][..],
        &[FAULT, INVAL, FAULT, FAULT, FAULT, FAULT, BADF, 0, FAULT],
        &[INVAL, INVAL, 54, 0, INVAL, INVAL, 0, 0, 0, BADF, BADF, FAULT, BADF],
    ];
    assert_eq!(told, expected.concat());
    for path in ["/etc/\u{fffd}", "/etc/\0/x"] {
        assert!(tree.was(Outcome::Refused, Access::Read, path), "{path:?}");
    }
}

/// Somebody swaps a directory of the templates with a link to secrets, again and again, while the macro reads: it reads the
/// template, or nothing, or is refused the secret by its name.
#[test]
fn nobody_who_moves_things_meanwhile_leads_out() {
    let tree = Tree::new();
    tree.write("home/.ssh/c.html", "secret\n");
    tree.link(tree.path("home/.ssh"), "ws/web/templates/swap");
    let (sub, swap) = (tree.path("ws/web/templates/sub"), tree.path("ws/web/templates/swap"));
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut swaps = 0u64;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, sub.as_str(), CWD, swap.as_str(), RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let (mut templates, mut refused) = (0, 0);
    for _ in 0..40 {
        // A compilation of its own each time: what changes within one is an error.
        let mut script = Script::new();
        script.open(&tree.template("sub/c.html")).read(4, 100);
        let replied = tree.shim(TEMPLATES).expand(&script.wat(), &input());
        assert!(!replied.stdout.contains("hdgfgdhcgfhe"), "the secret was read");
        match &replied.answer {
            Answer::Done(_) if replied.stdout.starts_with("aa") => templates += 1,
            Answer::Done(_) => refused += 1,
            Answer::Failed(text) => assert!(text.contains("changed while"), "{text}"),
            Answer::Panicked(_) => panic!("{replied:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapping.join().unwrap();
    println!(
        "a directory swapped with a link, {swaps} times: read {templates} times, refused {refused} times, never the secret"
    );
    assert!(swaps > 0);
    let seen = tree.seen();
    let secret = tree.path("home/.ssh/c.html");
    assert!(seen.iter().all(|seen| !format!("{seen:?}").contains(secret.as_str())), "{seen:?}");
}

#[test]
fn a_link_in_the_workspace_is_none_of_the_users_for_packages_outside_it_either() {
    let tree = Tree::new();
    tree.write("elsewhere/Cargo.toml", "");
    tree.link(tree.path("home/.ssh"), "ws/assets");
    let policy = tree.policy_of("elsewhere", "elsewhere", "read = [\"workspace:assets/**\"]");
    let mut shim = Shim::with(|config| config.policy = policy);
    let mut script = Script::new();
    script.open(&tree.guest("ws/assets/id_rsa"));
    assert_eq!(script.run(&mut shim)[0].errno, ACCES);
}
