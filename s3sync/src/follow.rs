//! What the source wants now: the release that its pointer names, or what a listing finds.
//!
//! Where there is no pointer a poll is the listing that it always was. Where a listing met one, a poll
//! is one GET of the pointer with If-None-Match, and the manifest is read only when there is something
//! to do.

use crate::pass::Passed;
use crate::release::{POINTER, Pointer, ReleaseManifest, manifest_key};
use crate::report::Tally;
use crate::revision::hex;
use crate::source::{Got, Kind, Listing, Object, Release, Small, Source, SourceError};
use tracing::{info, warn};

/// The largest manifest that is read, in bytes: half a million files.
const LONGEST_MANIFEST: usize = 64 << 20;

/// The most that is read of a pointer, in bytes; one that is longer than it may be is refused by name.
const LONGEST_POINTER: usize = 64 << 10;

/// The longest wait before a refused release is looked at again, milliseconds.
const LONGEST_RETRY: i64 = 60_000;

/// The pointer of a reign, and how far it was followed.
#[derive(Debug, Default)]
pub struct Follow {
    known: Option<Known>,
    refused: Option<Refused>,
    /// The end of the last pass over what the pointer names; none while that is still to be made.
    settled: Option<Settled>,
    landed: Option<Release>,
}

#[derive(Debug)]
struct Known {
    /// Empty where the store gives none: the pointer is then read whole at each poll.
    etag: Box<str>,
    pointer: Result<Pointer, String>,
}

/// A release that cannot be believed.
#[derive(Debug)]
struct Refused {
    why: String,
    tries: u32,
    /// When it is read again, milliseconds since 1970.
    next: i64,
}

/// What a quiet poll repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settled {
    pub(crate) tally: Tally,
    /// Files that the release wants here.
    pub(crate) wanted: u64,
}

/// What a poll found.
#[derive(Debug)]
pub(crate) enum Polled {
    /// No pointer: this is what lies in the prefix.
    Files(Listing),
    /// The pointer names what it named before.
    Same,
    /// The pointer names another release; [`Follow::read`] reads it.
    Other,
}

/// What a source holds now, for those who look once.
///
/// # Errors
/// As S3 answers, and why a release cannot be believed.
pub async fn look(source: &Source) -> Result<Listing, SourceError> {
    let mut follow = Follow::default();
    match follow.poll(source).await? {
        Polled::Files(listing) => Ok(listing),
        Polled::Same | Polled::Other => follow.try_read(source).await?.map_err(refused),
    }
}

impl Follow {
    /// Asks what the source wants.
    pub(crate) async fn poll(&mut self, source: &Source) -> Result<Polled, SourceError> {
        let Some(known) = &self.known else {
            return self.list(source).await;
        };
        let etag = (!known.etag.is_empty()).then_some(&*known.etag);
        match source.read_small(POINTER, etag, LONGEST_POINTER).await? {
            Got::NotModified { .. } => Ok(Polled::Same),
            Got::Found(small) => Ok(self.take(small)),
            Got::Absent { .. } => {
                info!(
                    event = "pointer_gone",
                    "there is no pointer any more; the files below the prefix are listed again"
                );
                *self = Follow::default();
                self.list(source).await
            }
        }
    }

    async fn list(&mut self, source: &Source) -> Result<Polled, SourceError> {
        let listing = source.list().await?;
        if !listing.pointer {
            self.landed = None;
            return Ok(Polled::Files(listing));
        }
        match source.read_small(POINTER, None, LONGEST_POINTER).await? {
            Got::Found(small) => Ok(self.take(small)),
            // The next poll lists anew.
            _ => Err(SourceError::new(
                Kind::Changed,
                format!(
                    "{}: the pointer was removed while it was read: the next listing settles it",
                    source.location().uri_of(POINTER)
                ),
            )),
        }
    }

    fn take(&mut self, small: Small) -> Polled {
        let pointer = Pointer::parse(&small.bytes);
        let same = self
            .known
            .as_ref()
            .is_some_and(|known| known.pointer == pointer);
        self.known = Some(Known {
            etag: small.etag,
            pointer,
        });
        if same {
            return Polled::Same;
        }
        (self.refused, self.settled) = (None, None);
        Polled::Other
    }

