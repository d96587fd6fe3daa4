//! Runs guest modules and answers shims: engine, WASI layer, limits.
