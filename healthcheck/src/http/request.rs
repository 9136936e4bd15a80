//! The one request.

use crate::check::Check;

/// The longest path and query, so that a request has an end.
pub const LONGEST_TARGET: usize = 1_000;

/// What the longest request fits into: target, base, host and port have theirs, the rest is ours.
pub const LARGEST: usize = LONGEST_TARGET + 768;

/// Writes a GET to the front of a buffer of [`LARGEST`] bytes at least; what to send.
///
/// The version is 1.1, which servers of 1.0 answer as well; without `Accept-Encoding`, so that the body
/// comes as it is.
pub fn request<'b>(check: &Check<'_>, buffer: &'b mut [u8]) -> &'b [u8] {
    let mut length = 0;
    for part in [
        b"GET ",
        check.base,
        check.target,
        b" HTTP/1.1\r\nHost: ",
        check.authority,
        b"\r\nUser-Agent: trimtab-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    ] {
        for &byte in part {
            if let Some(place) = buffer.get_mut(length) {
                *place = byte;
                length += 1;
            }
        }
    }
    buffer.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assertion::Asked;

    #[test]
    fn the_request_is_whole_at_its_longest_too() {
        let host = "h".repeat(253);
        let text = format!("http://{host}:65535/{}", "a".repeat(LONGEST_TARGET - 1));
        let (mut check, mut asked) = (Check::NONE, Asked::NONE);
        check
            .parse(text.as_bytes(), |_: &[u8]| None, &mut asked)
            .unwrap();
        let mut buffer = [0; LARGEST];
        let sent = String::from_utf8(request(&check, &mut buffer).to_vec()).unwrap();
        assert!(sent.starts_with("GET /aaa"), "{sent}");
        assert!(
            sent.contains(&format!("\r\nHost: {host}:65535\r\n")),
            "{sent}"
        );
        assert!(sent.ends_with("\r\nConnection: close\r\n\r\n"), "{sent}");
    }
}
