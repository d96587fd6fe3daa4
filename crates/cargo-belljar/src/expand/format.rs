//! What makes outputs readable: prettyplease, which is built in, or the user's rustfmt.
//!
//! rustfmt runs no macro and reads one file, the `rustfmt.toml` of the workspace. What it prints is shown only where it has the tokens
//! that the macro wrote ([`belljar_inspect::Formatter::Other`]).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use belljar_inspect::{Origin, Rust, Token, rust_by};
use camino::{Utf8Path, Utf8PathBuf};

use super::ExpandError;
use crate::interrupt;
use crate::refused::plain;
use crate::report;

/// How long rustfmt may take for what one macro wrote.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked whether it has ended.
const STEP: Duration = Duration::from_millis(2);

/// The longest text that is read of it.
const MAX_TEXT: u64 = 64 << 20;

/// What is taken for a crate's edition if it is not on record.
const EDITION: &str = "2021";

/// The user's settings that change tokens: with them, what rustfmt prints would not be what was compiled.
const CONFIG: &str = "newline_style=Unix,reorder_imports=false,reorder_modules=false,merge_derives=false,\
    force_explicit_abi=false,use_field_init_shorthand=false,use_try_shorthand=false";

/// By what outputs are formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Formatter {
    /// The one that is built in
    Prettyplease,
    /// Your own rustfmt (`RUSTFMT`, or the one in `PATH`), with the workspace's `rustfmt.toml`
    Rustfmt,
    /// None: a line for each `;` and brace
    None,
}

/// A formatter that is there.
#[derive(Debug)]
pub(super) enum Formatting {
    None,
    Prettyplease,
    Rustfmt(Rustfmt),
}

impl Formatting {
    /// For the crates of a workspace.
    pub(super) fn of(formatter: Formatter, workspace: &Utf8Path) -> Result<Self, ExpandError> {
        Ok(match formatter {
            Formatter::None => Self::None,
            Formatter::Prettyplease => Self::Prettyplease,
            Formatter::Rustfmt => Self::Rustfmt(Rustfmt::find(workspace)?),
        })
    }

