//! `cargo xtask fidelity` must see a difference where there is one.

use std::path::Path;
use std::process::Command;

use serde_json::json;

#[test]
fn a_macro_that_looks_around_differs() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/differs");
    let scratch = tempfile::tempdir().unwrap();
    let result = scratch.path().join("result.json");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["fidelity", "--against", "native", "--fixtures"])
        .arg(&fixtures)
        .arg("--json")
        .arg(&result)
        .env("CARGO_TARGET_DIR", scratch.path().join("target"))
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{text}{errors}");
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    assert_eq!(
        rows,
        json!([
            {
                "crate": "ambient", "version": "0.1.0", "lane": "native",
                "expansion": "differs", "hygiene": "differs", "errors": "differs", "tests": "equal",
            },
            {
                "crate": "fidelity-steady", "version": "0.1.0", "lane": "native",
                "expansion": "equal", "hygiene": "equal", "errors": "none", "tests": "equal",
            },
        ]),
        "{text}"
    );
    assert!(text.contains("native: pub const SEEN: &str = \"native\";"), "{text}");
    assert!(text.ends_with("2 macro crates, 1 with differences, 0 broken fixtures\n"), "{text}");

    let unknown = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["fidelity", "--only", "nothing", "--fixtures"])
        .arg(&fixtures)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&unknown.stderr);
    assert!(
        errors.contains("no fixture is called `nothing`; there are: ambient, fidelity-steady"),
        "{errors}"
    );
}
