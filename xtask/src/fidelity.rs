//! `cargo xtask fidelity`: the compiler is the judge of whether a sealed macro does what the native one does.
//!
//! Every package of `fixtures/fidelity` is compiled twice, natively and by `cargo belljar`, each in a target directory of
//! its own, and what rustc says is compared: the expanded crate as text, the same with the hygiene of every identifier,
//! the diagnostics for inputs that must fail, and the results of the tests. docs/fidelity.md says what is normalised
//! before the comparison, and why each rule can't hide a difference that a macro makes.

mod compare;
mod fixture;
mod side;

use std::fmt;
use std::fs;
use std::process::ExitCode;
use std::sync::mpsc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::project::{self, ProjectError};
use compare::Verdict;
use fixture::{Fixture, Fixtures};
use side::{Lane, Observed, Side};

/// What the user may say.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the fixtures of these macro crates
    #[arg(long, value_name = "CRATE")]
    only: Vec<String>,
    /// Also write the result as a JSON list
    #[arg(long, value_name = "FILE")]
    json: Option<Utf8PathBuf>,
    /// What native is compared with; `native` checks this command itself
    #[arg(long, value_enum, default_value_t = Lane::Sealed)]
    against: Lane,
    /// The `cargo-belljar` to use, instead of building it
    #[arg(long, value_name = "PATH")]
    belljar: Option<Utf8PathBuf>,
    /// The workspace of fixtures
    #[arg(long, value_name = "DIR")]
    fixtures: Option<Utf8PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FidelityError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Fixture(#[from] fixture::FixtureError),
    #[error("can't write {path}")]
    Write { path: Utf8PathBuf, source: std::io::Error },
    #[error("can't start {program}")]
    Start { program: Utf8PathBuf, source: std::io::Error },
}

/// One line of the result: equal or not, for each thing that the compiler can be asked.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(rename = "crate")]
    subject: String,
    version: String,
    lane: Lane,
    expansion: Verdict,
    hygiene: Verdict,
    errors: Verdict,
    tests: Verdict,
}

