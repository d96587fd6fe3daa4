//! Reading what is granted.

use std::fs;

use belljar_expander::{Limits, Observation};
use belljar_policy::{Access, Outcome, Request};

use crate::script::{CREATE, DIRECTORY, READ, ROOT, Script, Told, WRITE};
use crate::support::{Answer, input, small};
use crate::tree::{TEMPLATES, Tree};

const ACCES: u32 = 2;
const BADF: u32 = 8;
const INVAL: u32 = 28;
const ISDIR: u32 = 31;
const LOOP: u32 = 32;
const MFILE: u32 = 33;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;

fn errors(told: &[Told]) -> Vec<u32> {
    told.iter().map(|told| told.errno).collect()
}

#[test]
fn a_granted_file_is_read_as_on_unix() {
    let tree = Tree::new();
    let path = tree.template("a.html");
    let mut script = Script::new();
    script.open(&path).read(4, 6).read(4, 100).read(4, 100).read_at(4, 3, 3);
    script.call("fd_tell", &[4, 0x1_0000], 8);
    // From the end back, from the beginning, beyond the end, before the beginning.
    script.call("fd_seek", &[4, (-4i64) as u64, 2, 0x1_0000], 8).read(4, 2);
    script.call("fd_seek", &[4, 3, 0, 0x1_0000], 8).read(4, 3);
    script.call("fd_seek", &[4, 1000, 1, 0x1_0000], 8).read(4, 3);
    script.call("fd_seek", &[4, (-1i64) as u64, 0, 0x1_0000], 8);
    script.open(&path).read(5, 3).close(4).read(4, 1).read(5, 3).open(&path).close(5);
    let told = script.run(&mut tree.shim(TEMPLATES));
    let texts: Vec<_> = [1, 2, 3, 4, 7, 9, 11].iter().map(|&i| told[i].text()).collect();
    assert_eq!(texts, ["<b>one", "</b>\n", "", "one", "/b", "one", ""]);
    assert_eq!((told[5].number(0), told[6].number(0)), (11, 7));
    assert_eq!(told[12].errno, INVAL);
    // Numbers are given out as on Unix.
    assert_eq!((told[0].bytes[0], told[13].bytes[0], told[18].bytes[0]), (4, 5, 4));
    assert_eq!(told[16].errno, BADF);
    assert_eq!(told[17].text(), "one");

    assert!(tree.was(Outcome::Granted, Access::Read, tree.path("ws/web/templates/a.html")));
    let content = b"<b>one</b>\n";
    let digest = Some(blake3::hash(content));
    let path = tree.path("ws/web/templates/a.html").to_string();
    assert_eq!(tree.seen(), [Observation::File { path, size: 11, digest }]);
}

#[test]
fn what_is_open_does_not_change_and_is_not_changed() {
    let tree = Tree::new();
    let path = tree.template("a.html");
    let mut script = Script::new();
    script.open(&path);
    script.call("fd_pwrite", &[4, 0x4_0000, 1, 0, 0xf000], 0);
    script.call("fd_filestat_set_size", &[4, 0], 0);
    script.call("fd_filestat_set_times", &[4, 0, 0, 5], 0);
    script.call("fd_allocate", &[4, 0, 100], 0);
    script.open_with(ROOT, path.as_bytes(), 0, READ | WRITE, true);
    script.open_with(ROOT, path.as_bytes(), CREATE, READ, true);
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!(errors(&told), [0, BADF, ACCES, ACCES, ACCES, ACCES, ACCES]);
    for access in [Access::Write, Access::Touch] {
        assert!(tree.was(Outcome::Refused, access, tree.path("ws/web/templates/a.html")), "{access:?}");
    }
    assert_eq!(fs::read_to_string(tree.path("ws/web/templates/a.html")).unwrap(), "<b>one</b>\n");
}

