//! Nothing of the compiler's stable API is missing.
//!
//! From the sources of the compiler's `proc_macro`, macros expanded, a program is written that uses each stable item
//! with its exact type. It has to compile against the compiler's crate, which shows that the program is right, and then
//! against belljar's.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemEnum, ItemImpl, Type, Visibility};

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("rustc starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
    String::from_utf8(output.stdout).expect("rustc prints text")
}

/// `library/proc_macro/src/lib.rs` of a Rust.
fn compilers_source() -> PathBuf {
    let library = match std::env::var_os("BELLJAR_RUST_SRC") {
        Some(given) => PathBuf::from(given),
        None => Path::new(output(rustc().args(["--print", "sysroot"])).trim())
            .join("lib/rustlib/src/rust/library"),
    };
    let source = library.join("proc_macro/src/lib.rs");
    assert!(
        source.exists(),
        "the standard library's sources are not in {}: run `rustup component add rust-src`, or set BELLJAR_RUST_SRC to \
         the folder `library` of a Rust source tree",
        library.display()
    );
    source
}

/// The source with its macros expanded. The one crate it depends on is for unstable items only.
fn expanded(dir: &Path) -> syn::File {
    let needed = ["unescape_byte", "unescape_byte_str", "unescape_c_str", "unescape_char", "unescape_str"];
    let mut stub = "pub enum EscapeError {} pub enum MixedUnit {}".to_owned();
    needed.iter().for_each(|name| stub.push_str(&format!("pub fn {name}() {{}}")));
    std::fs::write(dir.join("stub.rs"), stub).expect("a stub");
    let stub = dir.join("librustc_literal_escaper.rmeta");
    output(
        rustc()
            .args([
                "--edition=2024",
                "--crate-type=rlib",
                "--emit=metadata",
                "--crate-name=rustc_literal_escaper",
            ])
            .arg(dir.join("stub.rs"))
            .arg("-o")
            .arg(&stub),
    );
    // To read sources that use what is unstable; nothing is compiled this way.
    let text = output(
        rustc()
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["--edition=2024", "--crate-type=rlib", "--crate-name=proc_macro", "-Zunpretty=expanded"])
            .arg(format!("--extern=rustc_literal_escaper={}", stub.display()))
            .arg(compilers_source()),
    );
    syn::parse_file(&text).expect("rustc prints Rust")
}

#[derive(PartialEq, Clone, Copy, Debug)]
enum Stability {
    Stable,
    Unstable,
    Unsaid,
}

fn stability(attributes: &[Attribute]) -> Stability {
    let has = |name| attributes.iter().any(|attribute| attribute.path().is_ident(name));
    match (has("unstable"), has("stable")) {
        (true, _) => Stability::Unstable,
        (false, true) => Stability::Stable,
        (false, false) => Stability::Unsaid,
    }
}

/// Implementation details of derives, which no stable program can name.
const UNNAMED_TRAITS: [&str; 2] = ["StructuralPartialEq", "TrivialClone"];

#[derive(Default)]
struct Program {
    imports: String,
    types: Vec<String>,
    uses: String,
    count: usize,
}

impl Program {
    fn add(&mut self, line: String) {
        self.count += 1;
        writeln!(self.uses, "const _: () = {{ {line} }};").expect("a string takes all");
    }

    fn items(&mut self, items: &[Item], module: &str) {
        for item in items {
            self.item(item, module);
        }
    }

