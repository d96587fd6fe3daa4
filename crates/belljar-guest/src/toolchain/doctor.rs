//! What is there, what is missing, and the one command that mends it.

use std::fmt;

use belljar_store::{Area, Store};
use camino::Utf8Path;

use super::compiler::{Compiler, rustlib};
use super::machine::{Machine, is_program};
use super::{TARGET, look, rustup, sources};

/// What was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    Rustc,
    Cargo,
    Rustup,
    Linker,
    /// The std on which panics abort: every guest but those that catch panics.
    AbortingStd,
    UnwindingStd,
    /// From here on, what only building a std needs.
    StdSource,
    WasiLibc,
    Store,
    /// Native code of modules that ran before.
    NativeCode,
}

impl Item {
    fn name(self) -> &'static str {
        match self {
            Item::Rustc => "rustc",
            Item::Cargo => "cargo",
            Item::Rustup => "rustup",
            Item::Linker => "linker",
            Item::AbortingStd => "std",
            Item::UnwindingStd => "unwinding std",
            Item::StdSource => "rust-src",
            Item::WasiLibc => "wasi-libc",
            Item::Store => "store",
            Item::NativeCode => "native code",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Found,
    /// Not there, and most builds do without.
    Absent,
    /// Nothing can be sealed without it.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub item: Item,
    pub state: State,
    /// What was found and where, or what its absence means.
    pub note: String,
    /// What mends it.
    pub mend: Option<String>,
}

/// What [`doctor`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether macros can be sealed as things are.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.rows.iter().all(|row| row.state != State::Missing)
    }

    /// The one thing to do next: what mends the first thing missing, since the others may follow from it.
    #[must_use]
    pub fn mend(&self) -> Option<&str> {
        self.rows.iter().find(|row| row.state == State::Missing)?.mend.as_deref()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let state = match row.state {
                State::Found => "ok",
                State::Absent => "-",
                State::Missing => "MISSING",
            };
            let mut lines = row.note.lines();
            writeln!(f, "{state:>8}  {:<14} {}", row.item.name(), lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "{:>26}{}", "", line.trim_start())?;
            }
            if row.state == State::Absent
                && let Some(mend) = &row.mend
            {
                writeln!(f, "{:>25} to have it: {mend}", "")?;
            }
        }
        writeln!(f)?;
        match self.mend() {
            Some(mend) => writeln!(f, "belljar can't seal macros yet. To mend that: {mend}"),
            None if self.healthy() => writeln!(f, "belljar is ready."),
            None => writeln!(f, "belljar can't seal macros yet: see above."),
        }
    }
}

/// Looks at everything belljar needs, for the user's own store and that rustc. Changes nothing.
#[must_use]
pub fn doctor(rustc: &Utf8Path) -> Report {
    let store = Store::open_default();
    examine(&Machine::here(), store.as_ref().map_err(ToString::to_string), rustc)
}

pub(super) fn examine(machine: &Machine, store: Result<&Store, String>, rustc: &Utf8Path) -> Report {
    let mut rows = Vec::new();
    let mut found = |item, note: String| rows.push(Row { item, state: State::Found, note, mend: None });
    let compiler = Compiler::find(machine, store.as_ref().ok().copied(), rustc);
    if let Ok(compiler) = &compiler {
        found(Item::Rustc, format!("{} at {}", compiler.release, compiler.rustc));
        found(Item::Cargo, compiler.cargo.to_string());
    }
    match &compiler {
        Ok(compiler) => rows.extend(of_compiler(machine, store.as_ref().ok().copied(), compiler)),
        Err(error) => {
            let message = error.to_string();
            let (note, mend) = split_help(&message);
            rows.push(Row { item: Item::Rustc, state: State::Missing, note, mend });
            rows.push(match rustup::exe(machine) {
                Some(exe) => {
                    Row { item: Item::Rustup, state: State::Found, note: exe.to_string(), mend: None }
                }
                None => {
                    Row { item: Item::Rustup, state: State::Absent, note: "not found".to_owned(), mend: None }
                }
            });
        }
    }
    rows.extend(of_store(store));
    Report { rows }
}

