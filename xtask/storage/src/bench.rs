//! Speed and size of the stores.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::child::{self, Counts};
use crate::data;
use crate::files;
use crate::store::{KINDS, Result};

const ENTRIES: u64 = data::SMALL_UNITS * data::UNIT + data::LARGE;

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bytes that the folder occupies on disk.
pub fn on_disk(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for (_, _, path) in files::oldest_first(dir)? {
        sum += fs::metadata(path)?.blocks() * 512;
    }
    Ok(sum)
}

/// Makes an empty folder.
pub fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::create_dir_all(dir)?)
}

pub fn chosen(kinds: &[String]) -> Vec<&str> {
    if kinds.is_empty() {
        KINDS.to_vec()
    } else {
        kinds.iter().map(String::as_str).collect()
    }
}

/// Median milliseconds of children that each answer everything.
fn times(
    kind: &str,
    dir: &Path,
    runs: u64,
    hits: u64,
    call: impl Fn(u64) -> (&'static str, Vec<u64>),
) -> Result<f64> {
    let mut all = Vec::new();
    for run in 0..runs {
        let (op, numbers) = call(run);
        let counts: Counts = child::must(kind, dir, op, &numbers)?;
        if counts.hits != hits || counts.wrong > 0 {
            return Err(format!("{kind} {op}: {counts:?}").into());
        }
        all.push(counts.micros as f64 / 1000.0);
    }
    Ok(median(all))
}

/// Four processes at once; milliseconds until the last ended, and failures.
fn parallel(kind: &str, dir: &Path, round: u64, hits: u64) -> (f64, u64) {
    let start = Instant::now();
    let running: Vec<_> = (0..4)
        .map(|n| {
            let unit = if hits > 0 {
                100 + round * 4 + n
            } else {
                200_000 + n
            };
            child::start(kind, dir, "mix", &[unit, round * 4 + n])
        })
        .collect();
    let mut failures = 0;
    for child in running {
        let ended = child.wait(Duration::from_secs(60));
        match ended.counts {
            Some(counts) if counts.inserted && counts.hits == hits && counts.wrong == 0 => {}
            counts => {
                eprintln!("{kind} in parallel: {counts:?} {}", ended.complaint);
                failures += 1;
            }
        }
    }
    (start.elapsed().as_secs_f64() * 1000.0, failures)
}

fn drop_caches() -> bool {
    let _ = Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn measure(kind: &str, dir: &Path, value_bytes: f64) -> Result<String> {
    empty(dir)?;
    let start = Instant::now();
    child::must(kind, dir, "fill", &[0, data::LARGE_UNIT + 1])?;
    let fill = start.elapsed().as_secs_f64();
    let _ = Command::new("sync").status();
    let size = on_disk(dir)?;

    let one = times(kind, dir, 15, 1, |run| ("get1", vec![run, ENTRIES]))?;
    let unit = times(kind, dir, 11, data::UNIT, |run| ("get", vec![run * 7]))?;
    let large = times(kind, dir, 5, data::LARGE, |_| {
        ("get", vec![data::LARGE_UNIT])
    })?;
    let insert = times(kind, dir, 9, 0, |run| ("insert", vec![1000 + run]))?;
    let touch = times(kind, dir, 5, 0, |run| ("touch", vec![50 + run]))?;
    let edit = times(kind, dir, 7, 0, |run| ("edit", vec![run]))?;
    let mut failures = 0;
    let mut rounds = Vec::new();
    for round in 0..7 {
        let (time, failed) = parallel(kind, dir, round, data::UNIT);
        rounds.push(time);
        failures += failed;
    }
    let together = median(rounds);

    let mut cold = [f64::NAN; 2];
    if drop_caches() {
        let mut all = [Vec::new(), Vec::new()];
        for run in 0..3 {
            drop_caches();
            let counts = child::must(kind, dir, "get1", &[90 + run, ENTRIES])?;
            all[0].push(counts.micros as f64 / 1000.0);
            drop_caches();
            let counts = child::must(kind, dir, "get", &[60 + run])?;
            all[1].push(counts.micros as f64 / 1000.0);
        }
        cold = all.map(median);
    }

    let before = on_disk(dir)?;
    let evict = child::must(kind, dir, "evict", &[ENTRIES / 10])?.micros as f64 / 1000.0;
    let after = on_disk(dir)?;
    // As many entries as were evicted come in again: does the store grow?
    let units = ENTRIES / 10 / data::UNIT;
    child::must(kind, dir, "fill", &[300_000, 300_000 + units])?;
    let again = on_disk(dir)?;

    // The first use of all: four processes on an empty store.
    let first = dir.join("first");
    let (mut first_failures, mut first_rounds) = (0, Vec::new());
    for _ in 0..3 {
        empty(&first)?;
        let (time, failed) = parallel(kind, &first, 0, 0);
        first_rounds.push(time);
        first_failures += failed;
    }
    fs::remove_dir_all(dir)?;

    let mb = |bytes: u64| bytes as f64 / 1e6;
    Ok(format!(
        "| {kind} | {one:.2} | {unit:.2} | {large:.1} | {insert:.1} | {edit:.1} | {touch:.1} | \
         {together:.0} ({failures}) | {:.0} ({first_failures}) | {:.1} | {:.1} | {:.2} | \
         {evict:.0} | {:.0} → {:.0} → {:.0} | {fill:.1} |",
        median(first_rounds),
        cold[0],
        cold[1],
        size as f64 / value_bytes,
        mb(before),
        mb(after),
        mb(again),
    ))
}

pub fn run(dir: &Path, kinds: &[String]) -> Result<()> {
    let value_bytes: u64 = (0..ENTRIES).map(|n| data::value(n).len() as u64).sum();
    println!(
        "{ENTRIES} entries, {:.1} MB of values; times in ms, medians\n",
        value_bytes as f64 / 1e6
    );
    println!(
        "| store | 1 look-up | 300 look-ups | 10,000 look-ups | insert 300 | insert 1 (large unit) | touch 300 | \
         4 processes (failures) | 4 on an empty store (failures) | cold 1 look-up | \
         cold 300 look-ups | bytes on disk / of values | evict 10% | \
         MB before → after → refilled | fill (s) |"
    );
    println!("|{}", " --- |".repeat(15));
    for kind in chosen(kinds) {
        match measure(kind, &dir.join(kind), value_bytes as f64) {
            Ok(row) => println!("{row}"),
            Err(error) => println!("| {kind} | failed: {error} |"),
        }
    }
    Ok(())
}
