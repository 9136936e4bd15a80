//! A wait on a thread of its own, so that the test can change the world meanwhile.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::postgres::Target;
use entrypoint::failure::Failure;
use tracing_subscriber::fmt::MakeWriter;

/// More than any of these waits takes on a machine that is building.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Lines of a log, as they come.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many lines there are of an event.
    pub(crate) fn count(&self, event: &str) -> usize {
        let name = format!("event=\"{event}\"");
        self.text()
            .lines()
            .filter(|line| line.contains(&name))
            .count()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

pub(crate) struct Waiting<T> {
    pub(crate) lines: Lines,
    thread: JoinHandle<T>,
}

impl<T> Waiting<T> {
    /// What came of it.
    pub(crate) fn end(self) -> T {
        self.thread.join().unwrap()
    }

    /// Waits until it logged an event so many times.
    pub(crate) fn until_told(&self, event: &str, times: usize) {
        testkit::until(SOON, &format!("{event} in the log"), || {
            self.lines.count(event) >= times || self.thread.is_finished()
        });
        assert!(self.lines.count(event) >= times, "{}", self.lines.text());
    }
}

/// Runs a future on a thread of its own.
pub(crate) fn start<T: Send + 'static, F: Future<Output = T>>(
    future: impl FnOnce() -> F + Send + 'static,
) -> Waiting<T> {
    let lines = Lines::default();
    let writer = lines.clone();
    let thread = std::thread::spawn(move || {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(writer)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(future())
        })
    });
    Waiting { lines, thread }
}

/// Waits for the database for so long, with nowhere to look a password up.
pub(crate) fn database(target: &Target, timeout: Duration) -> Waiting<Result<(), Failure>> {
    let mut target = target.clone();
    start(move || async move {
        let deadline = tokio::time::Instant::now() + timeout;
        let refetch = entrypoint::database::no_refetch;
        let session = entrypoint::database::wait(&mut target, deadline, refetch).await?;
        session.end().await;
        Ok(())
    })
}

/// The end of one try.
pub(crate) fn once(target: &Target) -> Result<(), Failure> {
    database(target, Duration::ZERO).end()
}

pub(crate) fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

/// How long something took.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (act(), started.elapsed())
}
