//! What a dependency costs to compile: a cold release build of a package that
//! has nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::bench::empty;
use crate::store::Result;

const DEPENDENCIES: &[(&str, &str)] = &[
    (
        "rusqlite",
        r#"{ version = "0.43", features = ["bundled"] }"#,
    ),
    ("heed", r#"{ version = "0.23", default-features = false }"#),
    ("redb", r#""4.6""#),
    ("memmap2", r#""0.9""#),
    (
        "lz4_flex",
        r#"{ version = "0.14", default-features = false, features = ["std", "safe-encode", "safe-decode"] }"#,
    ),
    ("zstd", r#"{ version = "0.14", default-features = false }"#),
    ("miniz_oxide", r#""0.9""#),
    ("snap", r#""1.1""#),
];

pub fn run(dir: &Path) -> Result<()> {
    println!("| dependency | seconds | crates | C code |");
    println!("| --- | --- | --- | --- |");
    for (name, requirement) in DEPENDENCIES {
        let package = dir.join(format!("cost-{name}"));
        empty(&package.join("src"))?;
        fs::write(package.join("src/lib.rs"), "")?;
        fs::write(
            package.join("Cargo.toml"),
            format!(
                "[package]\nname = \"cost\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                 [workspace]\n[dependencies]\n{name} = {requirement}\n"
            ),
        )?;
        let cargo = |arguments: &[&str]| {
            Command::new("cargo")
                .args(arguments)
                .current_dir(&package)
                .env_remove("CARGO_TARGET_DIR")
                .output()
        };
        cargo(&["fetch"])?;
        let start = Instant::now();
        let output = cargo(&["build", "--release"])?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let log = String::from_utf8_lossy(&output.stderr);
        let compiled: Vec<&str> = log
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Compiling "))
            .collect();
        let c = compiled.iter().any(|line| line.starts_with("cc "));
        println!(
            "| {name} | {seconds:.1} | {} | {} |",
            compiled.len() - 1,
            if c { "yes" } else { "no" }
        );
        fs::remove_dir_all(&package)?;
    }
    Ok(())
}
