//! One blocking HTTP/1.1 request over plain TCP.
//!
//! It retries nothing, follows nothing and forgives nothing, so that what a server did is seen.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Longer than anything that a test waits for; a server that hangs fails the test, not the run.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET.
///
/// # Errors
/// As [`request`].
pub fn get(url: &str) -> anyhow::Result<Answer> {
    request("GET", url, &[], b"")
}

/// Sends a request to `http://HOST:PORT/PATH` and reads the whole answer.
///
/// # Errors
/// When there is no connection, or the answer is not whole.
pub fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let rest = url
        .strip_prefix("http://")
        .context("the URL must begin with http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream =
        TcpStream::connect(authority).with_context(|| format!("no connection to {authority}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(method, "PUT" | "POST") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read(&mut stream, method == "HEAD")
}

/// Percent-encodes a path, all but `/` and what RFC 3986 leaves unreserved.
pub fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn read(stream: &mut impl Read, head_only: bool) -> anyhow::Result<Answer> {
    let mut received = Vec::new();
    let end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if !read_more(stream, &mut received).context("no answer")? {
            bail!("the connection ended before the end of the headers");
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut body = received.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status: status.context("no status line")?,
        headers,
        body: Vec::new(),
    };
    if head_only || matches!(answer.status, 100..200 | 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        while read_more(stream, &mut body)? {}
        answer.body = unchunk(&body)?;
        return Ok(answer);
    }
    match answer.header("content-length").map(str::parse::<usize>) {
        None => while read_more(stream, &mut body)? {},
        Some(Err(_)) => bail!("the content-length is no number"),
        Some(Ok(length)) => {
            while body.len() < length {
                let count = body.len();
                if !read_more(stream, &mut body)
                    .with_context(|| format!("after {count} of {length} bytes"))?
                {
                    bail!("the body ended after {} of {length} bytes", body.len());
                }
            }
            body.truncate(length);
        }
    }
    answer.body = body;
    Ok(answer)
}

fn read_more(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 64 << 10];
    let count = stream.read(&mut buffer)?;
    received.extend_from_slice(&buffer[..count]);
    Ok(count > 0)
}

fn unchunk(mut body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body
            .windows(2)
            .position(|window| window == b"\r\n")
            .context("the chunks ended early")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end])?.trim(), 16)?;
        body = &body[end + 2..];
        if size == 0 {
            return Ok(whole);
        }
        if body.len() < size + 2 {
            bail!("the chunks ended early");
        }
        whole.extend_from_slice(&body[..size]);
        body = &body[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_an_error() {
        for (raw, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", Ok("ab")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
                Err("the body ended after 3 of 4 bytes"),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", Ok("abc")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                Ok("abc"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
                Err("the chunks ended early"),
            ),
            (
                "HTTP/1.1 200 OK\r\n",
                Err("the connection ended before the end of the headers"),
            ),
        ] {
            let answer = read(&mut raw.as_bytes(), false);
            let answer = answer
                .map(|answer| answer.text())
                .map_err(|error| error.to_string());
            assert_eq!(answer.as_deref().map_err(String::as_str), expected, "{raw}");
        }
    }
}
