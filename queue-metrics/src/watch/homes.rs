//! Finds out which groups each worker serves, one question to each that is new.

use super::Homes;
use crate::broker::{Asker, Workers};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// Questions under way at once: a deployment starts many workers together.
const AT_ONCE: usize = 8;
/// Between two questions to a worker that could not tell.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is known, and what is being asked.
#[derive(Debug)]
pub(super) struct Finder {
    asker: Asker,
    asking: JoinSet<(String, Option<Vec<usize>>)>,
    asked: HashMap<String, Duration>,
    homes: Homes,
}

impl Finder {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            asking: JoinSet::new(),
            asked: HashMap::new(),
            homes: Homes::new(),
        }
    }

    /// Takes in the answers that came, asks whoever is new, and returns what is known. Never waits.
    pub(super) fn look(&mut self, at: Duration, workers: &Workers) -> &Homes {
        while let Some(Ok((worker, groups))) = self.asking.try_join_next() {
            if let Some(groups) = groups {
                self.homes.insert(worker, groups);
            }
        }
        let live: HashMap<&str, ()> = workers.each(at).map(|(name, ..)| (name, ())).collect();
        self.homes
            .retain(|name, _| live.contains_key(name.as_str()));
        self.asked
            .retain(|name, _| live.contains_key(name.as_str()));
        for name in live.into_keys() {
            let recent = self
                .asked
                .get(name)
                .is_some_and(|then| at.saturating_sub(*then) < AGAIN_AFTER);
            if recent || self.homes.contains_key(name) || self.asking.len() >= AT_ONCE {
                continue;
            }
            self.asked.insert(name.to_owned(), at);
            let (asker, name) = (self.asker.clone(), name.to_owned());
            self.asking.spawn(async move {
                // A broker that is away is told of elsewhere; the worker is asked again.
                let groups = asker.ask(&name).await.unwrap_or_default();
                (name, groups)
            });
        }
        &self.homes
    }
}
