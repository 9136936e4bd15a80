//! Waiting for a condition, with a deadline and a reason.

use std::time::{Duration, Instant};

/// How long between two looks. Short beside what is waited for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; the message says what was waited for.
pub fn until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    until_some(deadline, what, || condition().then_some(()));
}

/// Looks until there is a value.
///
/// # Panics
/// When there is none within `deadline`; the message says what was waited for.
pub fn until_some<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(
            start.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_again_until_the_condition_holds() {
        let mut looks = 0;
        until(Duration::from_secs(5), "the third look", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "in vain: pigs to fly")]
    fn what_never_comes_is_named() {
        until(Duration::from_millis(20), "pigs to fly", || false);
    }
}
