//! What can't be taken as it is: rules about families of crates, applied to all guests alike.
//!
//! A dependency under a rule is compiled from a changed copy of its sources, or with another flag. Its package, its
//! version and its place in the lockfile stay what they are.

use camino::Utf8Path;

use crate::rewrite::Rules;

/// A rule about the versions of a crate that begin with `version`.
#[derive(Debug)]
pub(crate) struct Overlay {
    name: &'static str,
    version: &'static str,
    pub(crate) rules: Rules,
    /// `--cfg`s, each with the feature that it goes with, if any.
    cfgs: &'static [(&'static str, Option<&'static str>)],
}

const NONE: Rules = Rules {
    markers: false,
    not_wasm: false,
    bare: false,
    looks: false,
    unix: false,
    locates: false,
    wide: false,
    connects: false,
};
/// "No compiler is around on WebAssembly": true for programs, not for guests.
const NOT_WASM: Rules = Rules { not_wasm: true, ..NONE };

/// What the macro writes depends on its own pointers' width.
const WIDE: Rules = Rules { wide: true, ..NONE };

const OVERLAYS: &[Overlay] = &[
    Overlay { name: "syn", version: "0.", rules: NOT_WASM, cfgs: &[] },
    Overlay { name: "syn", version: "1.", rules: NOT_WASM, cfgs: &[] },
    Overlay { name: "quote", version: "0.", rules: NOT_WASM, cfgs: &[] },
    Overlay { name: "quote", version: "1.0.", rules: NOT_WASM, cfgs: &[] },
    // Its build script asks whether the target is WebAssembly.
    Overlay { name: "proc-macro2", version: "0.4.", rules: NOT_WASM, cfgs: PROC_MACRO2 },
    Overlay { name: "proc-macro2", version: "1.0.", rules: NOT_WASM, cfgs: PROC_MACRO2 },
    // The markers stand in bodies of its `macro_rules!`.
    Overlay { name: "synstructure", version: "0.", rules: Rules { markers: true, ..NOT_WASM }, cfgs: &[] },
    // What it gives up on WebAssembly without this isn't missed by macros.
    Overlay { name: "tokio", version: "1.", rules: NONE, cfgs: &[("tokio_unstable", None)] },
    // It starts `cargo locate-project`, if cargo has told where it is.
    Overlay { name: "proc-macro-crate", version: "", rules: Rules { locates: true, ..NONE }, cfgs: &[] },
    // Symbols are named after a hash that goes through a `usize`.
    Overlay { name: "wasm-bindgen-macro-support", version: "0.2.", rules: WIDE, cfgs: &[] },
    Overlay { name: "wasm-bindgen-backend", version: "0.2.", rules: WIDE, cfgs: &[] },
    // What fits into the macro's own `usize` is printed while templates are compiled. It is a guest itself before 0.15.
    Overlay { name: ASKAMA, version: "0.", rules: WIDE, cfgs: &[] },
    // Offline it opens no socket; the code that could has to compile.
    Overlay { name: "sqlx-core", version: "0.", rules: Rules { connects: true, ..NONE }, cfgs: &[] },
    // It starts `cargo metadata` for queries that the package's own `.sqlx` does not have.
    Overlay { name: "sqlx-macros-core", version: "0.", rules: Rules { locates: true, ..NONE }, cfgs: &[] },
    Overlay { name: "home", version: "0.5.", rules: Rules { unix: true, ..NONE }, cfgs: &[] },
];

const PROC_MACRO2: &[(&str, Option<&str>)] =
    &[("use_proc_macro", Some("proc-macro")), ("wrap_proc_macro", Some("proc-macro"))];

/// Its attribute looks for the markers of entry points below it.
const MANYHOW: &str = "manyhow-macros";

const ASKAMA: &str = "askama_derive";

/// The rules for the sources of the macro package `name`, which depends on those of which `reaches` says so.
pub(crate) fn of_guest(name: &str, reaches: impl Fn(&str) -> bool) -> Rules {
    Rules { markers: true, bare: reaches(MANYHOW), looks: name == MANYHOW, wide: name == ASKAMA, ..NONE }
}

/// The rule about this dependency.
pub(crate) fn of(name: &str, version: &str) -> Option<&'static Overlay> {
    OVERLAYS.iter().find(|o| o.name == name && version.starts_with(o.version))
}

impl Overlay {
    /// The `--cfg`s that go with these features.
    pub(crate) fn cfgs<'a>(&self, features: &'a [String]) -> impl Iterator<Item = &'static str> + use<'a> {
        let cfgs = self.cfgs;
        let holds = move |feature: Option<&str>| feature.is_none_or(|f| features.iter().any(|has| has == f));
        cfgs.iter().filter(move |(_, feature)| holds(*feature)).map(|(cfg, _)| *cfg)
    }

    /// Writes the changed sources of the package in `dir` to `copy`. Returns false when nothing had to be changed.
    pub(crate) fn copy(&self, dir: &Utf8Path, copy: &Utf8Path) -> std::io::Result<bool> {
        if self.rules == NONE { Ok(false) } else { crate::scratch::mirror(dir, copy, self.rules) }
    }
}

/// The whole table as text: a part of every guest's key.
pub(crate) fn id() -> String {
    format!("{OVERLAYS:?} {MANYHOW}")
}
