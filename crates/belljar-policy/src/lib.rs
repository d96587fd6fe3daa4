//! What a guest may reach, and why.
//!
//! A guest reaches nothing by itself. When it wants something, the expander puts a [`Request`] to the [`Rules`] of that
//! macro package in that calling crate and does what the [`Decision`] says.
//!
//! ```
//! use belljar_policy::{Calling, Decision, Policy, Request};
//!
//! let environment = [("CARGO_PKG_NAME".into(), "app".into()), ("HOME".into(), "/home/me".into())];
//! let rules = Policy::built_in(Calling::of_environment(environment)).rules("serde_derive", "1.0.229");
//! assert!(matches!(rules.decide(&Request::Variable("CARGO_PKG_NAME".into())), Decision::Granted(_)));
//! assert!(matches!(rules.decide(&Request::Variable("HOME".into())), Decision::Refused(_)));
//! // What is refused has no value, whether it is set or not.
//! assert_eq!(rules.variable("HOME"), None);
//! assert_eq!(rules.variable("CARGO_PKG_NAME"), Some("app"));
//! ```

//!
//! Rules come from what is built in, from `belljar.toml` at the workspace's root, and from the user's own defaults
//! ([`Policy::load`]). [`edit`] adds a grant to such a file, [`unused`] finds those that do nothing, [`profiles`] knows what
//! well-known macros need, and [`reference`] documents the file from the tables that the parser uses.

#![forbid(unsafe_code)]

mod calling;
mod decision;
pub mod edit;
mod error;
mod grant;
mod keys;
mod parse;
mod pattern;
mod places;
mod policy;
pub mod profiles;
pub mod reference;
mod request;
mod rules;
mod size;
mod unused;

pub use calling::Calling;
pub use decision::{Decision, Mode, Outcome, Reason};
pub use error::{Covers, Mistake, PolicyError, Problem};
pub use grant::{Grant, Source, State};
pub use parse::File;
pub use pattern::{BadPattern, BadVariable, Base, PathPattern, VariablePattern};
pub use places::{FILE_NAME, MODE_VARIABLE, Places};
pub use policy::Policy;
pub use request::{Access, Request};
pub use rules::{LimitChanges, Rules, SOURCE_DATE_EPOCH, WORKSPACE_MANIFEST, describes_crate};
pub use size::BadSize;
pub use unused::{Pair, Unused, Used, unused};
