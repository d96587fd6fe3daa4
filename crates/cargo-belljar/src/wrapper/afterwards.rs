//! What is done when the compiler has ended: what macros wanted is logged, what they saw is told to cargo, and what they were
//! refused is told to the user, beside the compiler's own messages.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use belljar_expander::{Observation, Recorded, Recorder, Tape};
use belljar_guest::nested::GuestLog;
use belljar_plan::RustcArgs;
use belljar_policy::{Calling, Outcome, Places};
use belljar_store::{Expansions, Store};
use camino::{Utf8Path, Utf8PathBuf};

use super::tracked::{Inputs, never};
use crate::log::{self, Entry, Header};
use crate::own_dir::advice;
use crate::probe::{Probing, report as probe_report, rerun};
use crate::seen::Seen;
use crate::{cache, policy, refused, report, written};

/// Names one run of cargo, for the log.
pub(crate) const BUILD: &str = "BELLJAR_BUILD";

/// The program in the log of processes that load shims and have inherited no expander.
pub(crate) const SERVED: &str = "served";

/// The program in the log of what is compiled for a guest. No grant of the project's holds there.
pub(crate) const GUEST: &str = "guest";

/// A compilation with its surroundings.
#[derive(Debug)]
pub(crate) struct Compilation {
    pub(crate) calling: Calling,
    pub(crate) crate_name: String,
    /// The compiler's name.
    pub(crate) program: String,
    /// Names the unit's log.
    pub(crate) unit: String,
    /// Names the run of cargo that it is part of, if one is known.
    pub(crate) build: Option<String>,
    /// Whether other processes of the same build write to the same log.
    pub(crate) shares_log: bool,
    /// Where its source begins, if this is a unit of cargo's.
    pub(crate) root: Option<Root>,
    /// belljar's part of the target directory, if there is one.
    pub(crate) belljar_dir: Option<Utf8PathBuf>,
    pub(crate) stamped: Stamped,
    /// Where its policy is.
    pub(crate) places: Places,
    /// What the compiler writes its dep-info to.
    pub(crate) dep_info: Option<Utf8PathBuf>,
    /// Whether what is refused is worth a word though all went well.
    pub(crate) shows_notes: bool,
    /// Whether messages are to be JSON, as cargo has rustc write them.
    pub(crate) json: bool,
}

/// Where a crate's source begins, and as what it is compiled.
#[derive(Debug)]
pub(crate) struct Root {
    /// The first source file.
    pub(crate) file: Utf8PathBuf,
    /// Whether it is compiled as a test harness.
    pub(crate) test: bool,
    pub(crate) edition: Option<String>,
}

/// Whether what cargo can't watch is looked after.
#[derive(Debug)]
pub(crate) enum Stamped {
    /// The command does so, before each build. These are the names of the variables that it had.
    ByCommand { variables: Vec<String> },
    /// Plain cargo is sealed too, and no command may come by.
    ByNobody { policy_files: Vec<Utf8PathBuf> },
}

/// What came of a compilation, as far as it is asked later whether it would come to the same.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What was printed for cargo, behind the compiler's own messages.
    pub(super) printed: String,
    /// The macro packages that were used, by name and version, each with the digest of its rules.
    pub(super) packages: BTreeMap<(String, String), [u8; 32]>,
    /// What macros saw that is not in the dep-info where no command looks after stamps.
    pub(super) seen: Vec<Seen>,
    /// Macros saw which variables are set that these patterns are about, and may have seen their values.
    pub(super) patterns: Vec<String>,
    /// Something came of it that can't be told again: a macro read the policy itself, or was found to differ.
    pub(super) is_odd: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AfterwardsError {
    #[error(
        "what the macros of this crate wanted can't be written down in {path}: {source}{}", advice(.source, "check the target directory's disk and rights")
    )]
    Write { path: Utf8PathBuf, source: io::Error },
    #[error(
        "what the macros of this crate wrote can't be written down in {path}, so `cargo belljar expand` won't show it: {source}{}", advice(.source, "check the target directory's disk and rights")
    )]
    Record { path: Utf8PathBuf, source: io::Error },
    #[error(
        "what the macros of this crate read can't be added to {path}: {source}\nnext: check the target directory's disk and rights"
    )]
    DepInfo { path: Utf8PathBuf, source: io::Error },
    #[error(
        "what is known of this crate's last compilation can't be brought up to date in {path}: {source}{}", advice(.source, "check the target directory's disk and rights")
    )]
    Known { path: Utf8PathBuf, source: io::Error },
}

