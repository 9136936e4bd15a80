//! One request from its arrival to its answer, with what was asked to go wrong.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::body::{Body, Ending};
use super::error::Refusal;
use super::fault::{Fault, Faults};
use super::listing::{Distortion, Listing, element};
use super::log::{Log, Request};
use super::read::{read, set};
use super::route::{Operation, Route, route};
use super::store::Store;
use super::write::{self, Received};
use super::{chunked, encoding, uploads};

/// What the server's thread and the test's share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Mutex<Store>,
    pub(super) faults: Faults,
    pub(super) log: Mutex<Log>,
    /// Microseconds before an answer, by operation.
    pub(super) delays: [AtomicU64; Operation::COUNT],
    /// The only access key that is let in, when there is one.
    pub(super) access_key: Mutex<Option<String>>,
    pub(super) region: String,
}

impl Shared {
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, route: &Route, time: SystemTime, status: u16) {
        let mut log = self.log();
        log.counts[route.operation as usize] += 1;
        if log.keep {
            log.requests.push(Request {
                operation: route.operation,
                bucket: route.bucket.clone(),
                key: route.subject().to_owned(),
                time,
                status,
            });
        }
    }
}

/// Answers a request; an error ends the connection without an answer.
pub(super) async fn answer(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let time = SystemTime::now();
    let (parts, incoming) = request.into_parts();
    let query = parts.uri.query().unwrap_or("");
    let Some(route) = route(&parts.method, parts.uri.path(), query, &parts.headers) else {
        let refusal = Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI.");
        return Ok(refusal.response(parts.uri.path(), false).map(Body::whole));
    };
    let received = match parts.method {
        Method::PUT | Method::POST => receive(incoming, &parts.headers).await?,
        _ => Ok(Received {
            data: Bytes::new(),
            trailers: Vec::new(),
        }),
    };
    let empty = received
        .as_ref()
        .is_ok_and(|received| received.data.is_empty());
    let delay = shared.delays[route.operation as usize].load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_micros(delay)).await;
    }
    let fault = shared.faults.decide(route.operation, route.subject());
    match &fault {
        Some(Fault::Hang) => {
            shared.note(&route, time, 0);
            std::future::pending::<()>().await;
        }
        Some(Fault::Reset) => {
            shared.note(&route, time, 0);
            reset.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::Slow { before, .. }) => tokio::time::sleep(*before).await,
        _ => {}
    }
    let head = parts.method == Method::HEAD;
    let result = match &fault {
        Some(Fault::Refuse(refusal)) => Err(refusal.clone()),
        _ => received.and_then(|received| {
            admit(&shared, &parts.headers, query)?;
            execute(
                &shared,
                &route,
                query,
                &parts.headers,
                received,
                fault.as_ref(),
            )
        }),
    };
    let mut response = result.unwrap_or_else(|refusal| refusal.response(parts.uri.path(), head));
    let common = response.headers_mut();
    common.insert(
        "x-amz-request-id",
        HeaderValue::from_static("0000000000000000"),
    );
    common.insert("x-amz-id-2", HeaderValue::from_static("trimtab"));
    common.insert(header::SERVER, HeaderValue::from_static("AmazonS3"));
    if parts.headers.contains_key(header::EXPECT) && empty {
        // hyper says no "100 Continue" for an empty body, and botocore, which then reads the answer
        // in its place, hangs for a minute when it uses such a connection again.
        common.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    let answered = spoil(&shared, &route, response, fault, reset);
    shared.note(&route, time, if answered.is_ok() { status } else { 0 });
    answered
}

async fn receive(incoming: Incoming, headers: &HeaderMap) -> io::Result<Result<Received, Refusal>> {
    let data = incoming
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    if !chunked::is_chunked(headers) {
        return Ok(Ok(Received {
            data,
            trailers: Vec::new(),
        }));
    }
    Ok(chunked::decode(data).map(|(data, trailers)| Received { data, trailers }))
}

