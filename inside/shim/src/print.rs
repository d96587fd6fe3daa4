//! What macros print, where they would have printed it.
//!
//! rustc speaks to cargo, and cargo to other programs, in lines of JSON on these very streams. So that a macro can't speak
//! in their place, a line of a macro's that begins like one gets `| ` before it, with which nothing is JSON any more (a
//! space would be: cargo hands a compiler's standard output on as it is, and readers of JSON skip spaces); and so that
//! rustc's next message stands on a line of its own, a line that a macro left open is ended when its call ends.

use std::io::{self, Write};
use std::sync::Mutex;

use belljar_wire::bytes::{Malformed, Reader};

/// For standard output and standard error: has a macro left a line open?
static OPEN: Mutex<[bool; 2]> = Mutex::new([false; 2]);

/// Writes the payload of a `PRINT`.
pub(crate) fn print(frame: &[u8]) -> Result<(), Malformed> {
    let mut r = Reader::new(frame);
    let number = r.u8()?;
    if number != 1 && number != 2 {
        return Err(Malformed { expected: "1 for stdout or 2 for stderr", at: 0 });
    }
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = harmless(r.rest(), &mut open[usize::from(number == 2)]);
    write(number, &text);
    Ok(())
}

/// Ends the lines that the call has left open.
pub(crate) fn end_lines() {
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (number, open) in [1, 2].into_iter().zip(open.iter_mut()) {
        if std::mem::take(open) {
            write(number, b"\n");
        }
    }
}

fn write(number: u8, text: &[u8]) {
    // A closed output is no reason to fail the build.
    let _ = if number == 1 {
        let mut out = io::stdout().lock();
        out.write_all(text).and_then(|()| out.flush())
    } else {
        io::stderr().lock().write_all(text)
    };
}

/// The text with [`MARK`] before every line whose first character that is not white space is a `{`. `open` says whether
/// a line was open before, and is set to whether one is open behind it: what goes on with it can't be told from a message
/// that begins there, so it is held to the same rule.
fn harmless(text: &[u8], open: &mut bool) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len() + 8);
    // Some readers also end a line at a carriage return.
    for line in text.split_inclusive(|&b| b == b'\n' || b == b'\r') {
        let first = line.iter().find(|b| !b.is_ascii_whitespace());
        if first == Some(&b'{') {
            written.extend_from_slice(MARK);
        }
        written.extend_from_slice(line);
    }
    if let Some(&last) = text.last() {
        *open = last != b'\n';
    }
    written
}

const MARK: &[u8] = b"| ";

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn no_line_begins_like_a_message() {
        let mut open = false;
        assert_eq!(harmless(b"a\n{\"b\"}\n {", &mut open), b"a\n| {\"b\"}\n|  {");
        assert!(open);
        assert_eq!(
            harmless(b"{c}\n\t{", &mut open),
            b"| {c}\n| \t{",
            "a line may be open with nothing but spaces"
        );
        assert_eq!(harmless(b"x\r{", &mut open), b"x\r| {");
        assert_eq!(harmless(b"", &mut open), b"");
        assert!(open);
        assert_eq!(harmless(b"\n", &mut open), b"\n");
        assert!(!open);
    }
}
