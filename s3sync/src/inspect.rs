//! The commands that change nothing below DEST: `plan`, `verify`, `digest` and `approve`.

use crate::dest::{self, Dest};
use crate::failure::Failure;
use crate::gate::{self, Candidate, Question};
use crate::local;
use crate::manifest::{Manifest, journal};
use crate::pass::now;
use crate::plan::{self, Plan, Why};
use crate::prepare::blocking;
use crate::report::printable;
use crate::revision::{Hash, Revision};
use crate::session::{Ending, Surroundings};
use crate::settings::{self, DigestOf};
use crate::source::{Kind, Listing, Object, Proof, Source};
use agent::exit::Exit;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// An answer for stdout, and the code that goes with it.
#[derive(Debug)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// How to end.
    pub exit: Exit,
}

/// One line of a plan.
#[derive(Debug, Serialize)]
struct Action {
    action: &'static str,
    key: String,
    path: String,
    reason: String,
}

/// What a pass would do.
pub async fn plan(settings: &settings::Plan, around: &Surroundings) -> Result<Answer, Ending> {
    let seen = see(settings, around).await?;
    let candidates = candidates(&seen, settings, around).await?;
    let decision = decide(&seen, settings, &candidates);
    let mut actions = actions(&seen.plan, &decision, &seen.listing);
    actions.sort_by(|one, other| one.path.cmp(&other.path));
    // A rejected key is named, but no pass would do anything about it.
    let idle = actions.iter().all(|action| action.action == "reject");
    let exit = if idle { Exit::Done } else { Exit::No };
    let text = if settings::is_json(&settings.output) {
        serde_json::to_string(&actions).unwrap_or_default() + "\n"
    } else {
        plan_text(&actions, &decision, &settings.ends.source.to_string())
    };
    Ok(Answer { text, exit })
}

/// A listing, a manifest, and what they come to.
struct Seen {
    source: Source,
    dest: Option<Arc<Dest>>,
    manifest: Manifest,
    listing: Listing,
    plan: Plan,
}

async fn see(settings: &settings::Plan, around: &Surroundings) -> Result<Seen, Ending> {
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let looked = around
        .look(&settings.ends.dest, settings.state_dir.as_deref())
        .await;
    let dest = looked.map_err(Failure::from)?;
    let manifest = match &dest {
        Some(dest) if dest.has_state() => {
            load(around, dest, &settings.ends.source.to_string()).await?
        }
        _ => Manifest::default(),
    };
    let source = around.source(&settings.ends.source, &settings.transfer);
    let listing = source.list().await.map_err(Failure::from)?;
    let state = dest
        .as_ref()
        .and_then(|dest| dest.state_below())
        .unwrap_or(dest::STATE);
    let plan = plan::plan(&manifest, &listing, &filter, Some(state), &BTreeSet::new());
    Ok(Seen {
        source,
        dest,
        manifest,
        listing,
        plan,
    })
}

async fn load(around: &Surroundings, dest: &Arc<Dest>, source: &str) -> Result<Manifest, Ending> {
    let (dest, source) = (Arc::clone(dest), source.to_string());
    let loaded = blocking(&around.status, "load", move || {
        let loaded = journal::load(dest.state()).map_err(|error| {
            crate::dest::DestError::new(
                "read the manifest of",
                dest.path().display().to_string(),
                error,
            )
        })?;
        crate::writer::check_source(&dest, loaded.as_ref(), &source, false)?;
        // A writer may be between an intent and its commit: what it intends is not there yet.
        Ok::<_, Failure>(loaded.map(|loaded| loaded.manifest).unwrap_or_default())
    });
    Ok(loaded.await?)
}

/// What a pass might delete: what is missing, and with `--delete all` what nobody manages.
async fn candidates(
    seen: &Seen,
    settings: &settings::Plan,
    around: &Surroundings,
) -> Result<Vec<Candidate>, Ending> {
    let mut candidates = seen.plan.missing.clone();
    let all = settings.deletes.policy().mode == gate::Mode::All;
    if let (true, Some(dest)) = (all, &seen.dest) {
        let fetched: BTreeSet<&str> = seen.plan.fetch.iter().map(plan::Fetch::path).collect();
        let unmanaged = unmanaged(seen, settings, around, dest).await?;
        let unknown = unmanaged
            .into_iter()
            .filter(|path| !fetched.contains(&**path));
        candidates.extend(unknown.map(|path| Candidate {
            path,
            content: None,
        }));
    }
    Ok(candidates)
}

async fn unmanaged(
    seen: &Seen,
    settings: &settings::Plan,
    around: &Surroundings,
    dest: &Arc<Dest>,
) -> Result<BTreeSet<Box<str>>, Ending> {
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let (dest, manifest) = (Arc::clone(dest), seen.manifest.clone());
    let walked = blocking(&around.status, "walk", move || {
        local::unmanaged(&dest, &filter, &manifest)
    })
    .await;
    walked.map_err(|error| {
        Ending::new(
            Exit::Destination,
            format!("cannot walk {}: {error}", settings.ends.dest.display()),
        )
    })
}

fn decide(seen: &Seen, settings: &settings::Plan, candidates: &[Candidate]) -> gate::Decision {
    let approvals = seen
        .listing
        .approvals
        .iter()
        .map(|approval| (approval.id.clone(), approval.modified));
    // Without fetching, a move shows by the ETag: the same MD5 under another path.
    let arrivals: Vec<Hash> = seen
        .plan
        .fetch
        .iter()
        .filter_map(|fetch| {
            let mut gone = seen
                .plan
                .missing
                .iter()
                .filter_map(|gone| seen.manifest.files.get(&gone.path));
            gone.find(|entry| entry.md5 && entry.etag == fetch.object.etag)
                .map(|entry| entry.sha256)
        })
        .collect();
    let question = Question {
        candidates,
        arrivals: &arrivals,
        wanted: seen.plan.wanted,
        managed: seen.manifest.files.len() as u64,
        approvals: &approvals.collect::<Vec<_>>(),
        source: &settings.ends.source.to_string(),
        now: seen.listing.server_time.unwrap_or_else(now),
    };
    gate::decide(settings.deletes.policy(), &seen.manifest.history, &question)
}

