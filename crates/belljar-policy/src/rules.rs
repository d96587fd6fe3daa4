//! The rules for the macros of one compilation.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calling::Calling;
use crate::decision::{Decision, Reason};
use crate::request::{Access, Request};

/// The rules of one compilation, from which those of each macro package follow.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    calling: Arc<Calling>,
}

impl Policy {
    /// The built-in rules alone.
    #[must_use]
    pub fn built_in(calling: Calling) -> Self {
        Self { calling: Arc::new(calling) }
    }

    /// What holds for the macros of this package, in the crate that is being compiled.
    #[must_use]
    pub fn rules(&self, package: &str, version: &str) -> Rules {
        let _ = (package, version);
        let variables = self.calling.environment.iter().filter(|(name, _)| describes_crate(name));
        Rules {
            calling: Arc::clone(&self.calling),
            variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

/// What the macros of one package may reach in one crate.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    calling: Arc<Calling>,
    /// The granted variables that are set.
    variables: BTreeMap<String, String>,
}

/// Limits that a rule sets in place of the usual ones. Bytes, and seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LimitChanges {
    pub time: Option<f64>,
    pub memory: Option<u64>,
    pub stack: Option<u64>,
    pub output: Option<u64>,
}

impl Rules {
    /// A decision by name alone: nothing is looked up, so it is the same whether the thing exists or not.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision {
        match request {
            Request::Variable(name) if describes_crate(name) => Decision::Granted(Reason::DescribesCrate),
            Request::Variable(name) if asked_by_std(name) => Decision::Withheld(Reason::AskedByStd),
            // The listing has what is granted and nothing else.
            Request::Variables => Decision::Granted(Reason::DescribesCrate),
            Request::Clock | Request::Random => Decision::Fixed(Reason::Deterministic),
            Request::Variable(_) | Request::Path { .. } => Decision::Refused(Reason::NotGranted),
            Request::Socket | Request::Thread | Request::Process(_) | Request::Signal => {
                Decision::Refused(Reason::NeverGranted)
            }
        }
    }

    /// The directory beneath which a path is opened for which [`Rules::decide`] said "granted": the fixed part of the grant.
    /// No link and no `..` may lead out of it, except to another path that is granted by its own name.
    #[must_use]
    pub fn root_of(&self, access: Access, path: &str) -> Option<String> {
        let _ = (access, path);
        None
    }

    /// The compiler's working directory, to which the guest's relative paths are relative.
    #[must_use]
    pub fn cwd(&self) -> Option<&str> {
        self.calling.cwd.as_deref()
    }

    /// The value of a variable that is granted and set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables that are granted and set, sorted by name.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether all calls in one crate share one instance (`state = "crate"`).
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        false
    }

    /// Whether the guest sees the real time, and the real times of files (`time = true`).
    #[must_use]
    pub fn real_time(&self) -> bool {
        false
    }

    /// What its random numbers depend on beside module, macro and input (`random = "…"`).
    #[must_use]
    pub fn seed(&self) -> &[u8] {
        b""
    }

    #[must_use]
    pub fn limits(&self) -> LimitChanges {
        LimitChanges::default()
    }

    /// A digest of all that the rules say, apart from the values of variables: another one when the policy about this
    /// package in this crate has changed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        [0; 32]
    }
}

/// Source: the cargo book, "Environment variables Cargo sets for crates". Others of that list (`CARGO`, `OUT_DIR`,
/// `CARGO_BIN_NAME`…) lead to programs and files, or differ between builds of one crate.
fn describes_crate(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || matches!(name, "CARGO_CRATE_NAME" | "CARGO_MANIFEST_DIR")
}

fn asked_by_std(name: &str) -> bool {
    matches!(name, "RUST_BACKTRACE" | "RUST_LIB_BACKTRACE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let environment = [
            ("CARGO_PKG_VERSION", "1.2.3"),
            ("CARGO_MANIFEST_DIR", "/src/app"),
            ("CARGO_CRATE_NAME", "app"),
            ("CARGO", "/usr/bin/cargo"),
            ("CARGO_PKG", "no"),
            ("CARGO_REGISTRY_TOKEN", "secret"),
            ("HOME", "/home/me"),
            ("RUST_BACKTRACE", "1"),
        ];
        let calling = Calling::of_environment(environment.map(|(n, v)| (n.into(), v.into())));
        Policy::built_in(calling).rules("mac", "1.0.0")
    }

    #[test]
    fn only_what_describes_the_crate_is_granted() {
        let rules = rules();
        let names: Vec<_> = rules.variables().map(|(name, _)| name).collect();
        assert_eq!(names, ["CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_PKG_VERSION"]);
        for secret in
            ["CARGO", "CARGO_PKG", "CARGO_REGISTRY_TOKEN", "HOME", "RUST_BACKTRACE", "NEVER_SET", ""]
        {
            assert_eq!(rules.variable(secret), None, "{secret}");
            assert!(!matches!(rules.decide(&Request::Variable(secret.into())), Decision::Granted(_)));
        }
    }

    #[test]
    fn a_refusal_does_not_tell_whether_the_thing_exists() {
        let rules = rules();
        let set = rules.decide(&Request::Variable("HOME".into()));
        assert_eq!(set, rules.decide(&Request::Variable("NEVER_SET".into())));
        assert_eq!(set, Decision::Refused(Reason::NotGranted));
    }

    #[test]
    fn a_request_reads_as_a_person_would_say_it() {
        let read = Request::Path { access: Access::Read, path: "/etc/pass\nwd".into() };
        assert_eq!(read.to_string(), "read file `/etc/pass\\nwd`");
        assert_eq!(Request::Variable("HOME".into()).to_string(), "environment variable `HOME`");
    }
}
