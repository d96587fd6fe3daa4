//! What users rely on: nothing damaged is believed, nothing half-written is seen, and every failure says what to do.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use belljar_store::{Area, GuestKey, GuestRecord, ModuleDigest, Store, StoreError};
use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("a störe ").tempdir().unwrap())
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn open(&self) -> Store {
        Store::open(self.path()).unwrap()
    }
}

fn key(n: u8) -> GuestKey {
    GuestKey::from_bytes([n; 32])
}

fn record(store: &Store) -> GuestRecord {
    let entry = r#"{"kind":"derive","name":"Made","helpers":["made"],"hidden":false,"docs":"Doc.","deprecated":null}"#;
    GuestRecord {
        package: "made-derive".to_owned(),
        version: "1.2.3".to_owned(),
        module: store.put_module(b"\0asm made").unwrap(),
        unwinds: false,
        edition: "2021".to_owned(),
        entries: vec![serde_json::from_str(entry).unwrap()],
        sources: vec![Utf8PathBuf::from("/src/lib.rs")],
    }
}

/// Every file below a directory of the store.
fn files(store: &Store, area: Area) -> Vec<Utf8PathBuf> {
    let mut dirs = vec![store.dir(area)];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() && !path.is_symlink() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn only_file(store: &Store, area: Area, extension: &str) -> Utf8PathBuf {
    let mut found = files(store, area);
    found.retain(|path| path.extension() == Some(extension));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_was_put_comes_back_in_another_process_life() {
    let home = Home::new();
    let store = home.open();
    let made = record(&store);
    store.put_guest(&key(1), &made).unwrap();
    let native = store.put_native("engine-1", &made.module, b"native code").unwrap();

    let again = home.open();
    assert_eq!(again.module(&made.module).unwrap().unwrap(), b"\0asm made");
    assert_eq!(again.guest(&key(1)).unwrap(), Some(made.clone()));
    assert_eq!(again.native("engine-1", &made.module).unwrap(), Some(native.clone()));
    assert_eq!(fs::read(native).unwrap(), b"native code");

    assert_eq!(again.module(&ModuleDigest::of(b"other")).unwrap(), None);
    assert_eq!(again.guest(&key(2)).unwrap(), None);
    assert_eq!(again.native("engine-2", &made.module).unwrap(), None);
    assert_eq!(again.native("../engine-1", &made.module).unwrap(), None);
    assert!(files(&again, Area::Tmp).is_empty());
}

#[test]
fn a_damaged_module_counts_as_absent_and_is_made_again() {
    let damages: [fn(&Utf8Path); 7] = [
        |path| fs::write(path, b"\0asm mad").unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| fs::write(path, b"\0asm evil").unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), b"x").unwrap();
        },
        |path| {
            // The right bytes, but not where only the owner can change them.
            let elsewhere = path.with_extension("elsewhere");
            fs::rename(path, &elsewhere).unwrap();
            symlink(elsewhere, path).unwrap();
        },
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        let home = Home::new();
        let store = home.open();
        let made = record(&store);
        store.put_guest(&key(1), &made).unwrap();
        let path = only_file(&store, Area::Modules, "wasm");
        damage(&path);
        assert_eq!(store.module(&made.module).unwrap(), None, "damage {n}");
        assert!(fs::symlink_metadata(&path).is_err(), "damage {n} was left there");
        assert_eq!(store.guest(&key(1)).unwrap(), None, "damage {n}: a record without its module");
        assert_eq!(store.put_module(b"\0asm made").unwrap(), made.module);
        assert_eq!(store.guest(&key(1)).unwrap(), Some(made), "damage {n}");
    }
}

#[test]
fn a_damaged_record_counts_as_absent_and_is_removed() {
    let damages: [fn(&str) -> String; 6] = [
        |json| json[..json.len() / 2].to_owned(),
        |json| json.replace("\"format\": 1", "\"format\": 2"),
        |json| json.replace("\"unwinds\": false", "\"unwinds\": true"),
        |json| json.replace("\"Made\"", "\"Evil\""),
        |json| json.replace("\"format\": 1,", "\"format\": 1, \"more\": 1,"),
        |_| "\u{0}".to_owned(),
    ];
    for (n, damage) in damages.iter().enumerate() {
        let home = Home::new();
        let store = home.open();
        store.put_guest(&key(1), &record(&store)).unwrap();
        let path = only_file(&store, Area::Guests, "json");
        let json = fs::read_to_string(&path).unwrap();
        assert_ne!(damage(&json), json, "damage {n} does nothing");
        fs::write(&path, damage(&json)).unwrap();
        assert_eq!(store.guest(&key(1)).unwrap(), None, "damage {n}");
        assert!(!path.exists(), "damage {n} was left there");
    }
}

