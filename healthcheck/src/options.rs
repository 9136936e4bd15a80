//! The command line.

use crate::duration::{Nanoseconds, SECOND, duration};
use crate::text::after;

/// The only option whose value may be an argument of its own.
const TIMEOUT_OPTION: &str = "--timeout";

/// Below ECS's own default of 5 s, so that the reason is told before ECS gives up.
const TIMEOUT: Nanoseconds = 4 * SECOND;

/// More than ECS grants, which is 60 s; a mistyped unit is likelier.
const LONGEST_TIMEOUT: Nanoseconds = 3_600 * SECOND;

/// What `--help` prints; docs/healthcheck.md has the rest.
pub const HELP: &str = "\
healthcheck [--timeout 4s] [--verbose] CHECK...

Exits 0 when every check holds, else 1 with the reason on stderr.

  http://HOST[:PORT]/PATH[#json.path=value&...]  answers 200 to 299 and says so
  tcp://HOST:PORT          accepts a connection
  status:FILE[#...]        an agent's status: healthy and not out of date
  file:PATH[?max-age=60s]  exists, and is fresh
  airflow:SERVICE          this container's api-server, webserver, scheduler,
                           dag-processor, triggerer or worker

HOST is an address, localhost, or a name in /etc/hosts; * in json.path any key.
--timeout is for all checks together. --help and --version stand alone.
";

/// What `--version` prints.
pub const VERSION: &str = concat!(
    "healthcheck ",
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("TRIMTAB_COMMIT"),
    ")\n"
);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say how it is used, or which version it is.
    Print(&'static str),
    /// Carry out the checks, which are the arguments from that place on that are no options.
    Check(Options),
}

/// How the checks are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For all of them together.
    pub timeout: Nanoseconds,
    /// Whether each is timed.
    pub verbose: bool,
}

impl Command {
    /// Of the arguments, without the program's name.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse<'a>(
        arguments: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Self, &'static str> {
        let mut options = Options {
            timeout: TIMEOUT,
            verbose: false,
        };
        let mut checks = 0_usize;
        let mut arguments = arguments;
        let mut others = arguments.clone();
        let is_alone = others.next().is_some() && others.next().is_none();
        while let Some(argument) = arguments.next() {
            let is = |spelling: &str| argument == spelling.as_bytes();
            if argument.first() != Some(&b'-') {
                checks += 1;
            } else if is("--verbose") {
                options.verbose = true;
            } else if is(TIMEOUT_OPTION) || after(argument, b"--timeout=").is_some() {
                let value = after(argument, b"--timeout=");
                let value = value.or_else(|| arguments.next()).and_then(duration);
                let fits = |value: &Nanoseconds| (1..=LONGEST_TIMEOUT).contains(value);
                options.timeout = value
                    .filter(fits)
                    .ok_or("--timeout takes a duration, as 4s or 500ms, up to 1h")?;
            } else {
                let command = if is("--help") || is("-h") {
                    Command::Print(HELP)
                } else if is("--version") || is("-V") {
                    Command::Print(VERSION)
                } else {
                    return Err("options are --timeout, --verbose, --help and --version");
                };
                // Beside a check it would look healthy without having looked.
                return match is_alone {
                    true => Ok(command),
                    false => Err("--help and --version stand alone"),
                };
            }
        }
        match checks {
            0 => Err("no check is given; --help shows them"),
            _ => Ok(Command::Check(options)),
        }
    }
}

/// The checks among the arguments.
pub fn checks<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    core::iter::from_fn(move || {
        loop {
            let argument = arguments.next()?;
            if argument == TIMEOUT_OPTION.as_bytes() {
                arguments.next();
            } else if argument.first() != Some(&b'-') {
                return Some(argument);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, &'static str> {
        Command::parse(line.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn options_stand_anywhere() {
        let check = |timeout, verbose| {
            let timeout = timeout * crate::duration::MILLISECOND;
            Ok(Command::Check(Options { timeout, verbose }))
        };
        for (line, expected) in [
            ("file:/a", check(4_000, false)),
            ("--verbose file:/a file:/b", check(4_000, true)),
            ("file:/a --timeout 500ms", check(500, false)),
            ("--timeout=1h file:/a", check(3_600_000, false)),
            ("--help", Ok(Command::Print(HELP))),
            ("--version", Ok(Command::Print(VERSION))),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        for line in [
            "",
            "--verbose",
            "--timeout",
            "--timeout file:/a",
            "--timeout 4 file:/a",
            "--timeout 0s file:/a",
            "--timeout 2h file:/a",
            "--timeout= file:/a",
            "--Verbose file:/a",
            "-v file:/a",
            "--help file:/a",
            "file:/a --version",
            "-- file:/a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_timeout_is_no_check() {
        let line = "--timeout 1s file:/a --verbose --timeout=2s tcp://h:1";
        let found: Vec<_> = checks(line.split(' ').map(str::as_bytes)).collect();
        assert_eq!(found, [b"file:/a".as_slice(), b"tcp://h:1"]);
    }
}
