//! Whether the service is healthy, from what was seen of it: a pure state machine.

use std::time::Duration;

/// What one look at the service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It does its job.
    Alive,
    /// It does not, and why.
    Dead(String),
    /// Nobody can say, because what would tell is away: the database, the broker.
    Unknown(String),
}

/// What to say of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the container does its own job.
    pub healthy: bool,
    /// Whether something else is away.
    pub degraded: bool,
    /// Why it is not healthy, or degraded.
    pub reason: Option<String>,
}

/// How many looks in a row must find the service dead: one may have met a busy second.
const DEAD_LOOKS: u32 = 2;

/// How long a service may take to its first sign of life before a container that was healthy, because
/// it migrated, is so no longer. Airflow's slowest start on a quarter of a vCPU is below two minutes.
pub const START_ALLOWANCE: Duration = Duration::from_secs(180);

/// Remembers what was seen.
///
/// | state | alive | dead | unknown |
/// |---|---|---|---|
/// | starting, within the allowance | healthy | as before the start | as before the start |
/// | starting, past it | healthy | unhealthy | as before the start |
/// | healthy | healthy | unhealthy from the second in a row on | healthy, degraded |
/// | unhealthy | healthy | unhealthy | unhealthy, degraded |
#[derive(Clone, Debug)]
pub struct Judge {
    healthy: bool,
    /// Whether it was ever seen alive.
    lived: bool,
    dead: u32,
}

impl Judge {
    /// `healthy` is what was said of the container before the service was started.
    pub fn new(healthy: bool) -> Self {
        Self {
            healthy,
            lived: false,
            dead: 0,
        }
    }

    /// Takes in one look, `since_start` after the service was started.
    pub fn take(&mut self, seen: &Seen, since_start: Duration) -> Verdict {
        match seen {
            Seen::Alive => {
                self.lived = true;
                self.healthy = true;
                self.dead = 0;
                Verdict {
                    healthy: true,
                    degraded: false,
                    reason: None,
                }
            }
            Seen::Dead(why) => {
                self.dead = self.dead.saturating_add(1);
                let may_be_starting = !self.lived && since_start < START_ALLOWANCE;
                if self.dead >= DEAD_LOOKS && !may_be_starting {
                    self.healthy = false;
                }
                Verdict {
                    healthy: self.healthy,
                    degraded: false,
                    reason: Some(if self.lived {
                        why.clone()
                    } else {
                        format!("the service is starting: {why}")
                    }),
                }
            }
            Seen::Unknown(why) => Verdict {
                healthy: self.healthy,
                degraded: true,
                reason: Some(why.clone()),
            },
        }
    }

    /// Whether it was ever seen alive.
    pub fn lived(&self) -> bool {
        self.lived
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// a alive, d dead, u unknown; each a second after the other, from `start` on.
    fn verdicts(healthy: bool, start: u64, seen: &str) -> String {
        let mut judge = Judge::new(healthy);
        seen.chars()
            .enumerate()
            .map(|(step, letter)| {
                let seen = match letter {
                    'a' => Seen::Alive,
                    'd' => Seen::Dead("dead".to_owned()),
                    _ => Seen::Unknown("away".to_owned()),
                };
                let since = Duration::from_secs(start + step as u64);
                match judge.take(&seen, since) {
                    Verdict {
                        healthy: true,
                        degraded: false,
                        ..
                    } => 'H',
                    Verdict { healthy: true, .. } => 'h',
                    Verdict {
                        degraded: false, ..
                    } => 'D',
                    _ => 'd',
                }
            })
            .collect()
    }

    #[test]
    fn the_table_holds() {
        let past = START_ALLOWANCE.as_secs();
        for (healthy, start, seen, expected) in [
            // Starting.
            (false, 0, "ddda", "DDDH"),
            (true, 0, "ddda", "HHHH"),
            (false, 0, "uuua", "dddH"),
            (true, 0, "uu", "hh"),
            // It never came.
            (true, past, "ddda", "HDDH"),
            (true, past, "uuuu", "hhhh"),
            // Once it lived, the allowance is over.
            (true, 0, "addd", "HHDD"),
            (false, 0, "addad", "HHDHH"),
            (false, 0, "adadad", "HHHHHH"),
            // Who is away changes nothing, also not the count.
            (false, 0, "auuuuuu", "Hhhhhhh"),
            (false, 0, "aduud", "HHhhD"),
            (false, 0, "adduuua", "HHDdddH"),
        ] {
            assert_eq!(
                verdicts(healthy, start, seen),
                expected,
                "{healthy} {start} {seen}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_away_never_turns_the_verdict(healthy: bool, start in 0_u64..1000, before in "[adu]{0,8}", away in "u{1,8}") {
            let all = verdicts(healthy, start, &format!("{before}{away}"));
            let first = all.chars().nth(before.len().wrapping_sub(1)).map_or(healthy, |letter| "Hh".contains(letter));
            for letter in all.chars().skip(before.len()) {
                prop_assert_eq!("Hh".contains(letter), first);
            }
        }
    }

    #[test]
    fn the_reason_names_what_was_seen() {
        let mut judge = Judge::new(false);
        let dead = Seen::Dead("no answer".to_owned());
        let reason = |verdict: Verdict| verdict.reason.unwrap();
        assert_eq!(
            reason(judge.take(&dead, Duration::ZERO)),
            "the service is starting: no answer"
        );
        judge.take(&Seen::Alive, Duration::ZERO);
        assert_eq!(reason(judge.take(&dead, Duration::ZERO)), "no answer");
        assert_eq!(
            reason(judge.take(&Seen::Unknown("away".to_owned()), Duration::ZERO)),
            "away"
        );
    }
}
