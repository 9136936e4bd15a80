//! What a pass has to do, decided from a listing and the manifest alone.
//!
//! Pure and cheap: it runs at every poll, over every key, and for an unchanged prefix it allocates
//! little more than a few empty lists.

use crate::filter::Filter;
use crate::gate::Candidate;
use crate::key::{self, Name, Reason};
use crate::manifest::{Entry, Manifest};
use crate::source::{Listing, Object};
use std::collections::{BTreeSet, HashSet};
use std::iter::Peekable;

/// Why an object is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The path is not managed yet.
    Add,
    /// The object changed.
    Update,
    /// The local file drifted from what was published.
    Repair,
}

/// An object to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What to read; its key is the path below DEST.
    pub object: Object,
    /// Why.
    pub why: Why,
}

impl Fetch {
    /// Where the file goes.
    pub fn path(&self) -> &str {
        &self.object.key
    }
}

/// A key that is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Rejected {
    /// The key below the prefix, readable.
    pub key: String,
    /// Why, and what to do.
    pub reason: String,
}

/// A pass before it begins. The lists are sorted by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Objects whose bytes are needed.
    pub fetch: Vec<Fetch>,
    /// Objects written again with the bytes that the file has, by their MD5 ETag or by the release's
    /// SHA-256: only the manifest learns of it.
    pub confirm: Vec<Object>,
    /// Managed files that the source no longer has.
    pub missing: Vec<Candidate>,
    /// Managed files that a pattern now excludes: left where they are, managed no more.
    pub forget: Vec<Box<str>>,
    /// Directories that a key asks for.
    pub make_directories: Vec<Box<str>>,
    /// Directories that no key asks for any more.
    pub drop_directories: Vec<Box<str>>,
    /// Keys that are not kept.
    pub rejected: Vec<Rejected>,
    /// Objects in the listing.
    pub listed: u64,
    /// Files that the listing wants.
    pub wanted: u64,
    /// Files that are as the listing wants them.
    pub unchanged: u64,
}

impl Plan {
    /// Whether DEST is as the listing wants it.
    pub fn is_empty(&self) -> bool {
        self.fetch.is_empty()
            && self.confirm.is_empty()
            && self.missing.is_empty()
            && self.forget.is_empty()
            && self.make_directories.is_empty()
            && self.drop_directories.is_empty()
    }
}

/// Compares the listing with the manifest.
///
/// | in the listing | in the manifest | |
/// |---|---|---|
/// | yes | no | fetch: add; rejected when archived |
/// | yes | any, among `suspects` | fetch: repair |
/// | yes | same ETag, size, LastModified | unchanged |
/// | yes | same ETag, an MD5, and size | confirm |
/// | yes, of a release | same SHA-256 and size | confirm |
/// | yes | otherwise | fetch: update; rejected when archived, the file stays |
/// | as a file and as a directory of other keys | | the directory wins: one stray object must not cost a tree |
/// | no | yes, excluded now | forget |
/// | no | yes | missing |
///
/// `state` is the state directory's path below DEST, if it lies there.
pub fn plan(
    manifest: &Manifest,
    listing: &Listing,
    filter: &Filter,
    state: Option<&str>,
    suspects: &BTreeSet<Box<str>>,
) -> Plan {
    let mut plan = Plan {
        listed: (listing.objects.len() + listing.undecodable.len()) as u64,
        ..Plan::default()
    };
    let undecodable = listing.undecodable.iter();
    plan.rejected = undecodable
        .map(|(key, reason)| Rejected {
            key: key.clone(),
            reason: reason.clone(),
        })
        .collect();
    let wanted = Wanted::of(listing, filter, state, &mut plan);
    plan.compare_files(manifest, &wanted, suspects);
    plan.compare_directories(manifest, &wanted);
    let mut matcher = filter.matcher();
    plan.missing.retain(|candidate| {
        let admitted = matcher.admits(&candidate.path, false);
        if !admitted {
            plan.forget.push(candidate.path.clone());
        }
        admitted
    });
    plan.rejected.sort();
    plan
}

