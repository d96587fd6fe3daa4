//! Long texts, a page at a time: `BELLJAR_PAGER`, `PAGER`, or less, where standard output is a terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

/// What a shell ends with when there is no such program, or it can't be run.
const NO_PAGER: [i32; 2] = [126, 127];

/// Shows what is written, by a pager if there is one.
pub(super) fn show(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let pager = std::env::var_os("BELLJAR_PAGER").or_else(|| std::env::var_os("PAGER"));
    let pager = pager.unwrap_or_else(|| OsString::from("less"));
    if !io::stdout().is_terminal() || pager.is_empty() || pager == "cat" {
        return write(&mut anstream::stdout().lock());
    }
    let mut text = Vec::new();
    write(&mut text)?;
    let coloured = match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_bytes(&text).into_vec(),
        _ => text,
    };
    if !paged(&pager, &coloured)? {
        io::stdout().lock().write_all(&coloured)?;
    }
    Ok(())
}

/// Whether there was such a pager.
fn paged(pager: &OsString, text: &[u8]) -> io::Result<bool> {
    // As git has it: a shell reads it, for it may have arguments; less shows colours, and ends by itself where all fits on a page.
    let mut command = Command::new("sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped()).stderr(Stdio::null());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return Ok(false) };
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever reads it may have read enough.
        let _ = stdin.write_all(text);
    }
    let ended = child.wait()?;
    Ok(!ended.code().is_some_and(|code| NO_PAGER.contains(&code)))
}
