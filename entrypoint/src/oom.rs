//! Processes that the kernel killed for memory, from the cgroup's own count: pool children too, whose
//! end only their parent sees.

use crate::names;
use agent::metrics::{Metric, Unit};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where this container's cgroup keeps its account of memory. Clones share what was logged.
#[derive(Clone, Debug)]
pub struct Watch {
    files: Option<Files>,
    /// The count when the watch began: a cgroup may be older than the container's process.
    before: u64,
    /// The count that the log knows of.
    named: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    /// Holds a line `oom_kill N`.
    events: PathBuf,
    limit: PathBuf,
}

impl Watch {
    /// Begins to count. Without a memory cgroup that can be read there is nothing to count.
    pub fn begin() -> Self {
        Self::below(Path::new("/"))
    }

    /// As [`Watch::begin`], with the files below `root`.
    fn below(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let files = candidates(&read("proc/self/cgroup"), &read("proc/self/mountinfo"))
            .into_iter()
            .map(|files| Files {
                events: root.join(files.events),
                limit: root.join(files.limit),
            })
            .find(|files| files.count().is_some());
        let before = files.as_ref().and_then(Files::count).unwrap_or(0);
        Self {
            files,
            before,
            named: Arc::new(AtomicU64::new(before)),
        }
    }

    /// How many processes were killed since the watch began.
    pub fn kills(&self) -> u64 {
        self.count().saturating_sub(self.before)
    }

    /// Looks, and logs what was killed since the last look. Returns how many these are.
    pub fn look(&self) -> u64 {
        let count = self.count();
        let fresh = count.saturating_sub(self.named.swap(count, Ordering::Relaxed));
        if fresh > 0 {
            let limit = self.limit();
            tracing::error!(
                event = "oom_kill",
                killed = fresh,
                total = count.saturating_sub(self.before),
                limit,
                "the kernel killed processes of this container for memory: give it more, or let it do less at once"
            );
        }
        fresh
    }

    /// `OomKills`.
    #[expect(clippy::cast_precision_loss, reason = "nobody kills 2^53 processes")]
    pub fn metric(&self) -> Metric {
        Metric {
            name: names::OOM_KILLS,
            unit: Unit::Count,
            value: self.kills() as f64,
        }
    }

    /// The limit that they ran into, for a person.
    pub fn limit(&self) -> String {
        let text = self
            .files
            .as_ref()
            .and_then(|files| fs::read_to_string(&files.limit).ok());
        limit(text.as_deref())
    }

    fn count(&self) -> u64 {
        self.files
            .as_ref()
            .and_then(Files::count)
            .unwrap_or_else(|| self.named.load(Ordering::Relaxed))
    }
}

impl Files {
    fn count(&self) -> Option<u64> {
        kills(&fs::read_to_string(&self.events).ok()?)
    }
}

/// `oom_kill N` among the lines of `memory.events` (cgroup 2) or `memory.oom_control` (cgroup 1, from
/// Linux 4.13 on).
fn kills(events: &str) -> Option<u64> {
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
}

/// A limit of `memory.max` or `memory.limit_in_bytes`. cgroup 1 writes no limit as a number near 2^63.
fn limit(text: Option<&str>) -> String {
    let bytes: Option<u64> = text.and_then(|text| text.trim().parse().ok());
    match bytes {
        Some(bytes) if bytes < 1 << 60 => format!("{} MiB", bytes >> 20),
        Some(_) | None => "the task's: the container has none of its own".to_owned(),
    }
}

/// Where the files may be, the likeliest first: in the cgroup that the process is in, as the mount
/// shows it; then at the mount's root, which is the container's own cgroup where the path is the host's.
fn candidates(cgroup: &str, mounts: &str) -> Vec<Files> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = left.split(' ').collect();
        let (Some(root), Some(point)) = (fields.get(3), fields.get(4)) else {
            continue;
        };
        let mut right = right.split(' ');
        let kind = right.next().unwrap_or_default();
        let options = right.nth(1).unwrap_or_default();
        let (controller, events, limit) = match kind {
            "cgroup2" => ("", "memory.events", "memory.max"),
            "cgroup" if options.split(',').any(|option| option == "memory") => {
                ("memory", "memory.oom_control", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = cgroup.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let controllers = fields.nth(1)?;
            let path = fields.next()?;
            let fits = match controller {
                "" => controllers.is_empty(),
                name => controllers.split(',').any(|one| one == name),
            };
            fits.then_some(path)
        });
        let inside = own
            .and_then(|path| path.strip_prefix(root.trim_end_matches('/')))
            .map(|rest| rest.trim_start_matches('/'));
        let point = Path::new(point.trim_start_matches('/'));
        for directory in inside
            .map(|rest| point.join(rest))
            .into_iter()
            .chain([point.to_owned()])
        {
            let files = Files {
                events: directory.join(events),
                limit: directory.join(limit),
            };
            if !found.contains(&files) {
                found.push(files);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const V2: &str =
        "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot";
    const V1: &str = "33 32 0:29 /ecs/t/c /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
        34 32 0:30 /ecs/t/c /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";

    #[test]
    fn kills_are_counted_from_the_beginning_of_the_watch() {
        for (name, mounts, cgroup, events, limit) in [
            (
                "version 2, own name space",
                V2,
                "0::/",
                "sys/fs/cgroup/memory.events",
                "sys/fs/cgroup/memory.max",
            ),
            (
                "version 2, the host's",
                V2,
                "0::/a/b",
                "sys/fs/cgroup/a/b/memory.events",
                "sys/fs/cgroup/a/b/memory.max",
            ),
            (
                "version 1, as on Fargate",
                V1,
                "5:memory:/ecs/t/c\n4:cpu:/ecs/t/c",
                "sys/fs/cgroup/memory/memory.oom_control",
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
            ),
            (
                "version 1, a path that the mount does not show",
                V1,
                "5:memory:/other",
                "sys/fs/cgroup/memory/memory.oom_control",
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
            ),
        ] {
            let root = root(&[
                ("proc/self/mountinfo", mounts),
                ("proc/self/cgroup", cgroup),
                (events, "low 0\noom 5\noom_kill 3\noom_group_kill 0\n"),
                (limit, "536870912\n"),
            ]);
            let watch = Watch::below(root.path());
            assert_eq!((watch.kills(), watch.look()), (0, 0), "{name}");
            fs::write(root.path().join(events), "oom 5\noom_kill 5\n").unwrap();
            assert_eq!(
                (watch.kills(), watch.look(), watch.look()),
                (2, 2, 0),
                "{name}"
            );
            assert_eq!(watch.limit(), "512 MiB", "{name}");
        }
    }

    #[test]
    fn without_a_cgroup_nothing_is_counted() {
        let watch = Watch::below(root(&[]).path());
        assert_eq!((watch.kills(), watch.look()), (0, 0));
    }

    #[test]
    fn no_limit_of_its_own_is_said_so() {
        for (text, expected) in [
            (Some("1073741824\n"), "1024 MiB"),
            (
                Some("max\n"),
                "the task's: the container has none of its own",
            ),
            (
                Some("9223372036854771712"),
                "the task's: the container has none of its own",
            ),
            (None, "the task's: the container has none of its own"),
        ] {
            assert_eq!(limit(text), expected);
        }
    }
}
