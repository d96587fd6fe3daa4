//! What can go wrong between a macro package and its module.

use belljar_store::StoreError;
use belljar_wire::abi::EntryKind;
use camino::Utf8PathBuf;

use crate::lock::LockError;
use crate::manifest::ManifestError;
use crate::toolchain::ToolchainError;

/// A guest could not be made. Every message names the macro package and says how to go on.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error("the macros of {guest} can't be sealed: {source}")]
    Lock { guest: String, source: LockError },
    #[error("the macros of {guest} can't be sealed: {source}")]
    Manifest { guest: String, source: ManifestError },
    #[error(
        "the macros of {guest} can't be sealed: {lockfile} has no such package\nnext: run `cargo update --workspace` so that the lockfile fits the manifests"
    )]
    NotLocked { guest: String, lockfile: Utf8PathBuf },
    #[error(
        "the macros of {guest} can't be sealed: {lockfile} has packages of this name and version from several places, and belljar can't tell which is meant\nnext: use one of them only, or give one another version with a `[patch]`"
    )]
    Several { guest: String, lockfile: Utf8PathBuf },
    #[error(
        "the macros of {guest} can't be sealed: for WebAssembly it would be built with {stranger}, which is not in {lockfile}\nnext: {advice}"
    )]
    Stranger { guest: String, stranger: String, lockfile: Utf8PathBuf, advice: String },
    #[error(
        "the macros of {guest} can't be sealed: its dependency {package} is replaced by {path}, in a way that belljar doesn't follow\nnext: replace it with a `[patch]` in the Cargo.toml of the workspace"
    )]
    Replaced { guest: String, package: String, path: Utf8PathBuf },
    #[error("the macros of {guest} can't be sealed: its dependencies for {target} can't be worked out\n{output}\nnext: {advice}", target = crate::toolchain::TARGET)]
    Graph { guest: String, output: String, advice: String },
    #[error("the macros of {guest} can't be sealed: {failed} doesn't compile for {target}\n{output}\nnext: {advice}", target = crate::toolchain::TARGET)]
    Build { guest: String, failed: String, output: String, advice: String },
    #[error(
        "the macros of {guest} can't be sealed: there is no room left on a disk\n{output}\nnext: make room for {store}, or set BELLJAR_HOME to a directory on another disk"
    )]
    NoRoom { guest: String, output: String, store: Utf8PathBuf },
    #[error("the macros of {guest} can't be sealed: cargo was stopped ({status})")]
    Stopped { guest: String, status: std::process::ExitStatus },
    #[error(
        "{package} includes {file} in what is compiled, which is not a file of its own\nnext: a macro is only built from its own package; if the file belongs to it, put it there, otherwise do without {package}"
    )]
    Reads { package: String, file: Utf8PathBuf },
    #[error(
        "the macros of {guest} can't be sealed: its files have changed meanwhile\nnext: run the build again"
    )]
    Changed { guest: String },
    #[error(
        "the macros of {guest} can't be sealed: cargo built no module for it\nnext: this is a fault of belljar; please report it with the name of the package"
    )]
    NoModule { guest: String },
    #[error(
        "the macros of {guest} can't be sealed: its module is not as it should be: {what}\nnext: {advice}"
    )]
    BadModule { guest: String, what: BadModule, advice: &'static str },
    #[error("{package} uses macros that use macros … more than {limit} deep, or in a circle")]
    TooDeep { package: String, limit: usize },
    #[error("belljar's own {name} could not be compiled\n{output}\nnext: {advice}")]
    Inside { name: String, output: String, advice: &'static str },
    #[error("{program} could not be started: {source}\nnext: run `cargo belljar doctor`")]
    Start { program: Utf8PathBuf, source: std::io::Error },
    #[error(
        "{path} could not be read or written: {source}\nnext: check the disk and the rights on that path"
    )]
    File { path: Utf8PathBuf, source: std::io::Error },
    #[error(
        "belljar's own path can't be used: {source}\nnext: install belljar where it can be read, in a directory whose path is UTF-8"
    )]
    OwnPath { source: std::io::Error },
    #[error(
        "the file {path} that a guest's build needs is missing or damaged\nnext: run the build again; if that doesn't help, remove {path}"
    )]
    Nested { path: Utf8PathBuf },
}

/// Why a module is refused. It was made by the macro's author as much as by the compiler.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadModule {
    #[error("it is no WebAssembly module ({0})")]
    NotWasm(String),
    #[error("its list of entry points is malformed ({0})")]
    Entries(String),
    #[error("it lists {} `{name}` twice", kind.word())]
    Twice { kind: EntryKind, name: String },
    #[error("it doesn't export {0}")]
    NoExport(String),
    #[error("it wants to import `{module}::{name}`")]
    Import { module: String, name: String },
}
