//! What macros saw, told to cargo: it is added to the unit's dep-info, so that cargo compiles the crate again when it
//! changes.
//!
//! rustc writes a make rule and one comment for each variable (`rustc_interface::passes::write_out_deps`); cargo reads the
//! prerequisites of the first rule and those comments (`cargo::core::compiler::fingerprint::dep_info`), and holds the
//! files' times against that of the last build.
//!
//! | seen | cargo watches |
//! |---|---|
//! | a variable, set or not | the variable |
//! | a file | the file, and a [stamp](crate::seen) for when its time doesn't tell |
//! | that nothing is there | a directory of belljar's with a link in it that leads there, and a stamp |
//! | the names in a directory, that something is one, where a link leads, which variables are set | a stamp |
//! | rules of a macro package | a stamp (see [`crate::policy`]) |
//!
//! cargo takes a missing file for one that has changed. But of a directory it wants the newest time of all that can be reached
//! in it, and passes over links that lead nowhere: as soon as one leads somewhere, the time of what is there counts.
//! (`cargo_util::paths::mtime_recursive`)
//!
//! Where no command looks after stamps (under plain cargo), it watches a directory whose names were seen: any change below it
//! has the crate compiled again. What depends on which variables are set it calls every time. Of the others cargo knows
//! nothing then; what a macro has read through them is watched anyway.

use std::collections::BTreeSet;
use std::io::{self, Write};

use belljar_expander::Observation;
use belljar_policy::WORKSPACE_MANIFEST;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Timespec, Timestamps, futimens, readlinkat, symlinkat, unlinkat, utimensat};
use rustix::io::Errno;

use crate::own_dir::OwnDir;
use crate::seen::{self, Seen};
use crate::stamps::{self, Stamp};

/// A variable's name, and its value if it is set.
pub(super) type Variable = (String, Option<String>);

/// What a unit depends on beside its sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Absolute paths.
    pub(crate) files: BTreeSet<Utf8PathBuf>,
    pub(super) variables: BTreeSet<Variable>,
}

