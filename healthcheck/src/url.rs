//! `HOST[:PORT]/PATH`, after its scheme.

use crate::check::Check;
use crate::host::Host;
use crate::http::LONGEST_TARGET;
use crate::text::decimal;

/// Of an `http:` check.
///
/// # Errors
/// What is wrong with it.
#[inline(never)]
pub fn parse<'a>(text: &'a [u8], check: &mut Check<'a>) -> Result<(), &'static str> {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(text.len());
    let (authority, target) = text.split_at_checked(end).unwrap_or_default();
    check.target = if target.is_empty() { b"/" } else { target };
    check.port = 80;
    if check.target.starts_with(b"?") {
        return Err("the path begins with /");
    }
    // A space or a line's end would write headers of its own.
    if !check.target.iter().all(u8::is_ascii_graphic) {
        return Err("the path has characters that must be written as %XX");
    }
    if check.target.len() > LONGEST_TARGET {
        return Err("the path is too long");
    }
    parse_authority(authority, check)
}

/// Host and port, which is the check's already where none is written.
///
/// # Errors
/// What is wrong with it.
pub fn parse_authority<'a>(text: &'a [u8], check: &mut Check<'a>) -> Result<(), &'static str> {
    // Colons are in IPv6 too; only what follows its bracket is the port.
    let mut host = text;
    let colon = text.iter().rposition(|byte| matches!(byte, b':' | b']'));
    if let Some(place) = colon.filter(|&place| text.get(place) == Some(&b':')) {
        host = text.get(..place).unwrap_or_default();
        check.port = port(text.get(place + 1..).unwrap_or_default());
    }
    check.authority = text;
    check.host = Host::parse(host).ok_or(
        "HOST is an IPv4 address, an IPv6 address in [], localhost or a name in /etc/hosts",
    )?;
    if check.port == 0 {
        return Err("PORT is a number from 1 to 65535");
    }
    Ok(())
}

/// A port, or 0 where the text is none.
#[inline(never)]
pub fn port(text: &[u8]) -> u16 {
    let number = decimal(text).unwrap_or_default();
    u16::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assertion::Asked;

    fn parsed(text: &str) -> Option<(String, u16, String, bool)> {
        let (mut url, mut asked) = (Check::NONE, Asked::NONE);
        let text = format!("http://{text}").leak();
        url.parse(text.as_bytes(), |_: &[u8]| None, &mut asked)
            .ok()?;
        let target = String::from_utf8(url.target.to_vec()).unwrap();
        let host = match url.host {
            Host::Address(address) => address.to_string(),
            Host::Localhost => "localhost".to_owned(),
            Host::Name(name) => String::from_utf8(name.to_vec()).unwrap(),
        };
        Some((host, url.port, target, asked.is_empty()))
    }

    #[test]
    fn a_url_has_host_port_path_and_assertions() {
        for (text, host, port, target, plain) in [
            ("127.0.0.1:8080/health", "127.0.0.1", 8080, "/health", true),
            (
                "localhost/a?b=c&d#x.y=z",
                "localhost",
                80,
                "/a?b=c&d",
                false,
            ),
            ("[::1]:8974/health", "::1", 8974, "/health", true),
            ("[::1]/", "::1", 80, "/", true),
            ("web", "web", 80, "/", true),
            ("web:1#a=b", "web", 1, "/", false),
            ("web/a:b@c", "web", 80, "/a:b@c", true),
        ] {
            let expected = (host.to_owned(), port, target.to_owned(), plain);
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "/health",
            ":80/",
            "web:/",
            "web:0/",
            "web:65536/",
            "web:8o/",
            "::1:80/",
            "[::1]x:80/",
            "[::1]80/",
            "user:secret@web/",
            "web?x",
            "web/a b",
            "web/a\r\nX: y",
            "web/é",
            "web/#",
            "web/#a",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert!(parsed(&format!("web/{}", "a".repeat(999))).is_some());
        assert!(parsed(&format!("web/{}", "a".repeat(1_000))).is_none());
    }
}
