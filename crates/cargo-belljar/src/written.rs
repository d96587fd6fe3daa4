//! What macros wrote, unit by unit: each call's place, and what its tokens are found by in the store.
//!
//! Each unit that rustc compiles has a file of its own, `<crate>-<hash>.jsonl` below `belljar/written` in the target directory,
//! written anew whenever the unit is compiled. Its first line says which crate it is of and which macros were called; each other
//! one is a call, in the compiler's order; the last one is a seal:
//!
//! ```text
//! {"belljar_written":2,"build":"…","package":"web","version":"0.1.0","crate":"web","program":"rustc","test":false,
//!  "edition":"2024","root":"/ws/web/src/main.rs","cwd":"/ws","failed":false,"not_listed":0,
//!  "macros":[{"kind":"derive","name":"Serialize","package":"serde_derive","version":"1.0.229","module":"84b0…"}]}
//! {"macro":0,"file":"src/main.rs","at":[3,10,3,19],"how":"remembered","microseconds":41,
//!  "wrote":{"digest":"…","kept":"<key><variant>","found":["lints","crate"]}}
//! {"seal":"…"}
//! ```
//!
//! The tokens themselves are in the store, as the compiler was handed them. A target directory can come with a project that somebody
//! else wrote; so nothing is shown of a file that has not the seal of this user's store.

use std::io;
use std::time::{Duration, SystemTime};

use belljar_expander::{CallSite, Ended, EntryName, Expansion, How, Recorded};
use belljar_inspect::{Kind as FindingKind, Kinds};
use belljar_store::Expansions;
use belljar_wire::abi::EntryKind;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::own_dir::OwnDir;
use crate::refused::plain;

/// Version of the format.
const FORMAT: u32 = 2;

/// The longest file that is read.
const MAX_FILE: u64 = 512 << 20;

const ENDING: &str = "jsonl";

/// Goes into seals, so that no other digest of the store's is taken for one.
const SEALED: &[u8] = b"belljar 2026 what macros wrote in a unit\0";

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    belljar_written: u32,
    #[serde(flatten)]
    pub(crate) of: Of,
    /// Calls that are not listed, because there were too many.
    pub(crate) not_listed: u64,
    pub(crate) macros: Vec<Macro>,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Of {
    /// Names the run of cargo that compiled it, if one is known.
    pub(crate) build: Option<String>,
    /// The calling package.
    pub(crate) package: String,
    pub(crate) version: String,
    #[serde(rename = "crate")]
    pub(crate) crate_name: String,
    /// What compiled it: rustc, clippy-driver…
    pub(crate) program: String,
    /// Whether it is compiled as a test harness.
    pub(crate) test: bool,
    /// Of the language, as the compiler was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) edition: Option<String>,
    /// The crate's first source file.
    pub(crate) root: Utf8PathBuf,
    /// The compiler's working directory, to which names of files may be relative.
    pub(crate) cwd: Utf8PathBuf,
    /// Whether the compiler failed.
    pub(crate) failed: bool,
}

/// A macro that was called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Macro {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) version: String,
    /// The digest of its module.
    pub(crate) module: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Derive,
    Attribute,
    Function,
}

impl Macro {
    /// As its user writes it: `name!`, `#[name]`, `derive(Name)`.
    pub(crate) fn written(&self) -> String {
        match self.kind {
            Kind::Function => format!("{}!", self.name),
            Kind::Attribute => format!("#[{}]", self.name),
            Kind::Derive => format!("derive({})", self.name),
        }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which of the header's macros.
    pub(crate) macro_at: usize,
    pub(crate) site: Option<CallSite>,
    pub(crate) how: How,
    pub(crate) took: Duration,
    pub(crate) ended: Ended,
}

/// What macros wrote in one unit.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) header: Header,
    pub(crate) calls: Vec<Call>,
    /// When the file was written.
    pub(crate) at: SystemTime,
}

impl Unit {
    /// The macro of a call.
    pub(crate) fn macro_of(&self, call: &Call) -> &Macro {
        // Looked at when it was read.
        &self.header.macros[call.macro_at]
    }
}

