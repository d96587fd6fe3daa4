//! What becomes of a store that is killed, damaged, out of space or read-only.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bench::{chosen, empty};
use crate::child::{self, Ended};
use crate::data::{self, Rng};
use crate::files;
use crate::store::Result;

/// A smaller store is enough here.
const UNITS: u64 = 60;
const ENTRIES: u64 = UNITS * data::UNIT;
const PATIENCE: Duration = Duration::from_secs(20);

/// What several checks of a store gave: 1,000 look-ups and one insertion each.
#[derive(Default)]
struct Tally {
    checks: u64,
    hits: u64,
    misses: u64,
    damaged: u64,
    errors: u64,
    wrong: u64,
    failed_insertions: u64,
    /// The process ended with an error before or at the first look-up.
    refused: u64,
    /// The process panicked.
    panics: u64,
    /// The process was ended by a signal, such as SIGSEGV or SIGBUS.
    signals: Vec<i32>,
    hangs: u64,
    complaints: Vec<String>,
}

impl Tally {
    fn add(&mut self, ended: Ended) {
        self.checks += 1;
        if !ended.complaint.is_empty() && !self.complaints.contains(&ended.complaint) {
            self.complaints.push(ended.complaint);
        }
        match (ended.status, ended.counts) {
            (None, _) => self.hangs += 1,
            (Some(_), Some(counts)) => {
                self.hits += counts.hits;
                self.misses += counts.misses;
                self.damaged += counts.damaged;
                self.errors += counts.errors;
                self.wrong += counts.wrong;
                self.failed_insertions += u64::from(!counts.inserted);
            }
            (Some(status), None) => match status.signal() {
                Some(signal) => self.signals.push(signal),
                None if status.code() == Some(101) => self.panics += 1,
                None => self.refused += 1,
            },
        }
    }

    fn row(&self, kind: &str, harm: &str) -> String {
        let signals: Vec<String> = self.signals.iter().map(i32::to_string).collect();
        format!(
            "| {kind} | {harm} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.checks,
            self.hits,
            self.misses,
            self.damaged,
            self.errors,
            self.wrong,
            self.failed_insertions,
            self.refused,
            self.panics,
            if signals.is_empty() {
                "–".to_owned()
            } else {
                signals.join(" ")
            },
            self.hangs,
        )
    }
}

fn print_head() {
    println!(
        "| store | harm | checks | hits | misses | damaged (sum) | errors | wrong | \
         failed insertions | refused to open | panics | signals | hangs |"
    );
    println!("|{}", " --- |".repeat(13));
}

fn print(tally: &Tally, kind: &str, harm: &str) {
    println!("{}", tally.row(kind, harm));
    for complaint in tally.complaints.iter().take(4) {
        eprintln!("{kind}, {harm}: {complaint}");
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    empty(to)?;
    for (_, _, path) in files::oldest_first(from)? {
        let target = to.join(path.strip_prefix(from)?);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(path, target)?;
    }
    Ok(())
}

/// The files that hold data, with their sizes; LMDB's lock file does not.
fn data_files(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    Ok(files::oldest_first(dir)?
        .into_iter()
        .filter(|(_, _, path)| !path.ends_with("lock.mdb"))
        .map(|(_, size, path)| (size, path))
        .collect())
}

/// Changes bytes at random places of the store.
fn flip(dir: &Path, count: u64, rng: &mut Rng) -> Result<()> {
    let mut all = data_files(dir)?;
    all.sort_by(|a, b| a.1.cmp(&b.1));
    let total: u64 = all.iter().map(|(size, _)| size).sum();
    for _ in 0..count {
        let mut place = rng.below(total);
        for (size, path) in &all {
            if place < *size {
                let file = OpenOptions::new().read(true).write(true).open(path)?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, place)?;
                byte[0] ^= 1 + rng.below(255) as u8;
                file.write_all_at(&byte, place)?;
                break;
            }
            place -= size;
        }
    }
    Ok(())
}

fn truncate(dir: &Path) -> Result<()> {
    for (size, path) in data_files(dir)? {
        OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(size / 2)?;
    }
    Ok(())
}

fn check(kind: &str, dir: &Path, seed: u64) -> Ended {
    child::start(kind, dir, "check", &[seed, ENTRIES]).wait(PATIENCE)
}

pub fn run(dir: &Path, kinds: &[String]) -> Result<()> {
    print_head();
    for kind in chosen(kinds) {
        let whole = dir.join(format!("{kind}-whole"));
        let broken = dir.join(format!("{kind}-broken"));
        empty(&whole)?;
        child::must(kind, &whole, "fill", &[0, UNITS])?;
        let mut rng = Rng::new(1);

        let mut tally = Tally::default();
        copy(&whole, &broken)?;
        for round in 0..20 {
            let child = child::start(kind, &broken, "loop", &[10_000 + round * 1000]);
            std::thread::sleep(Duration::from_millis(8 + rng.below(80)));
            child.kill();
            tally.add(check(kind, &broken, round));
        }
        print(&tally, kind, "kill -9");
        let left = files::oldest_first(&broken)?
            .iter()
            .filter(|(_, _, path)| path.extension().is_some_and(|name| name == "tmp"))
            .count();
        if left > 0 {
            eprintln!("{kind}: {left} temporary files left behind");
        }

        for (count, rounds) in [(20, 20), (2000, 20)] {
            let mut tally = Tally::default();
            for round in 0..rounds {
                copy(&whole, &broken)?;
                flip(&broken, count, &mut rng)?;
                tally.add(check(kind, &broken, round));
            }
            print(&tally, kind, &format!("{count} bytes changed"));
        }

        let mut tally = Tally::default();
        for round in 0..3 {
            copy(&whole, &broken)?;
            truncate(&broken)?;
            tally.add(check(kind, &broken, round));
        }
        print(&tally, kind, "cut to half");
        fs::remove_dir_all(&whole)?;
        fs::remove_dir_all(&broken)?;
    }
    Ok(())
}

fn mount(arguments: &[&str], dir: &Path) -> Result<()> {
    let status = Command::new("mount").args(arguments).arg(dir).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("mount {}: {status}", arguments.join(" ")).into())
    }
}

pub fn run_hostile(dir: &Path, kinds: &[String]) -> Result<()> {
    print_head();
    for kind in chosen(kinds) {
        let disk = dir.join(format!("{kind}-disk"));
        fs::create_dir_all(&disk)?;
        mount(&["-t", "tmpfs", "-o", "size=120m", "tmpfs"], &disk)?;
        let done = hostile(kind, &disk);
        Command::new("umount").arg(&disk).status()?;
        fs::remove_dir_all(&disk)?;
        done?;
    }
    Ok(())
}

fn hostile(kind: &str, disk: &Path) -> Result<()> {
    let store = disk.join("store");
    fs::create_dir_all(&store)?;
    child::must(kind, &store, "fill", &[0, UNITS])?;
    let checks = |harm| {
        let mut tally = Tally::default();
        for round in 0..3 {
            tally.add(check(kind, &store, round));
        }
        print(&tally, kind, harm);
    };
    mount(&["-o", "remount,ro"], disk)?;
    checks("disk read-only, store closed well");
    mount(&["-o", "remount,rw"], disk)?;
    let fill = child::start(kind, &store, "loop", &[10_000]).wait(PATIENCE);
    eprintln!("{kind}, on filling the disk: {}", fill.complaint);
    checks("disk full");
    mount(&["-o", "remount,ro"], disk)?;
    checks("disk full, then read-only");
    Ok(())
}