#[test]
fn a_record_under_another_key_is_not_believed() {
    let home = Home::new();
    let store = home.open();
    store.put_guest(&key(1), &record(&store)).unwrap();
    let path = only_file(&store, Area::Guests, "json");
    fs::copy(&path, path.with_file_name(format!("{}.json", key(2)))).unwrap();
    assert_eq!(store.guest(&key(2)).unwrap(), None);
    assert!(store.guest(&key(1)).unwrap().is_some());
}

#[test]
fn damaged_native_code_is_never_handed_out() {
    let damages: [fn(&Store); 5] = [
        |store| fs::write(only_file(store, Area::Native, "cwasm"), b"native c0de").unwrap(),
        |store| fs::write(only_file(store, Area::Native, "cwasm"), b"native").unwrap(),
        |store| {
            let path = only_file(store, Area::Native, "cwasm");
            fs::set_permissions(path, fs::Permissions::from_mode(0o622)).unwrap();
        },
        |store| {
            let path = only_file(store, Area::Native, "json");
            let json = fs::read_to_string(&path).unwrap().replace("engine-1", "engine-0");
            fs::write(path, json).unwrap();
        },
        |store| {
            let path = only_file(store, Area::Native, "cwasm");
            fs::remove_file(path).unwrap();
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        let home = Home::new();
        let store = home.open();
        let module = ModuleDigest::of(b"module");
        let path = store.put_native("engine-1", &module, b"native code").unwrap();
        damage(&store);
        assert_eq!(store.native("engine-1", &module).unwrap(), None, "damage {n}");
        assert_eq!(store.put_native("engine-1", &module, b"native code").unwrap(), path, "damage {n}");
        assert_eq!(store.native("engine-1", &module).unwrap(), Some(path), "damage {n}");
    }
}

#[test]
fn native_code_of_one_module_does_not_pass_for_another() {
    let home = Home::new();
    let store = home.open();
    let (one, two) = (ModuleDigest::of(b"one"), ModuleDigest::of(b"two"));
    store.put_native("engine-1", &one, b"native one").unwrap();
    let index = only_file(&store, Area::Native, "json");
    fs::copy(&index, index.with_file_name(format!("{two}.json"))).unwrap();
    assert_eq!(store.native("engine-1", &two).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any one changed byte anywhere: never an error, never something else than what was put.
    #[test]
    fn a_changed_byte_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
        let home = Home::new();
        let store = home.open();
        let made = record(&store);
        store.put_guest(&key(1), &made).unwrap();
        store.put_native("engine-1", &made.module, b"native code").unwrap();
        for path in [Area::Modules, Area::Guests, Area::Native].map(|area| files(&store, area)).concat() {
            let sound = fs::read(&path).unwrap();
            let mut bytes = sound.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            let module = store.module(&made.module).unwrap();
            prop_assert!(module.is_none_or(|module| module == b"\0asm made"));
            let guest = store.guest(&key(1)).unwrap();
            prop_assert!(guest.is_none_or(|guest| guest == made));
            if let Some(native) = store.native("engine-1", &made.module).unwrap() {
                prop_assert_eq!(fs::read(native).unwrap(), b"native code");
            }
            store.put_module(b"\0asm made").unwrap();
            store.put_guest(&key(1), &made).unwrap();
            store.put_native("engine-1", &made.module, b"native code").unwrap();
        }
    }
}

#[test]
fn the_store_is_its_owners_alone() {
    let home = Home::new();
    let store = home.open();
    let made = record(&store);
    store.put_guest(&key(1), &made).unwrap();
    store.put_native("engine-1", &made.module, b"native code").unwrap();
    drop(store.lock("a lock").unwrap());
    let mut paths = vec![store.root().to_owned()];
    while let Some(path) = paths.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o077, 0, "{path}: {:o}", found.mode());
        if found.is_dir() {
            paths.extend(path.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()));
        }
    }
    // One that was opened up is closed again.
    let modules = store.dir(Area::Modules);
    fs::set_permissions(&modules, fs::Permissions::from_mode(0o777)).unwrap();
    home.open();
    assert_eq!(fs::metadata(&modules).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_store_that_others_could_swap_is_refused() {
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Store::open(home.path()).unwrap_err();
    assert!(matches!(error, StoreError::Exposed { mode: 0o777, .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("chmod go-w '{}'", home.path())), "{error}");
    // As /tmp is: others can write, but not rename what isn't theirs.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    home.open();
}

#[test]
fn links_in_place_of_directories_are_refused() {
    let home = Home::new();
    let elsewhere = Home::new();
    elsewhere.open();
    symlink(elsewhere.path().join("v1"), home.path().join("v1")).unwrap();
    assert!(matches!(Store::open(home.path()), Err(StoreError::NotADirectory { .. })));

    let home = Home::new();
    let store = home.open();
    let modules = store.dir(Area::Modules);
    fs::remove_dir(&modules).unwrap();
    symlink(elsewhere.path(), &modules).unwrap();
    let error = Store::open(home.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NotADirectory { path } if *path == modules), "{error:?}");

    // The directory that the user named may be a link.
    let link = elsewhere.path().join("link");
    symlink(Home::new().0.keep(), &link).unwrap();
    Store::open(&link).unwrap();
    fs::remove_dir_all(fs::canonicalize(&link).unwrap()).unwrap();
}

#[test]
fn a_locks_file_that_is_a_link_is_not_followed() {
    let home = Home::new();
    let store = home.open();
    let target = home.path().join("target");
    symlink(&target, store.dir(Area::Locks).join("build.lock")).unwrap();
    drop(store.lock("build").unwrap());
    assert!(!target.exists(), "the link was replaced by a file");
    fs::create_dir(store.dir(Area::Locks).join("other.lock")).unwrap();
    drop(store.lock("other").unwrap());
}

#[test]
fn a_relative_home_is_refused() {
    assert!(matches!(Store::open(Utf8Path::new("store")), Err(StoreError::BadHome { .. })));
}

#[test]
fn a_file_in_place_of_the_store_is_refused() {
    let home = Home::new();
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(Store::open(&file), Err(StoreError::NotADirectory { .. })));
    assert!(matches!(Store::open(&file.join("below")), Err(StoreError::Io { .. })));
}

