//! One short-lived process on a store, as one rustc call would be: the parent
//! starts it, it prints one line of counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::data::{self, Key, Rng};
use crate::store::{self, Entry, Result, Store};

/// A time of use later than that of any unit.
const LATER: i64 = 1 << 40;

/// What a child prints.
#[derive(Default, Clone, Debug)]
pub struct Counts {
    /// From before the store was opened until it was closed.
    pub micros: u64,
    pub hits: u64,
    pub misses: u64,
    /// Values whose sum did not match: a miss, for the real tool.
    pub damaged: u64,
    /// Look-ups that the store answered with an error.
    pub errors: u64,
    /// Values that passed for good and were not.
    pub wrong: u64,
    /// Whether the insertion, if there was one, succeeded.
    pub inserted: bool,
}

impl Counts {
    fn print(&self) {
        println!(
            "micros={} hits={} misses={} damaged={} errors={} wrong={} inserted={}",
            self.micros,
            self.hits,
            self.misses,
            self.damaged,
            self.errors,
            self.wrong,
            u64::from(self.inserted)
        );
    }

    fn parse(line: &str) -> Option<Counts> {
        let pairs: HashMap<&str, u64> = line
            .split_whitespace()
            .filter_map(|word| {
                let (name, number) = word.split_once('=')?;
                Some((name, number.parse().ok()?))
            })
            .collect();
        Some(Counts {
            micros: *pairs.get("micros")?,
            hits: *pairs.get("hits")?,
            misses: *pairs.get("misses")?,
            damaged: *pairs.get("damaged")?,
            errors: *pairs.get("errors")?,
            wrong: *pairs.get("wrong")?,
            inserted: *pairs.get("inserted")? == 1,
        })
    }

    fn look_up(&mut self, store: &mut dyn Store, unit: u64, key: &Key) -> Option<Vec<u8>> {
        match store.get(unit, key) {
            Ok(Some(sealed)) => match data::unseal(key, &sealed) {
                Some(value) => {
                    self.hits += 1;
                    return Some(value.to_vec());
                }
                None => self.damaged += 1,
            },
            Ok(None) => self.misses += 1,
            Err(error) => {
                if self.errors == 0 {
                    eprintln!("look-up: {error}");
                }
                self.errors += 1;
            }
        }
        None
    }

    fn insert(&mut self, store: &mut dyn Store, unit: u64, entries: &[Entry]) {
        match store.insert(unit, entries, unit as i64) {
            Ok(()) => self.inserted = true,
            Err(error) => eprintln!("insertion: {error}"),
        }
    }
}

fn entries(indices: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    indices
        .into_iter()
        .map(|index| {
            let key = data::key(index);
            (key, data::seal(&key, &data::value(index)))
        })
        .collect()
}

fn work(kind: &str, dir: &Path, op: &str, numbers: &[u64]) -> Result<Counts> {
    let mut counts = Counts::default();
    let first = numbers.first().copied().unwrap_or_default();
    let second = numbers.get(1).copied().unwrap_or_default();
    // Prepared before the clock starts: what to look up, what to insert.
    let wanted: Vec<(u64, u64, Key)> = match op {
        "get" | "mix" | "touch" => data::unit_range(first)
            .map(|index| (index, first, data::key(index)))
            .collect(),
        // `first` is a seed, `second` the number of entries in the store.
        "get1" | "check" => {
            let mut rng = Rng::new(first);
            let count = if op == "get1" { 1 } else { 1000 };
            (0..count)
                .map(|_| rng.below(second))
                .map(|index| (index, data::unit_of(index), data::key(index)))
                .collect()
        }
        _ => Vec::new(),
    };
    let fresh = 10_000_000 + second * data::UNIT;
    let new = match op {
        "insert" => entries(data::unit_range(first)),
        // `second` is a seed.
        "mix" => entries(fresh..fresh + data::UNIT),
        "check" => entries(data::unit_range(5000 + first)),
        // One new entry in the large unit, as after an edit.
        "edit" => entries([20_000_000 + first]),
        _ => Vec::new(),
    };
    let mut got = Vec::with_capacity(wanted.len());
    let start = Instant::now();
    let mut store = store::open(kind, dir)?;
    match op {
        "get" | "get1" | "mix" | "insert" | "check" | "edit" => {
            for (index, unit, key) in &wanted {
                if let Some(value) = counts.look_up(&mut *store, *unit, key) {
                    got.push((*index, value));
                }
            }
            if !new.is_empty() {
                let unit = match op {
                    "check" => 5000 + first,
                    "edit" => data::LARGE_UNIT,
                    _ => first,
                };
                counts.insert(&mut *store, unit, &new);
            }
        }
        "touch" => {
            let keys: Vec<Key> = wanted.iter().map(|(_, _, key)| *key).collect();
            store.touch(first, &keys, LATER)?;
        }
        "evict" => store.evict(first)?,
        // The units from `first` to before `second`.
        "fill" => {
            for unit in first..second {
                store.insert(unit, &entries(data::unit_range(unit)), unit as i64)?;
            }
        }
        // Insertions without end, to be killed or to fill a disk.
        "loop" => {
            for unit in first.. {
                store.insert(unit, &entries(data::unit_range(unit)), unit as i64)?;
            }
        }
        _ => return Err(format!("no operation is called {op}").into()),
    }
    drop(store);
    counts.micros = start.elapsed().as_micros() as u64;
    for (index, value) in got {
        if value != data::value(index) {
            counts.wrong += 1;
        }
    }
    Ok(counts)
}

/// `child KIND DIR OPERATION NUMBER...`
pub fn run(args: &[String]) -> ExitCode {
    let [kind, dir, op, numbers @ ..] = args else {
        eprintln!("child: too few arguments");
        return ExitCode::from(2);
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|number| number.parse().expect("a number"))
        .collect();
    match work(kind, Path::new(dir), op, &numbers) {
        Ok(counts) => {
            counts.print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{op}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A child at work.
pub struct Running(Child);

/// How a child ended.
pub struct Ended {
    /// `None`: it did not end in time and was killed.
    pub status: Option<ExitStatus>,
    pub counts: Option<Counts>,
    /// The first line it wrote to standard error.
    pub complaint: String,
}

pub fn start(kind: &str, dir: &Path, op: &str, numbers: &[u64]) -> Running {
    let program: PathBuf = std::env::current_exe().expect("the path of this program");
    let child = Command::new(program)
        .args(["child", kind])
        .arg(dir)
        .arg(op)
        .args(numbers.iter().map(u64::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program starts once more");
    Running(child)
}

impl Running {
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub fn wait(mut self, at_most: Duration) -> Ended {
        let end = Instant::now() + at_most;
        let mut in_time = true;
        // The output is one line, so that waiting first cannot block the child.
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                in_time = false;
                let _ = self.0.kill();
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let output = self.0.wait_with_output().expect("the child's output");
        let text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        Ended {
            status: in_time.then_some(output.status),
            counts: text.lines().find_map(Counts::parse),
            complaint: complaint.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// Runs a child that must succeed.
pub fn must(kind: &str, dir: &Path, op: &str, numbers: &[u64]) -> Result<Counts> {
    let ended = start(kind, dir, op, numbers).wait(Duration::from_secs(300));
    match ended.counts {
        Some(counts) => Ok(counts),
        None => Err(format!("{kind} {op}: {:?}: {}", ended.status, ended.complaint).into()),
    }
}
