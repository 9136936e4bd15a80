//! What is to be started, and how.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::Process;
use super::lines::{Lines, Stream};

/// A program to be started. Its environment is empty but for what is given here.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    stdin: bool,
}

impl Program {
    /// The program of that path.
    pub fn new(path: impl AsRef<Path>) -> Program {
        Program {
            path: path.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            directory: None,
            stdin: false,
        }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Program {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Program {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more variable, or another value of it.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// More variables.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Program {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(variables);
        self
    }

    /// Without this variable.
    pub fn without_env(mut self, name: &str) -> Program {
        self.environment.remove(&OsString::from(name));
        self
    }

    /// The variables of the test itself, `PATH` for one: for other people's programs.
    pub fn inherit(self, names: &[&str]) -> Program {
        let found = names
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let found: Vec<_> = found.collect();
        self.envs(found)
    }

    /// Where it runs.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Program {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// With a standard input to write to; without this it is empty.
    pub fn with_stdin(mut self) -> Program {
        self.stdin = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&self) -> Process {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(if self.stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", self.path.display()),
        };
        let lines = Arc::new(Lines::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(Lines::read(&lines, Stream::Stdout, stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(Lines::read(&lines, Stream::Stderr, stderr));
        }
        let name = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Process {
            stdin: child.stdin.take(),
            child,
            name,
            lines,
            readers,
            status: None,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or has not ended at the deadline.
    pub fn run(&self, deadline: Duration) -> Finished {
        let mut process = self.spawn();
        let code = process.exit_code(deadline);
        Finished {
            code,
            stdout: process.stdout(),
            stderr: process.stderr(),
        }
    }
}

/// What a program that has ended leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}