/// Runs `f` as somebody whom file modes stop, which root is not. Capabilities belong to the thread.
fn without_privileges<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective = rustix::thread::CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets).unwrap();
            f()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_read_only_store_can_be_read_and_says_why_it_can_not_be_written() {
    let home = Home::new();
    let store = home.open();
    let made = record(&store);
    store.put_guest(&key(1), &made).unwrap();
    store.put_native("engine-1", &made.module, b"native code").unwrap();
    drop(store.lock("build").unwrap());
    let damaged = store.put_module(b"damaged").unwrap();
    fs::write(store.dir(Area::Modules).join(format!("{damaged}.wasm")), b"").unwrap();
    for area in [Area::Modules, Area::Guests, Area::Native, Area::Tmp, Area::Locks] {
        fs::set_permissions(store.dir(area), fs::Permissions::from_mode(0o500)).unwrap();
    }
    fs::set_permissions(store.root(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = without_privileges(|| {
        let store = home.open();
        assert_eq!(store.guest(&key(1)).unwrap(), Some(made.clone()));
        assert!(store.native("engine-1", &made.module).unwrap().is_some());
        assert_eq!(store.put_module(b"\0asm made").unwrap(), made.module, "it is there already");
        assert_eq!(store.module(&damaged).unwrap(), None, "it can't be removed, and still isn't believed");
        assert!(store.check_writable().is_err());
        assert!(store.lock("other").is_err());
        store.put_module(b"new").unwrap_err()
    });
    fs::set_permissions(store.root(), fs::Permissions::from_mode(0o700)).unwrap();
    let StoreError::Io { path, source, .. } = &error else { panic!("{error:?}") };
    assert!(path.starts_with(home.path()));
    assert_eq!(source.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("BELLJAR_HOME"), "{error}");
}

#[test]
fn a_read_only_home_says_where_else_to_go() {
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = without_privileges(|| Store::open(&home.path().join("cache/belljar")).unwrap_err());
    assert!(matches!(error, StoreError::Io { .. }));
    assert!(error.to_string().contains("BELLJAR_HOME"), "{error}");
}

/// Runs the test `name` of this file in a process of its own, which finds `home` in its environment.
fn this_test(name: &str, home: &Utf8Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("BELLJAR_TEST_CHILD", home)
        .stdout(Stdio::piped());
    command
}

fn child_home() -> Option<Utf8PathBuf> {
    std::env::var("BELLJAR_TEST_CHILD").ok().map(Utf8PathBuf::from)
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_says_what_to_do() {
    if let Some(home) = child_home() {
        let store = Store::open(&home).unwrap();
        let error = store.put_module(&[7; 100_000]).unwrap_err();
        assert!(error.to_string().contains("make room"), "{error}");
        let error = store.put_native("engine-1", &ModuleDigest::of(b"x"), &[7; 100_000]).unwrap_err();
        assert!(error.to_string().contains("make room"), "{error}");
        store.put_module(b"small").unwrap();
        return;
    }
    let home = Home::new();
    // Files may grow to 8 blocks of 512 bytes; without the trap the kernel would kill the process instead.
    let child = this_test("a_full_disk_leaves_nothing_behind_and_says_what_to_do", home.path());
    let mut limited = Command::new("sh");
    limited
        .args(["-c", r#"trap "" XFSZ; ulimit -f 8; exec "$0" "$@""#])
        .arg(child.get_program())
        .args(child.get_args())
        .env("BELLJAR_TEST_CHILD", home.path());
    assert!(limited.status().unwrap().success());
    let store = home.open();
    assert_eq!(files(&store, Area::Modules).len(), 1);
    assert!(files(&store, Area::Native).is_empty());
    assert!(files(&store, Area::Tmp).is_empty());
}

#[test]
fn processes_that_write_the_same_entries_at_once_do_no_harm() {
    let wasm = |n: u8| vec![n; 60_000 + usize::from(n)];
    if let Some(home) = child_home() {
        let store = Store::open(&home).unwrap();
        for round in 0..4 {
            for n in 0..6 {
                let module = store.put_module(&wasm(n)).unwrap();
                let made = GuestRecord { module, ..record(&store) };
                store.put_guest(&key(n), &made).unwrap();
                store.put_native("engine-1", &module, &wasm(n + 100)).unwrap();
                if round == 1 {
                    // What another one sees as damaged and removes.
                    fs::write(store.dir(Area::Modules).join(format!("{module}.wasm")), b"damaged").unwrap();
                }
            }
        }
        return;
    }
    let home = Home::new();
    let store = home.open();
    let test = "processes_that_write_the_same_entries_at_once_do_no_harm";
    let mut children: Vec<_> = (0..5).map(|_| this_test(test, home.path()).spawn().unwrap()).collect();
    let mut running = true;
    while running {
        running = children.iter_mut().any(|child| child.try_wait().unwrap().is_none());
        for n in 0..6 {
            let digest = ModuleDigest::of(&wasm(n));
            if let Some(found) = store.module(&digest).unwrap() {
                assert_eq!(found, wasm(n));
            }
            if let Some(found) = store.guest(&key(n)).unwrap() {
                assert_eq!(found.module, digest);
            }
            if let Some(found) = store.native("engine-1", &digest).unwrap() {
                assert_eq!(fs::read(found).unwrap(), wasm(n + 100));
            }
        }
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for n in 0..6 {
        store.put_module(&wasm(n)).unwrap();
        assert!(store.guest(&key(n)).unwrap().is_some());
        assert!(store.native("engine-1", &ModuleDigest::of(&wasm(n))).unwrap().is_some());
    }
    assert!(files(&store, Area::Tmp).is_empty());
}

#[test]
fn a_lock_keeps_others_out_until_its_holder_is_gone() {
    let test = "a_lock_keeps_others_out_until_its_holder_is_gone";
    if let Some(home) = child_home() {
        let store = Store::open(&home).unwrap();
        let _lock = store.lock("build").unwrap();
        fs::write(home.join("locked"), b"").unwrap();
        std::thread::sleep(Duration::from_secs(600));
        panic!("should have been killed");
    }
    let home = Home::new();
    let store = home.open();
    let mut child = this_test(test, home.path()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !home.path().join("locked").exists() {
        assert!(start.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(store.lock("another").unwrap());
    let mut waited = false;
    let lock = store.lock_or_wait("build", || {
        waited = true;
        child.kill().unwrap();
    });
    drop(lock.unwrap());
    assert!(waited);
    child.wait().unwrap();
    store.lock_or_wait("build", || panic!("it was freed")).map(drop).unwrap();
}

#[test]
fn what_a_killed_writer_left_is_swept_away() {
    let home = Home::new();
    let store = home.open();
    let (old, new) = (store.dir(Area::Tmp).join("old"), store.dir(Area::Tmp).join("new"));
    fs::write(&old, b"half").unwrap();
    fs::write(&new, b"half").unwrap();
    let days_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 60 * 60);
    fs::File::options().write(true).open(&old).unwrap().set_modified(days_ago).unwrap();
    home.open();
    assert!(!old.exists());
    assert!(new.exists(), "another process may be writing it");
}
