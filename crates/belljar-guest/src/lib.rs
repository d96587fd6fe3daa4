//! Macro package to scratch package to module: rewriting, overlays, nested builds, toolchain.
