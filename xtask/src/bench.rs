//! `cargo xtask bench`: what sealed macros cost and save, against native ones in the same run.
//!
//! Every measure takes its samples in pairs, native then sealed, so that a machine that becomes slower or faster in
//! between does not favour one. A line's value is the median of its samples. docs/bench.md says how each is taken.

mod instructions;
mod measure;
mod plot;
mod processes;
pub(crate) mod subject;

use std::fmt;
use std::fs;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::project::{self, ProjectError};
use measure::{Bench, Sample};

/// What the user may say.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these measures
    #[arg(long, value_name = "ID", value_enum)]
    only: Vec<Measure>,
    /// Also write the result as a JSON list
    #[arg(long, value_name = "FILE")]
    json: Option<Utf8PathBuf>,
    /// Also draw the ratios
    #[arg(long, value_name = "FILE")]
    svg: Option<Utf8PathBuf>,
    /// Take no time: count instructions of the token path, and hold them against the committed numbers
    #[arg(long, conflicts_with_all = ["only", "json", "svg", "release", "belljar"])]
    check: bool,
    /// With `--check`: what is counted are the numbers from now on
    #[arg(long, requires = "check")]
    write: bool,
    /// How many pairs to take for each measure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// The `cargo-belljar` to use, instead of building it
    #[arg(long, value_name = "PATH")]
    belljar: Option<Utf8PathBuf>,
    /// Build `cargo-belljar` as it is installed, not as it is developed
    #[arg(long, conflicts_with = "belljar")]
    release: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// A clean check of the sample, modules in the store
    CleanCheck,
    /// The same of a small published application
    CleanCheckSmall,
    /// The same of one of middle size
    CleanCheckMedium,
    /// The same of a large one
    CleanCheckLarge,
    /// The same, the very first time on a machine
    FirstCheck,
    /// A check after touching a crate with 300 derives
    TouchedCheck,
    /// One small expansion, shim to shim, beyond the macro's own run
    SmallExpansion,
    /// One small expansion that is remembered, beyond the macro's own run
    RememberedExpansion,
    /// Macro expansion of 300 derives after the crate's source has changed, remembered, against native
    ExpansionPhase,
    /// The same against rustc's own cache of derives (`-Zcache-proc-macros`)
    ExpansionAgainstRustc,
    /// A check after touching that crate, against rustc's own cache
    CheckAgainstRustc,
    /// Macro expansion of 300 derives of which none is remembered, against native as cargo builds it by default
    Uncached,
    /// The same against native and optimised
    UncachedAgainstOptimised,
    /// Macro expansion of 300 derives by a native, optimised macro that only hands over what is ready, against native
    HandOver,
    /// The same against rustc's own cache
    HandOverAgainstRustc,
    /// Time per derive, remembered, in a crate with 10,000 of them, against one with 300
    ManyDerives,
    /// Macro expansion of one struct with 1,000 fields, remembered, against native
    WideStruct,
    /// The same, not remembered
    WideStructUncached,
    /// Bytes of a remembered derive, compressed
    EntrySize,
    /// Peak memory of the wrapper that serves 300 expansions
    WrapperMemory,
    /// Compiling one shim
    ShimCompile,
}

impl Measure {
    const ALL: [Measure; 21] = [
        Measure::CleanCheck,
        Measure::CleanCheckSmall,
        Measure::CleanCheckMedium,
        Measure::CleanCheckLarge,
        Measure::FirstCheck,
        Measure::TouchedCheck,
        Measure::SmallExpansion,
        Measure::RememberedExpansion,
        Measure::ExpansionPhase,
        Measure::ExpansionAgainstRustc,
        Measure::CheckAgainstRustc,
        Measure::Uncached,
        Measure::UncachedAgainstOptimised,
        Measure::HandOver,
        Measure::HandOverAgainstRustc,
        Measure::ManyDerives,
        Measure::WideStruct,
        Measure::WideStructUncached,
        Measure::EntrySize,
        Measure::WrapperMemory,
        Measure::ShimCompile,
    ];

