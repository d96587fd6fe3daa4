//! Long texts, a page at a time: `PAGER`, or less, where standard output is a terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// A pager, or standard output itself.
pub(super) struct Pager(Option<Child>);

impl Pager {
    /// The user's, if the text is for a terminal, and can be started.
    pub(super) fn start() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Ok(Self(None));
        }
        let pager = std::env::var_os("BELLJAR_PAGER").or_else(|| std::env::var_os("PAGER"));
        let pager = pager.unwrap_or_else(|| OsString::from("less"));
        if pager.is_empty() || pager == "cat" {
            return Ok(Self(None));
        }
        // As git has it: a shell reads it, for it may have arguments; less shows colours, and ends by itself where all fits on a page.
        let mut command = Command::new("sh");
        command.arg("-c").arg(&pager).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", "FRX");
        }
        Ok(Self(command.spawn().ok()))
    }

    /// Where the text goes, once.
    pub(super) fn out(&mut self) -> Box<dyn Write> {
        match self.0.as_mut().and_then(|pager| pager.stdin.take()) {
            // It is a terminal behind it.
            Some(stdin) => match anstream::AutoStream::choice(&io::stdout()) {
                anstream::ColorChoice::Never => {
                    Box::new(anstream::StripStream::new(Box::new(stdin) as Box<dyn Write>))
                }
                _ => Box::new(io::BufWriter::new(stdin)),
            },
            None => Box::new(anstream::stdout().lock()),
        }
    }

    /// Waits until the user has read it.
    pub(super) fn end(self) -> io::Result<()> {
        if let Some(mut pager) = self.0 {
            pager.wait()?;
        }
        Ok(())
    }
}
