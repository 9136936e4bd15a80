//! Addresses. What std parses is parsed alike, in a tenth of the code.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::text::{decimal, has};

pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    match has(text, b':') {
        true => ipv6(text).map(IpAddr::V6),
        false => ipv4(text).map(IpAddr::V4),
    }
}

/// Four decimal numbers; no octal ones, which others read differently.
pub(super) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|&byte| byte == b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.len() > 3 || (part.len() > 1 && part.starts_with(b"0")) {
            return None;
        }
        *octet = u8::try_from(decimal(part)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// Eight groups, of which one `::` stands for one at least that is zero; the last two may be IPv4.
pub(super) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0_u16; 8];
    let Some(gap) = text.windows(2).position(|pair| pair == b"::") else {
        return (fill(text, true, &mut groups)? == 8).then(|| groups.into());
    };
    let head = fill(text.get(..gap)?, false, &mut groups)?;
    let mut tail = [0_u16; 8];
    let count = fill(text.get(gap + 2..)?, true, &mut tail)?;
    if head + count > 7 {
        return None;
    }
    groups
        .get_mut(8 - count..)?
        .copy_from_slice(tail.get(..count)?);
    Some(groups.into())
}

/// The groups of a part without `::`; how many there are.
fn fill(text: &[u8], is_last: bool, groups: &mut [u16; 8]) -> Option<usize> {
    let mut count = 0;
    if text.is_empty() {
        return Some(0);
    }
    let mut parts = text.split(|&byte| byte == b':').peekable();
    while let Some(part) = parts.next() {
        if is_last && parts.peek().is_none() && has(part, b'.') {
            let [a, b, c, d] = ipv4(part)?.octets();
            groups
                .get_mut(count..count + 2)?
                .copy_from_slice(&[u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            return Some(count + 2);
        }
        if part.is_empty() || part.len() > 4 {
            return None;
        }
        let group = part.iter().try_fold(0, |group, &byte| {
            Some(group << 4 | (byte as char).to_digit(16)? as u16)
        })?;
        *groups.get_mut(count)? = group;
        count += 1;
    }
    Some(count)
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
