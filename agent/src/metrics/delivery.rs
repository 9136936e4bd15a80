//! Whether what was published arrives.

use std::sync::Arc;
use std::time::Instant;

/// How delivering stands. A sink that cannot tell delivers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the publication that was accepted last, counted from 1; 0 where none was, and
    /// with a sink that cannot tell.
    pub number: u64,
    /// When that was; none before the first.
    pub accepted: Option<Instant>,
    /// Why nothing is accepted at the moment, in one line.
    pub failing: Option<Arc<str>>,
}
