//! What S3 answers when it refuses: a status, a code, and a page of XML.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::encoding::push_xml_escaped;

/// An answer of refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// S3's code, such as `AccessDenied`; empty for an answer without a body.
    pub code: &'static str,
    /// The sentence for people.
    pub message: String,
    /// More elements of the page, such as `Region`.
    pub elements: Vec<(&'static str, String)>,
    /// More headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// Any refusal.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal {
            status,
            code,
            message: message.into(),
            elements: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn element(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.elements.push((name, value.into()));
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 403: the policy does not allow it.
    pub fn access_denied() -> Self {
        Self::new(403, "AccessDenied", "Access Denied")
    }

    /// 403: the object may be read, but its key may not be used.
    pub fn kms_access_denied() -> Self {
        Self::new(
            403,
            "AccessDenied",
            "User: arn:aws:sts::123456789012:assumed-role/task/s3sync is not authorized to perform: \
             kms:Decrypt on resource: arn:aws:kms:eu-central-1:123456789012:key/0000 because no \
             identity-based policy allows the kms:Decrypt action",
        )
    }

    /// 400: KMS is asked too often.
    pub fn kms_throttling() -> Self {
        Self::new(
            400,
            "KMS.ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your \
             calls. (Service: AWSKMS; Status Code: 400; Error Code: ThrottlingException)",
        )
    }

    /// 400: temporary credentials ran out.
    pub fn expired_token() -> Self {
        Self::new(400, "ExpiredToken", "The provided token has expired.")
    }

    /// 403 in the place of S3's 400, which some stores send for credentials that ran out.
    pub fn expired_token_403() -> Self {
        Self {
            status: 403,
            ..Self::expired_token()
        }
    }

    /// 403: this access key is unknown.
    pub fn invalid_access_key() -> Self {
        Self::new(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
    }

    /// 403: the secret key is wrong.
    pub fn signature_does_not_match() -> Self {
        Self::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method.",
        )
    }

    /// 403: the clocks differ by more than 15 minutes.
    pub fn time_too_skewed() -> Self {
        Self::new(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
        .element("MaxAllowedSkewMilliseconds", "900000")
    }

    /// 403: an archived object that nobody restored.
    pub fn invalid_object_state(storage_class: &str) -> Self {
        Self::new(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
        )
        .element("StorageClass", storage_class)
    }

    /// 500.
    pub fn internal_error() -> Self {
        Self::new(
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
        )
    }

    /// 503: too many requests.
    pub fn slow_down() -> Self {
        Self::new(503, "SlowDown", "Please reduce your request rate.")
    }

    /// 503 without a reason.
    pub fn service_unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "Reduce your request rate.")
    }

    /// 301: the bucket is in another region.
    pub fn permanent_redirect(bucket: &str, region: &str) -> Self {
        Self::new(
            301,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified \
             endpoint. Please send all future requests to this endpoint.",
        )
        .element("Endpoint", format!("{bucket}.s3.{region}.amazonaws.com"))
        .element("Bucket", bucket)
        .header("x-amz-bucket-region", region)
    }

    /// 400: what a regional endpoint says to a request that was signed for another region.
    pub fn wrong_region(signed_for: &str, region: &str) -> Self {
        Self::new(
            400,
            "AuthorizationHeaderMalformed",
            format!(
                "The authorization header is malformed; the region '{signed_for}' is wrong; \
                 expecting '{region}'"
            ),
        )
        .element("Region", region)
        .header("x-amz-bucket-region", region)
    }

    /// 404.
    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist")
            .element("BucketName", bucket)
    }

    /// 404.
    pub fn no_such_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.").element("Key", key)
    }

    /// 404.
    pub fn no_such_upload() -> Self {
        Self::new(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may \
             have been aborted or completed.",
        )
    }

    /// 412.
    pub fn precondition_failed(condition: &'static str) -> Self {
        Self::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
        .element("Condition", condition)
    }

    /// 400: the body is not what its checksum says.
    pub fn bad_digest(what: &str) -> Self {
        Self::new(
            400,
            "BadDigest",
            format!("The {what} you specified did not match what we received."),
        )
    }

    /// 400.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    /// 400.
    pub fn malformed_xml() -> Self {
        Self::new(
            400,
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    }

    /// 501: not among what this server plays.
    pub fn not_implemented() -> Self {
        Self::new(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        )
    }

    /// The answer; a HEAD request gets it without the page.
    pub(super) fn response(&self, resource: &str, head: bool) -> Response<Bytes> {
        let mut page = String::new();
        if !head && !self.code.is_empty() {
            page.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
            page.push_str(self.code);
            page.push_str("</Code><Message>");
            push_xml_escaped(&mut page, &self.message);
            page.push_str("</Message>");
            for (name, value) in &self.elements {
                page.push_str(&format!("<{name}>"));
                push_xml_escaped(&mut page, value);
                page.push_str(&format!("</{name}>"));
            }
            page.push_str("<Resource>");
            push_xml_escaped(&mut page, resource);
            page.push_str("</Resource><RequestId>0000000000000000</RequestId></Error>");
        }
        let mut response = Response::new(Bytes::from(page));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if self.status != 304 {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