#[test]
fn a_listing_is_sorted_and_can_be_read_in_pieces() {
    let tree = Tree::new();
    for name in ["z", "Z", "é", "a b"] {
        tree.write(&format!("ws/web/templates/{name}"), "");
    }
    tree.link("a.html", "ws/web/templates/link");
    let dir = tree.template("");
    let mut script = Script::new();
    script.open_directory(&dir).list(4, 4096, 0);
    // Room for one entry and a bit: the next call begins at the one that was cut off.
    for cookie in 0..11 {
        script.list(4, 40, cookie);
    }
    script.list(4, 4096, 11).list(4, 4096, 12).list(4, 0, 0);
    script.stat(&tree.template("a.html")).stat(&dir).open_directory(&tree.template("sub")).list(5, 4096, 0);
    let told = script.run(&mut tree.shim(TEMPLATES));
    let entries = told[1].entries();
    let names: Vec<_> = entries.iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
    let expected = [
        (".", 3),
        ("..", 3),
        ("Z", 4),
        ("a b", 4),
        ("a.html", 4),
        ("b.html", 4),
        ("link", 7),
        ("sub", 3),
        ("z", 4),
        ("é", 4),
    ];
    assert_eq!(names, expected);
    let one_by_one: Vec<_> = told[2..12].iter().flat_map(Told::entries).collect();
    let first: Vec<_> = told[2..12].iter().filter_map(|told| told.entries().first().cloned()).collect();
    assert_eq!(first, entries, "{one_by_one:?}");
    // At the end there is nothing; beyond it nothing makes sense.
    assert_eq!((told[12].errno, told[12].bytes.len()), (0, 0));
    assert_eq!(told[13].errno, INVAL);
    assert_eq!(told[14].errno, INVAL);
    assert_eq!((told[15].errno, told[15].bytes.len()), (0, 0));
    // Numbers are those that looking at the thing gives, and `..` is the number of the directory above.
    assert_eq!(told[16].number(8), entries[4].2);
    assert_eq!(told[17].number(8), entries[0].2);
    let sub = told[19].entries();
    assert_eq!((sub[0].2, sub[1].2), (entries[7].2, entries[0].2));
    let listed = |path: &str| {
        let path = tree.path(path);
        tree.seen().iter().any(|o| matches!(o, Observation::Listing { path: p, .. } if *p == path.as_str()))
    };
    assert!(listed("ws/web/templates") && listed("ws/web/templates/sub"));
}

#[test]
fn a_name_that_is_not_utf8_is_not_listed_and_that_is_on_record() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new();
    let odd = tree.path("ws/web/templates/sub").as_std_path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::write(odd, "").unwrap();
    let mut script = Script::new();
    script.open_directory(&tree.template("sub")).list(4, 4096, 0);
    let told = script.run(&mut tree.shim(TEMPLATES));
    let names: Vec<_> = told[1].entries().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, [".", "..", "c.html"]);
    assert!(tree.was(Outcome::Refused, Access::LookAt, tree.path("ws/web/templates/sub/odd\u{fffd}")));
}

#[test]
fn listing_is_granted_by_itself() {
    let tree = Tree::new();
    let mut script = Script::new();
    // Opened as a file, a directory is a directory; its entries are not for whoever may only read files.
    script.open(&tree.template("sub")).read(4, 10).read_at(4, 10, 0).list(4, 4096, 0);
    script.open_directory(&tree.template("sub")).stat(&tree.template("sub"));
    let told = script.run(&mut tree.shim("read = [\"templates/**\"]"));
    assert_eq!(errors(&told), [0, ISDIR, ISDIR, ACCES, ACCES, 0]);
    assert!(tree.was(Outcome::Refused, Access::List, tree.path("ws/web/templates/sub")));
}