    fn id(self) -> &'static str {
        match self {
            Measure::CleanCheck => "clean-check",
            Measure::CleanCheckSmall => "clean-check-small",
            Measure::CleanCheckMedium => "clean-check-medium",
            Measure::CleanCheckLarge => "clean-check-large",
            Measure::FirstCheck => "first-check",
            Measure::TouchedCheck => "touched-check",
            Measure::SmallExpansion => "small-expansion",
            Measure::RememberedExpansion => "remembered-expansion",
            Measure::ExpansionPhase => "expansion-phase",
            Measure::ExpansionAgainstRustc => "expansion-against-rustc",
            Measure::CheckAgainstRustc => "check-against-rustc",
            Measure::Uncached => "uncached",
            Measure::UncachedAgainstOptimised => "uncached-against-optimised",
            Measure::HandOver => "hand-over",
            Measure::HandOverAgainstRustc => "hand-over-against-rustc",
            Measure::ManyDerives => "many-derives",
            Measure::WideStruct => "wide-struct",
            Measure::WideStructUncached => "wide-struct-uncached",
            Measure::EntrySize => "entry-size",
            Measure::WrapperMemory => "wrapper-memory",
            Measure::ShimCompile => "shim-compile",
        }
    }

    /// The unit of value and limit.
    fn unit(self) -> &'static str {
        match self {
            Measure::CleanCheck
            | Measure::CleanCheckSmall
            | Measure::CleanCheckMedium
            | Measure::CleanCheckLarge
            | Measure::FirstCheck
            | Measure::TouchedCheck
            | Measure::ExpansionPhase
            | Measure::Uncached
            | Measure::HandOver
            | Measure::WideStruct
            | Measure::WideStructUncached => "× native",
            Measure::UncachedAgainstOptimised => "× optimised",
            Measure::ManyDerives => "× 300's",
            Measure::ExpansionAgainstRustc | Measure::CheckAgainstRustc | Measure::HandOverAgainstRustc => {
                "× rustc's"
            }
            Measure::SmallExpansion | Measure::RememberedExpansion => "µs",
            Measure::EntrySize => "kB",
            Measure::WrapperMemory => "MB",
            Measure::ShimCompile => "ms",
        }
    }

    /// What the value may be at most. Nothing of belljar's is in the least that a cache can cost, so that has no limit.
    fn limit(self) -> f64 {
        match self {
            Measure::HandOver | Measure::HandOverAgainstRustc => f64::INFINITY,
            Measure::CleanCheck => 0.70,
            Measure::CleanCheckSmall | Measure::CleanCheckMedium | Measure::CleanCheckLarge => 0.65,
            Measure::FirstCheck => 1.3,
            Measure::TouchedCheck => 0.85,
            Measure::SmallExpansion => 150.0,
            Measure::RememberedExpansion => 60.0,
            Measure::ExpansionPhase => 0.45,
            Measure::ExpansionAgainstRustc => 1.15,
            Measure::CheckAgainstRustc => 1.0,
            Measure::Uncached => 0.70,
            Measure::UncachedAgainstOptimised => 1.5,
            Measure::ManyDerives => 1.1,
            Measure::WideStruct => 0.45,
            Measure::WideStructUncached => 0.70,
            Measure::EntrySize => 2.0,
            Measure::WrapperMemory => 80.0,
            Measure::ShimCompile => 250.0,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("can't use {path}")]
    File { path: Utf8PathBuf, source: std::io::Error },
    #[error("`{command}` failed:\n{stderr}")]
    Failed { command: String, stderr: String },
    #[error("can't find belljar's store")]
    Store(#[from] belljar_store::StoreError),
    #[error("can't look at what is remembered")]
    Expansions(#[from] belljar_store::Problem),
    #[error("`{command}` printed no time for macro expansion")]
    NoPhase { command: String },
    #[error("{package} is not as it was when the bench made a library of it: no `{missing}` in {path}")]
    NoLibrary { package: &'static str, path: Utf8PathBuf, missing: &'static str },
    #[error("can't find the source of {name} {version}")]
    Published { name: &'static str, version: &'static str, source: Option<cargo_metadata::Error> },
    #[error("callgrind did not say how many instructions it counted")]
    NoCount,
    #[error("saw no process that {what}; is `/proc` readable?")]
    NoProcess { what: &'static str },
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Line {
    id: Measure,
    value: f64,
    unit: &'static str,
    limit: f64,
    ok: bool,
    samples: Vec<f64>,
    /// What was measured on the way, for people.
    #[serde(skip)]
    detail: String,
}

impl Line {
    fn new(measure: Measure, samples: &[Sample]) -> Line {
        let values: Vec<f64> = samples.iter().map(|sample| rounded(sample.value)).collect();
        let value = median(&values);
        let middle = |of: fn(&Sample) -> Option<f64>| {
            let all: Vec<f64> = samples.iter().filter_map(of).collect();
            (!all.is_empty()).then(|| median(&all))
        };
        let detail = match (middle(|sample| sample.native), middle(|sample| sample.sealed)) {
            (Some(native), Some(sealed)) => format!("native {native:.2} s, sealed {sealed:.2} s"),
            _ => String::new(),
        };
        Line {
            id: measure,
            value,
            unit: measure.unit(),
            limit: measure.limit(),
            ok: value <= measure.limit(),
            samples: values,
            detail,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "ok" } else { "SHORT" };
        let (id, value, limit, unit) = (self.id.id(), self.value, self.limit, self.unit);
        write!(f, "{id:<26} {value:>9.2} {limit:>9.2} {unit:<11} {verdict:<6} {}", self.detail)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, BenchError> {
    if args.check {
        let fits = instructions::check(args.write)?;
        return Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let belljar = match &args.belljar {
        Some(path) => path.clone(),
        None => project::build_belljar(args.release)?,
    };
    let bench = Bench::new(belljar, project::scratch("bench")?)?;
    println!("{:<26} {:>9} {:>9} {:<11} {:<6}", "measure", "value", "at most", "unit", "");
    let mut lines = Vec::new();
    for measure in Measure::ALL {
        if args.only.is_empty() || args.only.contains(&measure) {
            let line = Line::new(measure, &bench.samples(measure, args.samples)?);
            println!("{line}");
            lines.push(line);
        }
    }
    if let Some(path) = &args.json {
        let mut json =
            serde_json::to_string_pretty(&lines).expect("lines have string keys and finite numbers");
        json.push('\n');
        fs::write(path, json).map_err(|source| BenchError::File { path: path.clone(), source })?;
    }
    if let Some(path) = &args.svg {
        let file = |source| BenchError::File { path: path.clone(), source };
        fs::write(path, plot::svg(&lines)).map_err(file)?;
    }
    let short = lines.iter().filter(|line| !line.ok).count();
    println!("{} measures, {short} short of their limit", lines.len());
    Ok(if short == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The middle one, or the mean of the two in the middle; not a number when there is none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => (value + sorted[middle - 1]) / 2.0,
        (None, _) => f64::NAN,
    }
}

/// Three digits behind the point are more than a sample is worth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_line_is_short_when_its_median_is() {
        let sample = |value| Sample { value, native: Some(10.0), sealed: Some(10.0 * value) };
        let line = Line::new(Measure::CleanCheck, &[sample(0.9), sample(0.6), sample(0.65)]);
        assert!(line.ok);
        assert_eq!(
            line.to_string(),
            "clean-check                     0.65      0.70 × native    ok     native 10.00 s, sealed 6.50 s"
        );
        let line = Line::new(Measure::CleanCheck, &[sample(0.71)]);
        assert!(!line.ok && line.to_string().contains("SHORT"));
        // Nothing measured is not a success.
        assert!(!Line::new(Measure::ShimCompile, &[]).ok);
    }

    #[test]
    fn json_is_what_the_issue_says() {
        let line = Line::new(Measure::WrapperMemory, &[Sample { value: 40.0, native: None, sealed: None }]);
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": "wrapper-memory", "value": 40.0, "unit": "MB", "limit": 80.0, "ok": true, "samples": [40.0],
            })
        );
    }
}
