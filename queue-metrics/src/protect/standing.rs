//! Where a worker stands against the target that `watch` leaves in Redis.

use super::Verdict;
use serde::{Deserialize, Serialize};

/// What `watch` leaves: `{"workers_target":3}`. It expires after 60 s, so that nobody drains on what a
/// publisher that is gone once said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The target, hold included.
    pub workers_target: u32,
}

/// Whether the target wants the worker `own`.
///
/// Live workers, by name and tasks that run, are ranked busiest first, then by name: so all of them
/// come to the same order, and those with the least to finish leave.
///
/// | hint | own rank, from 0 | verdict |
/// |---|---|---|
/// | none | any | unknown |
/// | some | not among the live | unknown |
/// | target | below the target | stay |
/// | target | the target or more | leave |
pub fn verdict<'a>(
    own: &str,
    live: impl IntoIterator<Item = (&'a str, u64)>,
    hint: Option<Hint>,
) -> Verdict {
    let Some(hint) = hint else {
        return Verdict::Unknown;
    };
    let live: Vec<(&str, u64)> = live.into_iter().collect();
    let Some((_, busy)) = live.iter().find(|(name, _)| *name == own) else {
        return Verdict::Unknown;
    };
    let before = live
        .iter()
        .filter(|(name, active)| active > busy || (active == busy && *name < own))
        .count();
    match u32::try_from(before).is_ok_and(|rank| rank < hint.workers_target) {
        true => Verdict::Stay,
        false => Verdict::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_leave_and_names_decide_between_equals() {
        let live = [
            ("celery@c", 0),
            ("celery@a", 2),
            ("celery@b", 0),
            ("celery@d", 5),
        ];
        for (target, staying) in [
            (0, ""),
            (1, "d"),
            (2, "a d"),
            (3, "a b d"),
            (4, "a b c d"),
            (9, "a b c d"),
        ] {
            let hint = Some(Hint {
                workers_target: target,
            });
            let stay: Vec<&str> = ["a", "b", "c", "d"]
                .into_iter()
                .filter(|name| verdict(&format!("celery@{name}"), live, hint) == Verdict::Stay)
                .collect();
            assert_eq!(stay.join(" "), staying, "target {target}");
        }
    }

    #[test]
    fn without_a_target_or_a_heartbeat_nothing_is_known() {
        let hint = Some(Hint { workers_target: 0 });
        assert_eq!(verdict("a", [("a", 1)], None), Verdict::Unknown);
        assert_eq!(verdict("a", [("b", 1)], hint), Verdict::Unknown);
    }

    #[test]
    fn the_hint_is_the_published_json_under_the_prefix() {
        let text = serde_json::to_string(&Hint { workers_target: 3 }).expect("json");
        assert_eq!(text, r#"{"workers_target":3}"#);
    }
}
