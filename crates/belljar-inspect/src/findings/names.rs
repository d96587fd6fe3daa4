//! What names stand for.

use std::collections::{HashMap, HashSet};

use super::Kind;
use crate::rust::KEYWORDS;

/// Segments of a path.
pub(super) type Path<'a> = Vec<&'a str>;

/// Names that stand for others, wherever in the expansion they do: which scope a name is in is not looked at, so all that it may
/// stand for count.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    aliases: HashMap<&'a str, Vec<Path<'a>>>,
    /// Modules that the expansion has itself.
    modules: HashSet<&'a str>,
    /// Types, functions and so on that it has itself.
    items: HashSet<&'a str>,
    /// Segments that may still be looked at.
    budget: usize,
}

/// Ways that are followed for one name.
const WAYS: usize = 32;

/// Segments of a way that is followed. A longer one goes in circles.
const LONGEST: usize = 48;

impl<'a> Names<'a> {
    /// For an expansion of so many tokens.
    pub(super) fn of(tokens: usize) -> Self {
        Self { budget: tokens.saturating_mul(8).saturating_add(10_000), ..Self::default() }
    }

    pub(super) fn alias(&mut self, name: &'a str, of: Path<'a>) {
        // `use process;` gives no name to anything else.
        if of == [name] {
            return;
        }
        let ways = self.aliases.entry(name).or_default();
        // With one more than are followed there are too many.
        if ways.len() <= WAYS && !ways.contains(&of) {
            ways.push(of);
        }
    }

    pub(super) fn module(&mut self, name: &'a str) {
        self.modules.insert(name);
    }

    pub(super) fn item(&mut self, name: &'a str) {
        self.items.insert(name);
    }

    /// Whether a name stands for something else.
    pub(super) fn is_alias(&self, name: &str) -> bool {
        !self.aliases.is_empty() && self.aliases.contains_key(name)
    }

