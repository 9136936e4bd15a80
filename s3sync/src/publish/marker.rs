//! The marker that says that `prune` removes.
//!
//! Each side writes first and looks then: `prune` puts the marker and then reads the pointer; who
//! moves the pointer does that and then looks for the marker. S3 shows a write to every read after
//! it, so at least one of the two sees the other.

use crate::failure::Failure;
use crate::release::PRUNING;
use crate::session::{Ending, owner};
use crate::source::{Condition, Got, PutResult, Small, Source};
use agent::exit::Exit;
use std::time::{Duration, Instant};
use tracing::warn;

/// A marker that is older by S3's clock, in milliseconds, is of a `prune` that was killed.
pub(super) const STALE: i64 = 3600 * 1000;
/// How long a `prune` may remove: well before its marker counts for nothing.
pub(super) const LONGEST: Duration = Duration::from_secs(45 * 60);
/// The longest marker that is read, in bytes.
const LONGEST_MARKER: usize = 4 << 10;
/// How long the end of a `prune` is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks.
const LOOK: Duration = Duration::from_millis(500);

/// Puts the marker, in place of one that is stale.
///
/// # Errors
/// As S3 answers, and when another `prune` removes.
pub(super) async fn put(source: &Source) -> Result<(), Ending> {
    let body = serde_json::json!({ "schema": 1, "owner": owner() }).to_string() + "\n";
    let stale = match read(source).await? {
        Some(small) if is_stale(&small) => Some(small.etag),
        Some(_) => return Err(busy(source)),
        None => None,
    };
    let condition = match &stale {
        Some(etag) => Condition::IfMatch(etag),
        None => Condition::IfAbsent,
    };
    match source.put_small(PRUNING, body.clone(), condition).await {
        Ok(PutResult::Done { .. }) => Ok(()),
        // It may be our own, from a try whose answer was lost.
        Ok(PutResult::Refused) => match read(source).await? {
            Some(small) if small.bytes == body.as_bytes() => Ok(()),
            _ => Err(busy(source)),
        },
        Err(error) => Err(Failure::from(error).into()),
    }
}

/// Takes the marker away.
///
/// # Errors
/// As S3 answers.
pub(super) async fn remove(source: &Source) -> Result<(), Ending> {
    Ok(source.delete(PRUNING).await.map_err(Failure::from)?)
}

/// Waits for the end of a `prune`, a minute at most. True when there was one: what was relied on
/// may be gone.
///
/// # Errors
/// As S3 answers.
pub(super) async fn wait_for_end(source: &Source) -> Result<bool, Ending> {
    let begun = Instant::now();
    let mut seen = false;
    loop {
        match read(source).await? {
            None => return Ok(seen),
            Some(small) if is_stale(&small) => return Ok(true),
            Some(_) if begun.elapsed() >= PATIENCE => {
                warn!(
                    event = "prune_runs",
                    "a prune has not ended within a minute; going on"
                );
                return Ok(true);
            }
            Some(_) => seen = true,
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn read(source: &Source) -> Result<Option<Small>, Ending> {
    let got = source.read_small(PRUNING, None, LONGEST_MARKER).await;
    match got.map_err(Failure::from)? {
        Got::Found(small) => Ok(Some(small)),
        Got::Absent { .. } | Got::NotModified { .. } => Ok(None),
    }
}

fn is_stale(marker: &Small) -> bool {
    marker
        .server_time
        .is_some_and(|now| now - marker.modified > STALE)
}

fn busy(source: &Source) -> Ending {
    Ending::new(
        Exit::Unavailable,
        format!(
            "{}: another prune removes already: wait for its end; an hour after it was killed the next one takes over",
            source.location().uri_of(PRUNING)
        ),
    )
}
