//! A unit that cargo calls for nothing is left as it is.
//!
//! Under plain cargo, a crate that calls macros depends on the files of the policy: whatever is edited there, cargo calls it, and
//! all that depend on it. Most edits concern none of them. So it is written down of each compilation that went well on what it
//! depended and what it left. When the unit is called again and all of that is as it was, the policy's files excepted, and what
//! the policy says of the macros that were called is the same too, then the compiler's messages are printed again and nothing
//! else is done. Whatever is in doubt is compiled.
//!
//! Below `belljar/units` in the target directory there are, for each unit:
//!
//! | file | what it is |
//! |---|---|
//! | `<unit>.made` | a name for its last compilation, written before that begins |
//! | `<unit>.json` | what that depended on and left; not there when it can't be told |
//! | `<unit>.<n>.kept` | hard links to the program or the libraries: cargo removes the others before it calls |
//! | `swept` | its time: when it was last looked for links to what is nowhere else any more |
//!
//! | depends on | is as it was |
//! |---|---|
//! | belljar, compiler, arguments, directory, environment | by a digest of all of them, the *key* |
//! | files and directories of the dep-info | by device, inode, size and both times of each |
//! | variables of the dep-info | by what they are now |
//! | macros | by a digest of the rules for each package, as the policy is now |
//! | other crates | by the name of their last compilation, and by the artifact itself |
//! | what they depend on in turn | a crate below is compiled anew, so the one between is, so it has another name |
//! | native libraries | by all that is in the directories in which they are looked for, but for the system's own |
//! | what linkers are told to use | by device, inode, size and times of each path that an argument names, and of the linkers |
//! | the module of a macro crate | its record is part of the key of the shim |
//! | other arguments (`-Z`, `-C llvm-args`…) | not at all: such units are not written down |
//!
//! In a check, cargo sets an artifact's time when the compiler has ended (`cargo::core::compiler::rustc`), so there its content
//! counts. In a build cargo holds the times of artifacts against those of other crates and build scripts: where leaving a unit alone
//! would have cargo call it for ever, it is compiled; and so it is where cargo calls though the policy's files are those of the last
//! time.
//!
//! Who can write here can write artifacts, too, and those nobody checks: a record that is forged gives nobody more.

mod arguments;
mod known;
mod looking;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use belljar_plan::RustcArgs;
use belljar_policy::Policy;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::afterwards::{Compilation, Finished, Stamped};
use super::printed::Printed;
use super::tracked;
use crate::own_dir::OwnDir;
use crate::policy;
use crate::seen::{self, Seen};
use arguments::{Used, key, used};
pub(super) use known::{Begun, Known};
use known::{KEPT, MAX};
use looking::{Identity, Looked, Looking, Time, content, identity, regular};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// The compilation of which it is.
    name: String,
    key: String,
    dep_info: String,
    /// A digest of what the files of the dep-info are known by.
    inputs: String,
    /// Macro packages with their versions and the digests of their rules.
    packages: Vec<(String, String, String)>,
    seen: Vec<Seen>,
    /// Patterns by which macros looked for variables, and a digest of all that they are about.
    variables: (Vec<String>, String),
    /// A digest of what the policy's files were known by when cargo called the last time.
    policy: String,
    /// cargo calls it every time, or something on which it depends: which variables are set, it can't watch.
    is_restless: bool,
    externs: Vec<Extern>,
    outputs: Vec<Output>,
    stdout: String,
    stderr: String,
}

/// Another crate's artifact that the compiler was told to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Extern {
    path: Utf8PathBuf,
    /// Of the compilation by which it was left.
    name: String,
    identity: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    emit: String,
    path: Utf8PathBuf,
    identity: Identity,
    /// Where its time of modification is cargo's.
    content: Option<String>,
}

/// A call of a unit that can be left alone, as far as its arguments say.
#[derive(Debug)]
pub(super) struct Call<'a> {
    known: &'a Known,
    dir: OwnDir,
    compilation: &'a Compilation,
    policy_files: &'a [Utf8PathBuf],
    unit: &'a RustcArgs,
    cwd: &'a Utf8Path,
    out_dir: Utf8PathBuf,
    dep_info: &'a Utf8Path,
    /// Nothing is generated.
    checks: bool,
    externs: Vec<Extern>,
    used: Used,
    key: String,
}

