//! Durations as all of Trimtab's settings take them: `500ms`, `5s`, `2m`, `24h`.

use crate::text::decimal;

/// A length of time. Whole and signed, because all that is done with it is adding and comparing.
pub type Nanoseconds = i64;

/// One.
pub const MILLISECOND: Nanoseconds = 1_000_000;

/// One.
pub const SECOND: Nanoseconds = 1_000 * MILLISECOND;

/// A whole number and its unit; none beyond 292 years.
pub fn duration(text: &[u8]) -> Option<Nanoseconds> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number = decimal(number)?;
    let unit = match unit {
        b"ms" => MILLISECOND,
        b"s" => SECOND,
        b"m" => 60 * SECOND,
        b"h" => 3_600 * SECOND,
        _ => return None,
    };
    i64::try_from(number).ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("4s", Some(4_000)),
            ("2m", Some(120_000)),
            ("24h", Some(86_400_000)),
            ("0s", Some(0)),
            ("4", None),
            ("s", None),
            ("", None),
            ("4 s", None),
            ("-4s", None),
            ("1.5s", None),
            ("4S", None),
            ("4sec", None),
            ("18446744073709551615h", None),
        ] {
            let expected = milliseconds.map(|number: i64| number * MILLISECOND);
            assert_eq!(duration(text.as_bytes()), expected, "{text}");
        }
    }
}
