//! What a guest may reach, and why.
//!
//! A guest reaches nothing by itself. When it wants something, the expander puts a [`Request`] to the [`Policy`] and does
//! what the [`Decision`] says. There is one policy so far, the built-in one: the variables by which cargo describes the
//! crate that is being compiled may be read, everything else is refused.
//!
//! ```
//! use belljar_policy::{Decision, Policy, Request};
//!
//! let policy = Policy::built_in([("CARGO_PKG_NAME".into(), "app".into()), ("HOME".into(), "/home/me".into())]);
//! assert!(matches!(policy.decide(&Request::Variable("CARGO_PKG_NAME".into())), Decision::Granted(_)));
//! assert!(matches!(policy.decide(&Request::Variable("HOME".into())), Decision::Refused(_)));
//! // What is refused has no value, whether it is set or not.
//! assert_eq!(policy.variable("HOME"), None);
//! assert_eq!(policy.variable("CARGO_PKG_NAME"), Some("app"));
//! ```

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Something a guest wants that it does not have by itself. Its text says it to a person: "read file `/etc/passwd`".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// The value of an environment variable.
    Variable(String),
    /// Something with a path. Guests see one root directory, to which a relative path is relative too.
    Path { access: Access, path: String },
    /// Something with a socket.
    Socket,
    /// Starting a thread.
    Thread,
    /// Sending a signal to itself.
    Signal,
}

/// What is to be done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    Read,
    Write,
    /// Reading a directory's entries.
    List,
    /// Asking whether it exists, what it is, when it was changed.
    LookAt,
    /// Reading where a symbolic link leads.
    ReadLink,
    MakeDirectory,
    /// Making a hard or symbolic link at the path.
    Link,
    Rename,
    Remove,
    /// Setting its times.
    Touch,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Variable(name) => write!(f, "environment variable `{}`", name.escape_debug()),
            Request::Path { access, path } => {
                let doing = match access {
                    Access::Read => "read file",
                    Access::Write => "write file",
                    Access::List => "list directory",
                    Access::LookAt => "look at",
                    Access::ReadLink => "read link",
                    Access::MakeDirectory => "make directory",
                    Access::Link => "make link",
                    Access::Rename => "rename",
                    Access::Remove => "remove",
                    Access::Touch => "set times of",
                };
                write!(f, "{doing} `{}`", path.escape_debug())
            }
            Request::Socket => f.write_str("use a socket"),
            Request::Thread => f.write_str("start a thread"),
            Request::Signal => f.write_str("send a signal"),
        }
    }
}

/// What to do about a [`Request`], with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Granted(Reason),
    /// Not granted, and not worth a word to anybody.
    Withheld(Reason),
    /// Not granted. That it was wanted is recorded.
    Refused(Reason),
}

/// Why a [`Decision`] is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Cargo sets it to describe the crate that is being compiled.
    DescribesCrate,
    /// Rust's std asks for it when a macro panics, to choose how to print that. The macro did not ask.
    AskedByStd,
    /// Nothing grants it.
    NotGranted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::DescribesCrate => "it describes the crate that is being compiled",
            Reason::AskedByStd => "Rust's std asks for it, not the macro",
            Reason::NotGranted => "nothing grants it",
        })
    }
}

/// The rules for the macros of one compilation.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The granted variables that are set.
    variables: BTreeMap<String, String>,
}

impl Policy {
    /// The built-in rules. `environment` is the one cargo gave to the rustc that compiles the crate; of its variables only
    /// those that are granted are kept. One whose value is not UTF-8 counts as unset.
    #[must_use]
    pub fn built_in(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let variables =
            environment.into_iter().filter_map(text).filter(|(name, _)| describes_crate(name)).collect();
        Self { variables }
    }

    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision {
        match request {
            Request::Variable(name) if describes_crate(name) => Decision::Granted(Reason::DescribesCrate),
            Request::Variable(name) if asked_by_std(name) => Decision::Withheld(Reason::AskedByStd),
            Request::Variable(_)
            | Request::Path { .. }
            | Request::Socket
            | Request::Thread
            | Request::Signal => Decision::Refused(Reason::NotGranted),
        }
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

    fn policy() -> Policy {
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
        Policy::built_in(environment.map(|(n, v)| (n.into(), v.into())))
    }

    #[test]
    fn only_what_describes_the_crate_is_granted() {
        let policy = policy();
        let names: Vec<_> = policy.variables().map(|(name, _)| name).collect();
        assert_eq!(names, ["CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_PKG_VERSION"]);
        for secret in
            ["CARGO", "CARGO_PKG", "CARGO_REGISTRY_TOKEN", "HOME", "RUST_BACKTRACE", "NEVER_SET", ""]
        {
            assert_eq!(policy.variable(secret), None, "{secret}");
            assert!(!matches!(policy.decide(&Request::Variable(secret.into())), Decision::Granted(_)));
        }
    }

    #[test]
    fn a_refusal_does_not_tell_whether_the_thing_exists() {
        let policy = policy();
        let set = policy.decide(&Request::Variable("HOME".into()));
        assert_eq!(set, policy.decide(&Request::Variable("NEVER_SET".into())));
        assert_eq!(set, Decision::Refused(Reason::NotGranted));
    }

    #[test]
    fn a_request_reads_as_a_person_would_say_it() {
        let read = Request::Path { access: Access::Read, path: "/etc/pass\nwd".into() };
        assert_eq!(read.to_string(), "read file `/etc/pass\\nwd`");
        assert_eq!(Request::Variable("HOME".into()).to_string(), "environment variable `HOME`");
    }
}
