//! What a check has to say.

use std::fmt;

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It may be meant so: said, and on.
    Warning,
    /// Each container would keep passwords of its own: exit 64.
    Refused,
    /// The service cannot work: exit 65.
    Error,
}

/// One thing that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What follows.
    pub level: Level,
    /// The variable to set, or `command` where another command is needed.
    pub variable: String,
    /// What is wrong with it, what comes of that, and what to set; never a value that is a secret.
    pub why: String,
}

impl Finding {
    pub(super) fn new(level: Level, variable: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            level,
            variable: variable.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.variable, self.why)
    }
}
