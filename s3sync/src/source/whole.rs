//! One GET: collected, then verified and written by one blocking task, as most objects are small and
//! each switch of threads costs as much as hashing one.

use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::explain::Operation;
use super::fetch::{Ended, stopped};
use super::get::Broken;
use super::{Checksum, Fetched, Kind, Mismatch, Object, Sink, Source, SourceError};

/// The connection of an object up to this size takes the next one while this is verified and written:
/// what waits then is small beside the parts that `--concurrency` bounds the memory by.
const SMALL: u64 = 64 << 10;

impl Source {
    pub(super) async fn fetch_whole<S, O>(
        &self,
        object: &Object,
        open: O,
        exact: bool,
    ) -> Result<Fetched<S::Done>, Ended<O>>
    where
        S: Sink,
        O: FnMut() -> io::Result<S> + Send + 'static,
    {
        // Closed never: the semaphore lives as long as this source.
        let mut permit = self.permits.acquire().await.ok();
        let (checksum, chunks) = match self.collect(object, exact).await {
            Ok(collected) => collected,
            Err((error, true)) => return Err(Ended::Again(open, error)),
            Err((error, false)) => return Err(Ended::Final(error)),
        };
        if object.size <= SMALL {
            permit = None;
        }
        let waiting = Arc::new(());
        let waited = Arc::downgrade(&waiting);
        let kept =
            tokio::task::spawn_blocking(move || keep(&checksum, &chunks, open, &waited)).await;
        drop((waiting, permit));
        match kept {
            Err(error) => Err(Ended::Final(stopped(error))),
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(Refused::Differs(open, mismatch))) => Err(Ended::Again(
                open,
                self.corrupt(object, &mismatch.to_string()),
            )),
            Ok(Err(Refused::Destination(error))) => {
                Err(Ended::Final(self.destination(object, error)))
            }
        }
    }

    /// The body, and whether another try may help when there is none.
    async fn collect(
        &self,
        object: &Object,
        exact: bool,
    ) -> Result<(Checksum, Vec<Bytes>), (SourceError, bool)> {
        let again = |error: SourceError| {
            let again = error.again();
            (error, again)
        };
        let (answer, mut body) = self.get(object, None).await.map_err(again)?;
        let mut chunks = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(bytes)) => chunks.push(bytes),
                Ok(None) => break,
                Err(Broken::Cut(trouble)) => {
                    return Err((self.failed(Operation::Get, object, &trouble), true));
                }
                Err(Broken::TooLong) => {
                    return Err((self.corrupt(object, "more bytes came than it has"), true));
                }
            }
        }
        let checksum = self.checksum(object, &answer, exact).await.map_err(again)?;
        Ok((checksum, chunks))
    }

    pub(super) fn destination(&self, object: &Object, error: io::Error) -> SourceError {
        let message = format!(
            "{}: cannot be written ({error})",
            self.location.uri_of(&object.key)
        );
        SourceError::new(Kind::Destination(error), message)
    }
}

enum Refused<O> {
    Differs(O, Mismatch),
    Destination(io::Error),
}

fn keep<S, O>(
    checksum: &Checksum,
    chunks: &[Bytes],
    mut open: O,
    waited: &Weak<()>,
) -> Result<Fetched<S::Done>, Refused<O>>
where
    S: Sink,
    O: FnMut() -> io::Result<S>,
{
    let mut verifier = checksum.verifier();
    for chunk in chunks {
        verifier.update(chunk);
    }
    let proof = match verifier.finish() {
        Ok(proof) => proof,
        Err(mismatch) => return Err(Refused::Differs(open, mismatch)),
    };
    let mut store = || {
        // Nobody waits for it any more: what a finished sink leaves behind would be an orphan.
        let wanted = || match waited.strong_count() {
            0 => Err(io::Error::from(io::ErrorKind::Interrupted)),
            _ => Ok(()),
        };
        wanted()?;
        let mut sink = open()?;
        for chunk in chunks {
            sink.write(chunk)?;
        }
        wanted()?;
        sink.finish()
    };
    match store() {
        Ok(done) => Ok(Fetched { done, proof }),
        Err(error) => Err(Refused::Destination(error)),
    }
}
