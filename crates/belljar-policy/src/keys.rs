//! Every key of a `belljar.toml`: what the parser accepts, and what reference and schema are made from.

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What holds without it, in words.
    pub(crate) default: &'static str,
    /// A line that could stand in a file.
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[[grant]]`
    Grants,
    /// `[grant.limits]`
    Limits,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a package.
    Name,
    /// A name or several.
    Names,
    Version,
    Text,
    Paths,
    Variables,
    Flag,
    /// Seconds.
    Seconds,
    /// A size with a unit.
    Size,
}

impl Kind {
    /// What its value is, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Grants => "a list of tables `[[grant]]`",
            Kind::Limits => "a table",
            Kind::Word(_) | Kind::Name | Kind::Version | Kind::Text => "a string",
            Kind::Names => "a string or a list of strings",
            Kind::Paths | Kind::Variables => "a list of strings",
            Kind::Flag => "`true` or `false`",
            Kind::Seconds => "a number of seconds",
            Kind::Size => "a string with a number and a unit",
        }
    }
}

/// At the top of a file.
pub(crate) const FILE: &[Key] = &[
    Key {
        name: "mode",
        kind: Kind::Word(&["enforce", "report"]),
        default: "`\"enforce\"`",
        example: "mode = \"report\"",
        meaning: "`enforce`: what is not granted is refused. `report`: nothing is refused that a grant could allow, and the \
                  log lists all that would have been. A macro can then read every file and variable that you can, and \
                  remembers what it did earlier in the same crate: it is for finding out what a trusted project needs. Of \
                  two files, the one that says `enforce` counts. The environment variable `BELLJAR_MODE` sets the mode for \
                  one run, whatever the files say; that of the command counts, not what cargo's config or a build script \
                  makes of it.",
    },
    Key {
        name: "grant",
        kind: Kind::Grants,
        default: "none",
        example: "[[grant]]\nmacro = \"askama_derive\"\nread = [\"templates/**\"]\nreason = \"HTML templates\"",
        meaning: "What the macros of one package may reach. Several grants for the same macros add up.",
    },
];

/// In a `[[grant]]`.
pub(crate) const GRANT: &[Key] = &[
    Key {
        name: "macro",
        kind: Kind::Name,
        default: "required",
        example: "macro = \"askama_derive\"",
        meaning: "The package that the macros come from, as Cargo.lock names it. Often it is not the one in Cargo.toml: \
                  `askama` re-exports macros of `askama_derive`.",
    },
    Key {
        name: "version",
        kind: Kind::Version,
        default: "all versions",
        example: "version = \"0.12\"",
        meaning: "The versions of the macro package for which the grant holds, as a requirement in Cargo.toml is written: \
                  `0.12` are all that are compatible with 0.12.0.",
    },
    Key {
        name: "for",
        kind: Kind::Names,
        default: "all packages",
        example: "for = [\"web\", \"admin\"]",
        meaning: "The packages in whose code the macros are called. Without it, the macros get the grant wherever they are \
                  called, in dependencies, too.",
    },
    Key {
        name: "read",
        kind: Kind::Paths,
        default: "`[]`",
        example: "read = [\"templates/**\", \"workspace:schemas/*.graphql\", \"/usr/share/zoneinfo/**\"]",
        meaning: "Files that may be read and looked at, as patterns. A relative one begins in the directory of the calling \
                  package, one after `workspace:` at the workspace's root. See [patterns](#patterns).",
    },
    Key {
        name: "list",
        kind: Kind::Paths,
        default: "`[]`",
        example: "list = [\"templates/**\"]",
        meaning: "Directories whose entries may be read, as patterns like those of `read`. `templates/**` is `templates` and \
                  all directories beneath it. What is in them may be looked at: that it is there, what it is, how large \
                  it is. Reading the files is another thing: see `read`.",
    },
    Key {
        name: "env",
        kind: Kind::Variables,
        default: "`[]`",
        example: "env = [\"DATABASE_URL\", \"APP_*\"]",
        meaning: "Environment variables that may be read: names, or the start of names with a `*` after it. What cargo keeps \
                  secrets in (`CARGO_REGISTRY_TOKEN`, `CARGO_REGISTRIES_…_TOKEN`, …) is covered only by its full name. What \
                  describes the calling crate (`CARGO_PKG_*`, `CARGO_CRATE_NAME`, `CARGO_MANIFEST_DIR`) needs no grant.",
    },
    Key {
        name: "state",
        kind: Kind::Word(&["call", "crate"]),
        default: "`\"call\"`, but `\"crate\"` for macros that belljar knows to need it",
        example: "state = \"crate\"",
        meaning: "How long the macros remember: `call`: each call begins afresh; `crate`: all calls in one crate see what \
                  earlier ones left behind, as they do natively. This gives no access to anything.",
    },
    Key {
        name: "random",
        kind: Kind::Text,
        default: "no seed",
        example: "random = \"some seed\"",
        meaning: "A seed for the macros' random numbers, which depend on the macro, its input and this. They are the same in \
                  every build; another seed gives others.",
    },
    Key {
        name: "time",
        kind: Kind::Flag,
        default: "`false`",
        example: "time = true",
        meaning: "Whether the macros see the real time, and the real times of the files that they may look at. Then the same \
                  source can give another program tomorrow.",
    },
    Key {
        name: "limits",
        kind: Kind::Limits,
        default: "the usual limits",
        example: "limits = { time = 120, memory = \"2 GiB\" }",
        meaning: "How much one call of the macros may use.",
    },
    Key {
        name: "wide",
        kind: Kind::Flag,
        default: "`false`",
        example: "wide = true",
        meaning: "Must be `true` in a grant with a pattern that covers `/`, a home directory or a directory above one, that \
                  leads out of both package and workspace by `..`, or that covers all variables. It grants nothing by itself.",
    },
    Key {
        name: "reason",
        kind: Kind::Text,
        default: "required",
        example: "reason = \"HTML templates\"",
        meaning: "Why the macros get this; for the reader of the file, and shown wherever the grant has an effect.",
    },
];