fn actions(plan: &Plan, decision: &gate::Decision, listing: &Listing) -> Vec<Action> {
    let action = |action, key: &str, path: &str, reason: &str| Action {
        action,
        key: key.to_string(),
        path: path.to_string(),
        reason: reason.to_string(),
    };
    let mut actions = Vec::new();
    for fetch in &plan.fetch {
        let (kind, reason) = match fetch.why {
            Why::Add => ("add", "not in DEST"),
            Why::Update | Why::Repair => ("update", "the object changed"),
        };
        actions.push(action(kind, fetch.path(), fetch.path(), reason));
    }
    for path in &plan.make_directories {
        let key = format!("{path}/");
        actions.push(action(
            "add",
            &key,
            &key,
            "a key ending in '/' is a directory",
        ));
    }
    for gone in &decision.go {
        let reason = if gone.content.is_some() {
            "no longer in S3"
        } else {
            "not in S3, and --delete is all"
        };
        actions.push(action("delete", &gone.path, &gone.path, reason));
    }
    for path in &plan.drop_directories {
        let key = format!("{path}/");
        actions.push(action("delete", &key, &key, "no longer in S3"));
    }
    if let Some(held) = &decision.held {
        for gone in &held.candidates {
            actions.push(action(
                "hold",
                &gone.path,
                &gone.path,
                &format!("delete held, ID {}: {}", held.id, held.why),
            ));
        }
    }
    for rejected in &plan.rejected {
        let known = listing
            .objects
            .iter()
            .any(|object| *object.key == *rejected.key);
        let path = if known {
            rejected.key.clone()
        } else {
            String::new()
        };
        actions.push(action("reject", &rejected.key, &path, &rejected.reason));
    }
    actions
}

fn plan_text(actions: &[Action], decision: &gate::Decision, source: &str) -> String {
    let mut text = String::new();
    for action in actions {
        let sign = match action.action {
            "add" => '+',
            "update" => '~',
            "delete" => '-',
            "hold" => '!',
            _ => 'x',
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{sign} {}  ({})",
            printable(&action.key),
            action.reason
        );
    }
    let count = |name: &str| {
        actions
            .iter()
            .filter(|action| action.action == name)
            .count()
    };
    let _ = writeln!(
        text,
        "{} to add, {} to update, {} to delete, {} held, {} rejected",
        count("add"),
        count("update"),
        count("delete"),
        count("hold"),
        count("reject")
    );
    if let Some(held) = &decision.held {
        let _ = writeln!(
            text,
            "release the held deletes with: s3sync approve {} {}",
            source.trim_end_matches('/'),
            held.id
        );
    }
    text
}

/// One difference that `verify` found.
#[derive(Debug, Serialize)]
struct Difference {
    key: String,
    path: String,
    state: &'static str,
    reason: String,
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
                printable(&difference.key),
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
    let (size, sha256, md5) = match hashed {
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

fn hash(dest: &Dest, path: &str) -> std::io::Result<(u64, Hash, String)> {
    let (mut sha256, mut md5) = (Sha256::new(), md5::Md5::new());
    let size = dest::read_all(dest.open_file(path)?, |bytes| {
        sha256.update(bytes);
        md5.update(bytes);
    })?;
    Ok((
        size,
        sha256.finalize().into(),
        crate::revision::hex(&md5.finalize()),
    ))
}

/// The revision that a local directory would have.
pub fn digest(settings: &DigestOf) -> Result<Answer, Ending> {
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let directory = &settings.directory;
    let fail = |error: std::io::Error, path: &Path| {
        Ending::new(
            Exit::Source,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    let (files, odd) = local::walk(directory, &filter, Some(dest::STATE), true)
        .map_err(|error| fail(error, directory))?;
    if let Some(first) = odd.first() {
        return Err(Ending::new(
            Exit::Source,
            format!(
                "{first} cannot be part of a digest: its name is no UTF-8 or it cannot be read"
            ),
        ));
    }
    let mut hashes = Vec::with_capacity(files.len());
    for file in files.iter().filter(|file| file.regular) {
        let path = directory.join(&*file.path);
        let mut digest = Sha256::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| dest::read_all(file, |bytes| digest.update(bytes)));
        read.map_err(|error| fail(error, &path))?;
        hashes.push((&*file.path, Hash::from(digest.finalize())));
    }
    let revision = Revision::of(hashes.iter().map(|(path, hash)| (*path, hash)));
    let text = if settings::is_json(&settings.output) {
        serde_json::json!({ "revision": revision.to_string(), "files": hashes.len() }).to_string()
            + "\n"
    } else {
        format!("{revision}\n")
    };
    Ok(Answer {
        text,
        exit: Exit::Done,
    })
}

/// Releases a held set of deletes.
pub async fn approve(settings: &settings::Approve, source: &Source) -> Result<Answer, Ending> {
    source.approve(&settings.id).await.map_err(Failure::from)?;
    let text = format!(
        "approved {} for {}; the next listing releases it, for 24 h\n",
        settings.id, settings.source
    );
    Ok(Answer {
        text,
        exit: Exit::Done,
    })
}
