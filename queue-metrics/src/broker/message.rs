//! kombu's messages: as much of them as is needed, and never a task's arguments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Waiting<'a> {
    #[serde(borrow)]
    properties: Tag<'a>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    delivery_tag: Cow<'a, str>,
}

/// What names a waiting message: its tag, else all of it.
pub(super) fn id(message: &[u8]) -> String {
    match serde_json::from_slice::<Waiting<'_>>(message) {
        Ok(message) => message.properties.delivery_tag.into_owned(),
        Err(_) => String::from_utf8_lossy(message).into_owned(),
    }
}

/// The exchange and the routing key of an entry of `unacked`, `[message, exchange, routing_key]`.
pub(super) fn route(entry: &[u8]) -> Option<(String, String)> {
    let (_, exchange, key): (IgnoredAny, Option<String>, Option<String>) =
        serde_json::from_slice(entry).ok()?;
    Some((exchange.unwrap_or_default(), key.unwrap_or_default()))
}

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) active: u64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default)]
    properties: Encoding,
}

#[derive(Deserialize, Default)]
struct Encoding {
    body_encoding: Option<String>,
}

/// A worker's event from what was published; none where it is none.
pub(super) fn event(published: &[u8]) -> Option<Event> {
    let envelope: Envelope<'_> = serde_json::from_slice(published).ok()?;
    match envelope.properties.body_encoding.as_deref() {
        Some("base64") => {
            let body = STANDARD.decode(envelope.body.as_bytes()).ok()?;
            serde_json::from_slice(&body).ok()
        }
        _ => serde_json::from_str(&envelope.body).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_in_flight_tells_its_route() {
        let entry = br#"[{"body": "x", "properties": {"a": [1]}}, "", "de\"fault"]"#;
        assert_eq!(route(entry), Some((String::new(), "de\"fault".to_owned())));
        assert_eq!(
            route(br#"[{}, null, "q"]"#),
            Some((String::new(), "q".to_owned()))
        );
        assert_eq!(route(b"[]"), None);
    }

    #[test]
    fn a_waiting_message_is_named_by_its_tag() {
        assert_eq!(
            id(br#"{"body": "", "properties": {"delivery_tag": "t"}}"#),
            "t"
        );
        assert_eq!(id(b"plain"), "plain");
    }

    #[test]
    fn an_event_is_read_plain_and_encoded() {
        let body =
            r#"{"type": "worker-heartbeat", "hostname": "celery@a", "active": 3, "freq": 2.0}"#;
        let plain = serde_json::json!({ "body": body });
        let encoded = serde_json::json!({
            "body": STANDARD.encode(body), "properties": {"body_encoding": "base64"}
        });
        for published in [plain, encoded] {
            let event = event(published.to_string().as_bytes()).expect("an event");
            assert_eq!((event.hostname.as_str(), event.active), ("celery@a", 3));
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_published(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (event(&bytes), route(&bytes), id(&bytes));
        }
    }
}
