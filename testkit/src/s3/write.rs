//! PutObject, CopyObject and deletes, and the checks that all writes share.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use md5::Digest as _;

use super::checksum::{Algorithm, Checksum, hex};
use super::encoding::{iso_time, percent_decode};
use super::error::Refusal;
use super::listing::element;
use super::multipart::{choice_of, wanted_checksum};
use super::object::{ChecksumChoice, Object, PutOptions, Sse};
use super::read::{encryption, names_etag, set};
use super::route::Route;
use super::serve::xml_response;
use super::store::Store;
use super::xml::Element;

/// A body with its wrapping taken off.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) data: Bytes,
    pub(super) trailers: Vec<(String, String)>,
}

pub(super) fn put(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
    received: Received,
) -> Result<Response<Bytes>, Refusal> {
    let sent = verify(headers, &received)?;
    check_target(store, route, headers)?;
    let mut options = options_of(headers)?;
    if let Some(algorithm) = sent {
        options.checksum = choice_of(algorithm);
    }
    let object = store.put(&route.bucket, &route.key, received.data, options);
    Ok(stored(&object, Bytes::new()))
}

pub(super) fn copy(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, Refusal> {
    let source = copy_source(store, headers)?;
    check_target(store, route, headers)?;
    let mut options = options_of(headers)?;
    if text(headers, "x-amz-metadata-directive") != Some("REPLACE") {
        options.metadata.clone_from(&source.metadata);
    }
    if let (ChecksumChoice::Default, Some(checksum)) = (options.checksum, &source.checksum) {
        options.checksum = choice_of(checksum.algorithm);
    }
    let object = store.put(&route.bucket, &route.key, source.data.clone(), options);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "LastModified", &iso_time(object.modified));
    element(&mut xml, "ETag", &format!("\"{}\"", object.etag));
    checksum_elements(&mut xml, object.checksum.as_ref());
    xml.push_str("</CopyObjectResult>");
    let mut response = xml_response(xml);
    encryption(response.headers_mut(), object.sse);
    Ok(response)
}

pub(super) fn delete(store: &mut Store, route: &Route) -> Response<Bytes> {
    store.bucket(&route.bucket).remove(&route.key);
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(super) fn delete_many(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
    received: Received,
) -> Result<Response<Bytes>, Refusal> {
    verify(headers, &received)?;
    let document = Element::parse(&received.data)?;
    let quiet = document.text("Quiet") == Some("true");
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    for object in document.children("Object") {
        let key = object.text("Key").ok_or_else(Refusal::malformed_xml)?;
        store.bucket(&route.bucket).remove(key);
        if !quiet {
            xml.push_str("<Deleted>");
            element(&mut xml, "Key", key);
            xml.push_str("</Deleted>");
        }
    }
    xml.push_str("</DeleteResult>");
    Ok(xml_response(xml))
}

/// Holds a body against every checksum that came with it. Returns the algorithm to store.
pub(super) fn verify(
    headers: &HeaderMap,
    received: &Received,
) -> Result<Option<Algorithm>, Refusal> {
    let data = &received.data;
    if let Some(claimed) = text(headers, "content-md5")
        && claimed != STANDARD.encode(md5::Md5::digest(data))
    {
        return Err(Refusal::bad_digest("Content-MD5"));
    }
    if let Some(claimed) = text(headers, "x-amz-content-sha256")
        && claimed.len() == 64
        && claimed != hex(&Algorithm::Sha256.digest(data))
    {
        return Err(Refusal::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ));
    }
    let mut stored = text(headers, "x-amz-sdk-checksum-algorithm").and_then(Algorithm::named);
    for algorithm in Algorithm::ALL {
        let trailer = received
            .trailers
            .iter()
            .find(|(name, _)| name == algorithm.header());
        let claimed = trailer
            .map(|(_, value)| value.as_str())
            .or(text(headers, algorithm.header()));
        let Some(claimed) = claimed else { continue };
        if claimed != algorithm.encoded(data) {
            return Err(Refusal::bad_digest(algorithm.name()));
        }
        stored = Some(algorithm);
    }
    Ok(stored)
}