impl<'a> Call<'a> {
    /// `None` for a call that has to be made whatever is known of the last one. What comes of it depends on `more` too.
    pub(super) fn of(
        known: &'a Known,
        (compilers, args): (&[OsString], &[OsString]),
        (unit, cwd): (&'a RustcArgs, &'a Utf8Path),
        compilation: &'a Compilation,
        more: &[&[u8]],
    ) -> Option<Self> {
        let Stamped::ByNobody { policy_files } = &compilation.stamped else { return None };
        let is_called =
            |program: &OsString, name: &str| Path::new(program).file_stem().is_some_and(|stem| stem == name);
        let is_known = match compilers {
            [rustc] => is_called(rustc, "rustc"),
            [clippy, rustc] => is_called(clippy, "clippy-driver") && is_called(rustc, "rustc"),
            _ => false,
        };
        // `cargo fix` changes sources meanwhile; the others are places for descriptions of targets and for clippy's settings.
        let is_odd = |name: &OsStr| {
            name.as_bytes().starts_with(b"__CARGO_FIX")
                || name == "RUST_TARGET_PATH"
                || name == "CLIPPY_CONF_DIR"
        };
        let is_odd = std::env::vars_os().any(|(name, _)| is_odd(&name));
        let (mut used, checks) = (used(args)?, !unit.emit.iter().any(|emit| emit == "link"));
        if !is_known || is_odd || !unit.json_artifacts || !compilation.json {
            return None;
        }
        let dir = OwnDir::make(&known.dir).ok()?;
        let externs = std::mem::take(&mut used.externs).into_iter();
        let externs = externs.map(|path| Extern::now(&dir, &known.dir, cwd, path)).collect::<Option<_>>()?;
        let key = key((compilers, args), cwd, compilation, &used, more)?;
        let out_dir = cwd.join(unit.out_dir.as_ref()?);
        let dep_info = compilation.dep_info.as_deref()?;
        Some(Self {
            known,
            dir,
            compilation,
            policy_files,
            unit,
            cwd,
            out_dir,
            dep_info,
            checks,
            externs,
            used,
            key,
        })
    }

    /// Whether it would come to the same again. Then what cargo has removed is put back, and what was printed is printed again.
    pub(super) fn is_left_alone(&self) -> bool {
        self.left_alone().is_some()
    }

    fn left_alone(&self) -> Option<()> {
        let record = self.known.record(&self.dir)?;
        let is_last = self.known.name(&self.dir)? == record.name;
        if !is_last || record.key != self.key || record.externs.len() != self.externs.len() {
            return None;
        }
        if !record.externs.iter().zip(&self.externs).all(|(then, now)| self.is_same(then, now)) {
            return None;
        }
        let text = std::fs::read(self.dep_info).ok()?;
        if blake3::hash(&text).to_hex().as_str() != record.dep_info {
            return None;
        }
        let calls_macros = !record.packages.is_empty();
        let looked = self.look(std::str::from_utf8(&text).ok()?, calls_macros)?;
        let are_so = record.seen.iter().all(|seen| seen.is_so(&[]));
        if looked.digest != record.inputs
            || !are_so
            || seen::values(&record.variables.0) != record.variables.1
        {
            return None;
        }
        if calls_macros && !self.are_rules(&record.packages) {
            return None;
        }
        let gone = self.outputs(&record.outputs)?;
        let policy = self.policy();
        // Where no edit of the policy is the reason, cargo has found something newer than what was left, and goes on to.
        let is_called_for_more = record.policy == policy && !record.is_restless;
        if !self.checks && (is_called_for_more || !self.is_newest(&record)) {
            return None;
        }
        if !self.checks && record.policy != policy {
            let record = Record { policy, ..record.clone() };
            self.dir.write(&self.known.json(), &serde_json::to_vec(&record).ok()?, None).ok()?;
        }
        for (n, output) in gone {
            self.dir.give_back(&self.known.kept(n), &output.path).ok()?;
        }
        let (stdout, stderr) = (Some(record.stdout.into_bytes()), Some(record.stderr.into_bytes()));
        Printed { stdout, stderr }.again();
        Some(())
    }

