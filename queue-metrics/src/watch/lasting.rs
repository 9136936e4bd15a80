//! A state that lasts is told when it begins, changes and ends, and not in between.

use std::time::Duration;

/// What became of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is there, and was not.
    Begins,
    /// It is there, and is another one.
    Changes,
    /// It is there no more, and lasted so long.
    Ends(Duration),
}

/// A state that may last: none is that all is well.
#[derive(Clone, Debug)]
pub struct Lasting<T> {
    state: Option<(Duration, T)>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self { state: None }
    }
}

impl<T: PartialEq> Lasting<T> {
    /// Takes in the state as it is now, and says what became of it; none is nothing new.
    pub fn turn(&mut self, at: Duration, now: Option<T>) -> Option<Turn> {
        match (self.state.take(), now) {
            (None, None) => None,
            (None, Some(now)) => {
                self.state = Some((at, now));
                Some(Turn::Begins)
            }
            (Some((since, before)), Some(now)) => {
                let same = before == now;
                self.state = Some((since, now));
                (!same).then_some(Turn::Changes)
            }
            (Some((since, _)), None) => Some(Turn::Ends(at.saturating_sub(since))),
        }
    }

    /// The state, and when it began.
    pub fn state(&self) -> Option<(Duration, &T)> {
        self.state.as_ref().map(|(since, state)| (*since, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_begins_changes_and_ends() {
        let mut lasting = Lasting::default();
        for (at, now, turn) in [
            (0, None, None),
            (1, Some("a"), Some(Turn::Begins)),
            (2, Some("a"), None),
            (3, Some("b"), Some(Turn::Changes)),
            (9, None, Some(Turn::Ends(Duration::from_secs(8)))),
            (10, None, None),
        ] {
            assert_eq!(lasting.turn(Duration::from_secs(at), now), turn, "{at}");
        }
    }
}
