//! ListObjects and ListObjectsV2: which keys a page holds, and its XML.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::encoding::{push_url_encoded, push_xml_escaped};
use super::error::Refusal;
use super::object::Object;
use super::route::Query;

const PAGE: usize = 1000;
const OWNER: &str = "<Owner><ID>0000000000000000</ID></Owner>";
const RESTORED: &str = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>\
    <RestoreExpiryDate>2099-01-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>";

/// What a listing asks for.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    query: &'a Query,
    version_2: bool,
    prefix: &'a str,
    delimiter: &'a str,
    /// Where the page begins: after this key, or after this common prefix.
    after: String,
    max_keys: usize,
    url: bool,
    owner: bool,
    restore_status: bool,
}

/// How a listing can lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distortion {
    /// No keys at all, and complete.
    Empty,
    /// More to come, and no way to ask for it.
    WithoutToken,
    /// So many keys missing, evenly spread, and not counted as missing.
    DropsKeys(usize),
}

/// The keys of one page.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    contents: Vec<(&'a str, &'a Object)>,
    prefixes: Vec<&'a str>,
    /// Where the next page begins, if there is one.
    next: Option<&'a str>,
    truncated: bool,
    count: usize,
}

impl<'a> Listing<'a> {
    pub(super) fn parse(query: &'a Query, restore_status: bool) -> Result<Listing<'a>, Refusal> {
        let value = |name| query.value(name).unwrap_or("");
        let version_2 = value("list-type") == "2";
        let after = match (version_2, query.value("continuation-token")) {
            (true, Some(token)) => decode_token(token)?,
            (true, None) => value("start-after").to_owned(),
            (false, _) => value("marker").to_owned(),
        };
        let max_keys = match query.value("max-keys") {
            None | Some("") => PAGE,
            Some(text) => text
                .parse::<usize>()
                .map_err(|_| {
                    Refusal::invalid_argument(
                        "Provided max-keys not an integer or within integer range",
                    )
                })?
                .min(PAGE),
        };
        Ok(Listing {
            query,
            version_2,
            prefix: value("prefix"),
            delimiter: value("delimiter"),
            after,
            max_keys,
            url: value("encoding-type") == "url",
            owner: !version_2 || value("fetch-owner") == "true",
            restore_status,
        })
    }

    /// The keys of this page.
    pub(super) fn page<'b>(&self, objects: &'b BTreeMap<Arc<str>, Arc<Object>>) -> Page<'b> {
        let mut page = Page::default();
        let start = match self.after.as_str() >= self.prefix {
            true => Bound::Excluded(self.after.as_str()),
            false => Bound::Included(self.prefix),
        };
        // A page that ended with a common prefix goes on behind everything below it.
        let mut last_prefix: Option<&str> = (!self.delimiter.is_empty()
            && self.after.len() > self.prefix.len()
            && self.after.ends_with(self.delimiter))
        .then_some(self.after.as_str());
        let mut last: Option<&'b str> = None;
        for (key, object) in objects.range::<str, _>((start, Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(self.prefix) else {
                break;
            };
            if last_prefix.is_some_and(|prefix| key.starts_with(prefix)) {
                continue;
            }
            if page.count == self.max_keys {
                page.truncated = self.max_keys > 0;
                page.next = last;
                break;
            }
            match self.common_prefix(key, rest) {
                Some(prefix) => {
                    page.prefixes.push(prefix);
                    last_prefix = Some(prefix);
                    last = Some(prefix);
                }
                None => {
                    page.contents.push((key, object));
                    last = Some(key);
                }
            }
            page.count += 1;
        }
        page
    }

    fn common_prefix<'b>(&self, key: &'b str, rest: &str) -> Option<&'b str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let length = self.prefix.len() + rest.find(self.delimiter)? + self.delimiter.len();
        Some(&key[..length])
    }

    /// The page as XML.
    pub(super) fn render(&self, bucket: &str, page: &Page<'_>) -> String {
        let mut xml = String::with_capacity(512 + page.contents.len() * 400);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        xml.push_str("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        element(&mut xml, "Name", bucket);
        self.encoded(&mut xml, "Prefix", self.prefix);
        if self.version_2 {
            for (parameter, name) in [
                ("continuation-token", "ContinuationToken"),
                ("start-after", "StartAfter"),
            ] {
                if let Some(value) = self.query.value(parameter) {
                    match parameter {
                        "start-after" => self.encoded(&mut xml, name, value),
                        _ => element(&mut xml, name, value),
                    }
                }
            }
            if let Some(next) = page.next {
                element(&mut xml, "NextContinuationToken", &encode_token(next));
            }
            element(&mut xml, "KeyCount", &page.count.to_string());
        } else {
            self.encoded(&mut xml, "Marker", self.query.value("marker").unwrap_or(""));
            // S3 names the next marker only where a client could not know it: with a delimiter.
            if let (Some(next), false) = (page.next, self.delimiter.is_empty()) {
                self.encoded(&mut xml, "NextMarker", next);
            }
        }
        element(&mut xml, "MaxKeys", &self.max_keys.to_string());
        if !self.delimiter.is_empty() {
            self.encoded(&mut xml, "Delimiter", self.delimiter);
        }
        if self.url {
            element(&mut xml, "EncodingType", "url");
        }
        element(
            &mut xml,
            "IsTruncated",
            if page.truncated { "true" } else { "false" },
        );
        for (key, object) in &page.contents {
            xml.push_str("<Contents><Key>");
            self.push(&mut xml, key);
            xml.push_str(&object.listing_tail);
            if self.owner {
                xml.push_str(OWNER);
            }
            if self.restore_status && object.restored {
                xml.push_str(RESTORED);
            }
            xml.push_str("</Contents>");
        }
        for prefix in &page.prefixes {
            xml.push_str("<CommonPrefixes>");
            self.encoded(&mut xml, "Prefix", prefix);
            xml.push_str("</CommonPrefixes>");
        }
        xml.push_str("</ListBucketResult>");
        xml
    }

    fn encoded(&self, xml: &mut String, name: &str, value: &str) {
        xml.push('<');
        xml.push_str(name);
        xml.push('>');
        self.push(xml, value);
        xml.push_str("</");
        xml.push_str(name);
        xml.push('>');
    }

    fn push(&self, xml: &mut String, value: &str) {
        match self.url {
            true => push_url_encoded(xml, value),
            false => push_xml_escaped(xml, value),
        }
    }
}

impl Page<'_> {
    /// Makes the page lie.
    pub(super) fn distort(&mut self, distortion: Distortion) {
        match distortion {
            Distortion::Empty => *self = Page::default(),
            Distortion::WithoutToken => {
                self.truncated = true;
                self.next = None;
            }
            Distortion::DropsKeys(count) => {
                let all = self.contents.len().max(1);
                let mut index = 0;
                self.contents.retain(|_| {
                    // Bresenham's rule: `count` of `all`, evenly spread.
                    let dropped = (index + 1) * count / all > index * count / all;
                    index += 1;
                    !dropped
                });
            }
        }
    }
}

pub(super) fn element(xml: &mut String, name: &str, value: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
    push_xml_escaped(xml, value);
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

fn encode_token(after: &str) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(after))
}

fn decode_token(token: &str) -> Result<String, Refusal> {
    token
        .strip_prefix('1')
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Refusal::invalid_argument("The continuation token provided is incorrect"))
}
