//! Which deletes may go: the guard between a mistake in S3 and the directory that Airflow runs from.
//!
//! Pure: what is to be deleted, what arrived, what was approved, the memory of the last hour and the
//! time come in; what may go and what is held comes out.

use crate::revision::{Hash, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// How long deletes add up, and how far back the largest tree counts: milliseconds.
pub const WINDOW: i64 = 3_600_000;
/// How long an approval counts: milliseconds.
pub const APPROVAL: i64 = 24 * 3_600_000;
/// So many deletes in [`WINDOW`] are always free: half of a repository of four files is no accident.
pub const FREE: u64 = 3;

/// Which files a pass may remove at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What this tool wrote or adopted.
    Managed,
    /// Everything that S3 does not have and no pattern excludes.
    All,
    /// Nothing.
    Never,
}

/// `--max-delete`: the most deletes in an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many files.
    Count(u64),
    /// This percentage of the most files managed within the last hour, rounded down.
    Share(f64),
}

impl Limit {
    fn files(self, most: u64) -> u64 {
        let limit = match self {
            Limit::Count(count) => count,
            // Both are far below 2^52, where a float still counts single files.
            Limit::Share(percent) => (most as f64 * percent / 100.0).floor() as u64,
        };
        limit.max(FREE)
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal =
            || format!("{text:?} is neither a count nor a share: give one like 20 or 50%");
        match text.strip_suffix('%') {
            Some(share) => match share.trim().parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Limit::Share(percent)),
                _ => Err(refusal()),
            },
            None => text.parse().map(Limit::Count).map_err(|_| refusal()),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Count(count) => write!(formatter, "{count}"),
            Limit::Share(percent) => write!(formatter, "{percent}%"),
        }
    }
}

/// What the gate must remember of the last hour, across passes and restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// (when, files managed from then on)
    managed: Vec<(i64, u64)>,
    /// (when, deletes that counted)
    deleted: Vec<(i64, u64)>,
}

impl History {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.managed.is_empty() && self.deleted.is_empty()
    }

    /// Notes the end of a pass: `managed` files from now on, `deleted` of them gone. Returns whether
    /// anything is new.
    pub fn note(&mut self, now: i64, managed: u64, deleted: u64) -> bool {
        let before = self.clone();
        if self.managed.last().is_none_or(|&(_, last)| last != managed) {
            self.managed.push((now, managed));
        }
        if deleted > 0 {
            self.deleted.push((now, deleted));
        }
        // The newest count from before the window is still in force when the window begins.
        let in_force = self.managed.iter().rposition(|&(at, _)| at <= now - WINDOW);
        self.managed.drain(..in_force.unwrap_or(0));
        self.deleted.retain(|&(at, _)| at > now - WINDOW);
        *self != before
    }

    fn most_managed(&self, now: i64) -> u64 {
        let in_force = self.managed.iter().rposition(|&(at, _)| at <= now - WINDOW);
        let within = &self.managed[in_force.unwrap_or(0)..];
        within.iter().map(|&(_, count)| count).max().unwrap_or(0)
    }

    fn spent(&self, now: i64) -> u64 {
        let within = self.deleted.iter().filter(|&&(at, _)| at > now - WINDOW);
        within.map(|&(_, count)| count).sum()
    }
}

/// A file that the source no longer has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Below DEST.
    pub path: Box<str>,
    /// Its bytes; `None` for a file that is not managed (`--delete all`).
    pub content: Option<Hash>,
}

/// Everything a decision depends on.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What might be deleted.
    pub candidates: &'a [Candidate],
    /// The bytes that appear under another path in the same pass.
    pub arrivals: &'a [Hash],
    /// Files that the complete listing wants.
    pub wanted: u64,
    /// Files managed now.
    pub managed: u64,
    /// IDs approved, with the time each was, milliseconds since 1970.
    pub approvals: &'a [(String, i64)],
    /// The source's canonical name: an ID of one source means nothing to another.
    pub source: &'a str,
    /// Milliseconds since 1970, of S3's clock where it is known.
    pub now: i64,
}