    /// Writes down what is known of a compilation that went well. Where that can't be told, or not be written, the next one will be
    /// made.
    pub(super) fn record(&self, begun: Begun, printed: Printed, finished: Finished) -> Option<()> {
        if finished.is_odd || !finished.seen.iter().all(|seen| seen.is_so(&[])) {
            return None;
        }
        let stdout = String::from_utf8(printed.stdout?).ok()?;
        let stderr = String::from_utf8(printed.stderr?).ok()? + &finished.printed;
        let text = std::fs::read(self.dep_info).ok()?;
        let calls_macros = !finished.packages.is_empty();
        let looked = self.look(std::str::from_utf8(&text).ok()?, calls_macros)?;
        if looked.newest.is_some_and(|newest| newest >= begun.at) {
            return None;
        }
        let hex = |digest: [u8; 32]| blake3::Hash::from_bytes(digest).to_hex().to_string();
        let packages =
            finished.packages.into_iter().map(|((name, version), rules)| (name, version, hex(rules)));
        let externs = self.externs.iter().map(|before| before.after(self, begun.at));
        let variables = seen::values(&finished.patterns);
        let record = Record {
            is_restless: !finished.patterns.is_empty()
                || self.externs.iter().any(|other| other.is_restless(self)),
            variables: (finished.patterns, variables),
            policy: self.policy(),
            key: self.key.clone(),
            dep_info: blake3::hash(&text).to_hex().to_string(),
            inputs: looked.digest,
            packages: packages.collect(),
            seen: finished.seen,
            externs: externs.collect::<Option<_>>()?,
            outputs: self.artifacts(&stderr)?,
            name: begun.name,
            stdout,
            stderr,
        };
        let json = serde_json::to_vec(&record).ok().filter(|json| json.len() as u64 <= MAX)?;
        let keep = |(n, output): (usize, &Output)| self.dir.keep(&self.known.kept(n), &output.path);
        let written = linked(&record.outputs)
            .try_for_each(keep)
            .and_then(|()| self.dir.write(&self.known.json(), &json, None));
        if written.is_err() {
            for (n, _) in linked(&record.outputs) {
                let _ = self.dir.remove(&self.known.kept(n));
            }
        }
        written.ok()
    }

    /// What was left, by the compiler's own messages.
    fn artifacts(&self, stderr: &str) -> Option<Vec<Output>> {
        #[derive(Deserialize)]
        struct Notification {
            artifact: Utf8PathBuf,
            emit: String,
        }
        let mut missing: Vec<&str> = self.emitted();
        missing.extend(self.unit.emit.iter().map(String::as_str).filter(|emit| *emit == "dep-info"));
        let mut outputs = Vec::new();
        for line in stderr.lines().filter(|line| line.starts_with('{')) {
            let Ok(Notification { artifact, emit }) = serde_json::from_str(line) else { continue };
            let at = missing.iter().position(|missing| *missing == emit)?;
            missing.swap_remove(at);
            let path = self.cwd.join(artifact);
            match emit.as_str() {
                "dep-info" if path == self.dep_info => {}
                "metadata" | "link" if path.parent() == Some(&*self.out_dir) => {
                    let identity = identity(&regular(&path)?);
                    let content = self.checks.then(|| content(&path)).map_or(Some(None), |c| c.map(Some))?;
                    outputs.push(Output { emit, path, identity, content });
                }
                _ => return None,
            }
        }
        missing.is_empty().then_some(outputs)
    }