    /// Whether the expansion has given that name to something.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.items.contains(name) || self.modules.contains(name) || self.aliases.contains_key(name)
    }

    /// All that a path may stand for, itself if it stands for nothing else. `None` if there is no end to it.
    pub(super) fn resolve(&mut self, path: &[&'a str]) -> Option<Vec<Path<'a>>> {
        let is_known = |name: &&str| {
            is_relative(name) || (!is_std(name) && self.modules.contains(name)) || self.is_alias(name)
        };
        // Most stand for nothing but themselves.
        if !path.first().is_some_and(is_known) {
            return Some(vec![path.to_vec()]);
        }
        let mut done: Vec<Path<'a>> = Vec::new();
        let mut next: Vec<Path<'a>> = vec![path.to_vec()];
        let mut seen: HashSet<Path<'a>> = HashSet::new();
        while let Some(path) = next.pop() {
            self.budget = self.budget.checked_sub(path.len() + 1)?;
            if path.len() > LONGEST {
                return None;
            }
            if !seen.insert(path.clone()) {
                continue;
            }
            if seen.len() > WAYS {
                return None;
            }
            // Where a module of the expansion's own is, what is in it counts as if it were here. It may be another one of that name,
            // so each way to read it counts.
            let last = path.len().saturating_sub(1);
            let relative = path.iter().take_while(|name| is_relative(name)).count().min(last);
            let own = |name: &&&str| !is_std(name) && self.modules.contains(**name);
            let modules = path[relative..].iter().take_while(own).count();
            for start in relative..=(relative + modules).min(last) {
                let inner = &path[start..];
                let Some((first, rest)) = inner.split_first() else { continue };
                let ways = self.aliases.get(first).map_or(&[][..], |ways| ways);
                next.extend(ways.iter().map(|way| [way.as_slice(), rest].concat()));
                // It may be something else all the same, where the alias is not in scope.
                if ways.is_empty() || is_std(first) {
                    done.push(inner.to_vec());
                }
            }
        }
        Some(done)
    }
}

/// What a path may begin with that says where it begins.
fn is_relative(name: &str) -> bool {
    matches!(name, "self" | "super" | "crate")
}

/// Whether a word is a keyword that is no part of a path.
pub(super) fn is_keyword(name: &str) -> bool {
    let may_be_one = name.len() <= 8 && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    may_be_one && !matches!(name, "self" | "super" | "crate" | "try") && KEYWORDS.binary_search(&name).is_ok()
}

/// Whether a word is a keyword in some editions, and a name in others: what has it for its name can't be followed.
pub(super) fn is_keyword_later(name: &str) -> bool {
    matches!(name, "async" | "await" | "dyn" | "try" | "gen")
}

pub(super) fn is_std(name: &str) -> bool {
    matches!(name, "std" | "core" | "alloc")
}

/// What a path is for. Its segments are those of a path of std's, the first one that of the crate.
pub(super) fn of_std(path: &[&str]) -> Option<Kind> {
    let [_, rest @ ..] = path else { return None };
    of_module(rest)
}

/// Whether something in that module of std's may be a finding: what stands behind it is needed to tell.
pub(super) fn is_open(module: &[&str]) -> bool {
    match module {
        [] | [_] => true,
        [_, module, ..] => matches!(
            *module,
            "time"
                | "os"
                | "io"
                | "panic"
                | "alloc"
                | "mem"
                | "slice"
                | "str"
                | "char"
                | "string"
                | "vec"
                | "boxed"
        ),
    }
}

/// The same from below the crate.
fn of_module(path: &[&str]) -> Option<Kind> {
    let [module, rest @ ..] = path else { return None };
    let has = |names: &[&str]| rest.first().is_some_and(|first| names.contains(first));
    // A module by itself, or all that is in it.
    let whole = matches!(rest, [] | ["*", ..] | ["self", ..]);
    match *module {
        "process" => Some(Kind::Process),
        "net" => Some(Kind::Network),
        "fs" => Some(Kind::Fs),
        "env" => Some(Kind::Env),
        "thread" => Some(Kind::Threads),
        "time" if whole || has(&["SystemTime", "Instant", "UNIX_EPOCH"]) => Some(Kind::Time),
        "os" => match rest {
            ["raw", ..] => None,
            [_, "process", ..] => Some(Kind::Process),
            [_, "net", ..] => Some(Kind::Network),
            [_, "fs", ..] => Some(Kind::Fs),
            [_, "thread", ..] => Some(Kind::Threads),
            _ => Some(Kind::Os),
        },
        "io" if has(&["stdin", "stdout", "stderr", "Stdin", "Stdout", "Stderr", "read_to_string"]) => {
            Some(Kind::Stdio)
        }
        "panic" if has(&["set_hook", "take_hook", "update_hook"]) => Some(Kind::Global),
        "alloc" if has(&["GlobalAlloc", "System", "set_alloc_error_hook"]) => Some(Kind::Global),
        "alloc" if has(&["alloc", "alloc_zeroed", "dealloc", "realloc"]) => Some(Kind::RawPointer),
        "arch" => Some(Kind::Asm),
        "ptr" | "intrinsics" => Some(Kind::RawPointer),
        "mem" if has(&["transmute", "transmute_copy", "zeroed", "uninitialized", "MaybeUninit"]) => {
            Some(Kind::RawPointer)
        }
        "slice" | "str" | "char" | "string" | "vec" | "boxed" | "num"
            if rest.iter().any(|name| of_last(name) == Some(Kind::RawPointer)) =>
        {
            Some(Kind::RawPointer)
        }
        _ => None,
    }
}

/// What a path is for whose first segment says nothing: it may reach std through another crate, or be in scope where the expansion
/// lands.
pub(super) fn of_any(path: &[&str]) -> Option<Kind> {
    if let Some(at) = path.iter().skip(1).position(|name| is_std(name)) {
        let found = of_std(&path[at + 1..]);
        if found.is_some() {
            return found;
        }
    }
    path.iter().enumerate().find_map(|(at, name)| {
        let last = at + 1 == path.len();
        match *name {
            "process" | "net" | "fs" | "env" | "thread" if !last => of_module(&path[at..]),
            "os" | "io" | "panic" | "time" | "mem" | "ptr" if !last => of_module(&path[at..]),
            _ => None,
        }
    })
}

/// What a type's name is for, whoever has it.
pub(super) fn of_type(name: &str) -> Option<Kind> {
    if name.len() < 4 || !name.as_bytes()[0].is_ascii_uppercase() {
        return None;
    }
    match name {
        "Command" => Some(Kind::Process),
        "TcpStream" | "TcpListener" | "UdpSocket" | "UnixStream" | "UnixListener" | "UnixDatagram"
        | "ToSocketAddrs" => Some(Kind::Network),
        "File" | "OpenOptions" | "DirBuilder" => Some(Kind::Fs),
        "SystemTime" | "Instant" => Some(Kind::Time),
        "GlobalAlloc" => Some(Kind::Global),
        "NonNull" | "MaybeUninit" => Some(Kind::RawPointer),
        "CommandExt" => Some(Kind::Process),
        "FromRawFd" | "IntoRawFd" | "AsRawFd" | "FromRawHandle" => Some(Kind::Os),
        _ => None,
    }
}

/// What a function's or method's name is for, whoever has it.
pub(super) fn of_last(name: &str) -> Option<Kind> {
    // All have an underscore, but for these two.
    let may_be_one = name.len() >= 8 && (name.contains('_') || matches!(name, "transmute" | "canonicalize"));
    if !may_be_one {
        return None;
    }
    match name {
        "transmute"
        | "transmute_copy"
        | "transmute_unchecked"
        | "from_raw_parts"
        | "from_raw_parts_mut"
        | "from_raw"
        | "into_raw"
        | "from_utf8_unchecked"
        | "from_utf8_unchecked_mut"
        | "from_u32_unchecked"
        | "get_unchecked"
        | "get_unchecked_mut"
        | "unwrap_unchecked"
        | "assume_init"
        | "assume_init_mut"
        | "assume_init_ref"
        | "read_volatile"
        | "write_volatile"
        | "read_unaligned"
        | "write_unaligned"
        | "copy_nonoverlapping"
        | "as_mut_ptr"
        | "unchecked_add"
        | "from_ptr" => Some(Kind::RawPointer),
        "to_socket_addrs" => Some(Kind::Network),
        "from_raw_fd" | "into_raw_fd" | "as_raw_fd" | "from_raw_handle" => Some(Kind::Os),
        "try_exists" | "read_dir" | "canonicalize" | "read_link" | "symlink_metadata" => Some(Kind::Fs),
        "set_hook" | "take_hook" => Some(Kind::Global),
        _ => None,
    }
}

/// What a method is for, whoever has it. Some are methods of std's paths and of many other types.
pub(super) fn of_method(name: &str) -> Option<Kind> {
    match name {
        "exists" | "is_file" | "is_dir" | "is_symlink" => Some(Kind::Fs),
        "elapsed" => Some(Kind::Time),
        name => of_last(name),
    }
}

/// A macro of std's: what it is for. `None` if it is none of std's.
pub(super) fn of_macro(name: &str) -> Option<Option<Kind>> {
    Some(match name {
        "include" | "include_str" | "include_bytes" | "env" | "option_env" => Some(Kind::Include),
        "asm" | "global_asm" | "naked_asm" | "llvm_asm" => Some(Kind::Asm),
        "print" | "println" | "eprint" | "eprintln" | "dbg" => Some(Kind::Stdio),
        "cfg" | "cfg_select" => Some(Kind::Cfg),
        "macro_rules" => Some(Kind::MacroRules),
        "addr_of" | "addr_of_mut" => Some(Kind::RawPointer),
        "concat_idents" => Some(Kind::Unresolved),
        "concat" | "concat_bytes" | "stringify" | "format" | "format_args" | "vec" | "matches" | "assert"
        | "assert_eq" | "assert_ne" | "debug_assert" | "debug_assert_eq" | "debug_assert_ne" | "panic"
        | "todo" | "unimplemented" | "unreachable" | "write" | "writeln" | "line" | "column" | "file"
        | "module_path" | "compile_error" | "thread_local" | "offset_of" | "pin" | "ready" | "try"
        | "const_format_args" => None,
        _ => return None,
    })
}

/// Whether a name is one of the prelude's, of std's crates or of the language's types: nobody expects it to be something else.
pub(super) fn is_prelude(name: &str) -> bool {
    matches!(
        name,
        "Option"
            | "Some"
            | "None"
            | "Result"
            | "Ok"
            | "Err"
            | "Box"
            | "String"
            | "Vec"
            | "ToString"
            | "ToOwned"
            | "Clone"
            | "Copy"
            | "Send"
            | "Sync"
            | "Sized"
            | "Drop"
            | "Fn"
            | "FnMut"
            | "FnOnce"
            | "Iterator"
            | "IntoIterator"
            | "Extend"
            | "DoubleEndedIterator"
            | "ExactSizeIterator"
            | "FromIterator"
            | "Default"
            | "From"
            | "Into"
            | "TryFrom"
            | "TryInto"
            | "AsRef"
            | "AsMut"
            | "PartialEq"
            | "Eq"
            | "PartialOrd"
            | "Ord"
            | "Unpin"
            | "drop"
            | "std"
            | "core"
            | "alloc"
            | "str"
            | "bool"
            | "char"
            | "u8"
            | "u16"
            | "u32"
            | "u64"
            | "u128"
            | "usize"
            | "i8"
            | "i16"
            | "i32"
            | "i64"
            | "i128"
            | "isize"
            | "f32"
            | "f64"
    )
}

/// An attribute that the compiler knows itself, and which says nothing here.
pub(super) fn is_quiet_attribute(name: &str) -> bool {
    matches!(
        name,
        "automatically_derived"
            | "inline"
            | "cold"
            | "must_use"
            | "doc"
            | "deprecated"
            | "non_exhaustive"
            | "repr"
            | "track_caller"
            | "test"
            | "ignore"
            | "should_panic"
            | "default"
            | "rustfmt"
            | "clippy"
            | "diagnostic"
            | "recursion_limit"
            | "type_length_limit"
            | "no_implicit_prelude"
            | "bench"
            | "proc_macro"
            | "proc_macro_derive"
            | "proc_macro_attribute"
            | "target_feature"
            | "rustdoc"
            | "instruction_set"
            | "debugger_visualizer"
            | "coverage"
    )
}

/// What an attribute is for.
pub(super) fn of_attribute(name: &str) -> Option<Kind> {
    match name {
        "no_mangle" | "export_name" => Some(Kind::Export),
        "link_section" | "used" | "ctor" | "dtor" | "distributed_slice" => Some(Kind::BeforeMain),
        "link" | "link_name" | "link_ordinal" | "ffi_const" | "ffi_pure" => Some(Kind::Ffi),
        "global_allocator" | "panic_handler" | "alloc_error_handler" => Some(Kind::Global),
        "naked" => Some(Kind::Asm),
        "allow" | "expect" | "warn" | "deny" | "forbid" => Some(Kind::Lints),
        "cfg" | "cfg_attr" => Some(Kind::Cfg),
        "path" => Some(Kind::Include),
        "macro_export" | "macro_use" => Some(Kind::MacroRules),
        "no_std" | "no_main" | "no_core" | "feature" => Some(Kind::Global),
        _ => None,
    }
}

/// Derives of std's.
pub(super) fn is_std_derive(name: &str) -> bool {
    matches!(
        name,
        "Clone" | "Copy" | "Debug" | "Default" | "PartialEq" | "Eq" | "PartialOrd" | "Ord" | "Hash"
    )
}
