//! What is remembered comes back as it was, or not at all.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use belljar_store::{Area, Expansions, FileIdentity, Problem, Store};
use camino::{Utf8Path, Utf8PathBuf};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("a störe ? ").tempdir().unwrap())
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    /// As another process has it.
    fn open(&self) -> Expansions {
        Expansions::of(&self.store())
    }

    /// Fills it with so many entries.
    fn with(entries: u32) -> Self {
        let home = Self::new();
        let expansions = home.open();
        (0..entries).for_each(|n| expansions.keep(&key(n), &VARIANT, &body(n)));
        expansions.settle();
        home
    }

    fn files(&self) -> Vec<Utf8PathBuf> {
        let dir = self.store().dir(Area::Expansions);
        let entries = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
        let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        files
    }

    fn database(&self) -> Utf8PathBuf {
        self.files().into_iter().rfind(|path| path.extension() == Some("db")).unwrap()
    }

    /// How many of them are there, each as it was.
    fn sound(&self, entries: u32) -> usize {
        let expansions = self.open();
        (0..entries).filter(|n| is_there(&expansions, *n)).count()
    }
}

const VARIANT: [u8; 32] = [9; 32];

fn key(n: u32) -> [u8; 32] {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

/// Of different lengths, and nothing that compresses to nothing.
fn body(n: u32) -> Vec<u8> {
    let mut body = vec![0; 100 + (n as usize * 37) % 5000];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut body);
    body
}

/// Found as it was. Anything else than that is a failure of the test.
fn is_there(expansions: &Expansions, n: u32) -> bool {
    let found = expansions.find(&key(n));
    let bodies: Vec<_> = found.map(|found| (found.variant, found.body)).collect();
    assert!(bodies.is_empty() || bodies == [(VARIANT, body(n))], "{n}");
    !bodies.is_empty()
}

/// The same, of an entry with the body of another number.
fn is_there_as(expansions: &Expansions, n: u32, of: u32) -> bool {
    expansions.find(&key(n)).any(|found| found.body == body(of))
}

#[test]
fn what_was_kept_comes_back_in_another_process_life() {
    let home = Home::with(10);
    assert_eq!(home.sound(20), 10);
    let expansions = home.open();
    // Other conditions are another entry; the same ones take the place of what was there.
    expansions.keep(&key(0), &[1; 32], b"other");
    expansions.keep(&key(1), &VARIANT, b"again");
    expansions.settle();
    let found = |n| {
        let mut bodies: Vec<_> = home.open().find(&key(n)).map(|found| found.body).collect();
        bodies.sort();
        bodies
    };
    let mut both = vec![b"other".to_vec(), body(0)];
    both.sort();
    assert_eq!(found(0), both);
    assert_eq!(found(1), [b"again".to_vec()]);
    expansions.forget(&key(1), &VARIANT);
    expansions.settle();
    assert!(found(1).is_empty());
    let stats = home.open().stats().unwrap();
    assert_eq!(stats.entries, 10);
    assert!(stats.bytes > 1000 && stats.on_disk > stats.bytes && stats.allowed > stats.on_disk);
}

#[test]
fn how_calls_ended_is_counted() {
    let home = Home::new();
    for _ in 0..2 {
        let expansions = home.open();
        expansions.count(3, 2, 1);
        expansions.settle();
    }
    let stats = home.open().stats().unwrap();
    assert_eq!((stats.remembered, stats.run, stats.verified), (6, 4, 2));
}

#[test]
fn entries_of_another_store_are_not_believed() {
    let (mine, theirs) = (Home::with(5), Home::with(5));
    fs::copy(theirs.database(), mine.database()).unwrap();
    assert_eq!(mine.sound(5), 0);
    let mut damaged = 0;
    damaged += mine.open().each(|_, _| panic!("it has another seal")).unwrap();
    assert_eq!(damaged, 5);
    // What can't be opened is forgotten by that, and what is kept now is there.
    let expansions = mine.open();
    expansions.keep(&key(1), &VARIANT, &body(1));
    expansions.settle();
    assert_eq!((mine.sound(5), mine.open().stats().unwrap().entries), (1, 1));
}

