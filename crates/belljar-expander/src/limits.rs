//! How much one expansion may use, and the thread that makes a runaway guest stop.
//!
//! A limit can only turn an expansion into an error, never change its output, so limits may differ between machines.
//! Each can be raised with a variable:
//!
//! | variable | unit | default | limits |
//! |---|---|---|---|
//! | `BELLJAR_LIMIT_TIME` | s | 60 | processor time of one expansion |
//! | `BELLJAR_LIMIT_MEMORY` | MiB | 1024 | a guest's memory |
//! | `BELLJAR_LIMIT_STACK` | MiB | 16 | a guest's call stack |
//! | `BELLJAR_LIMIT_OUTPUT` | MiB | 64 | what one call returns or asks, as bytes; all text that it has rustc lex; and, four times as much, the text that an output stands for |
//! | `BELLJAR_LIMIT_PRINT` | KiB | 1024 | what one call prints |
//! | `BELLJAR_LIMIT_QUESTIONS` | 1000 | 1000 | how many questions one call asks |
//! | `BELLJAR_LIMIT_COMPILER` | MiB | 1024 | what all questions of one call have rustc read and write |
//! | `BELLJAR_LIMIT_WAIT` | s | 60 | time in which one call waits for rustc's answers |
//! | `BELLJAR_LIMIT_FILES` | MiB | 256 | content of the files that a guest has open at a time |
//! | `BELLJAR_LIMIT_NAMES` | 1000 | 200 | names of files that one call asks for, or finds in directories |

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use belljar_policy::LimitChanges;
use wasmtime::Engine;

/// Limits of one expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time. Time in which the guest waits for rustc's answers counts as [`Limits::wait`]; that in which the
    /// machine does something else does not count.
    pub time: Duration,
    /// Bytes of a guest's memory, its stack in memory included. A guest can't have more than 4 GiB.
    pub memory: usize,
    /// Bytes of the call stack. Cranelift's frames are about as large as native ones; rustc gives native macros 8 MiB.
    pub stack: usize,
    /// Bytes of an output, of a question, and of all texts that rustc lexes for the macro.
    pub output: usize,
    /// Bytes printed.
    pub print: usize,
    /// Questions asked.
    pub questions: u32,
    /// Bytes that rustc reads and writes for all questions of a call: the questions, the text that their tokens stand for,
    /// complaints about a text that it lexes, and the answers.
    pub compiler: usize,
    /// Time that passes while rustc answers questions.
    pub wait: Duration,
    /// Bytes of all files that are open at a time: each is read as a whole.
    pub files: usize,
    /// Names of files asked for, and entries of directories listed.
    pub names: u32,
}

/// How many times larger than its bytes may be ([`Limits::output`]) the text of an output may get: references repeat it.
const EXPANDED: u64 = 4;

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            memory: 1 << 30,
            stack: 16 << 20,
            output: 64 << 20,
            print: 1 << 20,
            questions: 1_000_000,
            compiler: 1 << 30,
            wait: Duration::from_secs(60),
            files: 256 << 20,
            names: 200_000,
        }
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Time,
    Memory,
    Stack,
    Output,
    /// The text that an output stands for. It has no variable of its own: it grows with [`Limit::Output`].
    Expanded,
    Print,
    Questions,
    Compiler,
    Wait,
    Files,
    Names,
}

/// A variable that should hold a limit and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is `{}`, which is not a whole number from 1 to {}\n  help: unset it, or set it to a number of {}",
    .limit.variable(), .value.escape_debug(), .limit.largest(), .limit.unit()
)]
pub struct BadLimit {
    pub limit: Limit,
    pub value: String,
}

impl Limit {
    /// Those that a variable of their own sets.
    const SET: [Limit; 10] = [
        Limit::Time,
        Limit::Memory,
        Limit::Stack,
        Limit::Output,
        Limit::Print,
        Limit::Questions,
        Limit::Compiler,
        Limit::Wait,
        Limit::Files,
        Limit::Names,
    ];

