//! How long the oldest message has waited.

use std::collections::HashMap;
use std::time::Duration;

/// Remembers when the message at the end of each list was first seen there.
///
/// Celery's messages carry no time, so this is a lower bound: a message is seen only once all before
/// it are gone. The database knows better, where it is asked.
#[derive(Clone, Debug, Default)]
pub struct Oldest {
    tails: HashMap<String, (String, Duration)>,
}

impl Oldest {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the message that is next in each list, by list and message id, and returns how long the
    /// oldest of them has been seen to wait; none where nothing waits. A list that is not named is
    /// empty, and is forgotten.
    pub fn observe<'a>(
        &mut self,
        at: Duration,
        next: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<Duration> {
        let mut tails = HashMap::new();
        let mut oldest = None;
        for (list, id) in next {
            let since = match self.tails.get(list) {
                Some((known, since)) if known == id => *since,
                _ => at,
            };
            oldest = oldest.max(Some(at.saturating_sub(since)));
            tails.insert(list.to_owned(), (id.to_owned(), since));
        }
        self.tails = tails;
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_grows_old_until_it_is_taken() {
        let mut oldest = Oldest::new();
        let mut age = |at, next: &[(&'static str, &'static str)]| {
            oldest
                .observe(Duration::from_secs(at), next.iter().copied())
                .map(|age| age.as_secs())
        };
        assert_eq!(age(0, &[]), None);
        assert_eq!(age(5, &[("default", "a")]), Some(0));
        assert_eq!(age(15, &[("default", "a"), ("default:3", "b")]), Some(10));
        assert_eq!(age(25, &[("default", "c"), ("default:3", "b")]), Some(10));
        assert_eq!(age(30, &[("default:3", "b")]), Some(15));
        assert_eq!(
            age(40, &[("default", "b")]),
            Some(0),
            "another list's message"
        );
        assert_eq!(age(45, &[]), None);
    }
}
