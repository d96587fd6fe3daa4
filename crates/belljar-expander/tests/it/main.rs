//! The expander as a shim sees it: guests written for each case, a real store, a real socket.

mod script;
mod state;
mod support;
mod tree;

mod escape;
mod files;
mod hostile;
mod protocol;
mod questions;
mod remembered;
mod untouched;
mod world;
