//! Changes in the sources of a macro package: tokens in attributes, nothing else.
//!
//! rustc takes `#[proc_macro…]` only in a proc-macro crate, and a guest is none. So the *path* of each such marker is
//! replaced by that of an attribute of our own (`inside/entry`), of exactly its length, so that every line and column
//! stays what it was:
//!
//! ```text
//! #[proc_macro]                             #[belljar::f]
//! #[proc_macro_derive(Name, attributes(x))] #[belljar::deriving(Name, attributes(x))]
//! #[cfg_attr(a, proc_macro_attribute)]      #[cfg_attr(a, belljar::attribution)]
//! ```
//!
//! Where an attribute of somebody else's looks for the markers (`#[manyhow]`), they must stay single names, and get others
//! of the same length, which the crate root then brings into scope everywhere ([`ROOT`]).
//!
//! The source is lexed, not parsed: markers also stand in bodies of `macro_rules!`, which are no Rust until they are
//! used, and must be left alone in strings, comments and paths such as `proc_macro::TokenStream`.

use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, strip_shebang, tokenize};

/// What to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Rules {
    /// The markers of entry points, and `#[proc_macro_error]`, which must be told not to look for them
    /// (`allow_not_macro`; the one change that moves columns, on its own line).
    #[serde(default)]
    pub(crate) markers: bool,
    /// `target_arch = "wasm32"` becomes an architecture that is never there: for crates that mean "no compiler around"
    /// by it.
    #[serde(default)]
    pub(crate) not_wasm: bool,
    /// With `markers`: single names instead of paths, also among the arguments of `#[manyhow]`.
    #[serde(default)]
    pub(crate) bare: bool,
    /// Strings that are the name of a marker become the single name that stands for it: for a macro that looks for them.
    #[serde(default)]
    pub(crate) looks: bool,
    /// `cfg(unix)` holds: for crates that know no third kind of system beside it and `windows`.
    #[serde(default)]
    pub(crate) unix: bool,
    /// The function that asks cargo for the workspace's manifest or root, with a program that nobody can start, asks for a variable
    /// instead.
    #[serde(default)]
    pub(crate) locates: bool,
    /// `target_pointer_width` is 64, and what a file puts into a `usize` out of a hasher keeps its 64 bits: for crates whose
    /// output depends on the macro's own pointers.
    #[serde(default)]
    pub(crate) wide: bool,
    /// `TcpStream::connect(…).await` is std's `connect`, which WASI has and refuses: tokio's has none there.
    #[serde(default)]
    pub(crate) connects: bool,
}

/// What stands for that function's name, and for the variable that the expander sets (`belljar_policy`).
const LOCATES: &str = "workspace_manifest_path";
pub(crate) const WORKSPACE_MANIFEST: &str = "BELLJAR_WORKSPACE_MANIFEST";

const MARKERS: [(&str, &str); 3] = [
    ("proc_macro", "belljar::f"),
    ("proc_macro_derive", "belljar::deriving"),
    ("proc_macro_attribute", "belljar::attribution"),
];

const BARE: [(&str, &str); 3] = [
    ("proc_macro", "belljar_fn"),
    ("proc_macro_derive", "belljar_of_derive"),
    ("proc_macro_attribute", "belljar_of_attribute"),
];

/// Stands at the end of a crate root under the rule `bare`.
pub(crate) const ROOT: &str = "\n#[macro_use]\nextern crate belljar as __belljar_markers;\n";

/// What stands for this marker.
fn marker(markers: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    markers.iter().find(|(marker, _)| *marker == name).map(|(_, ours)| *ours)
}

