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
//! | `<unit>.kept` | a hard link to the program or library: cargo removes the others before it calls |
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
//! | native libraries, linker arguments… | not at all: such units are not written down |
//!
//! In a check, cargo sets an artifact's time when the compiler has ended (`cargo::core::compiler::rustc`), so there its content
//! counts. In a build cargo holds the times of artifacts against those of other crates and build scripts: where leaving a unit alone
//! would have cargo call it for ever, it is compiled.
//!
//! Who can write here can write artifacts, too, and those nobody checks: a record that is forged gives nobody more.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use belljar_plan::{CrateKind, RustcArgs};
use belljar_policy::{Calling, Policy};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::afterwards::{AfterwardsError, Compilation, Finished, Stamped};
use super::printed::Printed;
use super::tracked;
use crate::own_dir::OwnDir;
use crate::seen::Seen;
use crate::{policy, session};

/// Version of what is written down.
const FORMAT: &[u8] = b"1";

/// The longest record that is read.
const MAX: u64 = 4 << 20;

/// The longest name of a compilation.
const MAX_NAME: u64 = 64;

/// Entries below one directory that are looked at.
const ENTRIES: usize = 4096;

/// How deep.
const DEPTH: usize = 40;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Days for which it is known what a compilation depended on.
const LONG: u32 = 60;

/// Seconds and nanoseconds since 1970.
type Time = (i64, i64);

/// By what a file is known: device, inode, size, time of modification.
type Identity = [u64; 5];

/// Where it is written down of one unit.
#[derive(Debug)]
pub(super) struct Known {
    dir: Utf8PathBuf,
    unit: String,
}

/// A compilation that has a name.
#[derive(Debug)]
pub(super) struct Begun {
    name: String,
    at: Time,
}

impl Known {
    /// `None` where the unit goes to no place of cargo's.
    pub(super) fn of(unit: &RustcArgs, cwd: &Utf8Path) -> Option<Self> {
        // Not where a session says: whoever compiles a unit has to find what others have written of it.
        let dir = Compilation::belljar_dir_of(unit, cwd)?.join("units");
        Some(Self { dir, unit: Compilation::unit_of(unit) })
    }

    /// From now on nothing that was known of it holds, and what others know of its last compilation neither. `None` where nothing
    /// new can be written down: then nobody leaves it alone, nor what depends on it.
    pub(super) fn begin(&self) -> Result<Option<Begun>, AfterwardsError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let of = format!("{} {} {}", self.unit, std::process::id(), since.as_nanos());
        let name = blake3::hash(of.as_bytes()).to_hex()[..32].to_owned();
        // What is there and is not this user's, nobody believes.
        let Ok(dir) = OwnDir::make(&self.dir) else { return Ok(None) };
        // It only saves room.
        let _ = sweep(&dir, SystemTime::now());
        self.remove(&dir).map_err(|source| AfterwardsError::Known { path: self.dir.clone(), source })?;
        let written = dir.write(&self.made(), name.as_bytes(), None);
        let at = written.and_then(|()| modified(&dir.metadata(&self.made())?));
        Ok(at.ok().map(|at| Begun { name, at }))
    }

    /// The same, where the next one is not to be left alone.
    pub(super) fn forget(&self) -> Result<(), AfterwardsError> {
        let forget = || {
            let Some(dir) = OwnDir::open(&self.dir)? else { return Ok(()) };
            self.remove(&dir)
        };
        forget().map_err(|source| AfterwardsError::Known { path: self.dir.clone(), source })
    }

    /// One after the other, not by putting something in their place: some file systems write to the disk then, at once.
    fn remove(&self, dir: &OwnDir) -> io::Result<()> {
        dir.remove(&self.made())?;
        dir.remove(&self.json())?;
        dir.remove(&self.kept())
    }

    fn made(&self) -> String {
        format!("{}.made", self.unit)
    }

    fn json(&self) -> String {
        format!("{}.json", self.unit)
    }

    fn kept(&self) -> String {
        format!("{}.kept", self.unit)
    }

    /// That of the unit whose artifact this is.
    fn of_artifact(dir: &Utf8Path, artifact: &Utf8Path) -> Option<Self> {
        let unit = artifact.file_stem()?.strip_prefix("lib")?;
        Some(Self { dir: dir.to_owned(), unit: unit.to_owned() })
    }

    /// The name of its last compilation.
    fn name(&self, dir: &OwnDir) -> Option<String> {
        String::from_utf8(dir.read(&self.made(), MAX_NAME).ok()?).ok()
    }

    fn record(&self, dir: &OwnDir) -> Option<Record> {
        serde_json::from_slice(&dir.read(&self.json(), MAX).ok()?).ok()
    }
}

