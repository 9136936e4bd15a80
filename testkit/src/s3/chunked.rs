//! `aws-chunked`: how SDKs wrap a body whose checksum follows it as a trailer.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::error::Refusal;

/// Whether the body comes in this wrapping.
pub(super) fn is_chunked(headers: &HeaderMap) -> bool {
    let has = |name: &str, text: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains(text))
    };
    has("x-amz-content-sha256", "STREAMING-") || has("content-encoding", "aws-chunked")
}

/// The body itself, and its trailers with names in lower case.
pub(super) fn decode(mut wrapped: Bytes) -> Result<(Bytes, Vec<(String, String)>), Refusal> {
    let mut chunks: Vec<Bytes> = Vec::new();
    loop {
        let line = take_line(&mut wrapped).ok_or_else(incomplete)?;
        let size = line.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| incomplete())?;
        if size == 0 {
            break;
        }
        if wrapped.len() < size + 2 {
            return Err(incomplete());
        }
        chunks.push(wrapped.split_to(size));
        wrapped.advance(2);
    }
    let mut trailers = Vec::new();
    while let Some(line) = take_line(&mut wrapped) {
        if let Some((name, value)) = line.split_once(':') {
            trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let body = match chunks.len() {
        0 => Bytes::new(),
        1 => chunks.remove(0),
        _ => {
            let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
            for chunk in chunks {
                whole.extend_from_slice(&chunk);
            }
            whole.freeze()
        }
    };
    Ok((body, trailers))
}

fn take_line(wrapped: &mut Bytes) -> Option<String> {
    let end = wrapped.iter().position(|byte| *byte == b'\n')?;
    let line = wrapped.split_to(end + 1);
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn incomplete() -> Refusal {
    Refusal::new(
        400,
        "IncompleteBody",
        "The request body terminated unexpectedly",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_trailers_kept() {
        let wrapped = Bytes::from_static(
            b"4;chunk-signature=00\r\nwiki\r\n5\r\npedia\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        );
        let (body, trailers) = decode(wrapped).unwrap();
        assert_eq!(&body[..], b"wikipedia");
        assert_eq!(
            trailers,
            [("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())]
        );
    }

    #[test]
    fn a_body_that_stops_is_refused() {
        assert!(decode(Bytes::from_static(b"5\r\npe")).is_err());
        assert!(decode(Bytes::from_static(b"4\r\nwiki\r\n")).is_err());
    }
}
