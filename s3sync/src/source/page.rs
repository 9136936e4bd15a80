//! One page of a listing: the XML of ListObjectsV2 to objects, or a refusal.
//!
//! The SDK's own parser costs several times as much and takes a page that ends early, lacks
//! IsTruncated or belongs to another listing. From such a page files would be deleted that S3 holds,
//! so whatever is not whole and consistent is refused here.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::url_encoding::decode;
use super::{Approval, Object};
use crate::release::POINTER;

/// Keys below this are this tool's own and are never synced.
const OWN: &str = ".s3sync/";
pub(super) const APPROVE: &str = ".s3sync/approve/";

/// What one page holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// In the order of the page.
    pub(super) objects: Vec<Object>,
    pub(super) undecodable: Vec<(String, String)>,
    pub(super) approvals: Vec<Approval>,
    /// The pointer to a release is among the keys.
    pub(super) pointer: bool,
    /// The token that asks for the next page; none at the last.
    pub(super) next: Option<String>,
}

/// Reads the page that answers a request for `prefix` in `bucket` with encoding-type=url.
///
/// # Errors
/// Why the page cannot be trusted, as the end of a sentence.
pub(super) fn parse(xml: &[u8], bucket: &str, prefix: &str) -> Result<Page, String> {
    let mut raw = read(xml)?;
    let url_encoded = match raw.encoding.as_deref() {
        None => false,
        Some(b"url") => true,
        Some(_) => return Err("its EncodingType is unknown".into()),
    };
    if let Some(name) = &raw.name
        && name.as_ref() != bucket.as_bytes()
        && !is_alias(bucket)
    {
        return Err(format!("it lists another bucket, {}", readable(name)));
    }
    if let Some(echoed) = raw.prefix.take() {
        let echoed = decoded(echoed, url_encoded)?;
        if echoed.as_ref() != prefix.as_bytes() {
            return Err(format!("it lists another prefix, {}", readable(&echoed)));
        }
    }
    if let Some(count) = raw.key_count
        && count != raw.entries.len() as u64
    {
        return Err(format!(
            "it says {count} keys and holds {}",
            raw.entries.len()
        ));
    }
    let truncated = match raw.truncated.as_deref() {
        Some(b"true") => true,
        Some(b"false") => false,
        Some(_) => return Err("its IsTruncated is neither true nor false".into()),
        None => return Err("it lacks IsTruncated".into()),
    };
    let next = match (truncated, raw.next) {
        (false, _) => None,
        (true, Some(token)) if !token.is_empty() => Some(text(token)?),
        (true, _) => return Err("it is truncated and has no NextContinuationToken".into()),
    };
    let mut page = Page {
        objects: Vec::with_capacity(raw.entries.len()),
        next,
        ..Page::default()
    };
    for entry in raw.entries {
        page.take(entry, prefix, url_encoded)?;
    }
    Ok(page)
}

impl Page {
    fn take(&mut self, entry: Entry<'_>, prefix: &str, url_encoded: bool) -> Result<(), String> {
        let key = entry.key.ok_or("an entry lacks its Key")?;
        let undecoded = key.clone();
        let key = match decoded(key, url_encoded) {
            Ok(key) => key,
            Err(reason) => {
                self.undecodable.push((readable(&undecoded), reason));
                return Ok(());
            }
        };
        let Some(below) = key.strip_prefix(prefix.as_bytes()) else {
            return Err(format!(
                "it holds a key outside the prefix, {}",
                readable(&key)
            ));
        };
        let below = match std::str::from_utf8(below) {
            Ok(below) => below,
            Err(_) => {
                self.undecodable
                    .push((readable(below), "the key is not UTF-8".into()));
                return Ok(());
            }
        };
        let missing = |field: &str| format!("{} lacks {field}", readable(below.as_bytes()));
        let modified = entry
            .modified
            .as_deref()
            .and_then(milliseconds)
            .ok_or_else(|| missing("LastModified"))?;
        let etag = entry
            .etag
            .as_deref()
            .map(unquoted)
            .filter(|etag| !etag.is_empty());
        let etag = etag
            .and_then(|etag| std::str::from_utf8(etag).ok())
            .ok_or_else(|| missing("ETag"))?;
        let size = entry
            .size
            .as_deref()
            .and_then(number)
            .ok_or_else(|| missing("Size"))?;
        if let Some(id) = below.strip_prefix(APPROVE) {
            if !id.is_empty() && !id.contains('/') {
                self.approvals.push(Approval {
                    id: id.to_owned(),
                    modified,
                });
            }
            return Ok(());
        }
        self.pointer |= below == POINTER;
        // An object named like the prefix is what consoles make for a folder: DEST itself.
        if below.is_empty() || below.starts_with(OWN) {
            return Ok(());
        }
        self.objects.push(Object {
            key: below.into(),
            etag: etag.into(),
            size,
            modified,
            archived: matches!(entry.class.as_deref(), Some(b"GLACIER" | b"DEEP_ARCHIVE"))
                && !entry.restored,
        });
        Ok(())
    }
}

