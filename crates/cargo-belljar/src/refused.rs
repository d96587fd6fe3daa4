//! What a build says of refused requests: the cause, and the command that would grant them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use belljar_guest::REFUSED;
use belljar_policy::{Calling, Outcome, profiles};

use crate::log::{Entry, UnitLog};
use crate::wrapper::afterwards::GUEST;

/// Requests that one note shows, and values that one command has.
const SHOWN: usize = 8;

/// Characters of one request that a note shows: the log has all of it.
const LENGTH: usize = 300;

/// The longest command that is proposed.
const COMMAND: usize = 1000;

/// Proposed where a command would be too long to be read.
const ONE_BY_ONE: &str = "cargo belljar allow --from-log";

/// The arguments of `cargo belljar allow` that would grant what was refused to one macro package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) read: BTreeSet<String>,
    pub(crate) list: BTreeSet<String>,
    pub(crate) env: BTreeSet<String>,
}

impl Wanted {
    /// What the refused entries of one macro package come to. Paths are written as `belljar.toml` has them.
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>, calling: &Calling) -> Self {
        let mut wanted = Self::default();
        entries.into_iter().for_each(|entry| wanted.add(entry, calling));
        wanted
    }

    fn add(&mut self, entry: &Entry, calling: &Calling) {
        // No argument of a command can have a zero byte in it, and nothing real has such a name.
        let Some(name) = entry.name.as_deref().filter(|name| !name.contains('\0')) else { return };
        match entry.what.as_str() {
            "env" => self.env.insert(name.to_owned()),
            "read" | "look-at" | "read-link" => self.read.insert(as_granted(name, calling)),
            "list" => self.list.insert(as_granted(name, calling)),
            _ => false,
        };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.list.is_empty() && self.env.is_empty()
    }

    /// The command that grants it, or goes through it where it is much.
    fn command(&self, package: &str, whose: Whose) -> String {
        let values = self.read.len() + self.list.len() + self.env.len();
        let command =
            (values <= SHOWN).then(|| self.arguments(&format!("{} {}", whose.allow(), quoted(package))));
        command.filter(|command| command.len() <= COMMAND).unwrap_or_else(|| match whose {
            Whose::Workspace => ONE_BY_ONE.to_owned(),
            Whose::User => format!("{} {} --read … --reason '…'", whose.allow(), quoted(package)),
        })
    }

    /// The command that grants it, however long. Where `calling` names a package, only when that calls.
    pub(crate) fn whole_command(&self, package: &str, calling: Option<&str>) -> String {
        let mut command = format!("{} {}", Whose::Workspace.allow(), quoted(package));
        if let Some(calling) = calling {
            let _ = write!(command, " --for {}", quoted(calling));
        }
        self.arguments(&command)
    }

    /// A command with what is wanted behind it.
    fn arguments(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (flag, values) in [("read", &self.read), ("list", &self.list), ("env", &self.env)] {
            for value in values {
                let _ = write!(command, " --{flag} {}", quoted(value));
            }
        }
        command.push_str(" --reason '…'");
        command
    }
}

/// Whose rules have a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Workspace,
    /// The user's own alone: what is installed does not decide what it is granted.
    User,
}

impl Whose {
    fn of(calling: &Calling) -> Self {
        if calling.workspace_root.is_some() { Self::Workspace } else { Self::User }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Workspace => "cargo belljar allow",
            Self::User => "cargo belljar allow --user",
        }
    }
}

/// A path as a grant names it: relative to the calling package or to the workspace where it is in one of them.
fn as_granted(path: &str, calling: &Calling) -> String {
    let below = |dir: &Option<String>| {
        let rest = path.strip_prefix(dir.as_deref()?)?.strip_prefix('/')?;
        (!rest.is_empty()).then(|| escaped(rest))
    };
    below(&calling.manifest_dir)
        .or_else(|| below(&calling.workspace_root).map(|rest| format!("workspace:{rest}")))
        .unwrap_or_else(|| escaped(path))
}

/// A path as a glob that matches it and nothing else.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if "*?[]{},\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A text of somebody else's, on one line and with nothing in it that a terminal obeys.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect()
}

/// A text of somebody else's, [`plain`] and not longer than is read.
fn short(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", plain(text.get(..end).unwrap_or_default())),
        None => plain(text),
    }
}

/// What has no place in a line.
fn is_odd(c: char) -> bool {
    belljar_inspect::is_odd(c) || c.is_control()
}

/// A word for a shell, with nothing in it that a terminal obeys.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_odd) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // The quotes of bash, zsh, ksh and POSIX 2024. Of a byte's escapes, the octal one is the one that takes no digit behind it for
    // its own in any of them, and that means the same in every locale.
    let mut out = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_odd(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Whether the macro would have got something else without belljar. A variable that is refused is not there for it: where it is
/// not set, that is what it would have been told anyway. (Many macros ask for a variable that switches on debugging.) That it
/// asked is on record.
pub(crate) fn makes_a_difference(refused: &Entry) -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none();
    refused.what != "env" || !refused.name.as_deref().is_some_and(unset)
}

