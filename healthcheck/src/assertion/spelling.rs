//! How assertions are written: `path=value`, several with `&`, `%XX` for what the syntax needs itself.

use super::{LONGEST_PATH, MOST};
use crate::percent;
use crate::text::{pieces, split_once};

/// What stands for every key.
pub(super) const ANY: &[u8] = b"*";

/// Assertions as they were written, known to be well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a> {
    text: &'a [u8],
}

impl<'a> Spelling<'a> {
    /// No assertion.
    pub const NONE: Spelling<'static> = Spelling { text: b"" };

    /// That a status is `entrypoint`'s.
    pub const ENTRYPOINT: Spelling<'static> = Spelling {
        text: b"agent=entrypoint",
    };

    /// Those of a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("nothing is asserted after #");
        }
        if !percent::is_well_formed(text) {
            return Err("% in an assertion needs two hexadecimal digits");
        }
        let mut count = 0;
        for one in pieces(text, b'&') {
            let Some((path, _)) = split_once(one, b'=') else {
                return Err("an assertion is path=value");
            };
            let mut keys = 0;
            for key in pieces(path, b'.') {
                if key.is_empty() {
                    return Err("a key in an assertion's path is empty");
                }
                keys += 1;
            }
            if keys > LONGEST_PATH {
                return Err("an assertion's path has more than 8 keys");
            }
            count += 1;
        }
        if count > MOST {
            return Err("there are more than 16 assertions");
        }
        Ok(Self { text })
    }

    /// Whether anything is asserted.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Paths and values.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        pieces(self.text, b'&').filter_map(|one| split_once(one, b'='))
    }
}

/// The key at a place of a path, the outermost first.
pub(super) fn key(path: &[u8], place: usize) -> Option<&[u8]> {
    pieces(path, b'.').nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_a_path_and_a_value() {
        for text in [
            "a=b",
            "a=",
            "a.b.c=d&*.e=null",
            "a%2eb=100%25",
            "a=b=c",
            "a.b.c.d.e.f.g.h=1",
            "a=1&a=2&a=3&a=4&a=5&a=6&a=7&a=8&a=9&a=10&a=11&a=12&a=13&a=14&a=15&a=16",
        ] {
            assert!(Spelling::parse(text.as_bytes()).is_ok(), "{text}");
        }
        for text in [
            "",
            "a",
            "=b",
            ".a=b",
            "a.=b",
            "a..b=c",
            "a=b&",
            "&a=b",
            "a=b&c",
            "a=100%",
            "a.b.c.d.e.f.g.h.i=1",
            "a=1&a=2&a=3&a=4&a=5&a=6&a=7&a=8&a=9&a=10&a=11&a=12&a=13&a=14&a=15&a=16&a=17",
        ] {
            assert!(Spelling::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
