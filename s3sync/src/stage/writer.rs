//! One object on its way into staging, hashed as it comes.

use super::{Stage, Staged, part};
use crate::dest::Found;
use crate::revision::hex;
use crate::source::Sink;
use agent::status::Status;
use md5::Md5;
use rustix::fs::Mode;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// The end of a zip's directory: Python's `is_zipfile` looks for nothing else.
const ZIP_END: &[u8] = b"PK\x05\x06";

/// Writes one object to staging, hashing on the way.
#[derive(Debug)]
pub struct StageWriter {
    stage: Arc<Stage>,
    number: u64,
    /// `None` once it is finished.
    file: Option<File>,
    size: u64,
    sha256: Sha256,
    md5: Option<(Md5, String)>,
    zip: ZipSeeker,
    status: Status,
    done: bool,
}

impl StageWriter {
    /// Of an empty `file`, the one of this number. The bytes' MD5 is compared with `etag` where that is
    /// given.
    pub(super) fn new(
        stage: &Arc<Stage>,
        number: u64,
        file: File,
        etag: Option<&str>,
        status: &Status,
    ) -> Self {
        StageWriter {
            stage: Arc::clone(stage),
            number,
            file: Some(file),
            size: 0,
            sha256: Sha256::new(),
            md5: etag.map(|etag| (Md5::new(), etag.to_string())),
            zip: ZipSeeker::default(),
            status: status.clone(),
            done: false,
        }
    }
}

impl Sink for StageWriter {
    type Done = Staged;

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(finished)?;
        {
            let _activity = self.status.activity("DEST", "write");
            file.write_all(bytes)?;
        }
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
        self.zip.look_at(bytes);
        Ok(())
    }

    fn finish(mut self) -> io::Result<Staged> {
        let file = self.file.take().ok_or_else(finished)?;
        let _activity = self.status.activity("DEST", "close");
        if self.zip.found {
            rustix::fs::fchmod(&file, Mode::empty())?;
        }
        if self.stage.durable {
            file.sync_data()?;
        }
        let inode = Found::at(&file)?.inode;
        // NFS says on close that a write found no room; a dropped File would swallow it.
        nix::unistd::close(file)?;
        self.done = true;
        Ok(Staged {
            number: self.number,
            size: self.size,
            sha256: std::mem::take(&mut self.sha256).finalize().into(),
            md5: self
                .md5
                .take()
                .is_some_and(|(md5, etag)| hex(&md5.finalize()) == etag),
            inode,
            locked: self.zip.found,
        })
    }
}

impl Drop for StageWriter {
    fn drop(&mut self) {
        // A finished writer has given its file away.
        if !self.done {
            drop(self.file.take());
            // What is left behind is swept when the next reign begins.
            let _ = self.stage.remove(&part(self.number));
        }
    }
}

fn finished() -> io::Error {
    io::Error::other("a staged file is finished already")
}

/// Looks for the end of a zip's directory in bytes that come in pieces.
#[derive(Debug, Default)]
struct ZipSeeker {
    found: bool,
    tail: Vec<u8>,
}

impl ZipSeeker {
    fn look_at(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        let keep = ZIP_END.len() - 1;
        self.tail.extend_from_slice(&bytes[..bytes.len().min(keep)]);
        self.found = contains(&self.tail, ZIP_END) || contains(bytes, ZIP_END);
        if bytes.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(keep));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
