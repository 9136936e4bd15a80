//! The one request.

use crate::check::Check;

/// The longest path and query, so that a request has an end.
pub const LONGEST_TARGET: usize = 1_000;

/// A GET, in one piece.
#[derive(Debug)]
#[repr(C)]
pub struct Request {
    length: usize,
    bytes: [u8; Request::CAPACITY],
}

impl Request {
    const CAPACITY: usize = LONGEST_TARGET + 768;

    /// Of an `http:` check. The version is 1.1, which servers of 1.0 answer as well; without
    /// `Accept-Encoding`, so that the body comes as it is.
    pub fn get(check: &Check<'_>) -> Self {
        let mut request = Self {
            length: 0,
            bytes: [0; Self::CAPACITY],
        };
        request.put(b"GET ");
        request.put(check.base);
        request.put(check.target);
        request.put(b" HTTP/1.1\r\nHost: ");
        request.put(check.authority);
        request.put(
            b"\r\nUser-Agent: trimtab-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        );
        request
    }

    /// What to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// All parts fit: the target's length and the host's are bounded.
    fn put(&mut self, part: &[u8]) {
        for &byte in part {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_whole_at_its_longest_too() {
        let host = "h".repeat(253);
        let text = format!("http://{host}:65535/{}", "a".repeat(LONGEST_TARGET - 1));
        let mut check = Check::NONE;
        check.parse(text.as_bytes(), |_: &[u8]| None).unwrap();
        let request = Request::get(&check);
        let sent = String::from_utf8(request.as_bytes().to_vec()).unwrap();
        assert!(sent.starts_with("GET /aaa"), "{sent}");
        assert!(
            sent.contains(&format!("\r\nHost: {host}:65535\r\n")),
            "{sent}"
        );
        assert!(sent.ends_with("\r\nConnection: close\r\n\r\n"), "{sent}");
    }
}