#[test]
fn what_is_known_of_a_file_is_the_same_on_every_machine() {
    let tree = Tree::new();
    let path = tree.template("a.html");
    let mut script = Script::new();
    script
        .stat(&path)
        .open(&path)
        .stat_fd(4)
        .stat(&tree.template("sub"))
        .open_directory(&tree.template("sub"));
    script.stat_fd(5);
    let told = script.run(&mut tree.shim(TEMPLATES));
    let stat = |told: &Told| -> Vec<u64> { (0..8).map(|i| told.number(8 * i)).collect() };
    let time = 946_684_800_000_000_000;
    let name = tree.path("ws/web/templates/a.html");
    let number =
        u64::from_le_bytes(blake3::hash(name.as_str().as_bytes()).as_bytes()[..8].try_into().unwrap());
    assert_eq!(stat(&told[0]), [1, number, 4, 1, 11, time, time, time]);
    assert_eq!(told[0], told[2]);
    let dir = stat(&told[3]);
    assert_eq!((dir[2], dir[4], dir[6]), (3, 0, time));
    assert_eq!(told[3], told[5]);

    // Unless it may know the time.
    let told = script.run(&mut tree.shim(&format!("{TEMPLATES}\ntime = true")));
    let modified = fs::metadata(name).unwrap().modified().unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert_eq!(u128::from(told[0].number(48)), since);
    assert_eq!(told[0].bytes[48..56], told[2].bytes[48..56]);
}

#[test]
fn what_is_not_there_is_on_record_too() {
    let tree = Tree::new();
    let mut script = Script::new();
    script.open(&tree.template("no.html")).stat(&tree.template("no/x"));
    script
        .open(&tree.template("a.html/x"))
        .open(&tree.template("a.html/"))
        .open_directory(&tree.template("a.html"));
    script.open_with(ROOT, b"", 0, READ, true).open(&tree.template(&"x".repeat(300)));
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!(errors(&told), [NOENT, NOENT, NOTDIR, NOTDIR, NOTDIR, NOENT, 37]);
    let path = |name: &str| tree.path("ws/web/templates").join(name).to_string();
    let seen = tree.seen();
    assert!(seen.contains(&Observation::Absent { path: path("no.html") }));
    assert!(seen.contains(&Observation::Absent { path: path("no/x") }));
    assert!(seen.contains(&Observation::Absent { path: path("a.html/x") }));
    assert!(seen.contains(&Observation::File { path: path("a.html"), size: 11, digest: None }), "{seen:?}");
}

#[test]
fn a_relative_path_is_relative_to_the_compilers_working_directory() {
    let tree = Tree::new();
    let mut script = Script::new();
    script.open(".belljar-cwd/web/templates/a.html").read(4, 100);
    script.open(".belljar-cwd/web/../web/./templates//b.html").read(5, 100);
    script.open(".belljar-cwd/Cargo.lock").open(".belljar-cwd/../home/.ssh/id_rsa");
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!((told[1].text(), told[3].text()), ("<b>one</b>\n".into(), "<b>two</b>\n".into()));
    assert_eq!((told[4].errno, told[5].errno), (ACCES, ACCES));
    assert!(tree.was(Outcome::Refused, Access::Read, tree.path("ws/Cargo.lock")));
    assert!(tree.was(Outcome::Refused, Access::Read, tree.path("home/.ssh/id_rsa")));
}

#[test]
fn a_path_may_be_relative_to_an_open_directory() {
    let tree = Tree::new();
    let mut script = Script::new();
    script.open_directory(&tree.template("sub"));
    script.open_with(4, b"c.html", 0, READ, true).read(5, 100);
    script.open_with(4, b"../a.html", 0, READ, true).read(6, 100);
    script.open_with(4, b"../../.env", 0, READ, true).stat_at(4, b"../../../../home/.ssh/id_rsa", true);
    script
        .open_with(5, b"x", 0, READ, true)
        .open_with(99, b"x", 0, READ, true)
        .open_with(0, b"x", 0, READ, true);
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!((told[2].text(), told[4].text()), ("<b>three</b>\n".into(), "<b>one</b>\n".into()));
    assert_eq!(errors(&told[5..]), [ACCES, ACCES, NOTDIR, BADF, NOTDIR]);
    assert!(tree.was(Outcome::Refused, Access::Read, tree.path("ws/web/.env")));
    assert!(tree.was(Outcome::Refused, Access::LookAt, tree.path("home/.ssh/id_rsa")));
}

