//! What well-known macros need, as reviewed data.
//!
//! A profile is a `belljar.toml` of its own, in `profiles/`, with the grants that the macros of one package need to do what
//! their documentation shows, and in comments what in their sources needs them. It is a proposal: nothing of it holds until
//! it stands in the user's file. Only profiles that say nothing but `state = "crate"` hold by themselves, since that gives
//! access to nothing.

use crate::grant::{Grant, Source};
use crate::parse::{self, Context};

macro_rules! profiles {
    ($($name:literal)*) => {
        /// Sorted by name.
        const ALL: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../profiles/", $name, ".toml")))),*];
    };
}

profiles! {
    "askama_derive"
    "askama_macros"
    "const-random-macro"
    "dotenvy_macro"
    "enum_dispatch"
    "graphql_query_derive"
    "include_dir_macros"
    "migrations_macros"
    "napi-derive"
    "pest_derive"
    "pyo3-macros"
    "refinery-macros"
    "rinja_derive"
    "rust-embed-impl"
    "rust-i18n-macro"
    "sqlx-macros"
    "tauri-macros"
    "uniffi_macros"
    "wasm-bindgen-macro"
    "wit-bindgen-rust-macro"
}

/// What the macros of a package need.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub grant: Grant,
    /// The whole file, with comments that say what needs each line.
    pub text: &'static str,
    /// Whether it holds by itself.
    pub automatic: bool,
}

/// What belljar knows about a macro package in this version.
#[must_use]
pub fn suggest(package: &str, version: &str) -> Option<Profile> {
    let text = text(package)?;
    let grant = grants(package).into_iter().find(|grant| grant.has_version(version))?;
    Some(Profile { automatic: grant.gives_no_authority(), grant, text })
}

fn text(package: &str) -> Option<&'static str> {
    let at = ALL.binary_search_by_key(&package, |(name, _)| name).ok()?;
    Some(ALL[at].1)
}

/// What belljar knows about a macro package, for each range of its versions. A test says that all can be read.
#[must_use]
pub fn grants(package: &str) -> Vec<Grant> {
    let Some(text) = text(package) else { return Vec::new() };
    let read = parse::read(text, Source::Profile, package, package, &Context::default());
    read.map(|file| file.grants).unwrap_or_default()
}

/// The packages that belljar knows.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// What holds for these macros by itself.
pub(crate) fn automatic(package: &str, version: &str) -> Option<Grant> {
    suggest(package, version).filter(|profile| profile.automatic).map(|profile| profile.grant)
}
