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

mod spelling;
mod twice;

use self::twice::{Seen, Sighting};
use crate::json::{Container, Scalar, Visitor};
use crate::percent;
use crate::text::{Line, Snippet, Unhealthy, pieces};

pub use self::spelling::Spelling;

/// As many as one check may have.
pub const MOST: usize = 16;

/// As many keys as a path may have.
pub const LONGEST_PATH: usize = 8;

/// The assertions of one check, and what a document had to say to them.
#[derive(Debug)]
#[repr(C)]
pub struct Assertions<'a> {
    count: usize,
    /// How many containers are open.
    depth: usize,
    /// The next byte of a key or value is its first.
    fresh: bool,
    /// Set once; from then on nothing else changes.
    refuted: Option<Refutation>,
    key: Snippet,
    value: Snippet,
    /// The value that refuted.
    found: Snippet,
    trail: Trail,
    list: [Assertion<'a>; MOST],
    seen: Seen,
}

#[derive(Clone, Copy, Debug)]
struct Assertion<'a> {
    path: &'a [u8],
    wanted: &'a [u8],
    length: usize,
    has_any: bool,
    /// How many keys of the path lead to where the document stands.
    matched: usize,
    /// What is left to compare of the key or value under way; none where it is not asked for.
    comparing: Option<&'a [u8]>,
    equal: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unseen,
    OnlyNull,
    Held,
}

/// Why the document cannot become healthy any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refutation {
    /// The trail leads to a string, or another scalar, that is not as this assertion says.
    String(usize),
    Scalar(usize),
    Container(usize),
    /// The trail leads to a key that was there before.
    Twice,
    TooMany,
}

impl<'a> Assertions<'a> {
    /// Those that were spelled.
    pub fn new(spelling: Spelling<'a>) -> Self {
        let mut assertions = Self {
            list: [Assertion::NONE; MOST],
            count: 0,
            depth: 0,
            fresh: true,
            key: Snippet::new(),
            value: Snippet::new(),
            found: Snippet::new(),
            trail: Trail::new(),
            seen: Seen::new(),
            refuted: None,
        };
        for ((path, wanted), place) in spelling.pairs().zip(&mut assertions.list) {
            place.path = path;
            place.wanted = wanted;
            for key in pieces(path, b'.') {
                place.length += 1;
                place.has_any |= key == spelling::ANY;
            }
            assertions.count += 1;
        }
        assertions
    }

    /// Whether nothing is asserted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the rest of the document no longer matters: it cannot become healthy.
    pub fn are_refuted(&self) -> bool {
        self.refuted.is_some()
    }

    /// What the whole document came to.
    ///
    /// # Errors
    /// One does not hold; the line says which, and what was found.
    pub fn judge(&self, why: &mut Line) -> Result<(), Unhealthy> {
        let mut all = self.list.iter().take(self.count);
        let index = match self.refuted {
            None => {
                let Some(assertion) = all.find(|assertion| assertion.outcome != Outcome::Held)
                else {
                    return Ok(());
                };
                why.show(assertion.path).say(match assertion.outcome {
                    Outcome::OnlyNull => " is null wherever it is, where ",
                    _ => " is not there, where ",
                });
                return Err(why.show(assertion.wanted).say(" is asserted").failed());
            }
            Some(refutation) => {
                self.trail.show_in(why);
                match refutation {
                    Refutation::Twice => {
                        return Err(why.say(" stands twice in one object").failed());
                    }
                    Refutation::TooMany => {
                        return Err(why.say(" is one of too many that are asked for").failed());
                    }
                    Refutation::String(index) => {
                        self.found.show_in(why.say(" is \"")).say("\"");
                        index
                    }
                    Refutation::Scalar(index) => {
                        self.found.show_in(why.say(" is "));
                        index
                    }
                    Refutation::Container(index) => {
                        why.say(" is no single value");
                        index
                    }
                }
            }
        };
        let wanted = all.nth(index).map(|assertion| assertion.wanted);
        Err(why
            .say(", where ")
            .show(wanted.unwrap_or_default())
            .say(" is asserted")
            .failed())
    }

