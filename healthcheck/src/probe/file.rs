//! Files: that they are there, that they are fresh, and what a status file says.

use crate::assertion::Spelling;
use crate::check::Check;
use crate::duration::{MILLISECOND, Nanoseconds, SECOND};
use crate::status::{Report, TOLERANCE};
use crate::system::{self, Clock, Descriptor, Entry, Error, Path};
use crate::text::{Line, Snippet, Unhealthy};

/// What is at the path, whatever its kind, and how long ago it was modified.
///
/// # Errors
/// Nothing is, or it is not fresh, as the line says.
#[inline(never)]
pub(super) fn exists(check: &Check<'_>, why: &mut Line) -> Result<(), Unhealthy> {
    let mut path = Path::EMPTY;
    set(&mut path, check.path, why)?;
    let entry = path.entry();
    let entry = entry.map_err(|error| error.show_in(why).failed())?;
    let Some(max_age) = check.max_age else {
        return Ok(());
    };
    let age = system::now(Clock::Realtime).saturating_sub(entry.modified);
    // It would be fresh for as long as it lies ahead, and then for its time.
    if age < -TOLERANCE * SECOND {
        return Err(seconds(age.saturating_neg(), why.say("modified "))
            .say(" s in the future: a clock is wrong")
            .failed());
    }
    if age > max_age {
        return Err(seconds(age, why.say("modified ")).say(" s ago").failed());
    }
    Ok(())
}

/// The status file of an agent; `phase` becomes what the agent says it is doing.
///
/// # Errors
/// It does not hold, as the line says.
pub(super) fn status(
    path: &[u8],
    assertions: Spelling<'_>,
    phase: &mut Snippet,
    why: &mut Line,
) -> Result<(), Unhealthy> {
    let mut report = Report::new(assertions);
    let mut kernel_path = Path::EMPTY;
    set(&mut kernel_path, path, why)?;
    // Before it is opened, which can have effects on what is no file, and after, in case it was swapped.
    must_be_file(kernel_path.entry(), why)?;
    let file = Descriptor::open(&kernel_path).map_err(|error| error.show_in(why).failed())?;
    must_be_file(file.entry(), why)?;
    let mut buffer = [0; 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => report.push(buffer.get(..count).unwrap_or_default(), why)?,
            Err(Error::INTERRUPTED) => {}
            Err(error) => return Err(error.show_in(why).failed()),
        }
    }
    let now = system::now(Clock::Realtime).div_euclid(SECOND);
    report.judge(path, now, why)?;
    *phase = report.phase();
    Ok(())
}

fn set(kernel_path: &mut Path, path: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
    if kernel_path.set(path) {
        return Ok(());
    }
    Err(why.say("the path is too long").failed())
}

fn must_be_file(entry: Result<Entry, Error>, why: &mut Line) -> Result<(), Unhealthy> {
    match entry {
        Ok(entry) if entry.is_file => Ok(()),
        Ok(_) => Err(why.say("is no regular file").failed()),
        Err(error) => Err(error.show_in(why).failed()),
    }
}

fn seconds(nanoseconds: Nanoseconds, line: &mut Line) -> &mut Line {
    line.thousandths((nanoseconds / MILLISECOND) as u64)
}
