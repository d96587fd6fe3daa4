//! The attributes that stand for the compiler's own while a macro crate is compiled as a guest.
//!
//! rustc accepts `#[proc_macro]` and its kin only in a proc-macro crate, and a guest is none. So belljar replaces their
//! paths in the sources by these, of the same length so that lines and columns stay:
//!
//! | rustc's | belljar's |
//! |---|---|
//! | `#[proc_macro]` | `#[belljar::f]` |
//! | `#[proc_macro_derive(Name, attributes(a, b))]` | `#[belljar::deriving(Name, attributes(a, b))]` |
//! | `#[proc_macro_attribute]` | `#[belljar::attribution]` |
//!
//! Below an attribute of somebody else's that looks for the markers, single names stand instead: `belljar_fn`,
//! `belljar_of_derive` and `belljar_of_attribute`.
//!
//! Each puts its function back unchanged and adds, in the same scope, an exported wrapper and a record of the entry
//! point in the module's custom section (both as in `belljar_wire::abi`):
//!
//! ```text
//! const _: () = {
//!     extern crate proc_macro as __belljar_proc_macro;
//!     #[unsafe(export_name = "belljar derive Name")]
//!     extern "C" fn __belljar_entry(ptr, len) -> … { __belljar_proc_macro::__belljar::derive(the_function, ptr, len) }
//!     #[used] #[unsafe(link_section = "belljar.entries")]
//!     static __BELLJAR_RECORD: [u8; N] = *b"…";
//! };
//! ```
//!
//! What it writes has to hold in every edition, at any depth of modules, and whatever names the macro crate defines:
//! `extern crate` in a block does, and all types come from there.

mod item;
mod record;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use item::Item;
use record::{Kind, Record};

/// Stands for `#[proc_macro]`.
#[proc_macro_attribute]
pub fn f(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Function, arguments, item)
}

/// Stands for `#[proc_macro_attribute]`.
#[proc_macro_attribute]
pub fn attribution(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Attribute, arguments, item)
}

/// Stands for `#[proc_macro_derive(…)]`.
#[proc_macro_attribute]
pub fn deriving(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Derive, arguments, item)
}

/// Stands for `#[proc_macro]`.
#[proc_macro_attribute]
pub fn belljar_fn(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Function, arguments, item)
}

/// Stands for `#[proc_macro_attribute]`.
#[proc_macro_attribute]
pub fn belljar_of_attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Attribute, arguments, item)
}

/// Stands for `#[proc_macro_derive(…)]`.
#[proc_macro_attribute]
pub fn belljar_of_derive(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry(Kind::Derive, arguments, item)
}

fn entry(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut whole = item.clone();
    match Item::read(item).and_then(|item| added(kind, arguments, &item)) {
        Ok(added) => whole.extend(added),
        Err(why) => whole.extend(compile_error(&why)),
    }
    whole
}

fn added(kind: Kind, arguments: TokenStream, item: &Item) -> Result<TokenStream, String> {
    let record = Record::new(kind, arguments, item)?;
    let bytes = record.bytes();
    let export = format!("belljar {} {}", kind.word(), record.name);

    let runtime = "__belljar_proc_macro :: __belljar ::";
    let wrapper = quote(&format!(
        "extern crate proc_macro as __belljar_proc_macro;
         {deprecated}
         #[unsafe(export_name = {export})]
         extern \"C\" fn __belljar_entry(
             __belljar_ptr: {runtime} Address,
             __belljar_len: {runtime} Length
         ) -> {runtime} Returned {{
             {runtime} {run}(__BELLJAR_FUNCTION, __belljar_ptr, __belljar_len)
         }}
         #[used]
         #[unsafe(link_section = \"belljar.entries\")]
         static __BELLJAR_RECORD: [{runtime} Byte; {len}] = *{record};",
        // Elsewhere an `allow` could meet a `forbid`.
        deprecated = if item.deprecated.is_some() { "#[allow(deprecated)]" } else { "" },
        export = Literal::string(&export),
        run = kind.word(),
        len = bytes.len(),
        record = Literal::byte_string(&bytes),
    ))?;
    let mut block = quote("const _: () =")?;
    block.extend([
        TokenTree::Group(Group::new(Delimiter::Brace, with_function(wrapper, &item.name))),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ]);
    Ok(block)
}

fn quote(text: &str) -> Result<TokenStream, String> {
    text.parse().map_err(|e| format!("belljar can't write an entry point: {e}"))
}

/// Puts the function's own identifier in: it resolves where the function was written, and may be a raw one.
fn with_function(tokens: TokenStream, function: &Ident) -> TokenStream {
    let put = |tree| match tree {
        TokenTree::Ident(ident) if ident.to_string() == "__BELLJAR_FUNCTION" => {
            TokenTree::Ident(function.clone())
        }
        TokenTree::Group(group) => {
            let mut inside = Group::new(group.delimiter(), with_function(group.stream(), function));
            inside.set_span(group.span());
            TokenTree::Group(inside)
        }
        other => other,
    };
    tokens.into_iter().map(put).collect()
}

fn compile_error(why: &str) -> [TokenTree; 4] {
    let message = TokenTree::Literal(Literal::string(why));
    [
        TokenTree::Ident(Ident::new("compile_error", Span::call_site())),
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Parenthesis, message.into())),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ]
}
