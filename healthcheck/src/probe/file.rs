//! Files: that they are there, that they are fresh, and what a status file says.

use crate::assertion::Asked;
use crate::check::Check;
use crate::duration::{MILLISECOND, SECOND};
use crate::status::{ENTRYPOINT, Report, TOLERANCE, Word, named_after};
use crate::system::{self, Clock, Descriptor, Entry, Error, Path};
use crate::text::{Line, Unhealthy};

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
    // What lies ahead would be fresh for as long, and then for its time.
    let (distance, direction) = if age < -TOLERANCE * SECOND {
        (age.saturating_neg(), " s in the future: a clock is wrong")
    } else if age > max_age {
        (age, " s ago")
    } else {
        return Ok(());
    };
    why.say("modified ");
    why.thousandths((distance / MILLISECOND) as u64);
    Err(why.say(direction).failed())
}

/// The status file of an agent.
///
/// # Errors
/// It does not hold, as the line says.
#[inline(never)]
pub(super) fn status(
    check: &Check<'_>,
    asked: &mut Asked<'_>,
    why: &mut Line,
) -> Result<Word, Unhealthy> {
    let mut kernel_path = Path::EMPTY;
    set(&mut kernel_path, check.path, why)?;
    // Before it is opened, which can have effects on what is no file, and after, in case it was swapped.
    must_be_file(kernel_path.entry(), why)?;
    let file = Descriptor::open(&kernel_path).map_err(|error| error.show_in(why).failed())?;
    must_be_file(file.entry(), why)?;
    let mut report = Report::new(asked);
    let mut buffer = [0; 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => report.push(buffer.get(..count).unwrap_or_default(), why)?,
            Err(error) => return Err(error.show_in(why).failed()),
        }
    }
    let now = system::now(Clock::Realtime).div_euclid(SECOND);
    let agent = match check.is_profile {
        true => Some(ENTRYPOINT),
        false => named_after(check.path),
    };
    report.judge(agent, now, why)
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
