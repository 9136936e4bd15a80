//! One small HTTP request to this task itself: no TLS, no redirect, no pool, and a limit on everything.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer that is read here is larger.
const LARGEST: usize = 64 << 10;

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Sends a request to `http://AUTHORITY/PATH` and reads the answer, within `limit` in all.
///
/// # Errors
/// One line: nobody listens, there is no answer in time, or it is no HTTP.
pub async fn request(
    method: Method,
    authority: &str,
    path: &str,
    body: Option<String>,
    limit: Duration,
) -> Result<Answer, String> {
    match timeout(limit, exchange(method, authority, path, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("{authority} did not answer within {limit:?}")),
    }
}

async fn exchange(
    method: Method,
    authority: &str,
    path: &str,
    body: Option<String>,
) -> Result<Answer, String> {
    let address = match authority.contains("]:") || authority.matches(':').count() == 1 {
        true => authority.to_owned(),
        false => format!("{authority}:80"),
    };
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("{address} takes no connection: {error}"))?;
    let broken = |error: hyper::Error| format!("{address} did not answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority)
        .header("connection", "close")
        .header("user-agent", "trimtab");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| format!("{path:?} is no path: {error}"))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await
            .map_err(|error| format!("the answer of {address} is not whole: {error}"))?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
        })
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    // The connection is driven here, so that a request that is dropped takes it along.
    tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}
