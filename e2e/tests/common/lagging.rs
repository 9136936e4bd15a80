//! A reader whose directory entries lag, as an NFS client's may: a view of a directory that is brought
//! up to date only when its cache of entries has run out (`acdirmin`, 30 s). A file that was replaced is
//! whole in it, old or new; only when it is seen differs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What tells one file of a name from the next: its inode, and its time.
type Seen = BTreeMap<PathBuf, (u64, i64)>;

/// The view; it stays as it is when this is dropped.
pub(crate) struct Lagging {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lagging {
    /// Shows `source` in `view`, as it was when the cache last ran out.
    pub(crate) fn start(source: &Path, view: &Path, cached: Duration) -> Lagging {
        let (source, view) = (source.to_owned(), view.to_owned());
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::new();
            while !told.load(Ordering::Relaxed) {
                refresh(&source, &view, &mut seen);
                let until = Instant::now() + cached;
                while Instant::now() < until && !told.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        });
        Lagging {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Lagging {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The directory's own files; the scenario has no others.
fn refresh(source: &Path, view: &Path, seen: &mut Seen) {
    let mut there = Seen::new();
    for entry in fs::read_dir(source).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || !entry.path().is_file() {
            continue;
        }
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let mark = (metadata.ino(), metadata.mtime());
        there.insert(name.clone().into(), mark);
        if seen.get(Path::new(&name)) == Some(&mark) {
            continue;
        }
        let new = view.join(".new");
        fs::copy(entry.path(), &new).unwrap();
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
        fs::rename(&new, view.join(name)).unwrap();
    }
    for gone in seen.keys().filter(|name| !there.contains_key(*name)) {
        let _ = fs::remove_file(view.join(gone));
    }
    *seen = there;
}
