//! How S3 writes keys and times into URLs, headers and XML, and how it reads them back.

use std::fmt::Write as _;
use std::time::SystemTime;

use time::OffsetDateTime;

/// Percent-decodes a path (`plus_is_space` false) or a query (true). `None` when it is no UTF-8.
pub(super) fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[index], escaped) {
            (_, Some(byte)) => {
                decoded.push(byte);
                index += 3;
                continue;
            }
            (b'+', None) if plus_is_space => decoded.push(b' '),
            (byte, None) => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8(decoded).ok()
}

/// `encoding-type=url` as S3 answers it: Java's URLEncoder, in which a space is `+` and `*` stays,
/// but with `/` kept.
pub(super) fn push_url_encoded(target: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' | b'/' => {
                target.push(char::from(byte));
            }
            b' ' => target.push('+'),
            _ => {
                let _ = write!(target, "%{byte:02X}");
            }
        }
    }
}

/// Escapes text for XML. Control characters become references such as `&#x1;`, as S3 writes them,
/// though XML 1.0 forbids those: that is why clients ask for `encoding-type=url`.
pub(super) fn push_xml_escaped(target: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => target.push_str("&amp;"),
            '<' => target.push_str("&lt;"),
            '>' => target.push_str("&gt;"),
            '"' => target.push_str("&quot;"),
            '\0'..='\x1f' | '\x7f' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(target, "&#x{:x};", u32::from(character));
            }
            _ => target.push(character),
        }
    }
}

/// `2026-01-31T12:00:00.000Z`: listings know whole seconds only.
pub(super) fn iso_time(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// `Sat, 31 Jan 2026 12:00:00 GMT`, for headers.
pub(super) fn http_time(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let weekday = &time.weekday().to_string()[..3];
    let month = &time.month().to_string()[..3];
    format!(
        "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
        time.day(),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Seconds since 1970 of an HTTP date in the one form that clients send today.
pub(super) fn parse_http_time(text: &str) -> Option<i64> {
    let mut words = text.split([' ', ':']).skip(1);
    let day: u8 = words.next()?.parse().ok()?;
    let month = match words.next()? {
        "Jan" => 1_u8,
        "Feb" => 2,
        "Mar" => 3,
        "Apr" => 4,
        "May" => 5,
        "Jun" => 6,
        "Jul" => 7,
        "Aug" => 8,
        "Sep" => 9,
        "Oct" => 10,
        "Nov" => 11,
        "Dec" => 12,
        _ => return None,
    };
    let year: i32 = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse::<u8>().ok();
    let (hour, minute, second) = (number()?, number()?, number()?);
    let date =
        time::Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()?;
    let date = date.with_hms(hour, minute, second).ok()?;
    Some(date.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn keys_in_listings_are_encoded_as_s3_does_it() {
        let mut text = String::new();
        push_url_encoded(&mut text, "a b+c/é*~(1)\u{1}");
        assert_eq!(text, "a+b%2Bc/%C3%A9*%7E%281%29%01");
        assert_eq!(
            percent_decode(&text, true).as_deref(),
            Some("a b+c/é*~(1)\u{1}")
        );
    }

    #[test]
    fn a_plus_in_a_path_stays_a_plus() {
        assert_eq!(
            percent_decode("a+b%20c%2B", false).as_deref(),
            Some("a+b c+")
        );
        assert_eq!(percent_decode("100%", false).as_deref(), Some("100%"));
        assert_eq!(percent_decode("%ff", false), None);
    }

    #[test]
    fn times_are_written_in_whole_seconds_and_read_back() {
        let time = UNIX_EPOCH + Duration::from_millis(1_769_860_800_750);
        assert_eq!(iso_time(time), "2026-01-31T12:00:00.000Z");
        assert_eq!(http_time(time), "Sat, 31 Jan 2026 12:00:00 GMT");
        assert_eq!(parse_http_time(&http_time(time)), Some(1_769_860_800));
    }
}
