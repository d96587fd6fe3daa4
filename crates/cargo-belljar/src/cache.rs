//! `cargo belljar cache`: what is remembered of expansions, and how far builds trust it.
//!
//! | variable | meaning |
//! |---|---|
//! | `BELLJAR_CACHE` | `off`: nothing is remembered, and nothing that was remembered is used |
//! | `BELLJAR_CACHE_SIZE` | how large it may be: `500M`, `2G` |
//! | `BELLJAR_VERIFY_CACHE` | what `--verify-cache` says |

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use belljar_expander::{Ahead, Cache, Difference, Rechecked, Rerun, Verify};
use belljar_store::{Expansions, Problem, Store};

use crate::build::CommandError;
use crate::refused::plain;
use crate::report;

/// Whether expansions are remembered.
pub(crate) const CACHE: &str = "BELLJAR_CACHE";

/// How many remembered expansions are run all the same.
pub(crate) const VERIFY: &str = "BELLJAR_VERIFY_CACHE";

/// The flag of every command that builds.
const FLAG: &str = "--verify-cache";

/// Of a hundred, where `CI` is set and nothing else is said.
const IN_CI: f64 = 2.0;

#[derive(Debug, thiserror::Error)]
#[error(
    "`{value}` is not how many remembered expansions can be verified\nnext: write a percentage, as in `{FLAG}=5%`, or `all`, or `none`"
)]
pub(crate) struct BadVerify {
    value: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{macro_name} does not write what is remembered of it\n  both are in {files}; it is forgotten")]
struct NotWhatItWrites {
    macro_name: String,
    files: String,
}

/// Shows, checks or forgets what is remembered of expansions
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how much is remembered, and how often it was of use
    Stats,
    /// Run what is remembered again, and compare
    ///
    /// What depends on a project's files, policy or earlier calls can only be run in a build of that project: `cargo belljar check
    /// --verify-cache=all` does that, for what that build needs.
    Verify,
    /// Forget what was not used for longest, and give the room back
    Gc {
        /// How large it may be afterwards: `500M`, `2G`
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
    },
    /// Forget everything
    Clear,
    /// Show where it is
    Path,
}

