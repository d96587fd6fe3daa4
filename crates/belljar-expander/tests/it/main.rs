//! The expander as a shim sees it: guests written for each case, a real store, a real socket.

mod support;

mod hostile;
mod protocol;
mod questions;
mod world;