/// A call as a line of a file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "macro")]
    macro_at: usize,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    file: Option<String>,
    /// First line and column, and what is behind the last character.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    at: Option<[u32; 4]>,
    how: HowWord,
    microseconds: u64,
    #[serde(flatten)]
    ended: EndedWord,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HowWord {
    Run,
    Remembered,
    Verified,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndedWord {
    Wrote {
        digest: String,
        /// What it is found by: key and variant, in hexadecimal digits. Nothing, if it is not kept.
        kept: Option<String>,
        /// What kinds of findings there are in it, by their names.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        found: Vec<String>,
    },
    Panicked(Option<String>),
    Failed(String),
}

#[derive(Serialize, Deserialize)]
struct Last {
    seal: String,
}

impl Line {
    fn of(expansion: &Expansion) -> Self {
        let Expansion { macro_at, site, how, took, ended } = expansion;
        Self {
            macro_at: *macro_at,
            file: site.as_ref().map(|site| site.file.clone()),
            at: site.as_ref().map(|site| [site.line, site.column, site.end.0, site.end.1]),
            how: match how {
                How::Run => HowWord::Run,
                How::Remembered => HowWord::Remembered,
                How::Verified => HowWord::Verified,
            },
            microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            ended: match ended {
                Ended::Wrote { digest, kept, kinds } => EndedWord::Wrote {
                    found: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
                    digest: digest.to_hex().to_string(),
                    kept: kept.map(|EntryName { key, variant }| format!("{}{}", hex(&key), hex(&variant))),
                },
                Ended::Panicked(message) => EndedWord::Panicked(message.clone()),
                Ended::Failed(text) => EndedWord::Failed(text.clone()),
            },
        }
    }

    fn into_call(self) -> Result<Call, String> {
        let kept = |name: String| {
            let entry = name.split_at_checked(64).and_then(|(key, variant)| {
                let from = |hex: &str| blake3::Hash::from_hex(hex).ok().map(|hash| *hash.as_bytes());
                Some(EntryName { key: from(key)?, variant: from(variant)? })
            });
            entry.ok_or_else(|| format!("`{name}` names no entry"))
        };
        Ok(Call {
            macro_at: self.macro_at,
            site: self.file.zip(self.at).map(|(file, [line, column, end_line, end_column])| CallSite {
                file,
                line,
                column,
                end: (end_line, end_column),
            }),
            how: match self.how {
                HowWord::Run => How::Run,
                HowWord::Remembered => How::Remembered,
                HowWord::Verified => How::Verified,
            },
            took: Duration::from_micros(self.microseconds),
            ended: match self.ended {
                EndedWord::Wrote { digest, kept: kept_by, found } => Ended::Wrote {
                    kinds: kinds(&found)?,
                    digest: blake3::Hash::from_hex(digest).map_err(|e| e.to_string())?,
                    kept: kept_by.map(kept).transpose()?,
                },
                EndedWord::Panicked(message) => Ended::Panicked(message),
                EndedWord::Failed(text) => Ended::Failed(text),
            },
        })
    }
}

fn kinds(names: &[String]) -> Result<Kinds, String> {
    let mut kinds = Kinds::default();
    for name in names {
        kinds.add(FindingKind::of_name(name).ok_or_else(|| format!("`{name}` is no kind of finding"))?);
    }
    Ok(kinds)
}

fn hex(digest: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

impl Header {
    fn new(of: Of, recorded: &Recorded) -> Self {
        let calls = recorded.calls.run + recorded.calls.remembered + recorded.calls.verified;
        let macros = recorded.macros.iter().map(|(name, module)| Macro {
            kind: match name.kind {
                EntryKind::Derive => Kind::Derive,
                EntryKind::Attribute => Kind::Attribute,
                EntryKind::Function => Kind::Function,
            },
            name: name.name.clone(),
            package: name.package.clone(),
            version: name.version.clone(),
            module: module.to_string(),
        });
        Self {
            belljar_written: FORMAT,
            of,
            not_listed: calls.saturating_sub(recorded.expansions.len() as u64),
            macros: macros.collect(),
        }
    }
}

/// Where it is, below belljar's part of a target directory.
fn dir(belljar_dir: &Utf8Path) -> Utf8PathBuf {
    belljar_dir.join("written")
}

/// Writes down what macros wrote in the unit `name`, whole or not at all. One without macros has no file, nor has any where
/// nothing is kept (`expansions` is `None`, or has no key to seal with).
pub(crate) fn write(
    belljar_dir: &Utf8Path,
    name: &str,
    of: Of,
    recorded: &Recorded,
    expansions: Option<&Expansions>,
) -> io::Result<()> {
    let (name, dir) = (format!("{name}.{ENDING}"), dir(belljar_dir));
    let text = match expansions.filter(|_| !recorded.expansions.is_empty()) {
        Some(expansions) => text(Header::new(of, recorded), recorded, expansions)?,
        None => None,
    };
    match text {
        Some(text) => OwnDir::make(&dir)?.write(&name, text.as_bytes(), None),
        None => OwnDir::open(&dir)?.map_or(Ok(()), |dir| dir.remove(&name)),
    }
}

fn text(header: Header, recorded: &Recorded, expansions: &Expansions) -> io::Result<Option<String>> {
    let mut text = serde_json::to_string(&header)?;
    text.push('\n');
    for expansion in &recorded.expansions {
        text.push_str(&serde_json::to_string(&Line::of(expansion))?);
        text.push('\n');
    }
    let Some(seal) = seal(expansions, text.as_bytes()) else { return Ok(None) };
    text.push_str(&serde_json::to_string(&Last { seal })?);
    text.push('\n');
    Ok(Some(text))
}

fn seal(expansions: &Expansions, bytes: &[u8]) -> Option<String> {
    let digest = expansions.digest_of(&[SEALED, bytes].concat())?;
    Some(hex(&digest))
}

/// A file that can't be read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} can't be used: {}\n  what macros wrote there can't be shown; remove the file, and have its crate compiled again (`cargo belljar clean -p …`)",
    plain(.path.as_str()), plain(.why)
)]
pub(crate) struct Unreadable {
    path: Utf8PathBuf,
    why: String,
}

