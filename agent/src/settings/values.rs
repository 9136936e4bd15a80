//! Durations, sizes and file modes as people write them.
//!
//! A message says what is taken and not what was given: the caller names the value, unless it is a
//! secret.

use std::time::Duration;

const DURATION: &str =
    "a duration is a whole number with ms, s, m or h, such as 500ms, 5s, 2m or 24h";
const SIZE: &str =
    "a size is a whole number of bytes, or one with KiB, MiB, GiB or TiB, such as 64KiB or 8MiB";
const MODE: &str = "a mode is 1 to 4 octal digits, such as 0664";

const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];

/// A duration: `500ms`, `5s`, `2m`, `24h`.
///
/// # Errors
/// Says what a duration is.
pub fn duration(text: &str) -> Result<Duration, String> {
    let milliseconds = scaled(text, &DURATION_UNITS).ok_or(DURATION)?;
    Ok(Duration::from_millis(milliseconds))
}

/// A size in bytes: `8MiB`, `64KiB`, `1GiB`, or plain bytes.
///
/// # Errors
/// Says what a size is.
pub fn size(text: &str) -> Result<u64, String> {
    Ok(scaled(text, &SIZE_UNITS).ok_or(SIZE)?)
}

/// A file mode in octal: `0664`.
///
/// # Errors
/// Says what a mode is.
pub fn mode(text: &str) -> Result<u32, String> {
    let octal = matches!(text.len(), 1..=4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    Ok(mode.ok_or(MODE)?)
}

/// A duration as [`duration`] reads it, in the largest unit that is exact; what is below a millisecond
/// is cut off.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    shown(milliseconds, &DURATION_UNITS)
}

/// A size as [`size`] reads it, in the largest unit that is exact.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    shown(bytes, &SIZE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

fn shown(amount: u64, units: &[(&str, u64)]) -> String {
    let exact = units
        .iter()
        .find(|(_, scale)| amount.is_multiple_of(*scale));
    let (unit, scale) = exact.copied().unwrap_or(("", 1));
    format!("{}{unit}", amount / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_in_each_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_is_one() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "+5s",
            "1.5s",
            "5S",
            "5sec",
            "1h30m",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), Err(DURATION.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_each_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64KiB", 65_536),
            ("8MiB", 8_388_608),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_is_one() {
        for text in [
            "",
            "8MB",
            "8M",
            "8mib",
            "MiB",
            "-1",
            "1.5MiB",
            "8 MiB",
            "18446744073709551615KiB",
        ] {
            assert_eq!(size(text), Err(SIZE.to_owned()), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, bits) in [("0664", 0o664), ("775", 0o775), ("2775", 0o2775), ("0", 0)] {
            assert_eq!(mode(text), Ok(bits), "{text}");
        }
        for text in ["", "0o664", "668", "-664", "+664", "00664", "rw-rw-r--"] {
            assert_eq!(mode(text), Err(MODE.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_as_itself(milliseconds in any::<u64>()) {
            let value = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show_duration(value)), Ok(value));
        }

        #[test]
        fn a_shown_size_reads_as_itself(number in 0_u64..1 << 20, shift in 0_u32..44) {
            let bytes = number << shift;
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".{0,12}") {
            let _ = (duration(&text), size(&text), mode(&text));
        }
    }
}
