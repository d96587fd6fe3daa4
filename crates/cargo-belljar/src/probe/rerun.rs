//! The calls of a compilation that has ended, run again under other circumstances.

use std::collections::BTreeSet;

use belljar_expander::{Config, Differs, Moved, Reply, Tape, TapedCall, replay};
use belljar_policy::{Calling, Places, Policy};
use belljar_store::Store;

use super::report::{Changed, EXAMPLES, Example, UnitReport};
use super::{Circumstance, Probing};

/// Where nothing is: another working directory.
const NOWHERE: &str = "/belljar-probe";

/// 2014-06-14T04:26:40Z, unlike any `SOURCE_DATE_EPOCH` of today.
const ANOTHER_TIME: u64 = 1_402_720_000;

/// An hour, in nanoseconds.
const ANOTHER_STEP: u64 = 3_600_000_000_000;

/// Runs what is on the tape again, each call once for each circumstance. A call is compared with what it gave when rustc
/// made it.
pub(crate) fn reports(
    probing: &Probing,
    tape: &Tape,
    (calling, places): (&Calling, &Places),
    crate_name: &str,
    store: &Result<Store, String>,
) -> Vec<UnitReport> {
    let taped = tape.taped();
    let versions: BTreeSet<&str> = taped.calls.iter().map(|call| call.macro_name.version.as_str()).collect();
    let of_version = |version: &&str| {
        let all = taped.calls.iter().filter(|call| call.macro_name.version == *version);
        let calls: Vec<TapedCall> = all.cloned().collect();
        let done = calls.iter().filter(|call| matches!(call.reply, Reply::Done(_))).count();
        let rerun = Rerun { calls: &calls, calling, places, store };
        let unsteady = Some(rerun.changed(None)).filter(|c| c.differ > 0 || c.not_done.is_some());
        let changed = match &unsteady {
            Some(_) => Vec::new(),
            None => probing.circumstances.iter().map(|c| rerun.changed(Some(*c))).collect(),
        };
        UnitReport {
            calling_package: calling.package.clone(),
            calling_version: calling.version.clone(),
            crate_name: crate_name.to_owned(),
            package: probing.package.clone(),
            version: (*version).to_owned(),
            calls: done,
            failed: calls.len() - done,
            not_kept: taped.not_kept,
            unsteady,
            changed,
        }
    };
    versions.iter().map(of_version).collect()
}

struct Rerun<'a> {
    calls: &'a [TapedCall],
    calling: &'a Calling,
    places: &'a Places,
    store: &'a Result<Store, String>,
}

impl Rerun<'_> {
    fn changed(&self, circumstance: Option<Circumstance>) -> Changed {
        let mut changed = Changed { circumstance, differ: 0, examples: Vec::new(), not_done: None };
        match self.differing(circumstance) {
            Ok(differing) => {
                changed.differ = differing.len();
                let examples = differing.into_iter().take(EXAMPLES);
                changed.examples = examples
                    .map(|(call, how)| Example::new(call.macro_name.written(), call.site.clone(), how))
                    .collect();
            }
            Err(why) => changed.not_done = Some(why),
        }
        changed
    }

    /// The calls that give something else, in the order in which they were made.
    fn differing(&self, circumstance: Option<Circumstance>) -> Result<Vec<(&TapedCall, Differs)>, String> {
        let config = self.config(circumstance)?;
        let forth = 0..self.calls.len();
        let again = match circumstance {
            Some(Circumstance::Order) => replay(config, self.calls, forth.rev()),
            _ => replay(config, self.calls, forth),
        };
        let again = again.map_err(|e| e.to_string())?;
        let mut differing: Vec<(usize, Differs)> = again
            .iter()
            .filter_map(|again| Some((again.call, self.calls.get(again.call)?.differs(again)?)))
            .collect();
        differing.sort_by_key(|(call, _)| *call);
        Ok(differing.into_iter().filter_map(|(call, how)| Some((self.calls.get(call)?, how))).collect())
    }

    /// What an expander needs to be told for this circumstance to be another one.
    fn config(&self, circumstance: Option<Circumstance>) -> Result<Config, String> {
        let store = self.store.clone()?;
        let mut calling = self.calling.clone();
        let mut moved = None;
        match circumstance {
            Some(Circumstance::Directory) => calling.cwd = Some(NOWHERE.to_owned()),
            Some(Circumstance::Path) => {
                let to = elsewhere(&calling).ok_or("the package is in no directory that could be another")?;
                calling = at(&calling, &to);
                moved = Some(to);
            }
            _ => {}
        }
        let policy = Policy::load(calling, self.places).map_err(|e| e.to_string())?;
        let mut config = Config { moved, ..Config::of_environment(store, policy) };
        match circumstance {
            Some(Circumstance::Seed) => config.seed = b"cargo belljar probe".to_vec(),
            Some(Circumstance::Clock) => {
                config.source_date_epoch = Some(ANOTHER_TIME);
                config.clock_step = ANOTHER_STEP;
            }
            _ => {}
        }
        Ok(config)
    }
}

