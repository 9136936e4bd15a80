//! Children: all are spawned here, and all are reaped here, ours and those that others left us.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::getpid;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::launch::{self, Launch};
use super::refused::SpawnError;
use super::signal::{Scope, Signal};
use super::signals::{self, Signals, Stop};

/// Spawns and reaps. Clones share it.
#[derive(Clone, Debug)]
pub struct Children {
    shared: Arc<Shared>,
}

/// A process that was spawned here. Dropped, it goes on, and is reaped all the same.
#[derive(Debug)]
pub struct Child {
    /// Its process id, and that of its group if it has its own.
    pub pid: i32,
    /// Its standard output, where it was asked for.
    pub output: Option<pipe::Receiver>,
    state: watch::Receiver<State>,
    shared: Arc<Shared>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// What is known of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// Stopped by this signal, and not continued.
    Stopped(i32),
    Ended(Outcome),
}

#[derive(Debug)]
struct Shared {
    /// Held over a spawn, so that no child is reaped before it is known; and over a signal to a child,
    /// so that its id is still its own.
    known: Mutex<HashMap<i32, watch::Sender<State>>>,
    /// Whether any child is left, adopted ones too.
    any: watch::Sender<bool>,
}

impl Children {
    /// Puts the handlers of signals in place and begins to reap. Comes before any I/O: what arrives
    /// earlier is lost (to PID 1) or ends the process. Where this is not PID 1, orphaned descendants
    /// are made to come here and not to PID 1.
    ///
    /// # Errors
    /// The system refused a handler, a pipe or a thread.
    pub fn install() -> io::Result<(Self, Stop, Signals)> {
        let children = Self {
            shared: Arc::new(Shared {
                known: Mutex::default(),
                any: watch::Sender::new(false),
            }),
        };
        let (stop, signals) = signals::install(children.clone())?;
        if getpid().as_raw() != 1
            && let Err(error) = nix::sys::prctl::set_child_subreaper(true)
        {
            tracing::warn!(event = "no_subreaper", %error, "orphans go to another process");
        }
        // One that was there before, after an exec, gave its SIGCHLD to nobody.
        children.reap();
        Ok((children, stop, signals))
    }

    /// Starts a program. Its signal mask is empty and every signal has its default action, whatever
    /// this process inherited.
    ///
    /// # Errors
    /// The program cannot be found, cannot be executed, or no process is to be had.
    pub fn spawn(&self, launch: Launch) -> Result<Child, SpawnError> {
        let mut known = self.shared.lock();
        let started = launch::start(launch)?;
        let pid = started.pid.as_raw();
        let (sender, state) = watch::channel(State::Running);
        known.insert(pid, sender);
        self.shared.any.send_replace(true);
        Ok(Child {
            pid,
            output: started.output,
            state,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Returns when no child is left. As PID 1 or as a subreaper that means no descendant at all: who
    /// loses its parent becomes a child here before its parent's end is seen.
    pub(super) async fn none_left(&self) {
        let mut any = self.shared.any.subscribe();
        // It can't fail: the sender lives in `self`.
        let _ = any.wait_for(|any| !any).await;
    }

    /// Whether a child may be left; looks anew.
    pub(super) fn any_left(&self) -> bool {
        self.reap();
        *self.shared.any.borrow()
    }

    /// Waits for every child that has ended, and never blocks.
    pub(super) fn reap(&self) {
        let mut known = self.shared.lock();
        let any = loop {
            match wait_for_any() {
                Ok(None) => break true,
                Ok(Some((pid, State::Ended(outcome)))) => match known.remove(&pid) {
                    Some(child) => {
                        child.send_replace(State::Ended(outcome));
                    }
                    None => tracing::debug!(event = "orphan_reaped", pid, ?outcome, "reaped"),
                },
                Ok(Some((pid, state))) => {
                    if let Some(child) = known.get(&pid) {
                        child.send_replace(state);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => break false,
            }
        };
        self.shared.any.send_if_modified(|before| {
            let changed = *before != any;
            *before = any;
            changed
        });
    }
}

/// waitpid(2) of any child that has something to say; the error is ECHILD where there is no child.
#[expect(
    unsafe_code,
    reason = "the wrapper loses a child that a realtime signal ended"
)]
fn wait_for_any() -> Result<Option<(i32, State)>, Errno> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: waitpid writes one number to where it is told.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, flags) })?;
    if pid == 0 {
        return Ok(None);
    }
    let state = if libc::WIFEXITED(status) {
        State::Ended(Outcome::Exited(libc::WEXITSTATUS(status)))
    } else if libc::WIFSIGNALED(status) {
        State::Ended(Outcome::Signalled(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        State::Stopped(libc::WSTOPSIG(status))
    } else {
        State::Running
    };
    Ok(Some((pid, state)))
}

impl Child {
    /// Waits for its end. Cancelling the wait loses nothing.
    pub async fn wait(&mut self) -> Outcome {
        match self
            .state
            .wait_for(|state| matches!(state, State::Ended(_)))
            .await
            .map(|state| *state)
        {
            Ok(State::Ended(outcome)) => outcome,
            // The sender goes only after it said how the child ended.
            _ => Outcome::Signalled(Signal::KILL.number()),
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Outcome> {
        match *self.state.borrow() {
            State::Ended(outcome) => Some(outcome),
            State::Running | State::Stopped(_) => None,
        }
    }

    /// Sends it a signal, or all of its group ([`Launch::group`]). Nothing happens once it has ended.
    pub fn signal(&self, signal: Signal, scope: Scope) {
        let known = self.shared.lock();
        if !known.contains_key(&self.pid) {
            return;
        }
        let target = match scope {
            Scope::Group => -self.pid,
            Scope::Main => self.pid,
        };
        send(target, signal);
    }

    /// Returns when its state is another than it was, with the state.
    pub(super) async fn changed(&mut self) -> State {
        // An error: nothing comes any more, and the last state stays.
        let _ = self.state.changed().await;
        *self.state.borrow_and_update()
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(*self.state.borrow(), State::Stopped(_))
    }
}

/// kill(2), for signals that have no name too. A process that is gone is no error.
#[expect(unsafe_code, reason = "the wrapper knows no realtime signals")]
pub(super) fn send(target: i32, signal: Signal) {
    // SAFETY: kill reads two numbers.
    let sent = unsafe { libc::kill(target, signal.number()) };
    if let Err(error) = Errno::result(sent)
        && error != Errno::ESRCH
    {
        tracing::warn!(event = "signal_refused", %signal, target_pid = target, %error, "a signal was not sent");
    }
}

impl Outcome {
    /// The exit code that says the same: the process's own, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            // wait(2) keeps 8 bits.
            Self::Exited(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            Self::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<State>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
