//! Watching belljar's wrapper processes from outside, by Linux's `/proc`: how long they live and how much memory they
//! use at most.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;

/// How often to look. A process's life is known to about twice this.
const PERIOD: Duration = Duration::from_millis(2);

/// A wrapper process that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its command line: the wrapper's own path, rustc's, and rustc's arguments.
    pub(crate) arguments: Vec<String>,
    /// From when it was first seen to when it was last seen.
    pub(crate) life: Duration,
    /// The most memory it has had resident, in bytes.
    pub(crate) peak: u64,
}

impl Seen {
    /// The value of an option of rustc's.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == name)?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

/// Watches the descendants of this process that run `program` as rustc's wrapper until `stop`, and returns them all.
pub(crate) fn watch(program: &Utf8Path, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen: BTreeMap<u32, (Instant, Seen)> = BTreeMap::new();
    while !stop.load(Ordering::Acquire) {
        let now = Instant::now();
        let mut wrappers = Vec::new();
        find(std::process::id(), program, &mut wrappers);
        for (process, arguments) in wrappers {
            let Some(peak) = peak(process) else { continue };
            let first = (now, Seen { arguments, life: Duration::ZERO, peak: 0 });
            let (start, seen) = seen.entry(process).or_insert(first);
            seen.life = now - *start;
            seen.peak = seen.peak.max(peak);
        }
        std::thread::sleep(PERIOD);
    }
    seen.into_values().map(|(_, seen)| seen).collect()
}

/// Finds wrappers among the descendants of a process, but none among a wrapper's own: what it has forked looks like it
/// until it has become rustc.
fn find(process: u32, program: &Utf8Path, wrappers: &mut Vec<(u32, Vec<String>)>) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return };
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            let arguments = wrapper_arguments(child, program);
            match arguments {
                Some(arguments) => wrappers.push((child, arguments)),
                None => find(child, program, wrappers),
            }
        }
    }
}

/// The command line of a process if it is `program` as a wrapper that compiles something.
fn wrapper_arguments(process: u32, program: &Utf8Path) -> Option<Vec<String>> {
    if fs::read_link(format!("/proc/{process}/exe")).ok()? != *program {
        return None;
    }
    let bytes = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
    words.iter().any(|word| word == "--crate-name").then_some(words)
}

/// `VmHWM`: the most that was resident at once. `None` when the process has ended.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