/// Returns the changed source, or `None` when there is nothing to change.
pub(crate) fn rewrite(source: &str, rules: Rules) -> Option<String> {
    let tokens = significant(source);
    let mut edits = Vec::new();
    let scan = Scan { source, tokens: &tokens, rules };
    if rules.markers || rules.unix {
        scan.attributes(&mut edits);
    }
    if rules.not_wasm {
        scan.architectures(&mut edits);
    }
    if rules.connects {
        scan.connections(&mut edits);
    }
    if rules.wide {
        scan.widths(&mut edits);
    }
    if rules.looks {
        scan.names_of_markers(&mut edits);
    }
    if rules.locates {
        scan.questions_to_cargo(&mut edits);
        scan.questions_for_the_root(&mut edits);
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|edit| edit.start);
    let mut out = String::with_capacity(source.len() + 32);
    let mut done = 0;
    for edit in edits {
        // `cfg_attr` inside an attribute of a macro's input can be met twice.
        if edit.start < done {
            continue;
        }
        out.push_str(&source[done..edit.start]);
        out.push_str(&edit.text);
        done = edit.end;
    }
    out.push_str(&source[done..]);
    Some(out)
}

/// Is the identifier `name` anywhere in the code, outside strings and comments?
pub(crate) fn names(source: &str, name: &str) -> bool {
    source.contains(name)
        && significant(source).iter().any(|t| t.kind == TokenKind::Ident && &source[t.start..t.end] == name)
}

/// The strings of the code, outside comments, that lead up to another directory: `"../shared.rs"`.
pub(crate) fn upward(source: &str) -> Vec<&str> {
    if !source.contains("../") {
        return Vec::new();
    }
    let tokens = significant(source);
    let texts = tokens.iter().map(|t| &source[t.start..t.end]);
    let strings = texts.filter_map(|text| text.strip_prefix('"')?.strip_suffix('"'));
    strings.filter(|text| text.contains("../")).collect()
}

/// A token that is neither space nor comment.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: TokenKind,
    start: usize,
    end: usize,
}

struct Edit {
    start: usize,
    end: usize,
    text: String,
}

fn significant(source: &str) -> Vec<Token> {
    let mut start = strip_shebang(source).unwrap_or(0);
    let mut tokens = Vec::new();
    for token in tokenize(&source[start..], FrontmatterAllowed::No) {
        let end = start + token.len as usize;
        let skipped = matches!(
            token.kind,
            TokenKind::Whitespace | TokenKind::LineComment { .. } | TokenKind::BlockComment { .. }
        );
        if !skipped {
            tokens.push(Token { kind: token.kind, start, end });
        }
        start = end;
    }
    tokens
}

struct Scan<'a> {
    source: &'a str,
    tokens: &'a [Token],
    rules: Rules,
}

