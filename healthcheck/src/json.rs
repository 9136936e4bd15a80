//! JSON, a byte at a time: nothing is kept but where in the grammar it stands, whatever the size.
//!
//! It takes exactly the documents that serde_json makes a `Value` of, but that a number may have any
//! size: nesting up to 127 levels, strings in valid UTF-8, no lone surrogates.

mod number;
mod string;

use self::number::Number;
use self::string::{Piece, Text, encode};
use crate::text::nth_line;

/// As deep as serde_json goes by default.
const DEEPEST: u32 = 127;

/// What a value is, beside containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string; its bytes were decoded.
    String,
    /// A number, as it was written.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
}

/// The two that hold others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `{`
    Object,
    /// `[`
    Array,
}

/// Who is told what a document holds, in its order.
pub trait Visitor {
    /// A container begins.
    fn open(&mut self, container: Container);
    /// The innermost container ends.
    fn close(&mut self);
    /// A key begins.
    fn key_begins(&mut self);
    /// One more byte of a key, decoded.
    fn key_byte(&mut self, byte: u8);
    /// The key is complete; its value is next.
    fn key(&mut self);
    /// A scalar begins.
    fn value_begins(&mut self);
    /// One more byte of a scalar: a string's decoded, any other's as written.
    fn value_byte(&mut self, byte: u8);
    /// The scalar is complete.
    fn value(&mut self, scalar: Scalar);
}

/// Why a document is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A byte that cannot stand where it does.
    Unexpected,
    /// A string with a control character, an unknown escape, half a surrogate pair, or no UTF-8.
    String,
    /// More levels than anybody needs.
    Deep,
    /// The end came too early.
    Ended,
}

impl Problem {
    /// In words.
    pub fn words(self) -> &'static [u8] {
        nth_line(WORDS, self as usize)
    }
}

/// In the order of [`Problem`].
const WORDS: &[u8] = b"\
an unexpected character
a malformed string
more than 127 levels
an early end";

/// Where in a document the scanner stands.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    depth: u32,
    /// A bit for each open container, the innermost lowest: set for objects.
    objects: u128,
    offset: u64,
    text: Text,
    number: Number,
    /// What is left of `true`, `false` or `null`, and which.
    literal: &'static [u8],
    scalar: Scalar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    Next,
    InKey,
    InString,
    InNumber,
    InLiteral,
    Done,
}

impl Scanner {
    /// Before the first byte.
    pub const fn new() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            objects: 0,
            offset: 0,
            text: Text::new(),
            number: Number::Minus,
            literal: b"",
            scalar: Scalar::String,
        }
    }

    /// How many bytes were taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes of the document.
    ///
    /// # Errors
    /// The document is none; nothing more may be pushed.
    pub fn push(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), Problem> {
        for &byte in bytes {
            self.step(byte, visitor)?;
            self.offset += 1;
        }
        Ok(())
    }

    /// The document has no more bytes.
    ///
    /// # Errors
    /// It is not complete.
    pub fn finish(&mut self, visitor: &mut impl Visitor) -> Result<(), Problem> {
        if self.state == State::InNumber && self.depth == 0 && self.number.is_complete() {
            visitor.value(Scalar::Number);
            self.state = State::Done;
        }
        match self.state {
            State::Done => Ok(()),
            _ => Err(Problem::Ended),
        }
    }

    fn step(&mut self, byte: u8, visitor: &mut impl Visitor) -> Result<(), Problem> {
        match self.state {
            State::InKey | State::InString => return self.string(byte, visitor),
            State::InLiteral => return self.rest_of_literal(byte, visitor),
            State::InNumber => {
                if let Some(number) = self.number.next(byte) {
                    visitor.value_byte(byte);
                    self.number = number;
                    return Ok(());
                }
                if !self.number.is_complete() {
                    return Err(Problem::Unexpected);
                }
                // Only what follows a number ends it.
                visitor.value(Scalar::Number);
                self.state = self.after_value();
            }
            _ => {}
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (State::FirstKey | State::Key, b'"') => {
                visitor.key_begins();
                State::InKey
            }
            (State::Colon, b':') => State::Value,
            (State::FirstKey, b'}') | (State::FirstElement, b']') => self.close(visitor),
            (State::Next, b'}') if self.in_object() => self.close(visitor),
            (State::Next, b']') if !self.in_object() => self.close(visitor),
            (State::Next, b',') if self.in_object() => State::Key,
            (State::Next, b',') => State::Value,
            (State::Value | State::FirstElement, _) => self.begin(byte, visitor)?,
            _ => return Err(Problem::Unexpected),
        };
        Ok(())
    }

    /// One more byte of a key or of a string.
    fn string(&mut self, byte: u8, visitor: &mut impl Visitor) -> Result<(), Problem> {
        let is_key = self.state == State::InKey;
        let mut hand_on = |byte| match is_key {
            true => visitor.key_byte(byte),
            false => visitor.value_byte(byte),
        };
        match self.text.next(byte).ok_or(Problem::String)? {
            Piece::Nothing => {}
            Piece::Byte(byte) => hand_on(byte),
            Piece::Character(character) => encode(character, hand_on),
            Piece::End if is_key => {
                visitor.key();
                self.state = State::Colon;
            }
            Piece::End => {
                visitor.value(Scalar::String);
                self.state = self.after_value();
            }
        }
        Ok(())
    }

    fn rest_of_literal(&mut self, byte: u8, visitor: &mut impl Visitor) -> Result<(), Problem> {
        match self.literal.split_first() {
            Some((&expected, rest)) if byte == expected => self.literal = rest,
            _ => return Err(Problem::Unexpected),
        }
        visitor.value_byte(byte);
        if self.literal.is_empty() {
            visitor.value(self.scalar);
            self.state = self.after_value();
        }
        Ok(())
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8, visitor: &mut impl Visitor) -> Result<State, Problem> {
        match byte {
            b'{' => {
                self.open(Container::Object, visitor)?;
                return Ok(State::FirstKey);
            }
            b'[' => {
                self.open(Container::Array, visitor)?;
                return Ok(State::FirstElement);
            }
            _ => visitor.value_begins(),
        }
        let state = match byte {
            b'"' => return Ok(State::InString),
            b't' => self.literal(b"rue", Scalar::Boolean),
            b'f' => self.literal(b"alse", Scalar::Boolean),
            b'n' => self.literal(b"ull", Scalar::Null),
            _ => {
                self.number = Number::first(byte).ok_or(Problem::Unexpected)?;
                State::InNumber
            }
        };
        visitor.value_byte(byte);
        Ok(state)
    }

    fn literal(&mut self, rest: &'static [u8], scalar: Scalar) -> State {
        self.literal = rest;
        self.scalar = scalar;
        State::InLiteral
    }

    fn open(&mut self, container: Container, visitor: &mut impl Visitor) -> Result<(), Problem> {
        if self.depth == DEEPEST {
            return Err(Problem::Deep);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(container == Container::Object);
        visitor.open(container);
        Ok(())
    }

    fn close(&mut self, visitor: &mut impl Visitor) -> State {
        self.depth -= 1;
        self.objects >>= 1;
        visitor.close();
        self.after_value()
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn after_value(&self) -> State {
        match self.depth {
            0 => State::Done,
            _ => State::Next,
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}
