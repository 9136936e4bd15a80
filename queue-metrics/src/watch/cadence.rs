//! When a picture is published.

use super::Picture;
use std::time::Duration;

/// Between publications of what did not change, while workers are wanted: an alarm's period of 10 s is
/// never without a value.
pub const ACTIVE: Duration = Duration::from_secs(10);
/// Between publications of what did not change, while none are.
pub const IDLE: Duration = Duration::from_secs(60);
/// How long it goes on as before after the last target fell to zero: the first zero may share its
/// period with a value above it, which hides it from an alarm on the maximum.
pub const LINGER: Duration = Duration::from_secs(20);

/// Remembers what was published last, and when.
///
/// | since the last one | published |
/// |---|---|
/// | there is none, or it was taken back | now |
/// | a count changed | now |
/// | deliveries fail | now: what goes out when they succeed again is the newest |
/// | 10 s, while a target is above zero or was within 20 s | now |
/// | 60 s | now |
/// | else | later |
#[derive(Clone, Debug)]
pub struct Cadence {
    /// Samples do not come to the millisecond: one that is nearly due is due.
    slack: Duration,
    last: Option<(Duration, Vec<u64>)>,
    /// When a target was above zero.
    wanted: Option<Duration>,
}

impl Cadence {
    /// One that has published nothing. The interval is that of samples.
    pub fn new(interval: Duration) -> Self {
        Self {
            slack: interval / 2,
            last: None,
            wanted: None,
        }
    }

    /// Whether to publish the picture now; then it counts as published.
    pub fn due(&mut self, at: Duration, picture: &Picture, failing: bool) -> bool {
        let counts = counts(picture);
        if picture.groups.iter().any(|group| group.target.workers > 0) {
            self.wanted = Some(at);
        }
        let lingers = |then: Duration| at.saturating_sub(then) <= LINGER;
        let pause = if self.wanted.is_some_and(lingers) {
            ACTIVE
        } else {
            IDLE
        };
        let due = match &self.last {
            Some((then, last)) => {
                failing || *last != counts || at.saturating_sub(*then) + self.slack >= pause
            }
            None => true,
        };
        if due {
            self.last = Some((at, counts));
        }
        due
    }

    /// What was published is taken back.
    pub fn withdrawn(&mut self) {
        self.last = None;
    }
}

/// Everything but ages, which change with every sample.
fn counts(picture: &Picture) -> Vec<u64> {
    let mut counts = Vec::new();
    for group in &picture.groups {
        let target = &group.target;
        counts.extend([u64::from(target.workers), target.busy, target.orphaned]);
        let seen = group
            .broker
            .map(|seen| [1, seen.ready, u64::from(seen.workers)]);
        counts.extend(seen.unwrap_or_default());
    }
    counts.extend(picture.queues.iter().map(|queue| queue.ready));
    counts
}

#[cfg(test)]
mod tests {
    use super::super::{GroupPicture, QueuePicture};
    use super::*;
    use crate::demand::{Broker, Target};

    fn picture(workers: u32, ready: u64) -> Picture {
        Picture {
            groups: vec![GroupPicture {
                name: "workers".to_owned(),
                target: Target {
                    workers,
                    need: workers,
                    waiting: ready,
                    busy: 0,
                    orphaned: 0,
                    restarting: false,
                    settled: true,
                },
                broker: Some(Broker {
                    ready,
                    ..Broker::default()
                }),
                database: None,
                oldest: Some(Duration::from_secs(ready)),
            }],
            queues: vec![QueuePicture {
                name: "default".to_owned(),
                ready,
                unacked: 0,
            }],
            missing: 0,
        }
    }

    #[test]
    fn a_change_goes_out_at_once_and_the_rest_by_the_clock() {
        let mut cadence = Cadence::new(Duration::from_secs(5));
        for (at, workers, ready, failing, due) in [
            (0, 0, 0, false, true),
            (5, 0, 0, false, false),
            (57, 0, 0, false, false),
            (58, 0, 0, false, true),
            (60, 0, 3, false, true),
            (65, 1, 3, false, true),
            (70, 1, 3, false, false),
            (75, 1, 3, false, true),
            (80, 1, 3, true, true),
            (83, 1, 3, false, false),
            (85, 0, 3, false, true),
            (90, 0, 3, false, false),
            // The zero once more, for an alarm that saw the first one beside what was before it.
            (95, 0, 3, false, true),
            (105, 0, 3, false, false),
        ] {
            let picture = picture(workers, ready);
            let at = Duration::from_secs(at);
            assert_eq!(cadence.due(at, &picture, failing), due, "{at:?}");
        }
        cadence.withdrawn();
        assert!(cadence.due(Duration::from_secs(106), &picture(0, 3), false));
    }

    #[test]
    fn an_age_alone_is_no_change() {
        let mut cadence = Cadence::new(Duration::from_secs(5));
        let mut older = picture(0, 1);
        assert!(cadence.due(Duration::ZERO, &older, false));
        older.groups[0].oldest = Some(Duration::from_secs(99));
        assert!(!cadence.due(Duration::from_secs(5), &older, false));
    }
}
