//! What an answer of S3 claims about an object's content, strongest first. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::Algorithm;

/// A part upload has at most this many parts.
const MOST_PARTS: u64 = 10_000;

/// One thing that S3 says about the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A hash of the whole object.
    Whole {
        algorithm: Algorithm,
        digest: Vec<u8>,
    },
    /// A hash of the hashes of `count` parts.
    Parts {
        algorithm: Algorithm,
        digest: Vec<u8>,
        count: u64,
    },
    /// Nothing but the length.
    Length,
}

/// The claims of an answer, strongest first; the last is always [`Claim::Length`].
///
/// | stored checksum | ETag | encrypted by KMS, by the client's key, or a directory bucket | claims |
/// |---|---|---|---|
/// | of the whole object | any | any | that, and what the ETag gives |
/// | of N parts | any | any | that, and what the ETag gives |
/// | none | 32 hex digits | no | MD5 |
/// | none | 32 hex digits, `-N` | no | MD5 of N MD5s |
/// | none | any | yes | length |
/// | none | anything else | any | length |
pub(super) fn claims(stored: &[(Algorithm, String)], etag: &str, etag_is_md5: bool) -> Vec<Claim> {
    let of_stored = |(algorithm, value): &(Algorithm, String)| stored_claim(*algorithm, value);
    let mut claims: Vec<_> = stored.iter().filter_map(of_stored).collect();
    claims.sort_by_key(|claim| matches!(claim, Claim::Parts { .. }));
    if etag_is_md5 {
        claims.extend(etag_claim(etag));
    }
    claims.push(Claim::Length);
    claims
}

fn stored_claim(algorithm: Algorithm, value: &str) -> Option<Claim> {
    let (encoded, count) = counted(value);
    let digest = STANDARD.decode(encoded).ok()?;
    claim(algorithm, digest, count)
}

fn etag_claim(etag: &str) -> Option<Claim> {
    let (hex, count) = counted(etag);
    let hex = hex.as_bytes();
    let digit = |c: u8| char::from(c).to_digit(16);
    let digest = hex
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()?;
    claim(Algorithm::Md5, digest, count)
}

/// `VALUE-N` is a value over N parts. Base64 knows no `-`.
fn counted(value: &str) -> (&str, Option<&str>) {
    match value.rsplit_once('-') {
        Some((value, count)) => (value, Some(count)),
        None => (value, None),
    }
}

fn claim(algorithm: Algorithm, digest: Vec<u8>, count: Option<&str>) -> Option<Claim> {
    if digest.len() != algorithm.length() {
        return None;
    }
    let Some(count) = count else {
        return Some(Claim::Whole { algorithm, digest });
    };
    let count = count
        .parse()
        .ok()
        .filter(|count| (1..=MOST_PARTS).contains(count))?;
    Some(Claim::Parts {
        algorithm,
        digest,
        count,
    })
}

/// The lengths of `count` parts of an object when all but the last have the length of the first, as
/// almost every uploader makes them; none when that cannot be.
pub(super) fn even_parts(size: u64, first: u64, count: u64) -> Option<Vec<u64>> {
    if count == 1 {
        return (first == size).then(|| vec![size]);
    }
    if first == 0 || size.div_ceil(first) != count {
        return None;
    }
    let mut parts = vec![first; usize::try_from(count).ok()?];
    *parts.last_mut()? = size - first * (count - 1);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

    fn kinds(stored: &[(Algorithm, &str)], etag: &str, etag_is_md5: bool) -> Vec<String> {
        let stored: Vec<_> = stored
            .iter()
            .map(|(algorithm, value)| (*algorithm, (*value).to_owned()))
            .collect();
        let name = |claim: &Claim| match claim {
            Claim::Whole { algorithm, .. } => algorithm.name().to_owned(),
            Claim::Parts {
                algorithm, count, ..
            } => format!("{}-{count}", algorithm.name()),
            Claim::Length => "length".to_owned(),
        };
        claims(&stored, etag, etag_is_md5)
            .iter()
            .map(name)
            .collect()
    }

    #[test]
    fn the_strongest_claim_comes_first() {
        let crc64 = (Algorithm::Crc64Nvme, "AAAAAAAAAAA=");
        let parts = (Algorithm::Crc32, "AAAAAA==-3");
        for (stored, etag, etag_is_md5, expected) in [
            (&[crc64][..], MD5, true, &["CRC64NVME", "MD5", "length"][..]),
            (
                &[parts, crc64],
                MD5,
                false,
                &["CRC64NVME", "CRC32-3", "length"],
            ),
            (
                &[parts],
                &format!("{MD5}-3"),
                true,
                &["CRC32-3", "MD5-3", "length"],
            ),
            (&[], MD5, true, &["MD5", "length"]),
            (&[], &MD5.to_uppercase(), true, &["MD5", "length"]),
            (&[], MD5, false, &["length"]),
            (&[], &format!("{MD5}-1"), true, &["MD5-1", "length"]),
            (&[], &format!("{MD5}-0"), true, &["length"]),
            (&[], &format!("{MD5}-10001"), true, &["length"]),
            (&[], "0x8DC", true, &["length"]),
            (&[], "", true, &["length"]),
            (&[], &format!("+{}", &MD5[1..]), true, &["length"]),
            (
                &[(Algorithm::Sha256, "AAAA")],
                MD5,
                true,
                &["MD5", "length"],
            ),
            (&[(Algorithm::Crc32, "no base64!")], "é", true, &["length"]),
            (&[(Algorithm::Crc32, "AAAAAA==-x")], MD5, false, &["length"]),
        ] {
            assert_eq!(
                kinds(stored, etag, etag_is_md5),
                expected,
                "{stored:?} {etag} {etag_is_md5}"
            );
        }
    }

    #[test]
    fn parts_are_even_but_for_the_last() {
        for (size, first, count, expected) in [
            (20, 8, 3, Some(vec![8, 8, 4])),
            (16, 8, 2, Some(vec![8, 8])),
            (5, 5, 1, Some(vec![5])),
            (0, 0, 1, Some(vec![0])),
            (5, 4, 1, None),
            (20, 8, 2, None),
            (20, 0, 2, None),
            (20, 20, 3, None),
        ] {
            assert_eq!(
                even_parts(size, first, count),
                expected,
                "{size} {first} {count}"
            );
        }
    }
}
