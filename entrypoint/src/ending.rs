//! How a run ends: the exit code, and the last line of the log that says whose it is.

use crate::failure::Failure;
use crate::supervise::Outcome;
use crate::timeline::Phase;
use agent::exit::Exit;
use tracing::{error, info};

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All that was asked for is done, and the service is not to run.
    Done,
    /// A phase ended the run, or a signal did while it was under way.
    Phase(Option<Phase>, Failure),
    /// The program could not be started: 126 or 127.
    NotStarted(u8, String),
    /// The service ran, and ended so.
    Service(Outcome),
}

impl Ending {
    /// What the process ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Done => Exit::Done.code(),
            Self::Phase(_, failure) => failure.code(),
            Self::NotStarted(code, _) => *code,
            Self::Service(outcome) => outcome.code(),
        }
    }

    /// Whose exit code it is: `child` or `entrypoint`.
    pub fn origin(&self) -> &'static str {
        match self {
            Self::Service(_) => "child",
            _ => "entrypoint",
        }
    }

    /// Why a restart would end the same way, if it would: such an exit is held back in ECS.
    pub fn fatal(&self) -> Option<&str> {
        match self {
            Self::Phase(_, failure) if failure.signal.is_none() => Some(&failure.why),
            Self::NotStarted(_, why) => Some(why),
            _ => None,
        }
    }

    /// Says what failed, once it has: a person must act.
    pub fn log_failure(&self) {
        let phase = match self {
            Self::Phase(Some(phase), _) => phase.name(),
            _ => "run",
        };
        if let Some(reason) = self.fatal() {
            error!(
                phase,
                reason,
                exit = self.code(),
                event = "failed",
                "the service cannot run"
            );
        }
    }

    /// The last line of the log.
    pub fn log_end(&self, seconds: f64) {
        let signal = match self {
            Self::Phase(_, failure) => failure.signal,
            Self::Service(Outcome::Signalled(signal)) => Some(*signal),
            _ => None,
        };
        let phase = match self {
            Self::Phase(Some(phase), _) => Some(phase.name()),
            _ => None,
        };
        info!(
            exit = self.code(),
            origin = self.origin(),
            signal,
            phase,
            seconds,
            event = "ended",
            "entrypoint ends"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_whose_it_is() {
        let failure = Failure::new(Exit::Unavailable, "no answer");
        let stopped = Failure::stopped(15, "stopped");
        for (ending, code, origin, fatal) in [
            (Ending::Done, 0, "entrypoint", false),
            (
                Ending::Phase(Some(Phase::Wait), failure),
                69,
                "entrypoint",
                true,
            ),
            (
                Ending::Phase(Some(Phase::Wait), stopped),
                143,
                "entrypoint",
                false,
            ),
            (
                Ending::NotStarted(127, "not found".to_owned()),
                127,
                "entrypoint",
                true,
            ),
            (Ending::Service(Outcome::Exited(1)), 1, "child", false),
            (Ending::Service(Outcome::Signalled(9)), 137, "child", false),
        ] {
            assert_eq!(
                (ending.code(), ending.origin(), ending.fatal().is_some()),
                (code, origin, fatal),
                "{ending:?}"
            );
        }
    }
}