/// Another place for the workspace that the package is in, or else for the package: beside it, so that what leads out of it
/// by `..` leads to the same.
fn elsewhere(calling: &Calling) -> Option<Moved> {
    let package = calling.manifest_dir.as_deref()?;
    let workspace = calling.workspace_root.as_deref().filter(|root| is_in(package, root).is_some());
    let from = workspace.unwrap_or(package).trim_end_matches('/');
    let (above, name) = from.rsplit_once('/')?;
    (!name.is_empty()).then(|| Moved { from: from.to_owned(), to: format!("{above}/belljar-probe-{name}") })
}

/// What follows `dir` in this path, if that is in it.
fn is_in<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The same package, moved.
fn at(calling: &Calling, Moved { from, to }: &Moved) -> Calling {
    let change = |text: &mut String| {
        if let Some(rest) = is_in(text, from) {
            *text = format!("{to}{rest}");
        }
    };
    let mut calling = calling.clone();
    let Calling { manifest_dir, workspace_root, cwd, environment, .. } = &mut calling;
    [manifest_dir, workspace_root, cwd].into_iter().flatten().for_each(change);
    environment.values_mut().for_each(change);
    calling
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calling(package: &str, workspace: Option<&str>) -> Calling {
        Calling {
            manifest_dir: Some(package.to_owned()),
            workspace_root: workspace.map(str::to_owned),
            cwd: Some("/ws".to_owned()),
            environment: [
                ("CARGO_MANIFEST_DIR".to_owned(), package.to_owned()),
                ("OTHER".to_owned(), "/wsx".to_owned()),
            ]
            .into(),
            ..Calling::default()
        }
    }

    #[test]
    fn a_package_moves_with_its_workspace_or_alone() {
        let of = |package, workspace| elsewhere(&calling(package, workspace)).map(|m| (m.from, m.to));
        let moved = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(of("/ws/web", Some("/ws")), moved("/ws", "/belljar-probe-ws"));
        assert_eq!(of("/ws", Some("/ws/")), moved("/ws", "/belljar-probe-ws"));
        assert_eq!(
            of("/r/src/a-1.0.0", Some("/ws")),
            moved("/r/src/a-1.0.0", "/r/src/belljar-probe-a-1.0.0")
        );
        assert_eq!(of("/a/b", None), moved("/a/b", "/a/belljar-probe-b"));
        assert_eq!(of("/", None), None);
    }

    #[test]
    fn all_that_leads_to_it_moves_along() {
        let before = calling("/ws/web", Some("/ws"));
        let after = at(&before, &elsewhere(&before).unwrap());
        assert_eq!(after.manifest_dir.as_deref(), Some("/belljar-probe-ws/web"));
        assert_eq!(after.cwd.as_deref(), Some("/belljar-probe-ws"));
        assert_eq!(after.environment["CARGO_MANIFEST_DIR"], "/belljar-probe-ws/web");
        assert_eq!(after.environment["OTHER"], "/wsx");
    }
}
