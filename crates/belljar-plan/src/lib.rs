//! Cargo's side of a build.
//!
//! Before cargo builds anything, [`Plan::of`] asks it for the unit graph of the very build that is coming, and reads off
//!
//! - the macro packages, in the order in which they can be built as guests ([`Plan::macros`]);
//! - the units that only macros need ([`Plan::skipped`]): since no macro is built natively, neither are those.
//!
//! During the build the wrapper sees one rustc command line at a time. [`Unit::of_args`] reads from it what the unit
//! graph says about a unit, so that the two can be matched.

mod args;
mod cargo;
mod graph;

pub use args::{CrateKind, RustcArgs, RustcCall, expanded};
pub use cargo::{CargoCall, PlanError, Workspace};
pub use graph::{Features, MacroUnit, Package, PackageSource, Plan, Unit};
