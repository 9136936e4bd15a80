//! What was asked of the server, for tests that count requests.

use std::time::SystemTime;

use super::route::Operation;

/// One request that was answered, or to which a fault happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asked for.
    pub operation: Operation,
    /// Of which bucket; empty when of none.
    pub bucket: String,
    /// Of which key; for a listing, the prefix.
    pub key: String,
    /// When it arrived.
    pub time: SystemTime,
    /// The HTTP status; 0 when it got no answer.
    pub status: u16,
}

/// Requests and their numbers since the last reset.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) keep: bool,
    pub(super) requests: Vec<Request>,
    pub(super) counts: [u64; Operation::COUNT],
}

impl Log {
    pub(super) fn new(keep: bool) -> Log {
        Log {
            keep,
            requests: Vec::new(),
            counts: [0; Operation::COUNT],
        }
    }

    pub(super) fn reset(&mut self) {
        self.requests.clear();
        self.counts = [0; Operation::COUNT];
    }
}
