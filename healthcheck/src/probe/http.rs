//! One question over HTTP, and what its answer says.

use crate::assertion::Assertions;
use crate::check::Check;
use crate::deadline::Deadline;
use crate::http::{Event, LARGEST, Response, request};
use crate::json::Scanner;
use crate::system::{Descriptor, Error, Readiness};
use crate::text::{Line, Unhealthy};

use super::tcp;

/// What is read at once; an answer may be of any size. The request is gone by then, so that one buffer
/// serves both: each page of the stack is a fault at its first use.
const BUFFER: usize = 2_048;
const _: () = assert!(LARGEST <= BUFFER);

/// Asks, and judges the answer.
///
/// # Errors
/// It is not healthy, as the line says.
#[inline(never)]
pub(super) fn ask(check: &Check<'_>, deadline: &Deadline, why: &mut Line) -> Result<(), Unhealthy> {
    let socket = tcp::connect(check, deadline, why)?;
    let mut buffer = [0; BUFFER];
    send(&socket, request(check, &mut buffer), deadline, why)?;
    let mut response = Response::new();
    let mut document = Document {
        scanner: Scanner::new(),
        assertions: Assertions::new(check.assertions),
    };
    loop {
        let count = receive(&socket, &mut buffer, deadline, &response, why)?;
        let mut bytes = buffer.get(..count).unwrap_or_default();
        let is_complete = if bytes.is_empty() {
            response.finish().map(|()| true)
        } else {
            take(&mut response, &mut bytes, &mut document, why)?
        };
        match is_complete {
            Ok(true) => return document.judge(why),
            Ok(false) => {}
            Err(problem) => return Err(why.say("it ").say(problem.words()).failed()),
        }
    }
}

/// The events of some bytes; whether the answer is all there.
fn take(
    response: &mut Response,
    bytes: &mut &[u8],
    document: &mut Document<'_>,
    why: &mut Line,
) -> Result<Result<bool, crate::http::Problem>, Unhealthy> {
    loop {
        match response.next(bytes) {
            Ok(Event::More) => return Ok(Ok(false)),
            Ok(Event::Complete) => return Ok(Ok(true)),
            Ok(Event::Head) => {
                judge_status(response, why)?;
                // Without assertions the body says nothing more.
                if document.assertions.is_empty() {
                    return Ok(Ok(true));
                }
            }
            Ok(Event::Body(data)) => document.push(data, why)?,
            Err(problem) => return Ok(Err(problem)),
        }
    }
}

fn judge_status(response: &Response, why: &mut Line) -> Result<(), Unhealthy> {
    let status = response.status();
    if (200..300).contains(&status) {
        return Ok(());
    }
    why.say("it answered ").number(status.into());
    if (300..400).contains(&status) && !response.location().as_bytes().is_empty() {
        response
            .location()
            .show_in(why.say(", a redirect to "))
            .say(", which is not followed");
    }
    Err(why.failed())
}

/// The body, and what it is asked for.
struct Document<'a> {
    scanner: Scanner,
    assertions: Assertions<'a>,
}

impl Document<'_> {
    fn push(&mut self, data: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
        let pushed = self.scanner.push(data, &mut self.assertions);
        // Its reason is the better one, and an endless body needs none of the rest.
        if self.assertions.are_refuted() {
            return self.assertions.judge(why);
        }
        pushed.map_err(|problem| self.no_json(problem.words(), why))
    }

    fn judge(&mut self, why: &mut Line) -> Result<(), Unhealthy> {
        if self.assertions.is_empty() {
            return Ok(());
        }
        if let Err(problem) = self.scanner.finish(&mut self.assertions) {
            return Err(self.no_json(problem.words(), why));
        }
        self.assertions.judge(why)
    }

    fn no_json(&self, problem: &str, why: &mut Line) -> Unhealthy {
        why.say("its body is no JSON: ").say(problem);
        why.say(" at byte ").number(self.scanner.offset()).failed()
    }
}

fn send(
    socket: &Descriptor,
    request: &[u8],
    deadline: &Deadline,
    why: &mut Line,
) -> Result<(), Unhealthy> {
    let mut rest = request;
    while !rest.is_empty() {
        match socket.send(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Error::INTERRUPTED) => {}
            Err(Error::AGAIN) => wait(socket, Readiness::Write, deadline, "took no request", why)?,
            // It may have answered before it closed; if not, reading tells.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn receive(
    socket: &Descriptor,
    buffer: &mut [u8],
    deadline: &Deadline,
    response: &Response,
    why: &mut Line,
) -> Result<usize, Unhealthy> {
    let what = match response.status() {
        0 => "accepted the connection and did not answer",
        _ => "began an answer that was not complete",
    };
    loop {
        // Each time, as that looks at the clock: a server that always has more must not escape it.
        wait(socket, Readiness::Read, deadline, what, why)?;
        match socket.receive(buffer) {
            Ok(count) => return Ok(count),
            Err(Error::INTERRUPTED | Error::AGAIN) => {}
            Err(error) => return Err(error.show_in(why).failed()),
        }
    }
}

fn wait(
    socket: &Descriptor,
    readiness: Readiness,
    deadline: &Deadline,
    what: &str,
    why: &mut Line,
) -> Result<(), Unhealthy> {
    match tcp::until_ready(socket, readiness, deadline) {
        Ok(true) => Ok(()),
        Ok(false) => {
            why.say("it ");
            Err(tcp::out_of_time(deadline, what, why))
        }
        Err(error) => Err(error.show_in(why).failed()),
    }
}
