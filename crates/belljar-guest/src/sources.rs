//! Which files a unit of a guest's build may be made of: its own package's.
//!
//! `include_bytes!("/home/…")` needs no code to run: rustc reads the file, and the macro has it. So what a unit has read is
//! taken from its dep-info, and a guest with a file of somebody else's is refused. (Build scripts run natively, and can
//! copy whatever they like into `OUT_DIR`: SECURITY.md says so.)

use camino::{Utf8Path, Utf8PathBuf};

use crate::GuestError;
use crate::config::{self, real};

/// Where a unit's sources may lie, and where rustc says which they are.
#[derive(Debug)]
pub struct Sources {
    pub(crate) package: String,
    pub(crate) dep_info: Option<Utf8PathBuf>,
    /// Directories, as the kernel names them.
    pub(crate) allowed: Vec<Utf8PathBuf>,
}

impl Sources {
    /// Looks at what rustc has read, when it has ended well.
    pub fn check(&self) -> Result<(), GuestError> {
        let Some(dep_info) = &self.dep_info else { return Ok(()) };
        let text = std::fs::read_to_string(dep_info)
            .map_err(|source| GuestError::File { path: dep_info.clone(), source })?;
        for file in listed(&text) {
            // Where its links lead is what was read.
            let real = Utf8Path::new(&file)
                .canonicalize_utf8()
                .map_err(|source| GuestError::File { path: file.clone().into(), source })?;
            if !self.allowed.iter().any(|dir| real.starts_with(dir)) {
                return Err(GuestError::Reads { package: self.package.clone(), file: real });
            }
        }
        Ok(())
    }
}

/// The directories that a package in `dir` may be made of: its own; the repository that it was fetched with; the user's
/// workspace, if it is a part of that and not a copy of somebody else's package in it.
pub(crate) fn places(dir: &Utf8Path, workspace_root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let dir = real(dir);
    let mut places = vec![dir.clone()];
    let below = |area: &str| {
        let area = real(&config::cargo_home()?.join(area));
        dir.strip_prefix(&area).ok().map(|rest| (area.clone(), rest.to_owned()))
    };
    if let Some((area, rest)) = below("git/checkouts") {
        // `git/checkouts/<repository>/<revision>`
        let mut parts = rest.components();
        if let (Some(repository), Some(revision)) = (parts.next(), parts.next()) {
            places.push(area.join(repository).join(revision));
        }
    } else if below("registry").is_none() && !dir.join(".cargo-checksum.json").exists() {
        let workspace_root = real(workspace_root);
        if dir.starts_with(&workspace_root) {
            places.push(workspace_root);
        }
    }
    places
}

/// The files behind the colon of a dep-info's first rule, as rustc writes them: spaces in names have a backslash before
/// them. Source: `escape_dep_filename` in `compiler/rustc_interface/src/passes.rs`.
fn listed(text: &str) -> Vec<String> {
    let rule = text.lines().find_map(|line| line.split_once(": ")).map_or("", |(_, files)| files);
    let mut files = vec![String::new()];
    let mut chars = rule.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek(), files.last_mut()) {
            ('\\', Some(' '), Some(last)) => {
                last.push(' ');
                chars.next();
            }
            (' ', _, _) => files.push(String::new()),
            (c, _, Some(last)) => last.push(c),
            (_, _, None) => {}
        }
    }
    files.retain(|file| !file.is_empty());
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_dep_info() {
        let text = "/t/m.d: src/lib.rs src/a\\ b.rs /etc/passwd\n\nsrc/lib.rs:\n# env-dep:X=1\n";
        assert_eq!(listed(text), ["src/lib.rs", "src/a b.rs", "/etc/passwd"]);
        assert!(listed("").is_empty() && listed("/t/m.d:\n").is_empty());
    }

    #[test]
    fn a_packages_places_are_its_own_and_its_workspaces() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap().canonicalize_utf8().unwrap();
        let (workspace, member, vendored) = (root.join("ws"), root.join("ws/m"), root.join("ws/vendor/syn"));
        for dir in [&member, &vendored] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(vendored.join(".cargo-checksum.json"), "{}").unwrap();
        assert_eq!(places(&member, &workspace), [member.clone(), workspace.clone()]);
        assert_eq!(places(&vendored, &workspace), [vendored]);
        assert_eq!(places(&member, &root.join("other")), [member]);
    }

    #[test]
    fn a_file_of_somebody_elses_is_refused_however_it_is_reached() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap().canonicalize_utf8().unwrap();
        std::fs::create_dir_all(root.join("m/src")).unwrap();
        for file in ["m/src/lib.rs", "secret"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(root.join("secret"), root.join("m/link")).unwrap();
        let dep_info = root.join("m.d");
        let sources = Sources {
            package: "m 1.0.0".to_owned(),
            dep_info: Some(dep_info.clone()),
            allowed: places(&root.join("m"), &root.join("m")),
        };
        let check = |file: &str| {
            std::fs::write(&dep_info, format!("m.d: {root}/m/src/lib.rs {root}/{file}\n")).unwrap();
            sources.check()
        };
        assert!(check("m/src/../src/lib.rs").is_ok());
        for file in ["secret", "m/src/../../secret", "m/link"] {
            let error = check(file).unwrap_err().to_string();
            assert!(error.contains("m 1.0.0") && error.contains(&format!("{root}/secret")), "{error}");
        }
        std::fs::remove_file(&dep_info).unwrap();
        assert!(sources.check().is_err(), "rustc must have written it");
    }
}
