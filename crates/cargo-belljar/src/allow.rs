//! `cargo belljar allow`: from a refusal to a grant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use belljar_plan::Workspace;
use belljar_policy::edit::{self, EditError, NewGrant};
use belljar_policy::{Calling, FILE_NAME, Grant, Outcome, PolicyError, profiles};
use camino::{Utf8Path, Utf8PathBuf};

use crate::build::{self, CommandError};
use crate::log::{self, Entry, UnitLog};
use crate::refused::{Wanted, plain};
use crate::wrapper::afterwards::GUEST;
use crate::{policy, report};

/// Let a macro package reach something: adds a grant to belljar.toml
#[derive(Debug, clap::Args)]
pub(crate) struct Allow {
    /// The macro package, as the note and the log name it
    #[arg(value_name = "MACRO PACKAGE", required_unless_present = "from_log")]
    package: Option<String>,
    /// Only these versions of it, as in Cargo.toml
    #[arg(long = "version", value_name = "REQUIREMENT")]
    versions: Option<String>,
    /// Only where this package calls it
    #[arg(long = "for", value_name = "PACKAGE")]
    calling: Vec<String>,
    /// Files that it may read: relative to the calling package, `workspace:…`, or absolute
    #[arg(long, value_name = "GLOB")]
    read: Vec<String>,
    /// Directories whose entries it may list
    #[arg(long, value_name = "GLOB")]
    list: Vec<String>,
    /// Environment variables that it may read; a `*` may stand at the end
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Let all calls in one crate share what they leave in memory
    #[arg(long, value_name = "STATE", value_parser = ["crate"])]
    state: Option<String>,
    /// Have its random numbers depend on this text, too
    #[arg(long, value_name = "SEED")]
    random: Option<String>,
    /// Let it see the real time
    #[arg(long)]
    time: bool,
    /// Accept globs that cover `/` or a home directory
    #[arg(long)]
    wide: bool,
    /// Why, for whoever reads the file next
    #[arg(long)]
    reason: Option<String>,
    /// Grant what belljar knows that it needs
    #[arg(long, conflicts_with_all = ["read", "list", "env", "state", "random", "time", "wide"])]
    known: bool,
    /// Go through what the last build was refused, one by one
    #[arg(long, conflicts_with_all = ["package", "versions", "calling", "read", "list", "env", "state", "random", "time", "wide", "reason", "known"])]
    from_log: bool,
    /// Write it into your own defaults, which hold in every workspace and for `cargo belljar install`
    #[arg(long, conflicts_with_all = ["from_log", "manifest_path"])]
    user: bool,
    /// Path of the Cargo.toml of the project
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AllowError {
    #[error("{0}")]
    Edit(#[from] EditError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(
        "{path} is a link that leads to no file, so belljar can't tell where the grant belongs\nnext: make the file to which it leads, or remove the link"
    )]
    Dangling { path: Utf8PathBuf },
    #[error("{path} can't be {what}: {source}\nnext: check its rights, and the disk's room")]
    File { path: Utf8PathBuf, what: &'static str, source: io::Error },
    #[error(
        "belljar knows nothing about what `{package}` needs\nnext: name it with --read, --list, --env; what it was refused is in `cargo belljar log --macro {package}`. Known are: {}",
        profiles::names().collect::<Vec<_>>().join(", ")
    )]
    NotKnown { package: String },
    #[error(
        "no file of your own defaults is known\nnext: set HOME, or BELLJAR_CONFIG to the path of a belljar.toml"
    )]
    NoUserFile,
    #[error("the answer can't be read: {source}\nnext: nothing was changed by it; run the command again")]
    Answer { source: io::Error },
}

