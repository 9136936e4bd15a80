//! `s3sync rollback`: an earlier release becomes the current one, by one write.

use super::current::{self, Current, described, titled};
use super::marker::Seen;
use super::releases::{Listed, listed};
use super::settings::{Rollback, is_beginning};
use super::{Clock, author, counted, marker, source, upload};
use crate::inspect::Answer;
use crate::pass::now;
use crate::release::{Pointer, ReleaseManifest, short, timestamp};
use crate::report::printable;
use crate::revision::{Hash, hex, unhex};
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Location, Source};
use agent::exit::Exit;

/// Requests at once.
const CONCURRENCY: usize = 16;

/// Moves the pointer to an earlier release.
///
/// # Errors
/// What S3 refuses; when there is no such release, or it is not whole; [`Exit::No`] when another
/// publisher was quicker.
pub async fn rollback(settings: &Rollback, around: &Surroundings) -> Result<Answer, Ending> {
    let begun = Clock::start();
    let location = &settings.place.location;
    let source = source(around, location, CONCURRENCY);
    let before = current::must(&source).await?;
    let release = target(&source, settings.to.as_deref(), &before.pointer).await?;
    if release == before.pointer.release {
        let text = format!(
            "{} is current already at {location}; nothing was written\n",
            described(&before.pointer)
        );
        return Ok(answer(settings, &before.pointer, false, text));
    }
    let manifest = whole(&source, &release).await?;
    let manifest = manifest.map_err(|why| Ending::new(Exit::Source, why))?;
    let pointer = Pointer {
        name: manifest.header.name.clone(),
        author: author(settings.author.as_deref(), &around.environment),
        previous: Some(hex(&before.pointer.release)),
        ..Pointer::new(release, manifest.header.revision, timestamp(now()))
    };
    if !current::write(&source, &pointer, Some(&before)).await? {
        return Err(current::conflict(&source).await);
    }
    // A prune that did not see the new pointer is over by now, or its marker is there. The pointer
    // goes first all the same: a rollback is urgent, and readers refuse what is not whole.
    let looked = async {
        let prune = marker::wait_for_end(&source, &begun).await?;
        Ok((prune, whole(&source, &release).await?))
    };
    match looked.await {
        Ok((_, Err(broken))) => return Err(put_back(&source, &pointer, &before, &broken).await),
        Ok((Seen::Runs, Ok(_))) => {
            let why = "a prune still runs, and may remove what it needs";
            return Err(unverified(&pointer, &Ending::new(Exit::Unavailable, why)));
        }
        // It may well be whole, and a rollback is urgent: the pointer stays.
        Err(error) => return Err(unverified(&pointer, &error)),
        Ok((_, Ok(_))) => {}
    }
    let text = format!(
        "rolled back {location} from {} to {}, made at {}\nrevision {}\n",
        titled(before.pointer.name.as_deref(), &before.pointer.release),
        titled(pointer.name.as_deref(), &release),
        printable(&manifest.header.created),
        hex(&pointer.revision)
    );
    Ok(answer(settings, &pointer, true, text))
}

fn answer(settings: &Rollback, pointer: &Pointer, moved: bool, text: String) -> Answer {
    let text = match settings::is_json(&settings.output) {
        true => {
            let json = serde_json::json!({
                "rolled_back": moved,
                "release": hex(&pointer.release),
                "revision": hex(&pointer.revision),
                "name": pointer.name,
                "previous": pointer.previous,
            });
            json.to_string() + "\n"
        }
        false => text,
    };
    Answer {
        text,
        exit: Exit::Done,
    }
}

/// The release that is meant.
async fn target(source: &Source, to: Option<&str>, pointer: &Pointer) -> Result<Hash, Ending> {
    let location = source.location();
    let Some(text) = to else {
        return pointer.previous.as_deref().and_then(unhex).ok_or_else(|| {
            let why = format!(
                "{location}: no release before {} is known: name one of s3sync releases",
                described(pointer)
            );
            Ending::new(Exit::Source, why)
        });
    };
    let all = listed(source, usize::MAX).await?;
    choose(&all, text, location).map_err(|why| Ending::new(Exit::Source, why))
}

