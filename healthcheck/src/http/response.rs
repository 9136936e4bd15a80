//! The answer, as it arrives: in pieces of any size, and from a server that nobody vouches for.

use crate::text::{Snippet, after, decimal, eq_ignore_case, nth_line, split_once};

/// Header lines beyond this are looked at no further.
const LONGEST_LINE: usize = 256;

/// Status line, headers and trailers together.
const LARGEST_HEAD: u32 = 64 << 10;

/// More JSON than a health check has.
const LARGEST_BODY: usize = 16 << 20;

/// What the bytes so far came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// More bytes are needed.
    More,
    /// The headers are complete.
    Head,
    /// A piece of the body.
    Body(&'b [u8]),
    /// The body is complete.
    Complete,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not a status line of HTTP/1.
    NoHttp,
    /// Headers without an end.
    HeadTooLarge,
    /// A length that is no number, or two that differ.
    Length,
    /// A transfer coding other than chunked.
    Coding,
    /// Chunks that are not framed as they should be.
    Chunk,
    /// More than 16 MiB.
    BodyTooLarge,
    /// Closed before there was anything.
    Empty,
    /// Closed within the headers.
    HeadCut,
    /// Closed within the body.
    BodyCut,
}

impl Problem {
    /// In words, after "it".
    pub fn words(self) -> &'static [u8] {
        nth_line(WORDS, self as usize)
    }
}

/// In the order of [`Problem`].
const WORDS: &[u8] = b"\
does not speak HTTP/1
sent more than 64 KiB of headers
sent a Content-Length that is none, or two
sent a Transfer-Encoding other than chunked
sent malformed chunks
sent more than 16 MiB
closed the connection without an answer
closed the connection within the headers
closed the connection within the body";

/// Where in an answer the parser stands. What a state needs lies beside it, and not in it: moving
/// enums about would be a fifth of the program.
#[derive(Debug)]
#[repr(C)]
pub struct Response {
    state: State,
    /// Of the line, what does not fit included.
    length: usize,
    head: u32,
    status: u16,
    /// Of the body or of its chunk.
    left: u64,
    body: usize,
    headers: Headers,
    line: [u8; LONGEST_LINE],
}

/// What the headers say.
#[derive(Debug)]
#[repr(C)]
struct Headers {
    content_length: Option<u64>,
    chunked: bool,
    /// Whether what a line that begins with a space continues says how long the body is.
    continues_framing: bool,
    location: Snippet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Status,
    Header,
    /// All that comes.
    UntilClose,
    /// So many bytes more, of the body or of a chunk.
    Length,
    Chunk,
    /// Within a chunk's size: at its first digit, behind it, behind its last.
    SizeBegin,
    Size,
    SizeSpace,
    /// Within what a size may be followed by.
    Extension,
    /// At the LF behind it.
    SizeEnd,
    /// At the CR and the LF behind a chunk.
    ChunkReturn,
    ChunkEnd,
    Trailer,
    Complete,
}

impl Response {
    /// Before the first byte: all zeros, which one instruction makes.
    pub const BEGINNING: Self = Self {
        state: State::Status,
        line: [0; LONGEST_LINE],
        length: 0,
        head: 0,
        status: 0,
        left: 0,
        body: 0,
        headers: Headers::NONE,
    };

    /// The status, 0 before there is one; that of an interim answer is not kept.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Where a redirect would lead, without its query, which may hold a token.
    pub fn location(&self) -> &Snippet {
        &self.headers.location
    }

