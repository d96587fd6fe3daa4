//! `cargo belljar`: arguments in, reports out.
//!
//! The same program plays five roles, told apart by how it is called:
//!
//! | called as | role |
//! |---|---|
//! | `cargo-belljar belljar check …` (by cargo) or `cargo-belljar check …` | the command ([`cli`]) |
//! | `cargo-belljar /path/of/rustc --crate-name …` (by cargo, as `RUSTC_WRAPPER`) | the wrapper ([`wrapper`]) |
//! | the same, with [`belljar_guest::nested::VARIABLE`] set | the wrapper of a guest's build |
//! | `cargo-belljar __precompile` (by the command) | makes native code of new modules meanwhile ([`precompile`]) |
//! | `cargo-belljar __expander /path/of/store …` (by a shim that inherited no socket) | an expander alone ([`wrapper::expander`]) |

mod allow;
mod build;
mod cache;
mod cli;
mod expand;
mod init;
mod install;
mod interrupt;
mod json;
mod log;
mod other_wrapper;
mod own_dir;
mod policy;
mod precompile;
mod probe;
mod promised;
mod refused;
mod report;
mod seen;
mod session;
mod stamps;
mod wrapper;
mod written;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    report::choose_colours(None);
    match args.first() {
        Some(first) if first == wrapper::EXPANDER => wrapper::expander(args.get(1..).unwrap_or_default()),
        Some(first) if first == precompile::PRECOMPILE => precompile::run(),
        Some(first) if is_compiler(first) => wrapper::run(args),
        Some(first) if first == "belljar" => {
            args.remove(0);
            cli::run(args)
        }
        _ => cli::run(args),
    }
}

/// Is this what cargo puts first when it calls a wrapper: the path of a compiler, or of a wrapper inside this one?
/// Subcommands have no path separator, and `rustc` bare is the compiler: the subcommand of that name comes behind
/// `belljar`.
fn is_compiler(first: &OsString) -> bool {
    let path = Path::new(first);
    let named = |name: &str| path.file_stem().is_some_and(|stem| stem == name);
    path.components().count() > 1 || named("rustc") || named("clippy-driver") || wrapper::is_belljar(first)
}
