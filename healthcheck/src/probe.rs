//! The checks, carried out.

mod file;
mod http;
mod tcp;

use crate::assertion::Asked;
use crate::check::{Check, Kind};
use crate::deadline::Deadline;
use crate::status::Word;
use crate::text::{Line, Unhealthy};

/// Carries out one check.
///
/// # Errors
/// It does not hold, as the line says.
#[inline(never)]
pub fn probe(
    check: &Check<'_>,
    asked: &mut Asked<'_>,
    deadline: &Deadline,
    why: &mut Line,
) -> Result<(), Unhealthy> {
    match check.kind {
        Kind::Http => {
            let answered = http::ask(check, asked, deadline, why);
            // Asked only when there is no good answer, so that the usual case costs nothing.
            if answered.is_err() && check.is_profile && is_excused(check, asked) {
                return Ok(());
            }
            answered
        }
        Kind::Tcp => tcp::connect(check, deadline, why).map(drop),
        Kind::Status => {
            if check.is_profile {
                why.show(check.path).say(": ");
            }
            file::status(check, asked, why).map(drop)
        }
        Kind::File => file::exists(check, why),
    }
}

/// Whether `entrypoint` vouches for a container whose service does not answer: it is healthy, and does not
/// say that the service runs as it should. It migrates, which may well take longer than ECS's longest
/// start period (300 s), waits for the first sign of the service it started, or cannot tell, as the
/// database is away. It bounds each of these itself.
#[inline(never)]
fn is_excused(check: &Check<'_>, asked: &mut Asked<'_>) -> bool {
    file::status(check, asked, &mut Line::new()) == Ok(Word::Excused)
}
