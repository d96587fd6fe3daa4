//! Questions to the host. In a module they are imported functions (`belljar_wire::abi`); elsewhere whoever runs the
//! macro gives an [`Host`] to the thread.

use belljar_wire::Malformed;

/// The host broke the protocol. It is belljar's own fault and no input can cause it; the message reaches the user.
#[cold]
pub(crate) fn bad_answer(e: &Malformed) -> ! {
    panic!("belljar: the expander's answer can't be read: {e}")
}

#[cfg(target_family = "wasm")]
mod imported {
    use std::ffi::{CStr, c_char};

    #[link(wasm_import_module = "belljar")]
    unsafe extern "C" {
        #[link_name = "ask"]
        safe fn import_ask(ptr: u32, len: u32) -> u32;
        #[link_name = "take"]
        safe fn import_take(ptr: u32);
        #[link_name = "panicked"]
        safe fn import_panicked(ptr: u32, len: u32);
        #[link_name = "getenv"]
        safe fn import_getenv(ptr: u32, len: u32) -> u32;
        #[link_name = "getcwd"]
        safe fn import_getcwd() -> u32;
        #[link_name = "attempt"]
        safe fn import_attempt(kind: u32, name: u32, len: u32);
    }

    fn address(bytes: &[u8]) -> (u32, u32) {
        (bytes.as_ptr() as u32, bytes.len() as u32)
    }

    /// The answer the host keeps, with `spare` zero bytes behind it.
    fn take(len: u32, spare: usize) -> Vec<u8> {
        let mut answer = vec![0; len as usize + spare];
        import_take(answer.as_mut_ptr() as u32);
        answer
    }

    pub(crate) fn ask(question: &[u8]) -> Vec<u8> {
        let (ptr, len) = address(question);
        take(import_ask(ptr, len), 0)
    }

    /// Tells of a panic, with its message if it has one. No text stands at address 0.
    pub(crate) fn panicked(message: Option<&str>) {
        let (ptr, len) = message.map_or((0, 0), |message| address(message.as_bytes()));
        import_panicked(ptr, len);
    }

    /// The compiler's working directory, unless that is refused.
    pub(crate) fn working_directory() -> Option<Vec<u8>> {
        match import_getcwd() {
            u32::MAX => None,
            len => Some(take(len, 0)),
        }
    }

    /// Tells that the macro wants a thread.
    pub(crate) fn tell_of_thread() {
        let (ptr, len) = address(b"");
        import_attempt(belljar_wire::abi::attempt::THREAD, ptr, len);
    }

    /// Can no panic be caught?
    pub(crate) const PANICS_ABORT: bool = cfg!(panic = "abort");

    /// Ends the call as a panic does that nothing catches. Unlike one, it can happen while another one's message is made.
    pub(crate) fn panic_without_message() -> ! {
        panicked(None);
        std::process::abort()
    }

    unsafe extern "C" {
        /// The environment as libc keeps it, or all ones while nobody has wanted the whole of it: libc asks the host for
        /// all variables when the macro first lists or changes them (`std::env::vars`, `set_var`, `remove_var`), and from
        /// then on this is where they are.
        static mut __wasilibc_environ: *mut *mut c_char;
    }

    /// What libc keeps, if it has asked for it.
    fn kept() -> Option<*mut *mut c_char> {
        // SAFETY: nothing else runs in this instance, and the variable holds a pointer at all times.
        let environ = unsafe { (&raw const __wasilibc_environ).read() };
        (environ.addr() != usize::MAX).then_some(environ)
    }

    /// The value of that name in the environment `at`.
    fn find(mut at: *mut *mut c_char, name: &[u8]) -> Option<*mut c_char> {
        if at.is_null() {
            return None;
        }
        loop {
            // SAFETY: libc's environment is an array of pointers that ends with a null pointer, which is returned at.
            let entry = unsafe { *at };
            if entry.is_null() {
                return None;
            }
            // SAFETY: each entry is a C string that libc keeps until the variable is set anew.
            let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
            if text.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'=')) {
                // SAFETY: the entry is longer than its name and the `=`, and ends with a zero.
                return Some(unsafe { entry.add(name.len() + 1) });
            }
            // SAFETY: the null pointer is still ahead.
            at = unsafe { at.add(1) };
        }
    }

    /// Takes the place of libc's, so that one variable is one question with a name to log and to track, and not a
    /// question for all of them.
    ///
    /// # Safety
    /// As C's: `name` is null or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
        let null = std::ptr::null_mut();
        if name.is_null() {
            return null;
        }
        // SAFETY: by C's contract for this function.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let kept = kept();
        if let Some(value) = kept.and_then(|environ| find(environ, name)) {
            return value;
        }
        let (ptr, len) = address(name);
        match import_getenv(ptr, len) {
            u32::MAX => null,
            // It was there, and the macro has removed it.
            _ if kept.is_some() => null,
            // C's callers may keep the pointer, so the value stays.
            len => take(len, 1).leak().as_mut_ptr().cast(),
        }
    }
}

#[cfg(target_family = "wasm")]
pub(crate) use imported::{
    PANICS_ABORT, ask, panic_without_message, panicked, tell_of_thread, working_directory,
};

#[cfg(not(target_family = "wasm"))]
mod given {
    use std::cell::RefCell;

    /// Who answers a macro that does not run as a module.
    pub trait Host {
        /// Answers a question, both as in `belljar_wire::abi::question`.
        fn ask(&mut self, question: &[u8]) -> Vec<u8>;
    }

    thread_local! {
        static HOST: RefCell<Option<Box<dyn Host>>> = const { RefCell::new(None) };
    }

    /// Sets who answers on this thread, or that nobody does.
    pub fn set_host(host: Option<Box<dyn Host>>) {
        HOST.set(host);
    }

    pub(crate) const PANICS_ABORT: bool = false;

    pub(crate) fn panic_without_message() -> ! {
        unreachable!("panics unwind here")
    }

    pub(crate) fn ask(question: &[u8]) -> Vec<u8> {
        HOST.with_borrow_mut(|host| match host {
            Some(host) => host.ask(question),
            None => panic!("belljar: nobody answers questions on this thread"),
        })
    }
}

#[cfg(not(target_family = "wasm"))]
pub use given::{Host, set_host};

#[cfg(not(target_family = "wasm"))]
pub(crate) use given::{PANICS_ABORT, ask, panic_without_message};
