//! What a server says before it is asked: a refusal, after which it hangs up. The client library drops
//! an answer without a question, and tells of a connection that ended early.

use super::{ConnectError, Reason};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much as is kept: an error's first line.
const MOST: usize = 200;

/// A stream, and the first bytes that came.
pub(super) struct Heard<S> {
    stream: S,
    first: Greeting,
}

/// The first bytes that came.
#[derive(Clone, Default)]
pub(super) struct Greeting(Arc<Mutex<Vec<u8>>>);

impl Greeting {
    /// Listens to a stream.
    pub(super) fn listen<S>(stream: S) -> (Heard<S>, Self) {
        let first = Self::default();
        let greeting = first.clone();
        (Heard { stream, first }, greeting)
    }

    /// The server's own words, where they came in place of an answer: `-ERR max number of clients
    /// reached`, `-DENIED Redis is running in protected mode`.
    pub(super) fn explain(&self, error: ConnectError) -> ConnectError {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&first);
        let line = text.lines().next().and_then(|line| line.strip_prefix('-'));
        match line.and_then(|line| Some((line, line.split_once(' ')?))) {
            Some((line, (code, _))) if error.reason == Reason::Network => {
                ConnectError::new(Reason::Server(code.to_owned()), line)
            }
            _ => error,
        }
    }

    fn hear(&self, bytes: &[u8]) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(first.len());
        first.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.first.hear(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
