//! One side of the comparison: cargo, plain or through belljar, with a target directory of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde_json::{Value, json};

use super::FidelityError;
use super::fixture::{Fixture, Fixtures};
use crate::project;

/// How macros run on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lane {
    Native,
    Sealed,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Native => "native",
            Lane::Sealed => "sealed",
        })
    }
}

/// Everything that was asked about one fixture.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// `-Zunpretty=expanded` of the library and of each integration test.
    pub(crate) expansion: String,
    /// The same with `,hygiene`.
    pub(crate) hygiene: String,
    /// Both once more, where a fixture's numbers are random.
    pub(crate) again: Option<[String; 2]>,
    pub(crate) diagnostics: Diagnostics,
    /// What the test harness printed for each test, without times.
    pub(crate) tests: String,
    pub(crate) tests_passed: bool,
    /// The standard error of the first cargo call that failed and should not have.
    pub(crate) failure: Option<String>,
}

/// rustc's messages as cargo's JSON gives them (with the text for people in the field `rendered`), for each target.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics(pub(crate) BTreeMap<String, Vec<Value>>);

impl Diagnostics {
    /// Takes the messages of one package out of cargo's output. `target_dir` stands in paths of generated files, and is
    /// the one thing that must be different on the two sides.
    fn parse(stdout: &str, package: &str, target_dir: &Utf8Path) -> Diagnostics {
        let mut by_target: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in stdout.lines() {
            let Ok(mut message) =
                serde_json::from_str::<Value>(&line.replace(target_dir.as_str(), "<target>"))
            else {
                continue;
            };
            let of_package = message["package_id"].as_str().is_some_and(|id| {
                id.rsplit_once('#').is_some_and(|(_, tail)| tail.split('@').next() == Some(package))
            });
            if message["reason"] == "compiler-message" && of_package {
                let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
                let name = message["target"]["name"].as_str().unwrap_or_default();
                by_target.entry(format!("{kind} {name}")).or_default().push(message["message"].take());
            }
        }
        Diagnostics(by_target)
    }

    pub(crate) fn has_error(&self, example: &str) -> bool {
        let messages = self.0.get(&format!("example {example}"));
        messages.is_some_and(|messages| messages.iter().any(|message| message["level"] == "error"))
    }

    /// The messages as text that can be compared line by line.
    pub(crate) fn to_text(&self) -> String {
        let targets: Vec<Value> =
            self.0.iter().map(|(target, messages)| json!({ target: messages })).collect();
        if targets.is_empty() {
            return String::new();
        }
        targets.iter().map(|target| format!("{target:#}\n")).collect()
    }
}

/// Cargo in one lane.
#[derive(Debug)]
pub(crate) struct Side {
    program: OsString,
    /// `belljar` in the sealed lane.
    prefix: Option<&'static str>,
    target_dir: Utf8PathBuf,
    workspace: Utf8PathBuf,
    expanded_crates: String,
}

impl Side {
    /// Plain cargo, or the `cargo-belljar` at the given path.
    pub(crate) fn new(belljar: Option<Utf8PathBuf>, target_dir: Utf8PathBuf, fixtures: &Fixtures) -> Side {
        Side {
            prefix: belljar.is_some().then_some("belljar"),
            program: belljar.map_or_else(project::cargo, |path| path.into_os_string()),
            target_dir,
            workspace: fixtures.workspace.clone(),
            expanded_crates: fixtures.expanded_crates.clone(),
        }
    }

