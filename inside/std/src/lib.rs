//! The `std` of guests: all of the real one, and it tells the host of what the real one refuses by itself.
//!
//! WASI has no programs to start, no sockets to open and no permissions to change, so std's functions for them return an
//! error without asking anybody. A macro that tries must be on record all the same. So these have stand-ins here, with the API of the real ones
//! on `wasm32-wasip1`, which first tell the host and then do what the real ones do:
//!
//! | stand-in | tells of |
//! |---|---|
//! | [`process::Command`] | a program, by its name |
//! | [`net::TcpStream`], [`net::TcpListener`], [`net::UdpSocket`] | a socket, with the address |
//! | [`net::ToSocketAddrs`] | the name of a host that is looked up |
//! | [`fs::set_permissions`] | the file |
//!
//! Threads need none: std asks libc for them (`inside/proc_macro`, `threads`).
//!
//! Every crate of a guest finds this crate where std is, so that a type is the same type for all of them. What is not
//! replaced is the real std's own, by name.

extern crate std as real;

pub use real::*;

mod attempt;
mod command;
mod permissions;
mod sockets;

/// `std::fs`
pub mod fs {
    pub use real::fs::*;

    pub use crate::permissions::set_permissions;
}

/// `std::process`
pub mod process {
    pub use real::process::*;

    pub use crate::command::Command;
}

/// `std::net`
pub mod net {
    pub use real::net::*;

    pub use crate::sockets::{Incoming, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
}

/// What was told on this thread, where there is no host: for tests. No part of the API.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod __belljar {
    pub use crate::attempt::{Kind, told};
}