/// The options that matter here.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// `--delete`
    pub mode: Mode,
    /// `--max-delete`
    pub limit: Limit,
    /// `--allow-empty`
    pub allow_empty: bool,
}

/// What may go and what may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// These are deleted.
    pub go: Vec<Candidate>,
    /// So many of them count against the hour; moves and approved ones do not.
    pub counted: u64,
    /// These are not, until somebody approves them.
    pub held: Option<Held>,
}

/// A set of deletes that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What `s3sync approve` takes.
    pub id: String,
    /// Why it waits.
    pub why: String,
    /// The files, sorted by path.
    pub candidates: Vec<Candidate>,
}

/// Decides a pass's deletes.
///
/// | deletes, moves apart | the listing wants no file | deletes of the hour within the limit | approved | |
/// |---|---|---|---|---|
/// | none | | | | go |
/// | some | yes, `--allow-empty` | | | go, counted |
/// | some | yes | | no | held |
/// | some | yes | | yes | go |
/// | some | no | yes | | go, counted |
/// | some | no | no | no | held |
/// | some | no | no | yes | go |
///
/// A move, a file whose bytes arrive under another path in the same pass, always goes; each arrival
/// excuses one delete, so that one empty file does not excuse a hundred.
pub fn decide(policy: Policy, history: &History, question: &Question<'_>) -> Decision {
    if policy.mode == Mode::Never {
        return Decision::default();
    }
    let (moves, rest) = split_moves(question);
    let count = rest.len() as u64;
    if count == 0 {
        return Decision {
            go: moves,
            ..Decision::default()
        };
    }
    let empty = question.wanted == 0;
    let most = history.most_managed(question.now).max(question.managed);
    let limit = policy.limit.files(most);
    let spent = history.spent(question.now);
    let within = if empty {
        policy.allow_empty
    } else {
        spent + count <= limit
    };
    if within {
        return Decision {
            go: all(moves, rest),
            counted: count,
            held: None,
        };
    }
    let id = identify(question.source, &rest);
    if approved(question, &id) {
        return Decision {
            go: all(moves, rest),
            counted: 0,
            held: None,
        };
    }
    let why = if empty {
        "the listing has no file left".to_string()
    } else {
        format!(
            "{count} deletes and {spent} within the last hour are more than {limit} ({} of {most} files)",
            policy.limit
        )
    };
    Decision {
        go: moves,
        counted: 0,
        held: Some(Held {
            id,
            why,
            candidates: rest,
        }),
    }
}

fn split_moves(question: &Question<'_>) -> (Vec<Candidate>, Vec<Candidate>) {
    let mut arrivals: HashMap<&Hash, u64> = HashMap::new();
    for hash in question.arrivals {
        *arrivals.entry(hash).or_default() += 1;
    }
    let mut candidates = question.candidates.to_vec();
    candidates.sort();
    candidates.into_iter().partition(|candidate| {
        let left = candidate
            .content
            .as_ref()
            .and_then(|hash| arrivals.get_mut(hash));
        left.is_some_and(|left| {
            let moved = *left > 0;
            *left = left.saturating_sub(1);
            moved
        })
    })
}

fn all(mut moves: Vec<Candidate>, rest: Vec<Candidate>) -> Vec<Candidate> {
    moves.extend(rest);
    moves.sort();
    moves
}

/// The ID of a set: a hash of the source, and of each path with the bytes it has, so that an
/// approval releases exactly what its giver saw.
fn identify(source: &str, candidates: &[Candidate]) -> String {
    let mut digest = Sha256::new();
    digest.update(source);
    for candidate in candidates {
        digest.update([0]);
        digest.update(&*candidate.path);
        digest.update([0]);
        digest.update(candidate.content.unwrap_or_default());
    }
    hex(&digest.finalize()[..8])
}

fn approved(question: &Question<'_>, id: &str) -> bool {
    let mut approvals = question.approvals.iter();
    approvals.any(|(approved, at)| approved == id && question.now - at < APPROVAL)
}

#[cfg(test)]
mod tests;
