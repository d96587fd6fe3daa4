//! Ctrl-C, a closed terminal, `kill`: everything that belljar has started ends with it, and nothing is left in its way.
//!
//! belljar runs cargo, which runs compilers and build scripts; a signal for belljar alone would leave those behind. So a thread waits for the signals,
//! ends the whole tree below this process, and lets the main thread clear up as it does after any failure. What can't be
//! waited for (`SIGKILL`) is covered by the kernel, as far as it goes: each child asks to be ended with its parent.
//!
//! Where cargo runs a program or tests, these may have plans of their own for signals: [`leave_to`] has this process wait for them.

use std::collections::HashMap;
use std::process::Child;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

/// How long children may take to end when they are told to, and the main thread to clear up after them.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is looked whether something has ended.
const STEP: Duration = Duration::from_millis(5);

/// The signal that came, or 0. Written by the handler itself.
static CAME: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Everything that belljar had started has been ended.
static CLEARED: AtomicBool = AtomicBool::new(false);

/// The child that signals are left to, or 0.
static LEFT_TO: AtomicI32 = AtomicI32::new(0);

/// From now on, a signal that ends this process ends all its descendants first. Signals that were ignored when this process
/// was started (`nohup`) stay so. Where no handler can be had, signals do what they do to any process.
pub(crate) fn guard() {
    let came = CAME.get_or_init(Arc::default);
    let wanted = not_ignored(&[SIGINT, SIGTERM, SIGHUP]);
    for &signal in &wanted {
        let number = usize::try_from(signal).unwrap_or_default();
        let _ = signal_hook::flag::register_usize(signal, Arc::clone(came), number);
    }
    wait_for(wanted, |signal, by_process| {
        if pass_on(signal, by_process) {
            return;
        }
        end_descendants();
        CLEARED.store(true, Ordering::SeqCst);
        // The main thread sees its cargo end, and clears up. It may also be waiting for a lock, with nothing to do.
        std::thread::sleep(GRACE);
        end_by(signal);
    });
}

/// From now on, signals are this child's business: those for belljar alone are passed on to it, and what it makes of them is what
/// comes of them. The terminal's reach it without that.
pub(crate) fn leave_to(child: &Child) {
    LEFT_TO.store(Pid::from_child(child).as_raw_nonzero().get(), Ordering::SeqCst);
    let wanted = not_ignored(&[SIGQUIT, SIGUSR1, SIGUSR2]);
    wait_for(wanted, |signal, by_process| {
        pass_on(signal, by_process);
    });
}

/// The child has ended: signals are this process's business again.
pub(crate) fn leave_to_nobody() {
    LEFT_TO.store(0, Ordering::SeqCst);
}

/// Has a thread call `then` for each of these signals, and say whether a process sent it: the terminal sends it to all processes
/// of its group.
fn wait_for(wanted: Vec<i32>, then: impl Fn(i32, bool) + Send + 'static) {
    let Ok(mut signals) = SignalsInfo::<WithRawSiginfo>::new(&wanted) else { return };
    let waiting = move || {
        for info in signals.forever() {
            // Source: sigaction(2), "The si_code field": what a process sends is not positive.
            then(info.si_signo, info.si_code <= 0);
        }
    };
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(waiting);
}

/// Whether signals are left to a child, which now has this one.
fn pass_on(signal: i32, by_process: bool) -> bool {
    let Some(child) = Pid::from_raw(LEFT_TO.load(Ordering::SeqCst)) else { return false };
    if by_process && let Some(signal) = Signal::from_named_raw(signal) {
        // It may have ended just now.
        let _ = kill_process(child, signal);
    }
    true
}

fn not_ignored(signals: &[i32]) -> Vec<i32> {
    let ignored = ignored();
    signals.iter().copied().filter(|s| ignored >> (s - 1) & 1 == 0).collect()
}

/// Ends this process as the signal would have, if one came. To be called when all is cleared up, and before anything new
/// is begun.
pub(crate) fn end_if_interrupted() {
    let signal = CAME.get().map_or(0, |came| came.load(Ordering::SeqCst));
    if signal != 0 {
        // What is stopped meanwhile stays so if nobody continues it.
        for _ in 0..2 * GRACE.as_millis() / STEP.as_millis() {
            if CLEARED.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(STEP);
        }
        end_by(i32::try_from(signal).unwrap_or(SIGTERM));
    }
}

/// Has the kernel end this process when the thread that started it ends.
pub(crate) fn die_with_parent() -> std::io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?)
}

fn end_by(signal: i32) {
    // Whoever waits for this process sees what it would have seen without the handler.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal);
}

/// A bit for each signal that this process ignores, as the kernel tells it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// A process, and when it was started: numbers are used again.
type Process = (i32, u64);

/// Ends every process below this one.
pub(crate) fn end_descendants() {
    let this = i32::try_from(std::process::id()).unwrap_or_default();
    end(|| descendants(this));
}

/// Ends a child that was not waited for, and every process below it.
pub(crate) fn end_tree(child: &Child) {
    let child = Pid::from_child(child).as_raw_nonzero().get();
    end(|| {
        let itself = stat(child).map(|(_, start)| (child, start));
        itself.into_iter().chain(descendants(child)).collect()
    });
}

/// Ends processes, as they are found now. All are stopped first, parents before children, so that none can start another
/// meanwhile or be taken by init with its children unseen.
fn end(find: impl Fn() -> Vec<Process>) {
    let mut stopped: Vec<Process> = Vec::new();
    loop {
        let new: Vec<Process> = find().into_iter().filter(|p| !stopped.contains(p)).collect();
        if new.is_empty() {
            break;
        }
        new.iter().for_each(|p| send(p, Signal::STOP));
        stopped.extend(new);
    }
    stopped.iter().for_each(|p| send(p, Signal::TERM));
    // Children before their parents, for whom somebody may be waiting.
    stopped.iter().rev().for_each(|p| send(p, Signal::CONT));
    for _ in 0..GRACE.as_millis() / STEP.as_millis() {
        stopped.retain(is_alive);
        if stopped.is_empty() {
            return;
        }
        std::thread::sleep(STEP);
    }
    stopped.iter().for_each(|p| send(p, Signal::KILL));
}

fn send(process: &Process, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.0).filter(|_| is_alive(process)) {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

fn is_alive(process: &Process) -> bool {
    stat(process.0).is_some_and(|(_, start)| start == process.1)
}

/// Parent and time of start of a process that has not ended. Source: proc_pid_stat(5).
fn stat(pid: i32) -> Option<(i32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state, parent, and the 22nd field is the start.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    (!ended).then_some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Every process below that one, parents before their children.
fn descendants(of: i32) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((parent, start)) = stat(pid)
        {
            children.entry(parent).or_default().push((pid, start));
        }
    }
    let mut found = Vec::new();
    let mut todo = vec![of];
    while let Some(parent) = todo.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.push(child);
            todo.push(child.0);
        }
    }
    found
}
