//! The rhythm of a wait for a server: a limit for each try, pauses that grow, one deadline, and a reason
//! that is told when it begins and when it changes.

use agent::backoff::backoff;
use std::time::Duration;
use tokio::time::Instant;

/// One try: longer than a resolver's five seconds for a server of names that is silent.
const TRY: Duration = Duration::from_secs(10);
/// The shortest try, where the deadline is near.
pub(crate) const SHORTEST_TRY: Duration = Duration::from_secs(1);
/// Between two tries. Fifty tasks that wait for one server ask it no more than 25 times a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A wait under way; `R` is why it waits.
pub(crate) struct Tries<R> {
    started: Instant,
    deadline: Instant,
    pauses: Box<dyn Iterator<Item = Duration>>,
    told: Option<R>,
    count: u32,
}

impl<R: Clone + PartialEq> Tries<R> {
    /// Allows one try where the deadline has passed.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            started: Instant::now(),
            deadline,
            pauses: Box::new(backoff(FIRST_PAUSE, LONGEST_PAUSE, fastrand::u64(..))),
            told: None,
            count: 0,
        }
    }

    /// Begins a try: how long it may take.
    pub(crate) fn next_limit(&mut self) -> Duration {
        self.count += 1;
        let left = self.left();
        match self.count {
            1 if left.is_zero() => TRY,
            _ => left.clamp(SHORTEST_TRY, TRY),
        }
    }

    /// Whether this reason was not told last.
    pub(crate) fn is_news(&mut self, reason: &R) -> bool {
        let is_news = self.told.as_ref() != Some(reason);
        self.told = Some(reason.clone());
        is_news
    }

    /// Whether any reason was told.
    pub(crate) fn has_told(&self) -> bool {
        self.told.is_some()
    }

    /// How many tries there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The deadline has passed: how long it was waited, for a person.
    pub(crate) async fn pause(&mut self) -> Result<(), String> {
        let left = self.left();
        if left.is_zero() {
            let waited = self.elapsed();
            return Err(match waited.as_secs() {
                0 => format!("{} ms", waited.as_millis()),
                seconds => format!("{seconds} s"),
            });
        }
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_that_has_passed_allows_one_try_of_full_length() {
        let mut tries = Tries::<()>::until(Instant::now());
        assert_eq!(tries.next_limit(), TRY);
        assert!(tries.pause().await.unwrap_err().ends_with(" ms"));
    }

    #[tokio::test]
    async fn the_last_try_is_made_at_the_deadline_and_is_short() {
        let mut tries = Tries::until(Instant::now() + Duration::from_millis(150));
        assert_eq!(tries.next_limit(), SHORTEST_TRY);
        while tries.pause().await.is_ok() {
            assert_eq!(tries.next_limit(), SHORTEST_TRY);
        }
        assert!(tries.elapsed() >= Duration::from_millis(150) && tries.count() > 1);
        assert!(tries.is_news(&1) && !tries.is_news(&1) && tries.is_news(&2) && tries.has_told());
    }
}
