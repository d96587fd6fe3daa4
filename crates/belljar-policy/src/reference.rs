//! The reference of `belljar.toml` and its JSON schema, from the tables that the parser uses.
//!
//! `cargo xtask schema` writes both into `docs/`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::error::{MAX_FILE, MAX_GRANTS};
use crate::keys::{FILE, GRANT, Key, Kind, LIMITS};
use crate::profiles;

/// The schema, as pretty-printed JSON (draft 7, which editors understand).
///
/// It knows the keys, their types, and what each value looks like by itself. What needs more than one value, or more than a
/// look, the parser alone finds: contradictions, patterns that are too wide, ranges of sizes, globs that can't be read.
#[must_use]
pub fn schema() -> String {
    let mut schema = object(FILE, &[]);
    let head = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "belljar.toml",
        "description": "What the procedural macros of a workspace may reach, and why",
    });
    if let (Value::Object(schema), Value::Object(mut head)) = (&mut schema, head) {
        head.append(schema);
        *schema = head;
    }
    // Only trees that can't be printed fail, and this one has no such maps.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn object(keys: &[Key], required: &[&str]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| {
            let mut value = value(key);
            if let Value::Object(value) = &mut value {
                let description = key.meaning.replace("See [patterns](#patterns). ", "");
                value.insert("description".to_owned(), description.into());
            }
            (key.name.to_owned(), value)
        })
        .collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// The name of a package: letters, digits, `-` and `_`; what is not ASCII is left to cargo.
const NAME: &str = r"^[^\x00-,./:-@\[-\^`{-\x7f]+$";
/// What `semver` reads, nearly.
const VERSION: &str = r"^\s*(\*|[=<>~^]*\s*[0-9]+(\.([0-9]+|[*xX])){0,2}([-+][0-9A-Za-z.+-]+)?(\s*,\s*[=<>~^]*\s*[0-9]+(\.([0-9]+|[*xX])){0,2}([-+][0-9A-Za-z.+-]+)?)*)\s*$";
const SIZE: &str = r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(B|kB|KB|KiB|MB|MiB|GB|GiB)\s*$";
const VARIABLE: &str = r#"^([^\s\x00-\x1f\x7f*?$=,;"'\[\]{}|\\/%]+\*?|\*)$"#;
/// Anything but white space.
const TEXT: &str = r"\S";
/// What no pattern for paths has; see `pattern`.
const NO_PATH: &[&str] = &[
    r"^(workspace:)?~(/|$)",
    r"\$[A-Z{]",
    r"[^:]/$",
    r"^workspace:(/|$)",
    r"\x00",
    r"^/(.*/)?\.\.(/|$)",
    r"(^|/)([^./]|\.[^./]|\.\.[^/])[^/]*/([^/]*/)*\.\.(/|$)",
];

fn value(key: &Key) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let name = json!({ "type": "string", "pattern": NAME });
    match key.kind {
        Kind::Grants => {
            let mut grants = list(object(GRANT, &["macro", "reason"]));
            grants["maxItems"] = json!(MAX_GRANTS);
            grants
        }
        Kind::Limits => object(LIMITS, &[]),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Name => name,
        Kind::Names => {
            let mut several = list(name.clone());
            several["minItems"] = json!(1);
            json!({ "anyOf": [name, several] })
        }
        Kind::Version => json!({ "type": "string", "pattern": VERSION }),
        Kind::Text => json!({ "type": "string", "pattern": TEXT }),
        Kind::Paths => {
            let no_path: Vec<_> = NO_PATH.iter().map(|pattern| json!({ "pattern": pattern })).collect();
            list(json!({ "type": "string", "minLength": 1, "not": { "anyOf": no_path } }))
        }
        Kind::Variables => list(json!({ "type": "string", "pattern": VARIABLE })),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Seconds => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 86400 }),
        Kind::Size => json!({ "type": "string", "pattern": SIZE }),
    }
}

/// The reference, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for (title, keys) in [
        ("## The file\n\n", FILE),
        ("## `[[grant]]`\n\n", GRANT),
        (
            "## `limits`\n\nThey can only turn an expansion into an error, never change what it gives.\n\n",
            LIMITS,
        ),
    ] {
        text.push_str(title);
        for key in keys {
            section(&mut text, key);
        }
    }
    text.push_str(PATTERNS);
    let _ = write!(
        text,
        "## Limits of the file\n\nIt is UTF-8, has at most {} MiB and at most {MAX_GRANTS} grants.\n\n",
        MAX_FILE >> 20
    );
    text.push_str(KNOWN);
    for name in profiles::names() {
        for grant in profiles::grants(name) {
            let list = |key: &str, items: Vec<String>| match items.is_empty() {
                true => String::new(),
                false => format!("{key} `{}`; ", items.join("`, `")),
            };
            let state = if grant.state.is_some() { "state `crate`; " } else { "" };
            let random = if grant.random.is_some() { "random; " } else { "" };
            let shown = |patterns: &[crate::PathPattern]| patterns.iter().map(ToString::to_string).collect();
            let what = format!(
                "{}{}{}{state}{random}",
                list("read", shown(&grant.read)),
                list("list", shown(&grant.list)),
                list("env", grant.env.iter().map(ToString::to_string).collect()),
            );
            let version = grant.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            let by_itself = if grant.gives_no_authority() { "yes" } else { "no" };
            let what = what.trim_end_matches("; ");
            let _ = writeln!(text, "| `{name}`{version} | {what} | {} | {by_itself} |", grant.reason);
        }
    }
    text
}