/// In `limits`.
pub(crate) const LIMITS: &[Key] = &[
    Key {
        name: "time",
        kind: Kind::Seconds,
        default: "60",
        example: "time = 120",
        meaning: "Processor time in seconds; up to 86400.",
    },
    Key {
        name: "memory",
        kind: Kind::Size,
        default: "`\"1 GiB\"`",
        example: "memory = \"2 GiB\"",
        meaning: "Memory, from 1 MiB to 4 GiB.",
    },
    Key {
        name: "stack",
        kind: Kind::Size,
        default: "`\"16 MiB\"`",
        example: "stack = \"64 MiB\"",
        meaning: "The call stack, from 1 MiB to 1 GiB.",
    },
    Key {
        name: "output",
        kind: Kind::Size,
        default: "`\"64 MiB\"`",
        example: "output = \"128 MiB\"",
        meaning: "What it returns, from 1 MiB to 255 MiB.",
    },
];

/// What people write who don't remember a key.
const SYNONYMS: &[(&str, &str)] = &[
    ("package", "macro"),
    ("crate", "macro"),
    ("name", "macro"),
    ("files", "read"),
    ("file", "read"),
    ("paths", "read"),
    ("path", "read"),
    ("dirs", "list"),
    ("readdir", "list"),
    ("vars", "env"),
    ("variables", "env"),
    ("environment", "env"),
    ("seed", "random"),
    ("clock", "time"),
    ("why", "reason"),
    ("because", "reason"),
    ("comment", "reason"),
    ("in", "for"),
    ("callers", "for"),
    ("grants", "grant"),
    ("allow", "grant"),
    ("mem", "memory"),
    ("cpu", "time"),
    ("timeout", "time"),
];

/// The key that was probably meant.
pub(crate) fn similar(keys: &[Key], written: &str) -> Option<&'static str> {
    let written = written.to_lowercase().replace('-', "_");
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == written).map(|(_, key)| *key);
    if let Some(key) = synonym.filter(|key| keys.iter().any(|k| k.name == *key)) {
        return Some(key);
    }
    let nearest = keys.iter().map(|key| (strsim::osa_distance(key.name, &written), key.name)).min()?;
    // Of a short word little may be wrong, or it is another one.
    (nearest.0 <= 1 + nearest.1.len() / 5).then_some(nearest.1)
}

/// The key of this name. Only for names that stand in the tables.
pub(crate) fn key(keys: &'static [Key], name: &str) -> &'static Key {
    keys.iter().find(|key| key.name == name).unwrap_or(&keys[0])
}