    /// Takes bytes off the front up to the next event. After [`Event::More`] none are left.
    ///
    /// # Errors
    /// The answer is none; nothing more may be pushed.
    #[inline(never)]
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Event<'b>, Problem> {
        loop {
            if self.state == State::Complete {
                return Ok(Event::Complete);
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(Event::More);
            };
            match self.state {
                State::UntilClose | State::Length | State::Chunk => {
                    return self.data(bytes).map(Event::Body);
                }
                State::Status | State::Header | State::Trailer => {
                    *bytes = rest;
                    if self.head(byte)? {
                        return Ok(Event::Head);
                    }
                }
                _ => {
                    *bytes = rest;
                    self.framing(byte).ok_or(Problem::Chunk)?;
                }
            }
        }
    }

    /// The connection was closed.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&self) -> Result<(), Problem> {
        match self.state {
            State::Complete | State::UntilClose => Ok(()),
            State::Status if self.head == 0 => Err(Problem::Empty),
            State::Status | State::Header => Err(Problem::HeadCut),
            _ => Err(Problem::BodyCut),
        }
    }

    /// One more byte of a line; whether it ended the headers.
    #[inline(never)]
    fn head(&mut self, byte: u8) -> Result<bool, Problem> {
        self.head += 1;
        if self.head > LARGEST_HEAD {
            return Err(Problem::HeadTooLarge);
        }
        if byte != b'\n' {
            if let Some(place) = self.line.get_mut(self.length) {
                *place = byte;
            }
            // What speaks another protocol may never send a line's end.
            let begins = b"HTTP/"
                .get(self.length)
                .is_none_or(|&expected| byte == expected);
            if self.state == State::Status && !begins {
                return Err(Problem::NoHttp);
            }
            self.length += 1;
            return Ok(false);
        }
        let length = core::mem::take(&mut self.length);
        let line = self.line.get(..length).unwrap_or(&self.line);
        let line = match line {
            [before @ .., b'\r'] => before,
            _ => line,
        };
        if self.state == State::Status {
            self.status = status(line).ok_or(Problem::NoHttp)?;
            self.state = State::Header;
        } else if !line.is_empty() {
            if self.state == State::Header {
                self.headers.take(line, length > LONGEST_LINE)?;
            }
        } else if self.state == State::Trailer {
            self.state = State::Complete;
        } else {
            return Ok(self.end_head());
        }
        Ok(false)
    }

    /// Whether the headers are those of the answer itself.
    fn end_head(&mut self) -> bool {
        // Early hints and the like: the answer follows. 101 is no HTTP any more.
        if self.status < 200 && self.status != 101 {
            self.state = State::Status;
            self.status = 0;
            self.headers = Headers::NONE;
            return false;
        }
        self.left = self.headers.content_length.unwrap_or_default();
        self.state = if self.status == 204 || self.status == 304 {
            State::Complete
        } else if self.headers.chunked {
            State::SizeBegin
        } else if self.headers.content_length.is_none() {
            State::UntilClose
        } else if self.left == 0 {
            State::Complete
        } else {
            State::Length
        };
        true
    }

    /// A piece of the body.
    fn data<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<&'b [u8], Problem> {
        let mut count = bytes.len();
        if self.state != State::UntilClose {
            count = usize::try_from(self.left).unwrap_or(usize::MAX).min(count);
            self.left -= count as u64;
            if self.left == 0 {
                self.state = match self.state {
                    State::Chunk => State::ChunkReturn,
                    _ => State::Complete,
                };
            }
        }
        self.body += count;
        if self.body > LARGEST_BODY {
            return Err(Problem::BodyTooLarge);
        }
        let (data, rest) = bytes.split_at_checked(count).unwrap_or_default();
        *bytes = rest;
        Ok(data)
    }

    /// One more byte between chunks; none where it cannot stand there.
    fn framing(&mut self, byte: u8) -> Option<()> {
        self.state = match (self.state, byte) {
            (State::Size | State::SizeSpace | State::Extension, b'\r') => State::SizeEnd,
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Size | State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::SizeBegin | State::Size, _) => {
                // Refuses a size that does not fit, which would be a small one if it wrapped.
                self.left = self.left.checked_mul(16)? | u64::from((byte as char).to_digit(16)?);
                State::Size
            }
            // A line's end of another kind would be read differently by others.
            (State::Extension, b'\n') => return None,
            (State::Extension, _) => State::Extension,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Chunk,
            (State::ChunkReturn, b'\r') => State::ChunkEnd,
            (State::ChunkEnd, b'\n') => State::SizeBegin,
            _ => return None,
        };
        Some(())
    }
}

impl Headers {
    const NONE: Self = Self {
        content_length: None,
        chunked: false,
        continues_framing: false,
        location: Snippet::new(),
    };

    /// One more line, or the beginning of one that is `cut`.
    fn take(&mut self, line: &[u8], cut: bool) -> Result<(), Problem> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return if self.continues_framing {
                Err(Problem::Length)
            } else {
                Ok(())
            };
        }
        self.continues_framing = false;
        let Some((name, value)) = split_once(line, b':') else {
            return Ok(());
        };
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        if eq_ignore_case(name, b"content-length") {
            self.continues_framing = true;
            let length = decimal(value).filter(|_| !cut).ok_or(Problem::Length)?;
            if self.content_length.is_some_and(|other| other != length) {
                return Err(Problem::Length);
            }
            self.content_length = Some(length);
        } else if eq_ignore_case(name, b"transfer-encoding") {
            self.continues_framing = true;
            if self.chunked || cut || !eq_ignore_case(value, b"chunked") {
                return Err(Problem::Coding);
            }
            self.chunked = true;
        } else if eq_ignore_case(name, b"location") {
            self.location.clear();
            for &byte in value
                .iter()
                .take_while(|&&byte| byte != b'?' && byte != b'#')
            {
                self.location.push(byte);
            }
        }
        Ok(())
    }
}

/// `HTTP/1.x NNN reason`
fn status(line: &[u8]) -> Option<u16> {
    let (head, rest) = line.split_first_chunk::<12>()?;
    let code = decimal(head.get(9..)?)?;
    let ends = rest.first().is_none_or(|&byte| byte == b' ');
    let begins = after(head, b"HTTP/1.").is_some() && head[7].is_ascii_digit() && head[8] == b' ';
    (begins && ends && code >= 100).then_some(code as u16)
}
