//! From an HTTP request to what it asks of S3 (path style only, which every client uses when the
//! endpoint is an address).

use http::{HeaderMap, Method};

use super::encoding::percent_decode;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// ListBuckets.
    ListBuckets,
    /// CreateBucket.
    CreateBucket,
    /// DeleteBucket.
    DeleteBucket,
    /// HeadBucket.
    HeadBucket,
    /// GetBucketLocation.
    BucketLocation,
    /// ListObjects and ListObjectsV2.
    List,
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// PutObject.
    Put,
    /// CopyObject.
    Copy,
    /// DeleteObject.
    Delete,
    /// DeleteObjects.
    DeleteMany,
    /// CreateMultipartUpload.
    CreateMultipart,
    /// UploadPart.
    UploadPart,
    /// UploadPartCopy.
    UploadPartCopy,
    /// CompleteMultipartUpload.
    CompleteMultipart,
    /// AbortMultipartUpload.
    AbortMultipart,
    /// ListParts.
    ListParts,
    /// ListMultipartUploads.
    ListUploads,
    /// All that this server does not play.
    Other,
}

impl Operation {
    /// How many there are: for tables indexed by `operation as usize`.
    pub const COUNT: usize = Operation::Other as usize + 1;

    /// All of them.
    pub const ALL: [Operation; Operation::COUNT] = [
        Operation::ListBuckets,
        Operation::CreateBucket,
        Operation::DeleteBucket,
        Operation::HeadBucket,
        Operation::BucketLocation,
        Operation::List,
        Operation::Get,
        Operation::Head,
        Operation::Put,
        Operation::Copy,
        Operation::Delete,
        Operation::DeleteMany,
        Operation::CreateMultipart,
        Operation::UploadPart,
        Operation::UploadPartCopy,
        Operation::CompleteMultipart,
        Operation::AbortMultipart,
        Operation::ListParts,
        Operation::ListUploads,
        Operation::Other,
    ];
}

/// Names and values of a query, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(raw: &str) -> Option<Query> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((percent_decode(name, true)?, percent_decode(value, true)?));
        }
        Some(Query(pairs))
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// A request, understood.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) query: Query,
}

impl Route {
    /// What a fault rule's key pattern is held against: the key, or for a listing its prefix.
    pub(super) fn subject(&self) -> &str {
        match self.operation {
            Operation::List => self.query.value("prefix").unwrap_or(""),
            _ => &self.key,
        }
    }
}

/// `None` when path or query are no UTF-8.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
) -> Option<Route> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (bucket, key) = (percent_decode(bucket, false)?, percent_decode(key, false)?);
    let query = Query::parse(query)?;
    let operation = match (bucket.is_empty(), key.is_empty()) {
        (true, _) if method == Method::GET => Operation::ListBuckets,
        (true, _) => Operation::Other,
        (false, true) => bucket_operation(method, &query),
        (false, false) => object_operation(method, &query, headers),
    };
    Some(Route {
        operation,
        bucket,
        key,
        query,
    })
}

fn bucket_operation(method: &Method, query: &Query) -> Operation {
    const SUBRESOURCES: [&str; 14] = [
        "acl",
        "cors",
        "encryption",
        "lifecycle",
        "logging",
        "notification",
        "object-lock",
        "policy",
        "policyStatus",
        "replication",
        "tagging",
        "versioning",
        "versions",
        "website",
    ];
    if SUBRESOURCES.iter().any(|name| query.has(name)) {
        return Operation::Other;
    }
    match method.as_str() {
        "GET" if query.has("location") => Operation::BucketLocation,
        "GET" if query.has("uploads") => Operation::ListUploads,
        "GET" => Operation::List,
        "HEAD" => Operation::HeadBucket,
        "PUT" => Operation::CreateBucket,
        "DELETE" => Operation::DeleteBucket,
        "POST" if query.has("delete") => Operation::DeleteMany,
        _ => Operation::Other,
    }
}

fn object_operation(method: &Method, query: &Query, headers: &HeaderMap) -> Operation {
    const SUBRESOURCES: [&str; 8] = [
        "acl",
        "attributes",
        "legal-hold",
        "restore",
        "retention",
        "select",
        "tagging",
        "torrent",
    ];
    if SUBRESOURCES.iter().any(|name| query.has(name)) {
        return Operation::Other;
    }
    let copy = headers.contains_key("x-amz-copy-source");
    let upload = query.has("uploadId");
    match method.as_str() {
        "GET" if upload => Operation::ListParts,
        "GET" => Operation::Get,
        "HEAD" => Operation::Head,
        "PUT" if upload && copy => Operation::UploadPartCopy,
        "PUT" if upload => Operation::UploadPart,
        "PUT" if copy => Operation::Copy,
        "PUT" => Operation::Put,
        "DELETE" if upload => Operation::AbortMultipart,
        "DELETE" => Operation::Delete,
        "POST" if query.has("uploads") => Operation::CreateMultipart,
        "POST" if upload => Operation::CompleteMultipart,
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let none = HeaderMap::new();
        for (method, path, query, operation, bucket, key) in [
            ("GET", "/", "", Operation::ListBuckets, "", ""),
            (
                "GET",
                "/b",
                "list-type=2&prefix=a%2Fb",
                Operation::List,
                "b",
                "",
            ),
            ("GET", "/b/", "", Operation::List, "b", ""),
            ("GET", "/b", "location", Operation::BucketLocation, "b", ""),
            ("GET", "/b", "versioning=", Operation::Other, "b", ""),
            (
                "GET",
                "/b/a//b+c%20d",
                "x-id=GetObject",
                Operation::Get,
                "b",
                "a//b+c d",
            ),
            ("GET", "/b//a", "", Operation::Get, "b", "/a"),
            ("HEAD", "/b/a", "partNumber=1", Operation::Head, "b", "a"),
            (
                "PUT",
                "/b/a",
                "partNumber=1&uploadId=u",
                Operation::UploadPart,
                "b",
                "a",
            ),
            ("POST", "/b", "delete", Operation::DeleteMany, "b", ""),
            (
                "POST",
                "/b/a",
                "uploads=",
                Operation::CreateMultipart,
                "b",
                "a",
            ),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let route = route(&method, path, query, &none).unwrap();
            assert_eq!(
                (route.operation, route.bucket.as_str(), route.key.as_str()),
                (operation, bucket, key),
                "{method} {path}?{query}"
            );
        }
    }
}