/// Once a day: what is kept of artifacts that somebody has removed, as `cargo clean -p` does, goes too, and what is known of
/// compilations of long ago. Whoever was left alone because of those is compiled again, once.
fn sweep(dir: &OwnDir, now: SystemTime) -> io::Result<()> {
    const SWEPT: &str = "swept";
    let older_than = |then: SystemTime, days| now.duration_since(then).is_ok_and(|age| age > days * DAY);
    if dir.modified(SWEPT).is_ok_and(|then| !older_than(then, 1)) {
        return Ok(());
    }
    dir.write(SWEPT, b"", None)?;
    for name in dir.names()? {
        let Ok(metadata) = dir.metadata(&name) else { continue };
        let changed = u64::try_from(metadata.ctime()).unwrap_or_default();
        let changed = UNIX_EPOCH + Duration::from_secs(changed);
        let goes = match name.rsplit_once('.') {
            Some((_, "kept")) => metadata.nlink() == 1 && older_than(changed, 1),
            Some((_, "json" | "made")) => older_than(changed, LONG),
            _ => false,
        };
        if goes {
            dir.remove(&name)?;
        }
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
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
    externs: Vec<Extern>,
    outputs: Vec<Output>,
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
    key: String,
}

impl<'a> Call<'a> {
    /// `None` for a call that has to be made whatever is known of the last one.
    pub(super) fn of(
        known: &'a Known,
        (compilers, args): (&[OsString], &[OsString]),
        (unit, cwd): (&'a RustcArgs, &'a Utf8Path),
        compilation: &'a Compilation,
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
        let (externs, checks) = (used(args)?, !unit.emit.iter().any(|emit| emit == "link"));
        if !is_known || is_odd || !unit.json_artifacts || !compilation.json {
            return None;
        }
        let dir = OwnDir::make(&known.dir).ok()?;
        let externs = externs.into_iter().map(|path| Extern::now(&dir, &known.dir, cwd, path));
        let externs = externs.collect::<Option<_>>()?;
        let key = key(compilers, args, cwd, compilation, !checks && unit.kind != CrateKind::Library)?;
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
            key,
        })
    }

    /// What the compiler printed the last time, where it would come to the same again; what cargo has removed is put back then.
    pub(super) fn left_alone(&self) -> Option<Vec<u8>> {
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
        if looked.digest != record.inputs || !record.seen.iter().all(|seen| seen.is_so(&[])) {
            return None;
        }
        if calls_macros && !self.are_rules(&record.packages) {
            return None;
        }
        let gone = self.outputs(&record.outputs)?;
        if !self.checks && !self.is_newest(&record) {
            return None;
        }
        if let Some(output) = gone {
            self.dir.give_back(&self.known.kept(), &output.path).ok()?;
        }
        Some(record.stderr.into_bytes())
    }

    /// Writes down what is known of a compilation that went well. Where that can't be told, or not be written, the next one will be
    /// made.
    pub(super) fn record(&self, begun: Begun, printed: Printed, finished: Finished) -> Option<()> {
        if finished.is_odd || printed.to_stdout || !finished.seen.iter().all(|seen| seen.is_so(&[])) {
            return None;
        }
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
        let record = Record {
            key: self.key.clone(),
            dep_info: blake3::hash(&text).to_hex().to_string(),
            inputs: looked.digest,
            packages: packages.collect(),
            seen: finished.seen,
            externs: externs.collect::<Option<_>>()?,
            outputs: self.artifacts(&stderr)?,
            name: begun.name,
            stderr,
        };
        let json = serde_json::to_vec(&record).ok().filter(|json| json.len() as u64 <= MAX)?;
        if let Some(output) = record.outputs.iter().find(|output| output.emit == "link") {
            self.dir.keep(&self.known.kept(), &output.path).ok()?;
        }
        let written = self.dir.write(&self.known.json(), &json, None);
        if written.is_err() {
            let _ = self.dir.remove(&self.known.kept());
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
        let mut missing: Vec<&str> = self.unit.emit.iter().map(String::as_str).collect();
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

    /// Whether all that was left is there, apart from one at the most, which can be put back.
    fn outputs<'r>(&self, outputs: &'r [Output]) -> Option<Option<&'r Output>> {
        let emitted = |output: &Output| output.emit != "dep-info" && self.unit.emit.contains(&output.emit);
        let wanted = self.unit.emit.iter().filter(|emit| *emit != "dep-info").count();
        if outputs.len() != wanted || !outputs.iter().all(emitted) {
            return None;
        }
        let mut gone = None;
        for output in outputs {
            // The one of a library, and programs: see `cargo::core::compiler::rustc`.
            let may_be_gone = output.emit == "link" && gone.is_none();
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
                Err(e) if may_be_gone && e.kind() == io::ErrorKind::NotFound => {
                    let kept = self.dir.metadata(&self.known.kept()).ok()?;
                    (identity(&kept) == output.identity).then_some(())?;
                    gone = Some(output);
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
            || Known::of_artifact(&self.known.dir, &now.path)
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
        for file in files.iter().filter(|file| !of_policy.contains(*file)) {
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
        Some(Looked { digest: looking.hasher.finalize().to_hex().to_string(), newest: looking.newest })
    }
}

impl Extern {
    /// `None` where it can't be said which one it is.
    fn now(dir: &OwnDir, units: &Utf8Path, cwd: &Utf8Path, path: Utf8PathBuf) -> Option<Self> {
        let name = Known::of_artifact(units, &path)?.name(dir)?;
        let identity = identity(&regular(&cwd.join(&path))?);
        Some(Self { path, name, identity })
    }

    /// The same when the compiler has ended that used it since then. In a check cargo may have set its time meanwhile.
    fn after(&self, call: &Call<'_>, then: Time) -> Option<Self> {
        let now = Self::now(&call.dir, &call.known.dir, call.cwd, self.path.clone())?;
        let is_same = now.name == self.name && now.identity[..3] == self.identity[..3];
        let modified = (now.identity[3].cast_signed(), now.identity[4].cast_signed());
        (is_same && (now.identity == self.identity || modified < then)).then_some(now)
    }
}

/// What was found where a dep-info says.
struct Looked {
    digest: String,
    /// When the last of it changed.
    newest: Option<Time>,
}

#[derive(Default)]
struct Looking {
    hasher: blake3::Hasher,
    newest: Option<Time>,
    is_own: bool,
    entries: usize,
    /// Directories of which it is known whether they are links.
    above: HashSet<PathBuf>,
}

impl Looking {
    fn add(&mut self, metadata: &Metadata) {
        let parts = identity(metadata);
        let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
        for part in parts.into_iter().chain([seconds.cast_unsigned(), nanoseconds.cast_unsigned()]) {
            self.hasher.update(&part.to_le_bytes());
        }
        if !self.is_own {
            // Some file systems know seconds only, or every other.
            let changed = if nanoseconds == 0 { (seconds + 2, 0) } else { (seconds, nanoseconds) };
            self.newest = self.newest.max(Some(changed));
        }
    }

    /// Links on the way to a file: one that leads elsewhere since the compiler has begun may have led there or here.
    fn add_links(&mut self, path: &Path) {
        for step in path.ancestors() {
            if step != path && !self.above.insert(step.to_owned()) {
                break;
            }
            if let Some(link) = step.symlink_metadata().ok().filter(Metadata::is_symlink) {
                self.add(&link);
            }
        }
    }

    /// All that can be reached from a directory, as `cargo_util::paths::mtime_recursive` does.
    fn walk(&mut self, dir: &Path, depth: usize) -> Option<()> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir).ok()? {
            entries.push(entry.ok()?.file_name());
            self.entries += 1;
            if self.entries > ENTRIES || depth > DEPTH {
                return None;
            }
        }
        entries.sort_unstable();
        self.hasher.update(&(entries.len() as u64).to_le_bytes());
        for name in entries {
            let path = dir.join(&name);
            self.hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            let metadata = path.symlink_metadata().ok()?;
            self.add(&metadata);
            let there = match metadata.is_symlink() {
                true => path.metadata().ok(),
                false => Some(metadata),
            };
            self.hasher.update(&[u8::from(there.is_some())]);
            if let Some(there) = there {
                self.add(&there);
                if there.is_dir() {
                    self.walk(&path, depth + 1)?;
                }
            }
        }
        Some(())
    }
}