/// If-None-Match and If-Match of a write.
pub(super) fn check_target(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let present = store.bucket(&route.bucket).objects.get(route.key.as_str());
    let condition = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if condition(header::IF_NONE_MATCH).is_some() && present.is_some() {
        return Err(Refusal::precondition_failed("If-None-Match"));
    }
    match (condition(header::IF_MATCH), present) {
        (Some(_), None) => Err(Refusal::no_such_key(&route.key)),
        (Some(tags), Some(object)) if !names_etag(tags, &object.etag) => {
            Err(Refusal::precondition_failed("If-Match"))
        }
        _ => Ok(()),
    }
}

pub(super) fn options_of(headers: &HeaderMap) -> Result<PutOptions, Refusal> {
    const KEPT: [&str; 6] = [
        "content-type",
        "content-encoding",
        "cache-control",
        "content-disposition",
        "content-language",
        "expires",
    ];
    let mut options = PutOptions {
        storage_class: text(headers, "x-amz-storage-class").map(str::to_owned),
        checksum: wanted_checksum(text(headers, "x-amz-checksum-algorithm"), None)?.1,
        ..PutOptions::default()
    };
    if text(headers, "x-amz-server-side-encryption").is_some_and(|sse| sse.starts_with("aws:kms")) {
        options.sse = Sse::Kms;
    }
    for (name, value) in headers {
        if KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-amz-meta-") {
            options.metadata.push((name.clone(), value.clone()));
        }
    }
    // What a client wraps around the body for the way is no property of the object.
    options.metadata.retain_mut(|(name, value)| {
        if *name != header::CONTENT_ENCODING {
            return true;
        }
        let encodings = value.to_str().unwrap_or("").split(',').map(str::trim);
        let own: Vec<&str> = encodings
            .filter(|encoding| *encoding != "aws-chunked")
            .collect();
        *value = HeaderValue::from_str(&own.join(",")).unwrap_or(HeaderValue::from_static(""));
        !value.is_empty()
    });
    Ok(options)
}

pub(super) fn copy_source(store: &mut Store, headers: &HeaderMap) -> Result<Arc<Object>, Refusal> {
    let source = text(headers, "x-amz-copy-source").unwrap_or("");
    let source = source
        .split_once("?versionId=")
        .map_or(source, |(path, _)| path);
    let source = percent_decode(source.strip_prefix('/').unwrap_or(source), false);
    let source =
        source.ok_or_else(|| Refusal::invalid_argument("Invalid copy source encoding."))?;
    let (bucket, key) = source.split_once('/').ok_or_else(|| {
        Refusal::invalid_argument("Copy Source must mention the source bucket and key")
    })?;
    let bucket = store
        .buckets
        .get(bucket)
        .ok_or_else(|| Refusal::no_such_bucket(bucket))?;
    let object = bucket
        .objects
        .get(key)
        .ok_or_else(|| Refusal::no_such_key(key))?;
    if object.archived() {
        return Err(Refusal::invalid_object_state(&object.storage_class));
    }
    match text(headers, "x-amz-copy-source-if-match") {
        Some(tags) if !names_etag(tags, &object.etag) => {
            Err(Refusal::precondition_failed("x-amz-copy-source-If-Match"))
        }
        _ => Ok(Arc::clone(object)),
    }
}

/// The answer to a PUT.
fn stored(object: &Object, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let answer = response.headers_mut();
    answer.insert(header::ETAG, object.etag_header.clone());
    encryption(answer, object.sse);
    if let Some(checksum) = &object.checksum {
        set(answer, checksum.algorithm.header(), &checksum.value);
        set(answer, "x-amz-checksum-type", checksum.kind.name());
    }
    response
}

pub(super) fn checksum_elements(xml: &mut String, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        element(
            xml,
            &format!("Checksum{}", checksum.algorithm.name()),
            &checksum.value,
        );
        element(xml, "ChecksumType", checksum.kind.name());
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
