//! Builds that something in them holds, so that a test can do something in the middle of them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Project;

/// How a build ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// What the terminal does at Ctrl-C: every process of the group gets it.
    CtrlC,
    /// For belljar (or the cargo that it has become) alone.
    Alone(Signal),
}

/// A build in a process group of its own.
pub struct Build {
    pub child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Build {
    pub fn start(command: &mut Command) -> Self {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Waits until the build says so.
    pub fn says(&mut self, words: &str) {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.stderr.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
    }

    /// All that it says until its end.
    pub fn rest(&mut self) -> String {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut said).unwrap();
        said
    }

    /// Waits until something in the build has made that file.
    pub fn makes(&mut self, file: &Path) {
        until("the phase is reached", || {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            file.exists()
        });
    }

    /// Waits until a macro is running: it never waits for anything, and its thread is the only one of that name that
    /// computes.
    pub fn expands(&mut self) {
        let group = Pid::from_child(&self.child).as_raw_nonzero().get();
        let running = |thread: &Path| {
            let text = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
            text.contains("(belljar guests) R")
        };
        let threads =
            |pid: i32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        until("a macro runs", || {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended");
            group_of(group).into_iter().any(|pid| threads(pid).any(|thread| running(&thread.path())))
        });
    }

    /// Ends the build. Returns what it said, when all of its processes are gone.
    pub fn end(mut self, end: End) -> String {
        let pid = Pid::from_child(&self.child);
        let signal = match end {
            End::CtrlC => {
                kill_process_group(pid, Signal::INT).unwrap();
                Signal::INT
            }
            End::Alone(signal) => {
                kill_process(pid, signal).unwrap();
                signal
            }
        };
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{end:?}: as cargo ends by a signal: {status}");
        let group = pid.as_raw_nonzero().get();
        until("every process has ended", || group_of(group).is_empty());
        self.rest()
    }

    /// Waits for the end of the build, and of all its processes.
    pub fn ended(mut self) -> ExitStatus {
        let group = Pid::from_child(&self.child).as_raw_nonzero().get();
        let status = self.child.wait().unwrap();
        until("every process has ended", || group_of(group).is_empty());
        status
    }
}

/// The processes of a group that have not ended. Source: proc_pid_stat(5).
pub fn group_of(group: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((before, rest)) = text.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if !matches!(fields[0], "Z" | "X") && fields[2] == group.to_string() {
            found.extend(before.split(' ').next().and_then(|pid| pid.parse::<i32>().ok()));
        }
    }
    found
}

#[track_caller]
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if reached() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not in five minutes: {what}");
}

/// A build script that makes `mark` and waits for ever, unless `gate` is there.
pub fn waiting_script(mark: &Path, gate: &Path) -> String {
    format!(
        "fn main() {{\n    println!(\"cargo::rustc-env=TEXT=sealed\");\n    if !std::path::Path::new({gate:?}).exists() {{\n        \
         std::fs::write({mark:?}, \"\").unwrap();\n        loop {{\n            std::thread::sleep(std::time::Duration::from_secs(1));\n        }}\n    }}\n}}\n"
    )
}

pub fn paths(project: &Project) -> (PathBuf, PathBuf) {
    let outside = project.root().parent().unwrap();
    (outside.join("mark"), outside.join("gate"))
}
