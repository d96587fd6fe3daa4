//! Generated crates.

use std::fmt::Write as _;

/// Derives in the crate that is touched.
pub(crate) const DERIVES: usize = 300;

/// Derives in the crate that shows whether their number matters.
pub(crate) const MANY: usize = 10_000;

/// Fields of the struct that is a crate's only one.
pub(crate) const FIELDS: usize = 1_000;

/// Published applications with many macros: name and version. Each brings its lockfile.
pub(crate) const SMALL_APPLICATION: (&str, &str) = ("zoxide", "0.10.0");
pub(crate) const MEDIUM: (&str, &str) = ("just", "1.59.0");
pub(crate) const LARGE: (&str, &str) = ("jj-cli", "0.45.1");

/// The macro packages of a published application that need what belljar knows they need.
pub(crate) fn needs(application: &str) -> &'static [&'static str] {
    match application {
        "zoxide" => &["askama_macros"],
        "jj-cli" => &["pest_derive"],
        _ => &[],
    }
}

/// A package by which cargo finds the source of a program.
pub(crate) fn finder(name: &str, version: &str) -> String {
    let dependency = format!("{name} = {{ version = \"={version}\", artifact = \"bin\" }}");
    format!(
        "[package]\nname = \"finder\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependency}\n"
    )
}

/// What makes a plain library of serde_derive's source: file, and what is put in the place of what.
pub(crate) const READY: &[(&str, &[(&str, &str)])] = &[
    ("Cargo.toml", &[("proc-macro = true", "")]),
    (
        "src/lib.rs",
        &[
            ("use proc_macro::TokenStream;", "use proc_macro2::TokenStream;"),
            ("extern crate proc_macro;\n", ""),
            ("use syn::parse_macro_input;\n", ""),
            (
                "parse_macro_input!(input as DeriveInput)",
                "syn::parse2::<DeriveInput>(input).expect(\"a struct\")",
            ),
            ("#[proc_macro_derive(Serialize, attributes(serde))]", ""),
            ("#[proc_macro_derive(Deserialize, attributes(serde))]", ""),
        ],
    ),
];

/// Small expansions in the crate that is made of them.
pub(crate) const SMALL: usize = 2000;

/// `count` structs of eight fields with `derive(Deserialize)`. `touched` changes what the crate says, so that neither
/// cargo nor rustc can take it for the same. Nothing is moved by it: rustc's own cache counts places.
pub(crate) fn derives(count: usize, touched: u32) -> String {
    let mut source = format!(
        "//! Generated.\n\nuse serde::Deserialize;\n\npub const TOUCHED: u32 = {:06};\n",
        touched + 1
    );
    for n in 0..count {
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

/// One struct with `count` fields and `derive(Deserialize)`.
pub(crate) fn wide(count: usize, touched: u32) -> String {
    let mut source = format!(
        "//! Generated.\n\nuse serde::Deserialize;\n\npub const TOUCHED: u32 = {:06};\n\n#[derive(Debug, Deserialize)]\npub struct Wide {{\n",
        touched + 1
    );
    for n in 0..count {
        writeln!(source, "    #[serde(default)]\n    pub field_{n}: Option<String>,")
            .expect("a string takes everything");
    }
    source.push_str("}\n");
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
