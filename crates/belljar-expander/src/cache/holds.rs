//! Whether what a macro saw is still so.
//!
//! Everything is looked at anew, once in a compilation: all calls of a crate see one version of the world, remembered ones too.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use belljar_policy::{Rules, SOURCE_DATE_EPOCH};
use belljar_store::{Expansions, FileIdentity};
use rustix::fs::readlinkat;
use rustix::io::Errno;

use super::entry::{Answered, Conditions};
use crate::channel::Channel;
use crate::error::ServeError;
use crate::files::{Kind, Seen, Stat, World, list, look, read};
use crate::record::Observation;
use crate::wasi::errno;

/// Files of which the digest is worth to be kept: reading a smaller one costs no more than looking it up.
const LARGE: u64 = 256 << 10;

/// File systems may give the same time to two changes that follow each other this closely.
const SETTLED: Duration = Duration::from_secs(2);

/// What was looked at in one compilation, by path.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    digests: HashMap<String, Option<(u64, blake3::Hash)>>,
    listings: HashMap<String, Option<blake3::Hash>>,
}

/// rustc's answers within one call: asked once, however many entries want to know.
#[derive(Debug, Default)]
pub(crate) struct Asked(HashMap<Vec<u8>, Vec<u8>>);

impl Asked {
    /// Whether rustc answers this now, as it did then.
    pub(crate) fn same(
        &mut self,
        channel: &mut Channel,
        (question, answer): &Answered,
    ) -> Result<bool, ServeError> {
        if let Some(now) = self.0.get(question) {
            return Ok(now == answer);
        }
        let now = channel.ask(question)?.to_vec();
        let same = now == *answer;
        self.0.insert(question.clone(), now);
        Ok(same)
    }
}

impl Conditions {
    /// Whether a macro would see now what it saw then, apart from rustc's answers. `names` is how many of a directory may be
    /// listed. `world` gets to know what was seen, so that a call that is run can't see anything else.
    pub(crate) fn hold(
        &self,
        rules: &Rules,
        world: &World,
        names: u64,
        looked: &mut Looked,
        known: &Expansions,
    ) -> bool {
        let value_holds = |(name, digest): &(String, [u8; 32])| {
            rules.variable(name).is_some_and(|value| digest_of_value(known, name, value) == Some(*digest))
        };
        let by_themselves = self.place.is_none_or(|place| place == rules.place())
            && self.variables.is_none_or(|variables| Some(variables) == digest_of_variables(known, rules))
            && self.values.iter().all(value_holds);
        if !by_themselves {
            return false;
        }
        let mut look = Look { rules, world, names, looked, known };
        let mut seen = Vec::new();
        for observation in &self.observations {
            match look.now(observation) {
                Holds::No => return false,
                Holds::Yes => {}
                Holds::Seen(path, now) => seen.push((path, now)),
            }
        }
        for (path, errno) in &self.absences {
            if look.missing(path) != Some(*errno) {
                return false;
            }
            seen.push((path, Seen::Absent));
        }
        // What contradicts what a call has seen before is for a call that is run to find out: that ends the compilation.
        seen.into_iter().all(|(path, now)| world.see(path, now).is_ok())
    }
}

/// What came of one observation.
enum Holds<'a> {
    No,
    Yes,
    /// It does, and this was seen.
    Seen(&'a str, Seen),
}

/// Looks at things as a macro would that is run: beneath what it may reach, and through no link.
struct Look<'a> {
    rules: &'a Rules,
    world: &'a World,
    names: u64,
    looked: &'a mut Looked,
    known: &'a Expansions,
}

