//! The working directory, which is the compiler's.
//!
//! A module must not know it unless the macro asks: what it does would depend on where a project lies. But libc holds a name of
//! it at all times, and puts it before every relative path. So that name is one that no directory has, [`STAND_IN`]. The host
//! knows it, and takes what is below it for what is below the real one; and whoever asks for the name itself
//! (`std::env::current_dir`) has the host asked.
//!
//! Both symbols stand in place of libc's, which are in one object file: it is not linked where these are.

use std::ffi::{CStr, c_char, c_int};

use crate::host;

/// Agreed with the expander (`files`).
const STAND_IN: &CStr = c"/.belljar-cwd";

/// Numbers of preview 1.
const EACCES: c_int = 2;
const EINVAL: c_int = 28;
const ERANGE: c_int = 68;

/// Where libc keeps the name of the working directory; `chdir` sets it.
#[unsafe(no_mangle)]
static mut __wasilibc_cwd: *const c_char = STAND_IN.as_ptr();

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_char;
    fn __errno_location() -> *mut c_int;
}

fn fail(errno: c_int) -> *mut c_char {
    // SAFETY: it gives the address of this thread's `errno`.
    unsafe { *__errno_location() = errno };
    std::ptr::null_mut()
}

/// The real name of the working directory, without the zero at its end.
fn real() -> Option<Vec<u8>> {
    // SAFETY: nothing else runs in this instance, and the variable holds a C string at all times.
    let name = unsafe { CStr::from_ptr((&raw const __wasilibc_cwd).read()) }.to_bytes();
    let rest =
        name.strip_prefix(STAND_IN.to_bytes()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
    let Some(rest) = rest else { return Some(name.to_vec()) };
    let mut real = host::working_directory()?;
    real.extend_from_slice(rest);
    Some(real)
}

/// Takes the place of libc's.
///
/// # Safety
/// As C's: `buffer` is null, or has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getcwd(buffer: *mut c_char, size: usize) -> *mut c_char {
    let Some(mut name) = real() else { return fail(EACCES) };
    name.push(0);
    let buffer = if buffer.is_null() {
        // SAFETY: it may be called with any size.
        unsafe { malloc(name.len()) }
    } else if size == 0 {
        return fail(EINVAL);
    } else if size < name.len() {
        return fail(ERANGE);
    } else {
        buffer
    };
    if !buffer.is_null() {
        // SAFETY: there is room for as much, in memory of the caller's or of malloc's, and the name is this function's own.
        unsafe { buffer.copy_from_nonoverlapping(name.as_ptr().cast(), name.len()) };
    }
    buffer
}
