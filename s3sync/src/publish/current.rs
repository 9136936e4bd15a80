//! The current release as S3 has it, and any release's manifest.

use crate::failure::Failure;
use crate::release::{
    LONGEST_MANIFEST, LONGEST_POINTER, POINTER, Pointer, ReleaseManifest, manifest_key, short,
};
use crate::report::printable;
use crate::revision::Hash;
use crate::session::Ending;
use crate::source::{Condition, Got, PutResult, Small, Source};
use agent::exit::Exit;

/// The pointer that is there.
#[derive(Clone, Debug)]
pub(super) struct Current {
    /// What it says.
    pub(super) pointer: Pointer,
    /// Its ETag, for the next write's condition.
    pub(super) etag: Box<str>,
}

/// Reads the pointer; none when nothing was published yet.
///
/// # Errors
/// As S3 answers, and when what is there is no pointer.
pub(super) async fn read(source: &Source) -> Result<Option<Current>, Ending> {
    let got = source.read_small(POINTER, None, LONGEST_POINTER).await;
    let small = match got.map_err(Failure::from)? {
        Got::Found(small) => small,
        Got::Absent { .. } | Got::NotModified { .. } => return Ok(None),
    };
    let Small { bytes, etag, .. } = small;
    match Pointer::parse(&bytes) {
        Ok(pointer) => Ok(Some(Current { pointer, etag })),
        Err(why) => Err(Ending::new(
            Exit::Source,
            format!(
                "{}: {why}; restore an earlier version of it, or delete it and publish again",
                source.location().uri_of(POINTER)
            ),
        )),
    }
}

/// The current release, which must be there.
///
/// # Errors
/// As [`read`], and when nothing was published.
pub(super) async fn must(source: &Source) -> Result<Current, Ending> {
    read(source).await?.ok_or_else(|| {
        Ending::new(
            Exit::Source,
            format!(
                "{}: nothing was published here: check the URI, or begin with s3sync publish",
                source.location()
            ),
        )
    })
}

/// Writes the pointer in place of `before`. False when another publisher was quicker.
///
/// # Errors
/// As S3 answers.
pub(super) async fn write(
    source: &Source,
    pointer: &Pointer,
    before: Option<&Current>,
) -> Result<bool, Ending> {
    let condition = match before {
        Some(before) => Condition::IfMatch(&before.etag),
        None => Condition::IfAbsent,
    };
    let line = pointer.to_line();
    match source.put_small(POINTER, line.clone(), condition).await {
        Ok(PutResult::Done { .. }) => Ok(true),
        Ok(PutResult::Refused) => {
            // A write whose answer was lost was tried again, and then refused because of itself.
            let there = read(source).await?;
            Ok(there.is_some_and(|there| there.pointer == *pointer))
        }
        Err(error) => Err(Failure::from(error).into()),
    }
}

/// What to tell a publisher that came second.
pub(super) async fn conflict(source: &Source) -> Ending {
    let there = match read(source).await {
        Ok(there) => there,
        Err(ending) => return ending,
    };
    let who = match there {
        Some(Current { pointer, .. }) => format!("{} was published meanwhile", described(&pointer)),
        None => "the pointer was deleted meanwhile".to_string(),
    };
    Ending::new(
        Exit::No,
        format!(
            "{}: {who}, and nothing was changed: look at it with s3sync releases, bring your tree up to date and try again",
            source.location()
        ),
    )
}

/// A release in words: its name, ID, author and time, as the pointer has them.
pub(super) fn described(pointer: &Pointer) -> String {
    let by = match &pointer.author {
        Some(author) => format!(" by {}", printable(author)),
        None => String::new(),
    };
    format!(
        "{}{by} at {}",
        titled(pointer.name.as_deref(), &pointer.release),
        printable(&pointer.published)
    )
}

/// A release's name and short ID.
pub(super) fn titled(name: Option<&str>, release: &Hash) -> String {
    match name {
        Some(name) => format!("{} ({})", printable(name), short(release)),
        None => short(release),
    }
}

/// A release's manifest, or why there is none that can be believed.
///
/// # Errors
/// As S3 answers.
pub(super) async fn manifest(
    source: &Source,
    release: &Hash,
) -> Result<Result<ReleaseManifest, String>, Ending> {
    let key = manifest_key(release);
    let got = source.read_small(&key, None, LONGEST_MANIFEST).await;
    let parsed = match got.map_err(Failure::from)? {
        Got::Found(small) => ReleaseManifest::parse(release, &small.bytes),
        Got::Absent { .. } | Got::NotModified { .. } => Err("there is no such object".to_string()),
    };
    Ok(parsed.map_err(|why| format!("{}: {why}", source.location().uri_of(&key))))
}
