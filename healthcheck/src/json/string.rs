//! The inside of a string: UTF-8, and escapes.

/// Where in a string the scanner stands, after its opening quote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    state: State,
    /// How many bytes of a character, or digits of an escape, follow.
    follow: u8,
    /// Between which the next byte of a character must lie, which is what refuses overlong forms,
    /// surrogates and what is beyond U+10FFFF.
    least: u8,
    most: u8,
    /// `\uXXXX` so far, and the high surrogate before it, or 0.
    unit: u16,
    high: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    Rest,
    Escape,
    Unit,
    /// After a high surrogate, which needs `\u` and a low one.
    LowBackslash,
    LowU,
}

/// What a byte came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    /// It, or the escape that it completed, stands for this.
    Byte(u8),
    /// A code point, which is no surrogate.
    Character(u32),
    /// It is a part of an escape.
    Nothing,
    /// It is the closing quote.
    End,
}

impl Text {
    pub(super) const fn new() -> Text {
        Text {
            state: State::Plain,
            follow: 0,
            least: 0,
            most: 0,
            unit: 0,
            high: 0,
        }
    }

    /// None where the byte cannot stand here.
    #[inline(never)]
    pub(super) fn next(&mut self, byte: u8) -> Option<Piece> {
        match self.state {
            State::Plain => return self.plain(byte),
            State::Rest => {
                if byte < self.least || byte > self.most {
                    return None;
                }
                (self.least, self.most) = (0x80, 0xbf);
                self.follow -= 1;
                if self.follow == 0 {
                    self.state = State::Plain;
                }
                return Some(Piece::Byte(byte));
            }
            State::Escape => return self.escape(byte),
            State::Unit => {
                let digit = (byte as char).to_digit(16)? as u16;
                self.unit = self.unit << 4 | digit;
                self.follow -= 1;
                if self.follow == 0 {
                    return self.whole();
                }
            }
            State::LowBackslash if byte == b'\\' => self.state = State::LowU,
            State::LowU if byte == b'u' => self.begin_unit(),
            State::LowBackslash | State::LowU => return None,
        }
        Some(Piece::Nothing)
    }

    #[inline(never)]
    fn plain(&mut self, byte: u8) -> Option<Piece> {
        match byte {
            b'"' => return Some(Piece::End),
            b'\\' => {
                self.state = State::Escape;
                return Some(Piece::Nothing);
            }
            0x20..=0x7f => return Some(Piece::Byte(byte)),
            _ => {}
        }
        (self.least, self.most) = (0x80, 0xbf);
        match byte {
            0xe0 => self.least = 0xa0,
            0xed => self.most = 0x9f,
            0xf0 => self.least = 0x90,
            0xf4 => self.most = 0x8f,
            0xc2..=0xf3 => {}
            _ => return None,
        }
        self.state = State::Rest;
        self.follow = 1 + u8::from(byte >= 0xe0) + u8::from(byte >= 0xf0);
        Some(Piece::Byte(byte))
    }

    fn begin_unit(&mut self) {
        self.state = State::Unit;
        self.follow = 4;
        self.unit = 0;
    }

    #[inline(never)]
    fn escape(&mut self, byte: u8) -> Option<Piece> {
        const WRITTEN: &[u8] = b"\"\\/bfnrt";
        const MEANT: &[u8] = b"\"\\/\x08\x0c\n\r\t";
        if byte == b'u' {
            self.begin_unit();
            return Some(Piece::Nothing);
        }
        let place = WRITTEN.iter().position(|&written| written == byte)?;
        let meant = *MEANT.get(place)?;
        self.state = State::Plain;
        Some(Piece::Byte(meant))
    }

    /// All four digits are there.
    fn whole(&mut self) -> Option<Piece> {
        let unit = u32::from(self.unit);
        let high = u32::from(core::mem::take(&mut self.high));
        let character = match self.unit {
            0xd800..=0xdbff if high == 0 => {
                self.high = self.unit;
                self.state = State::LowBackslash;
                return Some(Piece::Nothing);
            }
            0xdc00..=0xdfff if high != 0 => 0x1_0000 + ((high - 0xd800) << 10 | (unit - 0xdc00)),
            // Half of a pair.
            0xdc00..=0xdfff => return None,
            _ if high != 0 => return None,
            _ => unit,
        };
        self.state = State::Plain;
        Some(Piece::Character(character))
    }
}

/// The bytes of a character in UTF-8. The standard library's has 100 bytes more, as it knows each length
/// by itself.
pub(super) fn encode(character: u32, mut hand_on: impl FnMut(u8)) {
    if character < 0x80 {
        return hand_on(character as u8);
    }
    let mut follow = 1 + u32::from(character >= 0x800) + u32::from(character >= 0x1_0000);
    // As many ones as there are bytes, and a zero.
    hand_on((0xff_u32 << (7 - follow)) as u8 | (character >> (6 * follow)) as u8);
    while follow > 0 {
        follow -= 1;
        hand_on(0x80 | (character >> (6 * follow)) as u8 & 0x3f);
    }
}
