//! One reading of the broker, in as few round trips as it takes.

use super::{Failure, Layout, Server, message};
use agent::redis::Target;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Messages that one round trip fetches at most: a first look at a full system holds no more in memory.
const AT_ONCE: usize = 500;

/// How long a worker that said that it drains counts, in seconds: it says so every few.
const SAID_LASTS: u64 = 60;

/// What was read at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Messages that wait in each queue, all priorities, in the layout's order.
    pub ready: Vec<u64>,
    /// The list and the id of the message that is next in each list that is not empty.
    pub next: Vec<(String, String)>,
    /// Messages in flight.
    pub in_flight: InFlight,
    /// Workers that drain for a deployment, of each group, in the layout's order.
    pub draining: Vec<u32>,
    /// The server itself, where it was looked at and let us look.
    pub server: Option<Server>,
}

/// Messages that workers hold, or held when they died.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// From each queue, in the layout's order.
    pub queues: Vec<u64>,
    /// The tags of those, with the place of the queue in the layout.
    pub tags: HashMap<String, usize>,
    /// From queues that are not in the layout.
    pub elsewhere: u64,
}

/// Reads, and remembers which queue each message in flight came from: that never changes.
#[derive(Debug)]
pub struct Sampler {
    target: Target,
    layout: Layout,
    known: HashMap<String, Known>,
    /// The number of the sample that is being read.
    turn: u64,
    /// Whether each list had messages when it was looked at last. Most have none for ever: asking each
    /// time what is next in those would be half of a sample's cost.
    filled: Vec<bool>,
    of_name: HashMap<String, usize>,
    tells_tags: bool,
}

/// A message in flight.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// None is a queue that is not in the layout.
    queue: Option<usize>,
    /// The last sample in which it was in flight.
    turn: u64,
}

impl Sampler {
    /// One that has read nothing.
    pub fn new(target: Target, layout: Layout) -> Self {
        let names = layout.queues.iter().enumerate();
        Self {
            of_name: names.map(|(at, (name, _))| (name.clone(), at)).collect(),
            // A first look that takes one round trip and not two.
            filled: vec![true; layout.lists().count()],
            target,
            layout,
            known: HashMap::new(),
            turn: 0,
            tells_tags: true,
        }
    }

    /// Leaves [`InFlight::tags`] empty: with ten thousand in flight they are half of a sample's cost.
    pub fn without_tags(mut self) -> Self {
        self.tells_tags = false;
        self
    }

    /// One round trip, and one more where messages in flight are new or a list was empty before; with
    /// `inspect` it looks at the server too.
    ///
    /// # Errors
    /// When Redis fails, or a key is not what kombu makes of it.
    pub async fn read(
        &mut self,
        connection: &mut MultiplexedConnection,
        inspect: bool,
    ) -> Result<Reading, Failure> {
        let answers = self.ask(connection, self.questions(inspect)).await?;
        let mut answers = answers.into_iter();
        let mut reading = Reading {
            ready: vec![0; self.layout.queues.len()],
            ..Reading::default()
        };
        let mut filled = Vec::with_capacity(self.filled.len());
        let mut unseen = Vec::new();
        for ((queue, list), looked) in self.layout.lists().zip(&self.filled) {
            let length = match answers.next() {
                Some(Value::Int(length)) => u64::try_from(length).unwrap_or(0),
                answer => return Err(self.refused(answer, list, "list")),
            };
            reading.ready[queue] += length;
            filled.push(length > 0);
            if *looked {
                if let Some(Value::BulkString(next)) = answers.next() {
                    reading.next.push((list.to_owned(), message::id(&next)));
                }
            } else if length > 0 {
                unseen.push(list.to_owned());
            }
        }
        let tags = match answers.next() {
            Some(Value::Array(tags)) => tags.into_iter().filter_map(text).collect(),
            answer => return Err(self.refused(answer, &self.layout.index, "sorted set")),
        };
        for _ in &self.layout.draining {
            // A user who may not ask, or a key of another's: nobody is known to drain.
            let count = match answers.next() {
                Some(Value::Int(count)) => u32::try_from(count).unwrap_or(0),
                _ => 0,
            };
            reading.draining.push(count);
        }
        if inspect {
            let info: Vec<String> = answers.filter_map(text).collect();
            reading.server = (!info.is_empty()).then(|| Server::parse(&info.join("\n")));
        }
        self.filled = filled;
        let new = self.recall(tags);
        reading
            .next
            .extend(self.learn(connection, unseen, &new).await?);
        reading.in_flight = self.count();
        Ok(reading)
    }