    /// The key and the value that ended last, where that is a member of the document itself.
    pub fn member(&self) -> Option<(&Snippet, &Snippet)> {
        (self.depth == 1).then_some((&self.key, &self.value))
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Assertion<'a>> {
        self.list.iter_mut().take(self.count)
    }

    fn compare(&mut self, byte: u8) {
        for assertion in self.each() {
            if let Some(rest) = &mut assertion.comparing
                && *rest != spelling::ANY
            {
                assertion.equal &= percent::next_byte(rest) == Some(byte);
            }
        }
    }

    fn key_begins(&mut self) {
        self.fresh = false;
        self.key.clear();
        self.seen.key_begins();
        let above = self.depth.saturating_sub(1);
        for assertion in self.each() {
            assertion.comparing = None;
            assertion.equal = true;
            if assertion.matched >= above {
                assertion.matched = above;
                assertion.comparing = spelling::key(assertion.path, above);
            }
        }
    }

    fn value_begins(&mut self) {
        self.fresh = false;
        self.value.clear();
        let depth = self.depth;
        for assertion in self.each() {
            assertion.comparing = assertion.is_at(depth).then_some(assertion.wanted);
            assertion.equal = true;
        }
    }
}

impl Visitor for Assertions<'_> {
    fn open(&mut self, _: Container) {
        let depth = self.depth;
        let asked_for = self.each().position(|assertion| assertion.is_at(depth));
        if let Some(index) = asked_for {
            self.refuted = self.refuted.or(Some(Refutation::Container(index)));
        }
        self.depth += 1;
        self.fresh = true;
    }

    fn close(&mut self) {
        self.depth -= 1;
        // It was of the container: what follows in an array has none.
        self.key.clear();
        let depth = self.depth;
        for assertion in self.each() {
            assertion.matched = assertion.matched.min(depth);
        }
        self.fresh = true;
    }

    fn key_byte(&mut self, byte: u8) {
        if self.fresh {
            self.key_begins();
        }
        self.key.push(byte);
        self.seen.key_byte(byte);
        self.compare(byte);
    }

    fn key(&mut self) {
        if self.fresh {
            self.key_begins();
        }
        self.fresh = true;
        let depth = self.depth;
        let mut asked_for = false;
        for assertion in self.each() {
            if assertion.is_equal() {
                assertion.matched = depth;
                asked_for = true;
            }
        }
        if asked_for && self.refuted.is_none() {
            self.trail.turn(depth, self.key.as_bytes());
            self.refuted = match self.seen.key(depth) {
                Sighting::First => None,
                Sighting::Again => Some(Refutation::Twice),
                Sighting::TooMany => Some(Refutation::TooMany),
            };
        }
    }

    fn value_byte(&mut self, byte: u8) {
        if self.fresh {
            self.value_begins();
        }
        self.value.push(byte);
        self.compare(byte);
    }

    fn value(&mut self, scalar: Scalar) {
        if self.fresh {
            self.value_begins();
        }
        self.fresh = true;
        let depth = self.depth;
        let fails = self
            .each()
            .position(|assertion| assertion.is_at(depth) && !assertion.takes(scalar));
        if let Some(index) = fails
            && self.refuted.is_none()
        {
            self.found = self.value;
            let refutation = match scalar {
                Scalar::String => Refutation::String(index),
                _ => Refutation::Scalar(index),
            };
            self.refuted = Some(refutation);
        }
    }
}

impl Assertion<'_> {
    const NONE: Assertion<'static> = Assertion {
        path: b"",
        wanted: b"",
        length: 0,
        has_any: false,
        matched: 0,
        comparing: None,
        equal: false,
        outcome: Outcome::Unseen,
    };

    /// Whether a value that begins now is one that the path reaches.
    fn is_at(&self, depth: usize) -> bool {
        self.matched == depth && self.length == depth
    }

    /// Whether the key or value that ended is as asserted.
    fn is_equal(&self) -> bool {
        self.comparing
            .is_some_and(|rest| self.equal && (rest.is_empty() || rest == spelling::ANY))
    }

    /// Takes a value that the path reaches; whether it is one that may stand there.
    fn takes(&mut self, scalar: Scalar) -> bool {
        let wants_null = self.wanted == b"null";
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