fn identity(metadata: &Metadata) -> Identity {
    let (seconds, nanoseconds) = (metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned());
    [metadata.dev(), metadata.ino(), metadata.len(), seconds, nanoseconds]
}

fn modified(metadata: &Metadata) -> io::Result<Time> {
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}

fn regular(path: &Utf8Path) -> Option<Metadata> {
    path.symlink_metadata().ok().filter(Metadata::is_file)
}

fn content(path: &Utf8Path) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize().to_hex().to_string())
}

/// The artifacts of other crates that a compiler is told to use. `None` where an argument is not one of those with which cargo
/// calls it, or has it read or write what neither cargo nor the dep-info tells of.
fn used(args: &[OsString]) -> Option<Vec<Utf8PathBuf>> {
    let all: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let Ok(belljar_plan::RustcCall::Unit(unit)) = RustcArgs::read(args) else { return None };
    let checks = !unit.emit.iter().any(|emit| emit == "link");
    let links = !checks && unit.kind != CrateKind::Library;
    let (mut externs, mut has_source) = (Vec::new(), false);
    let mut args = all.into_iter();
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (arg, None),
        };
        let mut value = || inline.or_else(|| args.next());
        let is_known = match flag {
            "--crate-name" | "--edition" | "--error-format" | "--json" | "--diagnostic-width"
            | "--out-dir" | "--cfg" | "--check-cfg" | "--cap-lints" | "--allow" | "--warn" | "--deny"
            | "--forbid" | "--force-warn" | "-A" | "-W" | "-D" | "-F" => value().is_some(),
            "--crate-type" => value()?.split(',').all(|kind| matches!(kind, "lib" | "rlib" | "bin")),
            "--emit" => value()?.split(',').all(|emit| matches!(emit, "dep-info" | "metadata" | "link")),
            "--target" => !value()?.ends_with(".json"),
            "--test" | "-g" | "-O" => inline.is_none(),
            "--extern" => {
                // Without a path it is one of the compiler's own crates.
                if let Some((name, path)) = value()?.split_once('=') {
                    externs.push(path.into());
                    name.chars().all(|c| c.is_alphanumeric() || c == '_')
                } else {
                    true
                }
            }
            // A check reads no native library.
            "-L" => value()
                .is_some_and(|path| path.starts_with("dependency=") || checks && path.starts_with("native=")),
            "-C" | "--codegen" => is_codegen(value()?, links),
            _ if arg.starts_with("-C") => is_codegen(&arg[2..], links),
            _ if ["-A", "-W", "-D", "-F"].iter().any(|lint| arg.starts_with(lint)) => true,
            _ => !arg.starts_with('-') && !std::mem::replace(&mut has_source, true),
        };
        if !is_known {
            return None;
        }
    }
    has_source.then_some(externs)
}