    /// Tokens as text, in a crate of this edition.
    pub(super) fn rust(&self, tokens: &[(Token<'_>, Origin)], edition: Option<&str>) -> Rust {
        let by = |formatter| rust_by(tokens, formatter);
        match self {
            Self::None => by(belljar_inspect::Formatter::None),
            Self::Prettyplease => by(belljar_inspect::Formatter::Prettyplease),
            Self::Rustfmt(rustfmt) => {
                let edition = edition.unwrap_or(EDITION);
                by(belljar_inspect::Formatter::Other(&|text| rustfmt.formatted(text, edition)))
            }
        }
    }
}

/// The user's rustfmt.
#[derive(Debug)]
pub(super) struct Rustfmt {
    program: PathBuf,
    /// Where it looks for its settings.
    dir: Utf8PathBuf,
    deadline: Duration,
    /// Whether it was said that it has failed.
    has_failed: AtomicBool,
    /// Whether it is not asked any more.
    is_given_up: AtomicBool,
}

/// Why it has formatted nothing.
#[derive(Debug, thiserror::Error)]
enum FormatError {
    #[error("can't be run: {0}")]
    Run(#[from] io::Error),
    #[error("did not end within {} s, and was ended", .0.as_secs_f32())]
    Late(Duration),
    #[error("failed ({0})")]
    Failed(ExitStatus),
    #[error("printed more than belljar reads, or no UTF-8")]
    Text,
}

impl Rustfmt {
    fn find(dir: &Utf8Path) -> Result<Self, ExpandError> {
        let named = std::env::var_os("RUSTFMT").filter(|name| !name.is_empty());
        let name = named.unwrap_or_else(|| OsString::from("rustfmt"));
        let shown = plain(&name.to_string_lossy());
        let none = |why: String| ExpandError::NoRustfmt { program: shown.clone(), why };
        let found = belljar_guest::program(&name).and_then(|path| std::path::absolute(path).ok());
        let program = found.ok_or_else(|| none("there is no such program in PATH".to_owned()))?;
        let this = Self::new(program, dir, DEADLINE);
        // A toolchain may have a rustfmt that only says that there is none.
        this.run(&["--version"], "").map_err(|why| none(format!("it {why}")))?;
        Ok(this)
    }

    fn new(program: PathBuf, dir: &Utf8Path, deadline: Duration) -> Self {
        Self {
            program,
            dir: dir.to_owned(),
            deadline,
            has_failed: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
        }
    }

    /// A source file's text, formatted. `None`, with a warning the first time, if it can't be.
    fn formatted(&self, text: &str, edition: &str) -> Option<String> {
        if self.is_given_up.load(Ordering::Relaxed) {
            return None;
        }
        let error = match self.run(&["--edition", edition, "--config", CONFIG], text) {
            Ok(text) => return Some(text),
            Err(error) => error,
        };
        let gives_up = !matches!(error, FormatError::Failed(_));
        self.is_given_up.fetch_or(gives_up, Ordering::Relaxed);
        if !self.has_failed.swap(true, Ordering::Relaxed) || gives_up {
            let then = if gives_up { ", and is not asked any more" } else { " for some of it" };
            report::warning(format_args!("rustfmt {error}{then}: prettyplease formats that instead"));
        }
        None
    }

    /// What it prints for this text. It does not outlive the deadline, nor this process.
    fn run(&self, args: &[&str], text: &str) -> Result<String, FormatError> {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: `prctl` may be called between fork and exec.
        unsafe { command.pre_exec(interrupt::die_with_parent) };
        let until = Instant::now() + self.deadline;
        let mut child = command.spawn()?;
        let printed = talk(&mut child, text);
        let left = || until.saturating_duration_since(Instant::now());
        let Ok(printed) = printed.recv_timeout(left()) else { return Err(self.late(child)) };
        loop {
            match child.try_wait()? {
                Some(status) if !status.success() => return Err(FormatError::Failed(status)),
                Some(_) => return printed.ok_or(FormatError::Text),
                None if left().is_zero() => return Err(self.late(child)),
                None => std::thread::sleep(STEP),
            }
        }
    }

    /// Ends one that was not waited for, with all that it has started.
    fn late(&self, mut child: Child) -> FormatError {
        interrupt::end_tree(&child);
        // It was told to end; it is waited for so that nothing is left of it.
        let _ = child.kill();
        let _ = child.wait();
        FormatError::Late(self.deadline)
    }
}

/// Hands a text to a process, and reads what it prints, beside each other: neither waits for the other. Nothing comes if it does not
/// stop printing; `None` if that is too much, or no text.
fn talk(child: &mut Child, text: &str) -> mpsc::Receiver<Option<String>> {
    let (to, from) = mpsc::channel();
    let (stdin, stdout, text) = (child.stdin.take(), child.stdout.take(), text.to_owned());
    std::thread::spawn(move || {
        // It may have read enough.
        stdin.map(|mut stdin| stdin.write_all(text.as_bytes()))
    });
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map(|stdout| stdout.take(MAX_TEXT + 1).read_to_end(&mut bytes));
        let is_whole = matches!(read, Some(Ok(read)) if read as u64 <= MAX_TEXT);
        // Nobody may be waiting any more.
        let _ = to.send(is_whole.then(|| String::from_utf8(bytes).ok()).flatten());
    });
    from
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn rustfmt(script: &str, deadline: Duration) -> (tempfile::TempDir, Rustfmt) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("rustfmt");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let at = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, Rustfmt::new(program, &at, deadline))
    }

    const LONG: Duration = Duration::from_secs(300);

    #[test]
    fn what_it_prints_is_its_text() {
        let (dir, program) = rustfmt("echo \"$@\" > args; cat", LONG);
        // More than a pipe holds.
        let text = "fn é() {}\n".repeat(100_000);
        assert_eq!(program.run(&["--edition", "2024"], &text).unwrap(), text);
        assert_eq!(std::fs::read_to_string(dir.path().join("args")).unwrap(), "--edition 2024\n");
    }

    #[test]
    fn whatever_it_does_is_told() {
        let run = |script: &str| rustfmt(script, LONG).1.run(&[], &"x".repeat(1 << 20));
        assert!(matches!(run("exit 1"), Err(FormatError::Failed(_))));
        assert!(matches!(run("kill -9 $$"), Err(FormatError::Failed(_))));
        assert!(matches!(run("printf '\\377'"), Err(FormatError::Text)));
        assert_eq!(run("echo it did not read").unwrap(), "it did not read\n");
        let gone = Rustfmt::new("/nowhere/rustfmt".into(), "/".into(), LONG);
        assert!(matches!(gone.run(&[], ""), Err(FormatError::Run(_))));
    }

    #[test]
    fn one_that_does_not_end_is_ended_with_all_that_it_has_started() {
        for script in ["exec sleep 1000", "sleep 1000 & echo $! > below; wait", "exec >&-; exec sleep 1000"] {
            let (dir, program) = rustfmt(&format!("echo $$ > itself; {script}"), Duration::from_millis(300));
            assert!(matches!(program.run(&[], "fn a() {}"), Err(FormatError::Late(_))), "{script}");
            for name in ["itself", "below"] {
                let Ok(pid) = std::fs::read_to_string(dir.path().join(name)) else { continue };
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                assert!(stat.is_empty() || stat.contains(") Z "), "{script}: {stat}");
            }
            // It is asked once.
            assert_eq!(program.formatted("fn a() {}", "2021"), None);
            std::fs::write(&program.program, "#!/bin/sh\ncat\n").unwrap();
            assert_eq!(program.formatted("fn a() {}", "2021"), None);
        }
    }
}
