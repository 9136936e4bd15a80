//! Waits between retries.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// No wait is shorter, so that a mistaken zero does not spin.
const SHORTEST: Duration = Duration::from_millis(2);

/// Waits that double from `first` to `max` and never end. Each lies in the upper half of its span, at
/// random by `seed`, so that many that failed together do not try again together.
pub fn backoff(first: Duration, max: Duration, seed: u64) -> impl Iterator<Item = Duration> + Send {
    let max = max.max(SHORTEST);
    let first = first.clamp(SHORTEST, max);
    // The library adds up to as much again at random, after it applied its own limit.
    let builder = ExponentialBuilder::new()
        .with_min_delay(first / 2)
        .with_max_delay(max / 2)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed);
    builder.build().map(move |wait| wait.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_double_within_bounds_for_ever(first in 0_u64..10_000, max in 0_u64..100_000, seed in any::<u64>()) {
            let max = Duration::from_millis(max).max(SHORTEST);
            let mut span = Duration::from_millis(first).clamp(SHORTEST, max);
            let slack = Duration::from_micros(100);
            let waits: Vec<Duration> = backoff(Duration::from_millis(first), max, seed).take(100).collect();
            prop_assert_eq!(waits.len(), 100);
            for wait in waits {
                prop_assert!(wait + slack >= span / 2 && wait <= span + slack && wait <= max, "{:?} of {:?}", wait, span);
                span = (span * 2).min(max);
            }
        }
    }

    #[test]
    fn two_seeds_wait_differently_even_at_the_limit() {
        let last = |seed| backoff(Duration::from_secs(1), Duration::from_secs(60), seed).nth(50);
        assert_ne!(last(1), last(2));
        assert_eq!(last(1), last(1));
    }
}