    /// What comes of a compilation beside its dep-info, in order: there are as many libraries as kinds of them.
    fn emitted(&self) -> Vec<&str> {
        let of = |emit: &'a String| match emit.as_str() {
            "dep-info" => 0,
            "link" => self.used.links,
            _ => 1,
        };
        let emitted = self.unit.emit.iter().flat_map(|emit| std::iter::repeat_n(emit.as_str(), of(emit)));
        let mut emitted: Vec<_> = emitted.collect();
        emitted.sort_unstable();
        emitted
    }

    /// Those of what was left that are gone and can be put back. `None` where anything else is not as it was left.
    fn outputs<'r>(&self, outputs: &'r [Output]) -> Option<Vec<(usize, &'r Output)>> {
        let mut emits: Vec<_> = outputs.iter().map(|output| output.emit.as_str()).collect();
        emits.sort_unstable();
        if emits != self.emitted() || self.used.links > KEPT {
            return None;
        }
        let mut gone = Vec::new();
        for (n, output) in linked(outputs).map(|(n, output)| (Some(n), output)).chain(unlinked(outputs)) {
            if output.path.parent() != Some(&*self.out_dir) {
                return None;
            }
            match output.path.symlink_metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let now = identity(&metadata);
                    let is_same = match &output.content {
                        Some(then) => {
                            now[..3] == output.identity[..3]
                                && content(&output.path).is_some_and(|now| now == *then)
                        }
                        None => now == output.identity,
                    };
                    is_same.then_some(())?;
                }
                // Libraries and programs that cargo gives another name too: see `cargo::core::compiler::rustc`.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let kept = self.dir.metadata(&self.known.kept(n?)).ok()?;
                    (identity(&kept) == output.identity).then_some(())?;
                    gone.push((n?, output));
                }
                _ => return None,
            }
        }
        Some(gone)
    }

    /// Whether another crate's artifact is what was used, where it now is as `now` says.
    fn is_same(&self, then: &Extern, now: &Extern) -> bool {
        if (&then.path, &then.name) != (&now.path, &now.name) || then.identity[..3] != now.identity[..3] {
            return false;
        }
        // Where cargo has set its time, who left it knows its content.
        then.identity == now.identity
            || Known::of_artifact(&self.known.dir, &self.cwd.join(&now.path))
                .and_then(|known| known.record(&self.dir))
                .filter(|record| record.name == now.name)
                .is_some_and(|record| {
                    let path = self.cwd.join(&now.path);
                    let output = record.outputs.into_iter().find(|output| output.path == path);
                    let then = output.filter(|output| output.identity[..3] == now.identity[..3]);
                    then.and_then(|then| then.content).is_some_and(|then| content(&path) == Some(then))
                })
    }

    /// Whether the policy says the same of these macro packages now.
    fn are_rules(&self, packages: &[(String, String, String)]) -> bool {
        let Ok(policy) = Policy::load(self.compilation.calling.clone(), &self.compilation.places) else {
            return false;
        };
        packages.iter().all(|(name, version, rules)| {
            blake3::Hash::from_bytes(policy.rules(name, version).digest()).to_hex().as_str() == rules
        })
    }

    /// A digest of what the files of the policy are known by.
    fn policy(&self) -> String {
        let mut looking = Looking::default();
        // A file is no directory of thousands.
        let _ = self.policy_files.iter().try_for_each(|path| looking.native(path.as_std_path()));
        looking.hasher.finalize().to_hex().to_string()
    }

    /// Whether cargo takes what was left for newer than all that it depends on. Source: `Fingerprint::check_filesystem` of
    /// cargo, which takes the time of the newest of a unit's outputs; a build script's is `output`.
    fn is_newest(&self, record: &Record) -> bool {
        let time = |identity: &Identity| (identity[3], identity[4]);
        let Some(newest) = record.outputs.iter().map(|output| time(&output.identity)).max() else {
            return false;
        };
        let script = std::env::var_os("OUT_DIR").map(|dir| Path::new(&dir).with_file_name("output"));
        let is_older = |path: &Path, may_be_missing: bool| match path.metadata() {
            Ok(metadata) => time(&identity(&metadata)) <= newest,
            Err(_) => may_be_missing,
        };
        // Who is told to use the metadata has not waited for the library.
        let with_metadata = |other: &Extern| {
            let path = self.cwd.join(&other.path);
            path.extension() == Some("rmeta") || is_older(path.with_extension("rmeta").as_std_path(), true)
        };
        script.is_none_or(|script| is_older(&script, false))
            && record.externs.iter().all(|other| {
                is_older(self.cwd.join(&other.path).as_std_path(), false) && with_metadata(other)
            })
    }

    /// Looks at what a dep-info names. Where macros were called, files of the policy are among it, and don't count.
    fn look(&self, dep_info: &str, calls_macros: bool) -> Option<Looked> {
        let (files, variables) = tracked::read(dep_info)?;
        let is_so = |(name, value): &tracked::Variable| {
            std::env::var_os(name).as_deref() == value.as_deref().map(OsStr::new)
        };
        if !variables.iter().all(is_so) {
            return None;
        }
        let belljar_dir = self.compilation.belljar_dir.as_deref()?;
        // Somebody may put something there.
        if files.contains(&tracked::never(Some(belljar_dir))) {
            return None;
        }
        let names = tracked::names(Some(belljar_dir));
        if names.symlink_metadata().is_ok() {
            return None;
        }
        let (mut of_policy, mut policy_identities) = (HashSet::new(), HashSet::new());
        for file in self.policy_files.iter().filter(|_| calls_macros) {
            let watched = tracked::watched(belljar_dir, file);
            let named = |path: &Utf8Path| files.iter().filter(|named| *named == path).count();
            let (path, is_there) = match (named(file), named(&watched)) {
                (1, 0) => (file.clone(), file.is_file()),
                (0, 1) => {
                    let is_there = tracked::is_watched(&watched, file);
                    (watched, is_there)
                }
                // Somebody else reads it, too.
                _ => return None,
            };
            if !is_there {
                // cargo would call for ever.
                return None;
            }
            policy_identities.extend(file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino())));
            of_policy.insert(path);
        }
        let own = [policy::stamps(belljar_dir), belljar_dir.join(tracked::ABSENT)];
        let mut looking = Looking::default();
        for file in files.iter().filter(|file| !of_policy.contains(*file) && **file != names) {
            let path = self.cwd.join(file);
            let metadata = path.metadata().ok()?;
            if policy_identities.contains(&(metadata.dev(), metadata.ino())) {
                return None;
            }
            looking
                .hasher
                .update(&(file.as_str().len() as u64).to_le_bytes())
                .update(file.as_str().as_bytes());
            looking.is_own = false;
            looking.add_links(path.as_std_path());
            // What belljar has just written for cargo is newer than what was compiled.
            looking.is_own = own.iter().any(|own| file.starts_with(own));
            match () {
                () if metadata.is_file() => looking.add(&metadata),
                () if metadata.is_dir() => {
                    looking.add(&metadata);
                    looking.walk(path.as_std_path(), 0)?;
                }
                () => return None,
            }
        }
        looking.is_own = false;
        self.used.native.iter().try_for_each(|path| looking.native(self.cwd.join(path).as_std_path()))?;
        Some(Looked { digest: looking.hasher.finalize().to_hex().to_string(), newest: looking.newest })
    }
}