/// The text of a note about these refused entries of one crate.
pub(crate) fn note(refused: &[Entry], calling: &Calling, failed: bool) -> String {
    let packages = by_package(refused.iter().map(|entry| (entry, calling)));
    let mut text = format!("{REFUSED}what macros of this crate asked for{}", requests(&packages));
    for line in advice(&packages, failed) {
        let _ = write!(text, "\n  {line}");
    }
    text
}

/// The same of a crate that is compiled for a guest.
pub(crate) fn note_of_guest(refused: &[Entry], calling: &Calling) -> String {
    let packages = by_package(refused.iter().map(|entry| (entry, calling)));
    let (package, version) = (short(&calling.package), short(&calling.version));
    format!(
        "{REFUSED}what macros asked for that {package} {version} itself is made with{}\n  \
         no grant holds there: a macro is made of the same on every machine",
        requests(&packages)
    )
}

/// Some lines on what was refused.
fn requests(packages: &ByPackage<'_>) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for (&(package, version), entries) in packages {
        for (entry, _) in entries {
            shown += 1;
            if shown > SHOWN {
                continue;
            }
            let macro_name = short(&entry.macro_name);
            let (package, version) = (short(package), short(version));
            let _ = write!(text, "\n  `{macro_name}` of {package} {version}: {}", short(&entry.request));
            if let Some(call) = entry.calls.first() {
                let _ = write!(text, "\n    at {}:{}", short(&call.file), call.line);
            }
        }
    }
    if shown > SHOWN {
        let _ =
            write!(text, "\n  and {} more: `cargo belljar log --outcome refused` lists them", shown - SHOWN);
    }
    text
}

/// Refused entries, each with the crate for which it was refused, by the macro package's name and version.
type ByPackage<'a> = BTreeMap<(&'a str, &'a str), Vec<(&'a Entry, &'a Calling)>>;

fn by_package<'a>(refused: impl Iterator<Item = (&'a Entry, &'a Calling)>) -> ByPackage<'a> {
    let mut packages = ByPackage::new();
    for (entry, calling) in refused {
        packages.entry((&entry.package, &entry.version)).or_default().push((entry, calling));
    }
    packages
}

/// One line for each package that could be granted what it was refused, with the command that does it.
fn advice(packages: &ByPackage<'_>, failed: bool) -> Vec<String> {
    let of = |(&(package, version), entries): (&(&str, &str), &Vec<(&Entry, &Calling)>)| {
        let mut wanted = Wanted::default();
        entries.iter().for_each(|(entry, calling)| wanted.add(entry, calling));
        if wanted.is_empty() {
            return None;
        }
        let whose = entries.first().map_or(Whose::Workspace, |(_, calling)| Whose::of(calling));
        let known = profiles::suggest(package, version).filter(|profile| !profile.automatic);
        let (why, command) = match known {
            Some(profile) => {
                let command = format!("{} {} --known", whose.allow(), quoted(package));
                (format!(" (known: {})", profile.grant.reason), command)
            }
            None => (String::new(), wanted.command(package, whose)),
        };
        let intro = if failed { "if that is why this fails, and you want it" } else { "to allow it" };
        Some(format!("help: {intro}{why}: {command}"))
    };
    let mut lines: Vec<String> = packages.iter().filter_map(of).collect();
    // Those that are too much for a command have the same line.
    lines.dedup();
    lines
}

/// What is said at the end of a build: crates that aren't the user's have no note of their own, and the others' may be far
/// above.
pub(crate) fn summary(logs: &[UnitLog], failed: bool) -> Option<String> {
    let told = |entry: &Entry| entry.is(Outcome::Refused) && makes_a_difference(entry);
    let crates: Vec<(&UnitLog, Calling)> = logs
        .iter()
        .filter(|log| log.entries.iter().any(told))
        .map(|log| (log, log.header.calling()))
        .collect();
    let names: BTreeSet<&str> = crates.iter().map(|(log, _)| log.header.package.as_str()).collect();
    let first = names.first()?;
    let of = match names.len() {
        1 => format!("macros of `{}`", short(first)),
        n => format!("macros of {n} packages"),
    };
    let mut text = format!("belljar refused {of} something: `cargo belljar log --last --outcome refused`");
    // A build that went well without needs nothing.
    if failed {
        let grantable = crates.iter().filter(|(log, _)| log.header.program != GUEST);
        let all = grantable.flat_map(|(log, calling)| log.entries.iter().map(move |e| (e, calling)));
        let packages = by_package(all.filter(|(entry, _)| told(entry)));
        let lines = advice(&packages, failed);
        for line in lines.iter().take(SHOWN) {
            let _ = write!(text, "\n  {line}");
        }
        if lines.len() > SHOWN {
            let _ = write!(text, "\n  help: one by one, all that it asked for: {ONE_BY_ONE}");
        }
    }
    Some(text)
}

