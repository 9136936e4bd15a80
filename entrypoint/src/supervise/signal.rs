//! A signal by its number, with the names that settings and logs use; realtime signals too.

use std::fmt;
use std::str::FromStr;

use nix::libc;

/// A signal. Not an enumeration of the named ones: realtime signals are forwarded like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

/// One rewriting, as `TERM:QUIT`: what arrives, and what the service gets instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What arrives.
    pub from: Signal,
    /// What the service gets; nothing where it is swallowed (`HUP:0`, as with dumb-init).
    pub to: Option<Signal>,
}

/// Who gets a signal that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The service's process group: children that stayed in it hear the signal too.
    Group,
    /// The service's main process only. Celery needs it: a pool child that gets the worker's SIGTERM
    /// drops the task it runs.
    Main,
}

/// The number of the last signal.
const LAST: i32 = 64;

/// glibc keeps 32 and 33 for its own threads.
const FIRST_REALTIME: i32 = 34;

const NAMES: [(i32, &str); 31] = [
    (libc::SIGHUP, "HUP"),
    (libc::SIGINT, "INT"),
    (libc::SIGQUIT, "QUIT"),
    (libc::SIGILL, "ILL"),
    (libc::SIGTRAP, "TRAP"),
    (libc::SIGABRT, "ABRT"),
    (libc::SIGBUS, "BUS"),
    (libc::SIGFPE, "FPE"),
    (libc::SIGKILL, "KILL"),
    (libc::SIGUSR1, "USR1"),
    (libc::SIGSEGV, "SEGV"),
    (libc::SIGUSR2, "USR2"),
    (libc::SIGPIPE, "PIPE"),
    (libc::SIGALRM, "ALRM"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGSTKFLT, "STKFLT"),
    (libc::SIGCHLD, "CHLD"),
    (libc::SIGCONT, "CONT"),
    (libc::SIGSTOP, "STOP"),
    (libc::SIGTSTP, "TSTP"),
    (libc::SIGTTIN, "TTIN"),
    (libc::SIGTTOU, "TTOU"),
    (libc::SIGURG, "URG"),
    (libc::SIGXCPU, "XCPU"),
    (libc::SIGXFSZ, "XFSZ"),
    (libc::SIGVTALRM, "VTALRM"),
    (libc::SIGPROF, "PROF"),
    (libc::SIGWINCH, "WINCH"),
    (libc::SIGIO, "IO"),
    (libc::SIGPWR, "PWR"),
    (libc::SIGSYS, "SYS"),
];

/// What is never forwarded: two that nobody can catch; our own children's; faults of our own code,
/// which a handler that returns would repeat for ever; writes of our own to a pipe that nobody reads
/// and to a terminal that is another's.
const KEPT: [i32; 12] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// SIGINT.
    pub const INT: Self = Self(libc::SIGINT);
    /// SIGQUIT.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// SIGTERM.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// SIGSTOP.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// SIGTSTP.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// SIGCONT.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// SIGCHLD.
    pub const CHLD: Self = Self(libc::SIGCHLD);

    /// The signal of that number, 1 to 64.
    pub fn new(number: i32) -> Option<Self> {
        (1..=LAST).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The exit code of a program that it ended: 128 and its number.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }

    /// Whether it asks a program to end, and so ends a phase before the service runs.
    pub fn asks_to_end(self) -> bool {
        [Self::HUP, Self::INT, Self::QUIT, Self::TERM].contains(&self)
    }

    /// Every signal that is passed on to the service.
    pub fn forwardable() -> impl Iterator<Item = Self> {
        (1..=LAST)
            .filter(|number| !KEPT.contains(number) && !(32..FIRST_REALTIME).contains(number))
            .map(Self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => write!(formatter, "SIG{name}"),
            None if self.0 >= FIRST_REALTIME => {
                write!(formatter, "SIGRTMIN+{}", self.0 - FIRST_REALTIME)
            }
            None => write!(formatter, "signal {}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = String;

    /// `TERM`, `SIGTERM`, `term` or `15`; `RTMIN+3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| Self(*number));
        let realtime = || {
            let offset = name.strip_prefix("RTMIN+")?.parse::<u8>().ok()?;
            Self::new(FIRST_REALTIME + i32::from(offset))
        };
        named
            .or_else(realtime)
            .or_else(|| name.parse().ok().and_then(Self::new))
            .ok_or_else(|| format!("{text:?} is no signal: give a name as TERM or a number"))
    }
}

impl FromStr for Rewrite {
    type Err = String;

    /// `TERM:QUIT`, `15:3`; `HUP:0` or `HUP:none` swallows.
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is no rewriting: give FROM:TO, as TERM:QUIT"))?;
        let from: Signal = from.parse()?;
        if !Signal::forwardable().any(|signal| signal == from) {
            return Err(format!("{from} cannot be caught, and so not be rewritten"));
        }
        let to = match to.trim() {
            "0" | "none" => None,
            other => Some(other.parse()?),
        };
        Ok(Self { from, to })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "group" => Ok(Self::Group),
            "main" => Ok(Self::Main),
            other => Err(format!("{other:?} is no scope: give group or main")),
        }
    }
}

/// What the service gets for a signal that arrived. The first rewriting of it counts.
pub fn rewritten(signal: Signal, rewrites: &[Rewrite]) -> Option<Signal> {
    match rewrites.iter().find(|rewrite| rewrite.from == signal) {
        Some(rewrite) => rewrite.to,
        None => Some(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_name_and_by_number() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            (" QUIT ", 3),
            ("RTMIN+3", 37),
            ("64", 64),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "TREM", "0", "65", "-1", "RTMIN+31", "SIG"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_signal_reads_its_own_name() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal(number);
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn what_faults_or_cannot_be_caught_is_not_forwarded() {
        let forwarded: Vec<i32> = Signal::forwardable().map(Signal::number).collect();
        let named = [1, 2, 3, 6, 10, 12, 14, 15, 16, 18, 20];
        let rest = (23..=30).chain(34..=64);
        let expected: Vec<i32> = named.into_iter().chain(rest).collect();
        assert_eq!(forwarded, expected);
    }

    #[test]
    fn a_rewriting_replaces_or_swallows() {
        let rewrites: Vec<Rewrite> = ["TERM:QUIT", "HUP:0", "TERM:INT"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        for (arrives, passed_on) in [
            (Signal::TERM, Some(Signal::QUIT)),
            (Signal::HUP, None),
            (Signal::INT, Some(Signal::INT)),
            // Rewritten once: what TERM became is not rewritten again.
            (Signal::QUIT, Some(Signal::QUIT)),
        ] {
            assert_eq!(rewritten(arrives, &rewrites), passed_on, "{arrives}");
        }
        for text in ["TERM", "TERM:", ":TERM", "KILL:TERM", "STOP:0", "A:B"] {
            assert!(text.parse::<Rewrite>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_code_is_128_and_the_number() {
        assert_eq!(Signal::TERM.exit_code(), 143);
        assert_eq!(Signal::KILL.exit_code(), 137);
        assert_eq!(Signal(64).exit_code(), 192);
    }
}