    /// The variable that sets it.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Limit::Time => "BELLJAR_LIMIT_TIME",
            Limit::Memory => "BELLJAR_LIMIT_MEMORY",
            Limit::Stack => "BELLJAR_LIMIT_STACK",
            Limit::Output | Limit::Expanded => "BELLJAR_LIMIT_OUTPUT",
            Limit::Print => "BELLJAR_LIMIT_PRINT",
            Limit::Questions => "BELLJAR_LIMIT_QUESTIONS",
            Limit::Compiler => "BELLJAR_LIMIT_COMPILER",
            Limit::Wait => "BELLJAR_LIMIT_WAIT",
            Limit::Files => "BELLJAR_LIMIT_FILES",
            Limit::Names => "BELLJAR_LIMIT_NAMES",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Limit::Time | Limit::Wait => "seconds",
            Limit::Memory
            | Limit::Stack
            | Limit::Output
            | Limit::Expanded
            | Limit::Compiler
            | Limit::Files => "MiB",
            Limit::Print => "KiB",
            Limit::Questions | Limit::Names => "thousands",
        }
    }

    /// The largest number its variable may hold.
    fn largest(self) -> u32 {
        match self {
            Limit::Time | Limit::Wait => 86_400,
            Limit::Memory => 4096,
            // Each process that expands reserves that much address space.
            Limit::Stack => 1024,
            // A message's length is limited too: `belljar_wire::message::MAX_FRAME`.
            Limit::Output | Limit::Expanded => 255,
            Limit::Print => 1 << 20,
            Limit::Questions => 4_000_000,
            Limit::Compiler => 1 << 20,
            Limit::Files => 1 << 16,
            // Each is kept, with what was seen there.
            Limit::Names => 10_000,
        }
    }
}

impl Limits {
    /// The defaults, changed by the variables that `get` finds.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadLimit> {
        let mut limits = Self::default();
        for limit in Limit::SET {
            let Some(value) = get(limit.variable()) else { continue };
            match value.parse::<u32>() {
                Ok(n) if (1..=limit.largest()).contains(&n) => limits.set(limit, n),
                _ => return Err(BadLimit { limit, value }),
            }
        }
        Ok(limits)
    }

    /// Like [`Limits::from_variables`], with this process's environment.
    pub fn of_environment() -> Result<Self, BadLimit> {
        Self::from_variables(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()))
    }

    fn set(&mut self, limit: Limit, n: u32) {
        let size = n as usize;
        match limit {
            Limit::Time => self.time = Duration::from_secs(n.into()),
            Limit::Memory => self.memory = size << 20,
            Limit::Stack => self.stack = size << 20,
            Limit::Output | Limit::Expanded => self.output = size << 20,
            Limit::Print => self.print = size << 10,
            Limit::Questions => self.questions = n.saturating_mul(1000),
            Limit::Compiler => self.compiler = size << 20,
            Limit::Wait => self.wait = Duration::from_secs(n.into()),
            Limit::Files => self.files = size << 20,
            Limit::Names => self.names = n.saturating_mul(1000),
        }
    }

    /// These, with what a rule sets in their place.
    pub(crate) fn changed(mut self, changes: &LimitChanges) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        if let Some(time) = changes.time.and_then(|time| Duration::try_from_secs_f64(time).ok()) {
            self.time = time;
        }
        self.memory = changes.memory.map_or(self.memory, size);
        self.output = changes.output.map_or(self.output, size);
        self.stack = changes.stack.map_or(self.stack, size);
        self
    }

    /// Bytes of text that an output may stand for.
    pub(crate) fn expanded(&self) -> u64 {
        (self.output as u64).saturating_mul(EXPANDED)
    }

    pub(crate) fn exceeded(&self, limit: Limit) -> Exceeded {
        Exceeded { limit, allowed: self.describe(limit) }
    }

    /// The limit in words, in the unit of its variable: "60 seconds".
    pub(crate) fn describe(&self, limit: Limit) -> String {
        let n = match limit {
            Limit::Time => return format!("{} seconds", self.time.as_secs_f64()),
            Limit::Wait => return format!("{} seconds", self.wait.as_secs_f64()),
            Limit::Memory => self.memory >> 20,
            Limit::Stack => self.stack >> 20,
            Limit::Output => self.output >> 20,
            Limit::Expanded => return format!("{} {}", self.expanded() >> 20, limit.unit()),
            Limit::Compiler => self.compiler >> 20,
            Limit::Print => self.print >> 10,
            Limit::Questions => return self.questions.to_string(),
            Limit::Names => return self.names.to_string(),
            Limit::Files => self.files >> 20,
        };
        format!("{n} {}", limit.unit())
    }
}

