//! A JSON document as it arrives: an answer's body or a status file, with what is asserted of it.

use crate::assertion::{Asked, Assertions};
use crate::json::{Container, Problem, Scalar, Scanner, Visitor};
use crate::text::{Line, Snippet, Unhealthy, decimal};
use crate::timestamp::seconds;

/// A document so far.
#[derive(Debug)]
pub struct Document<'c, 'a> {
    scanner: Scanner,
    contents: Contents<'c, 'a>,
}

/// What it holds. An answer's members are kept too, for nobody: one visitor is smaller than two.
#[derive(Debug)]
#[repr(C)]
struct Contents<'c, 'a> {
    members: Members,
    assertions: Assertions<'c, 'a>,
}

/// Those members of a status that it is judged by. Nothing yet is all zeros, which one instruction makes.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "as the agents write them")]
pub struct Members {
    pub schema: Option<u64>,
    /// In seconds since 1970.
    pub updated: Option<i64>,
    /// In seconds since 1970.
    pub valid_until: Option<i64>,
    pub healthy: bool,
    pub agent: Snippet,
    pub phase: Snippet,
    pub reason: Snippet,
}

impl<'c, 'a> Document<'c, 'a> {
    /// Before the first byte.
    #[inline(always)]
    pub fn new(asked: &'c mut Asked<'a>) -> Self {
        Self {
            scanner: Scanner::new(),
            contents: Contents {
                members: Members::NONE,
                assertions: Assertions::new(asked),
            },
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// It is none; nothing more may be pushed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.scanner.push(bytes, &mut self.contents)
    }

    /// It has no more bytes.
    ///
    /// # Errors
    /// It is not complete.
    pub fn finish(&mut self) -> Result<(), Problem> {
        self.scanner.finish(&mut self.contents)
    }

    /// Why it is none, after "is".
    pub fn no_json(&self, problem: Problem, why: &mut Line) -> Unhealthy {
        why.say("no JSON: ").show(problem.words());
        why.say(" at byte ").number(self.offset()).failed()
    }

    /// How many bytes were taken.
    pub fn offset(&self) -> u64 {
        self.scanner.offset()
    }

    /// What its own members say.
    pub fn members(&self) -> &Members {
        &self.contents.members
    }

    /// What it came to for them.
    pub fn assertions(&self) -> &Assertions<'c, 'a> {
        &self.contents.assertions
    }
}

impl Members {
    const NONE: Members = Members {
        schema: None,
        updated: None,
        valid_until: None,
        healthy: false,
        agent: Snippet::new(),
        phase: Snippet::new(),
        reason: Snippet::new(),
    };

    fn take(&mut self, key: &Snippet, value: &Snippet, scalar: Scalar) {
        match scalar {
            // Anything but true is no, also where the key stands twice.
            _ if key.is("healthy") => {
                self.healthy = scalar == Scalar::Boolean && value.is("true");
            }
            Scalar::Number if key.is("schema") => self.schema = value.whole().and_then(decimal),
            Scalar::String => self.take_text(key, value),
            _ => {}
        }
    }

    fn take_text(&mut self, key: &Snippet, value: &Snippet) {
        if key.is("updated") {
            self.updated = value.whole().and_then(seconds);
        } else if key.is("valid_until") {
            self.valid_until = value.whole().and_then(seconds);
        } else if key.is("agent") {
            self.agent = *value;
        } else if key.is("phase") {
            self.phase = *value;
        } else if key.is("reason") {
            self.reason = *value;
        }
    }
}

impl Visitor for Contents<'_, '_> {
    fn open(&mut self, container: Container) {
        self.assertions.open(container);
    }

    fn close(&mut self) {
        self.assertions.close();
    }

    fn key_begins(&mut self) {
        self.assertions.key_begins();
    }

    fn key_byte(&mut self, byte: u8) {
        self.assertions.key_byte(byte);
    }

    fn key(&mut self) {
        self.assertions.key();
    }

    fn value_begins(&mut self) {
        self.assertions.value_begins();
    }

    fn value_byte(&mut self, byte: u8) {
        self.assertions.value_byte(byte);
    }

    fn value(&mut self, scalar: Scalar) {
        self.assertions.value(scalar);
        if let Some((key, value)) = self.assertions.member() {
            self.members.take(key, value, scalar);
        }
    }
}