/// What macros wrote, as all units below some directories have it, by package and crate; and what can't be read of it. Units
/// of another version of belljar are passed over.
pub(crate) fn read<'d>(
    belljar_dirs: impl IntoIterator<Item = &'d Utf8Path>,
    expansions: &Expansions,
) -> io::Result<(Vec<Unit>, Vec<Unreadable>)> {
    let (mut units, mut unreadable) = (Vec::new(), Vec::new());
    for belljar_dir in belljar_dirs {
        let Some(dir) = OwnDir::open(&dir(belljar_dir))? else { continue };
        for name in dir.names()? {
            if Utf8Path::new(&name).extension() != Some(ENDING) {
                continue;
            }
            // A crate's file that is gone is compiled no more.
            let is_there = |unit: &Unit| unit.header.of.root.exists();
            match read_file(&dir, &name, expansions) {
                Ok(unit) => units.extend(unit.filter(is_there)),
                Err(why) => unreadable.push(Unreadable { path: dir.path(&name), why }),
            }
        }
    }
    let key = |unit: &Unit| {
        let Of { package, version, crate_name, program, test, .. } = &unit.header.of;
        (package.clone(), version.clone(), crate_name.clone(), *test, program.clone(), unit.at)
    };
    units.sort_by_cached_key(key);
    Ok((units, unreadable))
}

fn read_file(dir: &OwnDir, name: &str, expansions: &Expansions) -> Result<Option<Unit>, String> {
    #[derive(Deserialize)]
    struct Version {
        belljar_written: u32,
    }
    let at = dir.modified(name).map_err(|e| e.to_string())?;
    let bytes = dir.read(name, MAX_FILE).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|e| e.to_string())?;
    let first = text.lines().next().unwrap_or_default();
    let version: Version = serde_json::from_str(first).map_err(|e| e.to_string())?;
    if version.belljar_written != FORMAT {
        return Ok(None);
    }
    let cut = || "it is cut short".to_owned();
    let body = text.strip_suffix('\n').ok_or_else(cut)?;
    let (body, last) = body.split_at(body.rfind('\n').ok_or_else(cut)? + 1);
    let last: Last = serde_json::from_str(last).map_err(|_| cut())?;
    let ours = seal(expansions, body.as_bytes()).ok_or("belljar's store can't be used")?;
    if last.seal != ours {
        return Err("it was not written with this store, or was changed since".to_owned());
    }
    let header: Header = serde_json::from_str(first).map_err(|e| e.to_string())?;
    let line = |line: &str| -> Result<Call, String> {
        let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
        line.into_call()
    };
    let calls: Vec<Call> = body.lines().skip(1).map(line).collect::<Result<_, _>>()?;
    if calls.iter().any(|call| call.macro_at >= header.macros.len()) {
        return Err("it is of a macro that it does not name".to_owned());
    }
    Ok(Some(Unit { header, calls, at }))
}