/// Lets a request in by its access key. Signatures are not looked at.
fn admit(shared: &Shared, headers: &HeaderMap, query: &str) -> Result<(), Refusal> {
    let wanted = shared
        .access_key
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let Some(wanted) = wanted.as_deref() else {
        return Ok(());
    };
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let credential = authorization
        .and_then(|text| text.split_once("Credential=").map(|(_, rest)| rest))
        .or_else(|| query.split_once("X-Amz-Credential=").map(|(_, rest)| rest));
    match credential.and_then(|text| text.split(['/', '%']).next()) {
        None => Err(Refusal::access_denied()),
        Some(key) if key == wanted => Ok(()),
        Some(_) => Err(Refusal::invalid_access_key()),
    }
}

fn execute(
    shared: &Shared,
    route: &Route,
    query: &str,
    headers: &HeaderMap,
    received: Received,
    fault: Option<&Fault>,
) -> Result<Response<Bytes>, Refusal> {
    let mut guard = shared.store();
    let store = &mut *guard;
    match route.operation {
        Operation::ListBuckets => return Ok(list_buckets(store)),
        Operation::CreateBucket => return create_bucket(store, route, &shared.region),
        Operation::Other if route.bucket.is_empty() => return Err(Refusal::not_implemented()),
        _ => {}
    }
    let Some(bucket) = store.buckets.get_mut(&route.bucket) else {
        return Err(Refusal::no_such_bucket(&route.bucket));
    };
    match route.operation {
        Operation::List => list(bucket, route, query, headers, fault),
        Operation::Get | Operation::Head => {
            let object = bucket.objects.get(route.key.as_str());
            let object = object.ok_or_else(|| Refusal::no_such_key(&route.key))?;
            read(
                object,
                &route.query,
                headers,
                route.operation == Operation::Head,
            )
        }
        Operation::HeadBucket => {
            let mut response = Response::new(Bytes::new());
            set(
                response.headers_mut(),
                "x-amz-bucket-region",
                &shared.region,
            );
            Ok(response)
        }
        Operation::BucketLocation => Ok(location(&shared.region)),
        Operation::DeleteBucket if !bucket.objects.is_empty() => Err(Refusal::new(
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        )),
        Operation::DeleteBucket => {
            store.buckets.remove(&route.bucket);
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = http::StatusCode::NO_CONTENT;
            Ok(response)
        }
        Operation::Put => write::put(store, route, headers, received),
        Operation::Copy => write::copy(store, route, headers),
        Operation::Delete => Ok(write::delete(store, route)),
        Operation::DeleteMany => write::delete_many(store, route, headers, received),
        Operation::CreateMultipart => uploads::create(store, route, headers),
        Operation::UploadPart => uploads::part(store, route, headers, received),
        Operation::UploadPartCopy => uploads::part_copy(store, route, headers),
        Operation::CompleteMultipart => uploads::complete(store, route, headers, &received),
        Operation::AbortMultipart => uploads::abort(store, route),
        Operation::ListParts => uploads::parts(store, route),
        Operation::ListUploads => Ok(uploads::list(store, route)),
        Operation::Other if route.query.has("versioning") => Ok(xml_response(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<VersioningConfiguration \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>"
                .to_owned(),
        )),
        Operation::Other | Operation::ListBuckets | Operation::CreateBucket => {
            Err(Refusal::not_implemented())
        }
    }
}

fn list(
    bucket: &mut super::store::Bucket,
    route: &Route,
    query: &str,
    headers: &HeaderMap,
    fault: Option<&Fault>,
) -> Result<Response<Bytes>, Refusal> {
    let distortion = match fault {
        Some(Fault::EmptyListing) => Some(Distortion::Empty),
        Some(Fault::ListingWithoutToken) => Some(Distortion::WithoutToken),
        Some(Fault::ListingDropsKeys(count)) => Some(Distortion::DropsKeys(*count)),
        _ => None,
    };
    let restore_status = headers
        .get("x-amz-optional-object-attributes")
        .is_some_and(|value| value.as_bytes() == b"RestoreStatus");
    let cached_as = format!("{restore_status} {query}");
    if let (None, Some(page)) = (distortion, bucket.page(&cached_as)) {
        return Ok(xml_bytes(page));
    }
    let listing = Listing::parse(&route.query, restore_status)?;
    let mut page = listing.page(&bucket.objects);
    if let Some(distortion) = distortion {
        page.distort(distortion);
        return Ok(xml_response(listing.render(&route.bucket, &page)));
    }
    let xml = Bytes::from(listing.render(&route.bucket, &page));
    bucket.keep_page(cached_as, xml.clone());
    Ok(xml_bytes(xml))
}

