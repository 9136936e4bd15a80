//! A release of Airflow's, or of a part of it.

use std::fmt;
use std::str::FromStr;

/// `3.1.8`, also as `3.2.0rc1` or `3.1.8+local`.
///
/// Ordered by its three numbers: a release candidate counts as the release, because its migrations do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number; 0 where it is missing.
    pub patch: u32,
}

impl Version {
    /// A release by its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Whether both have the same first and second number.
    pub fn same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

/// What is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = text.split('.');
        let mut whole = || parts.next()?.parse::<u32>().ok();
        let (Some(major), Some(minor)) = (whole(), whole()) else {
            return Err(NoVersion);
        };
        // What follows the digits of the third part says how finished a release is.
        let patch = parts.next().unwrap_or("0");
        let digits = patch.bytes().take_while(u8::is_ascii_digit).count();
        let patch = match &patch[..digits] {
            "" => return Err(NoVersion),
            digits => digits.parse().map_err(|_| NoVersion)?,
        };
        Ok(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_python_packages_are_called() {
        for (text, expected) in [
            ("3.1.8", Some((3, 1, 8))),
            ("2.10", Some((2, 10, 0))),
            ("3.2.0rc1", Some((3, 2, 0))),
            ("3.2.0.dev0", Some((3, 2, 0))),
            ("3.1.8+astro.2", Some((3, 1, 8))),
            ("3", None),
            ("", None),
            ("3.x.1", None),
            ("3.1.rc1", None),
            ("3.1.99999999999", None),
        ] {
            let expected = expected.map(|(major, minor, patch)| Version::new(major, minor, patch));
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(one in any::<(u32, u32, u32)>(), other in any::<(u32, u32, u32)>()) {
            let version = |(major, minor, patch)| Version::new(major, minor, patch);
            prop_assert_eq!(version(one).cmp(&version(other)), one.cmp(&other));
            prop_assert_eq!(version(one).to_string().parse(), Ok(version(one)));
        }
    }
}
