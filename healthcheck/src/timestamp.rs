//! Timestamps of RFC 3339 in UTC, as the agents write them into their status files.

use crate::text::{after, decimal};

/// Seconds since 1970; a fraction is dropped. A leap second counts as the next minute's first. Another
/// offset than `Z` is refused, as no agent writes one, and a year before 1970 or after 2099, when a clock
/// is wrong.
#[inline(never)]
pub fn seconds(text: &[u8]) -> Option<i64> {
    // How long each number is with the separator behind it, and the least and the most it may be.
    const NUMBERS: [(u8, u8, u16, u16); 6] = [
        (4, b'-', 1970, 2099),
        (2, b'-', 1, 12),
        (2, b'T', 1, 31),
        (2, b':', 0, 23),
        (2, b':', 0, 59),
        (2, b'Z', 0, 60),
    ];
    let mut numbers = [0; 6];
    let mut rest = text;
    for (place, &(digits, separator, least, most)) in numbers.iter_mut().zip(&NUMBERS) {
        let (number, after) = rest.split_at_checked(digits.into())?;
        let number = decimal(number)? as u32;
        if number < least.into() || number > most.into() {
            return None;
        }
        *place = number;
        rest = if separator == b'Z' {
            without_fraction(after)?
        } else {
            after
        };
        let (next, after) = rest.split_first()?;
        if !next.eq_ignore_ascii_case(&separator) {
            return None;
        }
        rest = after;
    }
    let [year, month, day, hour, minute, second] = numbers;
    if day > days_of(year, month) || !rest.is_empty() {
        return None;
    }
    let of_day = hour * 3_600 + minute * 60 + second;
    Some(i64::from(days_since_1970(year, month, day)) * 86_400 + i64::from(of_day))
}

/// A point and a digit at least, if there is a point.
fn without_fraction(text: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = after(text, b".") else {
        return Some(text);
    };
    let digits = fraction
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (digits > 0).then(|| fraction.get(digits..))?
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(year.is_multiple_of(4)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// By counting years that begin in March, so that the leap day comes last. From 1970 to 2099 every fourth
/// year has one.
fn days_since_1970(year: u32, month: u32, day: u32) -> u32 {
    let (year, month_from_march) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    // 719484 is what 1970-01-01 comes to.
    year * 1_461 / 4 + (153 * month_from_march + 2) / 5 + day - 719_484
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    #[test]
    fn timestamps_are_read_as_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-06-15T15:06:40Z", Some(1_750_000_000)),
            ("2025-06-15T15:06:40.999999Z", Some(1_750_000_000)),
            ("2025-06-15t15:06:40z", Some(1_750_000_000)),
            ("2025-06-15T17:06:40+02:00", None),
            ("2025-06-15T15:06:40-00:00", None),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800)),
            ("2023-02-29T00:00:00Z", None),
            ("1970-02-28T23:59:60Z", Some(5_097_600)),
            ("1969-12-31T23:59:59Z", None),
            ("2099-12-31T23:59:59Z", Some(4_102_444_799)),
            ("2100-01-01T00:00:00Z", None),
            ("2025-13-01T00:00:00Z", None),
            ("2025-04-31T00:00:00Z", None),
            ("2025-01-01T24:00:00Z", None),
            ("2025-01-01 00:00:00Z", None),
            ("2025-01-01T00:00:00", None),
            ("2025-01-01T00:00:00.Z", None),
            ("2025-01-01T00:00:00Zx", None),
            ("2025-01-01T00:00:00+0200", None),
            ("2025-01-01T00:00:0", None),
            ("+025-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_time_crate_reads_the_same(at in 0_i64..4_102_444_800, nanosecond in 0_u32..1_000_000_000) {
            let at = OffsetDateTime::from_unix_timestamp(at).unwrap().replace_nanosecond(nanosecond).unwrap();
            let text = at.format(&Rfc3339).unwrap();
            prop_assert_eq!(seconds(text.as_bytes()), Some(at.unix_timestamp()));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[0-9:TZ.+ -]{0,32}") {
            let _ = seconds(text.as_bytes());
        }
    }
}
