//! GetObject and HeadObject.

use std::ops::Range;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::checksum::ChecksumType;
use super::encoding::parse_http_time;
use super::error::Refusal;
use super::object::{Object, Sse};
use super::route::Query;

/// Which bytes of an object an answer carries.
struct Selection {
    range: Range<usize>,
    partial: bool,
    /// Counted from 0.
    part: Option<usize>,
}

/// The answer to GET or HEAD.
pub(super) fn read(
    object: &Object,
    query: &Query,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response<Bytes>, Refusal> {
    check_conditions(object, headers)?;
    if object.archived() && !head {
        return Err(Refusal::invalid_object_state(&object.storage_class));
    }
    let selection = select(object, query, headers)?;
    let mut response = Response::new(match head {
        true => Bytes::new(),
        false => object.data.slice(selection.range.clone()),
    });
    let answer = response.headers_mut();
    answer.reserve(16);
    answer.insert(header::LAST_MODIFIED, object.modified_header.clone());
    answer.insert(header::ETAG, object.etag_header.clone());
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("binary/octet-stream"),
    );
    for (name, value) in &object.metadata {
        answer.insert(name.clone(), value.clone());
    }
    if head {
        answer.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from(selection.range.len()),
        );
    }
    if object.storage_class != "STANDARD" {
        set(answer, "x-amz-storage-class", &object.storage_class);
    }
    if object.restored {
        set(
            answer,
            "x-amz-restore",
            "ongoing-request=\"false\", expiry-date=\"Thu, 01 Jan 2099 00:00:00 GMT\"",
        );
    }
    encryption(answer, object.sse);
    if selection.part.is_some() && !object.parts.is_empty() {
        answer.insert(
            "x-amz-mp-parts-count",
            HeaderValue::from(object.parts.len()),
        );
    }
    let mode = headers
        .get("x-amz-checksum-mode")
        .map(HeaderValue::as_bytes);
    if mode.is_some_and(|mode| mode.eq_ignore_ascii_case(b"ENABLED")) {
        checksum(answer, object, &selection);
    }
    if selection.partial {
        let Range { start, end } = selection.range;
        let content_range = format!(
            "bytes {start}-{}/{}",
            end.saturating_sub(1),
            object.data.len()
        );
        set(answer, "content-range", &content_range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The header that says how an object is encrypted.
pub(super) fn encryption(answer: &mut HeaderMap, sse: Sse) {
    const NAME: &str = "x-amz-server-side-encryption";
    match sse {
        Sse::None => answer.insert(NAME, HeaderValue::from_static("AES256")),
        Sse::Kms => {
            answer.insert(
                "x-amz-server-side-encryption-aws-kms-key-id",
                HeaderValue::from_static("arn:aws:kms:us-east-1:123456789012:key/0000"),
            );
            answer.insert(NAME, HeaderValue::from_static("aws:kms"))
        }
    };
}

/// A part's checksum is known where the object's is a composite; a range has none.
fn checksum(answer: &mut HeaderMap, object: &Object, selection: &Selection) {
    let Some(checksum) = &object.checksum else {
        return;
    };
    let value = match selection.part {
        Some(part) if !object.parts.is_empty() && checksum.kind == ChecksumType::Composite => {
            object
                .parts
                .get(part)
                .and_then(|part| part.checksum.as_deref())
        }
        _ if selection.range.len() == object.data.len() => Some(checksum.value.as_str()),
        _ => None,
    };
    if let Some(value) = value {
        set(answer, checksum.algorithm.header(), value);
        set(answer, "x-amz-checksum-type", checksum.kind.name());
    }
}

/// Evaluates If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since as RFC 9110 orders them.
fn check_conditions(object: &Object, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = object
        .modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs() as i64);
    let time = |name| text(name).and_then(parse_http_time);
    match (text(header::IF_MATCH), time(header::IF_UNMODIFIED_SINCE)) {
        (Some(tags), _) if !names_etag(tags, &object.etag) => {
            return Err(Refusal::precondition_failed("If-Match"));
        }
        (None, Some(limit)) if modified > limit => {
            return Err(Refusal::precondition_failed("If-Unmodified-Since"));
        }
        _ => {}
    }
    let unchanged = match (text(header::IF_NONE_MATCH), time(header::IF_MODIFIED_SINCE)) {
        (Some(tags), _) => names_etag(tags, &object.etag),
        (None, Some(limit)) => modified <= limit,
        (None, None) => false,
    };
    if !unchanged {
        return Ok(());
    }
    let mut refusal = Refusal::new(304, "", "");
    refusal
        .headers
        .push(("etag", format!("\"{}\"", object.etag)));
    Err(refusal)
}

/// Whether a list of ETags, quoted or not, or `*`, holds this one.
pub(super) fn names_etag(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(|tag| tag.trim().trim_matches('"'))
        .any(|tag| tag == "*" || tag == etag)
}

fn select(object: &Object, query: &Query, headers: &HeaderMap) -> Result<Selection, Refusal> {
    let size = object.data.len();
    if let Some(number) = query.value("partNumber") {
        let number: usize = number
            .parse()
            .map_err(|_| Refusal::invalid_argument("Part number must be an integer"))?;
        return part(object, number);
    }
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    match range.and_then(|text| parse_range(text, size)) {
        None => Ok(Selection {
            range: 0..size,
            partial: false,
            part: None,
        }),
        Some(Some(range)) => Ok(Selection {
            range,
            partial: true,
            part: None,
        }),
        Some(None) => {
            let mut refusal = Refusal::new(
                416,
                "InvalidRange",
                "The requested range is not satisfiable",
            );
            refusal
                .elements
                .push(("ActualObjectSize", size.to_string()));
            refusal
                .headers
                .push(("content-range", format!("bytes */{size}")));
            Err(refusal)
        }
    }
}

fn part(object: &Object, number: usize) -> Result<Selection, Refusal> {
    let wrong = || {
        Refusal::new(
            416,
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
        )
    };
    let index = number.checked_sub(1).ok_or_else(wrong)?;
    if object.parts.is_empty() {
        let whole = 0..object.data.len();
        return match index {
            0 => Ok(Selection {
                partial: !whole.is_empty(),
                range: whole,
                part: Some(0),
            }),
            _ => Err(wrong()),
        };
    }
    let size = object.parts.get(index).ok_or_else(wrong)?.size;
    let start = object.parts[..index].iter().map(|part| part.size).sum();
    Ok(Selection {
        range: start..start + size,
        partial: true,
        part: Some(index),
    })
}

/// `None`: not a range that is honoured; `Some(None)`: one that cannot be satisfied.
fn parse_range(text: &str, size: usize) -> Option<Option<Range<usize>>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let count: usize = last.parse().ok()?;
        return Some((count > 0 && size > 0).then(|| size.saturating_sub(count)..size));
    }
    let first: usize = first.parse().ok()?;
    let last = match last {
        "" => usize::MAX,
        _ => last.parse().ok()?,
    };
    if last < first {
        return None;
    }
    Some((first < size).then(|| first..last.saturating_add(1).min(size)))
}

pub(super) fn set(answer: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (text, expected) in [
            ("bytes=0-3", Some(Some(0..4))),
            ("bytes=8-99", Some(Some(8..10))),
            ("bytes=8-", Some(Some(8..10))),
            ("bytes=-3", Some(Some(7..10))),
            ("bytes=-99", Some(Some(0..10))),
            ("bytes=10-", Some(None)),
            ("bytes=3-1", None),
            ("bytes=0-1,3-4", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn etags_match_with_and_without_quotes() {
        for (list, held) in [
            ("\"a\"", true),
            ("a", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("b", false),
        ] {
            assert_eq!(names_etag(list, "a"), held, "{list}");
        }
    }
}