impl Look<'_> {
    fn now<'a>(&mut self, observation: &'a Observation) -> Holds<'a> {
        let rules = self.rules;
        let if_so = |so: bool| if so { Holds::Yes } else { Holds::No };
        let (path, seen, so) = match observation {
            Observation::Variable { name, value } if name == SOURCE_DATE_EPOCH => {
                return if_so(value.as_deref() == rules.source_date_epoch());
            }
            Observation::Variable { name, value } => return if_so(value.as_deref() == rules.variable(name)),
            // All variables are compared, see `Conditions::variables`.
            Observation::Names { .. } => return Holds::Yes,
            Observation::WorkingDirectory { path } => return if_so(rules.cwd() == Some(path)),
            // In which way it was missing, nobody knows; and what can't be read today may be tomorrow, and nothing tells.
            Observation::Absent { .. } | Observation::Special { .. } | Observation::Failed { .. } => {
                return Holds::No;
            }
            Observation::File { path, size, digest: None } => {
                let is = |stat: Stat| stat.kind == Kind::File && stat.size == *size;
                let so = self.there(path).is_some_and(|(_, stat)| is(stat));
                (path, Seen::File { size: *size, digest: None }, so)
            }
            Observation::File { path, size, digest: Some(digest) } => {
                let so = self.digest(path, *size) == Some(*digest);
                (path, Seen::File { size: *size, digest: Some(*digest) }, so)
            }
            Observation::Directory { path } => {
                let so = self.there(path).is_some_and(|(_, stat)| stat.kind == Kind::Directory);
                (path, Seen::Directory { entries: None }, so)
            }
            Observation::Listing { path, digest } => {
                (path, Seen::Directory { entries: Some(*digest) }, self.listing(path) == Some(*digest))
            }
            Observation::Link { path, target } => {
                let link = self.there(path).filter(|(_, stat)| stat.kind == Kind::Link);
                let to = link.and_then(|(handle, _)| readlinkat(&handle, "", Vec::new()).ok());
                let so = to.is_some_and(|to| to.as_bytes() == target.as_bytes());
                (path, Seen::Link { to: target.clone() }, so)
            }
        };
        if so { Holds::Seen(path, seen) } else { Holds::No }
    }

    fn there(&self, path: &str) -> Option<(OwnedFd, Stat)> {
        look(self.world, self.rules, path).ok()
    }

    /// In which way it is missing, as a guest is told it.
    fn missing(&self, path: &str) -> Option<u32> {
        match look(self.world, self.rules, path) {
            Err(Errno::NOENT) => Some(errno::NOENT),
            Err(Errno::NOTDIR) => Some(errno::NOTDIR),
            Err(Errno::NAMETOOLONG) => Some(errno::NAMETOOLONG),
            _ => None,
        }
    }

    fn listing(&mut self, path: &str) -> Option<blake3::Hash> {
        if let Some(known) = self.looked.listings.get(path) {
            return *known;
        }
        let directory = self.there(path).filter(|(_, stat)| stat.kind == Kind::Directory);
        let now = directory.and_then(|(handle, _)| Some(list(&handle, self.names).ok()?.digest()));
        self.looked.listings.insert(path.to_owned(), now);
        now
    }

    /// The digest of a file's content, if it has that size.
    fn digest(&mut self, path: &str, size: u64) -> Option<blake3::Hash> {
        if let Some(known) = self.looked.digests.get(path) {
            return known.filter(|(of_size, _)| *of_size == size).map(|(_, digest)| digest);
        }
        // Of another size it is another one: nobody reads it to know that, and another entry may be about this one.
        let (handle, _) =
            self.there(path).filter(|(_, stat)| stat.kind == Kind::File && stat.size == size)?;
        let now = content(path, &handle, size, self.known);
        self.looked.digests.insert(path.to_owned(), now.map(|digest| (size, digest)));
        now
    }
}

/// What is kept of a variable whose value may be a secret. `None` where nothing is kept.
pub(crate) fn digest_of_value(known: &Expansions, name: &str, value: &str) -> Option<[u8; 32]> {
    known.digest_of(&texts(b"value", [name, value]))
}

/// A digest of all variables that macros may see. `None` where nothing is kept.
pub(crate) fn digest_of_variables(known: &Expansions, rules: &Rules) -> Option<[u8; 32]> {
    known.digest_of(&texts(b"all", rules.variables().flat_map(|(name, value)| [name, value])))
}

/// Texts as bytes of which no others have the same.
fn texts<'a>(kind: &[u8], texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    for text in texts {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// Whether nothing is there, as far as a macro is told.
pub fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// What changes with a file's content, whatever becomes of its time of modification.
#[must_use]
pub fn file_identity(metadata: &Metadata) -> FileIdentity {
    let (seconds, nanoseconds) = (metadata.ctime().cast_unsigned(), metadata.ctime_nsec().cast_unsigned());
    FileIdentity([metadata.dev(), metadata.ino(), metadata.len(), seconds, nanoseconds])
}

