//! Generated crates.

use std::fmt::Write as _;

/// Derives in the crate that is touched.
pub(crate) const DERIVES: usize = 300;

/// Small expansions in the crate that is made of them.
pub(crate) const SMALL: usize = 2000;

/// `DERIVES` structs of eight fields with `derive(Deserialize)`. `touched` changes what the crate says, so that neither
/// cargo nor rustc can take it for the same. Nothing is moved by it: rustc's own cache counts places.
pub(crate) fn derives(touched: u32) -> String {
    let mut source = format!(
        "//! Generated.\n\nuse serde::Deserialize;\n\npub const TOUCHED: u32 = {:06};\n",
        touched + 1
    );
    for n in 0..DERIVES {
        write!(
            source,
            "
/// Record {n}
#[derive(Debug, Deserialize)]
#[serde(rename_all = \"camelCase\")]
pub struct Record{n} {{
    pub identifier_{n}: u64,
    pub display_name: String,
    #[serde(default)]
    pub tags: Vec<String>,
    pub parent: Option<Box<Record{n}>>,
    pub size: (u32, u32),
    #[serde(rename = \"on\")]
    pub enabled: bool,
    pub ratio: f64,
    pub kind: Result<u8, String>,
}}
"
        )
        .expect("a string takes everything");
    }
    source
}

/// `count` structs with `derive(Small)`, no two the same.
pub(crate) fn small(count: usize, touched: u32) -> String {
    let mut source = format!("//! Generated.\n\npub const TOUCHED: u32 = {touched};\n");
    for n in 0..count {
        write!(source, "#[derive(small_macros::Small)]\npub struct Small{n};\n")
            .expect("a string takes everything");
    }
    source
}
