//! Telling the host of an attempt. In a module that is an imported function (`belljar_wire::abi`); elsewhere it is kept for
//! tests to look at.

use real::ffi::OsStr;

/// As in `belljar_wire::abi::attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Process = 2,
    Socket = 3,
}

pub(crate) fn program(name: &OsStr) {
    tell(Kind::Process, &name.to_string_lossy());
}

/// A socket for an address, or for the name of a host.
pub(crate) fn socket(address: &(impl ToString + ?Sized)) {
    tell(Kind::Socket, &address.to_string());
}

/// A socket, and nobody can say for what.
pub(crate) fn nameless_socket() {
    tell(Kind::Socket, "");
}

#[cfg(target_family = "wasm")]
fn tell(kind: Kind, name: &str) {
    #[link(wasm_import_module = "belljar")]
    unsafe extern "C" {
        #[link_name = "attempt"]
        safe fn import_attempt(kind: u32, ptr: u32, len: u32);
    }
    import_attempt(kind as u32, name.as_ptr() as u32, name.len() as u32);
}

#[cfg(not(target_family = "wasm"))]
mod kept {
    use real::cell::RefCell;

    use super::Kind;

    real::thread_local! {
        static TOLD: RefCell<Vec<(Kind, String)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn tell(kind: Kind, name: &str) {
        TOLD.with_borrow_mut(|told| told.push((kind, name.to_owned())));
    }

    /// What was told on this thread since the last call.
    pub fn told() -> Vec<(Kind, String)> {
        TOLD.take()
    }
}

#[cfg(not(target_family = "wasm"))]
use kept::tell;
#[cfg(not(target_family = "wasm"))]
pub use kept::told;
