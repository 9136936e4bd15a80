//! Signals that arrive: handlers that write one byte, and one thread that reads them.
//!
//! Handlers and a pipe, no signalfd: that needs every thread to block the signals, also those that
//! were there before, as the one that writes the logs.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigAction, SigHandler, SigSet, Signal as Named, sigaction};
use nix::unistd::pipe2;
use tokio::sync::{mpsc, watch};

use super::children::Children;
use super::signal::Signal;

/// Whether the program was asked to end before its service ran: SIGTERM, SIGINT, SIGQUIT or SIGHUP.
/// Clones see the same.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<watch::Sender<Asked>>,
}

/// The signals that arrived, in their order; for [`super::run`], which passes them on.
#[derive(Debug)]
pub struct Signals {
    queue: mpsc::UnboundedReceiver<Signal>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    first: Option<Signal>,
    times: u32,
}

impl Stop {
    /// The first signal that asked to end, if one has.
    pub fn asked(&self) -> Option<Signal> {
        self.asked.borrow().first
    }

    /// Returns when one asks to end, at once if that was before.
    pub async fn wait(&self) -> Signal {
        self.wait_for(1).await
    }

    /// Returns when a second one has come, which means: now, whatever is under way.
    pub async fn wait_second(&self) -> Signal {
        self.wait_for(2).await
    }

    /// For tests: nothing has come, and a function that asks to end.
    pub fn manual() -> (Self, impl Fn(Signal) + Clone + Send + Sync + 'static) {
        let stop = Self::unasked();
        let other = stop.clone();
        (stop, move |signal| other.ask(signal))
    }

    fn unasked() -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(Asked::default())),
        }
    }

    fn ask(&self, signal: Signal) {
        self.asked.send_modify(|asked| {
            asked.first.get_or_insert(signal);
            asked.times += 1;
        });
    }

    async fn wait_for(&self, times: u32) -> Signal {
        let mut asked = self.asked.subscribe();
        // It can't fail: the sender lives in `self`.
        let _ = asked.wait_for(|asked| asked.times >= times).await;
        self.asked().unwrap_or(Signal::TERM)
    }
}

impl Signals {
    /// The next signal that arrived.
    pub async fn next(&mut self) -> Signal {
        match self.queue.recv().await {
            Some(signal) => signal,
            // The thread that reads them lives as long as the process.
            None => std::future::pending().await,
        }
    }
}

/// Puts the handlers in place and starts the thread, which has `children` reap after each signal.
pub(super) fn install(children: Children) -> io::Result<(Stop, Signals)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // A handler must not wait for a reader, which may be the thread that it interrupted.
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let (sender, queue) = mpsc::unbounded_channel();
    let stop = Stop::unasked();
    let asked = stop.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(128 << 10)
        .spawn(move || listen(File::from(read), &asked, &sender, &children))?;
    handle(write)?;
    ignore_terminal_stops()?;
    // Whoever started us may have blocked some, and what is blocked is heard by nobody.
    SigSet::empty().thread_set_mask()?;
    Ok((stop, Signals { queue }))
}

fn listen(mut pipe: File, stop: &Stop, queue: &mpsc::UnboundedSender<Signal>, children: &Children) {
    let mut bytes = [0; 64];
    // The write end is open for ever, so neither an end nor an error comes; std retries EINTR.
    while let Ok(count) = pipe.read(&mut bytes) {
        let signals = bytes[..count]
            .iter()
            .filter_map(|byte| Signal::new(i32::from(*byte)));
        for signal in signals.filter(|signal| *signal != Signal::CHLD) {
            if signal.asks_to_end() {
                stop.ask(signal);
            }
            let _ = queue.send(signal);
        }
        // After any signal, not only SIGCHLD, which is lost where 64 KiB of signals are unread.
        children.reap();
    }
}

/// One handler for all: it writes the signal's number into the pipe.
#[expect(unsafe_code, reason = "signal handlers")]
fn handle(pipe: OwnedFd) -> io::Result<()> {
    // Open for ever: the handlers are never taken away.
    let pipe = pipe.into_raw_fd();
    for signal in Signal::forwardable().chain([Signal::CHLD]) {
        let number = signal.number();
        let byte = u8::try_from(number).unwrap_or_default();
        let action = move || {
            let interrupted = Errno::last_raw();
            // SAFETY: write is async-signal-safe; the byte is this closure's own.
            unsafe { libc::write(pipe, (&raw const byte).cast(), 1) };
            Errno::set_raw(interrupted);
        };
        // SAFETY: the action only calls write and keeps errno: it takes no lock and no memory.
        unsafe { signal_hook::low_level::register(number, action) }?;
    }
    Ok(())
}

/// A line of log to a terminal that belongs to the service would stop us; so would handing it over.
#[expect(unsafe_code, reason = "signal dispositions")]
fn ignore_terminal_stops() -> io::Result<()> {
    let ignore = SigAction::new(
        SigHandler::SigIgn,
        nix::sys::signal::SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in [Named::SIGTTIN, Named::SIGTTOU] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_first_signal_and_its_second() {
        let (stop, ask) = Stop::manual();
        let early = stop.clone();
        assert_eq!(early.asked(), None);
        let waiting = tokio::spawn(async move { (early.wait().await, early.wait_second().await) });
        ask(Signal::INT);
        assert_eq!(stop.wait().await, Signal::INT);
        ask(Signal::TERM);
        assert_eq!(waiting.await.unwrap(), (Signal::INT, Signal::INT));
        assert_eq!(stop.asked(), Some(Signal::INT));
    }
}
