//! Why a phase ended the run, and with which code.

use agent::exit::Exit;
use std::fmt;

/// The end of a run before its service: one line, and the exit code that says it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The design's code. [`Exit::Done`] where a signal ended the phase: [`Failure::code`] has it.
    pub exit: Exit,
    /// What happened, to which object, why, and what to do next; never a secret's value.
    pub why: String,
    /// The signal that ended the phase, if one did.
    pub signal: Option<i32>,
}

impl Failure {
    /// A failure of its own.
    pub fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self {
            exit,
            why: why.into(),
            signal: None,
        }
    }

    /// A phase that a signal ended, which is as it was asked for.
    pub fn stopped(signal: i32, why: impl Into<String>) -> Self {
        Self {
            exit: Exit::Done,
            why: why.into(),
            signal: Some(signal),
        }
    }

    /// What the process ends with: 128 and the signal's number where one ended the phase.
    pub fn code(&self) -> u8 {
        match self.signal {
            Some(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            None => self.exit.code(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_wins_over_the_code() {
        assert_eq!(Failure::new(Exit::Unavailable, "x").code(), 69);
        assert_eq!(Failure::stopped(15, "x").code(), 143);
        assert_eq!(Failure::stopped(64, "x").code(), 192);
    }
}
