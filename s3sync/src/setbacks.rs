//! What could not be kept, and when it is worth another try: the memory that lets one bad object hold
//! a set back for two passes and no longer, and keeps it from being fetched again at every poll.

use crate::plan::Fetch;
use crate::source::Object;
use std::collections::BTreeMap;
use std::time::Duration;

/// A changed object that cannot be fetched holds its set back for so many passes.
pub const HELD_PASSES: u32 = 2;

/// The longest wait before a failed object is tried again, milliseconds.
const LONGEST_RETRY: i64 = 60_000;

/// How a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The object could not be fetched or verified.
    Failed,
    /// Something below DEST is in the way.
    Obstructed,
}

/// One path that is not as the source wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setback {
    object: Object,
    /// How.
    pub how: How,
    /// Passes it failed in a row.
    pub passes: u32,
    /// Why, in one line.
    pub reason: String,
    /// The code that `once` ends with for it.
    pub exit: agent::exit::Exit,
    next: i64,
}

/// Every path with a setback.
#[derive(Clone, Debug, Default)]
pub struct Setbacks {
    by_path: BTreeMap<Box<str>, Setback>,
    /// Something was forgotten that the next plan must look at.
    again: bool,
}

impl Setbacks {
    /// Notes that `object` could not be kept. `now` is milliseconds since 1970; `pause` is how long an
    /// obstruction is believed.
    pub fn note(
        &mut self,
        object: &Object,
        how: How,
        reason: String,
        exit: agent::exit::Exit,
        now: i64,
        pause: Duration,
    ) {
        let before = self
            .by_path
            .get(&object.key)
            .filter(|before| before.object == *object);
        let passes = before.map_or(0, |before| before.passes) + 1;
        let pause = match how {
            How::Obstructed => pause.as_millis() as i64,
            // At once while it holds others back; then after 2 s, 4 s, ... at most a minute.
            How::Failed if passes <= HELD_PASSES => 0,
            How::Failed => (1_000i64 << (passes - HELD_PASSES).min(20)).min(LONGEST_RETRY),
        };
        let setback = Setback {
            object: object.clone(),
            how,
            passes,
            reason,
            exit,
            next: now + pause,
        };
        self.by_path.insert(object.key.clone(), setback);
    }

    /// Whether a set must wait: some object of it failed, and not often enough yet.
    pub fn hold_back(&self, fetch: &[Fetch]) -> bool {
        fetch.iter().any(|fetch| {
            self.of(&fetch.object)
                .is_some_and(|setback| setback.how == How::Failed && setback.passes <= HELD_PASSES)
        })
    }

    /// Drops from `fetch` what is not worth a try at `now`, and forgets paths that nothing wants any
    /// more or that were kept.
    pub fn apply(&mut self, fetch: &mut Vec<Fetch>, now: i64) {
        self.again = false;
        if self.by_path.is_empty() {
            return;
        }
        let wanted: BTreeMap<&str, &Object> = fetch
            .iter()
            .map(|fetch| (fetch.path(), &fetch.object))
            .collect();
        self.by_path.retain(|path, setback| {
            wanted
                .get(&**path)
                .is_some_and(|object| **object == setback.object)
        });
        fetch.retain(|fetch| {
            self.of(&fetch.object)
                .is_none_or(|setback| setback.next <= now)
        });
    }

    /// Believes in no obstruction any more: something below DEST changed.
    pub fn look_again(&mut self) {
        let before = self.by_path.len();
        self.by_path
            .retain(|_, setback| setback.how != How::Obstructed);
        self.again |= self.by_path.len() < before;
    }

    /// Whether a plan at `now` would try something again.
    pub fn is_due(&self, now: i64) -> bool {
        self.again || self.by_path.values().any(|setback| setback.next <= now)
    }

    /// Whether an object failed that is still wanted.
    pub fn has_failed(&self) -> bool {
        self.by_path
            .values()
            .any(|setback| setback.how == How::Failed)
    }