/// A page as it stands in the XML. Decoding waits until EncodingType was seen, which may stand last.
#[derive(Default)]
struct Raw<'a> {
    name: Option<Cow<'a, [u8]>>,
    prefix: Option<Cow<'a, [u8]>>,
    encoding: Option<Cow<'a, [u8]>>,
    truncated: Option<Cow<'a, [u8]>>,
    next: Option<Cow<'a, [u8]>>,
    key_count: Option<u64>,
    entries: Vec<Entry<'a>>,
}

#[derive(Default)]
struct Entry<'a> {
    key: Option<Cow<'a, [u8]>>,
    modified: Option<Cow<'a, [u8]>>,
    etag: Option<Cow<'a, [u8]>>,
    size: Option<Cow<'a, [u8]>>,
    class: Option<Cow<'a, [u8]>>,
    restored: bool,
}

fn read(xml: &[u8]) -> Result<Raw<'_>, String> {
    let mut reader = Reader::from_reader(xml);
    let mut raw = Raw::default();
    root(&mut reader)?;
    children(&mut reader, |reader, start| {
        match start.local_name().as_ref() {
            b"Contents" => {
                if raw.entries.is_empty() {
                    raw.entries.reserve_exact(1000);
                }
                raw.entries.push(entry(reader)?);
            }
            b"Name" => raw.name = Some(value(reader)?),
            b"Prefix" => raw.prefix = Some(value(reader)?),
            b"EncodingType" => raw.encoding = Some(value(reader)?),
            b"IsTruncated" => raw.truncated = Some(value(reader)?),
            b"NextContinuationToken" => raw.next = Some(value(reader)?),
            b"KeyCount" => {
                raw.key_count = Some(number(&value(reader)?).ok_or("its KeyCount is no number")?);
            }
            // Nobody asked for a delimiter: keys rolled up in a common prefix would look deleted.
            b"CommonPrefixes" => {
                return Err("it answers another request, one with a delimiter".into());
            }
            _ => skip(reader, start)?,
        }
        Ok(())
    })?;
    loop {
        match event(&mut reader)? {
            Event::Eof => return Ok(raw),
            Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            Event::Comment(_) => {}
            _ => return Err("something follows the end of the listing".into()),
        }
    }
}

fn entry<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Entry<'a>, String> {
    let mut entry = Entry::default();
    children(reader, |reader, start| {
        match start.local_name().as_ref() {
            b"Key" => entry.key = Some(value(reader)?),
            b"LastModified" => entry.modified = Some(value(reader)?),
            b"ETag" => entry.etag = Some(value(reader)?),
            b"Size" => entry.size = Some(value(reader)?),
            b"StorageClass" => entry.class = Some(value(reader)?),
            b"RestoreStatus" => entry.restored = restored(reader)?,
            _ => skip(reader, start)?,
        }
        Ok(())
    })?;
    Ok(entry)
}

/// A restored copy exists when it has a date of expiry and is not still being made.
fn restored(reader: &mut Reader<&[u8]>) -> Result<bool, String> {
    let (mut in_progress, mut expires) = (false, false);
    children(reader, |reader, start| {
        match start.local_name().as_ref() {
            b"IsRestoreInProgress" => in_progress = value(reader)?.as_ref() != b"false",
            b"RestoreExpiryDate" => expires = !value(reader)?.is_empty(),
            _ => skip(reader, start)?,
        }
        Ok(())
    })?;
    Ok(expires && !in_progress)
}

