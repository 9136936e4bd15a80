//! CloudWatch alarms of 10 s that set the desired count through step scaling.
//!
//! A datapoint is the maximum of its period; a period without data changes nothing (`missing data:
//! ignore`). An alarm acts when it goes into ALARM, and once a minute while it stays there.

const PERIOD: u32 = 10;
const REPEAT: u32 = 60;
/// From the end of a period to its evaluation.
const EVALUATED_AFTER: u32 = 3;

/// Which alarms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One above zero with a step for each count, one at zero.
    One,
    /// One for each count, each with the steps from its own count on, and one at zero.
    Levels,
}

/// The alarms of one service.
#[derive(Clone, Debug)]
pub(super) struct Alarms {
    /// Level (0 is the alarm at zero), and since when it is in ALARM.
    alarms: Vec<(u32, Option<u32>)>,
    period: Option<u32>,
}

impl Alarms {
    pub(super) fn new(layout: Layout, max: u32) -> Self {
        let levels = match layout {
            Layout::One => 0..=1,
            Layout::Levels => 0..=max,
        };
        Self {
            alarms: levels.map(|level| (level, None)).collect(),
            period: None,
        }
    }

    /// A value that reached CloudWatch.
    pub(super) fn put(&mut self, value: u32) {
        self.period = self.period.max(Some(value));
    }

    /// What the desired count is set to at this second, if anything.
    pub(super) fn act(&mut self, now: u32) -> Option<u32> {
        if now % PERIOD != EVALUATED_AFTER {
            return None;
        }
        let value = self.period.take();
        let mut desired = None;
        for (level, since) in &mut self.alarms {
            let Some(value) = value else { continue };
            let alarm = match *level {
                0 => value == 0,
                level => value >= level,
            };
            match (alarm, *since) {
                (false, _) => *since = None,
                (true, None) => {
                    *since = Some(now);
                    desired = Some(value);
                }
                (true, Some(then)) if (now - then).is_multiple_of(REPEAT) => desired = Some(value),
                (true, Some(_)) => {}
            }
        }
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(layout: Layout, values: &[u32]) -> Vec<(u32, u32)> {
        let mut alarms = Alarms::new(layout, 10);
        let mut acted = Vec::new();
        for now in 0..u32::try_from(values.len()).expect("few") * PERIOD {
            if now % PERIOD == 0 {
                alarms.put(values[(now / PERIOD) as usize]);
            }
            acted.extend(alarms.act(now).map(|desired| (now, desired)));
        }
        acted
    }

    #[test]
    fn one_alarm_waits_up_to_a_minute_for_the_next_count() {
        assert_eq!(
            replay(Layout::One, &[0, 1, 10, 10, 10, 10, 10, 10, 0]),
            [(3, 0), (13, 1), (73, 10), (83, 0)]
        );
    }

    #[test]
    fn an_alarm_a_level_acts_at_each_rise_at_once_and_falls_with_the_minute() {
        assert_eq!(
            replay(Layout::Levels, &[0, 1, 10, 10, 3, 3, 3, 3, 0]),
            [(3, 0), (13, 1), (23, 10), (73, 3), (83, 0)]
        );
    }

    #[test]
    fn a_period_without_data_changes_nothing() {
        let mut alarms = Alarms::new(Layout::One, 10);
        alarms.put(2);
        assert_eq!(alarms.act(3), Some(2));
        assert_eq!((alarms.act(13), alarms.act(63)), (None, None));
    }
}
