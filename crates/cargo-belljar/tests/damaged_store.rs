//! Whatever happens to the files of the store, nothing of it is believed: the next build makes it again, or says how.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::store::{Store, tiny};
use support::{Done, Project, run};

type Damage = fn(&Path);

/// What can have become of a file. Never in place: the copies of a store share their files.
const DAMAGES: [(&str, Damage); 5] = [
    ("a byte flipped", |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        replace(path, &bytes);
    }),
    ("empty", |path| replace(path, b"")),
    ("half of it", |path| {
        let bytes = fs::read(path).unwrap();
        replace(path, &bytes[..bytes.len() / 2]);
    }),
    ("a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "in the way").unwrap();
    }),
    ("a link to nowhere", |path| {
        fs::remove_file(path).unwrap();
        symlink("/no/such/file", path).unwrap();
    }),
];

fn replace(path: &Path, bytes: &[u8]) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

/// Builds everything of the project, but what the store has, and runs it. Its macros are run: what is remembered needs no modules.
fn build(project: &Project, store: &Store) -> Done {
    let _ = fs::remove_dir_all(project.root().join("target"));
    run(store.of(&mut project.belljar(&["run", "--quiet"])).env("BELLJAR_CACHE", "off"))
}

#[track_caller]
fn builds(project: &Project, store: &Store, what: &str) {
    let done = build(project, store);
    assert_eq!(done.stdout, "sealed\n", "{what}: {}", done.stderr);
}

/// Does it to these files, one by one and all at once, and builds each time. One by one, each gets another of the
/// damages: all of them would take too long.
fn each_and_all(
    store: &Store,
    damages: &[(&str, Damage)],
    files: impl Fn() -> Vec<PathBuf>,
    mut build: impl FnMut(&str),
) {
    for number in 0..files().len() {
        let (name, damage) = damages[number % damages.len()];
        let Some(file) = files().into_iter().nth(number) else { continue };
        damage(&file);
        build(&format!("{} is {name}", file.strip_prefix(store.root()).unwrap().display()));
    }
    all(damages, files, build);
}

fn all(damages: &[(&str, Damage)], files: impl Fn() -> Vec<PathBuf>, mut build: impl FnMut(&str)) {
    for (name, damage) in damages {
        files().iter().for_each(|file| damage(file));
        build(&format!("everything is {name}"));
    }
}

/// Without sources and the like, which nothing is made of later.
fn made_files(store: &Store, areas: &[&str]) -> Vec<PathBuf> {
    let files = areas.iter().flat_map(|area| store.files(area));
    files.filter(|path| !path.components().any(|part| part.as_os_str() == "src")).collect()
}

#[test]
fn damaged_modules_records_native_code_and_notes() {
    let (store, project) = (Store::small(), tiny("damage"));
    let areas = ["modules", "guests", "native", "toolchains/rustc"];
    builds(&project, &store, "nothing is damaged");
    assert!(areas.iter().all(|area| !store.files(area).is_empty()), "each is there to be damaged");
    each_and_all(&store, &DAMAGES, || made_files(&store, &areas), |what| builds(&project, &store, what));
}

#[test]
fn damaged_expansions() {
    let (store, project) = (Store::small(), tiny("remembered"));
    let files = || store.files("expansions");
    let builds = |what: &str| {
        let _ = fs::remove_dir_all(project.root().join("target"));
        let done = run(store.of(&mut project.belljar(&["run", "--quiet"])));
        assert_eq!(done.stdout, "sealed\n", "{what}: {}", done.stderr);
    };
    builds("nothing is damaged");
    assert!(files().iter().any(|file| file.extension().is_some_and(|ending| ending == "db")));
    each_and_all(&store, &DAMAGES, files, |what| {
        builds(what);
        builds(&format!("{what}, and what came after it"));
    });
}

#[test]
fn damaged_parts_of_belljar() {
    let (store, project) = (Store::small(), tiny("damage"));
    builds(&project, &store, "nothing is damaged");
    let files = || made_files(&store, &["inside"]);
    assert!(files().iter().any(|file| file.ends_with("libproc_macro.rlib")));
    each_and_all(&store, &DAMAGES, files, |what| {
        forget_guests(&store);
        builds(&project, &store, what);
    });
}

/// So that guests are built again.
fn forget_guests(store: &Store) {
    for file in store.files("guests").into_iter().chain(store.files("modules")) {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn records_of_another_version() {
    let (store, project) = (Store::small(), tiny("version"));
    // Only what this project needs: nobody looks at the rest.
    store.files("native").iter().for_each(|file| fs::remove_file(file).unwrap());
    for area in ["guests", "native"] {
        forget_guests(&store);
        builds(&project, &store, "nothing is changed");
        for file in store.files(area).iter().filter(|file| file.extension().is_some_and(|e| e == "json")) {
            let text = fs::read_to_string(file).unwrap();
            let other = text.replace("\"format\": 1", "\"format\": 2");
            assert_ne!(text, other);
            replace(file, other.as_bytes());
            builds(&project, &store, "another version");
            let now = fs::read_to_string(file).unwrap_or_default();
            assert!(!now.contains("\"format\": 2"), "it is gone, or was made again");
        }
    }
}

#[test]
fn a_damaged_directory_of_cargos_is_thrown_away() {
    let (store, project) = (Store::small(), tiny("damage"));
    forget_guests(&store);
    builds(&project, &store, "nothing is damaged");
    // A flipped byte is not among these: cargo and rustc keep no digests of what they make.
    let files = || {
        let mut files = store.files("target");
        files.retain(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            [".rlib", ".rmeta", "build-script-build", ".json", ".cargo-lock", "CACHEDIR.TAG"]
                .iter()
                .any(|end| name.ends_with(end))
        });
        files
    };
    assert!(files().iter().any(|file| file.extension().is_some_and(|e| e == "rlib")));
    all(&DAMAGES[1..], files, |what| {
        forget_guests(&store);
        builds(&project, &store, what);
    });
}

#[test]
fn a_damaged_std_is_not_used_and_the_error_says_what_to_run() {
    let project = tiny("damage");
    let overlay = |store: &Store| {
        let mut dirs = fs::read_dir(store.root().join("toolchains")).unwrap().flatten().map(|e| e.path());
        dirs.find(|dir| dir.file_name().unwrap().to_string_lossy().contains("-aborting-"))
    };
    for (name, damage) in DAMAGES {
        let store = Store::small();
        // Where the std came with rustc, it is as good as rustc.
        let Some(overlay) = overlay(&store) else { return };
        forget_guests(&store);
        let lib = overlay.join("lib/rustlib/wasm32-wasip1/lib");
        let core = support::files(&lib, |name| name.starts_with("libcore-"));
        for file in [overlay.join("sysroot.json"), core[0].clone(), lib.join("self-contained/libc.a")] {
            let kept = file.with_extension("kept");
            fs::hard_link(&file, &kept).unwrap();
            damage(&file);
            let done = build(&project, &store).failed();
            let said = &done.stderr;
            assert!(said.contains("help: run `"), "{} is {name}: {said}", file.display());
            assert!(!said.contains("panicked") && !said.contains("doesn't compile"), "{said}");
            if file.is_dir() {
                fs::remove_dir_all(&file).unwrap()
            } else {
                fs::remove_file(&file).unwrap()
            }
            fs::rename(kept, file).unwrap();
        }
        builds(&project, &store, "nothing is damaged");
    }
}
