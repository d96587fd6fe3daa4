//! What is refused is refused by its name: nothing is looked up, so there is nothing that could take another time.
//!
//! A filter of the kernel's ends the process at the first call that looks at any file; both tests run in one of their own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use belljar_policy::Outcome;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

use crate::script::{CREATE, ROOT, Script, WRITE};
use crate::support::{Answer, input};
use crate::tree::{TEMPLATES, Tree};

/// Set in the process that is to touch nothing.
const INNER: &str = "BELLJAR_TEST_TOUCHES";

/// From now on, whoever in this process looks at a file ends it.
fn look_at_no_file() {
    let calls = [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getdents64,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
    ];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, arch).unwrap();
    apply_filter_all_threads(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// Runs this test again in a process of its own, where it runs a script of which nothing may look at a file.
fn in_a_process_of_its_own(test: &str, script: impl FnOnce(&Tree, &mut Script)) -> Option<ExitStatus> {
    if std::env::var_os(INNER).is_none() {
        // What it leaves behind goes with this.
        let scratch = tempfile::tempdir().unwrap();
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", &format!("untouched::{test}"), "--nocapture"]);
        let done = again.env(INNER, "").env("TMPDIR", scratch.path()).output().unwrap();
        println!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        return Some(done.status);
    }
    let tree = Tree::new();
    let mut steps = Script::new();
    steps.ask(&[belljar_wire::abi::question::FILE, 0, 2]);
    script(&tree, &mut steps);
    let mut shim = tree.shim(TEMPLATES);
    let module = shim.put(&steps.wat());
    let replied = shim.call(module, &input(), |_| {
        look_at_no_file();
        vec![0]
    });
    assert!(matches!(replied.answer, Answer::Done(_)), "{replied:?}");
    let attempts = tree.attempts();
    assert!(attempts.keys().all(|(_, outcome)| *outcome == Outcome::Refused), "{attempts:#?}");
    println!("{} attempts, all refused", attempts.len());
    // Taking the directories away again would be looking at files.
    std::process::exit(0);
}

#[test]
fn a_refusal_looks_at_nothing() {
    let ended = in_a_process_of_its_own("a_refusal_looks_at_nothing", |tree, script| {
        for path in [
            "etc/passwd".to_owned(),
            "etc/no-such-file".to_owned(),
            "no/such/directory/at/all".to_owned(),
            "proc/self/environ".to_owned(),
            tree.guest("ws/.env"),
            tree.guest("ws/web/src/main.rs"),
            tree.guest("home/.ssh/id_rsa"),
            tree.template("../src/main.rs"),
            tree.template("../../../home/.ssh"),
        ] {
            script.open(&path).open_directory(&path).stat(&path).read_link(&path, 100);
            script.stat_at(ROOT, path.as_bytes(), false);
            script.open_with(ROOT, path.as_bytes(), CREATE, WRITE, true);
        }
    });
    assert_eq!(ended.map(|status| status.code()), Some(Some(0)));
}

#[test]
fn what_is_granted_is_looked_at() {
    let ended = in_a_process_of_its_own("what_is_granted_is_looked_at", |tree, script| {
        script.open(&tree.template("a.html"));
    });
    assert_eq!(ended.and_then(|status| status.signal()), Some(libc::SIGSYS), "the filter is there");
}