#[test]
fn damage_is_a_miss_and_goes_away_by_itself() {
    const ENTRIES: u32 = 300;
    let whole = Home::with(ENTRIES);
    let content = fs::read(whole.database()).unwrap();
    let damaged = |name: &str, change: &dyn Fn(&Utf8Path)| {
        let home = Home::with(1);
        fs::copy(whole.database(), home.database()).unwrap();
        fs::copy(whole.path().join("v1/expansions/key"), home.path().join("v1/expansions/key")).unwrap();
        change(&home.database());
        let sound = home.sound(ENTRIES);
        // Whatever it was, entries are kept again, at the latest by the process after the next.
        for _ in 0..3 {
            let expansions = home.open();
            drop(expansions.find(&key(ENTRIES)));
            expansions.keep(&key(ENTRIES), &VARIANT, &body(ENTRIES));
            expansions.settle();
        }
        let again = is_there(&home.open(), ENTRIES);
        println!("{name:<24} {sound} of {ENTRIES} entries are found, others are kept again: {again}");
        (sound, again)
    };
    let open = |path: &Utf8Path| fs::File::options().write(true).open(path).unwrap();
    assert_eq!(damaged("nothing", &|_| {}), (300, true));
    for (name, len) in [("empty", 0), ("one byte", 1), ("half a head", 50), ("one page", 4096)] {
        assert_eq!(damaged(name, &|path| open(path).set_len(len).unwrap()), (0, true), "{name}");
    }
    let half = content.len() as u64 / 2;
    assert!(damaged("cut to half", &|path| open(path).set_len(half).unwrap()).1);
    let noise: Vec<u8> = (0..content.len()).map(|n| (n * 31 % 251) as u8).collect();
    assert_eq!(damaged("noise", &|path| fs::write(path, &noise).unwrap()), (0, true));
    let version = |path: &Utf8Path| open(path).write_all_at(&[0, 0, 0, 99], 60).unwrap();
    assert_eq!(damaged("another version", &version), (0, true));
    // Bits here and there: in pages of entries, of indices, of tables.
    for round in 0..20_u64 {
        let flips = |path: &Utf8Path| {
            for n in 0..20_u64 {
                let at = (round * 7919 + n * 104_729) * 13 % content.len() as u64;
                let byte = content[usize::try_from(at).unwrap()] ^ 1 << (n % 8);
                open(path).write_all_at(&[byte], at).unwrap();
            }
        };
        // Whatever is found is as it was: that is what is looked at.
        damaged("flipped bits", &flips);
    }
}

#[test]
fn a_file_of_an_older_version_is_followed_by_a_new_one() {
    let home = Home::with(5);
    let older = home.database();
    // Where SQLite keeps `user_version`.
    fs::File::options().write(true).open(&older).unwrap().write_all_at(&[0, 0, 0, 1], 60).unwrap();
    let expansions = home.open();
    assert!(!is_there(&expansions, 1) && expansions.problem().is_none());
    expansions.keep(&key(1), &VARIANT, &body(1));
    expansions.settle();
    assert_eq!((home.sound(5), older.exists()), (1, false));
}

#[test]
fn digests_of_secrets_are_of_one_store() {
    let (mine, theirs) = (Home::new(), Home::new());
    let digest = |home: &Home| home.open().digest_of(b"1234").unwrap();
    assert_eq!(digest(&mine), digest(&mine));
    assert_ne!(digest(&mine), digest(&theirs));
    assert_ne!(digest(&mine), *blake3::hash(b"1234").as_bytes());
    // What a process has compared once it can compare again.
    let expansions = mine.open();
    let before = expansions.digest_of(b"1234");
    fs::write(mine.database(), "no database").unwrap();
    fs::remove_file(mine.path().join("v1/expansions/key")).unwrap();
    assert_eq!(expansions.digest_of(b"1234"), before);
    assert_ne!(mine.open().digest_of(b"1234"), before);
}

#[test]
fn what_is_no_file_is_not_followed() {
    let (home, elsewhere) = (Home::with(1), Home::with(5));
    let database = home.database();
    fs::remove_file(&database).unwrap();
    symlink(elsewhere.database(), &database).unwrap();
    assert!(!is_there(&home.open(), 0));
    assert!(matches!(home.open().problem(), Some(Problem::Database { .. })));
    assert_eq!(elsewhere.sound(5), 5);
    home.open().clear().unwrap();
    assert!(home.open().problem().is_none());
}

#[test]
fn a_store_that_is_reached_through_a_link_remembers() {
    let (home, links) = (Home::with(3), Home::new());
    let link = links.path().join("link");
    symlink(home.path(), &link).unwrap();
    let expansions = Expansions::of(&Store::open(&link).unwrap());
    assert!(expansions.problem().is_none() && is_there(&expansions, 1));
    expansions.keep(&key(5), &VARIANT, &body(5));
    expansions.settle();
    assert_eq!(home.sound(10), 4);
}

#[test]
fn a_key_that_is_none_is_made_anew() {
    let home = Home::with(3);
    fs::write(home.path().join("v1/expansions/key"), "short").unwrap();
    let expansions = home.open();
    assert!(!is_there(&expansions, 1));
    expansions.keep(&key(1), &VARIANT, &body(1));
    expansions.settle();
    assert_eq!(home.sound(3), 1);
}

#[test]
fn a_key_has_a_bounded_number_of_entries() {
    let home = Home::new();
    let expansions = home.open();
    (0..40).for_each(|n| expansions.keep(&key(0), &[n; 32], &body(n.into())));
    expansions.settle();
    let left: Vec<u8> = home.open().find(&key(0)).map(|found| found.variant[0]).collect();
    assert_eq!(left, (24..40).rev().collect::<Vec<_>>(), "the last ones");
}

