//! The checks, carried out.

mod file;
mod http;
mod tcp;

use crate::assertion::Spelling;
use crate::check::{Check, Kind};
use crate::deadline::Deadline;
use crate::text::{Line, Snippet, Unhealthy};

/// Phases in which `entrypoint` has not started the service yet, and ECS must not end the container: a
/// migration may well take longer than the longest start period, 300 s.
const BEFORE_THE_SERVICE: [&[u8]; 3] = [b"migrating", b"creating-admin", b"checking"];

/// Carries out one check.
///
/// # Errors
/// It does not hold, as the line says.
#[inline(never)]
pub fn probe(check: &Check<'_>, deadline: &Deadline, why: &mut Line) -> Result<(), Unhealthy> {
    match check.kind {
        Kind::Http => {
            let answered = http::ask(check, deadline, why);
            // Asked only when there is no good answer, so that the usual case costs nothing.
            if answered.is_err() && check.is_profile && is_before_the_service(check.path) {
                return Ok(());
            }
            answered
        }
        Kind::Tcp => tcp::connect(check, deadline, why).map(drop),
        Kind::Status => {
            if check.is_profile {
                why.show(check.path).say(": ");
            }
            let mut phase = Snippet::new();
            file::status(check.path, check.assertions, &mut phase, why)
        }
        Kind::File => file::exists(check, why),
    }
}

fn is_before_the_service(status_file: &[u8]) -> bool {
    let mut phase = Snippet::new();
    let healthy = file::status(
        status_file,
        Spelling::ENTRYPOINT,
        &mut phase,
        &mut Line::new(),
    );
    healthy.is_ok() && BEFORE_THE_SERVICE.contains(&phase.as_bytes())
}