impl Compilation {
    /// One whose compiler is not belljar's child: rustdoc, an editor's server. There is nobody to tell anything, and all such
    /// processes that work on a crate add to one log.
    pub(crate) fn served(
        calling: Calling,
        places: Places,
        crate_name: String,
        belljar_dir: Option<Utf8PathBuf>,
    ) -> Self {
        let build = std::env::var(BUILD).ok();
        Self {
            shows_notes: false,
            json: false,
            ..Self::sharing((calling, places), crate_name, belljar_dir, build, SERVED)
        }
    }

    /// A part of a guest. It may be compiled for several guests, which add to one log: that of the project for which they are
    /// built. No policy of the project's holds for it.
    pub(crate) fn of_guest(calling: Calling, crate_name: String, log: Option<GuestLog>) -> Self {
        let (belljar_dir, build) = log.map(|log| (log.belljar_dir, log.build)).unzip();
        Self::sharing((calling, Places::default()), crate_name, belljar_dir, build.flatten(), GUEST)
    }

    fn sharing(
        (calling, places): (Calling, Places),
        crate_name: String,
        belljar_dir: Option<Utf8PathBuf>,
        build: Option<String>,
        program: &str,
    ) -> Self {
        let of = format!("{}\0{}\0{crate_name}", calling.package, calling.version);
        let digest = blake3::hash(of.as_bytes()).to_hex();
        Self {
            unit: format!("{}-{program}-{}", file_name(&crate_name), &digest[..16]),
            shares_log: true,
            root: None,
            build,
            calling,
            crate_name,
            program: program.to_owned(),
            belljar_dir,
            stamped: Stamped::ByNobody { policy_files: Vec::new() },
            places,
            dep_info: None,
            shows_notes: true,
            json: true,
        }
    }

    /// A name for a unit's log: that of its artifacts, which is its own in a target directory.
    pub(crate) fn unit_of(unit: &RustcArgs) -> String {
        let suffix = unit.extra_filename.strip_prefix('-').unwrap_or(&unit.extra_filename);
        format!("{}-{}", file_name(unit.crate_name.as_deref().unwrap_or_default()), file_name(suffix))
    }

    /// The file that a compiler writes for cargo, as far as its arguments say.
    pub(crate) fn dep_info_of(unit: &RustcArgs, cwd: &Utf8Path) -> Option<Utf8PathBuf> {
        let wanted = unit.emit.iter().find_map(|emit| match emit.split_once('=') {
            Some(("dep-info", path)) => Some(Some(path.into())),
            None if emit == "dep-info" => Some(unit.output("", ".d")),
            _ => None,
        });
        wanted.flatten().map(|path: Utf8PathBuf| cwd.join(path))
    }

    /// belljar's part of the target directory into which a unit goes, where no session says it. cargo's layout
    /// (`cargo::core::compiler::layout`) is `<target>[/<triple>]/<profile>/{deps, examples, build/<unit>}`.
    pub(crate) fn belljar_dir_of(unit: &RustcArgs, cwd: &Utf8Path) -> Option<Utf8PathBuf> {
        let out_dir = cwd.join(unit.out_dir.as_ref()?);
        let is = |dir: &&Utf8Path| matches!(dir.file_name(), Some("deps" | "examples" | "build"));
        let above = out_dir.ancestors().take(2).find(is)?.parent()?.parent()?;
        let triple = unit.target.as_deref().and_then(|target| Utf8Path::new(target).file_stem());
        let target_dir =
            if triple.is_some() && above.file_name() == triple { above.parent()? } else { above };
        Some(target_dir.join("belljar"))
    }

