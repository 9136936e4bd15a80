//! The lines that a program writes, collected as they come.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a program wrote.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where.
    pub stream: Stream,
    /// What, without the end of the line.
    pub text: String,
    /// When it was read.
    pub at: Instant,
}

/// The lines of both streams, shared with their readers.
#[derive(Debug, Default)]
pub(super) struct Lines {
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lines: Vec<Line>,
    /// How many of the two streams have ended.
    pub(super) closed: usize,
}

impl Lines {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(
        lines: &Arc<Lines>,
        stream: Stream,
        pipe: impl Read + Send + 'static,
    ) -> JoinHandle<()> {
        let lines = Arc::clone(lines);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut bytes = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut bytes), Ok(1..)) {
                let text = String::from_utf8_lossy(&bytes)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned();
                lines.lock().lines.push(Line {
                    stream,
                    text,
                    at: Instant::now(),
                });
                lines.changed.notify_all();
                bytes.clear();
            }
            lines.lock().closed += 1;
            lines.changed.notify_all();
        })
    }
}

impl State {
    pub(super) fn text(&self, stream: Option<Stream>) -> String {
        let mut text = String::new();
        for line in &self.lines {
            if stream.is_none_or(|wanted| wanted == line.stream) {
                text.push_str(&line.text);
                text.push('\n');
            }
        }
        text
    }
}
