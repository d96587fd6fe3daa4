//! How belljar speaks: to people, on standard error, in cargo's own manner.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};

use crate::precompile::Precompiler;

/// What cargo exits with when a build fails; belljar's own failures are failed builds too.
pub(crate) const FAILED: u8 = 101;

const STATUS: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Colours as cargo's own lines have them: by this value of `--color`, else by `CARGO_TERM_COLOR`, else where they are seen.
pub(crate) fn choose_colours(argument: Option<&str>) {
    let variable = std::env::var("CARGO_TERM_COLOR").ok();
    match argument.or(variable.as_deref()) {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
    .write_global();
}

/// cargo writes to the same terminal, where its bar of progress may stand in the line.
static BESIDE_CARGO: AtomicBool = AtomicBool::new(false);

/// From now on, cargo shows its progress too.
pub(crate) fn beside_cargo() {
    BESIDE_CARGO.store(std::io::stderr().is_terminal(), Ordering::Relaxed);
}

/// cargo has ended.
pub(crate) fn alone() {
    BESIDE_CARGO.store(false, Ordering::Relaxed);
}

/// What makes room for a line: nothing, or cargo's bar goes.
fn room() -> &'static str {
    if BESIDE_CARGO.load(Ordering::Relaxed) { "\r\x1b[K" } else { "" }
}

/// A status line as cargo writes them: a right-aligned verb, then what it is about.
pub(crate) fn status(verb: &str, what: impl std::fmt::Display) {
    anstream::eprintln!("{}{STATUS}{verb:>12}{STATUS:#} {what}", room());
}

/// Writes a warning.
pub(crate) fn warning(what: impl std::fmt::Display) {
    anstream::eprintln!("{WARNING}warning{WARNING:#}: {what}");
}

/// Writes a note.
pub(crate) fn note(what: impl std::fmt::Display) {
    anstream::eprintln!("{}{NOTE}note{NOTE:#}: {what}", room());
}

/// Writes an error with its causes, and returns the exit code of a failed build.
pub(crate) fn error(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        // Messages of thiserror often quote their source already.
        if !text.contains(&line) {
            text.push_str("\n  caused by: ");
            text.push_str(&line);
        }
        cause = inner.source();
    }
    anstream::eprintln!("{}{ERROR}error{ERROR:#}: {text}", room());
    ExitCode::from(FAILED)
}

/// Progress of guest builds, as status lines.
pub(crate) struct StatusLines {
    quiet: bool,
    precompiler: Option<Precompiler>,
}

impl StatusLines {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, precompiler: None }
    }

    /// For a build that goes on when the guests are there: their native code is made meanwhile.
    pub(crate) fn precompiling(quiet: bool) -> Self {
        Self { quiet, precompiler: Some(Precompiler::default()) }
    }
}

impl belljar_guest::Progress for StatusLines {
    fn step(&self, verb: &str, what: &str) {
        if !self.quiet {
            status(verb, what);
        }
    }

    fn refused(&self, text: &str) {
        note(text);
    }

    fn sealed(&self, guest: &belljar_guest::GuestRecord) {
        if let Some(precompiler) = &self.precompiler {
            precompiler.add(&guest.module);
        }
    }
}