    fn item(&mut self, item: &Item, module: &str) {
        let public = |vis: &Visibility| matches!(vis, Visibility::Public(_));
        match item {
            Item::Use(item) if module.is_empty() && item.attrs.is_empty() && !public(&item.vis) => {
                let text = item.to_token_stream().to_string();
                if text.contains("use std ::") || text.contains("use core ::") {
                    self.imports.push_str(&text);
                }
            }
            Item::Use(item) if public(&item.vis) => {
                assert_eq!(
                    stability(&item.attrs),
                    Stability::Unstable,
                    "a stable re-export: teach this test"
                );
            }
            Item::Mod(item) if stability(&item.attrs) != Stability::Unstable => {
                let inside = format!("{module}{}::", item.ident);
                let items = item.content.as_ref().map(|(_, items)| &items[..]).unwrap_or_default();
                if public(&item.vis) {
                    self.items(items, &inside);
                } else {
                    // What it defines can't be reached; what it implements can.
                    items
                        .iter()
                        .filter(|item| matches!(item, Item::Impl(_)))
                        .for_each(|i| self.item(i, &inside));
                }
            }
            Item::Fn(item) if public(&item.vis) && is_stable(&item.attrs, &item.sig.ident) => {
                self.function(&format!("proc_macro::{module}{}", item.sig.ident), &item.sig, None);
            }
            Item::Struct(item) if public(&item.vis) && is_stable(&item.attrs, &item.ident) => {
                assert!(
                    item.fields.iter().all(|field| !public(&field.vis)),
                    "a public field: teach this test"
                );
                self.new_type(&item.ident.to_string(), module);
            }
            Item::Enum(item) if public(&item.vis) && is_stable(&item.attrs, &item.ident) => {
                self.new_type(&item.ident.to_string(), module);
                self.variants(item);
            }
            Item::Impl(item) => self.implementation(item),
            Item::Trait(item) if public(&item.vis) => {
                assert_eq!(stability(&item.attrs), Stability::Unstable, "a stable trait: teach this test");
            }
            Item::Macro(item) => {
                let exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
                assert!(!exported, "a stable macro: teach this test");
            }
            Item::Const(_) | Item::Static(_) | Item::Type(_) | Item::Union(_) => {
                let text = item.to_token_stream().to_string();
                assert!(!text.contains("# [stable"), "teach this test: {text}");
            }
            _ => {}
        }
    }

    fn new_type(&mut self, name: &str, module: &str) {
        if !module.is_empty() {
            writeln!(self.imports, "use proc_macro::{module}{name};").expect("a string takes all");
        }
        self.types.push(name.to_owned());
        self.add(format!("fn f(_: proc_macro::{module}{name}) {{}}"));
    }

    fn variants(&mut self, item: &ItemEnum) {
        let name = &item.ident;
        let mut arms = String::new();
        for variant in &item.variants {
            assert_eq!(stability(&variant.attrs), Stability::Stable, "an unstable variant: teach this test");
            let fields = variant.fields.iter().map(|field| field.ty.to_token_stream().to_string());
            let fields: Vec<String> = fields.collect();
            let names: Vec<String> = (0..fields.len()).map(|n| format!("f{n}")).collect();
            let pattern = if fields.is_empty() { String::new() } else { format!("({})", names.join(",")) };
            let lets = names.iter().zip(&fields).map(|(name, ty)| format!("let _: {ty} = {name};"));
            write!(arms, "{name}::{}{pattern} => {{ {} }}", variant.ident, lets.collect::<String>())
                .expect("a string takes all");
        }
        // Without a wildcard: there are neither fewer nor more.
        self.add(format!("fn f(it: {name}) {{ match it {{ {arms} }} }}"));
    }

    fn implementation(&mut self, item: &ItemImpl) {
        let on = item.self_ty.to_token_stream().to_string();
        let known = |ty: &str| self.types.iter().any(|known| known == ty);
        let Some((not, path, _)) = &item.trait_ else {
            if known(&on) {
                self.methods(item, &on);
            }
            return;
        };
        let derived = item.attrs.iter().any(|attribute| attribute.path().is_ident("automatically_derived"));
        let of = path.to_token_stream().to_string();
        let last = path.segments.last().expect("a path has segments");
        let stable = match stability(&item.attrs) {
            Stability::Stable => true,
            Stability::Unstable => false,
            Stability::Unsaid => derived && known(&on),
        };
        if !stable || UNNAMED_TRAITS.contains(&&*last.ident.to_string()) {
            return;
        }
        assert!(item.generics.params.is_empty(), "a generic impl of {of}: teach this test");
        if not.is_some() {
            self.add(format!(
                "trait Twice<A> {{ fn f() {{}} }} impl<T: ?Sized> Twice<()> for T {{}} struct B; \
                 impl<T: ?Sized + {of}> Twice<B> for T {{}} fn g() {{ <{on} as Twice<_>>::f() }}"
            ));
            return;
        }
        let mut arguments: Vec<String> = match &last.arguments {
            syn::PathArguments::AngleBracketed(all) => {
                all.args.iter().map(|a| a.to_token_stream().to_string()).collect()
            }
            _ => Vec::new(),
        };
        for item in &item.items {
            if let ImplItem::Type(ty) = item {
                arguments.push(format!("{} = {}", ty.ident, ty.ty.to_token_stream()));
            }
        }
        let bare = of.split('<').next().unwrap_or_default();
        let of = if arguments.is_empty() { of.clone() } else { format!("{bare}<{}>", arguments.join(",")) };
        self.add(format!("fn has<T: {of}>() {{}} fn f() {{ has::<{on}>() }}"));
    }

