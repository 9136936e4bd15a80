//! Eight digits that are equal in two containers when their shared secrets are, and tell nothing else.
//!
//! HMAC-SHA256 under the Fernet keys: without them nobody can try secrets against a fingerprint from
//! the log. So there is none without a key.

use super::fernet::Keys;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The fingerprint of these secrets and of the keys themselves, as eight hexadecimal digits; the order
/// of the secrets does not matter.
pub fn of(keys: &Keys, secrets: &[(&str, &str)]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&keys.bytes()).ok()?;
    let mut secrets = secrets.to_vec();
    secrets.sort_unstable();
    for text in secrets.iter().flat_map(|(name, value)| [name, value]) {
        // With the lengths, so that no two lists run together into the same bytes.
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    Some(
        digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn fingerprint(keys: &str, secrets: &[(&str, &str)]) -> String {
        of(&Keys::parse(keys).unwrap(), secrets).unwrap()
    }

    #[test]
    fn each_secret_and_the_key_change_it_and_their_order_does_not() {
        let first = fingerprint(KEY, &[("a", "x"), ("b", "y")]);
        assert_eq!(first.len(), 8);
        assert_eq!(first, fingerprint(KEY, &[("b", "y"), ("a", "x")]));
        for (keys, secrets) in [
            (KEY, &[("a", "x"), ("b", "z")][..]),
            (KEY, &[("a", "y"), ("b", "x")]),
            (KEY, &[("a", "x")]),
            (KEY, &[("a", "xb"), ("", "y")]),
            (OTHER, &[("a", "x"), ("b", "y")]),
        ] {
            assert_ne!(first, fingerprint(keys, secrets), "{secrets:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_shows_a_secret(secret in "[a-z0-9]{9,40}") {
            let shown = fingerprint(KEY, &[("a", &secret)]);
            prop_assert!(shown.len() == 8 && !secret.contains(&shown));
        }
    }
}
