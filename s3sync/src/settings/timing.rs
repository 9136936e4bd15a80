//! When to look, and what that costs.

use agent::settings::{duration, show_duration};
use clap::Args;
use std::time::Duration;

/// When to look.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timing")]
pub struct Timing {
    /// Between listings; auto is 5s up to 2,000 keys and grows with the pages to at most 60s
    #[arg(long, value_name = "DURATION", default_value = "auto", value_parser = interval)]
    pub interval: Interval,
    /// After a change, list again until two listings agree, at most 30s; 0s publishes at once
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub settle: Duration,
    /// Between looks at every managed file's size, times and inode; what drifted is repaired
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = positive)]
    pub scrub_interval: Duration,
    /// Between hashings of every managed file, at a bounded rate
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = positive)]
    pub deep_scrub_interval: Duration,
}

/// `--interval`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// By the number of pages.
    Auto,
    /// As given.
    Fixed(Duration),
}

impl Interval {
    /// The time from one listing to the next, when a listing takes so many pages.
    ///
    /// | keys | pages | auto |
    /// |---|---|---|
    /// | to 2,000 | 1, 2 | 5 s |
    /// | 10,000 | 10 | 25 s |
    /// | from 24,000 | 24 | 60 s |
    pub fn of(self, pages: u32) -> Duration {
        match self {
            Interval::Fixed(interval) => interval,
            Interval::Auto => Duration::from_millis(u64::from(pages.clamp(2, 24)) * 2_500),
        }
    }
}

/// What the LISTs of a month cost in US dollars, at 0.005 dollars for 1,000 of them
/// (S3 Standard, us-east-1) and 30 days.
pub fn monthly_cost(pages: u32, interval: Duration) -> f64 {
    let seconds = interval.as_secs_f64().max(0.001);
    f64::from(pages.max(1)) * (30.0 * 86_400.0 / seconds) * 0.005 / 1_000.0
}

fn interval(text: &str) -> Result<Interval, String> {
    match text {
        "auto" => Ok(Interval::Auto),
        text => positive(text)
            .map(Interval::Fixed)
            .map_err(|why| format!("{why}, or auto")),
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!(
            "it must be more than {}",
            show_duration(Duration::ZERO)
        )),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_with_the_pages() {
        for (pages, seconds) in [
            (0, 5.0),
            (1, 5.0),
            (2, 5.0),
            (3, 7.5),
            (10, 25.0),
            (24, 60.0),
            (100, 60.0),
        ] {
            assert_eq!(
                Interval::Auto.of(pages).as_secs_f64(),
                seconds,
                "{pages} pages"
            );
        }
        assert_eq!(
            Interval::Fixed(Duration::from_secs(1)).of(100),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn two_pages_every_five_seconds_cost_five_dollars_a_month() {
        assert!((monthly_cost(2, Duration::from_secs(5)) - 5.184).abs() < 0.001);
    }
}
