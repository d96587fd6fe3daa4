//! How each measure is taken.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use belljar_store::{Area, Expansions, Store};
use camino::{Utf8Path, Utf8PathBuf};

use super::processes::{self, Seen};
use super::{BenchError, Measure, subject};
use crate::project::{self, ProjectError, copy, remove};

/// One pair, or one value that has no native side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// In the measure's unit.
    pub(crate) value: f64,
    /// Seconds.
    pub(crate) native: Option<f64>,
    /// Seconds.
    pub(crate) sealed: Option<f64>,
}

impl Sample {
    fn ratio(native: Duration, sealed: Duration) -> Sample {
        let (native, sealed) = (native.as_secs_f64(), sealed.as_secs_f64());
        Sample { value: sealed / native, native: Some(native), sealed: Some(sealed) }
    }

    fn single(value: f64) -> Sample {
        Sample { value, native: None, sealed: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Native,
    Sealed,
    /// Native, with rustc's own cache of derives.
    RustcsCache,
    /// Native, with macros optimised.
    Optimised,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Native => "native",
            Side::Sealed => "sealed",
            Side::RustcsCache => "rustc's",
            Side::Optimised => "optimised",
        }
    }
}

/// rustc's own cache of what derives write, which is not stable.
const RUSTCS_CACHE: &str = "-Zcache-proc-macros";

/// What is measured, and where.
#[derive(Debug)]
pub(crate) struct Bench {
    belljar: Utf8PathBuf,
    scratch: Utf8PathBuf,
    sample: Utf8PathBuf,
    /// A copy of `fixtures/bench`, to be written to.
    generated: Utf8PathBuf,
}

impl Bench {
    pub(crate) fn new(belljar: Utf8PathBuf, scratch: Utf8PathBuf) -> Result<Bench, BenchError> {
        let belljar = belljar
            .canonicalize_utf8()
            .map_err(|source| BenchError::File { path: belljar.clone(), source })?;
        let (sample, generated) = (scratch.join("projects/sample"), scratch.join("projects/generated"));
        copy(&project::root().join("fixtures/sample"), &sample)?;
        copy(&project::root().join("fixtures/bench"), &generated)?;
        let bench = Bench { belljar, scratch, sample, generated };
        for project in [&bench.sample, &bench.generated] {
            bench.run(Side::Native, project, &["fetch"], |_| {})?;
        }
        Ok(bench)
    }

    /// Takes `count` samples of a measure.
    pub(crate) fn samples(&self, measure: Measure, count: u32) -> Result<Vec<Sample>, BenchError> {
        self.warm(measure)?;
        (1..=count)
            .map(|n| match measure {
                Measure::CleanCheck => self.clean_check(&self.sample),
                Measure::FirstCheck => self.first_check(n),
                Measure::TouchedCheck => self.touched_check(n),
                Measure::SmallExpansion => self.small_expansion(n, false),
                Measure::RememberedExpansion => self.small_expansion(n, true),
                Measure::ExpansionPhase => self.expansion_phase(n, Side::Native),
                Measure::ExpansionAgainstRustc => self.expansion_phase(n, Side::RustcsCache),
                Measure::CheckAgainstRustc => self.check_against_rustc(n),
                Measure::CleanCheckSmall | Measure::CleanCheckMedium | Measure::CleanCheckLarge => {
                    self.clean_check(&self.published(measure)?)
                }
                Measure::Uncached => self.uncached(n, Side::Native),
                Measure::UncachedAgainstOptimised => self.uncached(n, Side::Optimised),
                Measure::HandOver => self.hand_over(n, Side::Native),
                Measure::HandOverAgainstRustc => self.hand_over(n, Side::RustcsCache),
                Measure::ManyDerives => self.many_derives(n),
                Measure::WideStruct => self.wide_struct(n, true),
                Measure::WideStructUncached => self.wide_struct(n, false),
                Measure::EntrySize => self.entry_size(),
                Measure::WrapperMemory => self.wrapper_memory(n),
                Measure::ShimCompile => self.shim_compile(),
            })
            .collect()
    }