    /// Asks everything about one fixture.
    pub(crate) fn observe(&self, fixture: &Fixture) -> Result<Observed, FidelityError> {
        forget(&self.target_dir, &fixture.package, 0);
        let mut seen = Observed::default();
        let failed = |output: &Output| (!output.status.success()).then(|| text(&output.stderr));

        let targets: Vec<Vec<&str>> = std::iter::once(vec!["--lib"])
            .chain(fixture.test_targets.iter().map(|target| vec!["--test", target.as_str()]))
            .collect();
        let mut expand = |mode: &str| -> Result<(String, Option<String>), FidelityError> {
            let (mut seen, mut failure) = (String::new(), None);
            for target in &targets {
                let flag = format!("-Zunpretty={mode}");
                let output = self.run(&["rustc", "--package", &fixture.package], target, &["--", &flag])?;
                seen.push_str(&text(&output.stdout));
                failure = failure.or_else(|| failed(&output));
            }
            Ok((seen, failure))
        };
        const MODES: [&str; 2] = ["expanded", "expanded,hygiene"];
        let [expansion, hygiene] = MODES.map(&mut expand);
        let ((expansion, first), (hygiene, second)) = (expansion?, hygiene?);
        seen = Observed { expansion, hygiene, failure: first.or(second), ..seen };
        if fixture.random {
            forget(&self.target_dir, &fixture.package, 0);
            let [expansion, hygiene] = MODES.map(expand);
            seen.again = Some([expansion?.0, hygiene?.0]);
        }

        let build = ["build", "--package", &fixture.package, "--keep-going", "--message-format", "json"];
        let output = self.run(&build, &["--lib", "--examples"], &[])?;
        seen.diagnostics = Diagnostics::parse(&text(&output.stdout), &fixture.package, &self.target_dir);

        let test = ["test", "--package", &fixture.package, "--no-fail-fast"];
        let output = self.run(&test, &["--lib", "--tests"], &["--", "--test-threads=1"])?;
        seen.tests = test_results(&text(&output.stdout));
        seen.tests_passed = output.status.success();
        seen.failure = seen.failure.or_else(|| failed(&output));
        Ok(seen)
    }

    fn run(&self, call: &[&str], targets: &[&str], rest: &[&str]) -> Result<Output, FidelityError> {
        let mut command: Command = project::command(&self.program);
        command
            .current_dir(&self.workspace)
            .args(self.prefix)
            .args(call)
            .args(["--locked", "--color", "never"])
            .args(targets)
            .args(rest)
            .env("CARGO_TARGET_DIR", &self.target_dir)
            .env("RUSTC_BOOTSTRAP", &self.expanded_crates)
            // Backtraces name addresses.
            .env("RUST_BACKTRACE", "0");
        command.output().map_err(|source| FidelityError::Start {
            program: Utf8PathBuf::from(self.program.to_string_lossy().into_owned()),
            source,
        })
    }
}

/// Makes cargo forget that it has built a fixture: else it would replay what the compiler said the last time, although
/// belljar is another now.
fn forget(dir: &Utf8Path, package: &str, depth: u32) {
    // Profiles are one folder down, or two with `--target`, or in a folder of belljar's.
    const DEEPEST: u32 = 4;
    let Ok(entries) = dir.read_dir_utf8() else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name() == ".fingerprint" {
            let Ok(units) = path.read_dir_utf8() else { continue };
            for unit in units.flatten() {
                let of_package = unit.file_name().rsplit_once('-').is_some_and(|(name, _)| name == package);
                if of_package {
                    // Gone already, or cargo says so in a moment.
                    let _ = fs::remove_dir_all(unit.path());
                }
            }
        } else if depth < DEEPEST
            && path.is_dir()
            && !matches!(entry.file_name(), "deps" | "build" | "incremental")
        {
            forget(path, package, depth + 1);
        }
    }
}

/// The harness's lines for single tests and its summaries, without how long they took.
fn test_results(stdout: &str) -> String {
    stdout
        .lines()
        .filter(|line| line.starts_with("test ") || line.starts_with("running "))
        .map(|line| line.split("; finished in ").next().unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_are_grouped_and_the_target_dir_hidden() {
        let line = |id: &str, target: &str, text: &str| {
            json!({
                "reason": "compiler-message", "package_id": format!("path+file:///w/a#{id}@0.1.0"),
                "target": { "kind": ["example"], "name": target },
                "message": { "level": "error", "rendered": text },
            })
            .to_string()
        };
        let stdout = [
            line("fidelity-x", "b", "in /t/native/debug"),
            line("another", "b", "not ours"),
            line("fidelity-x", "a", "first"),
            "not json".to_owned(),
        ]
        .join("\n");
        let seen = Diagnostics::parse(&stdout, "fidelity-x", Utf8Path::new("/t/native"));
        assert_eq!(seen.0.keys().collect::<Vec<_>>(), ["example a", "example b"]);
        assert_eq!(seen.0["example b"][0]["rendered"], "in <target>/debug");
        assert!(seen.has_error("a") && !seen.has_error("c"));
    }

    #[test]
    fn results_have_no_times() {
        let stdout =
            "\nrunning 1 test\ntest a ... ok\nprinted\n\ntest result: ok. 1 passed; finished in 0.12s\n";
        assert_eq!(test_results(stdout), "running 1 test\ntest a ... ok\ntest result: ok. 1 passed\n");
    }
}
