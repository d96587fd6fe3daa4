//! What holds for the macros of one package in one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::calling::Calling;
use crate::decision::{Decision, Mode, Reason};
use crate::grant::{Grant, State};
use crate::pattern::{Bases, Resolved, VariablePattern, beneath};
use crate::request::{Access, Request};

/// Changed when the built-in rules do, so that digests are others then.
const VERSION: u8 = 1;

/// What the macros of one package may reach in one crate.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    calling: Arc<Calling>,
    mode: Mode,
    granted: Arc<Granted>,
    /// The granted variables that are set.
    variables: BTreeMap<String, String>,
}

/// Limits that a rule sets in place of the usual ones. Bytes, and seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LimitChanges {
    pub time: Option<f64>,
    pub memory: Option<u64>,
    pub stack: Option<u64>,
    pub output: Option<u64>,
}

/// What grants say together.
#[derive(Debug, Default)]
struct Granted {
    paths: Vec<PathRule>,
    variables: Vec<(VariablePattern, Reason)>,
    state: Option<(State, Reason)>,
    seed: Option<(String, Reason)>,
    time: Option<(bool, Reason)>,
    limits: LimitChanges,
    manifests: Manifests,
    /// Of the package and of the workspace, as far as they are known.
    bases: Vec<String>,
    digest: [u8; 32],
}

#[derive(Debug)]
struct PathRule {
    /// To read, or else to list.
    read: bool,
    resolved: Resolved,
    reason: Reason,
}

/// What every macro may read of the package and the workspace.
#[derive(Debug, Default)]
struct Manifests {
    files: Vec<String>,
    /// The directories that it passes on the way from one to the other, to look at.
    dirs: Vec<String>,
}

impl Manifests {
    fn of(bases: &Bases<'_>, home: Option<&str>) -> Self {
        let mut found = Self::default();
        let Some(package) = bases.package else { return found };
        let manifest = |dir: &str| format!("{}/Cargo.toml", dir.trim_end_matches('/'));
        let mut above = std::iter::successors(Some(package), |dir| {
            let parent = &dir[..dir.rfind('/')?];
            (!parent.is_empty()).then_some(parent)
        });
        match bases.workspace {
            Some(workspace) if package == workspace || beneath(workspace, package).is_some() => {
                found.dirs.extend(above.by_ref().take_while(|dir| *dir != workspace).map(str::to_owned));
                found.dirs.push(workspace.to_owned());
            }
            Some(workspace) => found.dirs.extend([package, workspace].map(str::to_owned)),
            // A macro looks for the workspace upwards. Manifests are all that it finds, and none at home or above.
            None => {
                let stops = |dir: &&str| !crate::places::above_home(dir, home);
                found.dirs.push(package.to_owned());
                found.dirs.extend(above.skip(1).take_while(stops).map(str::to_owned));
                found.files.extend(found.dirs.iter().map(|dir| manifest(dir)));
                return found;
            }
        }
        found.files.push(manifest(package));
        found.files.extend(bases.workspace.filter(|dir| *dir != package).map(manifest));
        found
    }

    /// The directory beneath which it is looked for, if it is one of these.
    fn root<'a>(&'a self, access: Access, path: &'a str) -> Option<&'a str> {
        if matches!(access, Access::Read | Access::LookAt) && self.files.iter().any(|file| file == path) {
            return Some(match path.rfind('/') {
                None | Some(0) => "/",
                Some(at) => &path[..at],
            });
        }
        (access == Access::LookAt && self.dirs.iter().any(|dir| dir == path)).then_some(path)
    }
}

