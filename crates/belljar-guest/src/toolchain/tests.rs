//! Scripts stand in for rustc, cargo and rustup, so that every way a machine can be set up is a test of milliseconds. The
//! last test builds the real thing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Mutex;

use belljar_store::{Area, Store};
use camino::{Utf8Path, Utf8PathBuf};

use super::machine::Machine;
use super::sources::LIBC_FILES;
use super::sysroot::Sysroot;
use super::{SetupOptions, TARGET, Toolchain, ToolchainError, doctor, find_on, setup_on};
use crate::{Progress, Silent};

const HOST: &str = "x86_64-unknown-linux-gnu";

/// A made-up machine in a directory of its own.
struct World {
    dir: tempfile::TempDir,
    machine: Machine,
    store: Store,
}

impl World {
    /// A rustc 1.95.0 and its cargo in PATH, and nothing else.
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("wörld of ").tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let store = Store::open(&root.join("store")).unwrap();
        let machine = Machine {
            path: vec![root.join("sysroot/bin")],
            cargo_home: Some(root.join("cargo")),
            rustup_home: Some(root.join("rustup")),
            system_lib: root.join("lib"),
            cwd: Some(root.to_owned()),
            // The scripts need a shell's programs; the secret must not get through.
            variables: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..Machine::default()
        };
        let world = Self { dir, machine, store };
        world.rustc("sysroot", "1.95.0");
        world
    }

    /// The same, where the rustc is rustup's.
    fn with_rustup(rustup: &str) -> Self {
        let mut world = Self::new();
        fs::create_dir_all(world.path("rustup/toolchains")).unwrap();
        fs::rename(world.path("sysroot"), world.path("rustup/toolchains/stable")).unwrap();
        world.rustc("rustup/toolchains/stable", "1.95.0");
        world.script("cargo/bin/rustup", &format!("echo \"$@\" >> {:?}\n{rustup}", world.path("rustup.log")));
        world.machine.path = vec![world.path("rustup/toolchains/stable/bin"), world.path("cargo/bin")];
        world
    }

    fn path(&self, below: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(below)
    }

    fn script(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn rustc(&self, sysroot: &str, release: &str) {
        let log = self.path("rustc.log");
        let root = self.path(sysroot);
        self.script(
            &format!("{sysroot}/bin/rustc"),
            &format!(
                r#"echo "$@" >> {log:?}
                case "$*" in
                -vV) printf 'rustc {release} (abc 2026-01-01)\nhost: {HOST}\nrelease: {release}\n';;
                "--print sysroot") echo {root:?};;
                esac"#
            ),
        );
        self.script(&format!("{sysroot}/bin/cargo"), "exit 1");
        self.script(&format!("{sysroot}/lib/rustlib/{HOST}/bin/rust-lld"), "");
    }

    /// The target, as rustup installs it.
    fn install_target(&self, sysroot: &str) {
        let lib = format!("{sysroot}/lib/rustlib/{TARGET}/lib");
        for file in ["libcore-1234.rlib", "libstd-5678.rlib"] {
            self.file(&format!("{lib}/{file}"), file);
        }
        self.install_libc(&format!("{lib}/self-contained"));
    }

    fn install_libc(&self, dir: &str) {
        for file in LIBC_FILES {
            self.file(&format!("{dir}/{file}"), file);
        }
    }

    /// Std's source, and a cargo that makes some libraries from it.
    fn install_source(&self, sysroot: &str) {
        let library = format!("{sysroot}/lib/rustlib/src/rust/library");
        self.file(
            &format!("{library}/Cargo.toml"),
            "[workspace]\nmembers = ['std', 'sysroot', 'coretests']\n",
        );
        self.file(&format!("{library}/Cargo.lock"), "[[package]]\nname = 'libc'\nversion = '0.2.0'\n");
        self.file(&format!("{library}/sysroot/Cargo.toml"), "[package]\nname = 'sysroot'\n");
        self.file(
            &format!("{library}/std/Cargo.toml"),
            "[package]\nname = 'std'\n[dev-dependencies]\nrand = '1'\n[target.'cfg(x)'.dev-dependencies]\nrand = '1'\n",
        );
        self.file(
            &format!("{library}/unwind/src/wasm.rs"),
            "#[cfg(all(target_os = \"unknown\", panic = \"unwind\"))]\nglobal_asm!();\n",
        );
        self.cargo(sysroot, "");
    }

    /// A cargo that makes libraries, and does `more` before.
    fn cargo(&self, sysroot: &str, more: &str) {
        let log = self.path("cargo.log");
        self.script(
            &format!("{sysroot}/bin/cargo"),
            &format!(
                r#"cd ..
                echo "$@" >> {log:?}
                case " $* " in *" build "*)
                    {more}
                    mkdir -p ../target/{TARGET}/release/deps
                    cd ../target/{TARGET}/release/deps
                    for lib in core-1 std-2 sysroot-3; do echo $lib > lib$lib.rlib; done
                    cp ../../../../library/unwind/src/wasm.rs libunwind-4.rlib
                    touch libcore-1.rmeta
                esac"#
            ),
        );
    }

    fn find(&self) -> Result<Toolchain, ToolchainError> {
        find_on(&self.machine, &self.store, "rustc".into())
    }

    fn setup(&self, unwinding: bool) -> Result<Toolchain, ToolchainError> {
        let options = SetupOptions { rustc: "rustc".into(), offline: false, unwinding };
        setup_on(&self.machine, &self.store, &options, &Silent)
    }

    /// Text with the paths of this world made the same on every run.
    fn settle(&self, text: impl ToString) -> String {
        text.to_string().replace(self.path("").as_str(), "/")
    }

    fn doctor(&self) -> String {
        let report = doctor::examine(&self.machine, Ok(&self.store), "rustc".into());
        assert_eq!(report.healthy(), report.mend().is_none());
        self.settle(report)
    }

    fn toolchains(&self) -> Vec<String> {
        let entries = self.store.dir(Area::Toolchains).read_dir_utf8().unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.retain(|name| name != "rustc");
        names.sort();
        names
    }
}