    /// Reads the release that the pointer names, all of it or nothing.
    ///
    /// # Errors
    /// What S3 answers, and why the release cannot be believed: then it is read again later, or when
    /// the pointer changes.
    pub(crate) async fn read(&mut self, source: &Source, now: i64) -> Result<Listing, SourceError> {
        let refusal = match self.try_read(source).await? {
            Ok(listing) => {
                self.refused = None;
                return Ok(listing);
            }
            Err(refusal) => refusal,
        };
        let tries = self.refused.as_ref().map_or(0, |refused| refused.tries) + 1;
        let next = now + (1_000i64 << tries.min(20)).min(LONGEST_RETRY);
        if tries == 1 {
            warn!(
                reason = refusal,
                event = "release_refused",
                "a release is refused; what is here stays"
            );
        }
        self.refused = Some(Refused {
            why: refusal.clone(),
            tries,
            next,
        });
        Err(refused(refusal))
    }

    async fn try_read(&self, source: &Source) -> Result<Result<Listing, String>, SourceError> {
        let uri = |key: &str| source.location().uri_of(key);
        let Some(known) = &self.known else {
            return Ok(Err("no pointer was read".to_string()));
        };
        let pointer = match &known.pointer {
            Ok(pointer) => pointer,
            Err(why) => {
                return Ok(Err(format!(
                    "{}: the pointer is refused, {why}: publish again, or roll back",
                    uri(POINTER)
                )));
            }
        };
        let key = manifest_key(&pointer.release);
        let refused = |why: &str| {
            format!(
                "{}: the manifest is refused, {why}: publish again, or roll back",
                uri(&key)
            )
        };
        let small = match source.read_small(&key, None, LONGEST_MANIFEST).await {
            Ok(Got::Found(small)) => small,
            Ok(_) => {
                return Ok(Err(format!(
                    "{}: the pointer names this manifest and there is none: publish again, or roll back",
                    uri(&key)
                )));
            }
            // Longer than can be.
            Err(error) if matches!(error.kind, Kind::Corrupt) => return Ok(Err(error.message)),
            Err(error) => return Err(error),
        };
        let manifest = match ReleaseManifest::parse(&pointer.release, &small.bytes) {
            Ok(manifest) => manifest,
            Err(why) => return Ok(Err(refused(&why))),
        };
        if manifest.header.revision != pointer.revision {
            let why = format!(
                "its revision is {} where the pointer says {}",
                hex(&manifest.header.revision),
                hex(&pointer.revision)
            );
            return Ok(Err(refused(&why)));
        }
        drop(small.bytes);
        Ok(Ok(Listing {
            objects: manifest.files.into_iter().map(Object::of_release).collect(),
            server_time: small.server_time,
            release: Some(Release {
                id: pointer.release,
                name: pointer.name.clone(),
            }),
            ..Listing::default()
        }))
    }

    /// Whether the release must be read at `now` for its own sake.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        match &self.refused {
            Some(refused) => refused.next <= now,
            None => self.settled.is_none(),
        }
    }

    /// What a quiet poll repeats, once a pass over this release has ended.
    pub(crate) fn settled(&self) -> Option<Settled> {
        self.settled
    }

    /// A pass over what the last poll found has ended, and readers have it when it `landed`.
    pub(crate) fn settle(
        &mut self,
        release: Option<Release>,
        passed: &Passed,
        wanted: u64,
        landed: bool,
    ) {
        let Some(release) = release else { return };
        let tally = Tally {
            listed: passed.tally.listed,
            unchanged: wanted,
            held_deletes: passed.tally.held_deletes,
            ..Tally::default()
        };
        self.settled = Some(Settled { tally, wanted });
        if landed && !passed.held_back {
            self.landed = Some(release);
        }
    }

    /// The next poll reads the release again, whether the pointer changed or not.
    pub(crate) fn look_again(&mut self) {
        self.settled = None;
    }

    /// Whether a pointer is what is followed.
    pub fn is_release(&self) -> bool {
        self.known.is_some()
    }

    /// The release that was last made what readers have, by this reign.
    pub fn landed(&self) -> Option<&Release> {
        self.landed.as_ref()
    }

    /// Why what the pointer names is refused.
    pub fn refusal(&self) -> Option<&str> {
        self.refused.as_ref().map(|refused| &*refused.why)
    }
}

fn refused(why: String) -> SourceError {
    SourceError::new(Kind::Malformed, why)
}
