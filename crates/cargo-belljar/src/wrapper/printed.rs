//! What a compiler prints is passed on as it comes, and kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::Child;

/// How much is kept.
const MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Printed {
    /// `None` where it was too much.
    pub(super) stderr: Option<Vec<u8>>,
    pub(super) to_stdout: bool,
}

impl Printed {
    /// Passes on what this child prints until nobody can print anything any more. Its streams are pipes.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let to_stdout = std::thread::Builder::new().name("stdout".to_owned());
        let to_stdout = to_stdout.spawn(move || stdout.is_some_and(|from| pass_on(from, io::stdout())))?;
        let kept = stderr.map_or_else(|| Some(Vec::new()), |from| keep(from, io::stderr()));
        Ok(Self { stderr: kept, to_stdout: to_stdout.join().unwrap_or(true) })
    }
}

/// Whether there was anything. Where nobody listens any more, whoever prints is told by the end of the pipe.
fn pass_on(mut from: impl Read, mut to: impl Write) -> bool {
    let mut buffer = [0; 8192];
    let mut any = false;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return any,
            Ok(n) => {
                any = true;
                let read = buffer.get(..n).unwrap_or_default();
                if to.write_all(read).and_then(|()| to.flush()).is_err() {
                    return true;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// Line by line: belljar's own messages go to the same place.
fn keep(from: impl Read, mut to: impl Write) -> Option<Vec<u8>> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let (mut kept, mut line) = (Some(Vec::new()), Vec::new());
    loop {
        line.clear();
        match from.read_until(b'\n', &mut line) {
            Ok(0) => return kept,
            Ok(_) => {
                to.write_all(&line).ok()?;
                kept = kept.filter(|kept| kept.len() + line.len() <= MAX);
                if let Some(kept) = &mut kept {
                    kept.extend_from_slice(&line);
                }
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_passed_on_and_what_is_not_too_much_is_kept() {
        for (text, is_kept) in [
            (Vec::new(), true),
            (b"one\n{\"two\"}\nthe end".to_vec(), true),
            (b"\xff\n\n".to_vec(), true),
            ([b"x".repeat(MAX - 1), b"\n".to_vec()].concat(), true),
            ([b"x".repeat(MAX), b"\nmore\n".to_vec()].concat(), false),
        ] {
            let mut out = Vec::new();
            let kept = keep(&*text, &mut out);
            assert!(out == text);
            assert_eq!(kept, is_kept.then_some(text));
        }
        let mut out = Vec::new();
        assert!(pass_on(&b"text"[..], &mut out) && out == b"text");
        assert!(!pass_on(&b""[..], &mut out));
    }
}
