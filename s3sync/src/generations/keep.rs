//! Which generations may go.
//!
//! | the generation | |
//! |---|---|
//! | is the current one, or the one before it | stays |
//! | is among the newest `count`, the current one included | stays |
//! | was current less than `age` or 10 minutes ago, whichever is longer | stays |
//! | else | may go |
//!
//! Newest is what was current last: a rollback to an old generation makes it the newest. So a run
//! that began with a generation has at least `age` to end, from when that was superseded.

use std::time::Duration;

/// A reader that read `current` a moment before it was replaced is still opening files.
const OPENING: Duration = Duration::from_secs(600);

/// How many generations stay, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many, the current one included.
    pub count: usize,
    /// After it was current.
    pub age: Duration,
}

/// A generation on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<I> {
    /// Its ID.
    pub id: I,
    /// When it was last current, or was made, nanoseconds since 1970.
    pub used: i64,
}

/// The generations that may go at `now`, in nanoseconds since 1970, oldest first.
pub fn removable<I: Clone + Ord>(kept: &[Kept<I>], current: &I, keep: Keep, now: i64) -> Vec<I> {
    let mut others: Vec<&Kept<I>> = kept.iter().filter(|one| one.id != *current).collect();
    others.sort_by(|one, other| (other.used, &other.id).cmp(&(one.used, &one.id)));
    let age = keep.age.max(OPENING).as_nanos() as i128;
    // The current one is the first of `count`; the one before it stays whatever `count` says.
    let newest = keep.count.saturating_sub(1).max(1);
    let rest = others.into_iter().skip(newest).rev();
    rest.filter(|one| i128::from(now) - i128::from(one.used) > age)
        .map(|one| one.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000_000;
    const NOW: i64 = 1_000_000 * MINUTE;

    /// Generations by the minutes since each was current, 0 the first.
    fn kept(minutes: &[i64]) -> Vec<Kept<usize>> {
        let ages = minutes.iter().enumerate();
        ages.map(|(id, minutes)| Kept {
            id,
            used: NOW - minutes * MINUTE,
        })
        .collect()
    }

    fn keep(count: usize, minutes: u64) -> Keep {
        Keep {
            count,
            age: Duration::from_secs(minutes * 60),
        }
    }

    #[test]
    fn a_generation_goes_when_it_is_neither_among_the_newest_nor_young() {
        for (why, ages, current, count, minutes, expected) in [
            (
                "nothing is beyond the newest",
                &[900, 800, 700][..],
                2,
                3,
                60,
                &[][..],
            ),
            ("one is beyond them", &[900, 800, 700], 2, 2, 60, &[0]),
            ("it is beyond them, and young", &[50, 40, 30], 2, 2, 60, &[]),
            (
                "the one before stays with any count",
                &[900, 800, 700],
                2,
                0,
                0,
                &[0],
            ),
            (
                "the current one is the oldest, after a rollback",
                &[900, 800, 700],
                0,
                1,
                60,
                &[1],
            ),
            ("a reader may be opening it", &[12, 9, 8, 7], 3, 0, 0, &[0]),
            (
                "the oldest goes first",
                &[700, 900, 800, 1, 2],
                3,
                1,
                60,
                &[1, 2, 0],
            ),
            (
                "a time ahead of the clock is young",
                &[-900, -800, -700],
                2,
                0,
                0,
                &[],
            ),
            (
                "the current one is not there",
                &[900, 800, 700],
                9,
                2,
                60,
                &[0, 1],
            ),
        ] {
            let gone = removable(&kept(ages), &current, keep(count, minutes), NOW);
            assert_eq!(gone, expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_must_stay_stays_and_what_is_left_obeys_the_options(
            ages in prop::collection::vec(-100_i64..20_000, 0..40),
            current in 0_usize..40, count in 0_usize..30, minutes in 0_u64..10_000,
        ) {
            let all = kept(&ages);
            let gone = removable(&all, &current, keep(count, minutes), NOW);
            prop_assert!(!gone.contains(&current));
            let mut others: Vec<_> = all.iter().filter(|one| one.id != current).collect();
            others.sort_by_key(|one| (-one.used, usize::MAX - one.id));
            for (rank, one) in others.iter().enumerate() {
                let age = (NOW - one.used) / MINUTE;
                let must_stay = rank == 0 || rank + 1 < count || age <= 10 || age <= minutes as i64;
                prop_assert_eq!(gone.contains(&one.id), !must_stay, "rank {} age {}", rank, age);
            }
            // Once they are gone, nothing more may go.
            let left: Vec<_> = all.iter().filter(|one| !gone.contains(&one.id)).cloned().collect();
            prop_assert!(removable(&left, &current, keep(count, minutes), NOW).is_empty());
        }
    }
}
