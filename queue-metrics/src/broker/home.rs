//! Which queues a worker consumes: asked of that worker alone, where groups make it matter.

use super::{Failure, Layout};
use crate::demand::Groups;
use agent::redis::{Pidbox, Target, connect};
use serde_json::{Value, json};
use std::time::Duration;

/// For a worker's answer, which takes it some milliseconds.
const LIMIT: Duration = Duration::from_secs(2);
/// For a connection of its own: an answer that is waited for holds up whatever else is asked there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks workers which groups they serve.
#[derive(Clone, Debug)]
pub struct Asker {
    target: Target,
    pidbox: Pidbox,
    groups: Groups,
}

impl Asker {
    /// One for these groups. The prefix is kombu's.
    pub fn new(target: &Target, prefix: &str, groups: &Groups) -> Self {
        Self {
            target: target.clone(),
            pidbox: Pidbox {
                prefix: prefix.to_owned(),
                database: target.database,
            },
            groups: groups.clone(),
        }
    }

    /// The groups, by their places, of which the worker consumes queues. None where it does not answer
    /// or consumes none of them at the moment, as one that drains: then it may have tasks of any.
    ///
    /// # Errors
    /// When Redis fails.
    pub async fn ask(&self, worker: &str) -> Result<Option<Vec<usize>>, Failure> {
        let connected = connect(&self.target, PATIENCE).await;
        let mut connection = connected.map_err(|error| Failure::new(&self.target, &error))?;
        let unique = format!("trimtab-{:016x}", fastrand::u64(..));
        let asked = self.pidbox.ask(
            &mut connection,
            worker,
            "active_queues",
            json!({}),
            LIMIT,
            &unique,
        );
        let answer = asked.await;
        let answer = answer.map_err(|error| Failure::of(&self.target, &error))?;
        Ok(answer.and_then(|answer| self.groups_of(&answer)))
    }

    fn groups_of(&self, answer: &Value) -> Option<Vec<usize>> {
        let queues = answer.as_array()?.iter();
        let names = queues.filter_map(|queue| queue.get("name")?.as_str());
        let mut groups: Vec<usize> = names.filter_map(|name| self.groups.of(name)).collect();
        groups.sort_unstable();
        groups.dedup();
        (!groups.is_empty()).then_some(groups)
    }
}

/// The queues of each group, by their places in the layout.
pub fn places(layout: &Layout, groups: &Groups, group: usize) -> Vec<usize> {
    let names = layout.queues.iter().enumerate();
    names
        .filter(|(_, (name, _))| groups.of(name) == Some(group))
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_serves_the_groups_whose_queues_it_consumes() {
        let big = "big=x,y".parse().expect("a group");
        let groups = Groups::new("workers", &["a".to_owned()], &[big]).expect("groups");
        let target = Target::parse("redis://h/0").expect("a URL");
        let asker = Asker::new(&target, "", &groups);
        for (answer, groups) in [
            (json!([{"name": "a"}]), Some(vec![0])),
            (
                json!([{"name": "y"}, {"name": "x"}, {"name": "other"}]),
                Some(vec![1]),
            ),
            (json!([{"name": "x"}, {"name": "a"}]), Some(vec![0, 1])),
            (json!([{"name": "other"}]), None),
            (json!([]), None),
            (json!({"error": "unknown"}), None),
        ] {
            assert_eq!(asker.groups_of(&answer), groups, "{answer}");
        }
    }
}
