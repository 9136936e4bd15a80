//! Fetching an object with proof that the bytes are S3's.

use std::io;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::claim::{Claim, claims, even_parts};
use super::explain::{Operation, Trouble};
use super::get::Answer;
use super::{Checksum, Fetched, Kind, Object, Sink, Source, SourceError};

/// How often an object is fetched before it counts as corrupt, or as out of reach.
pub(super) const ATTEMPTS: u32 = 3;

/// HEADs of an object's parts at once.
const HEADS: usize = 8;

/// How a try at a whole object ended when that was not by success. `O` opens the sink again.
pub(super) enum Ended<O> {
    /// Trying again may help.
    Again(O, SourceError),
    /// It would not.
    Final(SourceError),
}

impl Source {
    /// Fetches one version of an object into the sink that `open` gives, and verifies it: with one
    /// GET up to the part size, else in parts.
    ///
    /// `open` is called again when the fetch has to start over; the sink before was dropped by then,
    /// without [`Sink::finish`]. It and the sink are called on tokio's blocking threads, one for each
    /// object at once. When this future is dropped the sink is dropped, soon after.
    ///
    /// # Errors
    /// One [`SourceError`] that names the object. Nothing that was not verified reaches
    /// [`Sink::finish`].
    pub async fn fetch<S: Sink>(
        &self,
        object: &Object,
        open: impl FnMut() -> io::Result<S> + Send + 'static,
    ) -> Result<Fetched<S::Done>, SourceError> {
        if object.archived {
            let archived = super::explain::Answer {
                code: "InvalidObjectState".into(),
                ..Default::default()
            };
            return Err(self.failed(Operation::Get, object, &Trouble::Answer(archived)));
        }
        let mut open = open;
        let mut attempt = 1;
        loop {
            // A first mismatch may be one of parts that only looked even.
            let exact = attempt > 1;
            let ended = if object.size <= self.options.part_size {
                self.fetch_whole(object, open, exact).await
            } else {
                self.fetch_parts(object, open, exact).await
            };
            match ended {
                Ok(fetched) => return Ok(fetched),
                Err(Ended::Final(error)) => return Err(error),
                Err(Ended::Again(_, error)) if attempt == ATTEMPTS => return Err(error),
                Err(Ended::Again(again, error)) => {
                    tracing::debug!(%error, attempt, event = "fetch_again", "fetching again");
                    open = again;
                }
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// What S3 says that this version of the object hashes to; none when only its length is known.
    ///
    /// # Errors
    /// As S3 answers the HEAD, which carries If-Match.
    pub async fn stored_checksum(&self, object: &Object) -> Result<Option<Checksum>, SourceError> {
        let _permit = self.permits.acquire().await;
        let checksum = self.expected(object, true).await?;
        Ok(Some(checksum).filter(|checksum| checksum.proof() != super::Proof::LengthOnly))
    }

    /// The strongest claim that can be checked. Claims about parts need the parts' lengths: taken as
    /// even when the first part's length allows it, or asked for one by one when `exact`.
    pub(super) async fn checksum(
        &self,
        object: &Object,
        answer: &Answer,
        exact: bool,
    ) -> Result<Checksum, SourceError> {
        let etag_is_md5 = answer.etag_is_md5 && !self.location.is_directory_bucket();
        let mut known = None;
        for claim in claims(&answer.stored, &object.etag, etag_is_md5) {
            let Claim::Parts { count, .. } = claim else {
                return Ok(Checksum::new(object.size, claim, Vec::new()));
            };
            if known.is_none() {
                known = Some(self.parts(object, count, exact).await?);
            }
            if let Some(Some(parts)) = &known
                && parts.len() as u64 == count
            {
                return Ok(Checksum::new(object.size, claim, parts.clone()));
            }
        }
        Ok(Checksum::new(object.size, Claim::Length, Vec::new()))
    }

    /// The lengths of the parts that the object was uploaded in; none when S3 does not tell.
    async fn parts(
        &self,
        object: &Object,
        count: u64,
        exact: bool,
    ) -> Result<Option<Vec<u64>>, SourceError> {
        if count == 1 {
            return Ok(Some(vec![object.size]));
        }
        let Some(first) = self.part_length(object, 1, count).await? else {
            return Ok(None);
        };
        if !exact && let Some(parts) = even_parts(object.size, first, count) {
            return Ok(Some(parts));
        }
        let mut parts = vec![(1, first)];
        let mut heads = JoinSet::new();
        for part in 2..=count {
            if heads.len() == HEADS {
                match settled(heads.join_next().await)? {
                    Some(known) => parts.push(known),
                    None => return Ok(None),
                }
            }
            let (source, object) = (self.clone(), object.clone());
            heads.spawn(async move {
                let length = source.part_length(&object, part, count).await?;
                Ok(length.map(|length| (part, length)))
            });
        }
        while !heads.is_empty() {
            match settled(heads.join_next().await)? {
                Some(known) => parts.push(known),
                None => return Ok(None),
            }
        }
        parts.sort_unstable();
        let parts: Vec<u64> = parts.into_iter().map(|(_, length)| length).collect();
        Ok((parts.iter().sum::<u64>() == object.size).then_some(parts))
    }

    /// A store that does not know parts answers with the whole object, or refuses, or takes the
    /// part's ETag for the object's. A version put meanwhile is seen by the GETs.
    async fn part_length(
        &self,
        object: &Object,
        part: u64,
        count: u64,
    ) -> Result<Option<u64>, SourceError> {
        match self.head(object, Some(part)).await {
            Ok(answer) if answer.parts.is_some_and(|parts| parts != count) => Ok(None),
            Ok(answer) => Ok(answer.length.filter(|length| *length < object.size)),
            Err(SourceError {
                kind: Kind::Other | Kind::Changed,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

type Known = Option<(u64, u64)>;

fn settled(
    joined: Option<Result<Result<Known, SourceError>, JoinError>>,
) -> Result<Known, SourceError> {
    match joined {
        None => Ok(None),
        Some(joined) => joined.unwrap_or_else(|error| Err(stopped(error))),
    }
}

/// A task that panicked carries its panic on; one that was cancelled did so as the runtime ended.
pub(super) fn stopped(error: JoinError) -> SourceError {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => SourceError::new(Kind::Other, "the fetch was stopped"),
    }
}

/// A short, jittered wait before the same is tried again.
pub(super) async fn pause(attempt: u32) {
    let most = 100u64 << attempt.min(4);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 4..most))).await;
}
