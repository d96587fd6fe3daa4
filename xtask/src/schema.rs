//! `cargo xtask schema`: the reference of `belljar.toml` and its JSON schema, written into `docs/`.

use std::fs;
use std::process::ExitCode;

use belljar_policy::reference;
use camino::Utf8PathBuf;

use crate::project;

#[derive(clap::Args)]
pub(crate) struct Args {}

#[derive(Debug, thiserror::Error)]
#[error("can't write {path}")]
pub(crate) struct SchemaError {
    path: Utf8PathBuf,
    source: std::io::Error,
}

pub(crate) fn run(_: &Args) -> Result<ExitCode, SchemaError> {
    let docs = project::root().join("docs");
    for (name, text) in [("belljar.schema.json", reference::schema()), ("policy.md", reference::markdown())] {
        let path = docs.join(name);
        fs::write(&path, text).map_err(|source| SchemaError { path: path.clone(), source })?;
        println!("{path}");
    }
    Ok(ExitCode::SUCCESS)
}
