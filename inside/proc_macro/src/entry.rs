//! Running a macro: input bytes in, output bytes or the message of a panic out.
//!
//! In a module the wrapper of an entry point (made by the attributes of the crate `belljar`, `inside/entry`) calls
//! [`function`], [`attribute`] or [`derive`]. Elsewhere [`run`] does the same with bytes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use belljar_wire::tokens::Input;

use crate::{TokenStream, call, stream};

/// What ended a macro that panicked: its message, if it has one that can be shown.
pub type Panic = Option<String>;

/// Runs a macro over an input, which gives it one stream or two.
pub fn run(
    input: &'static [u8],
    f: impl FnOnce(&mut dyn Iterator<Item = TokenStream>) -> TokenStream,
) -> Result<Vec<u8>, Panic> {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let read =
            Input::read(input).unwrap_or_else(|e| panic!("belljar: the macro's input can't be read: {e}"));
        let _running = call::begin(read.handles);
        let output = f(&mut stream::of_input(input, &read));
        let bytes = stream::to_output(&output);
        // The instance ends here: taking the tree apart would be for nothing.
        std::mem::forget(output);
        bytes
    }));
    unwound.map_err(|payload| {
        let message = message(&*payload);
        // A payload's own `drop` must not run: it could panic.
        std::mem::forget(payload);
        message
    })
}

/// As rustc reads a payload (`PanicMessage` in `library/proc_macro/src/bridge/rpc.rs`).
fn message(payload: &(dyn Any + Send)) -> Panic {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).map(str::to_owned)
}

#[cfg(target_family = "wasm")]
pub use module::*;

#[cfg(target_family = "wasm")]
mod module {
    use std::panic;

    use belljar_wire::abi::PANICKED;

    use super::run;
    use crate::{TokenStream, call, host};

    // The types of a wrapper's signature under names that no macro crate can shadow.
    pub type Address = u32;
    pub type Length = u32;
    pub type Returned = u64;
    pub type Byte = u8;

    /// Room for an input, see `belljar_wire::abi`.
    #[unsafe(no_mangle)]
    extern "C" fn belljar_alloc(len: Length) -> Address {
        let room = Vec::<u8>::with_capacity(len as usize);
        std::mem::ManuallyDrop::new(room).as_mut_ptr() as Address
    }

    /// Runs a `#[proc_macro]`.
    pub fn function(f: fn(TokenStream) -> TokenStream, ptr: Address, len: Length) -> Returned {
        call(ptr, len, |streams| f(streams.next().unwrap_or_default()))
    }

    /// Runs a `#[proc_macro_derive]`.
    pub fn derive(f: fn(TokenStream) -> TokenStream, ptr: Address, len: Length) -> Returned {
        function(f, ptr, len)
    }

    /// Runs a `#[proc_macro_attribute]`.
    pub fn attribute(f: fn(TokenStream, TokenStream) -> TokenStream, ptr: Address, len: Length) -> Returned {
        call(ptr, len, |streams| {
            let arguments = streams.next().unwrap_or_default();
            f(arguments, streams.next().unwrap_or_default())
        })
    }

    fn call(
        ptr: Address,
        len: Length,
        f: impl FnOnce(&mut dyn Iterator<Item = TokenStream>) -> TokenStream,
    ) -> Returned {
        call::count();
        // rustc keeps panics of macros off stderr and shows their message itself. Where a panic ends the instance, this
        // is the last chance to tell it; where it unwinds the macro may catch it, and what escapes is told below.
        panic::set_hook(Box::new(|info| {
            if host::PANICS_ABORT && call::active() {
                host::panicked(info.payload_as_str());
            }
        }));
        // SAFETY: the host has written so many bytes to this address, which `belljar_alloc` gave it for good.
        let input = unsafe { std::slice::from_raw_parts(ptr as *const u8, len as usize) };
        match run(input, f) {
            Ok(output) => {
                let output = output.leak();
                (u64::from(output.as_ptr() as u32) << 32) | output.len() as u64
            }
            Err(message) => {
                host::panicked(message.as_deref());
                PANICKED
            }
        }
    }
}
