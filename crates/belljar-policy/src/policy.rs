//! The policy of one compilation: what is built in, and what the files say.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::calling::Calling;
use crate::decision::Mode;
use crate::error::{MAX_FILE, PolicyError};
use crate::grant::{Grant, Source};
use crate::parse::{self, Context, File};
use crate::pattern::Bases;
use crate::places::Places;
use crate::profiles;
use crate::rules::Rules;

/// The rules of one compilation, from which those of each macro package follow.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    calling: Arc<Calling>,
    mode: Mode,
    /// In the order in which they count.
    grants: Vec<Grant>,
    files: Vec<PathBuf>,
    package: Option<String>,
    workspace: Option<String>,
    home: Option<String>,
}

impl Policy {
    /// The built-in rules alone.
    #[must_use]
    pub fn built_in(calling: Calling) -> Self {
        Self::without_files(calling, &Places::default())
    }

    /// What the files in these places say, and the built-in rules. A file that is not there says nothing.
    pub fn load(calling: Calling, places: &Places) -> Result<Self, PolicyError> {
        let mut policy = Self::without_files(calling, places);
        let by_variable = match places.mode.as_deref() {
            None => None,
            Some("enforce") => Some(Mode::Enforce),
            Some("report") => Some(Mode::Report),
            Some(value) => return Err(PolicyError::Mode { value: value.to_owned() }),
        };
        let mut mode = None;
        let files = [(Source::Workspace, &places.workspace_file), (Source::User, &places.user_file)];
        for (source, path) in files {
            let Some(path) = path else { continue };
            // One file in both places is the workspace's.
            if policy.files.contains(path) {
                continue;
            }
            policy.files.push(path.clone());
            let Some(text) = read_file(path)? else { continue };
            let file = policy.read(source, path, &text)?;
            // Whoever wants it enforced gets that, whatever somebody else's file says.
            mode = match (mode, file.mode) {
                (Some(Mode::Enforce), _) | (_, Some(Mode::Enforce)) => Some(Mode::Enforce),
                (mode, of_file) => mode.or(of_file),
            };
            policy.grants.extend(file.grants);
        }
        policy.mode = by_variable.or(mode).unwrap_or_default();
        Ok(policy)
    }

    fn without_files(calling: Calling, places: &Places) -> Self {
        let absolute = |path: &str| path.starts_with('/').then(|| normal(path));
        let of_file = places.workspace_file.as_deref().and_then(Path::parent).and_then(Path::to_str);
        let workspace = calling.workspace_root.as_deref().or(of_file).and_then(absolute);
        let home = places
            .home
            .as_deref()
            .and_then(Path::to_str)
            .or(calling.environment.get("HOME").map(String::as_str));
        Self {
            package: calling.manifest_dir.as_deref().and_then(absolute),
            workspace,
            home: home.and_then(absolute),
            calling: Arc::new(calling),
            ..Self::default()
        }
    }

    fn bases(&self) -> Bases<'_> {
        Bases { package: self.package.as_deref(), workspace: self.workspace.as_deref() }
    }

    fn read(&self, source: Source, path: &Path, text: &str) -> Result<File, PolicyError> {
        let name = path.display().to_string();
        let short = match (source, &self.home) {
            (Source::Workspace, _) => {
                path.file_name().map_or(name.clone(), |name| name.to_string_lossy().into_owned())
            }
            (_, Some(home)) => {
                crate::pattern::beneath(home, &name).map_or(name.clone(), |rest| format!("~/{rest}"))
            }
            (_, None) => name.clone(),
        };
        let context =
            Context { calling: Some(&self.calling.package), bases: self.bases(), home: self.home.as_deref() };
        parse::read(text, source, &name, &short, &context)
            .map_err(|mistakes| PolicyError::Mistakes { mistakes })
    }

    /// The files that it depends on, whether they are there or not.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Every grant of the files, those of the workspace first.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// What holds for the macros of this package, in the crate that is being compiled.
    #[must_use]
    pub fn rules(&self, package: &str, version: &str) -> Rules {
        let calling = &self.calling.package;
        let mut grants: Vec<&Grant> =
            self.grants.iter().filter(|grant| grant.is_for(package, version, calling)).collect();
        // What gives no access to anything applies by itself, unless a file says otherwise.
        let profile = match grants.iter().any(|grant| grant.state.is_some()) {
            true => None,
            false => profiles::automatic(package, version),
        };
        grants.extend(&profile);
        Rules::of(&self.calling, self.mode, grants.into_iter(), &self.bases(), self.home.as_deref())
    }
}

/// An absolute path without `.`, `..` and double slashes, by name alone.
fn normal(path: &str) -> String {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    format!("/{}", components.join("/"))
}

/// The text of a file, or nothing if there is none.
pub(crate) fn read_file(path: &Path) -> Result<Option<String>, PolicyError> {
    let unreadable = |error| PolicyError::Unreadable { path: path.to_owned(), error };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(unreadable(e)),
    };
    // Asked before it is opened: opening a FIFO would wait for somebody to write to it.
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(PolicyError::NoFile { path: path.to_owned(), what });
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(PolicyError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map(Some).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        PolicyError::NotUtf8 { path: path.to_owned(), line }
    })
}