    /// Runs everything once that a measure must not count: both sides' dependencies, and modules for the store.
    fn warm(&self, measure: Measure) -> Result<(), BenchError> {
        match measure {
            Measure::CleanCheck | Measure::ShimCompile => {
                self.run(Side::Sealed, &self.sample, &["check"], |_| {})?;
            }
            Measure::CleanCheckSmall | Measure::CleanCheckMedium | Measure::CleanCheckLarge => {
                self.run(Side::Sealed, &self.published(measure)?, &["check"], |_| {})?;
            }
            Measure::FirstCheck => {}
            Measure::Uncached => drop(self.uncached(0, Side::Native)?),
            Measure::UncachedAgainstOptimised => drop(self.uncached(0, Side::Optimised)?),
            Measure::HandOver => {
                self.make_hand_over()?;
                self.hand_over(0, Side::Native)?;
            }
            Measure::HandOverAgainstRustc => {
                self.make_hand_over()?;
                self.hand_over(0, Side::RustcsCache)?;
            }
            Measure::ManyDerives => drop(self.many_derives(0)?),
            Measure::WideStruct | Measure::WideStructUncached => drop(self.wide_struct(0, true)?),
            Measure::TouchedCheck => {
                self.touched_check(0)?;
            }
            Measure::SmallExpansion | Measure::RememberedExpansion => {
                self.small_expansion(0, measure == Measure::RememberedExpansion)?;
            }
            Measure::ExpansionPhase => drop(self.expansion_phase(0, Side::Native)?),
            Measure::ExpansionAgainstRustc => drop(self.expansion_phase(0, Side::RustcsCache)?),
            Measure::CheckAgainstRustc => drop(self.check_against_rustc(0)?),
            Measure::EntrySize => {}
            Measure::WrapperMemory => {
                self.wrapper_memory(0)?;
            }
        }
        Ok(())
    }

    fn clean_check(&self, project: &Utf8Path) -> Result<Sample, BenchError> {
        let clean = |side| -> Result<Duration, BenchError> {
            remove(&self.target(side, project))?;
            self.timed(side, project, &["check"], |_| {})
        };
        Ok(Sample::ratio(clean(Side::Native)?, clean(Side::Sealed)?))
    }

