//! SIGTERM and SIGINT: the first asks to stop, a second stops at once, and a grace bounds the wait.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::logs;

/// How long the end of a program that overran its grace waits for a stalled reader of its logs.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// Whether the program was asked to stop. Clones see the same.
#[derive(Clone)]
pub struct Shutdown {
    asked: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// Puts the handlers in place; comes before any I/O. A second signal ends the process within the
    /// handler, with exit 0. So does a thread of its own when `grace` has passed since the first,
    /// though every other thread hangs.
    ///
    /// # Errors
    /// The system refused a handler or a thread.
    pub fn install(grace: Duration) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal must not see its own mark.
            flag::register_conditional_shutdown(
                signal,
                i32::from(Exit::Done.code()),
                Arc::clone(&stopping),
            )?;
            flag::register(signal, Arc::clone(&stopping))?;
        }
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let shutdown = Self::unasked();
        let asked = Arc::clone(&shutdown.asked);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if signals.forever().next().is_some() {
                    asked.send_replace(true);
                    thread::sleep(grace);
                    tracing::warn!(
                        event = "grace_over",
                        grace_seconds = grace.as_secs_f64(),
                        "stopping before all was done"
                    );
                    logs::flush(FLUSH_LIMIT);
                    low_level::exit(i32::from(Exit::Done.code()));
                }
            })?;
        Ok(shutdown)
    }

    /// Whether a signal has come.
    pub fn requested(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns when a signal has come, at once if that was before.
    pub async fn wait(&self) {
        // It can't fail: the sender lives in `self`.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// For tests: no signal, and a function that asks to stop.
    pub fn manual() -> (Self, impl Fn() + Send + Sync + 'static) {
        let shutdown = Self::unasked();
        let asked = Arc::clone(&shutdown.asked);
        (shutdown, move || {
            asked.send_replace(true);
        })
    }

    fn unasked() -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shutdown")
            .field("requested", &self.requested())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_request_before_and_after() {
        let (shutdown, ask) = Shutdown::manual();
        let early = shutdown.clone();
        assert!(!early.requested());
        let waiting = tokio::spawn(async move { early.wait().await });
        ask();
        waiting.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.clone().requested());
    }
}
