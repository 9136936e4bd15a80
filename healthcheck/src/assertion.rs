//! What a JSON document is asked for: `scheduler.status=healthy&*.status=healthy`.
//!
//! A path goes through objects, by keys or by `*`, which stands for every key. A value that a path
//! reaches must be as given:
//!
//! | asserted | the document has | |
//! |---|---|---|
//! | `a.b=x` | the string `x`, or a number, `true` or `false` written so | holds |
//! | `a.b=x` | another value, `null`, an object, an array, nothing | does not |
//! | `a.b=null` | `null` | holds |
//! | `a.b=null` | the string `"null"`, another value, nothing | does not |
//! | `*.b=x` | each `b` is `x` or `null`, and one at least is `x` | holds |
//! | `*.b=x` | one `b` is another value; or there is none but `null` | does not |
//! | any | a key that the path asks for stands twice in one object | does not: it is ambiguous |

mod asked;
mod twice;

use self::asked::{ANY, Outcome};
use self::twice::{Seen, Sighting};
use crate::json::{Container, Scalar, Visitor};
use crate::percent;
use crate::text::{Line, Snippet, Unhealthy};

pub use self::asked::Asked;

/// As many as one check may have.
pub const MOST: usize = 16;

/// As many keys as a path may have.
pub const LONGEST_PATH: usize = 8;

/// The assertions of one check, and what a document had to say to them.
#[derive(Debug)]
#[repr(C)]
pub struct Assertions<'c, 'a> {
    asked: &'c mut Asked<'a>,
    at: Place,
}

/// Where in the document it is. The beginning is all zeros, which one instruction makes.
#[derive(Debug)]
#[repr(C)]
struct Place {
    /// How many containers are open.
    depth: usize,
    /// Set once; from then on nothing else changes.
    refuted: Refutation,
    key: Snippet,
    value: Snippet,
    /// The value that refuted.
    found: Snippet,
    trail: Trail,
    seen: Seen,
}

impl Place {
    const BEGINNING: Place = Place {
        depth: 0,
        refuted: Refutation::None,
        key: Snippet::new(),
        value: Snippet::new(),
        found: Snippet::new(),
        trail: Trail::new(),
        seen: Seen::new(),
    };
}

/// Why the document cannot become healthy any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refutation {
    /// It still can.
    None,
    /// The trail leads to a string, or another scalar, that is not as this assertion says.
    String(usize),
    Scalar(usize),
    Container(usize),
    /// The trail leads to a key that was there before.
    Twice,
    TooMany,
}

impl<'c, 'a> Assertions<'c, 'a> {
    /// Before the document; each check asks once.
    #[inline(always)]
    pub fn new(asked: &'c mut Asked<'a>) -> Self {
        Self {
            asked,
            at: Place::BEGINNING,
        }
    }

    /// Whether nothing is asserted.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether the rest of the document no longer matters: it cannot become healthy.
    pub fn are_refuted(&self) -> bool {
        self.at.refuted != Refutation::None
    }

    /// What the whole document came to.
    ///
    /// # Errors
    /// One does not hold; the line says which, and what was found.
    pub fn judge(&self, why: &mut Line) -> Result<(), Unhealthy> {
        let mut all = self.asked.all();
        let index = match self.at.refuted {
            Refutation::None => {
                let Some(assertion) = all.find(|assertion| assertion.outcome != Outcome::Held)
                else {
                    return Ok(());
                };
                why.show(assertion.path()).say(match assertion.outcome {
                    Outcome::OnlyNull => " is null wherever it is, where ",
                    _ => " is not there, where ",
                });
                return Err(why.show(assertion.wanted()).say(" is asserted").failed());
            }
            refutation => {
                self.at.trail.show_in(why);
                match refutation {
                    Refutation::None => 0,
                    Refutation::Twice => {
                        return Err(why.say(" stands twice in one object").failed());
                    }
                    Refutation::TooMany => {
                        return Err(why.say(" is one of too many that are asked for").failed());
                    }
                    Refutation::String(index) => {
                        self.at.found.show_in(why.say(" is \"")).say("\"");
                        index
                    }
                    Refutation::Scalar(index) => {
                        self.at.found.show_in(why.say(" is "));
                        index
                    }
                    Refutation::Container(index) => {
                        why.say(" is no single value");
                        index
                    }
                }
            }
        };
        let wanted = all.nth(index).map(|assertion| assertion.wanted());
        Err(why
            .say(", where ")
            .show(wanted.unwrap_or_default())
            .say(" is asserted")
            .failed())
    }

