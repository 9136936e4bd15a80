//! The head of a schema, from the migrations that a package brings, without starting Python.
//!
//! Each file below `migrations/versions` names its `revision` and the `down_revision` that it follows.
//! The head is the one revision that no other follows. Airflow also keeps a map from releases to heads
//! (`_REVISION_HEADS_MAP`); where the two disagree, neither is believed.

use super::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The revisions of a schema that a package knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisions {
    head: String,
    /// The release that brought each, where its file says so.
    releases: BTreeMap<String, Option<Version>>,
}

/// What one file of migrations says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Migration {
    revision: String,
    follows: Vec<String>,
    release: Option<Version>,
}

impl Revisions {
    /// Reads the migrations in `directory`, and holds their head against `map`, a Python source with a
    /// `_REVISION_HEADS_MAP`: its newest entry at or below `version`.
    ///
    /// # Errors
    /// One line: a file that can't be read or understood, no head or several, or two answers.
    pub fn read(directory: &Path, map: &Path, version: Version) -> Result<Self, String> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |error| format!("{} cannot be read: {error}", path.display())
        };
        let mut migrations = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.path();
            let is_python = path.extension().is_some_and(|extension| extension == "py");
            if !is_python || path.file_name().is_some_and(|name| name == "__init__.py") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            let migration =
                migration(&text).ok_or_else(|| format!("{} names no revision", path.display()))?;
            migrations.push(migration);
        }
        let revisions = Self::of(migrations)
            .map_err(|why| format!("the migrations in {}: {why}", directory.display()))?;
        let text = fs::read_to_string(map).map_err(unreadable(map))?;
        revisions
            .agrees_with(&heads(&text), version)
            .map_err(|why| format!("{}: {why}", map.display()))?;
        Ok(revisions)
    }

    fn of(migrations: Vec<Migration>) -> Result<Self, String> {
        let mut releases = BTreeMap::new();
        let mut followed = BTreeSet::new();
        for migration in migrations {
            followed.extend(migration.follows);
            if releases.contains_key(&migration.revision) {
                return Err(format!("revision {} is there twice", migration.revision));
            }
            releases.insert(migration.revision, migration.release);
        }
        if let Some(missing) = followed
            .iter()
            .find(|revision| !releases.contains_key(*revision))
        {
            return Err(format!("revision {missing} is followed and not there"));
        }
        let mut heads = releases
            .keys()
            .filter(|revision| !followed.contains(*revision));
        match (heads.next().cloned(), heads.next()) {
            (Some(head), None) => Ok(Self { head, releases }),
            (Some(one), Some(other)) => Err(format!("{one} and {other} are both heads")),
            (None, _) => Err("there is no head".to_owned()),
        }
    }

    fn agrees_with(&self, map: &BTreeMap<Version, String>, version: Version) -> Result<(), String> {
        match map.range(..=version).next_back() {
            Some((_, head)) if *head == self.head => Ok(()),
            Some((release, head)) => Err(format!(
                "the head is {head} since {release}, and {} by the migrations",
                self.head
            )),
            None => Err(format!("no head is named for {version}")),
        }
    }

    /// The revision that a database has once it is up to date.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Whether this is one of the revisions, the head too.
    pub fn knows(&self, revision: &str) -> bool {
        self.releases.contains_key(revision)
    }

    /// The release that brought a revision, where it is known.
    pub fn release(&self, revision: &str) -> Option<Version> {
        *self.releases.get(revision)?
    }
}

fn migration(text: &str) -> Option<Migration> {
    let release = assigned(text, "airflow_version").and_then(|value| strings(value).pop());
    Some(Migration {
        revision: strings(assigned(text, "revision")?).pop()?,
        follows: strings(assigned(text, "down_revision")?),
        release: release.and_then(|release| release.parse().ok()),
    })
}

/// What follows `name =` at the beginning of a line, annotated or not: to the end of the line, or of
/// the parentheses or braces that open there.
fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let tail = line.strip_prefix(name).map(str::trim_start);
        if tail.is_some_and(|tail| tail.starts_with('=') || tail.starts_with(':')) {
            // An annotation has no `=` of its own here.
            let start = line.find('=')? + 1;
            let value = rest[start..].trim_start_matches([' ', '\t']);
            let end = match value.as_bytes().first()? {
                b'(' => value.find(')')? + 1,
                b'{' => value.find('}')? + 1,
                _ => value.find('\n').unwrap_or(value.len()),
            };
            return Some(&value[..end]);
        }
        rest = after;
    }
    None
}

/// The string literals in a piece of Python, in order; comments are left out.
fn strings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in source.lines() {
        let mut rest = line;
        while let Some(start) = rest.find(['"', '\'', '#']) {
            if rest.as_bytes()[start] == b'#' {
                break;
            }
            let quote = char::from(rest.as_bytes()[start]);
            let after = &rest[start + 1..];
            let Some(end) = after.find(quote) else { break };
            found.push(after[..end].to_owned());
            rest = &after[end + 1..];
        }
    }
    found
}

/// `_REVISION_HEADS_MAP`: the head since each release that brought a new one.
fn heads(text: &str) -> BTreeMap<Version, String> {
    let literals = strings(assigned(text, "_REVISION_HEADS_MAP").unwrap_or_default());
    let pairs = literals.chunks_exact(2);
    pairs
        .filter_map(|pair| Some((pair[0].parse().ok()?, pair[1].clone())))
        .collect()
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