    fn methods(&mut self, item: &ItemImpl, on: &str) {
        assert!(item.generics.params.is_empty(), "a generic impl of {on}: teach this test");
        for member in &item.items {
            match member {
                ImplItem::Fn(method)
                    if matches!(method.vis, Visibility::Public(_))
                        && is_stable(&method.attrs, &method.sig.ident) =>
                {
                    let path = format!("{on}::{}", method.sig.ident);
                    self.function(&path, &method.sig, Some(&item.self_ty));
                }
                ImplItem::Const(c) => panic!("a constant {}: teach this test", c.ident),
                _ => {}
            }
        }
    }

    fn function(&mut self, path: &str, sig: &syn::Signature, on: Option<&Type>) {
        let plain = sig.generics.params.is_empty() && sig.constness.is_none() && sig.unsafety.is_none();
        assert!(plain && sig.asyncness.is_none(), "{path} is no plain function: teach this test");
        let inputs = sig.inputs.iter().map(|input| match input {
            syn::FnArg::Typed(argument) => argument.ty.to_token_stream().to_string(),
            syn::FnArg::Receiver(this) => {
                let on = on.map(|ty| ty.to_token_stream().to_string()).unwrap_or_default();
                this.ty.to_token_stream().to_string().replace("Self", &on)
            }
        });
        let inputs: Vec<String> = inputs.collect();
        let output = match &sig.output {
            syn::ReturnType::Default => "()".to_owned(),
            syn::ReturnType::Type(_, ty) => ty.to_token_stream().to_string(),
        };
        self.add(format!("fn f() {{ let _: fn({}) -> {output} = {path}; }}", inputs.join(",")));
    }

    fn text(&self) -> String {
        let mut text =
            "#![allow(unused, unused_imports)] extern crate proc_macro; use proc_macro::*;\n".to_owned();
        text.push_str(&self.imports);
        text.push_str(&self.uses);
        for ty in &self.types {
            // Not said in the sources, and relied on by macros that catch panics.
            let traits = "Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe";
            writeln!(text, "const _: () = {{ fn has<T: {traits}>() {{}} fn f() {{ has::<{ty}>() }} }};")
                .expect("a string takes all");
        }
        text
    }
}

fn is_stable(attributes: &[Attribute], name: &syn::Ident) -> bool {
    let stability = stability(attributes);
    assert_ne!(stability, Stability::Unsaid, "{name} is public and has no stability: teach this test");
    stability == Stability::Stable
}

/// belljar's, compiled as belljar does it.
fn belljars(dir: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wire = dir.join("libbelljar_wire.rlib");
    let library = dir.join("libproc_macro.rlib");
    let compile = || {
        let mut command = rustc();
        command.args(["--edition=2024", "--crate-type=rlib", "--emit=metadata,link"]);
        command
    };
    output(
        compile()
            .args(["--crate-name=belljar_wire"])
            .arg(here.join("../../crates/belljar-wire/src/lib.rs"))
            .arg("--out-dir")
            .arg(dir),
    );
    output(
        compile()
            .args(["--crate-name=proc_macro"])
            .arg(format!("--extern=belljar_wire={}", wire.display()))
            .arg(here.join("src/lib.rs"))
            .arg("--out-dir")
            .arg(dir),
    );
    library
}

fn compile(dir: &Path, text: &str, proc_macro: &str) -> Result<(), String> {
    let program = dir.join("program.rs");
    std::fs::write(&program, text).expect("a program");
    let output = rustc()
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=short"])
        .arg(format!("--extern={proc_macro}"))
        .arg(format!("-Ldependency={}", dir.display()))
        .arg("--out-dir")
        .arg(dir)
        .arg(&program)
        .output()
        .expect("rustc starts");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{text}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_compilers_stable_api_is_here() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let source = expanded(dir);
    // Types first: what is implemented for them may stand before them.
    let mut first = Program::default();
    first.items(&source.items, "");
    let mut program = Program { types: first.types.clone(), ..Program::default() };
    program.items(&source.items, "");
    program.types = first.types;
    assert!(program.count > 130, "only {} items were found", program.count);

    let text = program.text();
    compile(dir, &text, "proc_macro").unwrap_or_else(|e| panic!("the program is wrong: {e}"));
    let ours = format!("proc_macro={}", belljars(dir).display());
    compile(dir, &text, &ours).unwrap_or_else(|e| panic!("belljar's proc_macro lacks something: {e}"));

    // And it would have been noticed.
    let more =
        format!("{text}const _: () = {{ fn f() {{ let _: fn(&Span) -> String = Span::no_such_method; }} }};");
    compile(dir, &more, &ours).expect_err("the program is not compiled against belljar's crate");
}