#[test]
fn a_link_is_followed_to_what_is_granted_by_its_own_name() {
    let tree = Tree::new();
    tree.link("a.html", "ws/web/templates/here");
    tree.link("../sub", "ws/web/templates/sub/up");
    tree.link(tree.path("ws/web/templates/b.html"), "ws/web/templates/whole");
    tree.link("here", "ws/web/templates/twice");
    tree.link("loop", "ws/web/templates/loop");
    tree.link("gone", "ws/web/templates/dangling");
    let mut script = Script::new();
    script.open(&tree.template("here")).read(4, 100);
    script.open(&tree.template("sub/up/up/c.html")).read(5, 100);
    script.open(&tree.template("whole")).read(6, 100);
    script.open(&tree.template("twice")).read(7, 100);
    script.open(&tree.template("loop")).open(&tree.template("dangling"));
    script.open_with(ROOT, tree.template("here").as_bytes(), 0, READ, false);
    script.stat_at(ROOT, tree.template("here").as_bytes(), false).stat(&tree.template("here"));
    script.read_link(&tree.template("here"), 100).read_link(&tree.template("here"), 3);
    script.read_link(&tree.template("a.html"), 100).read_link(&tree.template("sub/up/up/up"), 100);
    script.open_with(ROOT, tree.template("sub/up").as_bytes(), DIRECTORY, READ, true);
    let told = script.run(&mut tree.shim(TEMPLATES));
    let texts: Vec<_> = [1, 3, 5, 7].iter().map(|&i| told[i].text()).collect();
    assert_eq!(texts, ["<b>one</b>\n", "<b>three</b>\n", "<b>two</b>\n", "<b>one</b>\n"]);
    assert_eq!(errors(&told[8..11]), [LOOP, NOENT, LOOP]);
    assert_eq!((told[11].bytes[16], told[11].number(32)), (7, 6));
    assert_eq!((told[12].bytes[16], told[12].number(32)), (4, 11));
    assert_eq!((told[13].text(), told[14].text()), ("a.html".into(), "a.h".into()));
    assert_eq!(told[15].errno, INVAL);
    assert_eq!(told[16].text(), "../sub");
    assert_eq!(told[17].errno, 0);
    let seen = tree.seen();
    let path = |name: &str| tree.path("ws/web/templates").join(name).to_string();
    assert!(seen.contains(&Observation::Link { path: path("here"), target: "a.html".into() }));
    assert!(seen.contains(&Observation::Link { path: path("sub/up"), target: "../sub".into() }));
    assert!(seen.contains(&Observation::Absent { path: path("gone") }));
}

#[test]
fn a_link_in_the_place_of_what_a_grant_begins_with_is_a_link_like_any_other() {
    let tree = Tree::new();
    // As a package from somewhere could have it: what is granted is `secrets/**`, and that leads elsewhere.
    tree.link(tree.path("home"), "ws/web/secrets");
    tree.link("templates", "ws/web/also");
    let mut script = Script::new();
    script.open(&tree.guest("ws/web/secrets/.ssh/id_rsa")).stat(&tree.guest("ws/web/secrets"));
    script.open_directory(&tree.guest("ws/web/secrets"));
    script.open(&tree.guest("ws/web/also/a.html")).read(4, 100);
    let grant = "read = [\"secrets/**\", \"also/**\", \"templates/**\"]\nlist = [\"secrets/**\"]";
    let told = script.run(&mut tree.shim(grant));
    assert_eq!(errors(&told), [ACCES, ACCES, ACCES, 0, 0]);
    assert_eq!(told[4].text(), "<b>one</b>\n");
    assert!(tree.was(Outcome::Refused, Access::Read, tree.path("home/.ssh/id_rsa")));
}

