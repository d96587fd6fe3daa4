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
    /// Something with a socket.
    Socket,
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
            Request::Socket => "socket",
            Request::Thread => "thread",
            Request::Process(_) => "process",
            Request::Signal => "signal",
        }
    }

    /// What it is about, if it has a name: a variable, a path, a program.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Request::Variable(name) | Request::Process(name) | Request::Path { path: name, .. } => Some(name),
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
            Request::Socket => f.write_str("use a socket"),
            Request::Thread => f.write_str("start a thread"),
            Request::Process(name) => write!(f, "start program `{}`", name.escape_debug()),
            Request::Signal => f.write_str("send a signal"),
        }
    }
}