fn of_compiler(machine: &Machine, store: Option<&Store>, compiler: &Compiler) -> Vec<Row> {
    let found = |item, note: String| Row { item, state: State::Found, note, mend: None };
    let mut rows = Vec::new();
    rows.push(match (rustup::of(machine, compiler), rustup::exe(machine)) {
        (Some(_), Some(exe)) => found(Item::Rustup, exe.to_string()),
        (_, exe) => Row {
            item: Item::Rustup,
            state: State::Absent,
            note: match exe {
                Some(exe) => format!("{exe}, but this rustc is not one of its toolchains"),
                None => "not found".to_owned(),
            },
            mend: None,
        },
    });
    let own = compiler.rustlib().join(&compiler.host).join("bin/rust-lld");
    let linker = Some(own).filter(|file| is_program(file)).or_else(|| {
        ["rust-lld", "wasm-ld"].into_iter().find_map(|name| machine.program(Utf8Path::new(name)))
    });
    rows.push(match linker {
        Some(linker) => found(Item::Linker, linker.to_string()),
        None => Row {
            item: Item::Linker,
            state: State::Missing,
            note: format!("rustc {} came without rust-lld, and there is no other", compiler.release),
            mend: Some("install lld (the package that has `rust-lld` or `wasm-ld`)".to_owned()),
        },
    });
    let Some(store) = store else { return rows };

    let toolchain = look(store, compiler);
    let place = |path: &Option<_>| match path {
        None => format!("{TARGET} at {}", rustlib(&compiler.sysroot).join(TARGET)),
        Some(path) => format!("{TARGET}, built by belljar at {path}"),
    };
    let source = sources::std_source_of(store, compiler);
    let libc = sources::libc(machine, store, compiler);
    rows.push(match &toolchain {
        Some(toolchain) => found(Item::AbortingStd, place(&toolchain.aborting.path)),
        None => Row {
            item: Item::AbortingStd,
            state: State::Missing,
            note: format!("rustc {} has no std for {TARGET}", compiler.release),
            mend: Some(mend_std(machine, store, compiler)),
        },
    });
    let can_build = source.is_some() && libc.is_some();
    rows.push(match toolchain.and_then(|toolchain| toolchain.unwinding) {
        Some(sysroot) => found(Item::UnwindingStd, place(&sysroot.path)),
        None if can_build => {
            found(Item::UnwindingStd, "is built when a macro that catches panics first needs it".to_owned())
        }
        None => Row {
            item: Item::UnwindingStd,
            state: State::Absent,
            note: "can't be built; only macros that catch panics need it".to_owned(),
            mend: Some(mend_sources(machine, store, compiler)),
        },
    });
    let absent = |item| Row {
        item,
        state: State::Absent,
        note: "not installed; only building a std needs it".to_owned(),
        mend: None,
    };
    rows.push(source.map_or_else(|| absent(Item::StdSource), |dir| found(Item::StdSource, dir.to_string())));
    rows.push(libc.map_or_else(|| absent(Item::WasiLibc), |dir| found(Item::WasiLibc, dir.to_string())));
    rows
}

fn of_store(store: Result<&Store, String>) -> Vec<Row> {
    let missing = |message: &str| {
        let (note, mend) = split_help(message);
        vec![Row { item: Item::Store, state: State::Missing, note, mend }]
    };
    match store {
        Err(message) => missing(&message),
        Ok(store) => match store.check_writable() {
            Err(error) => missing(&error.to_string()),
            Ok(()) => {
                let native = store.usage(Area::Native);
                let note = |note: String, item| Row { item, state: State::Found, note, mend: None };
                let size = native.bytes.div_ceil(1_000_000);
                vec![
                    note(store.root().to_string(), Item::Store),
                    note(format!("{} files, {size} MB", native.files), Item::NativeCode),
                ]
            }
        },
    }
}

/// An error's text as what is wrong and what to do.
fn split_help(message: &str) -> (String, Option<String>) {
    match message.split_once("\n  help: ") {
        Some((note, help)) => (note.to_owned(), Some(help.to_owned())),
        None => (message.to_owned(), None),
    }
}

/// What to do when there is no std for guests.
pub(super) fn mend_std(machine: &Machine, store: &Store, compiler: &Compiler) -> String {
    let can_build = sources::std_source_of(store, compiler).is_some()
        && sources::libc(machine, store, compiler).is_some();
    if can_build {
        "run `cargo belljar setup`".to_owned()
    } else if in_own_checkout(machine) {
        XTASK.to_owned()
    } else if let Some(rustup) = rustup::of(machine, compiler) {
        format!("run `{}`", rustup.add_target_command())
    } else {
        mend_without_rustup(machine, store, compiler)
    }
}

/// What to do when a std can't be built.
pub(super) fn mend_sources(machine: &Machine, store: &Store, compiler: &Compiler) -> String {
    if in_own_checkout(machine) {
        return XTASK.to_owned();
    }
    match rustup::of(machine, compiler) {
        Some(rustup) if sources::std_source_of(store, compiler).is_none() => {
            format!("run `{}`", rustup.add_source_command())
        }
        Some(rustup) => format!("run `{}`", rustup.add_target_command()),
        None => mend_without_rustup(machine, store, compiler),
    }
}

fn mend_without_rustup(machine: &Machine, store: &Store, compiler: &Compiler) -> String {
    let mut packages = Vec::new();
    if sources::std_source_of(store, compiler).is_none() {
        packages.push(format!(
            "rust-src {} (into `{}`)",
            compiler.release,
            compiler.rustlib().join("src/rust")
        ));
    }
    if sources::libc(machine, store, compiler).is_none() {
        packages.push("wasi-libc (or set WASI_SDK_PATH)".to_owned());
    }
    format!("install {}, then run `cargo belljar setup`", packages.join(" and "))
}

const XTASK: &str = "run `cargo xtask setup-toolchain`";

/// Whether the user stands in a checkout of belljar itself, whose chores include setting up a toolchain.
fn in_own_checkout(machine: &Machine) -> bool {
    let cwd = machine.cwd.as_deref();
    cwd.into_iter()
        .flat_map(Utf8Path::ancestors)
        .any(|dir| dir.join("xtask/src/setup_toolchain.rs").is_file())
}
