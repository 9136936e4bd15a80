//! The metrics: their names, and when they are published.

use agent::metrics::{Metric, Unit};

/// Seconds since the last complete listing, from the writer. Missing or high: deploys are not arriving.
pub const SYNC_LAG: &str = "SyncLag";
/// Files added, updated, repaired or deleted since the last publication.
pub const FILES_CHANGED: &str = "FilesChanged";
/// Bytes of published files since the last publication.
pub const BYTES_FETCHED: &str = "BytesFetched";
/// Deletes that wait for a person.
pub const DELETES_HELD: &str = "DeletesHeld";
/// Keys that are not kept.
pub const KEYS_REJECTED: &str = "KeysRejected";
/// Files below DEST that are not managed, as of the last walk.
pub const FILES_UNMANAGED: &str = "FilesUnmanaged";
/// Files that had drifted and were put right since the last publication.
pub const FILES_REPAIRED: &str = "FilesRepaired";
/// Passes that ended in an error since the last publication.
pub const SYNC_ERRORS: &str = "SyncErrors";

/// What the metrics say, between two publications.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// See [`FILES_CHANGED`].
    pub changed: u64,
    /// See [`BYTES_FETCHED`].
    pub bytes: u64,
    /// See [`FILES_REPAIRED`].
    pub repaired: u64,
    /// See [`SYNC_ERRORS`].
    pub errors: u64,
    /// See [`DELETES_HELD`].
    pub held: u64,
    /// See [`KEYS_REJECTED`].
    pub rejected: u64,
    /// See [`FILES_UNMANAGED`].
    pub unmanaged: u64,
}

impl Figures {
    /// The metrics to publish; `lag` is `None` where this process never listed.
    pub fn metrics(&self, lag: Option<f64>) -> Vec<Metric> {
        let metric = |name, unit, value| Metric { name, unit, value };
        let count = |name, value: u64| metric(name, Unit::Count, value as f64);
        let mut metrics = vec![
            count(FILES_CHANGED, self.changed),
            metric(BYTES_FETCHED, Unit::Bytes, self.bytes as f64),
            count(DELETES_HELD, self.held),
            count(KEYS_REJECTED, self.rejected),
            count(FILES_UNMANAGED, self.unmanaged),
            count(FILES_REPAIRED, self.repaired),
            count(SYNC_ERRORS, self.errors),
        ];
        metrics.extend(lag.map(|lag| metric(SYNC_LAG, Unit::Seconds, lag)));
        metrics
    }

    /// Begins the next publication: what adds up begins at zero, what lasts stays.
    pub fn published(&mut self) {
        *self = Figures {
            held: self.held,
            rejected: self.rejected,
            unmanaged: self.unmanaged,
            ..Figures::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_begin_anew_and_states_stay() {
        let mut figures = Figures {
            changed: 1,
            bytes: 2,
            repaired: 3,
            errors: 4,
            held: 5,
            rejected: 6,
            unmanaged: 7,
        };
        figures.published();
        assert_eq!(
            figures,
            Figures {
                held: 5,
                rejected: 6,
                unmanaged: 7,
                ..Figures::default()
            }
        );
    }

    #[test]
    fn a_process_that_never_listed_says_nothing_of_the_lag() {
        let names = |lag| {
            Figures::default()
                .metrics(lag)
                .iter()
                .map(|metric| metric.name)
                .collect::<Vec<_>>()
        };
        assert!(!names(None).contains(&SYNC_LAG));
        assert!(names(Some(1.0)).contains(&SYNC_LAG));
    }
}