/// Prints a note in the form in which rustc gives its messages to cargo, which shows it, keeps it and shows it again when
/// nothing is compiled. Gives what was printed.
pub(crate) fn print_json(text: &str) -> String {
    let message = serde_json::json!({
        "$message_type": "diagnostic",
        "message": text,
        "code": null,
        "level": "note",
        "spans": [],
        "children": [],
        "rendered": format!("note: {text}\n\n"),
    });
    let line = format!("{message}\n");
    // One call, one line: others write to the same pipe.
    let _ = std::io::stderr().write_all(line.as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use belljar_policy::Request;

    use super::*;
    use crate::log::Call;

    fn entry(what: &str, name: Option<&str>, request: &str) -> Entry {
        Entry {
            macro_name: "derive(Template)".to_owned(),
            package: "askama_derive".to_owned(),
            version: "0.12.5".to_owned(),
            what: what.to_owned(),
            name: name.map(str::to_owned),
            request: request.to_owned(),
            outcome: "refused".to_owned(),
            reason: "nothing grants it".to_owned(),
            times: 1,
            remembered: 0,
            calls: vec![Call { file: "src/main.rs".to_owned(), line: 3 }],
            more_calls: 0,
        }
    }

    fn calling() -> Calling {
        Calling {
            manifest_dir: Some("/ws/web".to_owned()),
            workspace_root: Some("/ws".to_owned()),
            ..Calling::default()
        }
    }

    #[test]
    fn a_note_says_what_and_where_and_how_to_go_on() {
        let entries = [
            entry("read", Some("/ws/web/templates/a b.html"), "read file `/ws/web/templates/a b.html`"),
            entry("look-at", Some("/ws/shared/[x].css"), "look at `/ws/shared/[x].css`"),
            entry("read", Some("/etc/passwd"), "read file `/etc/passwd`"),
            entry("env", Some("HOME"), "environment variable `HOME`"),
            entry("socket", None, "use a socket"),
        ];
        insta::assert_snapshot!(note(&entries, &calling(), true));
    }

    #[test]
    fn many_requests_are_few_lines() {
        let entries: Vec<_> = (0..20).map(|_| entry("socket", None, "use a socket")).collect();
        let text = note(&entries, &calling(), false);
        assert_eq!(text.lines().count(), 1 + 2 * SHOWN + 1, "{text}");
        assert!(text.ends_with("and 12 more: `cargo belljar log --outcome refused` lists them"), "{text}");
    }

    #[test]
    fn a_word_for_a_shell_is_one_word() {
        assert_eq!(quoted("serde_derive"), "serde_derive");
        assert_eq!(quoted("templates/**"), "'templates/**'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("a\nb"), "$'a\\012b'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("größe"), "'größe'");
    }

    #[test]
    fn a_shell_has_the_word_back_and_a_terminal_shows_nothing_odd() {
        let words = [
            "plain",
            "",
            "it's $HOME `id` \"x\" \\n !1 *",
            "\u{1b}[2J it's 1\\2",
            "\u{1}1\u{7f}7\r\n\t end\n",
            "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{ad}f\u{3164}",
            "größe\u{9b}31m",
            "\u{e0041}\u{fe0f}'\u{2028}\\",
        ];
        for locale in ["C", "C.UTF-8"] {
            for word in words {
                let quoted = quoted(word);
                assert!(!quoted.chars().any(is_odd), "{quoted:?}");
                let mut bash = std::process::Command::new("bash");
                let script = format!("printf '%s' {quoted}");
                let output = bash.args(["-c", &script]).env("LC_ALL", locale).output().unwrap();
                assert_eq!(output.stdout, word.as_bytes(), "{word:?} as {quoted} in {locale}");
            }
        }
    }

    #[test]
    fn much_is_no_long_command() {
        let long = format!("/{}", "\u{1}".repeat(4000));
        let of_unknown = |entry: Entry| Entry { package: "mac".to_owned(), ..entry };
        let many = (0..9).map(|n| entry("env", Some(&format!("V{n}")), "a variable"));
        let many: Vec<_> = many.map(of_unknown).collect();
        let few = &many[..8];
        let one = [entry("read", Some(&long), &Request::from_word("read", Some(&long)).unwrap().to_string())];
        for (entries, expected) in
            [(&many[..], "allow: cargo belljar allow --from-log"), (few, "--env V7 --reason")]
        {
            let text = note(entries, &calling(), false);
            assert!(text.replace(" it", "").contains(expected), "{text}");
        }
        let text = note(&one.map(of_unknown), &calling(), true);
        assert!(text.len() < 1000 && text.ends_with(": cargo belljar allow --from-log"), "{text}");
        let zero = note(&[of_unknown(entry("env", Some("A\0"), "a variable"))], &calling(), true);
        assert!(!zero.contains("cargo belljar allow"), "{zero}");
    }
}
