//! The record of an entry point, as `belljar_wire::abi::Entry` describes and reads it.

use proc_macro::{TokenStream, TokenTree};

use crate::item::{Item, arguments, flat};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function = 1,
    Attribute = 2,
    Derive = 3,
}

impl Kind {
    /// The word in export names, and the name of the function that runs such a macro.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::Attribute => "attribute",
            Kind::Derive => "derive",
        }
    }
}

pub(crate) struct Record<'a> {
    kind: Kind,
    pub(crate) name: String,
    helpers: Vec<String>,
    item: &'a Item,
}

impl<'a> Record<'a> {
    /// `given` is what stands in the parentheses of the attribute.
    pub(crate) fn new(kind: Kind, given: TokenStream, item: &'a Item) -> Result<Self, String> {
        if kind != Kind::Derive {
            let name = plain(&item.name.to_string());
            return Ok(Self { kind, name, helpers: Vec::new(), item });
        }
        let given = flat(given);
        let Some((TokenTree::Ident(name), rest)) = given.split_first() else {
            return Err("a derive macro needs a name: #[proc_macro_derive(Name)]".to_owned());
        };
        let helpers = match rest {
            [_, TokenTree::Ident(word), rest @ ..] if word.to_string() == "attributes" => {
                // A comma may follow.
                arguments(rest.get(..1).unwrap_or_default())
            }
            _ => Vec::new(),
        };
        let helpers = helpers.iter().filter_map(|tree| match tree {
            TokenTree::Ident(helper) => Some(plain(&helper.to_string())),
            _ => None,
        });
        Ok(Self { kind, name: plain(&name.to_string()), helpers: helpers.collect(), item })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind as u8];
        text(&mut bytes, &self.name);
        varint(&mut bytes, self.helpers.len());
        self.helpers.iter().for_each(|helper| text(&mut bytes, helper));
        bytes.push(u8::from(self.item.hidden) | u8::from(self.item.deprecated.is_some()) << 1);
        text(&mut bytes, &self.item.docs);
        if let Some((since, note)) = &self.item.deprecated {
            text(&mut bytes, since);
            text(&mut bytes, note);
        }
        bytes
    }
}

/// An identifier's name without `r#`.
fn plain(ident: &str) -> String {
    ident.strip_prefix("r#").unwrap_or(ident).to_owned()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    varint(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn varint(bytes: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}