impl Allow {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        if self.user {
            return Ok(self.run_for_user()?);
        }
        let workspace = build::workspace_of(self.manifest_path.as_ref())?;
        let file = PolicyFile { path: workspace.root.join(FILE_NAME) };
        if self.from_log {
            return from_log(&file, &workspace);
        }
        let package = self.package.clone().unwrap_or_default();
        let versions = locked_versions(&workspace.root.join("Cargo.lock"), &package);
        if versions.is_empty() {
            report::warning(format_args!(
                "no package `{}` is in this workspace's Cargo.lock: a grant is for a macro package, not for a macro",
                plain(&package)
            ));
        }
        let grant = if self.known { self.of_profile(&package, &versions)? } else { self.into_grant(package) };
        file.add(&grant)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Adds the grant to the user's own defaults. Which version will be met there nobody knows: what is known is granted to those
    /// for which it is known.
    fn run_for_user(self) -> Result<ExitCode, AllowError> {
        let path = policy::places(None).user_file.and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
        let path = build::cwd().ok().zip(path).map(|(cwd, path)| cwd.join(path));
        let file = PolicyFile { path: path.ok_or(AllowError::NoUserFile)? };
        let dir = file.path.parent().unwrap_or(Utf8Path::new("/"));
        std::fs::create_dir_all(dir).map_err(|source| AllowError::File {
            path: dir.to_owned(),
            what: "made",
            source,
        })?;
        let package = self.package.clone().unwrap_or_default();
        if !self.known {
            file.add(&self.into_grant(package))?;
            return Ok(ExitCode::SUCCESS);
        }
        let known = profiles::grants(&package);
        if known.is_empty() {
            return Err(AllowError::NotKnown { package: plain(&package) });
        }
        for grant in &known {
            let (versions, reason) = (self.versions.clone(), self.reason.clone());
            let grant = of_grant(grant);
            file.add(&NewGrant {
                version: versions.or(grant.version),
                calling: self.calling.clone(),
                reason: reason.or(grant.reason),
                ..grant
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn into_grant(self, macro_package: String) -> NewGrant {
        NewGrant {
            macro_package,
            version: self.versions,
            calling: self.calling,
            read: self.read,
            list: self.list,
            env: self.env,
            state: self.state.is_some(),
            random: self.random,
            time: self.time,
            wide: self.wide,
            reason: self.reason,
        }
    }

    fn of_profile(&self, package: &str, versions: &[String]) -> Result<NewGrant, AllowError> {
        let known = versions.iter().rev().find_map(|version| profiles::suggest(package, version));
        let profile = known.ok_or_else(|| AllowError::NotKnown { package: plain(package) })?;
        report::status("Known", format_args!("{package}: {}", profile.grant.reason));
        let reason = self.reason.clone();
        Ok(NewGrant {
            version: self.versions.clone(),
            calling: self.calling.clone(),
            reason: reason.or_else(|| Some(profile.grant.reason.clone())),
            ..of_grant(&profile.grant)
        })
    }
}

/// The same grant, to be written into another file.
fn of_grant(grant: &Grant) -> NewGrant {
    let paths =
        |patterns: &[belljar_policy::PathPattern]| patterns.iter().map(|p| p.as_str().to_owned()).collect();
    NewGrant {
        macro_package: grant.macro_package.clone(),
        version: grant.version.as_ref().map(ToString::to_string),
        calling: grant.calling.clone(),
        read: paths(&grant.read),
        list: paths(&grant.list),
        env: grant.env.iter().map(ToString::to_string).collect(),
        state: grant.state == Some(belljar_policy::State::Crate),
        random: grant.random.clone(),
        time: grant.time == Some(true),
        wide: grant.wide,
        reason: Some(grant.reason.clone()),
    }
}

/// The versions of a package in a lockfile, oldest first; none if it can't be read.
fn locked_versions(lockfile: &Utf8Path, package: &str) -> Vec<String> {
    // Anything else may never be read to its end.
    let text = lockfile.is_file().then(|| std::fs::read_to_string(lockfile).unwrap_or_default());
    let text = text.unwrap_or_default();
    let Ok(lock) = text.parse::<toml_edit::DocumentMut>() else { return Vec::new() };
    let packages = lock.get("package").and_then(toml_edit::Item::as_array_of_tables);
    let text =
        |table: &toml_edit::Table, key: &str| table.get(key).and_then(|v| v.as_str()).map(str::to_owned);
    let of = packages.into_iter().flatten().filter(|table| text(table, "name").as_deref() == Some(package));
    of.filter_map(|table| text(table, "version")).collect()
}

/// The workspace's `belljar.toml`, whether it is there or not.
struct PolicyFile {
    path: Utf8PathBuf,
}

impl PolicyFile {
    /// Adds a grant. The file is written whole or not at all, and keeps its rights; a link to it stays one.
    fn add(&self, grant: &NewGrant) -> Result<(), AllowError> {
        let error = |what| {
            let path = self.path.clone();
            move |source| AllowError::File { path, what, source }
        };
        let (path, text) = match edit::read(self.path.as_std_path())? {
            Some(text) => (self.path.canonicalize_utf8().map_err(error("read"))?, text),
            None if self.path.is_symlink() => return Err(AllowError::Dangling { path: self.path.clone() }),
            None => (self.path.clone(), String::new()),
        };
        let new = edit::add(&text, FILE_NAME, grant)?;
        if new == text {
            report::status("Unchanged", format_args!("{}: all of that is granted", self.path));
            return Ok(());
        }
        let dir = path.parent().unwrap_or(Utf8Path::new("."));
        let mut file = tempfile::Builder::new();
        // As any file that a person would make here.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mode = path.metadata().map_or(mode, |there| there.permissions());
        let mut file = file.permissions(mode.clone()).tempfile_in(dir).map_err(error("written"))?;
        file.write_all(new.as_bytes()).map_err(error("written"))?;
        file.as_file().set_permissions(mode).map_err(error("written"))?;
        file.persist(&path).map_err(|e| error("written")(e.error))?;
        report::status("Allowed", format_args!("{} in {}", summary(grant), self.path));
        Ok(())
    }
}

/// `askama_derive to read templates/**`
fn summary(grant: &NewGrant) -> String {
    let mut what = Vec::new();
    for (verb, names) in [("read", &grant.read), ("list", &grant.list), ("read variables", &grant.env)] {
        if !names.is_empty() {
            what.push(format!(
                "{verb} {}",
                names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    what.extend(grant.state.then(|| "keep state".to_owned()));
    what.extend(grant.random.is_some().then(|| "have random numbers of its own seed".to_owned()));
    what.extend(grant.time.then(|| "see the time".to_owned()));
    let calling: Vec<_> = grant.calling.iter().map(|name| plain(name)).collect();
    let calling = if calling.is_empty() { String::new() } else { format!(", for {}", calling.join(", ")) };
    format!("{} to {}{calling}", plain(&grant.macro_package), what.join(", "))
}

/// What one macro package was refused in one calling package, by the last build.
struct Proposal {
    package: String,
    version: String,
    calling: String,
    entries: Vec<Entry>,
    wanted: Wanted,
}

fn proposals(logs: &[UnitLog]) -> Vec<Proposal> {
    let mut of: BTreeMap<(String, String, String), (Calling, Vec<Entry>)> = BTreeMap::new();
    for log in logs.iter().filter(|log| log.header.program != GUEST) {
        for entry in log.entries.iter().filter(|e| e.is(Outcome::Refused) || e.is(Outcome::Reported)) {
            let key = (entry.package.clone(), entry.version.clone(), log.header.package.clone());
            let (_, entries) = of.entry(key).or_insert_with(|| (log.header.calling(), Vec::new()));
            if !entries.iter().any(|other| other.request == entry.request) {
                entries.push(entry.clone());
            }
        }
    }
    let proposal = |((package, version, calling), (of, entries)): (_, (Calling, Vec<Entry>))| {
        let wanted = Wanted::of(&entries, &of);
        Proposal { package, version, calling, entries, wanted }
    };
    of.into_iter().map(proposal).filter(|proposal| !proposal.wanted.is_empty()).collect()
}

fn from_log(file: &PolicyFile, workspace: &Workspace) -> Result<ExitCode, CommandError> {
    let logs = log::of_workspace(workspace)?;
    logs.warn();
    let proposals = proposals(&log::show::of_last_build(logs.units));
    if proposals.is_empty() {
        report::status("Nothing", "to allow: the last build was refused nothing that can be granted");
        return Ok(ExitCode::SUCCESS);
    }
    if !io::stdin().is_terminal() {
        report::warning("nothing was changed: nobody is there to be asked. These commands would grant it:");
        for proposal in &proposals {
            let Proposal { package, calling, wanted, .. } = proposal;
            anstream::println!("{}", wanted.whole_command(package, Some(calling)));
        }
        return Ok(ExitCode::FAILURE);
    }
    let mut dialog = Dialog { input: io::stdin().lock(), output: anstream::stderr().lock() };
    for proposal in &proposals {
        match dialog.ask_about(proposal).map_err(|source| AllowError::Answer { source })? {
            Said::Grant(grant) => file.add(&grant)?,
            Said::Nothing => {}
            Said::Quit => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

enum Said {
    Grant(Box<NewGrant>),
    Nothing,
    Quit,
}

struct Dialog<I, O> {
    input: I,
    output: O,
}

impl<I: BufRead, O: Write> Dialog<I, O> {
    /// A line, or `None` at the end.
    fn line(&mut self, prompt: &str) -> io::Result<Option<String>> {
        write!(self.output, "{prompt} ")?;
        self.output.flush()?;
        let mut line = String::new();
        let read = self.input.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    }

    /// `None` for an end to all questions.
    fn yes(&mut self, question: &str) -> io::Result<Option<bool>> {
        loop {
            match self.line(&format!("{question} [y/N/q]"))?.as_deref() {
                None | Some("q" | "Q" | "quit") => return Ok(None),
                Some("y" | "Y" | "yes") => return Ok(Some(true)),
                Some("" | "n" | "N" | "no") => return Ok(Some(false)),
                Some(_) => writeln!(self.output, "y for yes, n for no, q to stop")?,
            }
        }
    }

    fn ask_about(&mut self, proposal: &Proposal) -> io::Result<Said> {
        let Proposal { package, version, calling, entries, wanted } = proposal;
        let mut text = format!("\n{} {}, called by {}:", plain(package), plain(version), plain(calling));
        for entry in entries {
            let _ = write!(text, "\n  `{}`: {}", plain(&entry.macro_name), plain(&entry.request));
            if let Some(call) = entry.calls.first() {
                let _ = write!(text, "\n    at {}:{}", plain(&call.file), call.line);
            }
        }
        writeln!(self.output, "{text}")?;
        if let Some(profile) = profiles::suggest(package, version).filter(|profile| !profile.automatic) {
            writeln!(self.output, "belljar knows this macro package: {}", profile.grant.reason)?;
            let grant = of_grant(&profile.grant);
            match self.yes(&format!("Allow {}?", summary(&grant)))? {
                None => return Ok(Said::Quit),
                Some(true) => return Ok(Said::Grant(Box::new(grant))),
                Some(false) => {}
            }
        }
        // What is shown and asked about is what one package was refused: nothing more is granted.
        let mut grant = NewGrant {
            macro_package: package.clone(),
            calling: vec![calling.clone()],
            ..NewGrant::default()
        };
        let chosen = [
            ("read", &wanted.read, &mut grant.read),
            ("list", &wanted.list, &mut grant.list),
            ("read variable", &wanted.env, &mut grant.env),
        ];
        for (verb, names, chosen) in chosen {
            for name in names {
                match self.yes(&format!("Allow {} to {verb} `{}`?", plain(package), plain(name)))? {
                    None => return Ok(Said::Quit),
                    Some(true) => chosen.push(name.clone()),
                    Some(false) => {}
                }
            }
        }
        if grant.read.is_empty() && grant.list.is_empty() && grant.env.is_empty() {
            return Ok(Said::Nothing);
        }
        loop {
            match self.line("Why? (a few words, for whoever reads the file next)")? {
                None => return Ok(Said::Quit),
                Some(reason) if reason.is_empty() => {}
                Some(reason) => {
                    grant.reason = Some(reason);
                    return Ok(Said::Grant(Box::new(grant)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Call;

    fn proposal(package: &str) -> Proposal {
        let entry = |what: &str, name: &str, request: &str| Entry {
            macro_name: "derive(Template)".to_owned(),
            package: package.to_owned(),
            version: "0.14.0".to_owned(),
            what: what.to_owned(),
            name: Some(name.to_owned()),
            request: request.to_owned(),
            outcome: "refused".to_owned(),
            reason: "nothing grants it".to_owned(),
            times: 1,
            remembered: 0,
            calls: vec![Call { file: "src/main.rs".to_owned(), line: 3 }],
            more_calls: 0,
        };
        let entries = vec![
            entry("read", "/ws/web/a.txt", "read file `/ws/web/a.txt`"),
            entry("env", "HOME", "environment variable `HOME`"),
        ];
        let calling = Calling { manifest_dir: Some("/ws/web".to_owned()), ..Calling::default() };
        Proposal {
            package: package.to_owned(),
            version: "0.14.0".to_owned(),
            calling: "web".to_owned(),
            wanted: Wanted::of(&entries, &calling),
            entries,
        }
    }

    fn said(package: &str, answers: &str) -> (Option<NewGrant>, String) {
        let mut output = Vec::new();
        let said =
            Dialog { input: answers.as_bytes(), output: &mut output }.ask_about(&proposal(package)).unwrap();
        let grant = match said {
            Said::Grant(grant) => Some(*grant),
            Said::Nothing | Said::Quit => None,
        };
        (grant, String::from_utf8(output).unwrap())
    }

    #[test]
    fn each_thing_is_asked_for_by_itself() {
        let (grant, text) = said("mac", "perhaps\ny\n\n\nthe texts\n");
        let grant = grant.unwrap();
        assert_eq!((grant.read, grant.env), (vec!["a.txt".to_owned()], vec![]));
        assert_eq!(grant.calling, ["web"], "it was asked about what this package was refused");
        assert_eq!(grant.reason.as_deref(), Some("the texts"));
        insta::assert_snapshot!(text);
        for answers in ["", "\n\n", "n\nn\n", "q\n", "y\nq\n", "y\ny\n", "y\ny\n\n"] {
            assert_eq!(said("mac", answers).0, None, "{answers:?}");
        }
    }

    #[test]
    fn versions_come_from_the_lockfile() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("Cargo.lock");
        std::fs::write(&path, "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n").unwrap();
        assert_eq!(locked_versions(&path, "a"), ["1.0.0"]);
        assert!(locked_versions(&path, "c").is_empty());
        assert!(locked_versions(&path.with_file_name("none"), "a").is_empty());
    }
}