    /// The key and the value that ended last, where that is a member of the document itself.
    pub fn member(&self) -> Option<(&Snippet, &Snippet)> {
        (self.at.depth == 1).then_some((&self.at.key, &self.at.value))
    }

    fn compare(&mut self, byte: u8) {
        for assertion in self.asked.each() {
            if let Some(rest) = &mut assertion.comparing
                && *rest != ANY
            {
                assertion.equal &= percent::next_byte(rest) == Some(byte);
            }
        }
    }
}

impl Visitor for Assertions<'_, '_> {
    fn open(&mut self, _: Container) {
        let depth = self.at.depth;
        let asked_for = self
            .asked
            .each()
            .position(|assertion| assertion.is_at(depth));
        if let Some(index) = asked_for
            && !self.are_refuted()
        {
            self.at.refuted = Refutation::Container(index);
        }
        self.at.depth += 1;
    }

    fn close(&mut self) {
        self.at.depth -= 1;
        // It was of the container: what follows in an array has none.
        self.at.key.clear();
        let depth = self.at.depth;
        for assertion in self.asked.each() {
            assertion.matched = assertion.matched.min(depth);
        }
    }

    fn key_begins(&mut self) {
        self.at.key.clear();
        self.at.seen.key_begins();
        let above = self.at.depth.saturating_sub(1);
        for assertion in self.asked.each() {
            assertion.comparing = None;
            assertion.equal = true;
            if assertion.matched >= above {
                assertion.matched = above;
                assertion.comparing = assertion.key(above);
            }
        }
    }

    fn key_byte(&mut self, byte: u8) {
        self.at.key.push(byte);
        self.at.seen.key_byte(byte);
        self.compare(byte);
    }

    fn key(&mut self) {
        let depth = self.at.depth;
        let mut asked_for = false;
        for assertion in self.asked.each() {
            if assertion.is_equal() {
                assertion.matched = depth;
                asked_for = true;
            }
        }
        if asked_for && !self.are_refuted() {
            self.at.trail.turn(depth, self.at.key.as_bytes());
            self.at.refuted = match self.at.seen.key(depth) {
                Sighting::First => Refutation::None,
                Sighting::Again => Refutation::Twice,
                Sighting::TooMany => Refutation::TooMany,
            };
        }
    }

    fn value_begins(&mut self) {
        self.at.value.clear();
        let depth = self.at.depth;
        for assertion in self.asked.each() {
            assertion.comparing = assertion.is_at(depth).then(|| assertion.wanted());
            assertion.equal = true;
        }
    }

    fn value_byte(&mut self, byte: u8) {
        self.at.value.push(byte);
        self.compare(byte);
    }

    fn value(&mut self, scalar: Scalar) {
        let depth = self.at.depth;
        let fails = self
            .asked
            .each()
            .position(|assertion| assertion.is_at(depth) && !assertion.takes(scalar));
        if let Some(index) = fails
            && !self.are_refuted()
        {
            self.at.found = self.at.value;
            let refutation = match scalar {
                Scalar::String => Refutation::String(index),
                _ => Refutation::Scalar(index),
            };
            self.at.refuted = refutation;
        }
    }
}

/// The keys that lead to what was asked for last, as they are shown.
#[derive(Debug)]
struct Trail {
    keys: Snippet,
    /// Where the keys of each level end.
    ends: [usize; LONGEST_PATH + 1],
}

impl Trail {
    const fn new() -> Self {
        Self {
            keys: Snippet::new(),
            ends: [0; LONGEST_PATH + 1],
        }
    }

    fn turn(&mut self, depth: usize, key: &[u8]) {
        self.keys.truncate(
            self.ends
                .get(depth.wrapping_sub(1))
                .copied()
                .unwrap_or_default(),
        );
        if depth > 1 {
            self.keys.push(b'.');
        }
        key.iter().for_each(|&byte| self.keys.push(byte));
        if let Some(end) = self.ends.get_mut(depth) {
            *end = self.keys.as_bytes().len();
        }
    }

    fn show_in(&self, line: &mut Line) {
        self.keys.show_in(line);
    }
}