    fn questions(&self, inspect: bool) -> Pipeline {
        let mut questions = redis::pipe();
        for ((_, list), filled) in self.layout.lists().zip(&self.filled) {
            questions.cmd("LLEN").arg(list);
            if *filled {
                ask_next(&mut questions, list);
            }
        }
        questions
            .cmd("ZRANGE")
            .arg(&self.layout.index)
            .arg(0)
            .arg(-1);
        for key in &self.layout.draining {
            let since = unix_seconds().saturating_sub(SAID_LASTS);
            questions.cmd("ZCOUNT").arg(key).arg(since).arg("+inf");
        }
        if inspect {
            for section in ["server", "memory", "stats", "replication"] {
                questions.cmd("INFO").arg(section);
            }
        }
        questions
    }

    /// Forgets what is in flight no more, and returns the tags of what is new.
    fn recall(&mut self, tags: Vec<String>) -> Vec<String> {
        self.turn += 1;
        let mut new = Vec::new();
        for tag in tags {
            match self.known.get_mut(&tag) {
                Some(known) => known.turn = self.turn,
                None => new.push(tag),
            }
        }
        let turn = self.turn;
        self.known.retain(|_, known| known.turn == turn);
        new
    }

    /// Asks what is next in these lists, which it returns by list, and where the messages of these tags
    /// came from, which it remembers.
    async fn learn(
        &mut self,
        connection: &mut MultiplexedConnection,
        mut lists: Vec<String>,
        tags: &[String],
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut next = Vec::new();
        let mut parts = tags.chunks(AT_ONCE);
        let mut part = parts.next();
        while !lists.is_empty() || part.is_some() {
            let mut question = redis::pipe();
            for list in &lists {
                ask_next(&mut question, list);
            }
            if let Some(part) = part {
                question.cmd("HMGET").arg(&self.layout.messages).arg(part);
            }
            let mut answers = self.ask(connection, question).await?.into_iter();
            for list in lists.drain(..) {
                // Whatever else it is, the list is empty by now.
                if let Some(Value::BulkString(message)) = answers.next() {
                    next.push((list, message::id(&message)));
                }
            }
            if let Some(part) = part {
                let entries = match answers.next() {
                    Some(Value::Array(entries)) => entries,
                    answer => return Err(self.refused(answer, &self.layout.messages, "hash")),
                };
                // What was learned stays learned where a later part fails.
                for (tag, entry) in part.iter().zip(entries) {
                    // None is a message that was acknowledged between the two questions.
                    if let Value::BulkString(entry) = entry {
                        let (queue, turn) = (self.queue(&entry), self.turn);
                        self.known.insert(tag.clone(), Known { queue, turn });
                    }
                }
            }
            part = parts.next();
        }
        Ok(next)
    }

    /// The queue is the routing key; with an exchange of its own it may bear the exchange's name.
    fn queue(&self, entry: &[u8]) -> Option<usize> {
        let (exchange, key) = message::route(entry)?;
        let found = self
            .of_name
            .get(&key)
            .or_else(|| self.of_name.get(&exchange));
        found.copied()
    }

    fn count(&self) -> InFlight {
        let mut in_flight = InFlight {
            queues: vec![0; self.layout.queues.len()],
            ..InFlight::default()
        };
        for (tag, known) in &self.known {
            match known.queue {
                Some(queue) => {
                    in_flight.queues[queue] += 1;
                    if self.tells_tags {
                        in_flight.tags.insert(tag.clone(), queue);
                    }
                }
                None => in_flight.elsewhere += 1,
            }
        }
        in_flight
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        mut questions: Pipeline,
    ) -> Result<Vec<Value>, Failure> {
        // So that the answer that is an error can be told from the others, and its key named.
        let answers = questions.ignore_errors().query_async(connection).await;
        answers.map_err(|error| Failure::of(&self.target, &error))
    }

    fn refused(&self, answer: Option<Value>, key: &str, wanted: &str) -> Failure {
        match answer {
            Some(Value::ServerError(error)) => Failure::answered(&self.target, &error, key, wanted),
            _ => Failure::odd(&self.target, &format!("the question for key {key:?}")),
        }
    }
}

/// Workers take from the right end.
fn ask_next(questions: &mut Pipeline, list: &str) {
    questions.cmd("LINDEX").arg(list).arg(-1);
}

/// By the wall clock, which two machines agree upon.
pub(crate) fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}