#[test]
fn a_file_that_the_user_may_not_read_is_as_good_as_refused() {
    let tree = Tree::new();
    let mut script = Script::new();
    // Not even the superuser may read it.
    script.open("proc/sys/vm/compact_memory");
    let told = script.run(&mut tree.shim("read = [\"/proc/sys/vm/*\"]"));
    assert_eq!(told[0].errno, ACCES);
    let path = "/proc/sys/vm/compact_memory";
    assert!(tree.was(Outcome::Granted, Access::Read, path));
    assert_eq!(tree.seen(), [Observation::Failed { path: path.into() }]);
}

#[test]
fn files_and_listings_have_their_limits() {
    let tree = Tree::new();
    let huge = fs::File::create(tree.path("ws/web/templates/huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    tree.write("ws/web/templates/most", vec![b'x'; 700_000]);
    for i in 0..100 {
        tree.write(&format!("ws/web/templates/many/{i}"), "");
    }
    let limits = Limits { files: 1 << 20, names: 90, print: 1 << 20, ..small() };
    let mut shim = tree.limited(TEMPLATES, limits);

    let mut script = Script::new();
    script.open(&tree.template("huge"));
    let text = script.fails(&mut shim);
    assert!(text.contains("`m!` of evil 1.2.3") && text.contains("templates/huge`: "), "{text}");
    assert!(text.contains("more than 1 MiB") && text.contains("BELLJAR_LIMIT_FILES"), "{text}");

    // One is fine, one after the other too; two at a time are not.
    let mut script = Script::new();
    for _ in 0..3 {
        script.open(&tree.template("most")).close(4);
    }
    script.run(&mut shim);
    let mut script = Script::new();
    script.open(&tree.template("most")).open(&tree.template("most"));
    assert!(script.fails(&mut shim).contains("BELLJAR_LIMIT_FILES"));

    let mut script = Script::new();
    script.open_directory(&tree.template("many")).list(4, 100, 0);
    let text = script.fails(&mut shim);
    assert!(text.contains("templates/many`: ") && text.contains("more than 90"), "{text}");
    assert!(text.contains("BELLJAR_LIMIT_NAMES"), "{text}");
    let mut script = Script::new();
    for _ in 0..91 {
        script.stat("etc/passwd");
    }
    assert!(script.fails(&mut shim).contains("BELLJAR_LIMIT_NAMES"));
}

#[test]
fn a_guest_has_so_many_descriptors_and_no_more() {
    let tree = Tree::new();
    let mut script = Script::new();
    for _ in 0..1024 {
        script.open(&tree.template("a.html"));
    }
    script.open(&tree.template("a.html")).close(500).open(&tree.template("a.html"));
    script.call("fd_renumber", &[4, 5], 0).read(4, 1).read(5, 1).call("fd_renumber", &[5, 5], 0);
    script.call("fd_renumber", &[3, 5], 0).call("fd_renumber", &[5, 4], 0);
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert!(told[..1024].iter().all(|told| told.errno == 0));
    assert_eq!(errors(&told[1024..]), [MFILE, 0, 0, 0, BADF, 0, 0, 58, BADF]);
    assert_eq!(u32::from_le_bytes(told[1026].bytes[..].try_into().unwrap()), 500);
}

#[test]
fn a_file_that_changes_while_a_crate_is_compiled_is_an_error() {
    let tree = Tree::new();
    let mut shim = tree.shim(TEMPLATES);
    let mut script = Script::new();
    script.open(&tree.template("a.html")).stat(&tree.template("new.html"));
    let mut list = Script::new();
    list.open_directory(&tree.template("sub")).list(4, 4096, 0);
    for _ in 0..2 {
        script.run(&mut shim);
        list.run(&mut shim);
    }
    tree.write("ws/web/templates/a.html", "<b>ONE</b>\n");
    let text = script.fails(&mut shim);
    let path = tree.path("ws/web/templates/a.html");
    assert!(text.contains(&format!("`{path}` changed while it was compiled")), "{text}");
    assert!(text.contains("help: build again"), "{text}");
    tree.write("ws/web/templates/a.html", "<b>one</b>\n");
    script.run(&mut shim);
    tree.write("ws/web/templates/new.html", "");
    let text = script.fails(&mut shim);
    assert!(
        text.contains("new.html` changed") && text.contains("it was not there, and is now a file"),
        "{text}"
    );
    tree.write("ws/web/templates/sub/d.html", "");
    assert!(list.fails(&mut shim).contains("templates/sub` changed"));
    // Another compilation begins anew.
    script.run(&mut tree.shim(TEMPLATES));
}

#[test]
fn what_a_crates_own_std_refuses_is_on_record() {
    let tree = Tree::new();
    let fields = r#"(import "belljar" "attempt" (func $attempt (param i32 i32 i32)))
        (import "belljar" "getcwd" (func $getcwd (result i32)))
        (data (i32.const 64) "git") (data (i32.const 96) "localhost:80")"#;
    let body = format!(
        "(call $attempt (i32.const 1) (i32.const 64) (i32.const 0))
         (call $attempt (i32.const 2) (i32.const 64) (i32.const 3))
         (call $attempt (i32.const 3) (i32.const 96) (i32.const 12))
         (call $attempt (i32.const 3) (i32.const 96) (i32.const 0))
         (if (i32.ne (call $getcwd) (i32.const {})) (then unreachable))
         (call $take (i32.const 8192)) (call $same)",
        tree.path("ws").as_str().len()
    );
    let mut shim = tree.shim("");
    let replied = shim.expand(&crate::support::guest_with(fields, &body), &input());
    assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
    let socket = Request::Socket(Some("localhost:80".into()));
    for request in [Request::Thread, Request::Process("git".into()), socket, Request::Socket(None)] {
        assert!(tree.attempts().contains_key(&(request.clone(), Outcome::Refused)), "{request}");
    }
    assert_eq!(tree.seen(), [Observation::WorkingDirectory { path: tree.path("ws").to_string() }]);
    let body = "(call $attempt (i32.const 9) (i32.const 64) (i32.const 0)) (call $same)";
    let text = shim.expand(&crate::support::guest_with(fields, body), &input()).answer.failed();
    assert!(text.contains("broke belljar's protocol"), "{text}");
}

#[test]
fn a_directory_with_more_entries_than_anybody_reads_is_an_error() {
    let tree = Tree::new();
    let limits = Limits { names: Limits::default().names, ..small() };
    let many = tree.path("ws/web/templates/many");
    fs::create_dir(&many).unwrap();
    let first = many.join("0");
    fs::write(&first, "").unwrap();
    // A file has so many names at most.
    for i in 1..=limits.names {
        let name = many.join(i.to_string());
        if i % 50_000 == 0 || fs::hard_link(&first, &name).is_err() {
            fs::write(name, "").unwrap();
        }
    }
    let mut script = Script::new();
    script.open_directory(&tree.template("many")).list(4, 100, 0);
    let text = script.fails(&mut tree.limited(TEMPLATES, limits));
    assert!(text.contains("templates/many") && text.contains("BELLJAR_LIMIT_NAMES"), "{text}");
}

#[test]
fn writing_into_what_was_opened_to_be_read_is_on_record() {
    let tree = Tree::new();
    let mut script = Script::new();
    script.open(&tree.template("a.html"));
    let (at, _) = script.put(&[0; 8]);
    script.call("fd_pwrite", &[4, at.into(), 1, 0, 0x0_f000], 0);
    let told = script.run(&mut tree.shim(TEMPLATES));
    assert_eq!(errors(&told), [0, 8]);
    assert!(tree.was(Outcome::Refused, Access::Write, tree.path("ws/web/templates/a.html")));
}
