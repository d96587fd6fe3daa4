//! What can go wrong with a toolchain, each with the next step.

use std::io;

use belljar_store::StoreError;
use camino::Utf8PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    #[error("there is no `{rustc}` to be found\n  help: install Rust, or set RUSTC to the path of a rustc")]
    NoRustc { rustc: Utf8PathBuf },

    #[error(
        "`{rustc} {args}` failed: {why}\n  \
         help: belljar needs a working rustc; mend that one, or set RUSTC to another"
    )]
    Rustc { rustc: Utf8PathBuf, args: String, why: String },

    #[error("there is no cargo beside `{rustc}`, nor in PATH\n  help: install the cargo that belongs to it")]
    NoCargo { rustc: Utf8PathBuf },

    #[error(
        "rustc {release} has no std for {target}, without which no macro can be sealed{}\n  help: {mend}",
        tried.iter().map(|line| format!("\n  note: {line}")).collect::<String>(),
        target = super::TARGET
    )]
    NoStd { release: String, tried: Vec<String>, mend: String },

    #[error("building a std for {target} of rustc {release} needs {what}, which is not installed\n  help: {mend}",
        target = super::TARGET)]
    NoSource { release: String, what: &'static str, mend: String },

    #[error(
        "the {kind} std for {target} of rustc {release} did not build:\n{log}\n  \
         help: if it could not download its crates, run `cargo belljar setup` once with a network; \
         else the source may not be the one of this rustc: {source_dir}",
        target = super::TARGET
    )]
    Build { release: String, kind: &'static str, log: String, source_dir: Utf8PathBuf },

    #[error(
        "the {kind} std for {target} of rustc {release} was built, but nothing can be linked with it:\n{log}\n  \
         help: see `cargo belljar doctor`; a newer rustc than belljar knows may need a newer belljar",
        target = super::TARGET
    )]
    Link { release: String, kind: &'static str, log: String },

    #[error(
        "the {kind} std for {target} in belljar's store is damaged: {path}\n  \
         help: run `cargo belljar setup`, which makes it anew",
        target = super::TARGET
    )]
    Damaged { kind: &'static str, path: Utf8PathBuf },

    #[error(
        "belljar can't {doing} `{path}`: {source}\n  help: make room or make it accessible, then run it again"
    )]
    Io { doing: &'static str, path: Utf8PathBuf, source: io::Error },

    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ToolchainError {
    pub(super) fn io(doing: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
