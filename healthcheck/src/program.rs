//! From arguments to healthy or not.

use crate::assertion::Asked;
use crate::check::Check;
use crate::deadline::Deadline;
use crate::options::{Command, Options, checks};
use crate::probe::probe;
use crate::profile::Environment;
use crate::system;
use crate::text::{Line, Unhealthy};

const STDOUT: usize = 1;
const STDERR: usize = 2;

/// Runs the program, whose name is not among the arguments; the exit code, 0 or 1.
pub fn run<'a>(
    arguments: impl Iterator<Item = &'a [u8]> + Clone,
    environment: impl Environment<'a> + Copy,
) -> i32 {
    match Command::parse(arguments.clone()) {
        Ok(Command::Print(text)) => {
            system::write(STDOUT, text.as_bytes());
            0
        }
        Ok(Command::Check(options)) => match check_all(options, arguments, environment) {
            Ok(()) => 0,
            Err(Unhealthy) => 1,
        },
        Err(problem) => {
            tell(Line::new().say("healthcheck: ").say(problem));
            1
        }
    }
}

fn check_all<'a>(
    options: Options,
    arguments: impl Iterator<Item = &'a [u8]> + Clone,
    environment: impl Environment<'a> + Copy,
) -> Result<(), Unhealthy> {
    let deadline = Deadline::start(options.timeout);
    // All are read before the first is carried out: what is mistyped must not hide behind what fails.
    for carry_out in [false, true] {
        for text in checks(arguments.clone()) {
            let mut why = Line::new();
            begin(text, &mut why);
            let (mut check, mut asked) = (Check::NONE, Asked::NONE);
            let mut done = check
                .parse(text, environment, &mut asked)
                .map_err(|problem| {
                    why.say(problem);
                    Unhealthy
                });
            if carry_out {
                let left = deadline.left();
                done = probe(&check, &mut asked, &deadline, &mut why);
                if options.verbose {
                    let microseconds = (left - deadline.left()) / 1_000;
                    time(text, done, microseconds as u64);
                }
            }
            if done.is_err() {
                tell(&mut why);
            }
            done?;
        }
    }
    Ok(())
}

#[inline(never)]
fn time(text: &[u8], probed: Result<(), Unhealthy>, microseconds: u64) {
    let mut line = Line::new();
    begin(text, &mut line).say(if probed.is_ok() {
        "holds, "
    } else {
        "does not hold, "
    });
    tell(line.thousandths(microseconds).say(" ms"));
}

fn begin<'l>(text: &[u8], line: &'l mut Line) -> &'l mut Line {
    Check::show(text, line.say("healthcheck: ")).say(": ")
}

fn tell(line: &mut Line) {
    system::write(STDERR, line.ended());
}
