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
    sink: PubSubSink,
    stream: Pin<Box<PubSubStream>>,
    channels: [String; 3],
    target: Target,
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
                sink,
                stream: Box::pin(stream),
                channels: layout.channels.clone(),
                target: target.clone(),
            }),
            Ok(Err(error)) => Err(Failure::of(target, &error)),
            Err(_) => Err(Failure::odd(target, "a subscription")),
        }
    }

    /// Whether the line still stands, by subscribing once more, which changes nothing. A line that fell
    /// silent looks like workers that died.
    ///
    /// # Errors
    /// When there is no answer within `timeout`.
    pub async fn check(&mut self, timeout: Duration) -> Result<(), Failure> {
        let again = self.sink.subscribe(&self.channels[..]);
        match tokio::time::timeout(timeout, again).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::of(&self.target, &error)),
            Err(_) => Err(Failure::silent(&self.target, timeout)),
        }
    }

    /// What a worker published next; none when the connection ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let next = std::future::poll_fn(|context| self.stream.as_mut().poll_next(context)).await;
        next.map(|message| message.get_payload_bytes().to_vec())
    }
}