impl Row {
    fn verdicts(&self) -> [Verdict; 4] {
        [self.expansion, self.hygiene, self.errors, self.tests]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<28} {:<12} {:<8}", self.subject, self.version, self.lane.to_string())?;
        self.verdicts().iter().try_for_each(|verdict| write!(f, " {:<9}", verdict.to_string()))
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, FidelityError> {
    let workspace = args.fixtures.clone().unwrap_or_else(|| project::root().join("fixtures/fidelity"));
    let fixtures = Fixtures::read(&workspace, &args.only)?;
    let scratch = project::scratch("fidelity")?;
    let side = |name: &str, lane| -> Result<Side, FidelityError> {
        let belljar = match (lane, &args.belljar) {
            (Lane::Native, _) => None,
            (Lane::Sealed, Some(path)) => Some(path.clone()),
            (Lane::Sealed, None) => Some(project::build_belljar(false)?),
        };
        Ok(Side::new(belljar, scratch.join(name), &fixtures))
    };
    let native = side("native", Lane::Native)?;
    let other = side(if args.against == Lane::Native { "native-again" } else { "sealed" }, args.against)?;
    let reports = scratch.join("reports");
    write_dir(&reports)?;

    println!(
        "{:<28} {:<12} {:<8} {:<9} {:<9} {:<9} {:<9}",
        "crate", "version", "lane", "expansion", "hygiene", "errors", "tests"
    );
    let mut rows = Vec::new();
    let (mut short, mut broken) = (0, 0);
    std::thread::scope(|threads| -> Result<(), FidelityError> {
        let observe = |side: Side| {
            let (to, from) = mpsc::sync_channel(fixtures.all.len());
            let fixtures = &fixtures.all;
            threads.spawn(move || {
                for fixture in fixtures {
                    if to.send(side.observe(fixture)).is_err() {
                        break;
                    }
                }
            });
            from
        };
        let (left, right) = (observe(native), observe(other));
        for fixture in &fixtures.all {
            let (Ok(left), Ok(right)) = (left.recv(), right.recv()) else { break };
            let (left, right) = (left?, right?);
            let notes = fixture.complaints(&left);
            let (row, more) = judge(fixture, left, right, args.against, &fixtures, &reports)?;
            println!("{row}");
            for note in &notes {
                println!("  the fixture itself is wrong: {note}");
            }
            for note in more {
                println!("  {note}");
            }
            broken += usize::from(!notes.is_empty());
            short += usize::from(row.verdicts().contains(&Verdict::Differs));
            rows.push(row);
        }
        Ok(())
    })?;

    if let Some(path) = &args.json {
        let mut json =
            serde_json::to_string_pretty(&rows).expect("rows have string keys and no failing parts");
        json.push('\n');
        fs::write(path, json).map_err(|source| FidelityError::Write { path: path.clone(), source })?;
    }
    println!("{} macro crates, {short} with differences, {broken} broken fixtures", rows.len());
    let complete = rows.len() == fixtures.all.len();
    Ok(if short == 0 && broken == 0 && complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares what two sides saw and leaves the texts that differ in files to be looked at.
fn judge(
    fixture: &Fixture,
    mut left: Observed,
    mut right: Observed,
    lane: Lane,
    fixtures: &Fixtures,
    reports: &Utf8Path,
) -> Result<(Row, Vec<String>), FidelityError> {
    compare::mask_definitions(&mut left.diagnostics, &mut right.diagnostics, &fixtures.macro_sources);
    if let Some([expansion, hygiene]) = &left.again {
        left.hygiene = compare::mask_symbols(&left.hygiene);
        right.hygiene = compare::mask_symbols(&right.hygiene);
        compare::mask_random(&mut left.expansion, expansion, &mut right.expansion);
        compare::mask_random(&mut left.hygiene, &compare::mask_symbols(hygiene), &mut right.hygiene);
    }
    let errors = right.diagnostics.to_text();
    let errors = if lane == Lane::Sealed { compare::number_errors(&errors) } else { errors };
    let mut notes = Vec::new();
    let folder = reports.join(&fixture.subject);
    let mut verdict = |what: &str, a: String, b: String| -> Result<Verdict, FidelityError> {
        let verdict = compare::texts(&a, &b);
        if let Some((line, a_line, b_line)) = compare::first_difference(&a, &b) {
            write_dir(&folder)?;
            for (side, text) in [("native", &a), ("other", &b)] {
                let path = folder.join(format!("{what}.{side}"));
                fs::write(&path, text).map_err(|source| FidelityError::Write { path, source })?;
            }
            notes.push(format!("{what} differs from line {line} on (whole texts: {folder}/{what}.*)"));
            notes.push(format!("  native: {a_line}"));
            notes.push(format!("  {lane}: {b_line}"));
        }
        Ok(verdict)
    };
    let row = Row {
        subject: fixture.subject.clone(),
        version: fixture.version.clone(),
        lane,
        expansion: verdict("expansion", left.expansion, right.expansion)?,
        hygiene: verdict(
            "hygiene",
            compare::mask_symbols(&left.hygiene),
            compare::mask_symbols(&right.hygiene),
        )?,
        errors: verdict("errors", left.diagnostics.to_text(), errors)?,
        tests: verdict("tests", left.tests, right.tests)?,
    };
    if let (true, Some(failure)) = (row.verdicts().contains(&Verdict::Differs), right.failure) {
        notes.push(format!("what {lane} said first:"));
        notes.extend(compare::first_error(&failure).map(|line| format!("  | {line}")));
    }
    Ok((row, notes))
}

fn write_dir(path: &Utf8Path) -> Result<(), FidelityError> {
    fs::create_dir_all(path).map_err(|source| FidelityError::Write { path: path.to_owned(), source })
}