impl Inputs {
    /// `belljar_dir` is belljar's part of the target directory, if there is one. `variables` are the names of the variables that
    /// the command had which looks after stamps, if one does.
    pub(crate) fn of<'a>(
        observations: impl IntoIterator<Item = &'a Observation>,
        belljar_dir: Option<&Utf8Path>,
        variables: Option<&[String]>,
    ) -> io::Result<Self> {
        let mut inputs = Self::default();
        for observation in observations {
            match observation {
                // belljar says it, and cargo has never heard of it. It says where the workspace is: cargo itself knows a project
                // that has moved for another one.
                Observation::Variable { name, .. } if name == WORKSPACE_MANIFEST => {}
                Observation::WorkingDirectory { .. } => {}
                Observation::Variable { name, value } => {
                    inputs.variables.insert((name.clone(), value.clone()));
                }
                Observation::File { path, .. }
                | Observation::Special { path }
                | Observation::Failed { path } => {
                    inputs.files.insert(path.into());
                }
                Observation::Absent { path } => {
                    let watched = belljar_dir.map(|dir| watch(dir, path)).transpose()?.flatten();
                    // A missing file has the crate compiled every time: better too often than too seldom.
                    inputs.files.insert(watched.unwrap_or_else(|| path.into()));
                }
                Observation::Listing { path, .. } if variables.is_none() => {
                    inputs.files.insert(path.into());
                }
                Observation::Names { .. } if variables.is_none() => {
                    inputs.files.insert(names(belljar_dir));
                }
                Observation::Listing { .. }
                | Observation::Directory { .. }
                | Observation::Link { .. }
                | Observation::Names { .. } => {}
            }
            if let (Some(dir), Some(variables)) = (belljar_dir, variables)
                && let Some(seen) = Seen::of(observation, variables)
            {
                inputs.files.insert(seen.put(&seen::dir(dir))?);
            }
        }
        Ok(inputs)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.variables.is_empty()
    }

    /// Adds them to the dep-info at `path`. `never` is a path at which nothing ever is: it stands for what can't be written
    /// in a dep-info, so that cargo compiles the crate every time.
    pub(crate) fn add_to(&self, path: &Utf8Path, never: &Utf8Path) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let text = added(&std::fs::read_to_string(path)?, self, never);
        // Written beside and moved: cargo or somebody else may be reading it, and a build can be ended at any moment.
        let dir = path.parent().unwrap_or(Utf8Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(path.metadata()?.permissions())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

/// A path at which nothing ever is: what depends on it is compiled every time.
pub(crate) fn never(belljar_dir: Option<&Utf8Path>) -> Utf8PathBuf {
    belljar_dir.unwrap_or(Utf8Path::new("/belljar")).join("untracked")
}

/// The same, of what depends on nothing that can't be told but on which variables are set.
pub(super) fn names(belljar_dir: Option<&Utf8Path>) -> Utf8PathBuf {
    belljar_dir.unwrap_or(Utf8Path::new("/belljar")).join("untracked-names")
}

/// Below belljar's part of the target directory: what stands for what isn't there.
pub(super) const ABSENT: &str = "absent";

const LINK: &str = "link";

/// The directory that cargo watches for a file that isn't there.
pub(super) fn watched(belljar_dir: &Utf8Path, absent: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join(ABSENT).join(stamps::digest(&[absent.as_str()]))
}

/// Whether that directory is there and does its work.
pub(super) fn is_watched(watched: &Utf8Path, absent: &Utf8Path) -> bool {
    watched.join(LINK).read_link_utf8().is_ok_and(|to| to == absent)
}

/// What a dep-info says, as cargo reads it: the prerequisites of its first rule, and its variables. `None` where cargo could not
/// read it.
pub(super) fn read(dep_info: &str) -> Option<(Vec<Utf8PathBuf>, Vec<Variable>)> {
    let (mut files, mut variables) = (None, Vec::new());
    for line in dep_info.lines() {
        if let Some(variable) = line.strip_prefix("# env-dep:") {
            let (name, value) = match variable.split_once('=') {
                Some((name, value)) => (name, Some(unescaped_variable(value)?)),
                None => (variable, None),
            };
            variables.push((unescaped_variable(name)?, value));
        } else if let Some((_, rest)) = line.split_once(": ")
            && files.is_none()
        {
            let (mut words, mut read) = (rest.split_whitespace(), Vec::new());
            while let Some(word) = words.next() {
                let mut file = word.to_owned();
                while file.ends_with('\\') {
                    file.pop();
                    file.push(' ');
                    file.push_str(words.next()?);
                }
                read.push(file.into());
            }
            files = Some(read);
        }
    }
    Some((files?, variables))
}

fn unescaped_variable(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

/// A directory in which a link leads to where nothing is. `None` where no link can lead: no path that the system takes is that
/// long.
fn watch(belljar_dir: &Utf8Path, absent: &str) -> io::Result<Option<Utf8PathBuf>> {
    let (all, name) = (belljar_dir.join(ABSENT), stamps::digest(&[absent]));
    let dir = OwnDir::make(&all)?.directory(&name)?;
    let path = all.join(name);
    if readlinkat(&dir, LINK, Vec::new()).is_ok_and(|there| there.as_bytes() == absent.as_bytes()) {
        return Ok(Some(path));
    }
    match unlinkat(&dir, LINK, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    match symlinkat(absent, &dir, LINK) {
        // Or another unit of the same build was quicker.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(Errno::NAMETOOLONG) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let long_ago = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: long_ago, last_modification: long_ago };
    utimensat(&dir, LINK, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    futimens(&dir, &times)?;
    Ok(Some(path))
}

fn added(dep_info: &str, inputs: &Inputs, never: &Utf8Path) -> String {
    let mut files: Vec<String> = inputs.files.iter().map(|file| escaped(file).unwrap_or_default()).collect();
    if files.iter().any(String::is_empty) {
        files.retain(|file| !file.is_empty());
        files.push(escaped(never).unwrap_or_else(|| "/belljar/untracked".to_owned()));
    }
    let mut out = String::with_capacity(dep_info.len() + 1024);
    for line in dep_info.lines() {
        out.push_str(line);
        // A rule with prerequisites: `target: a b`. Others are `file:`, so that make minds no file that is gone.
        if !line.starts_with('#') && line.contains(": ") {
            for file in &files {
                out.push(' ');
                out.push_str(file);
            }
        }
        out.push('\n');
    }
    for file in &files {
        out.push_str(&format!("\n{file}:\n"));
    }
    for (name, value) in &inputs.variables {
        out.push_str("\n# env-dep:");
        escape_variable(name, &mut out);
        if let Some(value) = value {
            out.push('=');
            escape_variable(value, &mut out);
        }
        out.push('\n');
    }
    out
}

/// A path in a make rule, as rustc writes it and cargo reads it. `None` if that can't be.
fn escaped(path: &Utf8Path) -> Option<String> {
    let text = path.as_str();
    let readable = text
        .split(' ')
        .all(|word| !word.is_empty() && !word.ends_with('\\') && !word.chars().any(char::is_whitespace));
    // `: ` ends the target; cargo looks for the first one in the line.
    (readable && !text.contains(": ")).then(|| text.replace(' ', "\\ "))
}

fn escape_variable(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSTC: &str = "/t/deps/a-1.d: src/main.rs src/b\\ c.rs\n\n/t/deps/a-1: src/main.rs src/b\\ c.rs\n\nsrc/main.rs:\n\
                         src/b\\ c.rs:\n\n# env-dep:A=1\n";

    #[test]
    fn what_was_seen_stands_in_every_rule() {
        let mut inputs = Inputs::default();
        inputs.files.extend(["/ws/templates".into(), "/ws/templates/a b.html".into()]);
        inputs.variables.insert(("LINES".to_owned(), Some("one\ntwo\\".to_owned())));
        inputs.variables.insert(("UNSET".to_owned(), None));
        insta::assert_snapshot!(added(RUSTC, &inputs, "/t/never".into()), @r"
        /t/deps/a-1.d: src/main.rs src/b\ c.rs /ws/templates /ws/templates/a\ b.html

        /t/deps/a-1: src/main.rs src/b\ c.rs /ws/templates /ws/templates/a\ b.html

        src/main.rs:
        src/b\ c.rs:

        # env-dep:A=1

        /ws/templates:

        /ws/templates/a\ b.html:

        # env-dep:LINES=one\ntwo\\

        # env-dep:UNSET
        ");
    }

    #[test]
    fn what_is_added_is_read_again() {
        let mut inputs = Inputs::default();
        inputs.files.extend(["/ws/a b".into(), "/ws/c".into()]);
        let variables = [("LINES".to_owned(), Some("one\n=two\\".to_owned())), ("UNSET".to_owned(), None)];
        inputs.variables.extend(variables.clone());
        let (files, read) = read(&added(RUSTC, &inputs, "/t/never".into())).unwrap();
        assert_eq!(files, ["src/main.rs", "src/b c.rs", "/ws/a b", "/ws/c"]);
        assert_eq!(read, [&[("A".to_owned(), Some("1".to_owned()))], &variables[..]].concat());
        for odd in ["", "a:\n", "a: b\\", "a: b\n# env-dep:A=\\t"] {
            assert_eq!(super::read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_path_that_cargo_could_not_read_makes_the_crate_stale_for_ever() {
        for path in ["/a\nb", "/a\tb", "/a  b", "/a\\ b", "/end ", "/a\u{a0}b", "/a: b"] {
            let mut inputs = Inputs::default();
            inputs.files.insert(path.into());
            let text = added("/t/a.d: src/main.rs\n", &inputs, "/t/never".into());
            assert_eq!(text, "/t/a.d: src/main.rs /t/never\n\n/t/never:\n", "{path:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_watched_for_where_it_would_appear() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let absent = dir.join("no/such/file");
        let observation = Observation::Absent { path: absent.to_string() };
        let of = |belljar_dir| Inputs::of([&observation], belljar_dir, None).unwrap().files;
        let files: Vec<_> = of(Some(dir)).into_iter().collect();
        let [watched] = &files[..] else { panic!("{files:?}") };
        assert_eq!(watched.join("link").read_link_utf8().unwrap(), absent);
        let modified = |path: &Utf8Path| path.symlink_metadata().unwrap().modified().unwrap();
        assert_eq!(
            (modified(watched), modified(&watched.join("link"))),
            (stamps::long_ago(), stamps::long_ago())
        );
        std::fs::remove_file(watched.join("link")).unwrap();
        std::fs::write(watched.join("link"), "not a link").unwrap();
        assert_eq!(of(Some(dir)).into_iter().collect::<Vec<_>>(), files);
        assert_eq!(watched.join("link").read_link_utf8().unwrap(), absent, "made anew");
        assert_eq!(
            of(None).into_iter().collect::<Vec<_>>(),
            [absent],
            "cargo takes it for changed every time"
        );
    }

    #[test]
    fn a_path_to_which_no_link_can_lead_is_taken_for_changed_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let path = "/long".repeat(900);
        let observation = Observation::Absent { path: path.clone() };
        let files = Inputs::of([&observation], Some(dir), None).unwrap().files;
        assert_eq!(files.into_iter().collect::<Vec<_>>(), [path]);
    }
}