impl Granted {
    /// `grants` in the order in which they count.
    fn of<'a>(
        mode: Mode,
        grants: impl Iterator<Item = &'a Grant>,
        bases: &Bases<'_>,
        home: Option<&str>,
    ) -> Self {
        let known = [bases.package, bases.workspace].into_iter().flatten().map(str::to_owned).collect();
        let mut granted = Self { manifests: Manifests::of(bases, home), bases: known, ..Self::default() };
        let mut said = BTreeSet::new();
        for grant in grants {
            let reason = Reason::Grant(grant.to_string().into());
            for (read, patterns) in [(true, &grant.read), (false, &grant.list)] {
                for pattern in patterns {
                    let tag = if read { 'r' } else { 'l' };
                    said.extend(pattern.canonical().map(|text| (tag, text)));
                    let rule = |resolved| PathRule { read, resolved, reason: reason.clone() };
                    granted.paths.extend(pattern.resolve(bases).into_iter().map(rule));
                }
            }
            said.extend(grant.env.iter().map(|pattern| ('e', pattern.to_string())));
            granted.variables.extend(grant.env.iter().map(|pattern| (pattern.clone(), reason.clone())));
            let with = || reason.clone();
            granted.state = granted.state.or_else(|| Some((grant.state?, with())));
            granted.seed = granted.seed.or_else(|| Some((grant.random.clone()?, with())));
            granted.time = granted.time.or_else(|| Some((grant.time?, with())));
            let limits = &mut granted.limits;
            limits.time = limits.time.or(grant.limits.time);
            limits.memory = limits.memory.or(grant.limits.memory);
            limits.stack = limits.stack.or(grant.limits.stack);
            limits.output = limits.output.or(grant.limits.output);
        }
        if mode == Mode::Report {
            granted.state = granted.state.or(Some((State::Crate, Reason::ReportMode)));
        }
        granted.digest = granted.digest_of(mode, &said);
        granted
    }

    fn digest_of(&self, mode: Mode, said: &BTreeSet<(char, String)>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 rules of a macro package in a crate");
        let mut add = |tag: char, bytes: &[u8]| {
            hasher.update(&[tag as u8]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        add(
            'v',
            &[
                VERSION,
                u8::from(mode == Mode::Report),
                u8::from(self.keeps_state()),
                u8::from(self.real_time()),
            ],
        );
        if let Some((seed, _)) = &self.seed {
            add('s', seed.as_bytes());
        }
        let LimitChanges { time, memory, stack, output } = self.limits;
        for (tag, limit) in [('T', time.map(f64::to_bits)), ('M', memory), ('S', stack), ('O', output)] {
            if let Some(limit) = limit {
                add(tag, &limit.to_le_bytes());
            }
        }
        for (tag, text) in said {
            add(*tag, text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn keeps_state(&self) -> bool {
        matches!(self.state, Some((State::Crate, _)))
    }

    fn real_time(&self) -> bool {
        matches!(self.time, Some((true, _)))
    }

    fn path(&self, access: Access, path: &str) -> Option<&PathRule> {
        let allows = |rule: &&PathRule| match access {
            Access::Read => rule.read && rule.resolved.matches(path, false),
            Access::ReadLink => rule.read && rule.resolved.matches(path, true),
            Access::LookAt => rule.resolved.matches(path, true),
            Access::List => !rule.read && rule.resolved.matches(path, true),
            _ => false,
        };
        self.paths.iter().find(allows)
    }

    fn variable(&self, name: &str) -> Option<&Reason> {
        self.variables.iter().find(|(pattern, _)| pattern.matches(name)).map(|(_, reason)| reason)
    }
}

/// Whether any grant could allow this with a path. All else changes what is there.
fn can_be_granted(access: Access) -> bool {
    matches!(access, Access::Read | Access::List | Access::LookAt | Access::ReadLink)
}

impl Rules {
    /// `grants` are those that are about the macros, in the order in which they count.
    pub(crate) fn of<'a>(
        calling: &Arc<Calling>,
        mode: Mode,
        grants: impl Iterator<Item = &'a Grant>,
        bases: &Bases<'_>,
        home: Option<&str>,
    ) -> Self {
        let granted = Granted::of(mode, grants, bases, home);
        let given = |name: &str| {
            describes_crate(name)
                || granted.variable(name).is_some()
                || mode == Mode::Report && !asked_by_std(name)
        };
        let set = calling.environment.iter().filter(|(name, _)| given(name) && *name != WORKSPACE_MANIFEST);
        let mut variables: BTreeMap<_, _> = set.map(|(name, value)| (name.clone(), value.clone())).collect();
        variables.extend(workspace_manifest(bases).map(|path| (WORKSPACE_MANIFEST.to_owned(), path)));
        Self { calling: Arc::clone(calling), mode, variables, granted: Arc::new(granted) }
    }

    /// A decision by name alone: nothing is looked up, so it is the same whether the thing exists or not.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision {
        let not_granted = || match self.mode {
            Mode::Enforce => Decision::Refused(Reason::NotGranted),
            Mode::Report => Decision::Granted(Reason::ReportMode),
        };
        match request {
            Request::Variable(name) if describes_crate(name) => Decision::Granted(Reason::DescribesCrate),
            Request::Variable(name) if name.is_empty() || name.contains(['=', '\0']) => {
                Decision::Withheld(Reason::Impossible)
            }
            Request::Variable(name) => match self.granted.variable(name) {
                Some(reason) => Decision::Granted(reason.clone()),
                None if asked_by_std(name) => Decision::Withheld(Reason::AskedByStd),
                None => not_granted(),
            },
            // The listing has what is granted and nothing else, or in report mode all that there is.
            Request::Variables => match self.mode {
                Mode::Enforce => Decision::Granted(Reason::DescribesCrate),
                Mode::Report => Decision::Granted(Reason::ReportMode),
            },
            Request::Clock => match &self.granted.time {
                Some((true, reason)) => Decision::Granted(reason.clone()),
                _ => Decision::Fixed(Reason::Deterministic),
            },
            Request::Random => match &self.granted.seed {
                Some((_, reason)) => Decision::Fixed(reason.clone()),
                None => Decision::Fixed(Reason::Deterministic),
            },
            Request::State => match &self.granted.state {
                Some((State::Crate, reason)) => Decision::Granted(reason.clone()),
                _ => Decision::Refused(Reason::NotGranted),
            },
            Request::Path { access, .. } if !can_be_granted(*access) => {
                Decision::Refused(Reason::NeverGranted)
            }
            Request::Path { access, path } => {
                if self.granted.manifests.root(*access, path).is_some() {
                    return Decision::Granted(Reason::Manifest);
                }
                match self.granted.path(*access, path) {
                    Some(rule) => Decision::Granted(rule.reason.clone()),
                    None => not_granted(),
                }
            }
            Request::Socket(_) | Request::Thread | Request::Process(_) | Request::Signal => {
                Decision::Refused(Reason::NeverGranted)
            }
        }
    }

    /// The directory beneath which a path is opened for which [`Rules::decide`] said "granted": the fixed part of the grant.
    /// No link and no `..` may lead out of it, except to another path that is granted by its own name. It is the path itself
    /// for the `X` of an `X/**`, and for directories to look at on the way to a manifest.
    #[must_use]
    pub fn root_of(&self, access: Access, path: &str) -> Option<String> {
        if !can_be_granted(access) {
            return None;
        }
        if self.mode == Mode::Report {
            return Some("/".to_owned());
        }
        if let Some(root) = self.granted.manifests.root(access, path) {
            return Some(root.to_owned());
        }
        Some(self.granted.path(access, path)?.resolved.root().to_owned())
    }

    /// Whether this is a directory above something that is granted, the package or the working directory. Nothing is granted
    /// of it; but that it is a directory and no link follows from those names, which the guest knows.
    #[must_use]
    pub fn leads_to_granted(&self, dir: &str) -> bool {
        let manifests = &self.granted.manifests;
        let granted = self.granted.paths.iter().map(|rule| rule.resolved.fixed());
        let known = manifests.files.iter().map(String::as_str).chain(self.cwd()).chain(granted);
        known.into_iter().any(|path| beneath(dir, path).is_some())
    }

    /// The directories that grants are relative to: the calling package and the workspace.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.granted.bases.iter().map(String::as_str)
    }

    /// What the environment says of the time at which clocks stand.
    #[must_use]
    pub fn source_date_epoch(&self) -> Option<&str> {
        self.calling.environment.get(SOURCE_DATE_EPOCH).map(String::as_str)
    }

    /// The compiler's working directory, to which the guest's relative paths are relative.
    #[must_use]
    pub fn cwd(&self) -> Option<&str> {
        self.calling.cwd.as_deref()
    }

    /// The value of a variable that is granted and set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// What a list of all variables depends on beside the values of those in it: names that are granted one by one, set or not,
    /// and patterns of which any variable could be set.
    pub fn listed(&self) -> (Vec<&str>, Vec<String>) {
        let patterns = self.granted.variables.iter().map(|(pattern, _)| pattern);
        let names = patterns.clone().filter_map(VariablePattern::exact).collect();
        let all = (self.mode == Mode::Report).then(|| "*".to_owned());
        let open = patterns.filter(|pattern| pattern.exact().is_none()).map(ToString::to_string);
        (names, open.chain(all).collect())
    }

    /// Whether a grant names this variable, or it describes the crate: it is not only given because of the mode.
    #[must_use]
    pub fn names_variable(&self, name: &str) -> bool {
        describes_crate(name) || self.granted.variable(name).is_some()
    }

    /// All variables that are granted and set, sorted by name.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether all calls in one crate share one instance (`state = "crate"`).
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        self.granted.keeps_state()
    }

    /// What says how long the macros remember, if anything does.
    #[must_use]
    pub fn why_state(&self) -> Option<&Reason> {
        self.granted.state.as_ref().map(|(_, reason)| reason)
    }

    /// Whether the guest sees the real time, and the real times of files (`time = true`).
    #[must_use]
    pub fn real_time(&self) -> bool {
        self.granted.real_time()
    }

    /// What its random numbers depend on beside module, macro and input (`random = "…"`).
    #[must_use]
    pub fn seed(&self) -> &[u8] {
        self.granted.seed.as_ref().map_or(b"", |(seed, _)| seed.as_bytes())
    }

    #[must_use]
    pub fn limits(&self) -> LimitChanges {
        self.granted.limits
    }

    /// A digest of the directories in which the crate is: what names and grants mean depends on them, while
    /// [`digest`](Self::digest) does not.
    #[must_use]
    pub fn place(&self) -> [u8; 32] {
        let Calling { manifest_dir, workspace_root, cwd, .. } = &*self.calling;
        let Manifests { files, dirs } = &self.granted.manifests;
        let mut hasher = blake3::Hasher::new_derive_key("belljar 2026 directories of a crate");
        let mut add = |text: Option<&str>| {
            hasher.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hasher.update(text.unwrap_or_default().as_bytes());
        };
        [manifest_dir, workspace_root, cwd].into_iter().for_each(|dir| add(dir.as_deref()));
        // Of two grants of one path the first counts, while the digest of all that is said knows no order.
        for rule in &self.granted.paths {
            add(Some(if rule.read { "read" } else { "list" }));
            add(Some(rule.resolved.root()));
            add(Some(rule.resolved.fixed()));
        }
        add(None);
        for of in [&self.granted.bases, files, dirs] {
            of.iter().for_each(|path| add(Some(path)));
            add(None);
        }
        *hasher.finalize().as_bytes()
    }

    /// A digest of all that the rules say, apart from the values of variables: another one when the policy about this
    /// package in this crate has changed, and the same one for the same policy in another checkout.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.granted.digest
    }
}