/// Whether an option of code generation has nothing to do with files but those that cargo knows.
fn is_codegen(option: &str, links: bool) -> bool {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    match key.replace('_', "-").as_str() {
        "opt-level"
        | "debuginfo"
        | "debug-assertions"
        | "overflow-checks"
        | "panic"
        | "codegen-units"
        | "lto"
        | "embed-bitcode"
        | "metadata"
        | "extra-filename"
        | "incremental"
        | "strip"
        | "rpath"
        | "target-cpu"
        | "target-feature"
        | "force-frame-pointers"
        | "force-unwind-tables"
        | "symbol-mangling-version"
        | "relocation-model"
        | "code-model" => true,
        // Otherwise there are more artifacts than the compiler tells of.
        "split-debuginfo" => value == "off",
        "linker" | "link-arg" | "link-args" => !links,
        _ => false,
    }
}

/// A digest of what decides a compilation apart from files of the project.
fn key(
    compilers: &[OsString],
    args: &[OsString],
    cwd: &Utf8Path,
    compilation: &Compilation,
    links: bool,
) -> Option<String> {
    let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 a unit that is called again");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    add(FORMAT);
    add(belljar_guest::version_line().as_bytes());
    let linkers = ["cc", "ld"].iter().filter(|_| links).filter_map(|name| program(OsStr::new(name)));
    let compilers = compilers.iter().map(|name| program(name)).collect::<Option<Vec<_>>>()?;
    let is_clippy = compilers.len() > 1;
    for program in compilers.into_iter().chain([std::env::current_exe().ok()?]).chain(linkers) {
        add(program.as_os_str().as_bytes());
        identity(&program.metadata().ok()?).iter().for_each(|part| add(&part.to_le_bytes()));
    }
    for path in of_clippy(&compilation.calling).filter(|_| is_clippy) {
        add(path.as_os_str().as_bytes());
        add(&[u8::from(path.exists())]);
        path.metadata().iter().flat_map(identity).for_each(|part| add(&part.to_le_bytes()));
    }
    add(cwd.as_str().as_bytes());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        // A terminal of another size is nothing to cargo either.
        match arg.as_bytes() {
            b"--diagnostic-width" => drop(args.next()),
            arg if arg.starts_with(b"--diagnostic-width=") => {}
            arg => add(arg),
        }
    }
    let calling = &compilation.calling;
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    for text in [
        &calling.package,
        &calling.version,
        &optional(&calling.manifest_dir),
        &optional(&calling.workspace_root),
    ] {
        add(text.as_bytes());
    }
    add(format!("{:?}", compilation.places).as_bytes());
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| matters(name, links)).collect();
    variables.sort_unstable();
    for (name, value) in variables {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// Files that clippy looks for and reads. Those that it finds are in the dep-info, but not those that it would find, and neither what
/// `cargo metadata` reads for some lints. Source: `clippy_config::lookup_conf_file`, `clippy_lints::cargo`.
fn of_clippy(calling: &Calling) -> impl Iterator<Item = PathBuf> {
    let dir = calling.manifest_dir.as_deref().map(Path::new);
    let root = calling.workspace_root.as_deref().map(Path::new);
    let conf = dir.into_iter().flat_map(Path::ancestors);
    let conf = conf.flat_map(|dir| ["clippy.toml", ".clippy.toml"].map(|name| dir.join(name)));
    let of_cargo = dir.into_iter().chain(root);
    conf.chain(of_cargo.flat_map(|dir| ["Cargo.toml", "Cargo.lock"].map(|name| dir.join(name))))
}

/// Whether a variable may have a say in what is compiled beside those that a dep-info names. Two differ in each run of cargo's; one
/// says only whether the package was named on the command line.
fn matters(name: &OsStr, links: bool) -> bool {
    const NOT: [&str; 5] = [
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        super::afterwards::BUILD,
        session::VARIABLE,
        belljar_wire::message::SOCKET_VAR,
    ];
    const BEGINNINGS: [&str; 8] =
        ["CARGO", "__CARGO", "RUST", "BELLJAR_", "LD_", "DYLD_", "CLIPPY_", "__CLIPPY"];
    const NAMES: [&str; 3] = ["OUT_DIR", "SOURCE_DATE_EPOCH", "SDKROOT"];
    const OF_LINKERS: [&str; 6] =
        ["PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LDFLAGS", "SYSROOT"];
    let is = |names: &[&str]| names.iter().any(|n| name == *n);
    !is(&NOT)
        && (BEGINNINGS.iter().any(|beginning| name.as_bytes().starts_with(beginning.as_bytes()))
            || is(&NAMES)
            || is(&policy::VARIABLES)
            || links && is(&OF_LINKERS))
}

/// Where a program is, as the system finds it.
fn program(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    const CHECK: &str = "--crate-name a --edition=2024 src/lib.rs --error-format=json --json=diagnostic-rendered-ansi,artifacts \
                         --crate-type lib --emit=dep-info,metadata --cfg feature=\"std\" --check-cfg cfg(docsrs) -C metadata=1 \
                         -C extra-filename=-ab -Cdebuginfo=2 --out-dir /t/debug/deps -L dependency=/t/debug/deps --warn=unused";

    #[test]
    fn what_is_used_is_told_by_cargos_own_arguments() {
        let used_with = |more: &str| used(&args(&format!("{CHECK} {more}")));
        assert_eq!(used_with(""), Some(Vec::new()));
        let paths = ["/t/liba.rmeta", "/t/b=/libb.so"].map(Utf8PathBuf::from).to_vec();
        assert_eq!(
            used_with("--extern a=/t/liba.rmeta --extern proc_macro --extern=b=/t/b=/libb.so"),
            Some(paths)
        );
        for harmless in [
            "--cap-lints allow",
            "-C incremental=/t/i -C lto=thin -Ctarget-cpu=native --codegen panic=abort",
            "-C link-arg=-fuse-ld=lld -C linker=clang -L native=/t/out",
            "-Aunused -D warnings --test",
        ] {
            assert!(used_with(harmless).is_some(), "{harmless}");
        }
        for other in [
            "-l z",
            "-lz",
            "-L /usr/lib",
            "-L all=/usr/lib",
            "-L",
            "-Z unstable-options",
            "-Zself-profile",
            "-C profile-use=/p",
            "-C llvm-args=-x",
            "-C save-temps",
            "-C split-debuginfo=unpacked",
            "-C linker-plugin-lto",
            "-C",
            "--sysroot /s",
            "--target /x/mine.json",
            "--crate-type cdylib",
            "--crate-type proc-macro",
            "--emit asm",
            "--emit=metadata=/elsewhere",
            "--print link-args",
            "--remap-path-prefix /a=/b",
            "--extern priv:a=/t/liba.rmeta",
            "-o /t/a",
            "another.rs",
            "--verbose",
        ] {
            assert_eq!(used_with(other), None, "{other}");
        }
    }

    #[test]
    fn what_links_reads_what_nobody_watches() {
        let build = CHECK.replace("dep-info,metadata", "dep-info,metadata,link");
        let program = CHECK.replace("dep-info,metadata", "dep-info,link").replace("type lib", "type bin");
        let is = |line: &str, more: &str| used(&args(&format!("{line} {more}"))).is_some();
        assert!(is(&build, "") && is(&program, ""));
        for (more, of_library) in [
            ("-C link-arg=-lz", true),
            ("-C link_args=-lz", true),
            ("-C linker=/x", true),
            ("-L native=/t/out", false),
        ] {
            assert_eq!(is(&build, more), of_library, "{more}");
            assert!(!is(&program, more), "{more}");
        }
        assert!(!is(&program, "-C link-self-contained=y") && !is(&build, "-C link-dead-code"));
    }

    #[test]
    fn variables_that_matter() {
        let is = |name: &str, links| matters(OsStr::new(name), links);
        for name in [
            "CARGO_PKG_NAME",
            "RUSTFLAGS",
            "RUSTC_BOOTSTRAP",
            "BELLJAR_MODE",
            "HOME",
            "OUT_DIR",
            "LD_PRELOAD",
        ] {
            assert!(is(name, false), "{name}");
        }
        for name in ["CARGO_MAKEFLAGS", "BELLJAR_BUILD", "BELLJAR_SESSION", "BELLJAR_SOCKET", "TERM", "PWD"] {
            assert!(!is(name, true), "{name}");
        }
        assert!(is("PATH", true) && !is("PATH", false));
    }

    #[test]
    fn what_is_nowhere_else_goes_in_time() {
        let temporary = tempfile::tempdir().unwrap();
        let target = Utf8Path::from_path(temporary.path()).unwrap();
        let dir = OwnDir::make(&target.join("belljar/units")).unwrap();
        let artifact = target.join("liba.rlib");
        for name in ["a-1", "b-1"] {
            std::fs::write(&artifact, name).unwrap();
            dir.keep(&format!("{name}.kept"), &artifact).unwrap();
            std::fs::rename(&artifact, target.join(name)).unwrap();
        }
        std::fs::remove_file(target.join("b-1")).unwrap();
        dir.write("b-1.made", b"", None).unwrap();
        let days = |n| SystemTime::now() + n * DAY;
        sweep(&dir, days(0)).unwrap();
        assert!(dir.metadata("b-1.kept").is_ok(), "a build may just be about to put it back");
        dir.set_modified("swept", days(2)).unwrap();
        sweep(&dir, days(2)).unwrap();
        assert!(dir.metadata("b-1.kept").is_ok(), "not so soon again");
        sweep(&dir, days(4)).unwrap();
        assert_eq!(dir.names().unwrap(), ["a-1.kept", "b-1.made", "swept"]);
    }

    #[test]
    fn whatever_can_be_reached_in_a_directory_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all");
        std::fs::create_dir_all(path.join("deep")).unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "1").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, path.join(name)).unwrap();
        link(&outside, "link");
        link(Path::new("nowhere"), "dangling");
        let walked = || {
            let mut looking = Looking::default();
            looking.walk(&path, 0).map(|()| looking.hasher.finalize())
        };
        let mut seen = vec![walked().unwrap()];
        assert_eq!(walked().unwrap(), seen[0]);
        std::fs::write(path.join("deep/file"), "1").unwrap();
        seen.push(walked().unwrap());
        std::fs::write(&outside, "22").unwrap();
        seen.push(walked().unwrap());
        std::fs::write(path.join("nowhere"), "").unwrap();
        seen.push(walked().unwrap());
        std::fs::rename(path.join("nowhere"), path.join("elsewhere")).unwrap();
        seen.push(walked().unwrap());
        let different: HashSet<_> = seen.iter().map(|digest| *digest.as_bytes()).collect();
        assert_eq!(different.len(), seen.len());
        link(&path, "loop");
        assert_eq!(walked(), None);
    }
}
