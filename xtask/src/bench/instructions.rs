//! Instructions of the token path, counted by callgrind: a regression shows on a noisy machine, too.
//!
//! What is counted is the whole of `examples/overhead` of the expander with an empty macro: start, engine, and 1001 calls over a
//! socket. The numbers depend on the compiler, so the baseline says with which one it was made.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::project;

/// How many more may be counted than the baseline says. The same program differs by up to a tenth of this: maps are seeded.
const TOLERANCE: f64 = 1.03;

/// The words by which the example is told what to do.
const CASES: [&str; 3] = ["run", "kept", "remembered"];

/// The committed numbers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    /// `rustc -V`
    rustc: String,
    instructions: BTreeMap<String, u64>,
}

/// Counts, and holds what was counted against the baseline, or makes it the baseline. `false` where it is too much.
pub(crate) fn check(write: bool) -> Result<bool, BenchError> {
    let example = build()?;
    let mut counted = Baseline { rustc: rustc()?, instructions: BTreeMap::new() };
    for case in CASES {
        counted.instructions.insert(case.to_owned(), count(&example, case)?);
    }
    let path = project::root().join("xtask/instructions.json");
    let file = |source| BenchError::File { path: path.clone(), source };
    if write {
        let mut json = serde_json::to_string_pretty(&counted).map_err(|e| file(e.into()))?;
        json.push('\n');
        fs::write(&path, json).map_err(file)?;
        println!("written to {path}");
    }
    let baseline: Baseline =
        serde_json::from_slice(&fs::read(&path).map_err(file)?).map_err(|e| file(e.into()))?;
    if baseline.rustc != counted.rustc {
        println!("note: the baseline is of {}, this is {}", baseline.rustc, counted.rustc);
    }
    println!("{:<12} {:>14} {:>14} {:>7}", "instructions", "baseline", "now", "");
    let mut all_fit = true;
    for (case, now) in &counted.instructions {
        let before = baseline.instructions.get(case).copied().unwrap_or(0);
        let fits = fits(before, *now);
        all_fit &= fits;
        let ratio = *now as f64 / before as f64;
        println!("{case:<12} {before:>14} {now:>14} {ratio:>7.3} {}", if fits { "ok" } else { "TOO MANY" });
    }
    Ok(all_fit)
}

fn fits(baseline: u64, now: u64) -> bool {
    now as f64 <= baseline as f64 * TOLERANCE
}

fn build() -> Result<Utf8PathBuf, BenchError> {
    let mut build = project::command(project::cargo());
    // With all packages, so that nothing is built with other features than in development.
    build.current_dir(project::root()).args(["build", "--workspace", "--example", "overhead"]);
    run(build, "cargo build --workspace --example overhead")?;
    // `scratch` is a folder in the target directory.
    Ok(project::scratch("debug/examples/overhead")?)
}

fn rustc() -> Result<String, BenchError> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-V");
    Ok(run(rustc, "rustc -V")?.0.trim().to_owned())
}

fn count(example: &Utf8PathBuf, case: &str) -> Result<u64, BenchError> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(example)
        .arg(format!("only={case}"));
    let (_, said) = run(valgrind, "valgrind --tool=callgrind")?;
    collected(&said).ok_or(BenchError::NoCount)
}

/// The number in callgrind's last words, such as `==1== Collected : 88001234`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :"))?.1.trim().parse().ok()
}

fn run(mut command: Command, name: &str) -> Result<(String, String), BenchError> {
    let output = command
        .output()
        .map_err(|source| project::ProjectError::Start { program: name.to_owned(), source })?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(BenchError::Failed { command: name.to_owned(), stderr });
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_last_words() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 88001234\n==7==\n"), Some(88_001_234));
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn a_little_more_is_noise_and_more_is_not() {
        assert!(fits(100_000, 102_900) && fits(100_000, 50_000));
        assert!(!fits(100_000, 103_100) && !fits(0, 1), "what the baseline doesn't know is too much");
    }
}
