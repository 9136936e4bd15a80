//! One line of the journal: the words on disk, apart from what they mean.
//!
//! The names are short because there is one line a file: 20,000 files are about 5 MB.

use super::{Change, Complete, Entry, Local};
use crate::gate::History;
use crate::revision::{Revision, hex, unhex};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Everything a line can say. A line says one thing; which, its first field tells.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Line<'a> {
    /// The head of a journal: the format's number and the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s3sync: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub(super) source: Option<Cow<'a, str>>,
    /// A change that is about to be made, and counts once its `commit` has been written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    file: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    etag: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    sha256: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ctime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    removed: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    directory: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    removed_directory: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<History>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deep_scrubbed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    generation: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    /// The first line of a journal.
    pub(super) fn head(source: &'a str) -> Self {
        Line {
            s3sync: Some(super::journal::FORMAT),
            source: Some(source.into()),
            ..Line::default()
        }
    }

    pub(super) fn commit(number: u64) -> Self {
        Line {
            commit: Some(number),
            ..Line::default()
        }
    }

    /// A file and its object.
    pub(super) fn put(path: &'a str, entry: &'a Entry, intent: Option<u64>) -> Self {
        Line {
            intent,
            file: Some(path.into()),
            etag: Some((&*entry.etag).into()),
            size: Some(entry.size),
            modified: Some(entry.modified),
            sha256: Some(hex(&entry.sha256).into()),
            md5: entry.md5.then_some(true),
            mtime: Some(entry.local.mtime),
            inode: Some(entry.local.inode),
            ctime: (entry.local.ctime != 0).then_some(entry.local.ctime),
            ..Line::default()
        }
    }

    pub(super) fn of(change: &'a Change, intent: Option<u64>) -> Self {
        let mut line = Line {
            intent,
            ..Line::default()
        };
        match change {
            Change::Put(path, entry) => line = Line::put(path, entry, intent),
            Change::Remove(path) => line.removed = Some((&**path).into()),
            Change::MakeDirectory(path) => line.directory = Some((&**path).into()),
            Change::RemoveDirectory(path) => line.removed_directory = Some((&**path).into()),
            Change::History(history) => line.history = Some(history.clone()),
            Change::Complete(complete) => {
                line.complete = Some(complete.at);
                line.files = Some(complete.files);
            }
            Change::DeepScrubbed(at) => line.deep_scrubbed = Some(*at),
            Change::Generation(id) => line.generation = Some(id.to_string().into()),
        }
        line
    }

    /// The change that the line holds, or `None` when it holds nothing known.
    pub(super) fn change(self) -> Option<Change> {
        if let Some(path) = self.file {
            let entry = Entry {
                etag: self.etag?.into(),
                size: self.size?,
                modified: self.modified?,
                sha256: unhex(&self.sha256?)?,
                md5: self.md5.unwrap_or(false),
                local: Local {
                    mtime: self.mtime?,
                    inode: self.inode?,
                    ctime: self.ctime.unwrap_or(0),
                },
            };
            return Some(Change::Put(path.into(), entry));
        }
        if let Some(path) = self.removed {
            return Some(Change::Remove(path.into()));
        }
        if let Some(path) = self.directory {
            return Some(Change::MakeDirectory(path.into()));
        }
        if let Some(path) = self.removed_directory {
            return Some(Change::RemoveDirectory(path.into()));
        }
        if let Some(history) = self.history {
            return Some(Change::History(history));
        }
        if let (Some(at), Some(files)) = (self.complete, self.files) {
            return Some(Change::Complete(Complete { at, files }));
        }
        if let Some(id) = self.generation {
            return Revision::parse(&id).map(Change::Generation);
        }
        self.deep_scrubbed.map(Change::DeepScrubbed)
    }
}