#[test]
fn an_installed_target_is_found_and_rustc_is_asked_only_once() {
    let world = World::new();
    world.install_target("sysroot");
    let found = world.find().unwrap();
    assert_eq!(found.rustc, world.path("sysroot/bin/rustc"));
    assert_eq!(found.cargo, world.path("sysroot/bin/cargo"));
    assert_eq!((found.release.as_str(), found.host.as_str()), ("1.95.0", HOST));
    assert_eq!((&found.aborting.path, found.aborting.unwinds), (&None, false));
    assert!(found.aborting.rustc_args().is_empty());
    assert_eq!(found.unwinding, None);

    let asked = world.log("rustc.log").len();
    assert_eq!(world.find().unwrap(), found);
    assert_eq!(world.log("rustc.log").len(), asked);

    // Another rustc in its place is another answer.
    world.rustc("sysroot", "1.96.0");
    assert_eq!(world.find().unwrap().release, "1.96.0");
}

#[test]
fn the_id_of_an_installed_target_follows_its_files_alone() {
    let (one, two) = (World::new(), World::new());
    one.install_target("sysroot");
    two.install_target("sysroot");
    let id = |world: &World| world.find().unwrap().aborting.id;
    assert_eq!(id(&one), id(&two));
    two.file(&format!("sysroot/lib/rustlib/{TARGET}/lib/libstd-5678.rlib"), "another std");
    assert_ne!(id(&one), id(&two));
}

#[test]
fn behind_a_proxy_of_rustup_is_the_real_rustc() {
    let mut world = World::with_rustup("");
    world.install_target("rustup/toolchains/stable");
    let real = world.path("rustup/toolchains/stable/bin/rustc");
    // The proxy asks rustup which toolchain this directory is to use; here it always is `stable`.
    world.script("cargo/bin/rustup", &format!("exec {real:?} \"$@\""));
    symlink("rustup", world.path("cargo/bin/rustc")).unwrap();
    world.machine.path = vec![world.path("cargo/bin")];
    let found = world.find().unwrap();
    assert_eq!(found.rustc, real);
    assert_eq!(found.cargo, world.path("rustup/toolchains/stable/bin/cargo"));
}

