//! Messages in flight that no live worker holds: what a killed worker leaves behind.
//!
//! Redis gives such a message back only after the visibility timeout, a day under Airflow. Counted as
//! busy it would keep the service up for that long.

use std::collections::VecDeque;
use std::time::Duration;

/// How long messages must go unclaimed before they are called orphans: a finished task's message stays
/// in flight for about 5 s under Airflow 3.1, and a heartbeat is up to 2 s old.
pub const NAMED_AFTER: Duration = Duration::from_secs(30);

/// How many messages live workers may hold, by the `active` of each one's latest heartbeat.
///
/// A heartbeat tells the tasks that run and not those that wait within the worker. A worker takes more
/// than it runs only once every slot is busy, and then at most `prefetch` (Celery's
/// `worker_prefetch_multiplier`) times as many as it has slots.
pub fn claimed(active: impl IntoIterator<Item = u64>, concurrency: u32, prefetch: u32) -> u64 {
    let (slots, prefetch) = (u64::from(concurrency), u64::from(prefetch.max(1)));
    active
        .into_iter()
        .map(|active| match active >= slots {
            true => active.max(slots.saturating_mul(prefetch)),
            false => active,
        })
        .fold(0, u64::saturating_add)
}

/// The number of messages that were unclaimed throughout [`NAMED_AFTER`]: the least of that time.
#[derive(Clone, Debug, Default)]
pub(super) struct Unclaimed {
    since: Option<Duration>,
    /// Rising values, in order of time.
    rising: VecDeque<(Duration, u64)>,
}

impl Unclaimed {
    /// Takes in how many are unclaimed now, and returns how many are orphans: never more than that.
    pub(super) fn observe(&mut self, at: Duration, unclaimed: u64) -> u64 {
        // A value stands until the next sample, and each entry is the least from its time to now.
        let mut from = at;
        while let Some((then, _)) = self.rising.pop_back_if(|(_, last)| *last >= unclaimed) {
            from = then;
        }
        self.rising.push_back((from, unclaimed));
        while self
            .rising
            .get(1)
            .is_some_and(|(then, _)| at.saturating_sub(*then) >= NAMED_AFTER)
        {
            self.rising.pop_front();
        }
        let since = *self.since.get_or_insert(at);
        match at.saturating_sub(since) >= NAMED_AFTER {
            true => self.rising.front().map_or(0, |(_, least)| *least),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_worker_may_hold_what_it_prefetched() {
        for (active, concurrency, prefetch, expected) in [
            (vec![], 4, 1, 0),
            (vec![3], 4, 4, 3),
            (vec![4], 4, 1, 4),
            (vec![4], 4, 4, 16),
            (vec![4, 1], 4, 4, 17),
            (vec![5], 4, 1, 5),
            (vec![4], 4, 0, 4),
        ] {
            assert_eq!(
                claimed(active.iter().copied(), concurrency, prefetch),
                expected,
                "{active:?}"
            );
        }
    }

    #[test]
    fn what_was_claimed_in_between_is_no_orphan() {
        let mut unclaimed = Unclaimed::default();
        for (at, now, orphans) in [
            (0, 4, 0),
            (29, 4, 0),
            (30, 4, 4),
            (35, 9, 4),
            (40, 2, 2),
            (45, 9, 2),
            (74, 9, 2),
            (75, 9, 9),
            (76, 0, 0),
        ] {
            assert_eq!(
                unclaimed.observe(Duration::from_secs(at), now),
                orphans,
                "{at}"
            );
        }
    }

    #[test]
    fn memory_is_bounded_in_a_flood_of_samples() {
        let mut unclaimed = Unclaimed::default();
        for at in 0..10_000_u64 {
            unclaimed.observe(Duration::from_millis(at * 100), at);
        }
        assert!(unclaimed.rising.len() <= 302, "{}", unclaimed.rising.len());
    }
}
