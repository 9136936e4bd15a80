//! Who lives and how busy each is, by the workers' own heartbeats.

use super::message;
use std::collections::HashMap;
use std::time::Duration;

/// Without a heartbeat for so long a worker counts as gone. Celery sends one every 2 s.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How long the tasks of a worker that said goodbye still count: a warm shutdown ends the heartbeats
/// first and the tasks later. Fargate's longest `stopTimeout`.
pub const LEAVING: Duration = Duration::from_secs(120);

/// What each worker last said.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    known: HashMap<String, Worker>,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    at: Duration,
    active: u64,
    leaving: bool,
}

/// The name of the worker that just came up, where that is what was published.
pub fn online(published: &[u8]) -> Option<String> {
    let event = message::event(published)?;
    (event.kind == "worker-online").then_some(event.hostname)
}

impl Workers {
    /// Takes in what a worker published at this time; what is no worker's event is passed over.
    ///
    /// | event | worker | its tasks |
    /// |---|---|---|
    /// | heartbeat, online | lives, for [`SILENCE`] | `active` |
    /// | offline | is gone | as last told, for [`LEAVING`] |
    pub fn observe(&mut self, at: Duration, published: &[u8]) {
        let Some(event) = message::event(published) else {
            return;
        };
        match event.kind.as_str() {
            "worker-heartbeat" | "worker-online" => {
                let active = event.active;
                let worker = Worker {
                    at,
                    active,
                    leaving: false,
                };
                self.known.insert(event.hostname, worker);
            }
            "worker-offline" => {
                if let Some(worker) = self.known.get_mut(&event.hostname) {
                    (worker.at, worker.leaving) = (at, true);
                }
            }
            _ => {}
        }
    }

    /// Forgets who was silent for too long, and returns those of them that did not say goodbye, with the
    /// tasks that they last told of. To be called now and then: names would pile up.
    pub fn forget(&mut self, at: Duration) -> Vec<(String, u64)> {
        let gone = self.known.extract_if(|_, worker| !worker.counts(at));
        gone.filter(|(_, worker)| !worker.leaving)
            .map(|(name, worker)| (name, worker.active))
            .collect()
    }

    /// Each worker that lives or leaves: its name, its tasks, and whether it lives.
    pub fn each(&self, at: Duration) -> impl Iterator<Item = (&str, u64, bool)> {
        let counted = self
            .known
            .iter()
            .filter(move |(_, worker)| worker.counts(at));
        counted.map(|(name, worker)| (name.as_str(), worker.active, !worker.leaving))
    }

    /// How many live.
    pub fn alive(&self, at: Duration) -> u32 {
        let alive = |worker: &&Worker| !worker.leaving && worker.counts(at);
        u32::try_from(self.known.values().filter(alive).count()).unwrap_or(u32::MAX)
    }

    /// The tasks that run on each worker that lives or leaves.
    pub fn active(&self, at: Duration) -> impl Iterator<Item = u64> {
        self.known
            .values()
            .filter(move |worker| worker.counts(at))
            .map(|worker| worker.active)
    }
}

impl Worker {
    fn counts(&self, at: Duration) -> bool {
        let limit = if self.leaving { LEAVING } else { SILENCE };
        at.saturating_sub(self.at) < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_are_gone_and_the_leaving_finish_their_tasks() {
        let mut workers = Workers::default();
        for (at, kind, name, active, alive, tasks) in [
            (0, "heartbeat", "a", 2, 1, 2),
            (1, "heartbeat", "b", 3, 2, 5),
            (2, "heartbeat", "a", 1, 2, 4),
            (3, "offline", "b", 0, 1, 4),
            (4, "offline", "stranger", 9, 1, 4),
            (5, "unknown", "c", 9, 1, 4),
            (12, "online", "c", 0, 1, 3),
            (122, "online", "d", 0, 1, 3),
            (123, "online", "d", 0, 1, 0),
        ] {
            let body = format!(
                r#"{{"type": "worker-{kind}", "hostname": "celery@{name}", "active": {active}}}"#
            );
            let at = Duration::from_secs(at);
            workers.observe(
                at,
                serde_json::json!({ "body": body }).to_string().as_bytes(),
            );
            let seen = (workers.alive(at), workers.active(at).sum::<u64>());
            assert_eq!(seen, (alive, tasks), "{at:?}");
        }
        let mut gone = workers.forget(Duration::from_secs(124));
        gone.sort();
        let silent = [("celery@a", 1), ("celery@c", 0)];
        let silent = silent.map(|(name, active)| (name.to_owned(), active));
        assert_eq!(gone, silent, "b said goodbye");
        assert_eq!(workers.known.len(), 1);
    }
}