/// An expansion went over a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    pub limit: Limit,
    /// The limit in words.
    pub allowed: String,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = &self.allowed;
        match self.limit {
            Limit::Time => write!(f, "it ran for more than {allowed} of processor time")?,
            Limit::Memory => write!(f, "it wanted more than {allowed} of memory")?,
            Limit::Stack => write!(f, "it recursed until its stack was larger than {allowed}")?,
            Limit::Output => write!(f, "its output is larger than {allowed}")?,
            Limit::Expanded => write!(
                f,
                "its output, or a question to the compiler, stands for more than {allowed} of text, by naming the same tokens again and again"
            )?,
            Limit::Print => write!(f, "it printed more than {allowed}")?,
            Limit::Questions => write!(f, "it asked more than {allowed} questions about its input")?,
            Limit::Compiler => write!(
                f,
                "its questions would have the compiler read and write more than {allowed} to answer them"
            )?,
            Limit::Wait => {
                write!(f, "it waited for more than {allowed} for the compiler's answers to its questions")?
            }
            Limit::Files => write!(f, "it has files open that hold more than {allowed} together")?,
            Limit::Names => write!(f, "it asked for more than {allowed} files, or listed as many")?,
        }
        let unit = self.limit.unit();
        write!(
            f,
            "\n  help: if it is meant to, set {} to a larger number of {unit}; nothing of a sealed macro goes on without a limit",
            self.limit.variable()
        )
    }
}

impl std::error::Error for Exceeded {}

/// How often a running guest is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Ticks without an expansion after which the thread sleeps until there is one.
const IDLE_TICKS: u32 = 40;

/// Advances the engine's epoch while guests run, from a thread that is made for the first one.
#[derive(Debug)]
pub(crate) struct Ticker {
    state: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct TickerState {
    running: AtomicBool,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let state = Arc::new(TickerState::default());
        let (engine, shared) = (engine.clone(), Arc::clone(&state));
        let thread = thread::Builder::new()
            .name("belljar ticker".to_owned())
            .stack_size(64 << 10)
            .spawn(move || tick(&engine, &shared))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Ticks until the returned value is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.state.running.store(true, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.state)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that can panic; if it did, there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}

pub(crate) struct Running<'a>(&'a TickerState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::SeqCst);
    }
}

fn tick(engine: &Engine, state: &TickerState) {
    let mut idle = 0;
    while !state.stop.load(Ordering::SeqCst) {
        if state.running.load(Ordering::SeqCst) {
            idle = 0;
        } else {
            idle += 1;
        }
        if idle > IDLE_TICKS {
            state.parked.store(true, Ordering::SeqCst);
            // Whoever starts an expansion sees `parked` and wakes this thread, or has set `running` before.
            while !state.running.load(Ordering::SeqCst) && !state.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            state.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::park_timeout(TICK);
        engine.increment_epoch();
    }
}

/// Processor time this thread has used.
pub(crate) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_set_limits_in_their_units() {
        let get = |name: &str| match name {
            "BELLJAR_LIMIT_TIME" => Some("5".to_owned()),
            "BELLJAR_LIMIT_PRINT" => Some("3".to_owned()),
            _ => None,
        };
        let limits = Limits::from_variables(get).unwrap();
        assert_eq!(limits, Limits { time: Duration::from_secs(5), print: 3072, ..Limits::default() });
        assert_eq!(limits.describe(Limit::Time), "5 seconds");
        assert_eq!(limits.describe(Limit::Memory), "1024 MiB");
    }

    #[test]
    fn a_bad_number_names_its_variable() {
        for bad in ["", "0", "-1", "1.5", "99999999999", "lots", "5000"] {
            let get = |name: &str| (name == "BELLJAR_LIMIT_MEMORY").then(|| bad.to_owned());
            let error = Limits::from_variables(get).unwrap_err();
            assert!(error.to_string().starts_with("BELLJAR_LIMIT_MEMORY is `"), "{error}");
        }
    }
}
