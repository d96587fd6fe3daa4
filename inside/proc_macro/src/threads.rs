//! Threads, of which a guest has none.
//!
//! std asks libc for one. That is where the host is told; a libc that has the function (older ones for WASI have none) would
//! only refuse.

use std::ffi::{c_int, c_void};

use crate::host;

/// Number of preview 1. It is what libc's own function returns.
const EAGAIN: c_int = 6;

/// Takes the place of libc's.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_create(
    _: *mut c_void,
    _: *const c_void,
    _: extern "C" fn(*mut c_void) -> *mut c_void,
    _: *mut c_void,
) -> c_int {
    host::tell_of_thread();
    EAGAIN
}
