//! The life of a server: started, stopped, killed, started again, and its log.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Postgres;
use crate::process::{Process, Signal};
use crate::server::Guard;

/// A start after a crash replays its log, on a machine that may be building.
pub(super) const START: Duration = Duration::from_secs(60);

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It waits for its sessions to end, and meanwhile refuses new ones with 57P03.
    Smart,
    /// Its sessions end with 57P01.
    Fast,
    /// At once; the next start recovers.
    Immediate,
}

#[derive(Debug)]
pub(super) struct Running {
    process: Process,
    guard: Guard,
}

impl Postgres {
    /// All that it logged since its last start.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn log(&self) -> String {
        self.with_process(|process| process.stderr())
    }

    /// Waits for a line of its log.
    ///
    /// # Panics
    /// When none comes before the deadline.
    pub fn wait_for_log(&self, what: &str, deadline: Duration) {
        crate::until(deadline, &format!("`{what}` in the server's log"), || {
            self.log().contains(what)
        });
    }

    /// Sends a signal to its first process: `STOP` takes no new connection, `CONT` goes on.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn signal(&self, signal: Signal) {
        self.with_process(|process| process.signal(signal));
    }

    /// Stops it and waits for its end; with [`Shutdown::Smart`] its sessions must be about to end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self, how: Shutdown) {
        let Some(mut running) = self.lock().take() else {
            return;
        };
        running.guard.release();
        running.process.signal(match how {
            Shutdown::Smart => Signal::TERM,
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        });
        running.process.exit_code(START);
    }

    /// Kills its first process, as a machine that fails would; its sessions end on their own.
    pub fn kill(&self) {
        if let Some(mut running) = self.lock().take() {
            running.guard.release();
            running.process.kill();
        }
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_again(&self) {
        self.start_again_at_once();
        self.wait_until_up();
    }

    /// Starts it again on the same port, and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_again_at_once(&self) {
        let started = Instant::now();
        while !self.launch() {
            assert!(
                started.elapsed() < START,
                "port {} is not free again",
                self.port
            );
        }
    }

    /// Stops and starts it.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&self) {
        self.stop(Shutdown::Fast);
        self.start_again();
    }

    /// Waits until it answers a query.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until_up(&self) {
        let started = Instant::now();
        while let Err(error) = self.try_rows("postgres", "SELECT 1") {
            assert!(
                started.elapsed() < START,
                "postgres is not up: {error}; it wrote:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it took its port; false is another's port, or its own that is not free yet.
    pub(super) fn launch(&self) -> bool {
        let mut process = self.cluster.server(self.port).spawn();
        let started = Instant::now();
        loop {
            let written = process.stderr();
            if written.contains("listening on IPv4 address") {
                let guard = Guard::over(process.id(), self.cluster.root());
                *self.lock() = Some(Running { process, guard });
                return true;
            }
            let taken = written.contains("could not bind") || written.contains("still in use");
            if !process.is_running() && taken {
                return false;
            }
            assert!(
                process.is_running() && started.elapsed() < START,
                "postgres cannot be started:\n{written}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        match self.lock().as_mut() {
            Some(running) => act(&mut running.process),
            None => panic!("postgres is stopped"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let running = self.lock().take();
        if let Some(mut running) = running {
            running.guard.release();
            // QUIT and not KILL, so that its shared memory is given back; stopped, it would not see it.
            running.process.signal(Signal::QUIT);
            running.process.signal(Signal::CONT);
            let started = Instant::now();
            while running.process.is_running() && started.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}