/// The one release of this name, or whose ID begins so; a name goes first.
fn choose(all: &[Listed], text: &str, location: &Location) -> Result<Hash, String> {
    let named: Vec<Hash> = all
        .iter()
        .filter(|listed| listed.name() == Some(text))
        .map(|listed| listed.release)
        .collect();
    let begun = || -> Vec<Hash> {
        all.iter()
            .map(|listed| listed.release)
            .filter(|release| is_beginning(text) && hex(release).starts_with(text))
            .collect()
    };
    let found = if named.is_empty() { begun() } else { named };
    match &found[..] {
        [one] => Ok(*one),
        [] => Err(format!(
            "{location}: no release has the name or ID {}: see s3sync releases",
            printable(text)
        )),
        many => {
            let ids: Vec<String> = many.iter().take(5).map(short).collect();
            Err(format!(
                "{location}: {} is {} releases, such as {}: give an ID, or more of it",
                printable(text),
                many.len(),
                ids.join(", ")
            ))
        }
    }
}

fn unverified(pointer: &Pointer, error: &Ending) -> Ending {
    Ending::new(
        error.exit,
        format!(
            "rolled back to {}, but could not be verified: {}; should readers refuse it, publish that tree again, or roll back to another release",
            titled(pointer.name.as_deref(), &pointer.release),
            error.why
        ),
    )
}

/// The manifest of a release, all of whose content is there, or what is missing.
///
/// # Errors
/// As S3 answers: whether it is whole is not known then.
async fn whole(source: &Source, release: &Hash) -> Result<Result<ReleaseManifest, String>, Ending> {
    let manifest = match current::manifest(source, release).await? {
        Ok(manifest) => manifest,
        Err(why) => {
            return Ok(Err(format!(
                "{why}; nothing was changed: choose another release"
            )));
        }
    };
    let stored = upload::stored(source).await?;
    let missing: Vec<&str> = manifest
        .files
        .iter()
        .filter(|file| upload::is_gone(&stored, file))
        .map(|file| &*file.path)
        .collect();
    Ok(match missing.first() {
        None => Ok(manifest),
        Some(first) => Err(format!(
            "{}: the content of {} of {} is missing, such as {}; nothing was changed: publish that tree again, or choose another release",
            source.location(),
            counted(missing.len() as u64, "file"),
            short(release),
            printable(first)
        )),
    })
}

/// A prune was quicker: the pointer goes back to where it was.
async fn put_back(source: &Source, pointer: &Pointer, before: &Current, broken: &str) -> Ending {
    let back = async {
        match current::read(source).await? {
            Some(ours) if ours.pointer == *pointer => {
                current::write(source, &before.pointer, Some(&ours)).await
            }
            _ => Ok(false),
        }
    };
    match back.await {
        Ok(true) => Ending::new(
            Exit::Source,
            format!("a prune removed it meanwhile, and the pointer is where it was: {broken}"),
        ),
        Ok(false) => Ending::new(
            Exit::Source,
            format!(
                "a prune removed it meanwhile, and another release is current by now: {broken}"
            ),
        ),
        Err(error) => Ending::new(
            Exit::Source,
            format!(
                "a prune removed it meanwhile, and the pointer could not be put back ({}): roll back to another release: {broken}",
                error.why
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Header;

    fn release(byte: u8, name: Option<&str>) -> Listed {
        Listed {
            release: [byte; 32],
            modified: 0,
            header: Ok(Header {
                schema: 1,
                revision: [0; 32],
                name: name.map(str::to_string),
                author: None,
                created: String::new(),
                files: 0,
                bytes: 0,
            }),
        }
    }

    #[test]
    fn a_name_goes_before_an_id_and_what_is_meant_must_be_one() {
        let location: Location = "s3://bucket/dags".parse().unwrap();
        let all = [
            release(0xaa, Some("one")),
            release(0xab, Some("twice")),
            release(0xac, Some("twice")),
            release(0xad, Some("aaaaaa")),
            release(0xae, None),
        ];
        let choose = |text: &str| choose(&all, text, &location);
        assert_eq!(choose("one"), Ok([0xaa; 32]));
        assert_eq!(choose("aaaaaa"), Ok([0xad; 32]));
        assert_eq!(choose("aaaaaaaa"), Ok([0xaa; 32]));
        assert_eq!(choose(&"ae".repeat(32)), Ok([0xae; 32]));
        assert!(choose("twice").unwrap_err().contains("2 releases"));
        for nothing in ["aeae", "none", "", "AEAEAEAE"] {
            assert!(
                choose(nothing).unwrap_err().contains("no release"),
                "{nothing}"
            );
        }
    }
}