fn root(reader: &mut Reader<&[u8]>) -> Result<(), String> {
    loop {
        match event(reader)? {
            Event::Start(start) if start.local_name().as_ref() == b"ListBucketResult" => {
                return Ok(());
            }
            Event::Start(start) => {
                return Err(format!(
                    "it is no listing but {}",
                    readable(start.local_name().as_ref())
                ));
            }
            Event::Eof => return Err("it is empty".into()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            _ => return Err("it is no XML".into()),
        }
    }
}

/// Calls `each` for the elements within the one that is open, until that ends. `each` reads its
/// element to the end.
fn children<'a>(
    reader: &mut Reader<&'a [u8]>,
    mut each: impl FnMut(&mut Reader<&'a [u8]>, &BytesStart<'a>) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        match event(reader)? {
            Event::Start(start) => each(reader, &start)?,
            Event::End(_) => return Ok(()),
            Event::Eof => return Err("it ends early".into()),
            _ => {}
        }
    }
}

fn skip(reader: &mut Reader<&[u8]>, start: &BytesStart<'_>) -> Result<(), String> {
    match reader.read_to_end(start.name()) {
        Ok(_) => Ok(()),
        Err(error) => Err(broken(&error)),
    }
}

/// The text of the open element, to its end.
fn value<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Cow<'a, [u8]>, String> {
    let mut value = Cow::Borrowed(&b""[..]);
    loop {
        match event(reader)? {
            Event::Text(text) => append(&mut value, text.into_inner()),
            Event::CData(text) => append(&mut value, text.into_inner()),
            Event::GeneralRef(reference) => {
                let mut utf8 = [0; 4];
                let character = match &*reference {
                    b"quot" => '"',
                    b"amp" => '&',
                    b"lt" => '<',
                    b"gt" => '>',
                    b"apos" => '\'',
                    _ => reference
                        .resolve_char_ref()
                        .ok()
                        .flatten()
                        .ok_or("it holds an unknown entity")?,
                };
                value
                    .to_mut()
                    .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            Event::Comment(_) => {}
            Event::End(_) => return Ok(value),
            Event::Eof => return Err("it ends early".into()),
            _ => return Err("an element stands where a value must be".into()),
        }
    }
}

fn append<'a>(value: &mut Cow<'a, [u8]>, more: Cow<'a, [u8]>) {
    if value.is_empty() {
        *value = more;
    } else {
        value.to_mut().extend_from_slice(&more);
    }
}

fn event<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Event<'a>, String> {
    loop {
        match reader.read_event() {
            // S3 writes none, but `<Prefix/>` is how others write an empty one: as if it were
            // absent, which for what is needed is refused later.
            Ok(Event::Empty(_)) => {}
            Ok(event) => return Ok(event),
            Err(error) => return Err(broken(&error)),
        }
    }
}

fn broken(error: &quick_xml::Error) -> String {
    use quick_xml::errors::IllFormedError::MissingEndTag;
    match error {
        quick_xml::Error::Syntax(_) | quick_xml::Error::IllFormed(MissingEndTag(_)) => {
            "it ends early".into()
        }
        _ => "it is no well-formed XML".into(),
    }
}

fn decoded(value: Cow<'_, [u8]>, url_encoded: bool) -> Result<Cow<'_, [u8]>, String> {
    if url_encoded {
        decode(value).ok_or_else(|| "its %-encoding is broken".to_owned())
    } else {
        Ok(value)
    }
}

fn text(value: Cow<'_, [u8]>) -> Result<String, String> {
    String::from_utf8(value.into_owned())
        .map_err(|_| "its NextContinuationToken is not UTF-8".to_owned())
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn milliseconds(value: &[u8]) -> Option<i64> {
    let time = OffsetDateTime::parse(std::str::from_utf8(value).ok()?, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

fn unquoted(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"\"")
        .and_then(|etag| etag.strip_suffix(b"\""))
        .unwrap_or(etag)
}

/// Through an access point's alias, S3 may name the bucket behind it.
fn is_alias(bucket: &str) -> bool {
    ["-s3alias", "--ol-s3", ".mrap", "--xa-s3"]
        .iter()
        .any(|suffix| bucket.ends_with(suffix))
}

fn readable(bytes: &[u8]) -> String {
    format!("`{}`", String::from_utf8_lossy(bytes).escape_debug())
}

#[cfg(test)]
mod tests;