    /// The published application of that measure, as its authors lock it.
    fn published(&self, measure: Measure) -> Result<Utf8PathBuf, BenchError> {
        let (name, version) = match measure {
            Measure::CleanCheckMedium => subject::MEDIUM,
            Measure::CleanCheckLarge => subject::LARGE,
            _ => subject::SMALL_APPLICATION,
        };
        let whole = self.scratch.join("projects").join(format!("{name}-{version}"));
        if whole.is_dir() {
            return Ok(whole);
        }
        let project = self.scratch.join("projects/unfinished");
        remove(&project)?;
        let finder = self.scratch.join("projects/finder");
        let io = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| BenchError::File { path, source }
        };
        let (manifest, root) = (finder.join("Cargo.toml"), finder.join("src/lib.rs"));
        fs::create_dir_all(finder.join("src")).map_err(io(&finder))?;
        fs::write(&manifest, subject::finder(name, version)).map_err(io(&manifest))?;
        fs::write(&root, "").map_err(io(&root))?;
        let metadata = cargo_metadata::MetadataCommand::new()
            .current_dir(&finder)
            // A package that is no library is only listed as a dependency on its programs. Nothing is compiled by this.
            .other_options(["-Zbindeps".to_owned()])
            .env("RUSTC_BOOTSTRAP", "1")
            .exec()
            .map_err(|source| BenchError::Published { name, version, source: Some(source) })?;
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
        let source = package.and_then(|package| package.manifest_path.parent());
        copy(source.ok_or(BenchError::Published { name, version, source: None })?, &project)?;
        // It stands below this repository's own workspace.
        let manifest = project.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(io(&manifest))?;
        fs::write(&manifest, format!("{text}\n[workspace]\n")).map_err(io(&manifest))?;
        self.run(Side::Native, &project, &["fetch"], |_| {})?;
        for macro_package in subject::needs(name) {
            let reason = ["--reason", "measured with what it needs"];
            self.run(
                Side::Sealed,
                &project,
                &[&["allow", macro_package, "--known"][..], &reason].concat(),
                |_| {},
            )?;
        }
        fs::rename(&project, &whole).map_err(io(&project))?;
        Ok(whole)
    }

    /// As after `cargo belljar setup` on a machine that has never built anything sealed: a home of its own, with nothing
    /// but the toolchain.
    fn first_check(&self, n: u32) -> Result<Sample, BenchError> {
        let home = self.scratch.join(format!("homes/{n}"));
        remove(&home)?;
        let toolchains = Store::open_default()?.dir(Area::Toolchains);
        copy(&toolchains, &Store::open(&home)?.dir(Area::Toolchains))?;
        let at_home = |command: &mut Command| {
            command.env("BELLJAR_HOME", &home);
        };
        self.run(Side::Sealed, &self.sample, &["setup", "--offline"], at_home)?;

        remove(&self.target(Side::Native, &self.sample))?;
        let native = self.timed(Side::Native, &self.sample, &["check"], |_| {})?;
        remove(&self.target(Side::Sealed, &self.sample))?;
        let sealed = self.timed(Side::Sealed, &self.sample, &["check"], at_home)?;
        remove(&home)?;
        Ok(Sample::ratio(native, sealed))
    }

    fn touched_check(&self, n: u32) -> Result<Sample, BenchError> {
        self.write("derives", &subject::derives(subject::DERIVES, n))?;
        let check = ["check", "--package", "derives"];
        let native = self.timed(Side::Native, &self.generated, &check, |_| {})?;
        let sealed = self.timed(Side::Sealed, &self.generated, &check, |_| {})?;
        Ok(Sample::ratio(native, sealed))
    }

    /// rustc's own time for macro expansion of a generated crate, in seconds.
    fn phase(&self, side: Side, package: &str, remember: bool) -> Result<f64, BenchError> {
        self.phase_in(&self.generated, side, package, remember)
    }

    fn phase_in(
        &self,
        project: &Utf8Path,
        side: Side,
        package: &str,
        remember: bool,
    ) -> Result<f64, BenchError> {
        let mut call =
            vec!["rustc", "--package", package, "--lib", "--profile", "check", "--", "-Ztime-passes"];
        call.extend((side == Side::RustcsCache).then_some(RUSTCS_CACHE));
        let output = self.run(side, project, &call, |command| {
            // For the crate that is measured alone: its macro sees the stable compiler.
            command.env("RUSTC_BOOTSTRAP", package).env("BELLJAR_CACHE", if remember { "on" } else { "off" });
        })?;
        // rustc prints its times to standard output.
        let text = format!("{}{}", lossy(&output.stdout), lossy(&output.stderr));
        expansion_seconds(&text).ok_or_else(|| BenchError::NoPhase { command: call.join(" ") })
    }

    /// Of a crate with many derives that have next to nothing to do: sealed less native (where such a derive costs but the way
    /// of its tokens), for each derive.
    fn small_expansion(&self, n: u32, remember: bool) -> Result<Sample, BenchError> {
        self.write("small", &subject::small(subject::SMALL, n))?;
        let phase = |side| self.phase(side, "small", remember);
        let (native, sealed) = (phase(Side::Native)?, phase(Side::Sealed)?);
        let value = (sealed - native) * 1e6 / subject::SMALL as f64;
        Ok(Sample { value, native: Some(native), sealed: Some(sealed) })
    }

    /// Of the crate with 300 derives, after its source has changed: sealed, with all of them remembered, over `other`.
    fn expansion_phase(&self, n: u32, other: Side) -> Result<Sample, BenchError> {
        self.write("derives", &subject::derives(subject::DERIVES, n))?;
        self.phases(other, true)
    }

    /// The same, with none of them remembered.
    fn uncached(&self, n: u32, other: Side) -> Result<Sample, BenchError> {
        self.write("derives", &subject::derives(subject::DERIVES, n))?;
        self.phases(other, false)
    }

    /// Of a crate with one struct of 1,000 fields, after its source has changed.
    fn wide_struct(&self, n: u32, remember: bool) -> Result<Sample, BenchError> {
        self.write("derives", &subject::wide(subject::FIELDS, n))?;
        self.phases(Side::Native, remember)
    }

    fn phases(&self, other: Side, remember: bool) -> Result<Sample, BenchError> {
        let phase = |side| self.phase(side, "derives", remember).map(Duration::from_secs_f64);
        Ok(Sample::ratio(phase(other)?, phase(Side::Sealed)?))
    }

    /// `fixtures/hand-over`, with serde_derive's own source as a library.
    fn make_hand_over(&self) -> Result<(), BenchError> {
        const PACKAGE: &str = "serde_derive";
        let project = self.hand_over_project();
        copy(&project::root().join("fixtures/hand-over"), &project)?;
        let metadata = cargo_metadata::MetadataCommand::new()
            .current_dir(&self.generated)
            .exec()
            .map_err(|source| BenchError::Published { name: PACKAGE, version: "", source: Some(source) })?;
        let package = metadata.packages.iter().find(|package| package.name.as_str() == PACKAGE);
        let source = package.and_then(|package| package.manifest_path.parent());
        let source = source.ok_or(BenchError::Published { name: PACKAGE, version: "", source: None })?;
        let ready = project.join("ready");
        remove(&ready)?;
        copy(source, &ready)?;
        for (path, changes) in subject::READY {
            let path = ready.join(path);
            let io = |source| BenchError::File { path: path.clone(), source };
            let mut text = fs::read_to_string(&path).map_err(io)?;
            for (from, to) in *changes {
                if !text.contains(from) {
                    return Err(BenchError::NoLibrary { package: PACKAGE, path, missing: from });
                }
                text = text.replace(from, to);
            }
            fs::write(&path, text).map_err(io)?;
        }
        fs::copy(self.generated.join("Cargo.lock"), project.join("Cargo.lock"))
            .map_err(|source| BenchError::File { path: project.join("Cargo.lock"), source })?;
        self.run(Side::Native, &project, &["fetch"], |_| {}).map(drop)
    }

    fn hand_over_project(&self) -> Utf8PathBuf {
        self.scratch.join("projects/hand-over")
    }

    /// The phase of the crate with 300 derives whose macro only hands over what is ready, over that with serde's own.
    fn hand_over(&self, n: u32, other: Side) -> Result<Sample, BenchError> {
        let source = subject::derives(subject::DERIVES, n);
        self.write("derives", &source)?;
        let project = self.hand_over_project();
        let path = project.join("derives/src/lib.rs");
        fs::write(&path, source.replace("use serde::Deserialize;", "use hand::Deserialize;"))
            .map_err(|source| BenchError::File { path, source })?;
        let native = self.phase(other, "derives", true)?;
        Ok(Sample::single(self.phase_in(&project, Side::Optimised, "derives", true)? / native))
    }

    /// The phase of a crate with 10,000 derives over that of one with 300, each divided by its number of derives.
    fn many_derives(&self, n: u32) -> Result<Sample, BenchError> {
        let per_derive = |derives: usize| -> Result<f64, BenchError> {
            self.write("derives", &subject::derives(derives, n))?;
            Ok(self.phase(Side::Sealed, "derives", true)? / derives as f64)
        };
        let (few, many) = (per_derive(subject::DERIVES)?, per_derive(subject::MANY)?);
        Ok(Sample::single(many / few))
    }

    fn check_against_rustc(&self, n: u32) -> Result<Sample, BenchError> {
        self.write("derives", &subject::derives(subject::DERIVES, n))?;
        // `cargo rustc` compiles as `check` does with this profile, and takes flags for this crate alone.
        let call = ["rustc", "--package", "derives", "--lib", "--profile", "check"];
        let timed = |side, call: &[&str]| {
            self.timed(side, &self.generated, call, |command| {
                command.env("RUSTC_BOOTSTRAP", "derives");
            })
        };
        let rustcs = timed(Side::RustcsCache, &[&call[..], &["--", RUSTCS_CACHE]].concat())?;
        Ok(Sample::ratio(rustcs, timed(Side::Sealed, &call)?))
    }

    /// Of the 300 derives, in a store of its own.
    fn entry_size(&self) -> Result<Sample, BenchError> {
        let home = self.scratch.join("homes/entries");
        remove(&home)?;
        let toolchains = Store::open_default()?.dir(Area::Toolchains);
        let store = Store::open(&home)?;
        copy(&toolchains, &store.dir(Area::Toolchains))?;
        self.write("derives", &subject::derives(subject::DERIVES, 0))?;
        remove(&self.target(Side::Sealed, &self.generated))?;
        self.run(Side::Sealed, &self.generated, &["check", "--package", "derives"], |command| {
            command.env("BELLJAR_HOME", &home);
        })?;
        let stats = Expansions::of(&store).stats()?;
        remove(&home)?;
        Ok(Sample::single(stats.bytes as f64 / stats.entries.max(1) as f64 / 1e3))
    }

    fn wrapper_memory(&self, n: u32) -> Result<Sample, BenchError> {
        self.write("derives", &subject::derives(subject::DERIVES, n))?;
        let seen = self.watched(&self.generated, &["check", "--package", "derives"])?;
        seen.iter()
            .filter(|seen| seen.option("--crate-name") == Some("derives"))
            .map(|seen| seen.peak)
            .max()
            .map(|bytes| Sample::single(bytes as f64 / 1e6))
            .ok_or(BenchError::NoProcess { what: "compiles the crate of 300 derives" })
    }

    /// The life of the wrapper process that cargo starts for a proc-macro unit, from a clean build of the sample one
    /// unit at a time; the median of its proc macros.
    fn shim_compile(&self) -> Result<Sample, BenchError> {
        remove(&self.target(Side::Sealed, &self.sample))?;
        // None is there that was linked before.
        remove(&Store::open_default()?.dir(Area::Shims))?;
        let seen = self.watched(&self.sample, &["check", "--jobs", "1"])?;
        let lives: Vec<f64> = seen
            .iter()
            .filter(|seen| seen.option("--crate-type") == Some("proc-macro"))
            .map(|seen| seen.life.as_secs_f64() * 1e3)
            .collect();
        if lives.is_empty() {
            return Err(BenchError::NoProcess { what: "compiles a shim" });
        }
        Ok(Sample::single(super::median(&lives)))
    }

    fn watched(&self, project: &Utf8Path, call: &[&str]) -> Result<Vec<Seen>, BenchError> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let watcher = threads.spawn(|| processes::watch(&self.belljar, &stop));
            let output = self.run(Side::Sealed, project, call, |_| {});
            stop.store(true, Ordering::Release);
            let seen = watcher.join().unwrap_or_default();
            output.map(|_| seen)
        })
    }

    fn timed(
        &self,
        side: Side,
        project: &Utf8Path,
        call: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Result<Duration, BenchError> {
        let start = Instant::now();
        self.run(side, project, call, change)?;
        Ok(start.elapsed())
    }

    /// Runs cargo on a project, plainly or through belljar.
    fn run(
        &self,
        side: Side,
        project: &Utf8Path,
        call: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Result<Output, BenchError> {
        let (program, prefix): (OsString, _) = match side {
            Side::Native | Side::RustcsCache | Side::Optimised => (project::cargo(), None),
            Side::Sealed => (self.belljar.clone().into(), Some("belljar")),
        };
        let mut command = project::command(&program);
        command
            .current_dir(project)
            .args(prefix)
            .args(call)
            .env("CARGO_TARGET_DIR", self.target(side, project));
        if side == Side::Optimised {
            command.env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_OPT_LEVEL", "3");
        }
        // Nothing to load over the network while time is taken; only `fetch` may.
        if call != ["fetch"] {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        change(&mut command);
        let name = || program.to_string_lossy().into_owned();
        let output = command.output().map_err(|source| ProjectError::Start { program: name(), source })?;
        if output.status.success() {
            return Ok(output);
        }
        let command = format!("{} {} {}", name(), prefix.unwrap_or_default(), call.join(" "));
        Err(BenchError::Failed { command, stderr: lossy(&output.stderr) })
    }

    fn target(&self, side: Side, project: &Utf8Path) -> Utf8PathBuf {
        self.scratch.join("targets").join(side.name()).join(project.file_name().unwrap_or_default())
    }

    fn write(&self, package: &str, source: &str) -> Result<(), BenchError> {
        let path = self.generated.join(package).join("src/lib.rs");
        fs::write(&path, source).map_err(|source| BenchError::File { path, source })
    }
}

/// Seconds of the phase in which rustc expands macros, from the lines of `-Ztime-passes`, such as
/// `time:   0.020; rss:   60MB ->   75MB (  +15MB) macro_expand_crate`.
fn expansion_seconds(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.trim_end().ends_with("macro_expand_crate"))?;
    line.trim_start().strip_prefix("time:")?.split(';').next()?.trim().parse().ok()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_expansion() {
        let text = "time:   0.001; rss:   40MB ->   41MB (   +1MB)\tparse_crate\n\
                    time:   0.137; rss:   60MB ->   75MB (  +15MB)\tmacro_expand_crate\n";
        assert_eq!(expansion_seconds(text), Some(0.137));
        assert_eq!(expansion_seconds("no times"), None);
    }
}
