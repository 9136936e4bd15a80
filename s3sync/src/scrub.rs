//! Looking at what lies in DEST, beside the passes: what drifted is named, and the next pass repairs it.
//!
//! A light scrub compares size, time and inode; a deep one reads every byte at a bounded rate. Both
//! work on a picture of the manifest, so passes go on meanwhile, and what a pass changed since is
//! recognised by its new inode and left alone.

use crate::dest::{self, Dest};
use crate::manifest::{Local, Manifest};
use crate::revision::Hash;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes a second that a deep scrub reads: 20,000 DAG files take minutes, and EFS credits are spared.
const RATE: u64 = 16 << 20;

/// A managed file as the manifest had it.
#[derive(Clone, Debug)]
pub struct Seen {
    path: Box<str>,
    size: u64,
    local: Local,
    /// For a deep scrub.
    sha256: Option<Hash>,
}

/// What a scrub is to look at.
pub fn picture(manifest: &Manifest, deep: bool) -> Vec<Seen> {
    let files = manifest.files.iter();
    files
        .map(|(path, entry)| Seen {
            path: path.clone(),
            size: entry.size,
            local: entry.local,
            sha256: deep.then_some(entry.sha256),
        })
        .collect()
}

/// What it found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Files that are not as they were published, with what the manifest had of them.
    pub drifted: Vec<(Box<str>, Local)>,
    /// Files whose time of change was not known and is now.
    pub learned: Vec<(Box<str>, Local)>,
    /// Files that could not be looked at.
    pub errors: Vec<String>,
    /// Whether it came to its end.
    pub complete: bool,
}

impl Findings {
    /// The files that are still as the manifest has them, and so really drifted; it learns the times
    /// that it did not know.
    pub fn suspects(self, manifest: &mut Manifest) -> BTreeSet<Box<str>> {
        for (path, local) in self.learned {
            if let Some(entry) = manifest
                .files
                .get_mut(&path)
                .filter(|entry| entry.local.matches(local))
            {
                entry.local = local;
            }
        }
        let drifted = self.drifted.into_iter();
        drifted
            .filter(|(path, local)| {
                manifest
                    .files
                    .get(path)
                    .is_some_and(|entry| entry.local == *local)
            })
            .map(|(path, _)| path)
            .collect()
    }
}

/// Looks at every file. Blocking; ends early once `stop` is set.
pub fn run(dest: &Dest, seen: &[Seen], stop: &Arc<AtomicBool>) -> Findings {
    let mut findings = Findings::default();
    let begun = Instant::now();
    let mut read = 0;
    for seen in seen {
        if stop.load(Ordering::Relaxed) {
            return findings;
        }
        match look(dest, seen, &mut read) {
            Ok(Look::Fine) => {}
            Ok(Look::Learned(ctime)) => findings.learned.push((
                seen.path.clone(),
                Local {
                    ctime,
                    ..seen.local
                },
            )),
            Ok(Look::Drifted) => findings.drifted.push((seen.path.clone(), seen.local)),
            Err(error) if dest::is_absent(&error) => {
                findings.drifted.push((seen.path.clone(), seen.local))
            }
            Err(error) => findings
                .errors
                .push(format!("{}: {}", seen.path, dest::cause(&error))),
        }
        pace(begun, read, stop);
    }
    findings.complete = true;
    findings
}

enum Look {
    Fine,
    Drifted,
    /// Fine, and this is the time that was not known.
    Learned(i64),
}

fn look(dest: &Dest, seen: &Seen, read: &mut u64) -> io::Result<Look> {
    let Some(found) = dest.find(&seen.path)? else {
        return Ok(Look::Drifted);
    };
    let now = Local {
        mtime: found.mtime,
        inode: found.inode,
        ctime: found.ctime,
    };
    if !found.kind.is_file() || found.size != seen.size || !seen.local.matches(now) {
        return Ok(Look::Drifted);
    }
    let fine = if seen.local.ctime == 0 && found.ctime != 0 {
        Look::Learned(found.ctime)
    } else {
        Look::Fine
    };
    let Some(expected) = seen.sha256 else {
        return Ok(fine);
    };
    let mut digest = Sha256::new();
    *read += dest::read_all(dest.open_file(&seen.path)?, |bytes| digest.update(bytes))?;
    Ok(if Hash::from(digest.finalize()) == expected {
        fine
    } else {
        Look::Drifted
    })
}

/// Waits until reading so much is within the rate.
fn pace(begun: Instant, read: u64, stop: &AtomicBool) {
    let due = Duration::from_secs_f64(read as f64 / RATE as f64);
    while begun.elapsed() < due && !stop.load(Ordering::Relaxed) {
        std::thread::sleep((due - begun.elapsed().min(due)).min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dest::Modes;
    use crate::manifest::Entry;
    use std::path::Path;

    fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, Dest, Manifest) {
        let directory = tempfile::tempdir().unwrap();
        let dest = Dest::open(
            directory.path(),
            None,
            Modes {
                file: 0o664,
                directory: 0o775,
            },
        )
        .unwrap();
        let mut manifest = Manifest::default();
        for (path, text) in files {
            std::fs::write(directory.path().join(path), text).unwrap();
            let found = dest.find(path).unwrap().unwrap();
            let entry = Entry {
                etag: "".into(),
                size: found.size,
                modified: 0,
                sha256: Sha256::digest(text).into(),
                md5: false,
                local: Local {
                    mtime: found.mtime,
                    inode: found.inode,
                    ctime: found.ctime,
                },
            };
            manifest.files.insert(Box::from(*path), entry);
        }
        (directory, dest, manifest)
    }

    fn drifted(dest: &Dest, manifest: &mut Manifest, deep: bool) -> Vec<String> {
        let findings = run(dest, &picture(manifest, deep), &Arc::default());
        assert!(findings.complete);
        findings
            .suspects(manifest)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn damage_keeping_the_time(path: &Path, text: &str) {
        let before = path.metadata().unwrap().modified().unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(before)
            .unwrap();
    }

    #[test]
    fn a_light_scrub_sees_what_changed_even_with_the_old_mtime() {
        let (directory, dest, mut manifest) =
            world(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]);
        std::fs::write(directory.path().join("a"), "longer").unwrap();
        std::fs::remove_file(directory.path().join("b")).unwrap();
        std::fs::remove_file(directory.path().join("c")).unwrap();
        std::fs::create_dir(directory.path().join("c")).unwrap();
        damage_keeping_the_time(&directory.path().join("d"), "X");
        assert_eq!(drifted(&dest, &mut manifest, false), ["a", "b", "c", "d"]);
        // What was published by an earlier process has no known time of change.
        manifest
            .files
            .values_mut()
            .for_each(|entry| entry.local.ctime = 0);
        assert_eq!(drifted(&dest, &mut manifest, true), ["a", "b", "c", "d"]);
        assert_eq!(drifted(&dest, &mut manifest, false), ["a", "b", "c"]);
        damage_keeping_the_time(&directory.path().join("e"), "Y");
        assert_eq!(
            drifted(&dest, &mut manifest, false),
            ["a", "b", "c", "e"],
            "the scrub before learned its time"
        );
    }

    #[test]
    fn what_a_pass_changed_meanwhile_has_not_drifted() {
        let (directory, dest, mut manifest) = world(&[("a", "1")]);
        let picture = picture(&manifest, false);
        std::fs::write(directory.path().join("a"), "new version").unwrap();
        let findings = run(&dest, &picture, &Arc::default());
        manifest.files.get_mut("a").unwrap().local.mtime += 1;
        assert!(findings.suspects(&mut manifest).is_empty());
    }
}
