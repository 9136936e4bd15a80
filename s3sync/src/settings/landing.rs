//! Where a set lands: in place, or as a generation, and how long generations stay.

use crate::generations::Keep;
use agent::settings::duration;
use clap::{Args, ValueEnum};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// How a set lands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Generations")]
pub struct Landing {
    /// in-place: DEST is the tree. generations: each set is a complete tree DEST/generations/ID,
    /// and the file DEST/current names the one that counts
    #[arg(long, value_enum, value_name = "HOW", default_value = "in-place")]
    pub layout: Layout,
    /// Generations that stay however old they are; the current one and the one before it always do
    #[arg(long, value_name = "COUNT", default_value = "20")]
    pub keep: u32,
    /// How long a generation stays after it was current, at least 10m: the longest run that pins one
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = days)]
    pub keep_for: Duration,
}

impl Landing {
    /// What the decision which generations may go needs.
    pub fn keep(&self) -> Keep {
        Keep {
            count: self.keep as usize,
            age: self.keep_for,
        }
    }
}

/// `--layout`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum Layout {
    InPlace,
    Generations,
}

/// A duration, or whole days.
fn days(text: &str) -> Result<Duration, String> {
    let days = text
        .strip_suffix('d')
        .filter(|days| days.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|days| days.parse().ok());
    match days.and_then(|days: u32| DAY.checked_mul(days)) {
        Some(duration) => Ok(duration),
        None => duration(text).map_err(|why| format!("{why}, or whole days, such as 7d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_keep_is_a_duration_or_days() {
        for (text, expected) in [
            ("7d", 7 * DAY),
            ("0d", Duration::ZERO),
            ("36h", DAY * 3 / 2),
        ] {
            assert_eq!(days(text), Ok(expected), "{text}");
        }
        for text in ["d", "-1d", "1.5d", "7", "7 d", "+7d", "99999999999d"] {
            assert!(days(text).is_err_and(|why| why.contains("7d")), "{text}");
        }
    }
}
