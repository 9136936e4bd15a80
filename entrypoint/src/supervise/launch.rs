//! fork and exec, by hand.
//!
//! The standard library's way empties the signal mask before our handlers are gone: a signal to the
//! new process would then write into our own pipe, and be taken for one of ours. Here all signals are
//! blocked over the fork, and the child opens its mask last, so that a signal sent to it from its
//! first instant on reaches it with the default action.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{ForkResult, Pid, fork, getppid, pipe2, setpgid, setsid};
use tokio::net::unix::pipe;

use super::refused::SpawnError;
use super::terminal;
use crate::command;

/// What to start, and how. `Launch::new` has the common defaults.
pub struct Launch {
    /// A path, or a name that is looked up in `PATH` of `variables`.
    pub program: OsString,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Its standard input.
    pub input: Input,
    /// Its standard output.
    pub output: Output,
    /// Whether it leads a process group of its own.
    pub group: bool,
    /// Whether its group becomes the terminal's foreground, if there is a terminal and it was ours.
    pub foreground: bool,
    /// Whether it leads a session of its own: without a terminal, which a program that wants a
    /// password would ask in place of its input.
    pub session: bool,
    /// Whether it is killed when the thread that starts it ends, so that a `kill -9` of this process
    /// leaves nothing behind. (As PID 1 the kernel sees to that.)
    pub dies_with_us: bool,
}

/// A standard input. What the bytes are is shown nowhere.
pub enum Input {
    /// This process's own.
    Inherit,
    /// Empty.
    Null,
    /// These bytes, then the end; at most 64 KiB, which is what a pipe holds.
    Bytes(Vec<u8>),
}

/// A standard output; standard error is always this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// This process's own: nothing of what the child writes passes through here.
    Inherit,
    /// To [`super::Child::output`]: an answer that is to be read.
    Piped,
}

/// What was started.
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) output: Option<pipe::Receiver>,
}

/// A pipe's capacity, unless somebody set another.
const PIPE: usize = 64 << 10;

impl Launch {
    /// Inherits input and output, in a group of its own that is not the terminal's foreground.
    pub fn new(
        program: impl Into<OsString>,
        args: Vec<OsString>,
        variables: Vec<(OsString, OsString)>,
    ) -> Self {
        Self {
            program: program.into(),
            args,
            variables,
            input: Input::Inherit,
            output: Output::Inherit,
            group: true,
            foreground: false,
            session: false,
            dies_with_us: false,
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Launch")
            .field("program", &self.program)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// Everything that the child needs, made before the fork: after it no memory may be asked for.
struct Prepared {
    /// The files to try, in order.
    candidates: Vec<CString>,
    args: Vec<CString>,
    variables: Vec<CString>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    group: bool,
    foreground: bool,
    session: bool,
    /// The parent that it does not outlive.
    dies_with: Option<Pid>,
}

pub(super) fn start(launch: Launch) -> Result<Started, SpawnError> {
    let name = launch.program.to_string_lossy().into_owned();
    let system = |error: io::Error| SpawnError::System(name.clone(), error);
    let candidates = candidates(&launch.program, &launch.variables);
    if candidates.is_empty() {
        return Err(SpawnError::NotFound(name));
    }
    let (output, stdout) = match launch.output {
        Output::Inherit => (None, None),
        Output::Piped => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| system(error.into()))?;
            fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|error| system(error.into()))?;
            let read = pipe::Receiver::from_owned_fd(read).map_err(system)?;
            (Some(read), Some(write))
        }
    };
    let argv = std::iter::once(launch.program).chain(launch.args);
    let pair = |(name, value): (OsString, OsString)| {
        let mut pair = name;
        pair.push("=");
        pair.push(value);
        pair
    };
    let prepared = Prepared {
        candidates,
        args: argv
            .map(c_string)
            .collect::<Result<_, _>>()
            .map_err(system)?,
        variables: launch
            .variables
            .into_iter()
            .map(|variable| c_string(pair(variable)))
            .collect::<Result<_, _>>()
            .map_err(system)?,
        stdin: stdin(launch.input).map_err(system)?,
        stdout,
        group: launch.group,
        foreground: launch.foreground && terminal::is_ours(),
        session: launch.session,
        dies_with: launch.dies_with_us.then(Pid::this),
    };
    match fork_and_exec(&prepared) {
        Ok(pid) => Ok(Started { pid, output }),
        Err(Failed::Fork(error)) => Err(system(error.into())),
        Err(Failed::Exec(Errno::ENOENT | Errno::ENOTDIR)) if !is_there(&prepared.candidates) => {
            Err(SpawnError::NotFound(name))
        }
        Err(Failed::Exec(error)) => Err(SpawnError::NotExecutable(name, error)),
    }
}

/// Whether one of the files is there: what is not found is then what its first line names.
fn is_there(candidates: &[CString]) -> bool {
    let file = |candidate: &CString| OsStr::from_bytes(candidate.as_bytes()).to_owned();
    let mut files = candidates.iter().map(file);
    files.any(|file| std::path::Path::new(&file).exists())
}

