//! The encoding of keys in a listing asked for with encoding-type=url: form encoding, in which `+` is
//! a space. Without it a key with a control character breaks the page, as XML 1.0 cannot carry one.

use std::borrow::Cow;

/// The bytes that were encoded, or none when a `%` is not followed by two hexadecimal digits.
pub(super) fn decode(value: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    let Some(first) = value.iter().position(|&c| c == b'%' || c == b'+') else {
        return Some(value);
    };
    let mut decoded = Vec::with_capacity(value.len());
    let (plain, mut rest) = value.split_at(first);
    decoded.extend_from_slice(plain);
    while let [c, after @ ..] = rest {
        rest = after;
        decoded.push(match c {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return None;
                };
                rest = after;
                digit(*high)? << 4 | digit(*low)?
            }
            plain => *plain,
        });
    }
    Some(Cow::Owned(decoded))
}

fn digit(c: u8) -> Option<u8> {
    char::from(c)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encoding_is_undone() {
        for (encoded, plain) in [
            ("", Some(&b""[..])),
            ("a/b.py", Some(b"a/b.py")),
            ("a+b%2Bc%25", Some(b"a b+c%")),
            ("%00%0a%0D%fF", Some(b"\x00\x0a\x0d\xff")),
            ("e%CC%81/%C3%A9", Some("e\u{301}/\u{e9}".as_bytes())),
            ("%", None),
            ("a%4", None),
            ("%zz", None),
            ("%+1", None),
        ] {
            let decoded = decode(Cow::Borrowed(encoded.as_bytes()));
            assert_eq!(decoded.as_deref(), plain, "{encoded}");
        }
    }
}
