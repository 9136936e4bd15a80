//! A large object: ranged GETs at once, written in order by one blocking thread that hashes while the
//! network goes on.
//!
//! Each part holds a permit of the source from its request until its last byte was written, so memory
//! is bounded by permits times the part size over all files. Parts take their permits in order, so the
//! part that the writer waits for always has one.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::explain::Operation;
use super::fetch::{ATTEMPTS, Ended, pause, stopped};
use super::get::Broken;
use super::{Checksum, Fetched, Kind, Mismatch, Object, Sink, Source, SourceError};

/// A part on its way to the writer.
struct Part {
    length: u64,
    chunks: UnboundedReceiver<Result<Bytes, SourceError>>,
    _permit: OwnedSemaphorePermit,
}

/// How the writer ended when the object is not in the sink.
enum Unwritten<O> {
    Source(O, SourceError),
    Differs(O, Mismatch),
    Destination(io::Error),
    /// The parts stopped coming: the fetch was dropped.
    Abandoned,
}

impl Source {
    pub(super) async fn fetch_parts<S, O>(
        &self,
        object: &Object,
        open: O,
        exact: bool,
    ) -> Result<Fetched<S::Done>, Ended<O>>
    where
        S: Sink,
        O: FnMut() -> io::Result<S> + Send + 'static,
    {
        let checksum = match self.expected(object, exact).await {
            Ok(checksum) => checksum,
            Err(error) if error.again() => return Err(Ended::Again(open, error)),
            Err(error) => return Err(Ended::Final(error)),
        };
        let (queue, parts) = unbounded_channel();
        let waiting = Arc::new(());
        let waited = Arc::downgrade(&waiting);
        let writer = tokio::task::spawn_blocking(move || write(&checksum, parts, open, &waited));
        // Dropping it, with this future or at the end, ends the requests, and so the writer.
        let mut requests = JoinSet::new();
        let shared = Arc::new(object.clone());
        let mut start = 0;
        while start < object.size {
            let permit = tokio::select! {
                permit = Arc::clone(&self.permits).acquire_owned() => permit,
                () = queue.closed() => break,
            };
            let Ok(permit) = permit else { break };
            let range = start..object.size.min(start + self.options.part_size);
            start = range.end;
            let (sender, chunks) = unbounded_channel();
            let part = Part {
                length: range.end - range.start,
                chunks,
                _permit: permit,
            };
            if queue.send(part).is_err() {
                break;
            }
            requests.spawn(self.clone().fetch_part(Arc::clone(&shared), range, sender));
        }
        drop(queue);
        let written = writer.await;
        drop((requests, waiting));
        match written {
            Err(error) => Err(Ended::Final(stopped(error))),
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(Unwritten::Source(open, error))) if error.again() => {
                Err(Ended::Again(open, error))
            }
            Ok(Err(Unwritten::Source(_, error))) => Err(Ended::Final(error)),
            Ok(Err(Unwritten::Differs(open, mismatch))) => Err(Ended::Again(
                open,
                self.corrupt(object, &mismatch.to_string()),
            )),
            Ok(Err(Unwritten::Destination(error))) => {
                Err(Ended::Final(self.destination(object, error)))
            }
            Ok(Err(Unwritten::Abandoned)) => Err(Ended::Final(SourceError::new(
                Kind::Other,
                "the fetch was stopped",
            ))),
        }
    }

    /// What the object must hash to, by its HEAD.
    pub(super) async fn expected(
        &self,
        object: &Object,
        exact: bool,
    ) -> Result<Checksum, SourceError> {
        let answer = self.head(object, None).await?;
        if let Some(other) = answer.length.filter(|length| *length != object.size) {
            return Err(self.corrupt(
                object,
                &format!(
                    "S3 says {other} bytes where the listing says {}",
                    object.size
                ),
            ));
        }
        self.checksum(object, &answer, exact).await
    }

    /// Sends a range of the object, asking again for what is missing when the connection breaks.
    async fn fetch_part(
        self,
        object: Arc<Object>,
        range: Range<u64>,
        sender: UnboundedSender<Result<Bytes, SourceError>>,
    ) {
        let mut at = range.start;
        let mut failures = 0;
        while at < range.end {
            let before = at;
            let error = match self.send_range(&object, &mut at, range.end, &sender).await {
                Ok(()) => return,
                Err((error, false)) => {
                    let _ = sender.send(Err(error));
                    return;
                }
                Err((error, true)) => error,
            };
            // A connection that brings a few bytes before it breaks gets nowhere.
            let got_on = at - before >= (range.end - range.start) / 16;
            failures = if got_on { 1 } else { failures + 1 };
            if failures >= ATTEMPTS {
                let _ = sender.send(Err(error));
                return;
            }
            pause(failures).await;
        }
    }

    /// One GET of what is left; `at` follows. With an error comes whether asking again may help.
    async fn send_range(
        &self,
        object: &Object,
        at: &mut u64,
        end: u64,
        sender: &UnboundedSender<Result<Bytes, SourceError>>,
    ) -> Result<(), (SourceError, bool)> {
        let (_, mut body) = self.get(object, Some(*at..end)).await.map_err(|error| {
            // Asked for again here, the parts that came already are not lost.
            let again = matches!(error.kind, Kind::KmsThrottled);
            (error, again)
        })?;
        loop {
            match body.next().await {
                Ok(Some(bytes)) => {
                    *at += bytes.len() as u64;
                    if sender.send(Ok(bytes)).is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(Broken::Cut(trouble)) => {
                    return Err((self.failed(Operation::Get, object, &trouble), true));
                }
                Err(Broken::TooLong) => {
                    return Err((self.corrupt(object, "more bytes came than it has"), false));
                }
            }
        }
    }
}

fn write<S, O>(
    checksum: &Checksum,
    mut parts: UnboundedReceiver<Part>,
    mut open: O,
    waited: &Weak<()>,
) -> Result<Fetched<S::Done>, Unwritten<O>>
where
    S: Sink,
    O: FnMut() -> io::Result<S>,
{
    let mut verifier = checksum.verifier();
    let mut sink = match open() {
        Ok(sink) => sink,
        Err(error) => return Err(Unwritten::Destination(error)),
    };
    while let Some(mut part) = parts.blocking_recv() {
        while part.length > 0 {
            let bytes = match part.chunks.blocking_recv() {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(Unwritten::Source(open, error)),
                None => return Err(Unwritten::Abandoned),
            };
            verifier.update(&bytes);
            if let Err(error) = sink.write(&bytes) {
                return Err(Unwritten::Destination(error));
            }
            part.length -= bytes.len() as u64;
        }
    }
    // All may have come before the fetch was dropped: what a finished sink leaves would be an orphan.
    if !verifier.complete() || waited.strong_count() == 0 {
        return Err(Unwritten::Abandoned);
    }
    let proof = match verifier.finish() {
        Ok(proof) => proof,
        Err(mismatch) => {
            drop(sink);
            return Err(Unwritten::Differs(open, mismatch));
        }
    };
    match sink.finish() {
        Ok(done) => Ok(Fetched { done, proof }),
        Err(error) => Err(Unwritten::Destination(error)),
    }
}