    /// Writes down what was recorded of this compilation, which `succeeded` or not.
    pub(crate) fn finish(
        &self,
        recorder: &Arc<Recorder>,
        expansions: Option<&Expansions>,
        succeeded: bool,
    ) -> Result<Finished, AfterwardsError> {
        let recorded = recorder.recorded();
        let mut finished = Finished::default();
        if let Some(dir) = &self.belljar_dir {
            let path = dir.join("log");
            self.log(&path, &recorded, succeeded)
                .map_err(|source| AfterwardsError::Write { path, source })?;
            // It is only to be looked at: nobody's build fails for it.
            if let Err(source) = self.write_down(dir, &recorded, expansions, succeeded) {
                let path = dir.join("written");
                report::warning(AfterwardsError::Record { path, source });
            }
        }
        self.keep_differences(&recorded)?;
        if succeeded && !recorded.packages.is_empty() {
            finished.is_odd = !recorded.differences.is_empty() | self.track(&recorded)?;
            finished.packages.clone_from(&recorded.packages);
            let untold = |seen: &&Observation| {
                matches!(seen, Observation::Directory { .. } | Observation::Link { .. })
            };
            let untold = recorded.observations.iter().filter(untold);
            finished.seen = untold.filter_map(|seen| Seen::of(seen, &[])).collect();
            let pattern = |seen: &Observation| match seen {
                Observation::Names { pattern } => Some(pattern.clone()),
                _ => None,
            };
            finished.patterns = recorded.observations.iter().filter_map(pattern).collect();
        }
        let attempts = recorded.attempts.iter().filter(|a| a.outcome == Outcome::Refused);
        // A guest's build has not the user's environment.
        let is_told = |entry: &Entry| self.program == GUEST || refused::makes_a_difference(entry);
        let refused: Vec<Entry> = attempts.map(Entry::from).filter(is_told).collect();
        if !refused.is_empty() && (self.shows_notes || !succeeded) {
            let text = match self.program == GUEST {
                true => refused::note_of_guest(&refused, &self.calling),
                false => refused::note(&refused, &self.calling, !succeeded),
            };
            match self.json {
                true => finished.printed = refused::print_json(&text),
                false => report::note(&text),
            }
        }
        Ok(finished)
    }

    /// Runs what is on the tape again, and writes down what differed.
    pub(crate) fn probe(&self, probing: &Probing, tape: &Tape) -> Result<(), AfterwardsError> {
        let store = Store::open_default().map_err(|e| e.to_string());
        let reports = rerun::reports(probing, tape, (&self.calling, &self.places), &self.crate_name, &store);
        probe_report::write(&probing.reports, &self.unit, &reports)
            .map_err(|source| AfterwardsError::Write { path: probing.reports.clone(), source })
    }

    /// Keeps what a call wrote that was run again, beside what was remembered of it. The compiler has been told that they differ.
    fn keep_differences(&self, recorded: &Recorded) -> Result<(), AfterwardsError> {
        let Some(belljar_dir) = &self.belljar_dir else { return Ok(()) };
        let path = belljar_dir.join("differences");
        for (n, difference) in recorded.differences.iter().enumerate() {
            let kept = cache::keep(&path, &format!("{}-{n}", self.unit), difference);
            let files = kept.map_err(|source| AfterwardsError::Write { path: path.clone(), source })?;
            report::note(format_args!("what {} wrote: {}", difference.macro_name, files.join(" and ")));
        }
        Ok(())
    }

    fn log(&self, dir: &Utf8Path, recorded: &Recorded, succeeded: bool) -> io::Result<()> {
        let of = [self.crate_name.clone(), self.program.clone()];
        let mut header = Header::new(self.build.clone(), &self.calling, of, recorded);
        header.failed = !succeeded;
        match self.shares_log {
            true => log::add(dir, &self.unit, header, recorded),
            false => log::write(dir, &self.unit, header, recorded),
        }
    }

    /// Writes down what macros wrote, in a unit of cargo's.
    fn write_down(
        &self,
        belljar_dir: &Utf8Path,
        recorded: &Recorded,
        expansions: Option<&Expansions>,
        succeeded: bool,
    ) -> io::Result<()> {
        let (Some(Root { file: root, test, edition }), Some(cwd)) = (&self.root, &self.calling.cwd) else {
            return Ok(());
        };
        let of = written::Of {
            build: self.build.clone(),
            package: self.calling.package.clone(),
            version: self.calling.version.clone(),
            crate_name: self.crate_name.clone(),
            program: self.program.clone(),
            test: *test,
            edition: edition.clone(),
            root: root.clone(),
            cwd: cwd.into(),
            failed: !succeeded,
        };
        written::write(belljar_dir, &self.unit, of, recorded, expansions)
    }

