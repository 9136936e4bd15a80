//! One question over HTTP, and what its answer says.

use crate::assertion::Asked;
use crate::check::Check;
use crate::deadline::Deadline;
use crate::document::Document;
use crate::http::{Event, LARGEST, Problem, Response, request};
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
pub(super) fn ask(
    check: &Check<'_>,
    asked: &mut Asked<'_>,
    deadline: &Deadline,
    why: &mut Line,
) -> Result<(), Unhealthy> {
    let socket = tcp::connect(check, deadline, why)?;
    let mut buffer = [0; BUFFER];
    send(&socket, request(check, &mut buffer), deadline, why)?;
    let mut response = Response::BEGINNING;
    let mut document = Document::new(asked);
    loop {
        let count = receive(&socket, &mut buffer, deadline, &response, why)?;
        let mut bytes = buffer.get(..count).unwrap_or_default();
        let is_complete = if bytes.is_empty() {
            response
                .finish()
                .map_err(|problem| no_answer(problem, why))?;
            true
        } else {
            take(&mut response, &mut bytes, &mut document, why)?
        };
        if is_complete {
            return judge(&mut document, why);
        }
    }
}

/// The events of some bytes; whether the answer is all there.
fn take(
    response: &mut Response,
    bytes: &mut &[u8],
    document: &mut Document<'_, '_>,
    why: &mut Line,
) -> Result<bool, Unhealthy> {
    loop {
        match response.next(bytes) {
            Ok(Event::More) => return Ok(false),
            Ok(Event::Complete) => return Ok(true),
            Ok(Event::Head) => {
                judge_status(response, why)?;
                // Without assertions the body says nothing more.
                if document.assertions().is_empty() {
                    return Ok(true);
                }
            }
            Ok(Event::Body(data)) => push(document, data, why)?,
            Err(problem) => return Err(no_answer(problem, why)),
        }
    }
}

fn no_answer(problem: Problem, why: &mut Line) -> Unhealthy {
    why.say("it ").show(problem.words()).failed()
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

/// The next bytes of the body.
fn push(document: &mut Document<'_, '_>, data: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
    let pushed = document.push(data);
    // Its reason is the better one, and an endless body needs none of the rest.
    if document.assertions().are_refuted() {
        return document.assertions().judge(why);
    }
    pushed.map_err(|problem| document.no_json(problem, why.say("its body is ")))
}

/// The answer is complete.
fn judge(document: &mut Document<'_, '_>, why: &mut Line) -> Result<(), Unhealthy> {
    if document.assertions().is_empty() {
        return Ok(());
    }
    if let Err(problem) = document.finish() {
        return Err(document.no_json(problem, why.say("its body is ")));
    }
    document.assertions().judge(why)
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
        match socket.read(buffer) {
            Ok(count) => return Ok(count),
            Err(Error::AGAIN) => {}
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
        Ok(()) => Ok(()),
        Err(Error::LATE) => Err(tcp::out_of_time(deadline, what, why.say("it "))),
        Err(error) => Err(error.show_in(why).failed()),
    }
}
