//! Grants that do nothing.

use crate::calling::Calling;
use crate::grant::Grant;
use crate::pattern::Bases;
use crate::request::{Access, Request};

/// A macro package of the project, and a package that can call its macros.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub macro_package: String,
    pub macro_version: String,
    pub calling: String,
}

/// Something that the macros of a package wanted in a crate, and got.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    pub macro_package: &'a str,
    pub macro_version: &'a str,
    pub calling: &'a Calling,
    pub request: &'a Request,
}

/// A grant, or a part of one, that does nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Unused<'a> {
    /// The project has no such macros, or nobody for whom the grant is calls them.
    MatchesNothing {
        grant: &'a Grant,
        /// A macro package of the project that may have been meant.
        similar: Option<String>,
    },
    /// The macros never used it.
    NobodyUsed {
        grant: &'a Grant,
        /// What was not used, as it stands in the file: `read = "templates/**"`.
        what: Vec<String>,
        /// Whether that is all that the grant gives.
        all: bool,
    },
}

impl<'a> Unused<'a> {
    #[must_use]
    pub fn grant(&self) -> &'a Grant {
        match self {
            Self::MatchesNothing { grant, .. } | Self::NobodyUsed { grant, .. } => grant,
        }
    }
}

impl std::fmt::Display for Unused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Grant { file, line, macro_package, version, calling, .. } = self.grant();
        write!(f, "{file}:{line}: ")?;
        match self {
            Self::MatchesNothing { similar, .. } => {
                write!(f, "the grant for `{macro_package}`")?;
                if let Some(version) = version {
                    write!(f, " {}", version.to_string().trim_start_matches('^'))?;
                }
                if !calling.is_empty() {
                    write!(f, " in `{}`", calling.join("`, `"))?;
                }
                write!(f, " matches nothing in this project")?;
                match similar {
                    Some(similar) => write!(f, "; did you mean `{similar}`?"),
                    None => write!(f, "; remove it, or see Cargo.lock for the package's name and version"),
                }
            }
            Self::NobodyUsed { all: true, .. } => {
                write!(
                    f,
                    "nobody used the grant for `{macro_package}`; remove it if a whole build doesn't need it"
                )
            }
            Self::NobodyUsed { what, .. } => {
                write!(f, "nobody used {} of the grant for `{macro_package}`; ", what.join(", "))?;
                write!(f, "remove it if a whole build doesn't need it")
            }
        }
    }
}

/// The grants that do nothing in a project with these macro packages, whose macros got this.
///
/// State and limits are never unused: whether they have an effect is not recorded.
#[must_use]
pub fn unused<'a>(grants: &'a [Grant], pairs: &[Pair], used: &[Used<'_>]) -> Vec<Unused<'a>> {
    grants.iter().filter_map(|grant| one(grant, pairs, used)).collect()
}

fn one<'a>(grant: &'a Grant, pairs: &[Pair], used: &[Used<'_>]) -> Option<Unused<'a>> {
    if !pairs.iter().any(|pair| grant.is_for(&pair.macro_package, &pair.macro_version, &pair.calling)) {
        let plain = |name: &str| name.to_lowercase().replace('_', "-");
        let wanted = plain(&grant.macro_package);
        // A macro package often has the name of the library that re-exports it, with `-derive` or so after it.
        let near = |name: &str| {
            let name = plain(name);
            strsim::osa_distance(&name, &wanted) <= 2
                || name.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('-'))
        };
        let similar = pairs.iter().map(|pair| &pair.macro_package);
        let similar = similar.filter(|name| **name != grant.macro_package && near(name)).min().cloned();
        return Some(Unused::MatchesNothing { grant, similar });
    }
    let used: Vec<_> = used
        .iter()
        .filter(|used| grant.is_for(used.macro_package, used.macro_version, &used.calling.package))
        .collect();
    let mut what = Vec::new();
    let mut parts = 0;
    let mut part = |was_used: bool, text: String| {
        parts += 1;
        if !was_used {
            what.push(text);
        }
    };
    for (key, patterns) in [("read", &grant.read), ("list", &grant.list)] {
        for pattern in patterns {
            let was_used = used.iter().any(|used| {
                let Request::Path { access, path } = used.request else { return false };
                let itself = match access {
                    Access::LookAt => true,
                    Access::List if key == "list" => true,
                    Access::Read | Access::ReadLink if key == "read" => false,
                    _ => return false,
                };
                let calling = used.calling;
                let bases = Bases {
                    package: calling.manifest_dir.as_deref(),
                    workspace: calling.workspace_root.as_deref(),
                };
                pattern.resolve(&bases).iter().any(|resolved| resolved.matches(path, itself))
            });
            part(was_used, format!("`{key} = {:?}`", pattern.as_str()));
        }
    }
    for pattern in &grant.env {
        let matches = |request: &Request| match request {
            Request::Variable(name) => pattern.matches(name),
            Request::Variables => true,
            _ => false,
        };
        part(used.iter().any(|used| matches(used.request)), format!("`env = {:?}`", pattern.to_string()));
    }
    if grant.random.is_some() {
        part(used.iter().any(|used| *used.request == Request::Random), "`random`".to_owned());
    }
    if grant.time == Some(true) {
        let sees_time = |request: &Request| {
            matches!(request, Request::Clock | Request::Path { access: Access::LookAt, .. })
        };
        part(used.iter().any(|used| sees_time(used.request)), "`time`".to_owned());
    }
    let has_more = grant.state.is_some() || grant.limits != crate::LimitChanges::default();
    let all = what.len() == parts && !has_more;
    (!what.is_empty() || parts == 0 && !has_more).then_some(Unused::NobodyUsed { grant, what, all })
}
