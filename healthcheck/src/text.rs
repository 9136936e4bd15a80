//! Text without an allocator: the one line that is written, and short pieces that are kept for it.

/// One line of bounded length. What does not fit is left out, and the end shows it.
#[derive(Debug)]
#[repr(C)]
pub struct Line {
    length: usize,
    bytes: [u8; Line::CAPACITY],
}

/// A check does not hold; the [`Line`] that was passed along says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhealthy;

impl Line {
    const CAPACITY: usize = 512;
    const CUT: &[u8] = b"...";

    /// An empty line.
    #[expect(clippy::new_without_default, reason = "nothing is generic over it")]
    pub const fn new() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends text of our own.
    pub fn say(&mut self, text: &str) -> &mut Self {
        self.show(text.as_bytes())
    }

    /// Appends text of somebody else's: control characters must not forge a line of a log, nor
    /// rule a terminal.
    pub fn show(&mut self, text: &[u8]) -> &mut Self {
        for &byte in text {
            self.put(if byte < b' ' || byte == 0x7f {
                b'?'
            } else {
                byte
            });
        }
        self
    }

    /// Appends a number in decimal.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.digits(number, 1)
    }

    /// Appends thousandths: 1234 is `1.234`.
    pub fn thousandths(&mut self, number: u64) -> &mut Self {
        self.number(number / 1000).say(".").digits(number % 1000, 3)
    }

    /// Appends a number with so many digits at least.
    fn digits(&mut self, number: u64, least: u32) -> &mut Self {
        let (rest, digit) = (number / 10, number % 10);
        if rest > 0 || least > 1 {
            self.digits(rest, least.saturating_sub(1));
        }
        self.put(b'0' + digit as u8);
        self
    }

    /// What is returned once the line says why.
    pub fn failed(&mut self) -> Unhealthy {
        Unhealthy
    }

    /// The whole line, with its end, in one piece: so it arrives as one line.
    pub fn ended(&mut self) -> &[u8] {
        let length = self.length.min(Self::CAPACITY - 1);
        if let Some(place) = self.bytes.get_mut(length) {
            *place = b'\n';
        }
        self.bytes.get(..=length).unwrap_or_default()
    }

    /// The line so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        } else if let Some(end) = self.bytes.last_chunk_mut::<3>() {
            end.copy_from_slice(Self::CUT);
        }
    }
}

/// The beginning of a text, kept to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Snippet {
    bytes: [u8; Snippet::CAPACITY],
    length: usize,
    cut: bool,
}

impl Snippet {
    const CAPACITY: usize = 80;

    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
            cut: false,
        }
    }

    /// One more byte, if it fits.
    #[inline(never)]
    pub fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(place) => {
                *place = byte;
                self.length += 1;
            }
            None => self.cut = true,
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps so many bytes at most.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        self.cut = false;
    }

    /// What was kept.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The whole text, if all of it fitted.
    pub fn whole(&self) -> Option<&[u8]> {
        (!self.cut).then(|| self.as_bytes())
    }

    /// Whether it is that text.
    #[inline(never)]
    pub fn is(&self, text: &str) -> bool {
        self.whole() == Some(text.as_bytes())
    }

    /// Appends it to a line, with dots where it was cut.
    pub fn show_in<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        line.show(self.as_bytes())
            .say(if self.cut { "..." } else { "" })
    }
}

impl Default for Snippet {
    fn default() -> Self {
        Self::new()
    }
}

/// A decimal number of digits only, without a sign; none where it is too large.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Whether both are the same but for the case of ASCII letters. The standard library's has 300 bytes
/// more, for texts longer than any here.
pub fn eq_ignore_case(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// Whether the byte is in the text.
#[expect(
    clippy::manual_contains,
    reason = "that has 200 bytes more, for texts longer than any here"
)]
pub fn has(text: &[u8], wanted: u8) -> bool {
    text.iter().any(|&byte| byte == wanted)
}

/// What stands behind that beginning. The standard library's is compiled anew for each length of it.
#[inline(never)]
pub fn after<'a>(text: &'a [u8], beginning: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_at_checked(beginning.len())?;
    (first == beginning).then_some(rest)
}

/// What stands before and after the first such byte.
#[inline(never)]
pub fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|&byte| byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// What stands between such bytes: one piece at least. One type for all separators, where the standard
/// library's is compiled anew for each.
pub fn pieces(text: &[u8], at: u8) -> Pieces<'_> {
    Pieces {
        rest: Some(text),
        at,
    }
}

/// A line of a text. Words of a list are kept in one text, which is half as large as a table of them.
#[inline(never)]
pub fn nth_line(text: &[u8], place: usize) -> &[u8] {
    pieces(text, b'\n').nth(place).unwrap_or_default()
}

/// See [`pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    at: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let (piece, rest) = match split_once(text, self.at) {
            Some((piece, rest)) => (piece, Some(rest)),
            None => (text, None),
        };
        self.rest = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fill: impl Fn(&mut Line) -> &mut Line) -> String {
        let mut line = Line::new();
        fill(&mut line);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_line_takes_text_and_numbers() {
        let text = line(|line| line.say("port ").number(0).say(", ").number(u64::MAX));
        assert_eq!(text, "port 0, 18446744073709551615");
        for (number, shown) in [
            (0, "0.000"),
            (85, "0.085"),
            (4_012, "4.012"),
            (12_300, "12.300"),
        ] {
            assert_eq!(line(|line| line.thousandths(number)), shown);
        }
    }

    #[test]
    fn what_others_sent_cannot_end_the_line_or_rule_a_terminal() {
        let text = line(|line| line.show(b"a\nb\x1b[2J\x7f\0c"));
        assert_eq!(text, "a?b?[2J??c");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_the_end_shows_it() {
        let text = line(|line| (0..100).fold(line, |line, _| line.say("0123456789")));
        assert_eq!(text.len(), Line::CAPACITY);
        assert!(text.ends_with("678..."), "{text}");
        let mut snippet = Snippet::new();
        (0..Snippet::CAPACITY).for_each(|_| snippet.push(b'a'));
        assert_eq!(snippet.whole(), Some(b"a".repeat(80).as_slice()));
        snippet.push(b'b');
        assert_eq!(
            (snippet.as_bytes(), snippet.whole()),
            (b"a".repeat(80).as_slice(), None)
        );
        assert_eq!(line(|line| snippet.show_in(line)), "a".repeat(80) + "...");
        snippet.clear();
        assert_eq!(snippet.whole(), Some(b"".as_slice()));
    }

    #[test]
    fn a_decimal_has_digits_only_and_never_wraps() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("0x1", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
    }
}
