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

/// Watches the descendants of this process that run `program` until `stop`, and returns them all.
pub(crate) fn watch(program: &Utf8Path, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen: BTreeMap<u32, (Instant, Seen)> = BTreeMap::new();
    while !stop.load(Ordering::Acquire) {
        let now = Instant::now();
        let mut all = Vec::new();
        descendants(std::process::id(), &mut all);
        for process in all {
            let is_program =
                || fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == *program);
            if !seen.contains_key(&process) && !is_program() {
                continue;
            }
            let Some(peak) = peak(process) else { continue };
            let (start, seen) = seen.entry(process).or_insert_with(|| {
                (now, Seen { arguments: arguments(process), life: Duration::ZERO, peak: 0 })
            });
            seen.life = now - *start;
            seen.peak = seen.peak.max(peak);
        }
        std::thread::sleep(PERIOD);
    }
    seen.into_values().map(|(_, seen)| seen).collect()
}

fn descendants(process: u32, all: &mut Vec<u32>) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return };
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            all.push(child);
            descendants(child, all);
        }
    }
}

fn arguments(process: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// `VmHWM`: the most that was resident at once. `None` when the process has ended.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
