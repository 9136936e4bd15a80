//! The subscription to the workers' events.

use super::{Failure, Layout};
use agent::redis::{Target, subscriber};
use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use std::pin::Pin;
use std::time::Duration;

/// A subscription that is confirmed.
pub struct Listener {
    // The connection ends with either of them.
    _sink: PubSubSink,
    stream: Pin<Box<PubSubStream>>,
}

impl Listener {
    /// Subscribes within `timeout`.
    ///
    /// # Errors
    /// Why it is not subscribed.
    pub async fn start(
        target: &Target,
        layout: &Layout,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let connected = subscriber(target, timeout).await;
        let connected = connected.map_err(|error| Failure::new(target, &error))?;
        let (mut sink, stream) = connected.split();
        let subscribed = sink.subscribe(&layout.channels[..]);
        match tokio::time::timeout(timeout, subscribed).await {
            Ok(Ok(())) => Ok(Self {
                _sink: sink,
                stream: Box::pin(stream),
            }),
            Ok(Err(error)) => Err(Failure::of(target, &error)),
            Err(_) => Err(Failure::odd(target, "a subscription")),
        }
    }

    /// What a worker published next; none when the connection ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let next = std::future::poll_fn(|context| self.stream.as_mut().poll_next(context)).await;
        next.map(|message| message.get_payload_bytes().to_vec())
    }
}