impl Scan<'_> {
    fn kind(&self, i: usize) -> Option<TokenKind> {
        self.tokens.get(i).map(|t| t.kind)
    }

    fn text(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| &self.source[t.start..t.end])
    }

    fn is_path_separator(&self, i: usize) -> bool {
        self.kind(i) == Some(TokenKind::Colon)
            && self.kind(i + 1) == Some(TokenKind::Colon)
            && self.tokens[i].end == self.tokens[i + 1].start
    }

    fn attributes(&self, edits: &mut Vec<Edit>) {
        for i in 0..self.tokens.len() {
            if self.kind(i) != Some(TokenKind::Pound) {
                continue;
            }
            let open = if self.kind(i + 1) == Some(TokenKind::Bang) { i + 2 } else { i + 1 };
            if self.kind(open) == Some(TokenKind::OpenBracket) {
                let close = self.closing(open);
                self.attribute(open + 1, close, edits);
            }
        }
    }

    /// The token that closes what opens at `open`, or the end of the source.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for i in open..self.tokens.len() {
            match self.tokens[i].kind {
                TokenKind::OpenParen | TokenKind::OpenBrace | TokenKind::OpenBracket => depth += 1,
                TokenKind::CloseParen | TokenKind::CloseBrace | TokenKind::CloseBracket => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return i;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// What stands between `#[` and `]`, or in one argument of `cfg_attr`.
    fn attribute(&self, from: usize, to: usize, edits: &mut Vec<Edit>) {
        let mut last = from;
        let mut single = true;
        if self.is_path_separator(last) {
            last += 2;
            single = false;
        }
        while self.kind(last) == Some(TokenKind::Ident) && self.is_path_separator(last + 1) {
            last += 3;
            single = false;
        }
        if last >= to || self.kind(last) != Some(TokenKind::Ident) {
            return;
        }
        let ends = last + 1 == to;
        let arguments =
            (self.kind(last + 1) == Some(TokenKind::OpenParen)).then(|| (last + 1, self.closing(last + 1)));
        match self.text(last) {
            "cfg_attr" if single => {
                if let Some((open, close)) = arguments {
                    let commas = self.commas(open, close);
                    if let Some(&first) = commas.first() {
                        self.predicate(open + 1, first, edits);
                    }
                    for (n, &comma) in commas.iter().enumerate() {
                        self.attribute(comma + 1, commas.get(n + 1).copied().unwrap_or(close), edits);
                    }
                }
            }
            "cfg" if single => {
                if let Some((open, close)) = arguments {
                    self.predicate(open + 1, close, edits);
                }
            }
            "proc_macro_error" if self.rules.markers => self.allow_not_macro(last, ends, arguments, edits),
            "manyhow" if self.rules.bare => {
                if let Some((open, close)) = arguments {
                    self.flags(open + 1, close, edits);
                }
            }
            name if single && self.rules.markers && (ends || arguments.is_some()) => {
                let markers = if self.rules.bare { &BARE } else { &MARKERS };
                if let Some(ours) = marker(markers, name) {
                    let Token { start, end, .. } = self.tokens[last];
                    edits.push(Edit { start, end, text: ours.to_owned() });
                }
            }
            _ => {}
        }
    }

    /// Markers among the arguments of an attribute, but not in the arguments of these.
    fn flags(&self, from: usize, to: usize, edits: &mut Vec<Edit>) {
        let mut i = from;
        while i < to {
            if let Some(ours) = marker(&BARE, self.text(i)) {
                let Token { start, end, .. } = self.tokens[i];
                edits.push(Edit { start, end, text: ours.to_owned() });
            }
            i = if self.kind(i) == Some(TokenKind::OpenParen) { self.closing(i) } else { i } + 1;
        }
    }

    fn commas(&self, open: usize, close: usize) -> Vec<usize> {
        let mut commas = Vec::new();
        let mut i = open + 1;
        while i < close {
            match self.tokens[i].kind {
                TokenKind::Comma => commas.push(i),
                TokenKind::OpenParen | TokenKind::OpenBrace | TokenKind::OpenBracket => i = self.closing(i),
                _ => {}
            }
            i += 1;
        }
        commas
    }

    fn allow_not_macro(
        &self,
        name: usize,
        ends: bool,
        arguments: Option<(usize, usize)>,
        edits: &mut Vec<Edit>,
    ) {
        const ALLOW: &str = "allow_not_macro";
        if let Some((open, close)) = arguments {
            if !(open..close).any(|i| self.text(i) == ALLOW) {
                let at = self.tokens[open].end;
                let comma = if open + 1 == close { "" } else { ", " };
                edits.push(Edit { start: at, end: at, text: format!("{ALLOW}{comma}") });
            }
        } else if ends {
            let at = self.tokens[name].end;
            edits.push(Edit { start: at, end: at, text: format!("({ALLOW})") });
        }
    }

    /// `unix` in a configuration predicate: `all()` is what always holds.
    fn predicate(&self, from: usize, to: usize, edits: &mut Vec<Edit>) {
        if !self.rules.unix {
            return;
        }
        for i in from..to.min(self.tokens.len()) {
            if self.text(i) == "unix" && self.kind(i + 1) != Some(TokenKind::Eq) {
                let Token { start, end, .. } = self.tokens[i];
                edits.push(Edit { start, end, text: "all()".to_owned() });
            }
        }
    }

    fn names_of_markers(&self, edits: &mut Vec<Edit>) {
        for (i, &Token { start, end, .. }) in self.tokens.iter().enumerate() {
            let name = self.text(i).strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            if let Some(ours) = name.and_then(|name| marker(&BARE, name)) {
                edits.push(Edit { start, end, text: format!("\"{ours}\"") });
            }
        }
    }

    /// The body of `fn workspace_root(&self) -> PathBuf`, where `self.manifest_dir` is the package's directory. Where the variable
    /// is not set, that is the workspace's.
    fn questions_for_the_root(&self, edits: &mut Vec<Edit>) {
        const HEAD: [&str; 10] = ["fn", "workspace_root", "(", "&", "self", ")", "-", ">", "PathBuf", "{"];
        for i in 0..self.tokens.len() {
            if !HEAD.iter().enumerate().all(|(k, word)| self.text(i + k) == *word) {
                continue;
            }
            let open = i + HEAD.len() - 1;
            let Some(&Token { end, .. }) = self.tokens.get(self.closing(open)) else { continue };
            let start = self.tokens[open].start;
            let lines = "\n".repeat(self.source[start..end].matches('\n').count());
            let text = format!(
                "{{ ::std::env::var_os(\"{WORKSPACE_MANIFEST}\").map(::std::path::PathBuf::from).and_then(|path| \
                 path.parent().map(::std::path::Path::to_path_buf)).unwrap_or_else(|| \
                 ::std::path::PathBuf::from(&self.manifest_dir)){lines}}}"
            );
            edits.push(Edit { start, end, text });
        }
    }

    /// The body of `fn workspace_manifest_path(manifest: &Path) -> Result<…>`, whose success is a path or an `Option` of one. Where
    /// the variable is not set, the package's manifest is the workspace's.
    fn questions_to_cargo(&self, edits: &mut Vec<Edit>) {
        for i in 0..self.tokens.len() {
            let parameter = self.text(i + 3);
            let is = self.text(i) == "fn" && self.text(i + 1) == LOCATES && self.text(i + 2) == "(";
            if !is || self.kind(i + 3) != Some(TokenKind::Ident) {
                continue;
            }
            let behind = self.closing(i + 2);
            let Some(open) =
                (behind..self.tokens.len()).find(|&j| self.kind(j) == Some(TokenKind::OpenBrace))
            else {
                continue;
            };
            let close = self.closing(open);
            let Some(&Token { end, .. }) = self.tokens.get(close) else { continue };
            let start = self.tokens[open].start;
            let lines = "\n".repeat(self.source[start..end].matches('\n').count());
            let text = format!(
                "{{ ::std::result::Result::Ok(::std::env::var_os(\"{WORKSPACE_MANIFEST}\").map_or_else(|| \
                 ::std::path::Path::new({parameter}).to_path_buf(), ::std::path::PathBuf::from).into()){lines}}}"
            );
            edits.push(Edit { start, end, text });
        }
    }

    fn connections(&self, edits: &mut Vec<Edit>) {
        const CALL: [&str; 5] = ["TcpStream", ":", ":", "connect", "("];
        for i in 0..self.tokens.len() {
            if !CALL.iter().enumerate().all(|(k, word)| self.text(i + k) == *word) {
                continue;
            }
            let after = self.closing(i + 4) + 1;
            if self.text(after) == "." && self.text(after + 1) == "await" {
                let (name, wait) = (self.tokens[i], self.tokens[after + 1]);
                edits.push(Edit {
                    start: name.start,
                    end: name.end,
                    text: "::std::net::TcpStream".to_owned(),
                });
                edits.push(Edit {
                    start: wait.start,
                    end: wait.end,
                    text: "and_then(TcpStream::from_std)".to_owned(),
                });
            }
        }
    }

    fn widths(&self, edits: &mut Vec<Edit>) {
        const HASH: [&str; 5] = ["finish", "(", ")", "as", "usize"];
        let at =
            |i: usize, words: &[&str]| words.iter().enumerate().all(|(k, word)| self.text(i + k) == *word);
        let mut edit = |i: usize, text: &str| {
            if let Some(&Token { start, end, .. }) = self.tokens.get(i) {
                edits.push(Edit { start, end, text: text.to_owned() });
            }
        };
        let hashes = (0..self.tokens.len()).any(|i| at(i, &HASH));
        for i in 0..self.tokens.len() {
            match self.text(i) {
                "target_pointer_width" if at(i + 1, &["=", "\"64\""]) => edit(i + 2, "\"32\""),
                "target_pointer_width" if at(i + 1, &["=", "\"32\""]) => edit(i + 2, "\"64\""),
                "finish" if at(i, &HASH) => edit(i + 4, "u64"),
                "AtomicUsize" if hashes => edit(i, "AtomicU64"),
                _ => {}
            }
        }
    }

    fn architectures(&self, edits: &mut Vec<Edit>) {
        for i in 0..self.tokens.len() {
            let is = self.text(i) == "target_arch"
                && self.kind(i + 1) == Some(TokenKind::Eq)
                && self.text(i + 2) == "\"wasm32\"";
            if is {
                let Token { start, end, .. } = self.tokens[i + 2];
                edits.push(Edit { start, end, text: "\"wasm00\"".to_owned() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers(source: &str) -> String {
        let rules = Rules { markers: true, ..Rules::default() };
        rewrite(source, rules).unwrap_or_else(|| source.to_owned())
    }

    #[test]
    fn connections_are_std_s() {
        let rules = Rules { connects: true, ..Rules::default() };
        let source =
            "let stream = TcpStream::connect((host, port(1))).await?; UnixStream::connect(path).await";
        let expected = "let stream = ::std::net::TcpStream::connect((host, port(1))).and_then(TcpStream::from_std)?; \
                        UnixStream::connect(path).await";
        assert_eq!(rewrite(source, rules).as_deref(), Some(expected));
        assert_eq!(rewrite("TcpStream::connect(address)?", rules), None);
    }

    #[test]
    fn pointers_are_wide() {
        let rules = Rules { wide: true, ..Rules::default() };
        for (source, expected) in [
            (
                "#[cfg(target_pointer_width = \"64\")] type T = u64; #[cfg(target_pointer_width = \"32\")] type T = u32;",
                "#[cfg(target_pointer_width = \"32\")] type T = u64; #[cfg(target_pointer_width = \"64\")] type T = u32;",
            ),
            (
                "static H: AtomicUsize = AtomicUsize::new(0); H.store(h.finish() as usize, SeqCst);",
                "static H: AtomicU64 = AtomicU64::new(0); H.store(h.finish() as u64, SeqCst);",
            ),
        ] {
            assert_eq!(rewrite(source, rules).as_deref(), Some(expected));
        }
        assert_eq!(
            rewrite("static COUNT: AtomicUsize = AtomicUsize::new(0); f(\"finish() as usize\")", rules),
            None
        );
    }

    #[test]
    fn the_workspace_is_a_variable() {
        let source = "use std::process::Command;\nfn workspace_manifest_path(cargo_toml: &Path) -> Result<Option<PathBuf>, Error> {\n    \
                      let out = Command::new(\"cargo\");\n    Ok({ None })\n}\nfn after() {}\n";
        let rules = Rules { locates: true, ..Rules::default() };
        let out = rewrite(source, rules).unwrap();
        assert_eq!(out.lines().count(), source.lines().count());
        assert!(!out.contains("Command::new") && out.contains("Path::new(cargo_toml)"), "{out}");
        assert!(out.ends_with("\nfn after() {}\n"), "{out}");
        assert_eq!(out.matches('{').count(), out.matches('}').count());
        assert_eq!(rewrite("fn workspace_manifest_path();", rules), None);
        let source = "impl M {\n    pub fn workspace_root(&self) -> PathBuf {\n        Command::new(\"cargo\");\n    }\n}\n";
        let out = rewrite(source, rules).unwrap();
        assert!(!out.contains("Command") && out.contains("&self.manifest_dir"), "{out}");
        assert_eq!(out.lines().count(), source.lines().count());
        assert_eq!(rewrite("fn workspace_root(&self) -> &Path { self.root }", rules), None);
    }

    #[test]
    fn markers_are_replaced_wherever_an_attribute_can_stand() {
        for (source, expected) in [
            ("#[proc_macro]\npub fn a() {}", "#[belljar::f]\npub fn a() {}"),
            ("# [ proc_macro ] fn a() {}", "# [ belljar::f ] fn a() {}"),
            ("#[proc_macro_derive(A, attributes(b))]", "#[belljar::deriving(A, attributes(b))]"),
            ("#[proc_macro_attribute]", "#[belljar::attribution]"),
            ("#[cfg_attr(all(a, b), proc_macro_attribute)]", "#[cfg_attr(all(a, b), belljar::attribution)]"),
            (
                "#[cfg_attr(a, cfg_attr(b, inline, proc_macro))]",
                "#[cfg_attr(a, cfg_attr(b, inline, belljar::f))]",
            ),
            (
                "macro_rules! m { ($n:ident) => { #[proc_macro_derive($n)] pub fn $n() {} } }",
                "macro_rules! m { ($n:ident) => { #[belljar::deriving($n)] pub fn $n() {} } }",
            ),
            ("make!(#[proc_macro] fn a() {});", "make!(#[belljar::f] fn a() {});"),
            ("/* a */ #[/* b */ proc_macro /* c */]", "/* a */ #[/* b */ belljar::f /* c */]"),
        ] {
            assert_eq!(markers(source), expected);
            assert_eq!(expected.len(), source.len());
        }
    }

    #[test]
    fn everything_that_is_no_marker_stays() {
        for source in [
            "extern crate proc_macro;",
            "use proc_macro::{TokenStream, proc_macro_derive};",
            "#[doc = \"#[proc_macro]\"]",
            "// #[proc_macro]\n/* #[proc_macro] */",
            "/// #[proc_macro]\nfn a() {}",
            "const A: &str = r#\"#[proc_macro]\"#;",
            "#[cfg(feature = \"proc_macro\")]",
            "#[cfg(proc_macro)]",
            "#[cfg_attr(proc_macro, inline)]",
            "#[proc_macro::thing]",
            "#[proc_macro2(a)]",
            "#![feature(proc_macro)]",
            "let proc_macro = [0]; a[proc_macro]",
            "'#' [proc_macro]",
        ] {
            assert_eq!(markers(source), source);
        }
    }

    #[test]
    fn proc_macro_error_is_told_not_to_look_for_markers() {
        for (source, expected) in [
            ("#[proc_macro_error]", "#[proc_macro_error(allow_not_macro)]"),
            ("#[proc_macro_error()]", "#[proc_macro_error(allow_not_macro)]"),
            (
                "#[proc_macro_error(assert_unwind_safe)]",
                "#[proc_macro_error(allow_not_macro, assert_unwind_safe)]",
            ),
            ("#[proc_macro_error(allow_not_macro)]", "#[proc_macro_error(allow_not_macro)]"),
            (
                "#[proc_macro_error::proc_macro_error]",
                "#[proc_macro_error::proc_macro_error(allow_not_macro)]",
            ),
            ("#[cfg_attr(a, proc_macro_error)]", "#[cfg_attr(a, proc_macro_error(allow_not_macro))]"),
            ("use proc_macro_error::proc_macro_error;", "use proc_macro_error::proc_macro_error;"),
        ] {
            assert_eq!(markers(source), expected);
        }
    }

    #[test]
    fn manyhow_finds_single_names() {
        let rules = Rules { markers: true, bare: true, ..Rules::default() };
        for (source, expected) in [
            ("#[manyhow]\n#[proc_macro]", "#[manyhow]\n#[belljar_fn]"),
            (
                "#[manyhow(impl_fn)] #[proc_macro_derive(A, attributes(proc_macro))]",
                "#[manyhow(impl_fn)] #[belljar_of_derive(A, attributes(proc_macro))]",
            ),
            (
                "#[manyhow::manyhow(proc_macro_attribute, impl_fn)]",
                "#[manyhow::manyhow(belljar_of_attribute, impl_fn)]",
            ),
            ("#[manyhow(proc_macro_derive(proc_macro))]", "#[manyhow(belljar_of_derive(proc_macro))]"),
            ("#[manyhow(impl_fn)]", "#[manyhow(impl_fn)]"),
        ] {
            assert_eq!(rewrite(source, rules).as_deref().unwrap_or(source), expected);
            assert_eq!(expected.len(), source.len());
        }
        let looks = Rules { looks: true, ..Rules::default() };
        let source =
            "match name { \"proc_macro\" | \"proc_macro_derive\" => \"a proc_macro\", _ => proc_macro }";
        let expected =
            "match name { \"belljar_fn\" | \"belljar_of_derive\" => \"a proc_macro\", _ => proc_macro }";
        assert_eq!(rewrite(source, looks).as_deref(), Some(expected));
    }

    #[test]
    fn gates_on_wasm_open() {
        let rules = Rules { not_wasm: true, ..Rules::default() };
        let gate =
            "#[cfg(not(all(target_arch = \"wasm32\", target_os = \"wasi\")))] extern crate proc_macro;";
        assert_eq!(rewrite(gate, rules).as_deref(), Some(gate.replace("wasm32", "wasm00").as_str()));
        assert_eq!(rewrite("\"target_arch = \\\"wasm32\\\"\"", rules), None);
    }

    #[test]
    fn unix_holds() {
        let rules = Rules { unix: true, ..Rules::default() };
        let source = "#[cfg(any(unix, target_os = \"redox\"))] use std::os::unix::ffi::OsStrExt;";
        let expected = "#[cfg(any(all(), target_os = \"redox\"))] use std::os::unix::ffi::OsStrExt;";
        assert_eq!(rewrite(source, rules).as_deref(), Some(expected));
    }

    #[test]
    fn strings_that_lead_upward() {
        let source = "#[path = \"../a.rs\"] mod a; // \"../no\"\nconst B: &str = include_str!(\"b/../../c\"); f(\"d\");";
        assert_eq!(upward(source), ["../a.rs", "b/../../c"]);
    }

    #[test]
    fn broken_sources_are_no_problem() {
        for source in [
            "#[",
            "#[proc_macro",
            "#[cfg_attr(",
            "#![proc_macro_error(",
            "\"",
            "r#\"",
            "/*",
            "#[::",
            "]",
            ")",
        ] {
            let _ = rewrite(
                source,
                Rules {
                    markers: true,
                    not_wasm: true,
                    bare: true,
                    looks: true,
                    unix: true,
                    locates: true,
                    wide: true,
                    connects: true,
                },
            );
        }
        assert_eq!(markers("#!/usr/bin/env rustx\n#[proc_macro]"), "#!/usr/bin/env rustx\n#[belljar::f]");
    }

    #[test]
    fn names_are_found_in_code_only() {
        assert!(names("std::panic::catch_unwind(f)", "catch_unwind"));
        assert!(!names("// catch_unwind\n\"catch_unwind\"", "catch_unwind"));
        assert!(!names("catch_unwinding()", "catch_unwind"));
    }
}