fn size(text: &str) -> Result<u64, String> {
    belljar_store::size(text)
        .ok_or_else(|| "write bytes, or a number with K, M, G or T behind it, as in `2G`".to_owned())
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let store = Store::open_default()?;
        let expansions = Expansions::of(&store);
        match self.action {
            Action::Stats => stats(&expansions)?,
            Action::Verify => {
                let rerun = Rerun::new(&store, &version());
                // Macros may use more of a stack than this thread has.
                let thread =
                    std::thread::Builder::new().name("belljar guests".to_owned()).stack_size(rerun.stack());
                return std::thread::scope(|scope| {
                    let verifying = thread.spawn_scoped(scope, || verify(rerun, &expansions));
                    let verifying = verifying.map_err(|source| CommandError::Thread { source })?;
                    verifying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                });
            }
            Action::Gc { max_size } => {
                let before = expansions.stats()?;
                expansions.shrink(max_size)?;
                let after = expansions.stats()?;
                let gone = before.entries.saturating_sub(after.entries);
                let room = bytes(before.on_disk.saturating_sub(after.on_disk));
                report::status("Removed", format_args!("{gone} expansions, {room} of disk"));
            }
            Action::Clear => {
                // Where it can't be read, there is nothing to count.
                let before = expansions.stats().unwrap_or_default();
                expansions.clear()?;
                report::status(
                    "Removed",
                    format_args!("{} expansions, {}", before.entries, bytes(before.on_disk)),
                );
            }
            Action::Path => anstream::println!("{}", expansions.dir()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn stats(expansions: &Expansions) -> Result<(), Problem> {
    let stats = expansions.stats()?;
    let each = stats.bytes.checked_div(stats.entries).unwrap_or(0);
    let calls = stats.remembered + stats.run + stats.verified;
    let share = (stats.remembered + stats.verified) as f64 * 100.0 / calls.max(1) as f64;
    let rows = [
        ("expansions", stats.entries.to_string()),
        ("of them each", bytes(each)),
        ("on disk", format!("{} of {} at most", bytes(stats.on_disk), bytes(stats.allowed))),
        ("calls", calls.to_string()),
        ("remembered", format!("{} ({share:.0} %)", stats.remembered + stats.verified)),
        ("verified", stats.verified.to_string()),
    ];
    let mut out = anstream::stdout().lock();
    for (name, value) in rows {
        // Whoever reads it has read enough.
        let _ = writeln!(out, "{name:<14} {value}");
    }
    Ok(())
}

/// A number of bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn verify(mut rerun: Rerun, expansions: &Expansions) -> Result<ExitCode, CommandError> {
    let (mut same, mut of_project, mut to_be_seen, mut idle, mut failed) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut wrong = Vec::new();
    let damaged = expansions.each(|key, found| match rerun.again(key, &found.body) {
        Rechecked::Same => same += 1,
        Rechecked::OfProject => of_project += 1,
        Rechecked::ToBeSeen => to_be_seen += 1,
        Rechecked::Idle => idle += 1,
        Rechecked::Failed(name, why) => {
            failed += 1;
            report::warning(format_args!("{name} could not be run again: {why}"));
        }
        Rechecked::Different(difference) => wrong.push((*key, found.variant, difference)),
    })?;
    let dir = expansions.dir().join("differences");
    for (key, variant, difference) in &wrong {
        expansions.forget(key, variant);
        let hash = blake3::hash(key).to_hex();
        let files = keep(&dir, &hash[..16], difference)
            .map_err(|source| CommandError::Difference { path: dir.clone(), source })?;
        report::error(&NotWhatItWrites {
            macro_name: difference.macro_name.to_string(),
            files: files.join(" and "),
        });
    }
    expansions.settle();
    report::status("Verified", format_args!("{same} expansions: they are what their macros write"));
    let more = |n: u64, what: &str| {
        if n > 0 {
            report::note(format_args!("{n} {what}"));
        }
    };
    more(of_project, "depend on a project: `cargo belljar check --verify-cache=all` in it runs them");
    more(to_be_seen, "are not remembered, only kept for `cargo belljar expand`: their macros run every time");
    more(idle, "are of macros whose module is gone, or of another version of belljar: no build uses them");
    more(damaged, "were damaged, and are forgotten: no build had used them");
    Ok(if wrong.is_empty() && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Keeps the tokens of both sides of a difference, in two files.
pub(crate) fn keep(
    dir: &camino::Utf8Path,
    name: &str,
    difference: &Difference,
) -> std::io::Result<[String; 2]> {
    let dir = crate::own_dir::OwnDir::make(dir)?;
    let Difference { macro_name, call, was, now } = difference;
    let call =
        call.as_ref().map_or_else(String::new, |call| format!(", called at {}:{}", call.file, call.line));
    let head = plain(&format!("{macro_name}{call}"));
    let mut files = Vec::new();
    for (side, tokens) in [("remembered", was), ("now", now)] {
        let file = format!("{name}-{side}.txt");
        dir.write(&file, format!("// {head}\n{tokens}\n").as_bytes(), None)?;
        files.push(dir.path(&file).into_string());
    }
    let [was, now] = files.try_into().unwrap_or_default();
    Ok([was, now])
}

/// What decides an expansion beside its key.
fn version() -> String {
    belljar_guest::version_line()
}

/// What builds remember, as the environment says.
pub(crate) fn of_environment(store: &Store) -> Option<Cache> {
    is_on().then(|| Cache {
        expansions: Expansions::of(store),
        version: version().into(),
        verify: verification(),
        ahead: Ahead::default(),
    })
}

fn is_on() -> bool {
    !std::env::var(CACHE)
        .is_ok_and(|value| matches!(&*value.to_ascii_lowercase(), "off" | "0" | "false" | "no"))
}

fn verification() -> Verify {
    match std::env::var(VERIFY) {
        // Whoever wants something of this kind gets more of it, not less.
        Ok(value) => parse(&value).unwrap_or(Verify::All),
        Err(_) if std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false") => {
            Verify::Percent(IN_CI)
        }
        Err(_) => Verify::None,
    }
}

fn parse(value: &str) -> Option<Verify> {
    match value.trim() {
        "all" => Some(Verify::All),
        "none" => Some(Verify::None),
        percent => {
            let percent: f64 = percent.strip_suffix('%').unwrap_or(percent).trim_end().parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(Verify::Percent(percent))
        }
    }
}

/// Takes belljar's own flag from the arguments of a command that builds.
pub(crate) fn take_flag(args: &mut Vec<OsString>) -> Result<Option<String>, BadVerify> {
    let own = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let is_flag = |arg: &OsString| {
        arg.to_str()
            .and_then(|arg| arg.strip_prefix(FLAG))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let Some(at) = args[..own].iter().position(is_flag) else { return Ok(None) };
    let flag = args.remove(at).to_string_lossy().into_owned();
    let value = match flag.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None if at + 1 < own => args.remove(at).to_string_lossy().into_owned(),
        None => String::new(),
    };
    if parse(&value).is_none() {
        return Err(BadVerify { value });
    }
    Ok(Some(value))
}

/// Says why nothing is remembered, if that is so.
pub(crate) fn warn() {
    let problem =
        Store::open_default().ok().filter(|_| is_on()).and_then(|store| Expansions::of(&store).problem());
    if let Some(problem) = problem {
        report::warning(format_args!("expansions are not remembered: {problem}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_belljars_and_all_else_is_cargos() {
        let taken = |words: &[&str]| {
            let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
            let value = take_flag(&mut args).map_err(|bad| bad.value);
            (value, args.into_iter().map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>())
        };
        let rest = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(taken(&["-p", "x"]), (Ok(None), rest(&["-p", "x"])));
        assert_eq!(taken(&["--verify-cache=5%", "-p", "x"]), (Ok(Some("5%".to_owned())), rest(&["-p", "x"])));
        assert_eq!(
            taken(&["-p", "x", "--verify-cache", "all"]),
            (Ok(Some("all".to_owned())), rest(&["-p", "x"]))
        );
        let theirs = ["--", "--verify-cache=all"];
        assert_eq!(taken(&theirs), (Ok(None), rest(&theirs)));
        for bad in ["", "x", "101%", "-1", "NaN"] {
            assert_eq!(taken(&[&format!("--verify-cache={bad}")]).0, Err(bad.to_owned()));
        }
        assert_eq!(taken(&["--verify-cache"]).0, Err(String::new()));
    }

    #[test]
    fn sizes_are_short() {
        for (n, text) in [(0, "0 B"), (1_500, "1.5 kB"), (2_000_000, "2.0 MB"), (3_100_000_000, "3.1 GB")] {
            assert_eq!(bytes(n), text);
        }
    }
}
