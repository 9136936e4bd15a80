//! Which keys and channels are read, by kombu's rules (`kombu/transport/redis.py`).

use crate::settings::Keys;

/// The keys of some queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Each queue and its lists, one for each step of priority.
    pub queues: Vec<(String, Vec<String>)>,
    /// The sorted set of the tags of messages in flight.
    pub index: String,
    /// The hash from a tag to its message.
    pub messages: String,
    /// For each group the sorted set of its workers that drain for a deployment, by when they last said
    /// so; none where nobody asks.
    pub draining: Vec<String>,
    /// Where workers say that they come, live and go.
    pub channels: [String; 3],
}

impl Layout {
    /// The keys of `queues` in the database of this number. A step that is given twice counts once.
    pub fn new<'a>(keys: &Keys, database: u16, queues: impl IntoIterator<Item = &'a str>) -> Self {
        let lists = |queue: &str| {
            let mut lists: Vec<String> = Vec::new();
            for list in keys.lists(queue) {
                if !lists.contains(&list) {
                    lists.push(list);
                }
            }
            (queue.to_owned(), lists)
        };
        let prefix = &keys.prefix;
        let channel = |kind: &str| format!("{prefix}/{database}.celeryev/worker.{kind}");
        Self {
            queues: queues.into_iter().map(lists).collect(),
            index: format!("{prefix}unacked_index"),
            messages: format!("{prefix}unacked"),
            draining: Vec::new(),
            channels: ["online", "heartbeat", "offline"].map(channel),
        }
    }

    /// The same, with what workers of these groups say of themselves.
    #[must_use]
    pub fn with_groups<'a>(
        mut self,
        keys: &Keys,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let prefix = &keys.prefix;
        self.draining = groups
            .into_iter()
            .map(|group| draining_key(prefix, group))
            .collect();
        self
    }

    /// Every list, with the index of its queue.
    pub(super) fn lists(&self) -> impl Iterator<Item = (usize, &str)> {
        self.queues
            .iter()
            .enumerate()
            .flat_map(|(queue, (_, lists))| lists.iter().map(move |list| (queue, list.as_str())))
    }
}

/// Where `watch` leaves a group's target for `protect`.
pub fn target_key(prefix: &str, group: &str) -> String {
    format!("{prefix}trimtab.target.{}", name_in_redis(group))
}

/// Where the workers of a group say that they drain for a deployment.
pub fn draining_key(prefix: &str, group: &str) -> String {
    format!("{prefix}trimtab.draining.{}", name_in_redis(group))
}

/// Where each `protect` of a group says that its worker is one of the group's: heartbeats do not tell.
pub fn workers_key(prefix: &str, group: &str) -> String {
    format!("{prefix}trimtab.workers.{}", name_in_redis(group))
}

/// A group's name in a key: where no `--service` is set, which then is this program's name, `default`.
fn name_in_redis(group: &str) -> &str {
    match group {
        env!("CARGO_PKG_NAME") => "default",
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_name_of_its_own_is_the_default_one() {
        assert_eq!(
            target_key("af-", "queue-metrics"),
            "af-trimtab.target.default"
        );
        assert_eq!(target_key("", "worker"), "trimtab.target.worker");
        assert_eq!(
            draining_key("", "queue-metrics"),
            "trimtab.draining.default"
        );
        assert_eq!(
            workers_key("af-", "queue-metrics"),
            "af-trimtab.workers.default"
        );
    }

    #[test]
    fn every_key_has_the_prefix_and_every_step_its_list() {
        let keys = Keys {
            steps: vec![0, 3, 3],
            separator: "|".to_owned(),
            prefix: "p:".to_owned(),
        };
        let layout = Layout::new(&keys, 2, ["a", "b"]);
        let lists: Vec<(usize, &str)> = layout.lists().collect();
        assert_eq!(lists, [(0, "p:a"), (0, "p:a|3"), (1, "p:b"), (1, "p:b|3")]);
        assert_eq!(layout.index, "p:unacked_index");
        assert_eq!(layout.messages, "p:unacked");
        assert_eq!(layout.channels[1], "p:/2.celeryev/worker.heartbeat");
    }
}