/// Whether this variable is one by which cargo describes the crate to every macro. Source: the cargo book, "Environment variables Cargo sets for crates". Others of that list (`CARGO`, `OUT_DIR`,
/// `CARGO_BIN_NAME`…) lead to programs and files, or differ between builds of one crate.
#[must_use]
pub fn describes_crate(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(
            name,
            // Set for integration tests and benches only: proc-macro-crate tells them from the library by it.
            "CARGO_CRATE_NAME" | "CARGO_MANIFEST_DIR" | "CARGO_TARGET_TMPDIR" | WORKSPACE_MANIFEST
        )
}

/// The time at which clocks stand that are not the real ones. Source: reproducible-builds.org, "SOURCE_DATE_EPOCH".
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// In place of what `cargo locate-project --workspace` says natively: the manifest of the workspace that the calling package is
/// in. It is no variable of cargo's or the user's; the family of proc-macro-crate asks for it as a guest.
pub const WORKSPACE_MANIFEST: &str = "BELLJAR_WORKSPACE_MANIFEST";

fn workspace_manifest(bases: &Bases<'_>) -> Option<String> {
    let (package, workspace) = (bases.package?, bases.workspace?);
    let is_in = package == workspace || beneath(workspace, package).is_some();
    is_in.then(|| format!("{}/Cargo.toml", workspace.trim_end_matches('/')))
}

