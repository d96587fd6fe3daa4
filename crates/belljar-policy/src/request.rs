//! What guests want.

use std::fmt;

/// Something a guest wants that it does not have by itself. Its text says it to a person: "read file `/etc/passwd`".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// The value of an environment variable.
    Variable(String),
    /// The names and values of all variables.
    Variables,
    /// Something with a path: absolute, without `.` and `..`, as the guest would name it natively.
    Path { access: Access, path: String },
    /// The time.
    Clock,
    /// Random numbers.
    Random,
    /// Remembering things from one call to the next.
    State,
    /// Something with a socket: for that address or name of a host, if it is known.
    Socket(Option<String>),
    /// Starting a thread.
    Thread,
    /// Starting a program, by its name.
    Process(String),
    /// Sending a signal to itself.
    Signal,
}

/// What is to be done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    Read,
    Write,
    /// Reading a directory's entries.
    List,
    /// Asking whether it exists, what it is, when it was changed.
    LookAt,
    /// Reading where a symbolic link leads.
    ReadLink,
    MakeDirectory,
    /// Making a hard or symbolic link at the path.
    Link,
    Rename,
    Remove,
    /// Setting its times.
    Touch,
}

impl Access {
    /// All of them.
    pub const ALL: [Access; 10] = [
        Access::Read,
        Access::Write,
        Access::List,
        Access::LookAt,
        Access::ReadLink,
        Access::MakeDirectory,
        Access::Link,
        Access::Rename,
        Access::Remove,
        Access::Touch,
    ];

    /// The word for it in logs that programs read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::List => "list",
            Access::LookAt => "look-at",
            Access::ReadLink => "read-link",
            Access::MakeDirectory => "make-directory",
            Access::Link => "link",
            Access::Rename => "rename",
            Access::Remove => "remove",
            Access::Touch => "touch",
        }
    }
}

impl Request {
    /// The word for its kind in logs that programs read.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Request::Variable(_) => "env",
            Request::Variables => "env-all",
            Request::Path { access, .. } => access.word(),
            Request::Clock => "time",
            Request::Random => "random",
            Request::State => "state",
            Request::Socket(_) => "socket",
            Request::Thread => "thread",
            Request::Process(_) => "process",
            Request::Signal => "signal",
        }
    }

    /// From its [`word`](Self::word) and its [`name`](Self::name).
    #[must_use]
    pub fn from_word(word: &str, name: Option<&str>) -> Option<Self> {
        let access = Access::ALL.into_iter().find(|access| access.word() == word);
        Some(match (word, name) {
            ("env", Some(name)) => Request::Variable(name.to_owned()),
            ("env-all", None) => Request::Variables,
            ("time", None) => Request::Clock,
            ("random", None) => Request::Random,
            ("state", None) => Request::State,
            ("socket", name) => Request::Socket(name.map(str::to_owned)),
            ("thread", None) => Request::Thread,
            ("process", Some(name)) => Request::Process(name.to_owned()),
            ("signal", None) => Request::Signal,
            (_, Some(path)) => Request::Path { access: access?, path: path.to_owned() },
            _ => return None,
        })
    }

    /// What it is about, if it has a name: a variable, a path, a program, an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Request::Variable(name) | Request::Process(name) | Request::Path { path: name, .. } => Some(name),
            Request::Socket(address) => address.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Variable(name) => write!(f, "environment variable `{}`", name.escape_debug()),
            Request::Variables => f.write_str("all environment variables"),
            Request::Path { access, path } => {
                let doing = match access {
                    Access::Read => "read file",
                    Access::Write => "write file",
                    Access::List => "list directory",
                    Access::LookAt => "look at",
                    Access::ReadLink => "read link",
                    Access::MakeDirectory => "make directory",
                    Access::Link => "make link",
                    Access::Rename => "rename",
                    Access::Remove => "remove",
                    Access::Touch => "set times of",
                };
                write!(f, "{doing} `{}`", path.escape_debug())
            }
            Request::Clock => f.write_str("the time"),
            Request::Random => f.write_str("random numbers"),
            Request::State => f.write_str("remember earlier calls"),
            Request::Socket(None) => f.write_str("use a socket"),
            Request::Socket(Some(address)) => write!(f, "use a socket for `{}`", address.escape_debug()),
            Request::Thread => f.write_str("start a thread"),
            Request::Process(name) => write!(f, "start program `{}`", name.escape_debug()),
            Request::Signal => f.write_str("send a signal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_word_and_name() {
        let mut all = vec![
            Request::Variable("A".to_owned()),
            Request::Variables,
            Request::Clock,
            Request::Random,
            Request::State,
            Request::Socket(None),
            Request::Socket(Some("example.org:443".to_owned())),
            Request::Thread,
            Request::Process("git".to_owned()),
            Request::Signal,
        ];
        all.extend(Access::ALL.map(|access| Request::Path { access, path: "/a".to_owned() }));
        for request in all {
            assert_eq!(Request::from_word(request.word(), request.name()).as_ref(), Some(&request));
        }
        assert_eq!(Request::from_word("read", None), None);
        assert_eq!(Request::from_word("env", None), None);
        assert_eq!(Request::from_word("nothing", Some("a")), None);
    }
}