/// The files that `program` may mean. A name without a slash is looked for in each directory of PATH.
fn candidates(program: &OsStr, variables: &[(OsString, OsString)]) -> Vec<CString> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.as_bytes().contains(&b'/') {
        return c_string(program.to_owned()).into_iter().collect();
    }
    let path = variables
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(command::DEFAULT_PATH), |(_, value)| value);
    std::env::split_paths(path)
        .map(|directory| match directory.as_os_str().is_empty() {
            // An empty entry is the working directory.
            true => std::path::Path::new(".").join(program),
            false => directory.join(program),
        })
        .filter_map(|file| c_string(file.into_os_string()).ok())
        .collect()
}

fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "an argument or variable has a NUL byte",
        )
    })
}

fn stdin(input: Input) -> io::Result<Option<OwnedFd>> {
    match input {
        Input::Inherit => Ok(None),
        Input::Null => Ok(Some(File::open("/dev/null")?.into())),
        Input::Bytes(bytes) if bytes.len() > PIPE => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the input is larger than a pipe holds",
        )),
        Input::Bytes(bytes) => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            // Where an unprivileged user has too many pipes, one holds a page only: better an error
            // than a wait for a reader that is not there yet.
            fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            File::from(write).write_all(&bytes)?;
            Ok(Some(read))
        }
    }
}

enum Failed {
    Fork(Errno),
    Exec(Errno),
}

#[expect(unsafe_code, reason = "fork")]
fn fork_and_exec(prepared: &Prepared) -> Result<Pid, Failed> {
    let pointers = Pointers::of(prepared);
    // Closed by a successful exec; else the error comes through it.
    let (errors, report) = pipe2(OFlag::O_CLOEXEC).map_err(Failed::Fork)?;
    let before = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(Failed::Fork)?;
    // SAFETY: the child calls async-signal-safe functions only, on memory made before, until it execs
    // or exits.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        let Err(error) = become_program(prepared, &pointers);
        exit_with(report.as_raw_fd(), error);
    }
    let restored = before.thread_set_mask();
    let child = match forked {
        Ok(ForkResult::Parent { child }) => child,
        Ok(ForkResult::Child) => unreachable!("the child has left"),
        Err(error) => return Err(Failed::Fork(error)),
    };
    debug_assert!(restored.is_ok(), "a mask that was ours is no error");
    if prepared.group && !prepared.session {
        // Both do it, so that neither finds it undone; after the exec it is refused here.
        let _ = setpgid(child, child);
    }
    drop(report);
    match read_error(errors) {
        None => Ok(child),
        Some(error) => {
            // The caller holds the lock of the children, so nobody else waits for it.
            let _ = nix::sys::wait::waitpid(child, None);
            if prepared.foreground {
                terminal::take();
            }
            Err(Failed::Exec(error))
        }
    }
}

/// Waits until the child has become the program: none, or until it has said why it could not.
fn read_error(errors: OwnedFd) -> Option<Errno> {
    let mut bytes = [0; 4];
    io::Read::read_exact(&mut File::from(errors), &mut bytes).ok()?;
    Some(Errno::from_raw(i32::from_ne_bytes(bytes)))
}

/// argv, envp: arrays of pointers that end with null, as execve takes them.
struct Pointers {
    args: Vec<*const libc::c_char>,
    variables: Vec<*const libc::c_char>,
}

impl Pointers {
    fn of(prepared: &Prepared) -> Self {
        let ended = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        Self {
            args: ended(&prepared.args),
            variables: ended(&prepared.variables),
        }
    }
}

/// Runs in the child: no memory, no lock.
#[expect(unsafe_code, reason = "exec and what comes before it")]
fn become_program(prepared: &Prepared, pointers: &Pointers) -> Result<Infallible, Errno> {
    if let Some(parent) = prepared.dies_with {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            // It ended before it could be asked for.
            return Err(Errno::ESRCH);
        }
    }
    if prepared.session {
        setsid()?;
    } else if prepared.group {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        if prepared.foreground {
            // SIGTTOU is blocked still.
            terminal::give(Pid::this());
        }
    }
    if let Some(stdin) = &prepared.stdin {
        duplicate(stdin.as_raw_fd(), libc::STDIN_FILENO)?;
    }
    if let Some(stdout) = &prepared.stdout {
        duplicate(stdout.as_raw_fd(), libc::STDOUT_FILENO)?;
    }
    reset_signals();
    SigSet::empty().thread_set_mask()?;
    // As a shell: a file that may not be executed is remembered while another may be found.
    let mut refused = Errno::ENOENT;
    for candidate in &prepared.candidates {
        // SAFETY: the arrays end with null and point to strings that live in `prepared`.
        unsafe {
            libc::execve(
                candidate.as_ptr(),
                pointers.args.as_ptr(),
                pointers.variables.as_ptr(),
            )
        };
        match Errno::last() {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => refused = Errno::EACCES,
            other => return Err(other),
        }
    }
    Err(refused)
}

#[expect(unsafe_code, reason = "the wrapper wants an owner of standard input")]
fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: two numbers. A duplicate has no close-on-exec.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

#[expect(unsafe_code, reason = "signal dispositions")]
fn reset_signals() {
    for number in 1..=64 {
        // SAFETY: the default action runs no code of ours. KILL, STOP and the two of glibc are refused.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

#[expect(unsafe_code, reason = "after fork nothing of ours may run at exit")]
fn exit_with(report: RawFd, error: Errno) -> ! {
    let bytes = (error as i32).to_ne_bytes();
    // SAFETY: both are async-signal-safe; the bytes are this function's own.
    unsafe {
        libc::write(report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
