//! The highest of the values within a time, without keeping them all.

use std::collections::VecDeque;
use std::time::Duration;

/// The highest value of the last `span`. A value counts from when it was seen until `span` later.
#[derive(Clone, Debug)]
pub(super) struct Highest {
    span: Duration,
    /// Falling values, in order of time: what is followed by its equal or a higher one can never be
    /// the highest again. So there are at most as many as there are different values.
    falling: VecDeque<(Duration, u32)>,
}

impl Highest {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span,
            falling: VecDeque::new(),
        }
    }

    /// Adds a value and returns the highest, which is at least that value.
    pub(super) fn observe(&mut self, at: Duration, value: u32) -> u32 {
        while self.falling.back().is_some_and(|(_, last)| *last <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((at, value));
        while self.falling.len() > 1
            && self
                .falling
                .front()
                .is_some_and(|(then, _)| at.saturating_sub(*then) >= self.span)
        {
            self.falling.pop_front();
        }
        self.falling.front().map_or(value, |(_, highest)| *highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_highest_of_the_span_in_bounded_room(
            span in 0_u64..30,
            values in proptest::collection::vec((0_u64..10, 0_u32..10), 1..200),
        ) {
            let mut highest = Highest::new(Duration::from_secs(span));
            let mut seen: Vec<(u64, u32)> = Vec::new();
            let mut at = 0;
            for (step, value) in values {
                at += step;
                seen.push((at, value));
                let naive = seen
                    .iter()
                    .filter(|(then, _)| at - then < span)
                    .map(|(_, value)| *value)
                    .max()
                    .unwrap_or(0)
                    .max(value);
                prop_assert_eq!(highest.observe(Duration::from_secs(at), value), naive);
                prop_assert!(highest.falling.len() <= 10);
            }
        }
    }
}
