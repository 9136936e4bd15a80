//! Whether a Fernet key opens what the database holds.
//!
//! A token carries an HMAC-SHA256 under the key's first half, and its text is encrypted under the second,
//! by AES-128 in CBC mode with padding. Both halves are tried: a key that was copied with one wrong
//! character differs in one of them alone, and signs as before where it is the second. Keys are read exactly as Python's `cryptography`
//! reads them, tolerance for odd characters included: a key that Airflow takes is never refused here,
//! one that it refuses never passes.

use aes::Aes128;
use aes::cipher::BlockCipherDecrypt as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Before the initialisation vector and the text: a version byte and a time.
const HEAD: usize = 1 + 8;
const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
const SIGNATURE: usize = 32;

/// One key: the first half signs, the second encrypts. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
struct Key([u8; 32]);

/// Keys of `[core] fernet_key`, in order: the first encrypts, each may decrypt.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// A part of the list that is no Fernet key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey {
    /// Which of the keys, counted from 1.
    pub place: usize,
    /// How many there are.
    pub of: usize,
    /// How many bytes it decodes to; none where it is no base64.
    pub bytes: Option<usize>,
}

impl fmt::Display for NoKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, of, .. } = self;
        match of {
            1 => formatter.write_str("it"),
            _ => write!(formatter, "key {place} of {of}"),
        }?;
        match self.bytes {
            Some(bytes) => write!(formatter, " decodes to {bytes} bytes and not to 32"),
            None => formatter.write_str(" is no url-safe base64"),
        }
    }
}

impl Keys {
    /// From the setting: one key, or several with commas between them.
    ///
    /// # Errors
    /// The first part that Airflow would refuse.
    pub fn parse(setting: &str) -> Result<Self, NoKey> {
        let parts: Vec<&str> = setting.split(',').collect();
        let of = parts.len();
        let key = |(index, part): (usize, &&str)| {
            let decoded = decode(part.as_bytes());
            let bytes = decoded.as_ref().map(Vec::len);
            let key = decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let place = index + 1;
            key.map(Key).ok_or(NoKey { place, of, bytes })
        };
        let keys: Result<Vec<Key>, NoKey> = parts.iter().enumerate().map(key).collect();
        keys.map(Self)
    }

    /// Whether one of the keys made this token.
    pub fn open(&self, token: &str) -> bool {
        let Some(data) = decode(token.as_bytes()) else {
            return false;
        };
        let Some((signed, signature)) = data.split_last_chunk::<SIGNATURE>() else {
            return false;
        };
        let Some((&[VERSION, ..], encrypted)) = signed.split_first_chunk::<HEAD>() else {
            return false;
        };
        let mut keys = self.0.iter();
        keys.any(|key| key.signed(signed, signature) && key.encrypted(encrypted))
    }

    /// The keys' bytes one after the other, to key another HMAC with.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|key| key.0).collect()
    }
}

impl Key {
    fn signed(&self, data: &[u8], signature: &[u8]) -> bool {
        let half = &self.0[..16];
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(half) else {
            return false;
        };
        mac.chain_update(data).verify_slice(signature).is_ok()
    }

    /// Whether these blocks, the first of them the initialisation vector, become padded UTF-8, which all
    /// is that Airflow encrypts. Of the texts that another key makes of them, one in 256 is padded, and
    /// hardly one of those is UTF-8.
    fn encrypted(&self, blocks: &[u8]) -> bool {
        let (blocks, rest) = blocks.as_chunks::<BLOCK>();
        let Ok(cipher) = Aes128::new_from_slice(&self.0[16..]) else {
            return false;
        };
        let mut text = Vec::new();
        for pair in blocks.windows(2) {
            let mut block = pair[1].into();
            cipher.decrypt_block(&mut block);
            text.extend(block.iter().zip(pair[0]).map(|(byte, mask)| byte ^ mask));
        }
        let Some(padding) = text.last().map(|byte| usize::from(*byte)) else {
            return false;
        };
        let is_padded = (1..=BLOCK).contains(&padding)
            && text[text.len() - padding..]
                .iter()
                .all(|byte| usize::from(*byte) == padding);
        rest.is_empty() && is_padded && std::str::from_utf8(&text[..text.len() - padding]).is_ok()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.0.len())
    }
}

/// Python's `base64.urlsafe_b64decode`: both alphabets, anything else passed over, and nothing read
/// after the padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut decoded, mut bits, mut place, mut pads) = (Vec::new(), 0_u32, 0_usize, 0_usize);
    for &byte in text {
        if byte == b'=' {
            pads += 1;
            if place >= 2 && place + pads >= 4 {
                return Some(decoded);
            }
            continue;
        }
        let Some(value) = digit(byte) else {
            continue;
        };
        pads = 0;
        bits = (bits << 6) | u32::from(value);
        place = (place + 1) % 4;
        // The bits above those of this digit that have not been handed out yet.
        match place {
            2 => decoded.push((bits >> 4) as u8),
            3 => decoded.push((bits >> 2) as u8),
            0 => decoded.push(bits as u8),
            _ => {}
        }
    }
    (place == 0).then_some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the Fernet specification (`generate.json`, `verify.json`).
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_key_that_made_a_token_opens_it_wherever_it_stands_in_the_list() {
        for (keys, opens) in [
            (KEY.to_owned(), true),
            (format!("{OTHER},{KEY}"), true),
            (format!(" {KEY} ,\n{OTHER}"), true),
            (KEY.replace('_', "/").replace('-', "+"), true),
            (OTHER.to_owned(), false),
        ] {
            assert_eq!(Keys::parse(&keys).map(|keys| keys.open(TOKEN)), Ok(opens));
        }
    }

    #[test]
    fn a_key_with_one_wrong_character_opens_nothing_in_whichever_half_it_is() {
        for place in 0..KEY.len() - 2 {
            let mut key = KEY.to_owned().into_bytes();
            key[place] = if key[place] == b'A' { b'B' } else { b'A' };
            let keys = Keys::parse(&String::from_utf8(key).unwrap()).unwrap();
            assert!(!keys.open(TOKEN), "{place}");
        }
    }

    #[test]
    fn a_changed_token_is_not_opened() {
        let keys = Keys::parse(KEY).unwrap();
        for broken in [
            "",
            "x",
            "gAAA",
            "hAAAAAAdwJ6w",
            "plain text",
            &TOKEN[4..],
            &TOKEN[..64],
        ] {
            assert!(!keys.open(broken), "{broken}");
        }
        for place in 0..TOKEN.len() - 4 {
            let mut token = TOKEN.to_owned().into_bytes();
            token[place] = if token[place] == b'A' { b'B' } else { b'A' };
            let token = String::from_utf8(token).unwrap();
            assert!(!keys.open(&token), "{place}");
        }
    }

    #[test]
    fn what_airflow_would_refuse_is_refused_and_named() {
        for (setting, why) in [
            ("short", "it is no url-safe base64"),
            ("c2hvcnQ=", "it decodes to 5 bytes and not to 32"),
            ("", "it decodes to 0 bytes and not to 32"),
        ] {
            let refused = Keys::parse(setting).unwrap_err();
            assert_eq!(refused.to_string(), why);
        }
        let refused = Keys::parse(&format!("{KEY},")).unwrap_err();
        let why = "key 2 of 2 decodes to 0 bytes and not to 32";
        assert_eq!(refused.to_string(), why);
        assert_eq!(format!("{:?}", Keys::parse(KEY)), "Ok(Keys(1))");
    }
}
