//! What the words of cargo and rustc say about a machine in trouble, rather than about a macro.

use camino::Utf8Path;
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel};

/// Is this about a disk that is full, or a limit on the size of files?
pub(crate) fn no_room(said: &str) -> bool {
    // The C library's words for ENOSPC, EFBIG and EDQUOT, and what kills a program that doesn't expect a limit.
    const WORDS: [&str; 5] = [
        "No space left on device",
        "File too large",
        "Disk quota exceeded",
        "SIGXFSZ",
        // Of LLVM and lld, which translate the number themselves.
        "no space left on device",
    ];
    WORDS.iter().any(|words| said.contains(words))
}

/// Is this error of rustc's one of a crate that it had compiled before and can't read any more?
pub(crate) fn tells_of_damage(message: &Diagnostic) -> bool {
    // "found invalid metadata files", "can't find crate", "found … compiled by an incompatible version", and the like.
    const CODES: [&str; 5] = ["E0786", "E0463", "E0460", "E0461", "E0514"];
    // Of the dynamic linker and of rust-lld, on files that are not what they should be.
    const WORDS: [&str; 6] = [
        "file too short",
        "invalid ELF header",
        "unknown file type",
        "not a relocatable",
        "malformed",
        "truncated or malformed",
    ];
    message.level == DiagnosticLevel::Ice
        || message.code.as_ref().is_some_and(|code| CODES.contains(&code.code.as_str()))
        || message.spans.is_empty()
            && message.rendered.as_ref().is_some_and(|text| WORDS.iter().any(|words| text.contains(words)))
}

/// Is this, which cargo said when no compiler had an error, about a file that it keeps in that directory?
pub(crate) fn is_of_damage(said: &str, target_dir: &Utf8Path) -> bool {
    if no_room(said) || !said.contains(target_dir.as_str()) {
        return false;
    }
    // A build script that fails in its own way says nothing about its program.
    !said.contains("failed to run custom build command")
        || said.contains("could not execute process")
        || said.contains("(signal: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_own_trouble_is_told_from_a_build_scripts() {
        let dir = Utf8Path::new("/store/target/1");
        for (said, expected) in [
            (
                "error: failed to open: /store/target/1/.cargo-lock\nCaused by:\n  Is a directory (os error 21)",
                true,
            ),
            ("error: failed to write `/store/target/1/x`\n  No space left on device (os error 28)", false),
            ("error: failed to open: /elsewhere\n", false),
            (
                "error: failed to run custom build command for `a v1.0.0`\nCaused by:\n  could not execute process \
              `/store/target/1/a/build-script-build` (never executed)\n  Exec format error (os error 8)",
                true,
            ),
            (
                "error: failed to run custom build command for `a v1.0.0`\nCaused by:\n  process didn't exit successfully: \
              `/store/target/1/a/build-script-build` (exit status: 1)",
                false,
            ),
        ] {
            assert_eq!(is_of_damage(said, dir), expected, "{said}");
        }
    }
}
