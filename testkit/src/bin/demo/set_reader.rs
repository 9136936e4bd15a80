//! Reads a set of files over and over while it is replaced, as Airflow's parser might, and measures
//! for how long a reader could have seen a mixture of old and new.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;

/// One file of the set.
pub(crate) struct Member {
    pub(crate) path: PathBuf,
    pub(crate) old: Bytes,
    pub(crate) new: Bytes,
}

/// What was seen until all were new.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How often the whole set was read.
    pub(crate) looks: u64,
    /// In how many of them some files were old and some new.
    pub(crate) mixed: u64,
    /// From the first file seen new to the last.
    pub(crate) spread: Duration,
}

/// The reading thread; it ends when all files are new, or when this is dropped.
pub(crate) struct SetReader {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<Seen>>>,
}

impl SetReader {
    pub(crate) fn start(members: Vec<Member>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(AtomicU64::new(0));
        let (asked, counter) = (Arc::clone(&stop), Arc::clone(&looks));
        let thread = std::thread::spawn(move || watch(&members, &asked, &counter));
        SetReader {
            stop,
            looks,
            thread: Some(thread),
        }
    }

    /// How often it has read the set so far.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Whether all files have been seen new, or something else was seen.
    pub(crate) fn done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it saw.
    ///
    /// # Errors
    /// When a file was gone, or held neither the old nor the new bytes.
    pub(crate) fn finish(mut self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(seen)) => seen,
            _ => Err(anyhow!("the reader of the set did not end by itself")),
        }
    }
}

impl Drop for SetReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its result no longer matters: the story has failed elsewhere.
            let _ = thread.join();
        }
    }
}

fn watch(members: &[Member], stop: &AtomicBool, looks: &AtomicU64) -> anyhow::Result<Seen> {
    let mut first_new: Vec<Option<Instant>> = vec![None; members.len()];
    let mut mixed = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut fresh = 0;
        for (member, first) in members.iter().zip(&mut first_new) {
            let bytes = std::fs::read(&member.path)
                .with_context(|| format!("{} cannot be read", member.path.display()))?;
            if bytes == member.new {
                fresh += 1;
                first.get_or_insert_with(Instant::now);
            } else if bytes != member.old {
                return Err(anyhow!(
                    "{} holds neither the old nor the new bytes",
                    member.path.display()
                ));
            } else if first.is_some() {
                return Err(anyhow!(
                    "{} went back to the old bytes",
                    member.path.display()
                ));
            }
        }
        looks.fetch_add(1, Ordering::Relaxed);
        if fresh == members.len() {
            break;
        }
        if fresh > 0 {
            mixed += 1;
        }
    }
    let times = || first_new.iter().flatten();
    let spread = match (times().min(), times().max()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        _ => Duration::ZERO,
    };
    Ok(Seen {
        looks: looks.load(Ordering::Relaxed),
        mixed,
        spread,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(root: &std::path::Path, contents: [&str; 2]) -> Vec<Member> {
        [("a", contents[0]), ("b", contents[1])]
            .map(|(name, content)| {
                let path = root.join(name);
                std::fs::write(&path, content).unwrap();
                Member {
                    path,
                    old: Bytes::from_static(b"old"),
                    new: Bytes::from_static(b"new"),
                }
            })
            .into()
    }

    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < deadline, "not within 10 s: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_set_replaced_file_by_file_is_seen_mixed() {
        let root = tempfile::tempdir().unwrap();
        let reader = SetReader::start(set(root.path(), ["new", "old"]));
        wait_until("a look", || reader.looks() > 0);
        std::fs::write(root.path().join("staged"), "new").unwrap();
        std::fs::rename(root.path().join("staged"), root.path().join("b")).unwrap();
        wait_until("all new", || reader.done());
        let seen = reader.finish().unwrap();
        assert!(seen.mixed >= 1 && seen.mixed < seen.looks, "{seen:?}");
        assert!(seen.spread > Duration::ZERO, "{seen:?}");
    }

    #[test]
    fn a_set_that_is_new_at_once_is_never_mixed() {
        let root = tempfile::tempdir().unwrap();
        let reader = SetReader::start(set(root.path(), ["new", "new"]));
        wait_until("all new", || reader.done());
        let seen = reader.finish().unwrap();
        assert_eq!((seen.looks, seen.mixed), (1, 0));
    }

    #[test]
    fn half_a_file_and_a_missing_one_are_errors() {
        let root = tempfile::tempdir().unwrap();
        let members = set(root.path(), ["old", "ne"]);
        let look = || watch(&members, &AtomicBool::new(false), &AtomicU64::new(0));
        assert!(look().unwrap_err().to_string().contains("neither"));
        std::fs::remove_file(root.path().join("b")).unwrap();
        assert!(look().unwrap_err().to_string().contains("cannot be read"));
    }
}