    /// Whether the path has a setback.
    pub fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// Forgets the failures of a path whose object has come, and waits to be published.
    pub fn fetched(&mut self, path: &str) {
        let failed = |setback: &Setback| setback.how == How::Failed;
        if self.by_path.get(path).is_some_and(failed) {
            self.by_path.remove(path);
        }
    }

    /// Forgets a path that was kept.
    pub fn clear(&mut self, path: &str) {
        self.by_path.remove(path);
    }

    /// Every setback by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setback)> {
        self.by_path
            .iter()
            .map(|(path, setback)| (&**path, setback))
    }

    fn of(&self, object: &Object) -> Option<&Setback> {
        self.by_path
            .get(&object.key)
            .filter(|setback| setback.object == *object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Why;
    use agent::exit::Exit;

    const PAUSE: Duration = Duration::from_secs(300);

    fn fetch(etag: &str) -> Fetch {
        let object = Object {
            key: "a".into(),
            etag: etag.into(),
            size: 1,
            modified: 1,
            archived: false,
        };
        Fetch {
            object,
            why: Why::Add,
        }
    }

    fn fail(setbacks: &mut Setbacks, fetch: &Fetch, now: i64) {
        setbacks.note(
            &fetch.object,
            How::Failed,
            "why".into(),
            Exit::Source,
            now,
            PAUSE,
        );
    }

    #[test]
    fn a_bad_object_holds_its_set_back_for_two_passes() {
        let mut setbacks = Setbacks::default();
        let bad = [fetch("1")];
        for expected in [true, true, false, false] {
            fail(&mut setbacks, &bad[0], 0);
            assert_eq!(setbacks.hold_back(&bad), expected);
        }
        assert!(
            !setbacks.hold_back(&[fetch("2")]),
            "another version begins anew"
        );
    }

    #[test]
    fn a_bad_object_is_tried_less_and_less() {
        let mut setbacks = Setbacks::default();
        let bad = fetch("1");
        let tried = |setbacks: &mut Setbacks, now| {
            let mut list = vec![bad.clone()];
            setbacks.apply(&mut list, now);
            !list.is_empty()
        };
        fail(&mut setbacks, &bad, 0);
        fail(&mut setbacks, &bad, 0);
        assert!(tried(&mut setbacks, 0));
        fail(&mut setbacks, &bad, 0);
        assert!(!tried(&mut setbacks, 1_999) && tried(&mut setbacks, 2_000));
        (0..40).for_each(|_| fail(&mut setbacks, &bad, 0));
        assert!(!tried(&mut setbacks, 59_999) && tried(&mut setbacks, 60_000));
    }

    #[test]
    fn a_try_is_due_when_its_time_has_come_or_something_made_room() {
        let mut setbacks = Setbacks::default();
        assert!(!setbacks.is_due(i64::MAX) && !setbacks.has_failed());
        (0..3).for_each(|_| fail(&mut setbacks, &fetch("1"), 0));
        assert!(setbacks.has_failed() && !setbacks.is_due(1_999) && setbacks.is_due(2_000));
        setbacks.clear("a");
        let object = fetch("1").object;
        setbacks.note(&object, How::Obstructed, "why".into(), Exit::Done, 0, PAUSE);
        assert!(!setbacks.has_failed() && !setbacks.is_due(0));
        setbacks.look_again();
        assert!(setbacks.is_due(0));
        setbacks.apply(&mut vec![fetch("1")], 0);
        assert!(!setbacks.is_due(i64::MAX));
    }

    #[test]
    fn a_path_that_nothing_wants_any_more_is_forgotten() {
        let mut setbacks = Setbacks::default();
        fail(&mut setbacks, &fetch("1"), 0);
        setbacks.apply(&mut vec![], 0);
        assert_eq!(setbacks.iter().count(), 0);
    }
}
