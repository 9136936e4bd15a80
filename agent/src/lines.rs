//! Lines written by a thread of their own, so that a pipe nobody reads holds up nothing else.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

/// What may wait for a stalled reader, in bytes; beyond it lines are dropped.
const PENDING_LIMIT: usize = 1 << 20;

/// What a waiting line costs beside its bytes.
const LINE_OVERHEAD: usize = 64;

/// How often a pipe that some other process made non-blocking is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Lines lost in the whole process, on stderr and stdout together.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines lost so far in this process.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// A queue of lines and the thread that writes them. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    queue: Sender<Item>,
    pending: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Lines {
    /// Writes to a descriptor of the process, by a copy of its own: the standard library's lock on
    /// stderr would let one stalled write hold up a panic's message too.
    pub(crate) fn to(name: &str, descriptor: impl AsFd) -> io::Result<Self> {
        let sink = File::from(descriptor.as_fd().try_clone_to_owned()?);
        Self::start(name, sink)
    }

    fn start(name: &str, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, items) = mpsc::channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&pending);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(&items, sink, &shared))?;
        Ok(Self { queue, pending })
    }

    /// Queues one line, line feed included. False where it was dropped and counted.
    pub(crate) fn send(&self, line: Vec<u8>) -> bool {
        let cost = line.len() + LINE_OVERHEAD;
        let before = self.pending.fetch_add(cost, Ordering::Relaxed);
        if before + cost <= PENDING_LIMIT && self.queue.send(Item::Line(line)).is_ok() {
            return true;
        }
        self.pending.fetch_sub(cost, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Waits until what was queued before is written, at most `limit`. False where it was not.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let (done, written) = mpsc::sync_channel(1);
        self.queue.send(Item::Flush(done)).is_ok() && written.recv_timeout(limit).is_ok()
    }
}

fn write_all(items: &Receiver<Item>, mut sink: impl Write, pending: &AtomicUsize) {
    for item in items {
        match item {
            Item::Line(line) => {
                if write_line(&mut sink, &line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
                pending.fetch_sub(line.len() + LINE_OVERHEAD, Ordering::Relaxed);
            }
            Item::Flush(done) => {
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
            }
        }
    }
}

fn write_line(sink: &mut impl Write, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    sink.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn line(number: usize) -> Vec<u8> {
        format!("{number:>1023}\n").into_bytes()
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines = Lines::start("lines", writer).unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        let sent: Vec<Vec<u8>> = (0..500)
            .map(line)
            .filter(|line| lines.send(line.clone()))
            .collect();
        assert!(lines.flush(Duration::from_secs(10)));
        drop(lines);
        assert_eq!(reading.join().unwrap().into_bytes(), sent.concat());
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_not_the_caller() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines = Lines::start("stalled", writer).unwrap();
        let before = dropped();
        // Twice what fits in the pipe and the queue together; nobody reads, and this returns.
        let sent = (0..2_200)
            .filter(|number| lines.send(line(*number)))
            .count();
        assert!((500..1_200).contains(&sent), "{sent}");
        assert!(dropped() - before >= 2_200 - sent as u64);
        assert!(!lines.flush(Duration::from_millis(50)));

        // The reader is back: what was queued arrives, and new lines fit again.
        let reading = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes.len() / 1024
        });
        assert!(lines.flush(Duration::from_secs(10)));
        assert!(lines.send(line(1)));
        drop(lines);
        assert_eq!(reading.join().unwrap(), sent + 1);
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_only() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let lines = Lines::start("gone", writer).unwrap();
        let before = dropped();
        assert!(lines.send(line(1)));
        assert!(lines.flush(Duration::from_secs(10)));
        assert!(dropped() > before);
    }
}
