//! Why an expansion gave no tokens.

use std::any::Any;
use std::io;

use belljar_wire::Malformed;
use belljar_wire::abi::EntryKind;

use crate::Macro;

pub(crate) enum Error {
    /// The macro panicked, with this message if it had one that can be shown.
    Panicked(Option<String>),
    /// The expander says why, in words made for the user.
    Failed(String),
    /// Something went wrong on this side of the socket.
    Here(Problem),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Here(problem)
    }
}

/// What can go wrong between rustc and the expander.
pub(crate) enum Problem {
    /// No socket was inherited and belljar could not be started.
    Start { belljar: String, source: io::Error },
    /// No socket was inherited, and nobody has written down where belljar is.
    Unplaced,
    /// The connection broke; `ended` says how the expander that was started here ended, when it has.
    Lost { source: io::Error, ended: Option<String> },
    /// A reply or question that breaks the format.
    Malformed { what: &'static str, source: Malformed },
    /// Tokens that rustc itself refuses.
    Refused { message: String },
}

impl Problem {
    pub(crate) fn refused(panic: &(dyn Any + Send)) -> Self {
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "the compiler gave no reason".to_owned(),
        };
        Problem::Refused { message }
    }

    /// The text for the user: what failed, for which macro, why, and what to do.
    pub(crate) fn message(&self, entry: &Macro, kind: EntryKind) -> String {
        let Macro { name, package, version, .. } = entry;
        let kind = kind.word();
        let (cause, next) = match self {
            Problem::Start { belljar, source } => (
                format!("belljar could not be started from `{belljar}`: {source}"),
                format!(
                    "if belljar was moved or removed, build with the present one after `cargo clean -p {package}`"
                ),
            ),
            Problem::Unplaced => (
                "its shim does not say where belljar is".to_owned(),
                format!("make the shim anew with `cargo clean -p {package}`"),
            ),
            Problem::Lost { source, ended } => {
                let ended = ended.as_ref().map_or_else(String::new, |how| format!("; it ended with {how}"));
                (
                    format!("the connection to its expander was lost: {source}{ended}"),
                    "build again; if it happens again, the lines above this error and `cargo belljar doctor` say more"
                        .to_owned(),
                )
            }
            Problem::Malformed { what, source } => (
                format!("its expander sent {what} that breaks the format: {source}"),
                format!("make its shim anew with `cargo clean -p {package}`, and build with one belljar only"),
            ),
            Problem::Refused { message } => (
                format!("the compiler refused what it produced: {message}"),
                "this is an error in the macro or in belljar; please report it with the macro's name and version"
                    .to_owned(),
            ),
        };
        format!(
            "belljar: the {kind} macro `{name}` of {package} {version} gave no tokens: {cause}\nnext: {next}"
        )
    }
}
