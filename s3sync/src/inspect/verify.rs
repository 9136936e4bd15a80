//! `s3sync verify`: every file hashed and compared with S3.

use super::{Answer, Seen, candidates, generation, see};
use crate::dest::{self, Dest};
use crate::failure::Failure;
use crate::gate::Candidate;
use crate::plan;
use crate::prepare::{Bytes, blocking, hash};
use crate::report::printable;
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Kind, Object, Proof};
use agent::exit::Exit;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// One difference that `verify` found.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// Empty where it is no object's: a file of the current generation.
    pub(super) key: String,
    pub(super) path: String,
    pub(super) state: &'static str,
    pub(super) reason: String,
}

/// Hashes every file and compares it with S3.
pub async fn verify(settings: &settings::Plan, around: &Surroundings) -> Result<Answer, Ending> {
    let seen = see(settings, around).await?;
    let held: Vec<Candidate> = candidates(&seen, settings, around).await?;
    let fetch: BTreeSet<&str> = seen.plan.fetch.iter().map(plan::Fetch::path).collect();
    let rejected: BTreeSet<&str> = seen
        .plan
        .rejected
        .iter()
        .map(|rejected| &*rejected.key)
        .collect();
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let mut matcher = filter.matcher();
    let (mut differences, mut equal) = (Vec::new(), 0u64);
    for object in &seen.listing.objects {
        let path = &*object.key;
        let wanted =
            !path.ends_with('/') && !rejected.contains(path) && matcher.admits(path, false);
        if !wanted {
            continue;
        }
        match compare(&seen, around, object, fetch.contains(path)).await? {
            None => equal += 1,
            Some((state, reason)) => differences.push(Difference {
                key: path.to_string(),
                path: path.to_string(),
                state,
                reason,
            }),
        }
    }
    for gone in &held {
        let reason = "S3 does not have it".to_string();
        let found = match &seen.dest {
            Some(dest) => find(around, dest, &gone.path).await?,
            None => false,
        };
        if found {
            differences.push(Difference {
                key: gone.path.to_string(),
                path: gone.path.to_string(),
                state: "extra",
                reason,
            });
        }
    }
    differences.extend(generation::verify(&seen, &filter, around).await?);
    let exit = if differences.is_empty() {
        Exit::Done
    } else {
        Exit::No
    };
    let text = if settings::is_json(&settings.output) {
        serde_json::json!({ "equal": equal, "differences": differences }).to_string() + "\n"
    } else {
        let mut text = String::new();
        for difference in &differences {
            let _ = writeln!(
                text,
                "{:<13}{}: {}",
                difference.state,
                printable(&difference.path),
                difference.reason
            );
        }
        let _ = writeln!(text, "{equal} equal, {} not", differences.len());
        text
    };
    Ok(Answer { text, exit })
}

async fn find(around: &Surroundings, dest: &Arc<Dest>, path: &str) -> Result<bool, Ending> {
    let (dest, path) = (Arc::clone(dest), path.to_string());
    let found = blocking(&around.status, "stat", move || dest.find(&path)).await;
    found
        .map(|found| found.is_some())
        .map_err(|error| Ending::new(Exit::Destination, dest::cause(&error)))
}

/// What differs between an object and its file; `None` when they are equal.
async fn compare(
    seen: &Seen,
    around: &Surroundings,
    object: &Object,
    changed: bool,
) -> Result<Option<(&'static str, String)>, Ending> {
    let absent = || Some(("missing", "there is no such file".to_string()));
    let Some(dest) = &seen.dest else {
        return Ok(absent());
    };
    let known = seen.manifest.files.get(&object.key).filter(|_| !changed);
    let hashed = {
        let (dest, path) = (Arc::clone(dest), object.key.clone());
        blocking(&around.status, "read", move || hash(&dest, &path)).await
    };
    let Bytes { size, sha256, md5 } = match hashed {
        Ok(hashes) => hashes,
        Err(error) if dest::is_absent(&error) => return Ok(absent()),
        Err(error) => return Ok(Some(("unreadable", dest::cause(&error)))),
    };
    if size != object.size {
        return Ok(Some((
            "differs",
            format!("{size} bytes, and the object has {}", object.size),
        )));
    }
    if let Some(wanted) = object.content() {
        let differs = || ("differs", "its SHA-256 is not the release's".to_string());
        return Ok((wanted != sha256).then(differs));
    }
    if known.is_some_and(|entry| entry.sha256 == sha256) || *object.etag == *md5 {
        return Ok(None);
    }
    if known.is_some() {
        return Ok(Some((
            "differs",
            "its SHA-256 is not what was fetched".to_string(),
        )));
    }
    let checksum = match seen.source.stored_checksum(object).await {
        Ok(Some(checksum)) => checksum,
        Ok(None) => return Ok(Some(unverifiable())),
        Err(error) if matches!(error.kind, Kind::Changed | Kind::Gone) => {
            return Ok(Some((
                "differs",
                "the object changed meanwhile: verify again".to_string(),
            )));
        }
        Err(error) => return Err(Failure::from(error).into()),
    };
    let (dest, path) = (Arc::clone(dest), object.key.clone());
    let proof = blocking(&around.status, "read", move || {
        let mut verifier = checksum.verifier();
        dest::read_all(dest.open_file(&path)?, |bytes| verifier.update(bytes))?;
        Ok::<_, std::io::Error>(verifier.finish())
    });
    Ok(match proof.await {
        Ok(Ok(Proof::LengthOnly)) => Some(unverifiable()),
        Ok(Ok(_)) => None,
        Ok(Err(mismatch)) => Some(("differs", mismatch.0)),
        Err(error) => Some(("unreadable", dest::cause(&error))),
    })
}

fn unverifiable() -> (&'static str, String) {
    let why = "S3 stores no checksum of it and its ETag is no MD5: one pass of once or watch will know it";
    ("unverifiable", why.to_string())
}
