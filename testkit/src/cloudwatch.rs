//! Between the CloudWatch SDK, which speaks CBOR only, and moto, which does not.
//!
//! Each call of smithy's rpc-v2-cbor becomes one of the JSON protocol that moto understands, and
//! its answer becomes CBOR again; nothing is judged here, so moto stays the judge. All other
//! requests pass through as they are.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use ciborium::Value as Cbor;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value as Json;

use crate::front::Front;
use crate::http::{self as client, Answer};

const SERVICE: &str = "/service/GraniteServiceVersion20100801/operation/";

/// A running shim; it ends when this is dropped.
#[derive(Debug)]
pub struct Shim {
    front: Front,
}

impl Shim {
    /// Starts in front of a moto, given by its endpoint.
    ///
    /// # Panics
    /// When no socket can be bound, or no thread started.
    pub fn start(moto: &str) -> Shim {
        match Shim::try_start(moto.to_owned()) {
            Ok(shim) => shim,
            Err(error) => panic!("the CloudWatch shim cannot be started: {error:#}"),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.front.endpoint()
    }

    /// What a client's environment needs to find it, and nothing else of the machine's.
    pub fn environment(&self) -> Vec<(String, String)> {
        crate::s3::client_environment(&self.endpoint(), "us-east-1")
    }

    fn try_start(moto: String) -> anyhow::Result<Shim> {
        let front = Front::start("cloudwatch-shim", move |request| {
            answer(moto.clone(), request)
        })?;
        Ok(Shim { front })
    }
}

async fn answer(moto: String, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let forwarded =
        tokio::task::spawn_blocking(move || match parts.uri.path().strip_prefix(SERVICE) {
            Some(operation) if parts.method == Method::POST => {
                let zipped = parts
                    .headers
                    .get("content-encoding")
                    .is_some_and(|encoding| encoding == "gzip");
                call(&moto, operation, &body, zipped)
            }
            _ => pass(&moto, &parts, &body),
        });
    Ok(forwarded.await?.unwrap_or_else(|error| {
        let mut response = Response::new(Full::from(format!("{error:#}")));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

/// One call, in JSON to moto and back in CBOR.
fn call(
    moto: &str,
    operation: &str,
    body: &[u8],
    zipped: bool,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let mut unzipped = Vec::new();
    let body = if zipped {
        // The SDK zips bodies from 10 KiB on.
        flate2::read::GzDecoder::new(body)
            .read_to_end(&mut unzipped)
            .context("the body is no gzip")?;
        &unzipped[..]
    } else {
        body
    };
    let parameters: Cbor = ciborium::from_reader(body).context("the body is no CBOR")?;
    let target = format!("GraniteServiceVersion20100801.{operation}");
    let headers = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", target.as_str()),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let answer = client::request(
        "POST",
        moto,
        &headers,
        to_json(&parameters)?.to_string().as_bytes(),
    )?;
    let result = match answer.body.is_empty() {
        true => Json::Object(serde_json::Map::new()),
        false => serde_json::from_slice(&answer.body)
            .with_context(|| format!("moto answered no JSON: {}", answer.text()))?,
    };
    let mut encoded = Vec::new();
    ciborium::into_writer(&to_cbor(&result), &mut encoded)?;
    let response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/cbor")
        .header("smithy-protocol", "rpc-v2-cbor");
    Ok(response.body(Full::from(encoded))?)
}

/// Anything that is not CBOR.
fn pass(
    moto: &str,
    parts: &http::request::Parts,
    body: &[u8],
) -> anyhow::Result<Response<Full<Bytes>>> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers: Vec<(&str, &str)> = parts
        .headers
        .iter()
        .filter(|(name, _)| !is_framing(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let answer: Answer = client::request(
        parts.method.as_str(),
        &format!("{moto}{path}"),
        &headers,
        body,
    )?;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers.iter().filter(|(name, _)| !is_framing(name)) {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body))?)
}

fn is_framing(name: &str) -> bool {
    matches!(
        name,
        "host" | "connection" | "content-length" | "transfer-encoding" | "expect" | "keep-alive"
    )
}

fn to_json(value: &Cbor) -> anyhow::Result<Json> {
    Ok(match value {
        Cbor::Null => Json::Null,
        Cbor::Bool(value) => Json::from(*value),
        Cbor::Integer(value) => Json::from(i64::try_from(*value).context("a number is too large")?),
        Cbor::Float(value) => {
            Json::Number(serde_json::Number::from_f64(*value).context("a number is not finite")?)
        }
        Cbor::Text(value) => Json::from(value.as_str()),
        // Tag 1: seconds since 1970, which is what the JSON protocol takes.
        Cbor::Tag(1, value) => to_json(value)?,
        Cbor::Array(values) => {
            Json::Array(values.iter().map(to_json).collect::<anyhow::Result<_>>()?)
        }
        Cbor::Map(entries) => {
            let mut object = serde_json::Map::new();
            for (name, value) in entries {
                let name = name.as_text().context("a name is no text")?;
                object.insert(name.to_owned(), to_json(value)?);
            }
            Json::Object(object)
        }
        other => bail!("{other:?} has no form in JSON"),
    })
}

fn to_cbor(value: &Json) -> Cbor {
    match value {
        Json::Null => Cbor::Null,
        Json::Bool(value) => Cbor::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Cbor::from(number),
            None => Cbor::Float(number.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Cbor::Text(text.clone()),
        Json::Array(values) => Cbor::Array(values.iter().map(to_cbor).collect()),
        Json::Object(entries) => Cbor::Map(
            entries
                .iter()
                .map(|(name, value)| (Cbor::Text(name.clone()), to_cbor(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_and_json_say_the_same() {
        let cbor = Cbor::Map(vec![
            (
                Cbor::Text("Timestamp".into()),
                Cbor::Tag(1, Box::new(Cbor::Float(1.5))),
            ),
            (
                Cbor::Text("Values".into()),
                Cbor::Array(vec![Cbor::from(2), Cbor::Bool(true)]),
            ),
        ]);
        let json = to_json(&cbor).unwrap();
        assert_eq!(json.to_string(), r#"{"Timestamp":1.5,"Values":[2,true]}"#);
        assert_eq!(to_json(&to_cbor(&json)).unwrap(), json);
        assert!(to_json(&Cbor::Float(f64::NAN)).is_err());
    }
}