fn list_buckets(store: &Store) -> Response<Bytes> {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>0000000000000000</ID></Owner><Buckets>",
    );
    for name in store.buckets.keys() {
        xml.push_str("<Bucket>");
        element(&mut xml, "Name", name);
        element(
            &mut xml,
            "CreationDate",
            &encoding::iso_time(SystemTime::UNIX_EPOCH),
        );
        xml.push_str("</Bucket>");
    }
    xml.push_str("</Buckets></ListAllMyBucketsResult>");
    xml_response(xml)
}

fn create_bucket(
    store: &mut Store,
    route: &Route,
    region: &str,
) -> Result<Response<Bytes>, Refusal> {
    if store.buckets.contains_key(&route.bucket) && region != "us-east-1" {
        return Err(Refusal::new(
            409,
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        ));
    }
    store.bucket(&route.bucket);
    let mut response = Response::new(Bytes::new());
    set(
        response.headers_mut(),
        "location",
        &format!("/{}", route.bucket),
    );
    Ok(response)
}

fn location(region: &str) -> Response<Bytes> {
    let named = if region == "us-east-1" { "" } else { region };
    xml_response(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{named}</LocationConstraint>"
    ))
}

pub(super) fn xml_response(xml: String) -> Response<Bytes> {
    xml_bytes(Bytes::from(xml))
}

fn xml_bytes(xml: Bytes) -> Response<Bytes> {
    let mut response = Response::new(xml);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

/// Does to a finished answer what the fault says.
fn spoil(
    shared: &Shared,
    route: &Route,
    response: Response<Bytes>,
    fault: Option<Fault>,
    reset: Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let (parts, data) = response.into_parts();
    let body = match fault {
        Some(Fault::CutAfter(_)) if data.is_empty() => {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(Fault::ResetAfter(_)) if data.is_empty() => {
            reset.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::CutAfter(count)) => Body::ending_after(&data, count, Ending::Cut),
        Some(Fault::ResetAfter(count)) => Body::ending_after(&data, count, Ending::Reset(reset)),
        Some(Fault::HangAfter(count)) => Body::ending_after(&data, count, Ending::Hang),
        Some(Fault::Slow {
            bytes_per_second, ..
        }) => Body::slow(data, bytes_per_second),
        Some(Fault::FlipByte(offset)) => Body::whole(flip(data, offset)),
        Some(Fault::WrongLength(difference)) => Body::whole(resize(data, difference)),
        Some(Fault::TruncatedListing) if route.operation == Operation::List => {
            Body::whole(data.slice(..data.len() / 2))
        }
        Some(Fault::Substitute { key }) if route.operation == Operation::Get => {
            let store = shared.store();
            let other = store
                .buckets
                .get(&route.bucket)
                .and_then(|bucket| bucket.objects.get(key.as_str()));
            Body::whole(other.map_or(data, |other| other.data.clone()))
        }
        _ => Body::whole(data),
    };
    Ok(Response::from_parts(parts, body))
}

fn flip(data: Bytes, offset: usize) -> Bytes {
    let mut copy = data.to_vec();
    if !copy.is_empty() {
        let offset = offset % copy.len();
        copy[offset] ^= 1;
    }
    Bytes::from(copy)
}

fn resize(data: Bytes, difference: i64) -> Bytes {
    let size = data
        .len()
        .saturating_add_signed(isize::try_from(difference).unwrap_or(0));
    let mut copy = data.to_vec();
    copy.resize(size, 0);
    Bytes::from(copy)
}
