//! The requests of a multipart upload.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::checksum::Algorithm;
use super::encoding::iso_time;
use super::error::Refusal;
use super::listing::element;
use super::multipart::{Upload, UploadedPart, named_parts, wanted_checksum};
use super::read::{encryption, set};
use super::route::Route;
use super::serve::xml_response;
use super::store::Store;
use super::write::{
    Received, check_target, checksum_elements, copy_source, options_of, text, verify,
};
use super::xml::Element;

pub(super) fn create(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, Refusal> {
    let mut options = options_of(headers)?;
    let (algorithm, choice, kind) = wanted_checksum(
        text(headers, "x-amz-checksum-algorithm"),
        text(headers, "x-amz-checksum-type"),
    )?;
    options.checksum = choice;
    options.checksum_type = kind;
    let id = format!("upload-{}", store.next_serial());
    let upload = Upload {
        bucket: route.bucket.clone(),
        key: route.key.clone(),
        options,
        algorithm,
        parts: Default::default(),
    };
    store.uploads.insert(id.clone(), upload);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "Bucket", &route.bucket);
    element(&mut xml, "Key", &route.key);
    element(&mut xml, "UploadId", &id);
    xml.push_str("</InitiateMultipartUploadResult>");
    let mut response = xml_response(xml);
    if let Some(algorithm) = algorithm {
        set(
            response.headers_mut(),
            "x-amz-checksum-algorithm",
            algorithm.name(),
        );
        set(
            response.headers_mut(),
            "x-amz-checksum-type",
            kind.unwrap_or(algorithm.default_type()).name(),
        );
    }
    Ok(response)
}

pub(super) fn part(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
    received: Received,
) -> Result<Response<Bytes>, Refusal> {
    verify(headers, &received)?;
    let number = part_number(route)?;
    let upload = upload(store, route)?;
    let part = UploadedPart::new(received.data);
    let mut response = Response::new(Bytes::new());
    let answer = response.headers_mut();
    set(answer, "etag", &format!("\"{}\"", part.etag));
    encryption(answer, upload.options.sse);
    if let Some(algorithm) = upload.algorithm {
        set(answer, algorithm.header(), &algorithm.encoded(&part.data));
    }
    upload.parts.insert(number, part);
    Ok(response)
}

pub(super) fn part_copy(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, Refusal> {
    let source = copy_source(store, headers)?;
    let number = part_number(route)?;
    let data = match text(headers, "x-amz-copy-source-range")
        .and_then(|range| range.strip_prefix("bytes="))
    {
        None => source.data.clone(),
        Some(range) => {
            let bounds = range.split_once('-').and_then(|(first, last)| {
                Some(first.parse::<usize>().ok()?..last.parse::<usize>().ok()?.checked_add(1)?)
            });
            let bounds = bounds
                .filter(|bounds| bounds.start < bounds.end && bounds.end <= source.data.len());
            let bounds = bounds.ok_or_else(|| {
                Refusal::invalid_argument("The x-amz-copy-source-range value is not valid")
            })?;
            source.data.slice(bounds)
        }
    };
    let upload = upload(store, route)?;
    let part = UploadedPart::new(data);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyPartResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "LastModified", &iso_time(source.modified));
    element(&mut xml, "ETag", &format!("\"{}\"", part.etag));
    xml.push_str("</CopyPartResult>");
    upload.parts.insert(number, part);
    Ok(xml_response(xml))
}

pub(super) fn complete(
    store: &mut Store,
    route: &Route,
    headers: &HeaderMap,
    received: &Received,
) -> Result<Response<Bytes>, Refusal> {
    let named = named_parts(&Element::parse(&received.data)?)?;
    let (data, options) = upload(store, route)?.complete(&named)?;
    for algorithm in Algorithm::ALL {
        let claimed = text(headers, algorithm.header()).filter(|value| !value.contains('-'));
        if claimed.is_some_and(|claimed| claimed != algorithm.encoded(&data)) {
            return Err(Refusal::bad_digest(algorithm.name()));
        }
    }
    check_target(store, route, headers)?;
    let object = store.put(&route.bucket, &route.key, data, options);
    if let Some(id) = route.query.value("uploadId") {
        store.uploads.remove(id);
    }
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "Bucket", &route.bucket);
    element(&mut xml, "Key", &route.key);
    element(&mut xml, "ETag", &format!("\"{}\"", object.etag));
    checksum_elements(&mut xml, object.checksum.as_ref());
    xml.push_str("</CompleteMultipartUploadResult>");
    let mut response = xml_response(xml);
    encryption(response.headers_mut(), object.sse);
    Ok(response)
}

pub(super) fn abort(store: &mut Store, route: &Route) -> Result<Response<Bytes>, Refusal> {
    upload(store, route)?;
    if let Some(id) = route.query.value("uploadId") {
        store.uploads.remove(id);
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(super) fn parts(store: &mut Store, route: &Route) -> Result<Response<Bytes>, Refusal> {
    let upload = upload(store, route)?;
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "Bucket", &route.bucket);
    element(&mut xml, "Key", &route.key);
    element(
        &mut xml,
        "UploadId",
        route.query.value("uploadId").unwrap_or(""),
    );
    element(&mut xml, "IsTruncated", "false");
    for (number, part) in &upload.parts {
        xml.push_str("<Part>");
        element(&mut xml, "PartNumber", &number.to_string());
        element(&mut xml, "ETag", &format!("\"{}\"", part.etag));
        element(&mut xml, "Size", &part.data.len().to_string());
        xml.push_str("</Part>");
    }
    xml.push_str("</ListPartsResult>");
    Ok(xml_response(xml))
}

pub(super) fn list(store: &Store, route: &Route) -> Response<Bytes> {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    element(&mut xml, "Bucket", &route.bucket);
    element(&mut xml, "IsTruncated", "false");
    for (id, upload) in store
        .uploads
        .iter()
        .filter(|(_, upload)| upload.bucket == route.bucket)
    {
        xml.push_str("<Upload>");
        element(&mut xml, "Key", &upload.key);
        element(&mut xml, "UploadId", id);
        xml.push_str("</Upload>");
    }
    xml.push_str("</ListMultipartUploadsResult>");
    xml_response(xml)
}

fn upload<'a>(store: &'a mut Store, route: &Route) -> Result<&'a mut Upload, Refusal> {
    let id = route.query.value("uploadId").unwrap_or("");
    let upload = store
        .uploads
        .get_mut(id)
        .ok_or_else(Refusal::no_such_upload)?;
    match upload.bucket == route.bucket && upload.key == route.key {
        true => Ok(upload),
        false => Err(Refusal::no_such_upload()),
    }
}

fn part_number(route: &Route) -> Result<u32, Refusal> {
    let number = route
        .query
        .value("partNumber")
        .and_then(|text| text.parse().ok());
    number
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| {
            Refusal::invalid_argument(
                "Part number must be an integer between 1 and 10000, inclusive",
            )
        })
}
