//! The body of an answer: whole bytes on the fast path, or one that fails on the way.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

/// How a body ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// As it should.
    Whole,
    /// The connection is closed.
    Cut,
    /// The connection is reset.
    Reset(Arc<AtomicBool>),
    /// Not at all.
    Hang,
}

/// A body.
#[derive(Debug)]
pub(super) enum Body {
    /// Sent as it is, without a copy.
    Whole(Option<Bytes>),
    /// Sent piece by piece.
    Paced(Box<Paced>),
}

/// A body with a speed and an ending.
#[derive(Debug)]
pub(super) struct Paced {
    rest: Bytes,
    /// What Content-Length says is still to come.
    promised: u64,
    piece: usize,
    pause: Duration,
    ending: Ending,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body {
    pub(super) fn whole(data: Bytes) -> Body {
        Body::Whole((!data.is_empty()).then_some(data))
    }

    /// So many bytes of `data`, then the ending.
    pub(super) fn ending_after(data: &Bytes, count: usize, ending: Ending) -> Body {
        Body::Paced(Box::new(Paced {
            rest: data.slice(..count.min(data.len())),
            promised: data.len() as u64,
            piece: usize::MAX,
            // Long enough for the bytes before the end to leave.
            pause: Duration::from_millis(2),
            ending,
            timer: None,
        }))
    }

    pub(super) fn slow(data: Bytes, bytes_per_second: u64) -> Body {
        if bytes_per_second == 0 {
            return Body::whole(data);
        }
        let pieces_per_second = bytes_per_second.clamp(1, 50);
        Body::Paced(Box::new(Paced {
            promised: data.len() as u64,
            rest: data,
            piece: usize::try_from(bytes_per_second.div_ceil(pieces_per_second))
                .unwrap_or(usize::MAX),
            pause: Duration::from_secs(1) / u32::try_from(pieces_per_second).unwrap_or(1),
            ending: Ending::Whole,
            timer: None,
        }))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Body::Paced(paced) => paced.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Whole(data) => data.as_ref().map_or(0, |data| data.len() as u64),
            Body::Paced(paced) => paced.promised,
        })
    }
}

impl Paced {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(timer) = &mut self.timer {
            std::task::ready!(timer.as_mut().poll(context));
            self.timer = None;
        }
        if !self.rest.is_empty() {
            let piece = self.rest.split_to(self.piece.min(self.rest.len()));
            self.promised -= piece.len() as u64;
            self.timer = Some(Box::pin(tokio::time::sleep(self.pause)));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &self.ending {
            Ending::Whole => Poll::Ready(None),
            Ending::Hang => Poll::Pending,
            Ending::Cut => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            Ending::Reset(flag) => {
                flag.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
        }
    }
}
