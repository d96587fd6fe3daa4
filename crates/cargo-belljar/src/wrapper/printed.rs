//! What a compiler prints is passed on as it comes, and kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::Child;

/// How much is kept.
const MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Printed {
    /// What a macro printed. `None` where it was too much, as below.
    pub(super) stdout: Option<Vec<u8>>,
    pub(super) stderr: Option<Vec<u8>>,
}

impl Printed {
    /// Passes on what this child prints until nobody can print anything any more. Its streams are pipes.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let kept = std::thread::Builder::new().name("stdout".to_owned());
        let kept = kept.spawn(move || stdout.map_or_else(none, |from| keep(from, io::stdout())))?;
        let stderr = stderr.map_or_else(none, |from| keep(from, io::stderr()));
        Ok(Self { stdout: kept.join().unwrap_or_default(), stderr })
    }

    /// Prints it again. Where that fails, nobody is left to be told.
    pub(super) fn again(&self) {
        let _ = io::stdout().write_all(self.stdout.as_deref().unwrap_or_default());
        let _ = io::stdout().flush();
        let _ = io::stderr().write_all(self.stderr.as_deref().unwrap_or_default());
    }
}

fn none() -> Option<Vec<u8>> {
    Some(Vec::new())
}

/// Line by line: belljar's own messages go to the same place. Where nobody listens any more, whoever prints is told by the end of
/// the pipe.
fn keep(from: impl Read, mut to: impl Write) -> Option<Vec<u8>> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let (mut kept, mut line) = (Some(Vec::new()), Vec::new());
    loop {
        line.clear();
        match from.read_until(b'\n', &mut line) {
            Ok(0) => return kept,
            Ok(_) => {
                to.write_all(&line).and_then(|()| to.flush()).ok()?;
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
    }
}
