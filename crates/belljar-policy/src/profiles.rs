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
    "enum_dispatch"
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
    let at = ALL.binary_search_by_key(&package, |(name, _)| name).ok()?;
    let (name, text) = ALL[at];
    let grants = parse::read(text, Source::Profile, name, name, &Context::default()).ok()?.grants;
    let grant = grants.into_iter().find(|grant| grant.has_version(version))?;
    Some(Profile { automatic: grant.gives_no_authority(), grant, text })
}

/// The packages that belljar knows.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// What holds for these macros by itself.
pub(crate) fn automatic(package: &str, version: &str) -> Option<Grant> {
    suggest(package, version).filter(|profile| profile.automatic).map(|profile| profile.grant)
}
