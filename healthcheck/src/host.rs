//! Whom a check asks: an address, `localhost`, or a name in /etc/hosts.

mod address;

use core::net::{IpAddr, Ipv4Addr};

use self::address::{ipv4, ipv6};
use crate::text::{after, eq_ignore_case, pieces};

/// Where names are looked up; there is no other resolver.
pub const HOSTS: &[u8] = b"/etc/hosts";

/// As many addresses of one name as are tried.
pub const MOST_ADDRESSES: usize = 4;

/// A host as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address.
    Address(IpAddr),
    /// 127.0.0.1, then ::1, with no file asked.
    Localhost,
    /// To be found in /etc/hosts.
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// Of a text; IPv6 stands in brackets.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(inside) = after(text, b"[") {
            return ipv6(inside.strip_suffix(b"]")?).map(|address| Host::Address(address.into()));
        }
        if eq_ignore_case(text, b"localhost") {
            return Some(Host::Localhost);
        }
        let of_a_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 253 || !text.iter().all(of_a_name) {
            return None;
        }
        if text
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
        {
            return ipv4(text).map(|address| Host::Address(address.into()));
        }
        Some(Host::Name(text))
    }
}

/// Addresses to try, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    list: [IpAddr; MOST_ADDRESSES],
    count: usize,
}

impl Addresses {
    /// None yet.
    pub const NONE: Self = Self {
        list: [IpAddr::V4(Ipv4Addr::UNSPECIFIED); MOST_ADDRESSES],
        count: 0,
    };

    /// One more, if there is room.
    pub fn add(&mut self, address: IpAddr) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = address;
            self.count += 1;
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[IpAddr] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

/// Reads /etc/hosts piece by piece, and keeps the addresses of one name.
#[derive(Debug)]
#[repr(C)]
pub struct HostsFile<'a> {
    name: &'a [u8],
    length: usize,
    addresses: &'a mut Addresses,
    line: [u8; 256],
}

impl<'a> HostsFile<'a> {
    /// Looks for a name, and adds its addresses.
    pub fn looking_for(name: &'a [u8], addresses: &'a mut Addresses) -> Self {
        Self {
            name,
            line: [0; 256],
            length: 0,
            addresses,
        }
    }

    /// The next bytes of the file. What a line has beyond 256 bytes is not looked at.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if let Some(place) = self.line.get_mut(self.length) {
                *place = if byte.is_ascii_whitespace() {
                    b' '
                } else {
                    byte
                };
                self.length += 1;
            }
        }
    }

    /// The file has no more.
    pub fn finish(&mut self) {
        self.end_line();
    }

    fn end_line(&mut self) {
        let line = self.line.get(..self.length).unwrap_or_default();
        self.length = 0;
        let content = pieces(line, b'#').next().unwrap_or_default();
        let mut words = pieces(content, b' ').filter(|word| !word.is_empty());
        let Some(address) = words.next() else {
            return;
        };
        if words.any(|word| eq_ignore_case(word, self.name))
            && let Some(address) = address::parse(address)
        {
            self.addresses.add(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_localhost_or_a_name() {
        let address = |text: &str| Some(Host::Address(text.parse().unwrap()));
        for (text, host) in [
            ("127.0.0.1", address("127.0.0.1")),
            ("[::1]", address("::1")),
            ("[fd00::a:1]", address("fd00::a:1")),
            ("localhost", Some(Host::Localhost)),
            ("LocalHost", Some(Host::Localhost)),
            ("airflow-db", Some(Host::Name(b"airflow-db"))),
            ("a_b.example", Some(Host::Name(b"a_b.example"))),
            ("1.2.3.4.example", Some(Host::Name(b"1.2.3.4.example"))),
            ("127.1", None),
            ("0177.0.0.1", None),
            ("256.0.0.1", None),
            ("::1", None),
            ("[::1", None),
            ("[127.0.0.1]", None),
            ("", None),
            ("a b", None),
            ("user@host", None),
            ("höst", None),
        ] {
            assert_eq!(Host::parse(text.as_bytes()), host, "{text}");
        }
    }

    #[test]
    fn a_name_is_found_as_in_the_file_however_it_is_cut() {
        let file = "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost # loopback\n\n\
                    # 10.0.0.9 db\n10.0.0.1 DB db.internal\nnonsense db\n10.0.0.2  db\n10.0.0.1 db\n10.0.0.3 dbx";
        for (name, expected) in [
            ("db", vec!["10.0.0.1", "10.0.0.2", "10.0.0.1"]),
            ("db.internal", vec!["10.0.0.1"]),
            ("ip6-localhost", vec!["::1"]),
            ("dbx", vec!["10.0.0.3"]),
            ("loopback", vec![]),
            ("10.0.0.1", vec![]),
            ("nobody", vec![]),
        ] {
            for size in [1, 7, 1000] {
                let mut addresses = Addresses::NONE;
                let mut hosts = HostsFile::looking_for(name.as_bytes(), &mut addresses);
                file.as_bytes()
                    .chunks(size)
                    .for_each(|piece| hosts.push(piece));
                hosts.finish();
                let found: Vec<String> =
                    addresses.as_slice().iter().map(IpAddr::to_string).collect();
                assert_eq!(found, expected, "{name}");
            }
        }
    }

    #[test]
    fn only_so_many_addresses_are_kept() {
        let mut addresses = Addresses::NONE;
        let mut hosts = HostsFile::looking_for(b"many", &mut addresses);
        (0..9).for_each(|number| hosts.push(format!("10.0.0.{number} many\n").as_bytes()));
        hosts.finish();
        assert_eq!(addresses.as_slice().len(), MOST_ADDRESSES);
    }
}