fn asked_by_std(name: &str) -> bool {
    matches!(name, "RUST_BACKTRACE" | "RUST_LIB_BACKTRACE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    fn rules() -> Rules {
        let environment = [
            ("CARGO_PKG_VERSION", "1.2.3"),
            ("CARGO_MANIFEST_DIR", "/src/app"),
            ("CARGO_CRATE_NAME", "app"),
            ("CARGO", "/usr/bin/cargo"),
            ("CARGO_PKG", "no"),
            ("CARGO_REGISTRY_TOKEN", "secret"),
            ("HOME", "/home/me"),
            ("RUST_BACKTRACE", "1"),
        ];
        let calling = Calling::of_environment(environment.map(|(n, v)| (n.into(), v.into())));
        Policy::built_in(calling).rules("mac", "1.0.0")
    }

    #[test]
    fn directories_above_what_is_granted_are_known_to_be_some() {
        let rules = rules();
        for dir in ["/", "/src", "/src/app"] {
            assert!(rules.leads_to_granted(dir), "{dir}");
        }
        for dir in ["/src/app/Cargo.toml", "/src/ap", "/sr", "/etc"] {
            assert!(!rules.leads_to_granted(dir), "{dir}");
        }
    }

    #[test]
    fn only_what_describes_the_crate_is_granted() {
        let rules = rules();
        let names: Vec<_> = rules.variables().map(|(name, _)| name).collect();
        assert_eq!(names, ["CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_PKG_VERSION"]);
        for secret in
            ["CARGO", "CARGO_PKG", "CARGO_REGISTRY_TOKEN", "HOME", "RUST_BACKTRACE", "NEVER_SET", ""]
        {
            assert_eq!(rules.variable(secret), None, "{secret}");
            assert!(!matches!(rules.decide(&Request::Variable(secret.into())), Decision::Granted(_)));
        }
    }

    #[test]
    fn a_refusal_does_not_tell_whether_the_thing_exists() {
        let rules = rules();
        let set = rules.decide(&Request::Variable("HOME".into()));
        assert_eq!(set, rules.decide(&Request::Variable("NEVER_SET".into())));
        assert_eq!(set, Decision::Refused(Reason::NotGranted));
        // dotenvy asks for a variable with no name.
        let nameless = rules.decide(&Request::Variable(String::new()));
        assert_eq!(nameless, Decision::Withheld(Reason::Impossible));
    }

    #[test]
    fn a_request_reads_as_a_person_would_say_it() {
        let read = Request::Path { access: Access::Read, path: "/etc/pass\nwd".into() };
        assert_eq!(read.to_string(), "read file `/etc/pass\\nwd`");
        assert_eq!(Request::Variable("HOME".into()).to_string(), "environment variable `HOME`");
    }
}
