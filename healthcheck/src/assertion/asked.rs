//! How assertions are written: `path=value`, several with `&`, `%XX` for what the syntax needs itself;
//! and each of them, with what a document had to say to it so far.

use super::{LONGEST_PATH, MOST};
use crate::json::Scalar;
use crate::percent;
use crate::text::{pieces, split_once};

/// What stands for every key.
pub(super) const ANY: &[u8] = b"*";

/// The assertions of one check. None is all zeros, which one instruction makes; it is too large to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    count: usize,
    list: [Assertion<'a>; MOST],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assertion<'a> {
    /// Both are there once it is parsed.
    path: Option<&'a [u8]>,
    wanted: Option<&'a [u8]>,
    length: usize,
    has_any: bool,
    /// How many keys of the path lead to where the document stands.
    pub(super) matched: usize,
    /// What is left to compare of the key or value under way; none where it is not asked for.
    pub(super) comparing: Option<&'a [u8]>,
    pub(super) equal: bool,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Unseen,
    OnlyNull,
    Held,
}

impl<'a> Asked<'a> {
    /// Nothing is asserted.
    pub const NONE: Asked<'static> = Asked {
        count: 0,
        list: [Assertion::NONE; MOST],
    };

    /// Becomes those of a text; before, it is [`Self::NONE`].
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err("nothing is asserted after #");
        }
        if !percent::is_well_formed(text) {
            return Err("% in an assertion needs two hexadecimal digits");
        }
        for one in pieces(text, b'&') {
            let Some((path, wanted)) = split_once(one, b'=') else {
                return Err("an assertion is path=value");
            };
            let Some(assertion) = self.list.get_mut(self.count) else {
                return Err("there are more than 16 assertions");
            };
            self.count += 1;
            assertion.path = Some(path);
            assertion.wanted = Some(wanted);
            for key in pieces(path, b'.') {
                if key.is_empty() {
                    return Err("a key in an assertion's path is empty");
                }
                assertion.length += 1;
                assertion.has_any |= key == ANY;
            }
            if assertion.length > LONGEST_PATH {
                return Err("an assertion's path has more than 8 keys");
            }
        }
        Ok(())
    }

    /// Whether nothing is asserted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Assertion<'a>> {
        self.list
            .get_mut(..self.count)
            .unwrap_or_default()
            .iter_mut()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Assertion<'a>> {
        self.list.get(..self.count).unwrap_or_default().iter()
    }
}

impl<'a> Assertion<'a> {
    const NONE: Assertion<'static> = Assertion {
        path: None,
        wanted: None,
        length: 0,
        has_any: false,
        matched: 0,
        comparing: None,
        equal: false,
        outcome: Outcome::Unseen,
    };

    /// As it was written.
    pub(super) fn path(&self) -> &'a [u8] {
        self.path.unwrap_or_default()
    }

    /// As it was written.
    pub(super) fn wanted(&self) -> &'a [u8] {
        self.wanted.unwrap_or_default()
    }

    /// The key at a place of the path, the outermost first.
    pub(super) fn key(&self, place: usize) -> Option<&'a [u8]> {
        pieces(self.path(), b'.').nth(place)
    }

    /// Whether a value that begins now is one that the path reaches.
    pub(super) fn is_at(&self, depth: usize) -> bool {
        self.matched == depth && self.length == depth
    }

    /// Whether the key or value that ended is as asserted.
    pub(super) fn is_equal(&self) -> bool {
        self.comparing
            .is_some_and(|rest| self.equal && (rest.is_empty() || rest == ANY))
    }

    /// Takes a value that the path reaches; whether it is one that may stand there.
    pub(super) fn takes(&mut self, scalar: Scalar) -> bool {
        let wants_null = self.wanted() == b"null";
        let is_null = scalar == Scalar::Null;
        // `=null` is the literal's alone: a component may well be named so.
        let holds = if wants_null || is_null {
            wants_null && is_null
        } else {
            self.is_whole()
        };
        if holds {
            self.outcome = Outcome::Held;
            return true;
        }
        // A component that is not in use says null, and nobody asked for it by its name.
        let is_unused = is_null && self.has_any;
        if is_unused && self.outcome == Outcome::Unseen {
            self.outcome = Outcome::OnlyNull;
        }
        is_unused
    }

    fn is_whole(&self) -> bool {
        self.equal && self.comparing.is_some_and(<[u8]>::is_empty)
    }
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
            assert_eq!(Asked::NONE.clone().parse(text.as_bytes()), Ok(()), "{text}");
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
            assert!(
                Asked::NONE.clone().parse(text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