fn section(text: &mut String, key: &Key) {
    let Key { name, kind, default, example, meaning } = key;
    let _ = writeln!(text, "### `{name}`\n\n{} · default: {default}\n\n{meaning}\n", kind.words());
    let _ = writeln!(text, "```toml\n{example}\n```\n");
}

const HEAD: &str = r#"# Reference of `belljar.toml`

<!-- Written by `cargo xtask schema` from crates/belljar-policy. -->

What the procedural macros of a workspace may reach stands in `belljar.toml` at the workspace's root. What is not in it is
refused, and the log says so. Any mistake in the file is an error: nothing is granted by half.

```toml
[[grant]]
macro = "askama_derive"
version = "0.14"
for = "web"
read = ["templates/**", "askama.toml"]
reason = "HTML templates"
```

Editors check and complete the file with the [JSON schema](belljar.schema.json), which knows less than belljar itself: it does
not see contradictions, or patterns that cover too much.

## Where rules come from

In this order, the first one that says something wins for `mode`, `state`, `random`, `time` and each of `limits`; what `read`,
`list` and `env` name adds up:

1. `BELLJAR_MODE=enforce` or `report` in the environment, for the mode alone; of two files, the one that says `enforce`;
2. `belljar.toml` at the workspace's root;
3. the user's own defaults: `$BELLJAR_CONFIG`, else `$XDG_CONFIG_HOME/belljar/belljar.toml`, else
   `~/.config/belljar/belljar.toml`. An empty `BELLJAR_CONFIG` means none;
4. `state = "crate"` for [macros that belljar knows](#macros-that-belljar-knows) to need it;
5. what is built in.

Two grants in one file that give the same macros in the same crate different values are an error.

Built in, for every macro:

- the variables that describe the calling crate: `CARGO_PKG_*`, `CARGO_CRATE_NAME`, `CARGO_MANIFEST_DIR`;
- that the directories above all that it may reach are directories, and no links;
- reading `Cargo.toml` of the calling package and of the workspace, and looking at the directories between them. Where nobody
  says which workspace it is, those of the directories above count, up to a home directory;
- a clock that stands still, and random numbers that are the same in every build.

Nothing grants writing, making, renaming or removing anything, sockets, threads, signals, or starting programs, in any mode.

A crate is compiled again when the rules between it and a macro change; comments, order, reasons and grants for other macros or
crates have no influence.

"#;

const PATTERNS: &str = r#"## Patterns

| pattern | matches |
|---|---|
| `a/b.txt` | that file |
| `a/*.txt` | `a/x.txt`; not `a/b/x.txt` |
| `a/?.txt` | `a/x.txt`; not `a/xy.txt` |
| `a/[a-c]*`, `a/[!a-c]*` | names that begin, or don't begin, with `a`, `b` or `c` |
| `a/{b,c/d}.txt` | `a/b.txt` and `a/c/d.txt` |
| `a/**` | all files beneath `a`; also `a` itself, to look at and to list |
| `**/*.txt` | `x.txt`, `a/x.txt`, `a/b/x.txt` |
| `\*` | the character `*` |

- A relative pattern begins in the directory of the calling package's manifest; after `workspace:`, at the workspace's root; one
  that begins with `/`, at the root of the file system.
- Upper and lower case differ. A leading dot in a name is nothing special: `*` matches it.
- `..` stands only at the start of a relative pattern. `~` and variables are not expanded.
- Names decide, not what is there. A link is followed only to another name that is granted, too.
- A pattern whose first wildcard stands in `/`, in a home directory or in a directory above one, a relative one that leads out
  of both package and workspace, and `env = ["*"]` need `wide = true`.

"#;

const KNOWN: &str = r#"## Macros that belljar knows

What well-known macros need, read in their sources; `crates/belljar-policy/profiles` has the places. A profile is proposed, and
holds when it stands in `belljar.toml`; only what gives access to nothing (`state`) holds by itself, unless a grant says otherwise.

| package | needs | for | by itself |
|---|---|---|---|
"#;
