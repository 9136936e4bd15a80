//! Percent-encoding in assertions: how a key or a value holds what the syntax means for itself.

use crate::text::pieces;

/// Takes the next byte that `text` stands for off its front. A malformed escape stands for itself;
/// [`is_well_formed`] refuses it before.
pub fn next_byte(text: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = text.split_first()?;
    if let (b'%', Some((pair, after))) = (first, rest.split_first_chunk::<2>())
        && let (Some(high), Some(low)) = (hex(pair[0]), hex(pair[1]))
    {
        *text = after;
        return Some(high << 4 | low);
    }
    *text = rest;
    Some(first)
}

/// Whether each `%` is followed by two hexadecimal digits.
pub fn is_well_formed(text: &[u8]) -> bool {
    let mut after = pieces(text, b'%').skip(1);
    after.all(|piece| {
        let pair = piece.first_chunk::<2>();
        pair.is_some_and(|pair| pair.iter().all(|&byte| hex(byte).is_some()))
    })
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_hexadecimal_digits() {
        for (text, decoded) in [
            ("plain", Some("plain")),
            ("a%2Eb", Some("a.b")),
            ("%25%26%3d%2a", Some("%&=*")),
            ("%c3%a9", Some("é")),
            ("", Some("")),
            ("100%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
        ] {
            assert_eq!(is_well_formed(text.as_bytes()), decoded.is_some(), "{text}");
            let mut rest = text.as_bytes();
            let bytes: Vec<u8> = std::iter::from_fn(|| next_byte(&mut rest)).collect();
            assert_eq!(bytes, decoded.unwrap_or(text).as_bytes(), "{text}");
        }
    }
}