#[test]
fn a_rustc_that_does_not_work_is_reported() {
    let world = World::new();
    fs::remove_file(world.path("sysroot/bin/rustc")).unwrap();
    assert!(matches!(world.find(), Err(ToolchainError::NoRustc { .. })));
    world.script("sysroot/bin/rustc", "echo broken pipes >&2; echo no toolchain >&2; exit 1");
    insta::assert_snapshot!(world.settle(world.find().unwrap_err()), @"
        `/sysroot/bin/rustc -vV` failed: no toolchain
          help: belljar needs a working rustc; mend that one, or set RUSTC to another
    ");
    world.script("sysroot/bin/rustc", "echo hello");
    insta::assert_snapshot!(world.settle(world.find().unwrap_err()), @"
        `/sysroot/bin/rustc -vV` failed: it says no `release:`
          help: belljar needs a working rustc; mend that one, or set RUSTC to another
    ");
}

#[test]
fn setup_lets_rustup_install_the_target_first() {
    let target = format!("$0/../../../rustup/toolchains/stable/lib/rustlib/{TARGET}/lib");
    let world = World::with_rustup(&format!(
        r#"case "$1" in target) mkdir -p "{target}"; touch "{target}/libcore-1.rlib" "{target}/libstd-1.rlib";; esac"#
    ));
    let rustup = world.path("cargo/bin/rustup");
    let text = fs::read_to_string(&rustup).unwrap().replace("$0/../../..", world.path("").as_str());
    fs::write(&rustup, text).unwrap();
    world.install_source("rustup/toolchains/stable");

    assert_eq!(world.setup(false).unwrap().aborting.path, None);
    assert_eq!(world.log("rustup.log"), [format!("target add --toolchain stable {TARGET}")]);
    world.setup(false).unwrap();
    assert_eq!(world.log("rustup.log").len(), 1, "rustup was asked again");
}

#[test]
fn when_rustup_can_not_download_std_is_built() {
    let world = World::with_rustup("echo 'info: downloading' >&2; echo 'error: no network' >&2; exit 1");
    world.install_source("rustup/toolchains/stable");
    world.install_libc("lib/wasm32-wasi");
    let steps = Steps::default();
    let options = SetupOptions { rustc: "rustc".into(), offline: false, unwinding: false };
    let made = setup_on(&world.machine, &world.store, &options, &steps).unwrap();
    assert!(made.aborting.path.is_some());
    insta::assert_snapshot!(steps.0.into_inner().unwrap().join("\n"), @"
        Installing std for wasm32-wasip1 with rustup
        Skipped rustup could not install it: no network
        Building aborting std for wasm32-wasip1 of rustc 1.95.0
    ");
    assert_eq!(world.find().unwrap(), made);
}

#[derive(Default)]
struct Steps(Mutex<Vec<String>>);

impl Progress for Steps {
    fn step(&self, verb: &str, what: &str) {
        self.0.lock().unwrap().push(format!("{verb} {what}"));
    }
}

#[test]
fn offline_asks_nobody() {
    let world = World::with_rustup("");
    world.install_source("rustup/toolchains/stable");
    world.install_libc(&format!("lib/{TARGET}"));
    let options = SetupOptions { rustc: "rustc".into(), offline: true, unwinding: true };
    setup_on(&world.machine, &world.store, &options, &Silent).unwrap();
    assert!(world.log("rustup.log").is_empty());
    let fetches: Vec<_> = world.log("cargo.log").into_iter().filter(|line| line.contains("fetch")).collect();
    assert!(!fetches.is_empty() && fetches.iter().all(|line| line.contains("--offline")), "{fetches:?}");
}

#[test]
fn what_is_missing_is_said_with_the_command_for_this_machine() {
    let world = World::with_rustup("echo 'error: no network' >&2; exit 1");
    insta::assert_snapshot!(world.settle(world.find().unwrap_err()), @"
        rustc 1.95.0 has no std for wasm32-wasip1, without which no macro can be sealed
          help: run `rustup target add --toolchain stable wasm32-wasip1`
    ");
    insta::assert_snapshot!(world.settle(world.setup(true).unwrap_err()), @"
        rustc 1.95.0 has no std for wasm32-wasip1, without which no macro can be sealed
          note: `rustup target add --toolchain stable wasm32-wasip1` failed: no network
          note: it can't be built here: std's source (rust-src) is not installed
          help: run `rustup target add --toolchain stable wasm32-wasip1`, where it can download
    ");

    let world = World::new();
    insta::assert_snapshot!(world.settle(world.setup(false).unwrap_err()), @"
        rustc 1.95.0 has no std for wasm32-wasip1, without which no macro can be sealed
          note: this rustc is not one of rustup's
          note: it can't be built here: std's source (rust-src) is not installed
          help: install rust-src 1.95.0 (into `/sysroot/lib/rustlib/src/rust`) and wasi-libc (or set WASI_SDK_PATH), then run `cargo belljar setup`
    ");
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    insta::assert_snapshot!(world.settle(world.find().unwrap_err()), @"
        rustc 1.95.0 has no std for wasm32-wasip1, without which no macro can be sealed
          help: run `cargo belljar setup`
    ");

    let world = World::new();
    world.file("xtask/src/setup_toolchain.rs", "");
    insta::assert_snapshot!(world.settle(world.find().unwrap_err()), @"
        rustc 1.95.0 has no std for wasm32-wasip1, without which no macro can be sealed
          help: run `cargo xtask setup-toolchain`
    ");

    // The target is there, and the one that unwinds can't be built.
    let world = World::with_rustup("echo 'error: no network' >&2; exit 1");
    world.install_target("rustup/toolchains/stable");
    insta::assert_snapshot!(world.settle(world.setup(true).unwrap_err()), @"
        building a std for wasm32-wasip1 of rustc 1.95.0 needs std's source (rust-src), which is not installed
          help: run `rustup component add --toolchain stable rust-src`
    ");
}

#[test]
fn both_stds_are_built_from_source() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    let env = world.path("env.log");
    world.cargo(
        "sysroot",
        &format!("env > {env:?}; cat Cargo.toml std/Cargo.toml > {:?}", world.path("toml.log")),
    );
    let made = world.setup(true).unwrap();
    assert_eq!(world.find().unwrap(), made);
    let (aborting, unwinding) = (made.aborting, made.unwinding.unwrap());
    assert_ne!(aborting.id, unwinding.id);

    for sysroot in [&aborting, &unwinding] {
        let path = sysroot.path.as_ref().unwrap();
        let lib = path.join("lib/rustlib").join(TARGET).join("lib");
        let mut names: Vec<_> =
            lib.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["libcore-1.rlib", "libstd-2.rlib", "libunwind-4.rlib", "self-contained"]);
        assert!(LIBC_FILES.iter().all(|file| lib.join("self-contained").join(file).is_file()));
        // Rustc takes its linker from the sysroot it is given.
        assert!(path.join("lib/rustlib").join(HOST).join("bin/rust-lld").is_file());
    }
    let read = |sysroot: &Sysroot, file: &str| {
        let lib = sysroot.path.as_ref().unwrap().join("lib/rustlib").join(TARGET).join("lib");
        fs::read_to_string(lib.join(file)).unwrap()
    };
    assert!(read(&aborting, "libunwind-4.rlib").contains("all(target_os = \"unknown\", panic = \"unwind\")"));
    assert!(read(&unwinding, "libunwind-4.rlib").starts_with("#[cfg(panic = \"unwind\")]"));

    let env = world.log("env.log");
    let rustflags = env.iter().find(|line| line.starts_with("CARGO_ENCODED_RUSTFLAGS=")).unwrap();
    assert!(rustflags.contains("-Cpanic=unwind\u{1f}-Cllvm-args=-wasm-use-legacy-eh=false"), "{rustflags}");
    assert!(env.iter().any(|line| line == "RUSTC_WRAPPER="));
    assert!(
        !env.iter().any(|line| line.starts_with("CARGO_MANIFEST_DIR=")),
        "this test's own environment got in"
    );
    let manifests = world.log("toml.log").join("\n");
    assert!(!manifests.contains("coretests") && !manifests.contains("rand"), "{manifests}");
}

#[test]
fn the_same_sources_give_the_same_sysroot_wherever_it_is() {
    let made = [World::new(), World::new()].map(|world| {
        world.install_source("sysroot");
        world.install_libc("lib/wasm32-wasi");
        let made = world.setup(true).unwrap();
        let name = |sysroot: &Sysroot| sysroot.path.as_ref().unwrap().file_name().unwrap().to_owned();
        let unwinding = made.unwinding.unwrap();
        (name(&made.aborting), made.aborting.id, name(&unwinding), unwinding.id)
    });
    assert_eq!(made[0], made[1]);
}

#[test]
fn a_build_that_fails_leaves_nothing_and_says_why() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    world.cargo("sysroot", "echo 'error: it is too late' >&2; exit 101");
    insta::assert_snapshot!(world.settle(world.setup(false).unwrap_err()), @"
        the aborting std for wasm32-wasip1 of rustc 1.95.0 did not build:
            error: it is too late
          help: if it could not download its crates, run `cargo belljar setup` once with a network; else the source may not be the one of this rustc: /sysroot/lib/rustlib/src/rust/library
    ");
    assert!(world.toolchains().is_empty());

    // What a killed one left is never used, and removed by the next.
    let left = world.store.dir(Area::Toolchains).join(".making-1/overlay");
    fs::create_dir_all(&left).unwrap();
    assert!(world.find().is_err());
    world.cargo("sysroot", "");
    world.setup(false).unwrap();
    assert!(!left.exists());
    assert_eq!(world.toolchains().len(), 1);
}

#[test]
fn a_std_that_links_nothing_is_not_kept() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    let rustc = world.path("sysroot/bin/rustc");
    let text = fs::read_to_string(&rustc).unwrap();
    fs::write(
        &rustc,
        format!("{text}\ncase \"$*\" in *cdylib*) echo 'error: no linker' >&2; exit 1;; esac\n"),
    )
    .unwrap();
    insta::assert_snapshot!(world.settle(world.setup(false).unwrap_err()), @"
        the aborting std for wasm32-wasip1 of rustc 1.95.0 was built, but nothing can be linked with it:
            error: no linker
          help: see `cargo belljar doctor`; a newer rustc than belljar knows may need a newer belljar
    ");
    assert!(world.toolchains().is_empty());
}

#[test]
fn cargo_must_take_the_crates_that_std_pins() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    let cargo = world.path("sysroot/bin/cargo");
    let text = fs::read_to_string(&cargo).unwrap();
    let stray = r#"printf "[[package]]\nname = 'libc'\nversion = '0.2.1'\n" > Cargo.lock"#;
    fs::write(&cargo, text.replacen("cd ..", &format!("cd ..; {stray}"), 1)).unwrap();
    let error = world.setup(false).unwrap_err().to_string();
    assert!(error.contains("libc 0.2.1"), "{error}");
}

#[test]
fn a_damaged_sysroot_is_not_used_and_built_again() {
    let damages: [fn(&Utf8Path); 4] = [
        |dir| fs::write(dir.join("lib/rustlib").join(TARGET).join("lib/libstd-2.rlib"), "").unwrap(),
        |dir| fs::remove_dir_all(dir.join("lib/rustlib").join(TARGET).join("lib/self-contained")).unwrap(),
        |dir| fs::write(dir.join("sysroot.json"), "{").unwrap(),
        |dir| {
            let stamp = fs::read_to_string(dir.join("sysroot.json")).unwrap();
            fs::write(dir.join("sysroot.json"), stamp.replace("\"recipe\": ", "\"recipe\": 9")).unwrap();
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        let world = World::new();
        world.install_source("sysroot");
        world.install_libc("lib/wasm32-wasi");
        let made = world.setup(false).unwrap();
        damage(made.aborting.path.as_ref().unwrap());
        assert!(world.find().is_err(), "damage {n}");
        assert_eq!(world.setup(false).unwrap(), made, "damage {n}");
        assert_eq!(world.find().unwrap(), made, "damage {n}");
    }
    // What only reading every byte shows, setup finds.
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    let made = world.setup(false).unwrap();
    let std = made.aborting.path.as_ref().unwrap().join("lib/rustlib").join(TARGET).join("lib/libstd-2.rlib");
    fs::write(&std, "std-3\n").unwrap();
    assert_eq!(world.setup(false).unwrap(), made);
    assert_eq!(fs::read_to_string(&std).unwrap(), "std-2\n");
}

#[test]
fn another_rustc_gets_another_std() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    world.setup(false).unwrap();
    world.rustc("sysroot", "1.96.0");
    assert!(matches!(world.find(), Err(ToolchainError::NoStd { release, .. }) if release == "1.96.0"));
}

#[test]
fn a_sysroot_survives_its_rustc_moving() {
    let mut world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    let made = world.setup(false).unwrap();
    fs::rename(world.path("sysroot"), world.path("moved")).unwrap();
    world.rustc("moved", "1.95.0");
    world.machine.path = vec![world.path("moved/bin")];
    let found = world.find().unwrap();
    assert_eq!(found.aborting, made.aborting);
    let link = found.aborting.path.unwrap().join("lib/rustlib").join(HOST);
    assert_eq!(
        fs::canonicalize(link).unwrap(),
        fs::canonicalize(world.path("moved/lib/rustlib").join(HOST)).unwrap()
    );
}

#[test]
fn setups_at_the_same_time_build_once() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    world.cargo("sysroot", "sleep 0.3");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| world.setup(true).unwrap());
        }
    });
    let builds = world.log("cargo.log").iter().filter(|line| line.contains("build")).count();
    assert_eq!(builds, 2, "one for each kind");
}

#[test]
fn doctor_on_a_machine_with_everything() {
    let world = World::with_rustup("");
    world.install_target("rustup/toolchains/stable");
    insta::assert_snapshot!(world.doctor(), @"
              ok  rustc          1.95.0 at /rustup/toolchains/stable/bin/rustc
              ok  cargo          /rustup/toolchains/stable/bin/cargo
              ok  rustup         /cargo/bin/rustup
              ok  linker         /rustup/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
              ok  std            wasm32-wasip1 at /rustup/toolchains/stable/lib/rustlib/wasm32-wasip1
               -  unwinding std  can't be built; only macros that catch panics need it
                                  to have it: run `rustup component add --toolchain stable rust-src`
               -  rust-src       not installed; only building a std needs it
              ok  wasi-libc      /rustup/toolchains/stable/lib/rustlib/wasm32-wasip1/lib/self-contained
              ok  store          /store/v1
              ok  native code    0 files, 0 MB

        belljar is ready.
    ");
    world.install_source("rustup/toolchains/stable");
    insta::assert_snapshot!(world.doctor(), @"
              ok  rustc          1.95.0 at /rustup/toolchains/stable/bin/rustc
              ok  cargo          /rustup/toolchains/stable/bin/cargo
              ok  rustup         /cargo/bin/rustup
              ok  linker         /rustup/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
              ok  std            wasm32-wasip1 at /rustup/toolchains/stable/lib/rustlib/wasm32-wasip1
              ok  unwinding std  is built when a macro that catches panics first needs it
              ok  rust-src       /rustup/toolchains/stable/lib/rustlib/src/rust/library
              ok  wasi-libc      /rustup/toolchains/stable/lib/rustlib/wasm32-wasip1/lib/self-contained
              ok  store          /store/v1
              ok  native code    0 files, 0 MB

        belljar is ready.
    ");
}

#[test]
fn doctor_on_a_machine_with_only_rustc() {
    let world = World::new();
    insta::assert_snapshot!(world.doctor(), @"
              ok  rustc          1.95.0 at /sysroot/bin/rustc
              ok  cargo          /sysroot/bin/cargo
               -  rustup         not found
              ok  linker         /sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
         MISSING  std            rustc 1.95.0 has no std for wasm32-wasip1
               -  unwinding std  can't be built; only macros that catch panics need it
                                  to have it: install rust-src 1.95.0 (into `/sysroot/lib/rustlib/src/rust`) and wasi-libc (or set WASI_SDK_PATH), then run `cargo belljar setup`
               -  rust-src       not installed; only building a std needs it
               -  wasi-libc      not installed; only building a std needs it
              ok  store          /store/v1
              ok  native code    0 files, 0 MB

        belljar can't seal macros yet. To mend that: install rust-src 1.95.0 (into `/sysroot/lib/rustlib/src/rust`) and wasi-libc (or set WASI_SDK_PATH), then run `cargo belljar setup`
    ");
}

#[test]
fn doctor_on_a_machine_where_belljar_built_a_std() {
    let world = World::new();
    world.install_source("sysroot");
    world.install_libc("lib/wasm32-wasi");
    insta::assert_snapshot!(world.doctor(), @"
              ok  rustc          1.95.0 at /sysroot/bin/rustc
              ok  cargo          /sysroot/bin/cargo
               -  rustup         not found
              ok  linker         /sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
         MISSING  std            rustc 1.95.0 has no std for wasm32-wasip1
              ok  unwinding std  is built when a macro that catches panics first needs it
              ok  rust-src       /sysroot/lib/rustlib/src/rust/library
              ok  wasi-libc      /lib/wasm32-wasi
              ok  store          /store/v1
              ok  native code    0 files, 0 MB

        belljar can't seal macros yet. To mend that: run `cargo belljar setup`
    ");
    world.setup(true).unwrap();
    insta::with_settings!({filters => vec![("-[0-9a-f]{16}", "-[digest]")]}, {
        insta::assert_snapshot!(world.doctor(), @"
                  ok  rustc          1.95.0 at /sysroot/bin/rustc
                  ok  cargo          /sysroot/bin/cargo
                   -  rustup         not found
                  ok  linker         /sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
                  ok  std            wasm32-wasip1, built by belljar at /store/v1/toolchains/1.95.0-aborting-[digest]
                  ok  unwinding std  wasm32-wasip1, built by belljar at /store/v1/toolchains/1.95.0-unwinding-[digest]
                  ok  rust-src       /sysroot/lib/rustlib/src/rust/library
                  ok  wasi-libc      /lib/wasm32-wasi
                  ok  store          /store/v1
                  ok  native code    0 files, 0 MB

            belljar is ready.
        ");
    });
}

#[test]
fn doctor_on_a_machine_without_rust_or_a_store() {
    let world = World::new();
    fs::remove_file(world.path("sysroot/bin/rustc")).unwrap();
    let error = Store::open("relative".into()).unwrap_err().to_string();
    let report = doctor::examine(&world.machine, Err(error), "rustc".into());
    assert!(!report.healthy());
    insta::assert_snapshot!(world.settle(report), @"
         MISSING  rustc          there is no `rustc` to be found
               -  rustup         not found
         MISSING  store          BELLJAR_HOME is `relative`, which is not an absolute path in UTF-8

        belljar can't seal macros yet. To mend that: install Rust, or set RUSTC to the path of a rustc
    ");
}

/// With the real compiler, in another directory than the one that `cargo xtask setup-toolchain` built in.
#[test]
fn the_real_std_has_the_same_bytes_in_another_directory() {
    let machine = Machine::here();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let store = Store::open_default().unwrap();
    let toolchain = super::find(&store, rustc.as_str().into()).unwrap_or_else(|e| panic!("{e}"));
    let expected = toolchain.unwinding.expect("run `cargo xtask setup-toolchain` first");

    let home = tempfile::Builder::new().prefix("another höme ").tempdir().unwrap();
    let other = Store::open(Utf8Path::from_path(home.path()).unwrap()).unwrap();
    let compiler = super::Compiler::find(&machine, Some(&other), rustc.as_str().into()).unwrap();
    let sources = super::sources::find(&machine, &store, &compiler).unwrap();
    let made =
        super::build::make(&machine, &other, &compiler, &sources, true, machine.offline, &Silent).unwrap();
    assert_eq!(made.id, expected.id);
}
