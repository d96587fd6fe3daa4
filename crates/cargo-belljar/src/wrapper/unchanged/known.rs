//! Where it is written down of a unit what its last compilation depended on, and how that compilation is called.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use belljar_plan::RustcArgs;
use camino::{Utf8Path, Utf8PathBuf};

use super::Record;
use super::looking::{Time, modified};
use crate::own_dir::OwnDir;
use crate::wrapper::afterwards::{AfterwardsError, Compilation};

/// The longest record that is read.
pub(super) const MAX: u64 = 4 << 20;

/// Kinds of libraries and programs that can come of one compilation: `rlib`, `dylib`, `cdylib`, `staticlib`, and a program.
pub(super) const KEPT: usize = 5;

/// The longest name of a compilation.
const MAX_NAME: u64 = 64;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Days for which it is known what a compilation depended on.
const LONG: u32 = 60;

/// Where it is written down of one unit.
#[derive(Debug)]
pub(in crate::wrapper) struct Known {
    pub(super) dir: Utf8PathBuf,
    unit: String,
}

/// A compilation that has a name.
#[derive(Debug)]
pub(in crate::wrapper) struct Begun {
    pub(super) name: String,
    pub(super) at: Time,
}

impl Known {
    /// `None` where the unit goes to no place of cargo's.
    pub(in crate::wrapper) fn of(unit: &RustcArgs, cwd: &Utf8Path) -> Option<Self> {
        // Not where a session says: whoever compiles a unit has to find what others have written of it.
        let dir = Compilation::belljar_dir_of(unit, cwd)?.join("units");
        let name = match (unit.extra_filename.as_str(), unit.crate_name.as_deref(), unit.out_dir.as_ref()) {
            ("", Some(crate_name), Some(out_dir)) => named_by_place(crate_name, &cwd.join(out_dir)),
            _ => Compilation::unit_of(unit),
        };
        Some(Self { dir, unit: name })
    }

    /// From now on nothing that was known of it holds, and what others know of its last compilation neither. `None` where nothing
    /// new can be written down: then nobody leaves it alone, nor what depends on it.
    pub(in crate::wrapper) fn begin(&self) -> Result<Option<Begun>, AfterwardsError> {
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
    pub(in crate::wrapper) fn forget(&self) -> Result<(), AfterwardsError> {
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
        (0..KEPT).try_for_each(|n| dir.remove(&self.kept(n)))
    }

    fn made(&self) -> String {
        format!("{}.made", self.unit)
    }

    pub(super) fn json(&self) -> String {
        format!("{}.json", self.unit)
    }

    /// The `n`th program or library.
    pub(super) fn kept(&self, n: usize) -> String {
        format!("{}.{n}.kept", self.unit)
    }

    /// That of the unit whose artifact this is.
    pub(super) fn of_artifact(dir: &Utf8Path, artifact: &Utf8Path) -> Option<Self> {
        let unit = artifact.file_stem()?.strip_prefix("lib")?;
        let unit = match unit.contains('-') {
            true => unit.to_owned(),
            false => named_by_place(unit, artifact.parent()?),
        };
        Some(Self { dir: dir.to_owned(), unit })
    }

    /// The name of its last compilation.
    pub(super) fn name(&self, dir: &OwnDir) -> Option<String> {
        String::from_utf8(dir.read(&self.made(), MAX_NAME).ok()?).ok()
    }

    pub(super) fn record(&self, dir: &OwnDir) -> Option<Record> {
        serde_json::from_slice(&dir.read(&self.json(), MAX).ok()?).ok()
    }
}

/// Dynamic libraries have no digest of cargo's in their names, and are the same for each profile and target.
fn named_by_place(crate_name: &str, out_dir: &Utf8Path) -> String {
    format!("{crate_name}-{}", &blake3::hash(out_dir.as_str().as_bytes()).to_hex()[..16])
}

/// Once a day: what is kept of artifacts that somebody has removed, as `cargo clean -p` does, goes too, and what is known of
/// compilations of long ago: such a unit is compiled when it is called again.
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
            // Names of compilations stay: what isn't compiled any more is used none the less.
            Some((_, "json")) => older_than(changed, LONG),
            _ => false,
        };
        if goes {
            dir.remove(&name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_nowhere_else_goes_in_time() {
        let temporary = tempfile::tempdir().unwrap();
        let target = Utf8Path::from_path(temporary.path()).unwrap();
        let dir = OwnDir::make(&target.join("belljar/units")).unwrap();
        let artifact = target.join("liba.rlib");
        for name in ["a-1", "b-1"] {
            std::fs::write(&artifact, name).unwrap();
            dir.keep(&format!("{name}.0.kept"), &artifact).unwrap();
            std::fs::rename(&artifact, target.join(name)).unwrap();
        }
        std::fs::remove_file(target.join("b-1")).unwrap();
        dir.write("b-1.made", b"", None).unwrap();
        let days = |n| SystemTime::now() + n * DAY;
        sweep(&dir, days(0)).unwrap();
        assert!(dir.metadata("b-1.0.kept").is_ok(), "a build may just be about to put it back");
        dir.set_modified("swept", days(2)).unwrap();
        sweep(&dir, days(2)).unwrap();
        assert!(dir.metadata("b-1.0.kept").is_ok(), "not so soon again");
        sweep(&dir, days(4)).unwrap();
        assert_eq!(dir.names().unwrap(), ["a-1.0.kept", "b-1.made", "swept"]);
    }
}