#[test]
fn nothing_is_larger_than_allowed() {
    let home = Home::with(1000);
    let expansions = home.open();
    let before = expansions.stats().unwrap();
    expansions.shrink(Some(before.on_disk / 2)).unwrap();
    let after = expansions.stats().unwrap();
    assert!(after.on_disk <= before.on_disk / 2 && after.entries > 0 && after.entries < 600, "{after:?}");
    expansions.shrink(Some(0)).unwrap();
    assert_eq!(expansions.stats().unwrap().entries, 0);
    expansions.keep(&key(1), &VARIANT, &body(1));
    expansions.settle();
    assert_eq!(home.sound(5), 1);
}

#[test]
fn clearing_forgets_all_and_nobody_is_disturbed() {
    let home = Home::with(5);
    let other = home.open();
    assert!(is_there(&other, 3));
    home.open().clear().unwrap();
    assert_eq!(home.sound(5), 0);
    // It goes on with what it has open.
    assert!(is_there(&other, 3));
    other.keep(&key(7), &VARIANT, &body(7));
    other.settle();
    let databases = home.files().into_iter().filter(|path| path.extension() == Some("db"));
    assert_eq!(databases.count(), 1);
}

#[test]
fn an_entry_that_is_too_long_is_not_kept() {
    let home = Home::new();
    let expansions = home.open();
    expansions.keep(&key(0), &VARIANT, &vec![0; 17 << 20]);
    expansions.keep(&key(1), &VARIANT, &body(1));
    expansions.settle();
    assert_eq!(home.sound(2), 1);
}

#[test]
fn digests_of_files_come_back_for_the_same_version_only() {
    let home = Home::new();
    let (path, identity) = (Path::new("/a/file"), FileIdentity([1, 2, 3, 4, 5]));
    let expansions = home.open();
    expansions.keep_file(path, &identity, [7; 32]);
    expansions.settle();
    let expansions = home.open();
    assert_eq!(expansions.file_digest(path, &identity), Some([7; 32]));
    assert_eq!(expansions.file_digest(path, &FileIdentity([1, 2, 3, 4, 6])), None);
    assert_eq!(expansions.file_digest(Path::new("/another"), &identity), None);
}

/// Set for processes that this test starts: a number of theirs.
const WRITER: &str = "BELLJAR_TEST_WRITER";
const HOME: &str = "BELLJAR_TEST_HOME";

fn this_test(name: &str, home: &Utf8Path, number: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(WRITER, number.to_string()).env(HOME, home);
    command.stdout(Stdio::null());
    command
}

fn number() -> Option<u32> {
    std::env::var(WRITER).ok()?.parse().ok()
}

fn child_home() -> Expansions {
    let home = std::env::var(HOME).unwrap();
    Expansions::of(&Store::open(Utf8Path::new(&home)).unwrap())
}

#[test]
fn processes_that_begin_at_once_share_one() {
    const EACH: u32 = 200;
    if let Some(number) = number() {
        let expansions = child_home();
        for n in 0..EACH {
            let n = number * EACH + n;
            assert!(!is_there(&expansions, n));
            expansions.keep(&key(n), &VARIANT, &body(n));
        }
        expansions.settle();
        return;
    }
    let home = Home::new();
    let start =
        |number| this_test("processes_that_begin_at_once_share_one", home.path(), number).spawn().unwrap();
    let children: Vec<_> = (0..6).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(home.sound(6 * EACH), 6 * EACH as usize);
}

#[test]
fn a_killed_writer_does_no_harm() {
    const EACH: u32 = 2000;
    if let Some(number) = number() {
        let expansions = child_home();
        (0..EACH).for_each(|n| expansions.keep(&key(number * EACH + n), &VARIANT, &body(n)));
        expansions.settle();
        return;
    }
    let home = Home::with(10);
    for number in 1..6 {
        let mut child = this_test("a_killed_writer_does_no_harm", home.path(), number).spawn().unwrap();
        // In the middle of it: as soon as some of its entries are there.
        while !is_there_as(&home.open(), number * EACH, 0) && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(home.sound(10), 10);
    }
}

#[test]
fn sizes_that_are_none_are_a_problem_that_says_so() {
    if number().is_some() {
        let expansions = child_home();
        let problem = expansions.problem().unwrap().to_string();
        assert!(problem.starts_with("BELLJAR_CACHE_SIZE is `much`") && problem.contains("`2G`"), "{problem}");
        expansions.keep(&key(0), &VARIANT, &body(0));
        assert!(!is_there(&expansions, 0));
        return;
    }
    let home = Home::new();
    let mut child = this_test("sizes_that_are_none_are_a_problem_that_says_so", home.path(), 0);
    assert!(child.env("BELLJAR_CACHE_SIZE", "much").status().unwrap().success());
}
