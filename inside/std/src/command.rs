//! `std::process::Command`, which tells of the programs it is to start.

use real::ffi::OsStr;
use real::path::Path;
use real::process::{Child, CommandArgs, ExitStatus, Output, Stdio};
use real::{fmt, io, process};

use crate::attempt;

pub struct Command(process::Command);

impl Command {
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command(process::Command::new(program))
    }

    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.0.arg(arg);
        self
    }

    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.0.args(args);
        self
    }

    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.0.env(key, val);
        self
    }

    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.0.envs(vars);
        self
    }

    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.0.env_remove(key);
        self
    }

    pub fn env_clear(&mut self) -> &mut Command {
        self.0.env_clear();
        self
    }

    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.0.current_dir(dir);
        self
    }

    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.0.stdin(cfg);
        self
    }

    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.0.stdout(cfg);
        self
    }

    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.0.stderr(cfg);
        self
    }

    pub fn spawn(&mut self) -> io::Result<Child> {
        attempt::program(self.0.get_program());
        self.0.spawn()
    }

    pub fn output(&mut self) -> io::Result<Output> {
        attempt::program(self.0.get_program());
        self.0.output()
    }

    pub fn status(&mut self) -> io::Result<ExitStatus> {
        attempt::program(self.0.get_program());
        self.0.status()
    }

    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.0.get_program()
    }

    pub fn get_args(&self) -> CommandArgs<'_> {
        self.0.get_args()
    }

    pub fn get_envs(&self) -> process::CommandEnvs<'_> {
        self.0.get_envs()
    }

    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.0.get_current_dir()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
