//! Cargo's side of a build: unit graph, lockfile, which macros, which units only macros need.
