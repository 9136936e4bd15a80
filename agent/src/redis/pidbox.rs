//! Celery's remote control of one worker by Redis's own commands: no Python, and no question to any
//! other worker. The keys and envelopes are kombu's (`kombu/pidbox.py`, `transport/redis.py`,
//! `transport/virtual/base.py`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// kombu's separator of a binding's parts.
const SEPARATOR: &str = "\x06\x16";
/// The exchange on which Celery's workers answer.
const REPLIES: &str = "reply.celery.pidbox";

/// Where workers listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pidbox {
    /// kombu's `global_keyprefix`.
    pub prefix: String,
    /// The number of the broker's database.
    pub database: u16,
}

impl Pidbox {
    /// Asks one worker, `celery@HOST`, and waits for its answer: none where it does not listen, or not
    /// within `limit`. The connection must allow an answer that long.
    ///
    /// `unique` names this question alone; two that are under way must differ.
    ///
    /// # Errors
    /// When Redis fails.
    pub async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        node: &str,
        method: &str,
        arguments: Value,
        limit: Duration,
        unique: &str,
    ) -> Result<Option<Value>, RedisError> {
        let prefix = &self.prefix;
        let queue = format!("{unique}.{REPLIES}");
        let list = format!("{prefix}{queue}");
        let bindings = format!("{prefix}_kombu.binding.{REPLIES}");
        let binding = format!("{unique}{SEPARATOR}{SEPARATOR}{queue}");
        let body = body(node, method, &arguments, Some(unique));
        let message = envelope(&body, limit, unique);
        // The binding before the question: a worker drops an answer that has no queue.
        let (_, listening): (i64, i64) = redis::pipe()
            .sadd(&bindings, &binding)
            .publish(self.channel(), message.to_string())
            .query_async(connection)
            .await?;
        let answer = match listening {
            0 => Ok(None),
            _ => self.answer(connection, &list, node, limit).await,
        };
        // Whatever became of it: a binding that stays is one more list that every answer goes to.
        let _: Result<(i64, i64), RedisError> = redis::pipe()
            .srem(&bindings, &binding)
            .del(&list)
            .query_async(connection)
            .await;
        answer
    }

    /// Tells one worker to do something, without waiting for an answer. How many workers listen: it may
    /// not be among them.
    ///
    /// # Errors
    /// When Redis fails.
    pub async fn tell(
        &self,
        connection: &mut MultiplexedConnection,
        node: &str,
        method: &str,
        arguments: Value,
        unique: &str,
    ) -> Result<i64, RedisError> {
        let body = body(node, method, &arguments, None);
        let message = envelope(&body, Duration::ZERO, unique);
        redis::cmd("PUBLISH")
            .arg(self.channel())
            .arg(message.to_string())
            .query_async(connection)
            .await
    }

    /// How many workers listen.
    ///
    /// # Errors
    /// When Redis fails.
    pub async fn listeners(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<i64, RedisError> {
        let mut question = redis::cmd("PUBSUB");
        question.arg("NUMSUB").arg(self.channel());
        let (_, listeners): (String, i64) = question.query_async(connection).await?;
        Ok(listeners)
    }

    fn channel(&self) -> String {
        format!("{}/{}.celery.pidbox", self.prefix, self.database)
    }

    async fn answer(
        &self,
        connection: &mut MultiplexedConnection,
        list: &str,
        node: &str,
        limit: Duration,
    ) -> Result<Option<Value>, RedisError> {
        // Whole seconds, which every Redis takes, and never 0, which is for ever.
        let seconds = limit.as_secs_f64().ceil().max(1.0);
        let mut pop = redis::cmd("BRPOP");
        pop.arg(list).arg(seconds as u64);
        let popped = pop.query_async::<Option<(String, String)>>(connection);
        match tokio::time::timeout(limit, popped).await {
            Ok(popped) => Ok(popped?.and_then(|(_, message)| reply(&message, node))),
            Err(_) => Ok(None),
        }
    }
}

/// What is asked of a node; `ticket` is where it answers.
fn body(node: &str, method: &str, arguments: &Value, ticket: Option<&str>) -> Value {
    json!({
        "method": method,
        "arguments": arguments,
        "destination": [node],
        "pattern": null,
        "matcher": null,
        "ticket": ticket,
        "reply_to": ticket.map(|ticket| json!({"exchange": REPLIES, "routing_key": ticket})),
    })
}

fn envelope(body: &Value, limit: Duration, unique: &str) -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    json!({
        "body": STANDARD.encode(body.to_string()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        // By the worker's clock, so with room for a difference.
        "headers": {"clock": 1, "expires": (now + limit).as_secs_f64() + 30.0},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": unique,
        },
    })
}

/// What the worker said: the value under its name.
fn reply(message: &str, node: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(message).ok()?;
    let body = STANDARD.decode(message.get("body")?.as_str()?).ok()?;
    let mut body: Value = serde_json::from_slice(&body).ok()?;
    body.get_mut(node).map(Value::take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_of_the_one_that_was_asked_counts() {
        let body = STANDARD.encode(r#"{"celery@a": {"ok": "pong"}}"#);
        let message = json!({ "body": body }).to_string();
        assert_eq!(reply(&message, "celery@a"), Some(json!({"ok": "pong"})));
        for (message, node) in [
            (message.as_str(), "celery@b"),
            ("{}", "celery@a"),
            ("", "celery@a"),
            (r#"{"body": "!"}"#, "celery@a"),
        ] {
            assert_eq!(reply(message, node), None, "{message}");
        }
    }
}