/// Libraries and programs, with their numbers.
fn linked(outputs: &[Output]) -> impl Iterator<Item = (usize, &Output)> {
    outputs.iter().filter(|output| output.emit == "link").enumerate()
}

fn unlinked(outputs: &[Output]) -> impl Iterator<Item = (Option<usize>, &Output)> {
    outputs.iter().filter(|output| output.emit != "link").map(|output| (None, output))
}

impl Extern {
    /// `None` where it can't be said which one it is.
    fn now(dir: &OwnDir, units: &Utf8Path, cwd: &Utf8Path, path: Utf8PathBuf) -> Option<Self> {
        let name = Known::of_artifact(units, &cwd.join(&path))?.name(dir)?;
        let identity = identity(&regular(&cwd.join(&path))?);
        Some(Self { path, name, identity })
    }

    /// Whether cargo calls it every time, as far as that is known.
    fn is_restless(&self, call: &Call<'_>) -> bool {
        Known::of_artifact(&call.known.dir, &call.cwd.join(&self.path))
            .and_then(|known| known.record(&call.dir))
            .is_some_and(|record| record.is_restless)
    }

    /// The same when the compiler has ended that used it since then. In a check cargo may have set its time meanwhile.
    fn after(&self, call: &Call<'_>, then: Time) -> Option<Self> {
        let now = Self::now(&call.dir, &call.known.dir, call.cwd, self.path.clone())?;
        let is_same = now.name == self.name && now.identity[..3] == self.identity[..3];
        let modified = (now.identity[3].cast_signed(), now.identity[4].cast_signed());
        (is_same && (now.identity == self.identity || modified < then)).then_some(now)
    }
}
