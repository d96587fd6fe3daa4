//! Names: what a path of a guest's means, before anything is looked up.

use belljar_wire::abi::CWD;

use crate::guest::MAX_NAME;

/// An absolute path without `.`, `..` and empty parts. `..` is taken by the name alone: `a/../b` is `b`, whatever `a` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    /// It was written with a `/` or a `.` at its end: only a directory can be meant.
    pub(crate) directory: bool,
}

/// Why a path is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadName {
    Empty,
    /// It is not UTF-8.
    Encoding,
    /// It has a zero byte.
    Zero,
    TooLong,
    /// It is relative to the working directory, and the guest has none.
    NoWorkingDirectory,
}

impl Name {
    /// `path` is relative to the directory `base`, unless it begins with `/`. What is beneath [`CWD`] is relative to `cwd`.
    pub(crate) fn of(base: &str, path: &[u8], cwd: Option<&str>) -> Result<Self, BadName> {
        if path.is_empty() {
            return Err(BadName::Empty);
        }
        if path.len() > MAX_NAME {
            return Err(BadName::TooLong);
        }
        let path = str::from_utf8(path).map_err(|_| BadName::Encoding)?;
        if path.contains('\0') {
            return Err(BadName::Zero);
        }
        let absolute = path.starts_with('/');
        let mut parts: Vec<&str> = if absolute { Vec::new() } else { parts(base).collect() };
        for part in self::parts(path) {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                // The first part of the name, however it is written: it is a directory by its own name from here on, so that a
                // `..` behind it leads out of the working directory and nowhere else.
                _ if parts.is_empty() && Some(part) == CWD.strip_prefix('/') => {
                    parts.extend(self::parts(cwd.ok_or(BadName::NoWorkingDirectory)?));
                }
                _ => parts.push(part),
            }
        }
        let directory = path.ends_with('/') || matches!(path.rsplit('/').next(), Some("." | ".."));
        let text = format!("/{}", parts.join("/"));
        if text.len() > MAX_NAME {
            return Err(BadName::TooLong);
        }
        Ok(Self { text, directory })
    }

    /// Where a link leads that stands in the directory `base`, with what followed it in a path.
    pub(crate) fn of_link(base: &str, target: &str, rest: &str, directory: bool) -> Result<Self, BadName> {
        // Nothing real is relative to `CWD`.
        let path = format!("{target}/{rest}");
        let mut name = Self::of(base, path.as_bytes(), Some(CWD))?;
        name.directory = directory || (rest.is_empty() && target.ends_with('/'));
        Ok(name)
    }
}

/// The parts between slashes.
pub(crate) fn parts(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('/').filter(|part| !part.is_empty())
}

/// What is left of `name` beneath `dir`, if it is there: empty for `dir` itself.
pub(crate) fn beneath<'a>(dir: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(dir.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// The directory that a name stands in.
pub(crate) fn parent(name: &str) -> &str {
    match name.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &name[..at],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn named(base: &str, path: &str) -> String {
        Name::of(base, path.as_bytes(), Some("/ws")).unwrap().text
    }

    #[test]
    fn a_path_is_absolute_and_has_no_dots() {
        assert_eq!(named("/", "etc/passwd"), "/etc/passwd");
        assert_eq!(named("/", "."), "/");
        assert_eq!(named("/", "./a//b/./c/"), "/a/b/c");
        assert_eq!(named("/", "a/../../../b"), "/b");
        assert_eq!(named("/g/t", "../../etc/x"), "/etc/x");
        assert_eq!(named("/g/t", ".."), "/g");
        assert_eq!(named("/g/t", "/abs"), "/abs");
        assert_eq!(named("/g/t", "..."), "/g/t/...");
    }

    #[test]
    fn a_relative_path_is_relative_to_the_working_directory() {
        assert_eq!(named("/", ".belljar-cwd/a/b"), "/ws/a/b");
        assert_eq!(named("/", ".belljar-cwd"), "/ws");
        assert_eq!(named("/", "./.belljar-cwd/../other"), "/other");
        assert_eq!(named("/", "x/../.belljar-cwd/a"), "/ws/a");
        assert_eq!(named("/g", ".belljar-cwd/a"), "/g/.belljar-cwd/a");
        assert_eq!(Name::of("/", b".belljar-cwd/a", None), Err(BadName::NoWorkingDirectory));
    }

    #[test]
    fn what_can_be_no_path_is_none() {
        assert_eq!(Name::of("/", b"", None), Err(BadName::Empty));
        assert_eq!(Name::of("/", b"a\0b", None), Err(BadName::Zero));
        assert_eq!(Name::of("/", b"a\xff", None), Err(BadName::Encoding));
        assert_eq!(Name::of("/", &[b'a'; 5000], None), Err(BadName::TooLong));
    }

    #[test]
    fn only_a_directory_can_be_meant_by_some_names() {
        for (path, directory) in [("a", false), ("a/", true), ("a/.", true), ("a/..", true), ("..a", false)] {
            assert_eq!(Name::of("/", path.as_bytes(), None).unwrap().directory, directory, "{path}");
        }
    }

    #[test]
    fn beneath_is_beneath_by_whole_parts() {
        assert_eq!(beneath("/a/b", "/a/b/c/d"), Some("c/d"));
        assert_eq!(beneath("/a/b", "/a/b"), Some(""));
        assert_eq!(beneath("/a/b", "/a/bc"), None);
        assert_eq!(beneath("/", "/a"), Some("a"));
        assert_eq!(beneath("/", "/"), Some(""));
    }
}
