//! The marker that says that `prune` removes, or when the last one ended.
//!
//! Each side writes first and looks then: `prune` puts the marker and then reads the pointer; who
//! moves the pointer does that and then looks for the marker. S3 shows a write to every read after
//! it, so at least one of the two sees the other. A `prune` that ends says so in the marker and
//! leaves it: one that began and ended between a publisher's uploads and its look is seen, too.

use super::Clock;
use crate::failure::Failure;
use crate::release::PRUNING;
use crate::session::{Ending, owner};
use crate::source::{Condition, Got, PutResult, Small, Source};
use agent::exit::Exit;
use std::time::{Duration, Instant};

/// A marker that is older by S3's clock, in milliseconds, is of a `prune` that was killed.
pub(super) const STALE: i64 = 3600 * 1000;
/// How long a `prune` may remove: well before its marker counts for nothing.
pub(super) const LONGEST: Duration = Duration::from_secs(45 * 60);
/// The longest marker that is read, in bytes.
const LONGEST_MARKER: usize = 4 << 10;
/// How long the end of a `prune` is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// S3's times have whole seconds, and a delete whose answer nobody awaited may come later.
const LATE: Duration = Duration::from_secs(60);
/// Between looks.
const LOOK: Duration = Duration::from_millis(500);

/// What a publisher has to know of a `prune`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// None removed anything since.
    Nothing,
    /// One did, and is over: what was relied on may be gone.
    Ended,
    /// One still does: what is there may go yet.
    Runs,
}

/// A marker of ours.
#[derive(Debug)]
pub(super) struct Marker {
    owner: String,
    etag: Box<str>,
}

/// Puts the marker, in place of one that is stale or has ended.
///
/// # Errors
/// As S3 answers, and when another `prune` removes.
pub(super) async fn put(source: &Source) -> Result<Marker, Ending> {
    let owner = owner();
    let body = serde_json::json!({ "schema": 1, "owner": owner }).to_string() + "\n";
    let stale = match read(source).await? {
        Some(small) if is_stale(&small) || has_ended(&small.bytes) => Some(small.etag),
        Some(_) => return Err(busy(source)),
        None => None,
    };
    let condition = match &stale {
        Some(etag) => Condition::IfMatch(etag),
        None => Condition::IfAbsent,
    };
    match source.put_small(PRUNING, body.clone(), condition).await {
        Ok(PutResult::Done { etag }) => Ok(Marker { owner, etag }),
        // It may be our own, from a try whose answer was lost.
        Ok(PutResult::Refused) => match read(source).await? {
            Some(Small { bytes, etag, .. }) if bytes == body.as_bytes() => {
                Ok(Marker { owner, etag })
            }
            _ => Err(busy(source)),
        },
        Err(error) => Err(Failure::from(error).into()),
    }
}

/// Says that it ended, in place of `marker` alone: one that slept for an hour was taken over.
///
/// # Errors
/// As S3 answers, and when the marker is another's by now.
pub(super) async fn end(source: &Source, marker: &Marker) -> Result<(), Ending> {
    let body = serde_json::json!({ "schema": 1, "owner": marker.owner, "ended": true });
    let body = body.to_string() + "\n";
    let condition = Condition::IfMatch(&marker.etag);
    let put = source.put_small(PRUNING, body.clone(), condition).await;
    match put.map_err(Failure::from)? {
        PutResult::Done { .. } => Ok(()),
        PutResult::Refused => match read(source).await? {
            Some(small) if small.bytes == body.as_bytes() => Ok(()),
            _ => Err(busy(source)),
        },
    }
}

/// Looks for a `prune` that removed after `since`, and waits for its end, a minute at most.
///
/// # Errors
/// As S3 answers.
pub(super) async fn wait_for_end(source: &Source, since: &Clock) -> Result<Seen, Ending> {
    let begun = Instant::now();
    let mut seen = Seen::Nothing;
    loop {
        let marker = read(source).await?;
        match judge(marker.as_ref(), since.elapsed()) {
            Seen::Nothing if seen == Seen::Runs => return Ok(Seen::Ended),
            Seen::Runs if begun.elapsed() < PATIENCE => seen = Seen::Runs,
            other => return Ok(other),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the marker says to who began so long ago. Ages are S3's: nobody's own clock has a say.
fn judge(marker: Option<&Small>, ago: Duration) -> Seen {
    let Some(marker) = marker else {
        return Seen::Nothing;
    };
    if !has_ended(&marker.bytes) {
        return match is_stale(marker) {
            true => Seen::Ended,
            false => Seen::Runs,
        };
    }
    let age = marker.server_time.map(|now| now - marker.modified);
    let relevant = i64::try_from((ago + LATE).as_millis()).unwrap_or(i64::MAX);
    match age {
        Some(age) if age > relevant => Seen::Nothing,
        _ => Seen::Ended,
    }
}

async fn read(source: &Source) -> Result<Option<Small>, Ending> {
    let got = source.read_small(PRUNING, None, LONGEST_MARKER).await;
    match got.map_err(Failure::from)? {
        Got::Found(small) => Ok(Some(small)),
        Got::Absent { .. } | Got::NotModified { .. } => Ok(None),
    }
}

/// Whatever cannot be read counts as running.
fn has_ended(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|marker| marker["ended"] == true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prune_counts_unless_it_ended_before_one_began() {
        let marker = |body: &str, age: Option<i64>| Small {
            bytes: body.as_bytes().to_vec(),
            etag: "e".into(),
            modified: 0,
            server_time: age.map(|age| age * 1000),
        };
        let (runs, ended) = (r#"{"schema":1}"#, r#"{"schema":1,"ended":true}"#);
        for (body, age, ago, expected) in [
            (runs, Some(10), 1, Seen::Runs),
            (runs, Some(3601), 1, Seen::Ended),
            (runs, None, 1, Seen::Runs),
            ("", Some(10), 1, Seen::Runs),
            (r#"{"ended":false}"#, Some(10), 1, Seen::Runs),
            (ended, Some(10), 30, Seen::Ended),
            (ended, Some(7200), 7200, Seen::Ended),
            (ended, Some(100), 30, Seen::Nothing),
            (ended, Some(86_400), 30, Seen::Nothing),
            (ended, None, 30, Seen::Ended),
        ] {
            let marker = marker(body, age);
            let seen = judge(Some(&marker), Duration::from_secs(ago));
            assert_eq!(seen, expected, "{body} of {age:?}, {ago}");
        }
        assert_eq!(judge(None, Duration::from_secs(1)), Seen::Nothing);
    }
}
