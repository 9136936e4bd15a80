//! A progress bar on a terminal, and nothing anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
const BETWEEN: Duration = Duration::from_millis(100);

/// Shows how far a set of files has come, on stderr.
#[derive(Debug, Default)]
pub struct Progress {
    shown: bool,
    files: u64,
    bytes: u64,
    done_files: u64,
    done_bytes: u64,
    drawn: Option<Instant>,
}

impl Progress {
    /// Shows nothing.
    pub fn none() -> Self {
        Progress::default()
    }

    /// Shows a bar if stderr is a terminal.
    pub fn on_terminal() -> Self {
        Progress {
            shown: std::io::stderr().is_terminal(),
            ..Progress::default()
        }
    }

    /// A set of so many files and bytes begins.
    pub fn begin(&mut self, files: u64, bytes: u64) {
        *self = Progress {
            shown: self.shown,
            files,
            bytes,
            ..Progress::default()
        };
    }

    /// One file of it ended.
    pub fn file(&mut self, bytes: u64) {
        self.done_files += 1;
        self.done_bytes += bytes;
        if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() > BETWEEN) {
            self.drawn = Some(Instant::now());
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{}", self.line());
        }
    }

    /// The set ended.
    pub fn end(&mut self) {
        if self.shown && self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self) -> String {
        let full = match self.bytes {
            0 => WIDTH * self.done_files / self.files.max(1),
            bytes => WIDTH * self.done_bytes.min(bytes) / bytes,
        };
        let bar: String = (0..WIDTH)
            .map(|cell| if cell < full { '#' } else { '.' })
            .collect();
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        format!(
            "[{bar}] {}/{} files, {:.1}/{:.1} MiB",
            self.done_files,
            self.files,
            mebibytes(self.done_bytes),
            mebibytes(self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_bytes() {
        let mut progress = Progress::none();
        progress.begin(2, 4 << 20);
        progress.file(1 << 20);
        assert!(
            progress
                .line()
                .starts_with("[#######......................."),
            "{}",
            progress.line()
        );
        assert!(
            progress.line().ends_with("1/2 files, 1.0/4.0 MiB"),
            "{}",
            progress.line()
        );
    }
}