    /// Tells cargo what macros saw. Says whether they saw files of the policy.
    fn track(&self, recorded: &Recorded) -> Result<bool, AfterwardsError> {
        let Some(dep_info) = &self.dep_info else { return Ok(false) };
        let belljar_dir = self.belljar_dir.as_deref();
        let root = belljar_dir.unwrap_or(Utf8Path::new("/belljar"));
        let failed = |source| AfterwardsError::Write { path: root.to_owned(), source };
        let variables = match &self.stamped {
            Stamped::ByCommand { variables } => Some(variables.as_slice()),
            Stamped::ByNobody { .. } => None,
        };
        let inputs_of = |seen: &mut dyn Iterator<Item = &Observation>| {
            Inputs::of(seen, belljar_dir, variables).map_err(failed)
        };
        let mut inputs = inputs_of(&mut recorded.observations.iter())?;
        if let Some(dir) = belljar_dir {
            let (dir, is_plain) = (policy::stamps(dir), variables.is_none());
            for ((package, version), rules) in &recorded.packages {
                let stamp = policy::stamp(&dir, &self.calling, (package, version), *rules, is_plain);
                inputs.files.insert(stamp.map_err(failed)?);
            }
        }
        let mut seen_by_macros = false;
        // Also of a crate whose macros asked for nothing: a policy says what time and randomness are, and what macros remember.
        if let Stamped::ByNobody { policy_files } = &self.stamped {
            let of_policy = |path: &Utf8PathBuf| match path.is_file() {
                true => Observation::File { path: path.to_string(), size: 0, digest: None },
                false => Observation::Absent { path: path.to_string() },
            };
            let seen: Vec<_> = policy_files.iter().map(of_policy).collect();
            let mut of_policy = inputs_of(&mut seen.iter())?.files;
            seen_by_macros = of_policy.iter().any(|file| inputs.files.contains(file));
            inputs.files.append(&mut of_policy);
            let decisive =
                policy::VARIABLES.iter().map(|name| ((*name).to_owned(), std::env::var(name).ok()));
            inputs.variables.extend(decisive);
        }
        inputs
            .add_to(dep_info, &never(belljar_dir))
            .map_err(|source| AfterwardsError::DepInfo { path: dep_info.clone(), source })?;
        Ok(seen_by_macros)
    }
}

/// A crate's name as a part of a file's name: what cargo calls a crate is an identifier, others may call it anything.
fn file_name(crate_name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    crate_name.chars().filter(plain).take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use belljar_plan::RustcCall;

    use super::*;

    #[test]
    fn the_target_directory_is_found_from_where_a_unit_goes() {
        for (args, expected) in [
            ("--out-dir /p/target/debug/deps", Some("/p/target/belljar")),
            ("--out-dir target/release/examples", Some("/ws/target/belljar")),
            ("--out-dir /p/target/debug/build/a-0123", Some("/p/target/belljar")),
            ("--out-dir /t/wasm32-wasip1/debug/deps --target wasm32-wasip1", Some("/t/belljar")),
            ("--out-dir /t/mine/debug/deps --target /x/mine.json", Some("/t/belljar")),
            ("--out-dir /t/debug/deps --target wasm32-wasip1", Some("/t/belljar")),
            ("--out-dir /elsewhere", None),
            ("", None),
        ] {
            let args: Vec<OsString> = format!("a.rs {args}").split_whitespace().map(OsString::from).collect();
            let Ok(RustcCall::Unit(unit)) = RustcArgs::read(&args) else { panic!("a unit") };
            let dir = Compilation::belljar_dir_of(&unit, Utf8Path::new("/ws"));
            assert_eq!(dir.as_deref(), expected.map(Utf8Path::new), "{args:?}");
        }
    }
}
