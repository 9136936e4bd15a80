//! Times in documents: RFC 3339 in UTC, for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the epoch as RFC 3339 in UTC, in whole seconds.
pub fn timestamp(milliseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000))
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Milliseconds since the epoch of an RFC 3339 time.
pub fn instant(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_in_whole_seconds() {
        assert_eq!(timestamp(1_795_253_400_999), "2026-11-21T09:30:00Z");
        assert_eq!(instant("2026-11-21T09:30:00Z"), Some(1_795_253_400_000));
        assert_eq!(
            instant("2026-11-21T10:30:00.5+01:00"),
            Some(1_795_253_400_500)
        );
        assert_eq!(instant("yesterday"), None);
    }
}
