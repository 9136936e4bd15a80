//! Addresses. What std parses is parsed alike, in a tenth of the code.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::text::{decimal, has, pieces};

pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    match has(text, b':') {
        true => ipv6(text).map(IpAddr::V6),
        false => ipv4(text).map(IpAddr::V4),
    }
}

/// Four decimal numbers; no octal ones, which others read differently.
#[inline(never)]
pub(super) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = pieces(text, b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.len() > 3 || (part.len() > 1 && part.first() == Some(&b'0')) {
            return None;
        }
        *octet = u8::try_from(decimal(part)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// Eight groups, of which one `::` stands for one at least that is zero; the last two may be IPv4.
#[inline(never)]
pub(super) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut octets = [0; 16];
    let mut count = 0;
    let mut put = |octet, count: &mut usize| {
        *octets.get_mut(*count)? = octet;
        *count += 1;
        Some(())
    };
    // How many octets stand before the `::`, which is one empty part once the colon is taken off that
    // nothing stands before or behind.
    let mut gap = None;
    let mut parts = pieces(without_outer_colons(text)?, b':');
    while let Some(part) = parts.next() {
        if part.is_empty() {
            if gap.replace(count).is_some() {
                return None;
            }
        } else if has(part, b'.') {
            for octet in ipv4(part)?.octets() {
                put(octet, &mut count)?;
            }
            if parts.next().is_some() {
                return None;
            }
        } else {
            let group = group(part)?;
            put((group >> 8) as u8, &mut count)?;
            put(group as u8, &mut count)?;
        }
    }
    if gap.is_some() == (count == 16) {
        return None;
    }
    // What stands behind the gap moves to the end.
    let gap = gap.unwrap_or(count);
    let mut to = 16;
    while count > gap {
        count -= 1;
        to -= 1;
        let octet = core::mem::take(octets.get_mut(count)?);
        *octets.get_mut(to)? = octet;
    }
    Some(octets.into())
}

/// Without the first and the last colon, each of which must be one of two.
fn without_outer_colons(text: &[u8]) -> Option<&[u8]> {
    let text = match text {
        [b':', rest @ ..] => rest.first().filter(|&&byte| byte == b':').map(|_| rest)?,
        _ => text,
    };
    match text {
        [b':'] => Some(b""),
        [.., before, b':'] if *before != b':' => None,
        [rest @ .., b':'] => Some(rest),
        _ => Some(text),
    }
}

/// One to four hexadecimal digits.
fn group(text: &[u8]) -> Option<u32> {
    if text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0, |group, &byte| {
        Some(group << 4 | (byte as char).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn every_address_is_read(v4: [u8; 4], groups in prop::array::uniform8(prop_oneof![Just(0_u16), any::<u16>()])) {
            for address in [IpAddr::from(v4), IpAddr::from(groups)] {
                prop_assert_eq!(parse(address.to_string().as_bytes()), Some(address));
            }
        }

        #[test]
        fn std_reads_the_same_and_nothing_else(text in "([0-9]{0,4}[.:]{0,2}){1,9}|([0-9a-f]{0,5}:{0,3}){1,9}([0-9]{1,3}\\.){0,4}[0-9]{0,3}|[0-9a-fA-F:.]{0,40}") {
            prop_assert_eq!(parse(text.as_bytes()), text.parse().ok());
        }
    }
}
