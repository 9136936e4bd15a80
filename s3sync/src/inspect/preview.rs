//! `s3sync plan`: what a pass would do.

use super::{Answer, Seen, candidates, see};
use crate::gate::{self, Candidate, Question};
use crate::pass::now;
use crate::plan::{Plan, Why};
use crate::report::printable;
use crate::revision::Hash;
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::Listing;
use agent::exit::Exit;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;

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

fn decide(seen: &Seen, settings: &settings::Plan, candidates: &[Candidate]) -> gate::Decision {
    let approvals = seen
        .listing
        .approvals
        .iter()
        .map(|approval| (approval.id.clone(), approval.modified));
    // Without fetching, a move shows by the ETag: the same MD5 under another path.
    let gone = seen
        .plan
        .missing
        .iter()
        .filter_map(|gone| seen.manifest.files.get(&gone.path));
    let by_etag: HashMap<&str, Hash> = gone
        .filter(|entry| entry.md5)
        .map(|entry| (&*entry.etag, entry.sha256))
        .collect();
    let fetched = seen.plan.fetch.iter();
    let arrivals: Vec<Hash> = fetched
        .filter_map(|fetch| {
            let object = &fetch.object;
            object
                .content()
                .or_else(|| by_etag.get(&*object.etag).copied())
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
            .binary_search_by(|object| (*object.key).cmp(&*rejected.key))
            .is_ok();
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