/// The digest of what a file holds, of which there is a handle.
fn content(path: &str, handle: &OwnedFd, size: u64, known: &Expansions) -> Option<blake3::Hash> {
    let path = Path::new(path);
    if size < LARGE {
        return read(handle, size).ok().map(|(_, content)| blake3::hash(&content));
    }
    let metadata = || File::from(handle.try_clone().ok()?).metadata().ok();
    let before = metadata()?;
    let identity = file_identity(&before);
    if let Some(digest) = known.file_digest(path, &identity) {
        return Some(digest.into());
    }
    // It fails where the file is written to meanwhile.
    let digest = blake3::hash(&read(handle, size).ok()?.1);
    let changed = u64::try_from(before.ctime()).map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    let settled = changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > SETTLED));
    if settled && file_identity(&metadata()?) == identity {
        known.keep_file(path, &identity, digest.into());
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use belljar_policy::{Calling, Places, Policy};
    use belljar_store::Store;
    use camino::Utf8Path;

    use super::*;
    use crate::files::listing_digest;

    struct Place {
        dir: tempfile::TempDir,
        known: Expansions,
        _home: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let store = Store::open(Utf8Path::from_path(home.path()).unwrap()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("granted")).unwrap();
            Self { dir, known: Expansions::of(&store), _home: home }
        }

        fn path(&self, name: &str) -> String {
            self.dir.path().join("granted").join(name).to_str().unwrap().to_owned()
        }

        /// What holds for a macro that may read all that is in `granted`.
        fn rules(&self) -> Rules {
            let variables =
                [("CARGO_PKG_NAME", "app"), ("CARGO_MANIFEST_DIR", "/ws/app"), ("HOME", "/home/me")];
            let calling = Calling::of_environment(variables.map(|(n, v)| (n.into(), v.into())));
            let (file, all) = (self.dir.path().join("belljar.toml"), self.path("**"));
            let grant = format!("macro = \"mac\"\nread = [{all:?}]\nlist = [{all:?}]\nreason = \"a test\"");
            fs::write(&file, format!("[[grant]]\n{grant}\n")).unwrap();
            let places = Places { user_file: Some(file), ..Places::default() };
            Policy::load(calling, &places).unwrap().rules("mac", "1.0.0")
        }

        fn conditions_hold(&self, conditions: &Conditions, world: &World) -> bool {
            conditions.hold(&self.rules(), world, 1000, &mut Looked::default(), &self.known)
        }

        /// In a compilation of its own.
        fn holds(&self, seen: &Observation) -> bool {
            let conditions = Conditions { observations: vec![seen.clone()], ..Conditions::default() };
            self.conditions_hold(&conditions, &World::default())
        }

        fn is_missing(&self, path: &str, errno: u32) -> bool {
            let conditions = Conditions { absences: vec![(path.to_owned(), errno)], ..Conditions::default() };
            self.conditions_hold(&conditions, &World::default())
        }
    }

    #[test]
    fn variables_hold_as_long_as_macros_would_be_told_the_same() {
        let place = Place::new();
        let variable = |name: &str, value: Option<&str>| {
            place.holds(&Observation::Variable { name: name.to_owned(), value: value.map(str::to_owned) })
        };
        assert!(variable("CARGO_PKG_NAME", Some("app")));
        assert!(!variable("CARGO_PKG_NAME", Some("other")) && !variable("CARGO_PKG_NAME", None));
        assert!(variable("CARGO_PKG_LICENSE", None));
        assert!(!variable("HOME", Some("/home/me")), "it is not granted");
        assert!(variable(SOURCE_DATE_EPOCH, None) && !variable(SOURCE_DATE_EPOCH, Some("1")));
    }

    #[test]
    fn values_that_may_be_secrets_hold_as_long_as_they_are_the_same_in_this_store_only() {
        let (place, other) = (Place::new(), Place::new());
        let of = |place: &Place, value| digest_of_value(&place.known, "CARGO_PKG_NAME", value).unwrap();
        let holds = |digest| {
            let values = vec![("CARGO_PKG_NAME".to_owned(), digest)];
            place.conditions_hold(&Conditions { values, ..Conditions::default() }, &World::default())
        };
        assert!(holds(of(&place, "app")) && !holds(of(&place, "other")) && !holds(of(&other, "app")));
        let all = |of: &Place| {
            let variables = digest_of_variables(&of.known, &place.rules());
            place.conditions_hold(&Conditions { variables, ..Conditions::default() }, &World::default())
        };
        assert!(all(&place) && !all(&other));
    }

    #[test]
    fn files_hold_as_long_as_they_are_the_same() {
        let place = Place::new();
        let path = place.path("a");
        fs::write(&path, "one").unwrap();
        let content = Observation::File { path: path.clone(), size: 3, digest: Some(blake3::hash(b"one")) };
        let size = Observation::File { path: path.clone(), size: 3, digest: None };
        assert!(place.holds(&content) && place.holds(&size) && !place.is_missing(&path, errno::NOENT));
        fs::write(&path, "two").unwrap();
        assert!(!place.holds(&content) && place.holds(&size));
        fs::write(&path, "three").unwrap();
        assert!(!place.holds(&size));
        fs::remove_file(&path).unwrap();
        assert!(!place.holds(&content) && !place.holds(&size) && place.is_missing(&path, errno::NOENT));
        // A macro can tell in which way something is missing.
        fs::write(place.path("file"), "").unwrap();
        let below = place.path("file/below");
        assert!(place.is_missing(&below, errno::NOTDIR) && !place.is_missing(&below, errno::NOENT));
        // What leads nowhere is something, and a pipe is never opened.
        symlink("nowhere", &path).unwrap();
        assert!(!place.is_missing(&path, errno::NOENT) && !place.holds(&content));
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        assert!(!place.holds(&content) && !place.holds(&Observation::Special { path }));
    }

    #[test]
    fn nothing_is_looked_at_through_a_link_or_without_a_grant() {
        let place = Place::new();
        let outside = place.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("a"), "one").unwrap();
        let seen = |path: &str| {
            let path = path.to_owned();
            Observation::File { path, size: 3, digest: Some(blake3::hash(b"one")) }
        };
        fs::create_dir(place.path("sub")).unwrap();
        fs::write(place.path("sub/a"), "one").unwrap();
        assert!(place.holds(&seen(&place.path("sub/a"))));
        // The same content by the same name, and a macro that is run would be refused it.
        fs::remove_dir_all(place.path("sub")).unwrap();
        symlink(&outside, place.path("sub")).unwrap();
        assert!(!place.holds(&seen(&place.path("sub/a"))));
        assert!(!place.is_missing(&place.path("sub/none"), errno::NOENT), "nor is it told what is not there");
        assert!(!place.holds(&seen(outside.join("a").to_str().unwrap())));
    }

    #[test]
    fn a_large_file_is_read_once_as_long_as_nothing_touches_it() {
        let place = Place::new();
        let path = place.path("large");
        let content = vec![b'x'; usize::try_from(LARGE).unwrap()];
        fs::write(&path, &content).unwrap();
        let digest = blake3::hash(&content);
        let seen = |digest| Observation::File { path: path.clone(), size: LARGE, digest: Some(digest) };
        let identity = file_identity(&fs::symlink_metadata(&path).unwrap());
        assert!(place.holds(&seen(digest)) && !place.holds(&seen([7; 32].into())));
        let known = || place.known.file_digest(Path::new(&path), &identity);
        assert_eq!(known(), None, "it may have been written this very moment");
        place.known.keep_file(Path::new(&path), &identity, [7; 32]);
        place.known.settle();
        assert!(place.holds(&seen([7; 32].into())), "what is known is believed");
        fs::write(&path, &content).unwrap();
        assert!(place.holds(&seen(digest)), "another time is another file");
    }

    #[test]
    fn directories_and_links_hold_as_long_as_they_are_the_same() {
        let place = Place::new();
        let path = place.path("dir");
        fs::create_dir(&path).unwrap();
        fs::write(place.path("dir/a"), "").unwrap();
        let digest = listing_digest(Path::new(&path)).unwrap();
        let listing = Observation::Listing { path: path.clone(), digest };
        let directory = Observation::Directory { path: path.clone() };
        assert!(place.holds(&listing) && place.holds(&directory));
        fs::write(place.path("dir/b"), "").unwrap();
        assert!(!place.holds(&listing) && place.holds(&directory));
        fs::remove_dir_all(&path).unwrap();
        assert!(!place.holds(&directory));
        symlink("a", &path).unwrap();
        let link = |target: &str| Observation::Link { path: path.clone(), target: target.to_owned() };
        assert!(place.holds(&link("a")) && !place.holds(&link("b")) && !place.holds(&directory));
    }

    #[test]
    fn one_compilation_sees_one_version() {
        let place = Place::new();
        let path = place.path("a");
        fs::write(&path, "one").unwrap();
        let seen = Observation::File { path: path.clone(), size: 3, digest: Some(blake3::hash(b"one")) };
        let world = World::default();
        let conditions = Conditions { observations: vec![seen], ..Conditions::default() };
        assert!(place.conditions_hold(&conditions, &world));
        let changed = || Seen::File { size: 3, digest: Some(blake3::hash(b"two")) };
        assert!(world.see(&path, changed()).is_err(), "a call that is run now would not get by");
        let other = World::default();
        other.see(&path, changed()).unwrap();
        assert!(!place.conditions_hold(&conditions, &other));
    }
}
