//! Alarms and step policies as CloudWatch and Application Auto Scaling carry them out, by the rules of
//! docs/autoscaling.md: what a desired count does when `WorkersTarget` is so and so.
//!
//! | datapoint of a period | alarm k | what happens |
//! |---|---|---|
//! | at least k - 0.5 | goes to ALARM | policy k sets the count to the datapoint |
//! | at least k - 0.5 | is in ALARM for a minute since its last action | the same again |
//! | below k - 0.5 | goes to OK | nothing |
//! | below 0.5 | 0 goes to ALARM | the count is 0 |
//! | none | stays | nothing, but the minute's repeats |

use std::time::Duration;

/// How often an alarm that stays in ALARM repeats its action.
const REPEAT: Duration = Duration::from_secs(60);

/// The alarms of one service.
#[derive(Clone, Debug)]
pub struct Alarms {
    /// When each alarm acted last; none where it is OK. Alarm 0 first.
    acted: Vec<Option<Duration>>,
    desired: u32,
}

impl Alarms {
    /// Alarms for counts up to this maximum, all of them OK.
    pub fn new(maximum: u32) -> Alarms {
        Alarms {
            acted: vec![None; maximum as usize + 1],
            desired: 0,
        }
    }

    /// The desired count.
    pub fn desired(&self) -> u32 {
        self.desired
    }

    /// A period has closed with this maximum, or without a datapoint. Time is since any beginning.
    pub fn period(&mut self, now: Duration, maximum: Option<f64>) {
        let highest = self.acted.len() - 1;
        for (level, acted) in self.acted.iter_mut().enumerate() {
            let alarm = match (maximum, level) {
                (None, _) => acted.is_some(),
                (Some(value), 0) => value < 0.5,
                (Some(value), level) => value >= level as f64 - 0.5,
            };
            let due = acted.is_none_or(|then| now.saturating_sub(then) >= REPEAT);
            match alarm {
                false => *acted = None,
                true if due => {
                    *acted = Some(now);
                    if let Some(value) = maximum {
                        self.desired = (value.round().max(0.0) as u32).min(highest as u32);
                    }
                }
                true => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(alarms: &mut Alarms, points: &[(u64, Option<f64>)]) -> Vec<u32> {
        let desired = points.iter().map(|(second, value)| {
            alarms.period(Duration::from_secs(*second), *value);
            alarms.desired()
        });
        desired.collect()
    }

    #[test]
    fn a_rise_is_carried_over_at_once_and_a_fall_to_zero_too() {
        let mut alarms = Alarms::new(4);
        let points = [
            (0, Some(0.0)),
            (10, Some(3.0)),
            (20, Some(4.0)),
            (30, Some(0.0)),
        ];
        assert_eq!(after(&mut alarms, &points), [0, 3, 4, 0]);
    }

    #[test]
    fn a_fall_above_zero_waits_for_the_lower_alarms_repeat() {
        let mut alarms = Alarms::new(4);
        let points = [
            (0, Some(4.0)),
            (10, Some(2.0)),
            (50, Some(2.0)),
            (60, Some(2.0)),
        ];
        assert_eq!(after(&mut alarms, &points), [4, 4, 4, 2]);
    }

    #[test]
    fn missing_data_changes_nothing() {
        let mut alarms = Alarms::new(4);
        let points = [(0, Some(2.0)), (10, None), (80, None)];
        assert_eq!(after(&mut alarms, &points), [2, 2, 2]);
    }
}
