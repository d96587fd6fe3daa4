//! Which way of keeping cached macro expansions on disk serves many
//! short-lived processes best? Run it without arguments to see its commands.

mod bench;
mod child;
mod compile_cost;
mod compress;
mod data;
mod files;
mod lmdb;
mod pack;
mod redb_store;
mod robust;
mod sqlite;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: storage COMMAND [ARGUMENTS]

  bench DIR [KIND...]     speed and size, in new folders below DIR
  robust DIR [KIND...]    kill -9, flipped bytes, truncation
  hostile DIR [KIND...]   full and read-only disk (needs root: mounts a tmpfs)
  compress DIR            compression of DIR/*.bin, or of the *.rs files below DIR
  compile-cost DIR        cold builds of the dependencies, in new folders below DIR
  child ...               one process of a measurement (internal)";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    if command == "child" {
        return child::run(&rest);
    }
    let Some((dir, kinds)) = rest.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let dir = PathBuf::from(dir);
    let done = match command.as_str() {
        "bench" => bench::run(&dir, kinds),
        "robust" => robust::run(&dir, kinds),
        "hostile" => robust::run_hostile(&dir, kinds),
        "compress" => compress::run(&dir),
        "compile-cost" => compile_cost::run(&dir),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storage: {error}");
            ExitCode::FAILURE
        }
    }
}
