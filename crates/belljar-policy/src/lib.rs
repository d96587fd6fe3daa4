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

#![forbid(unsafe_code)]

mod calling;
mod decision;
mod request;
mod rules;

pub use calling::Calling;
pub use decision::{Decision, Outcome, Reason};
pub use request::{Access, Request};
pub use rules::{LimitChanges, Policy, Rules};