/// The admitted keys of a listing, by what they name.
struct Wanted<'a> {
    files: Vec<(&'a str, &'a Object)>,
    directories: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(listing: &'a Listing, filter: &Filter, state: Option<&str>, plan: &mut Plan) -> Self {
        let mut wanted = Wanted {
            files: Vec::with_capacity(listing.objects.len()),
            directories: Vec::new(),
        };
        let mut matcher = filter.matcher();
        for object in &listing.objects {
            match key::name(&object.key, state) {
                Ok(Name::File(path)) if matcher.admits(path, false) => {
                    wanted.files.push((path, object))
                }
                Ok(Name::Directory(path)) if matcher.admits(path, true) => {
                    wanted.directories.push(path)
                }
                Ok(_) => {}
                Err(reason) => plan.reject(&object.key, reason),
            }
        }
        wanted.settle_conflicts(plan);
        wanted
    }

    /// A path is a file or a directory: files that other files make a directory are rejected, and
    /// then directories that would need a file's place.
    fn settle_conflicts(&mut self, plan: &mut Plan) {
        let mut parents: HashSet<&str> = HashSet::new();
        let mut last = None;
        for (path, _) in &self.files {
            let parent = key::parent(path);
            if parent == last {
                continue;
            }
            last = parent;
            for directory in parent.into_iter().chain(key::ancestors(path).skip(1)) {
                if !parents.insert(directory) {
                    break;
                }
            }
        }
        self.files.retain(|(path, _)| {
            let kept = !parents.contains(path);
            if !kept {
                plan.reject(path, Reason::AlsoDirectory);
            }
            kept
        });
        if self.directories.is_empty() {
            return;
        }
        let files: HashSet<&str> = self.files.iter().map(|(path, _)| *path).collect();
        self.directories.retain(|path| {
            let mut places = std::iter::once(*path).chain(key::ancestors(path));
            let kept = !places.any(|place| files.contains(place));
            if !kept {
                plan.reject(&format!("{path}/"), Reason::AlsoFile);
            }
            kept
        });
    }
}

impl Plan {
    fn reject(&mut self, key: &str, reason: Reason) {
        self.rejected.push(Rejected {
            key: key.to_string(),
            reason: reason.to_string(),
        });
    }

    fn compare_files(
        &mut self,
        manifest: &Manifest,
        wanted: &Wanted<'_>,
        suspects: &BTreeSet<Box<str>>,
    ) {
        self.wanted = wanted.files.len() as u64;
        let mut managed = manifest.files.iter().peekable();
        for (path, object) in &wanted.files {
            self.missing.extend(take_below(&mut managed, path));
            let entry = managed
                .next_if(|(known, _)| &***known == *path)
                .map(|(_, entry)| entry);
            self.compare_file(path, object, entry, suspects);
        }
        self.missing
            .extend(managed.map(|(path, entry)| candidate(path, entry)));
    }

    fn compare_file(
        &mut self,
        path: &str,
        object: &Object,
        entry: Option<&Entry>,
        suspects: &BTreeSet<Box<str>>,
    ) {
        let same_bytes =
            entry.is_some_and(|entry| entry.etag == object.etag && entry.size == object.size);
        let same = same_bytes && entry.is_some_and(|entry| entry.modified == object.modified);
        let suspect = !suspects.is_empty() && suspects.contains(path);
        let proved = || {
            let Some(entry) = entry else { return false };
            same_bytes && entry.md5
                || entry.size == object.size && object.content() == Some(entry.sha256)
        };
        if same && !suspect {
            self.unchanged += 1;
        } else if object.archived {
            self.reject(path, Reason::Archived);
        } else if !suspect && proved() {
            self.confirm.push(object.clone());
            self.unchanged += 1;
        } else {
            let why = match entry {
                None => Why::Add,
                // A suspect is looked at, also where the object changed as well: perhaps to the bytes
                // that the manifest has, and the file does not.
                Some(_) if same || suspect => Why::Repair,
                Some(_) => Why::Update,
            };
            self.fetch.push(Fetch {
                object: object.clone(),
                why,
            });
        }
    }

    fn compare_directories(&mut self, manifest: &Manifest, wanted: &Wanted<'_>) {
        let known = &manifest.directories;
        if known.is_empty() && wanted.directories.is_empty() {
            return;
        }
        let wanted: BTreeSet<&str> = wanted.directories.iter().copied().collect();
        let new = wanted.iter().filter(|path| !known.contains(**path));
        self.make_directories = new.map(|path| Box::from(*path)).collect();
        let gone = known.iter().filter(|path| !wanted.contains(&***path));
        self.drop_directories = gone.cloned().collect();
    }
}

type Managed<'a> = Peekable<std::collections::btree_map::Iter<'a, Box<str>, Entry>>;

fn take_below<'a>(managed: &mut Managed<'a>, path: &str) -> impl Iterator<Item = Candidate> {
    std::iter::from_fn(move || {
        let (path, entry) = managed.next_if(|(known, _)| &***known < path)?;
        Some(candidate(path, entry))
    })
}

fn candidate(path: &str, entry: &Entry) -> Candidate {
    Candidate {
        path: path.into(),
        content: Some(entry.sha256),
    }
}

#[cfg(test)]
mod tests;
