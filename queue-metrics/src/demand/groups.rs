//! Which queues a service's workers serve.

use std::collections::BTreeSet;
use std::str::FromStr;

/// A service and its queues, `NAME=queue,queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The dimension Service of its metrics.
    pub name: String,
    /// Its queues, at least one, none twice.
    pub queues: Vec<String>,
}

impl Group {
    /// # Errors
    /// Says what is wrong with the name or a queue.
    pub fn new(name: &str, queues: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let queues: Vec<String> = queues.into_iter().collect();
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if name.trim().is_empty() || name.starts_with(':') || !name.bytes().all(printable) {
            return Err(
                "a group's name is a dimension: printable ASCII that does not begin with a colon"
                    .to_owned(),
            );
        }
        if queues.is_empty() || queues.iter().any(String::is_empty) {
            return Err(format!("group '{name}' needs queues: {name}=queue,queue"));
        }
        let mut known = BTreeSet::new();
        if let Some(twice) = queues.iter().find(|queue| !known.insert(*queue)) {
            return Err(format!("group '{name}' has queue '{twice}' twice"));
        }
        Ok(Self {
            name: name.to_owned(),
            queues,
        })
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, queues) = text.split_once('=').ok_or("a group is NAME=queue,queue")?;
        Self::new(name, queues.split(',').map(str::to_owned))
    }
}

/// All groups, at least one. No queue is in two, because its messages would be counted twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(Vec<Group>);

impl Groups {
    /// The groups that were named, and `queues` as the group of `service`. With neither it is the queue
    /// `default`, Airflow's own.
    ///
    /// # Errors
    /// Names the queue or the group that is there twice.
    pub fn new(service: &str, queues: &[String], groups: &[Group]) -> Result<Self, String> {
        let own = match (queues, groups) {
            ([], []) => Some(Group::new(service, ["default".to_owned()])?),
            ([], _) => None,
            (queues, _) => Some(Group::new(service, queues.iter().cloned())?),
        };
        let all: Vec<Group> = own.into_iter().chain(groups.iter().cloned()).collect();
        let mut names = BTreeSet::new();
        let mut queues = BTreeSet::new();
        for group in &all {
            if !names.insert(&group.name) {
                return Err(format!("group '{}' is there twice", group.name));
            }
            if let Some(twice) = group.queues.iter().find(|queue| !queues.insert(*queue)) {
                return Err(format!("queue '{twice}' is in two groups"));
            }
        }
        Ok(Self(all))
    }

    /// In the order in which they were named, the service's own first.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    /// The index of the group that has the queue.
    pub fn of(&self, queue: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|group| group.queues.iter().any(|own| own == queue))
    }

    /// Every queue of every group.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|group| group.queues.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(queues: &[&str], groups: &[&str]) -> Result<Groups, String> {
        let queues: Vec<String> = queues.iter().map(ToString::to_string).collect();
        let groups: Result<Vec<Group>, String> = groups.iter().map(|text| text.parse()).collect();
        Groups::new("workers", &queues, &groups?)
    }

    #[test]
    fn queues_belong_to_the_service_and_groups_to_their_own() {
        for (queues, named, expected) in [
            (&[][..], &[][..], "workers=default"),
            (&["a", "b"], &[], "workers=a,b"),
            (&[], &["big=x,y"], "big=x,y"),
            (&["a"], &["big=x", "small=z"], "workers=a big=x small=z"),
        ] {
            let groups = groups(queues, named).expect("valid");
            let shown: Vec<String> = groups
                .iter()
                .map(|group| format!("{}={}", group.name, group.queues.join(",")))
                .collect();
            assert_eq!(shown.join(" "), expected);
        }
    }

    #[test]
    fn a_queue_names_its_group() {
        let groups = groups(&["a"], &["big=x,y"]).expect("valid");
        assert_eq!(groups.of("a"), Some(0));
        assert_eq!(groups.of("y"), Some(1));
        assert_eq!(groups.of("other"), None);
        assert_eq!(groups.queues().collect::<Vec<_>>(), ["a", "x", "y"]);
    }

    #[test]
    fn what_would_count_twice_is_refused() {
        for (queues, named) in [
            (&["a", "a"][..], &[][..]),
            (&["a"], &["big=a"]),
            (&[], &["big=x", "big=y"]),
            (&[], &["big=x", "small=x"]),
            (&["a"], &["workers=x"]),
            (&[], &["big"]),
            (&[], &["big="]),
            (&[], &["big=x,"]),
            (&[], &["=x"]),
            (&[], &[":big=x"]),
        ] {
            assert!(groups(queues, named).is_err(), "{queues:?} {named:?}");
        }
    }
}
