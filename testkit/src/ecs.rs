//! A stand-in for the ECS agent's endpoint inside a task, `$ECS_AGENT_URI`: task protection, version 1;
//! and for the task's metadata, `$ECS_CONTAINER_METADATA_URI_V4`.
//!
//! moto has none. The answers are those of amazon-ecs-agent and of the ECS developer guide: `protection`
//! where it was granted, `failure` with a reason (in a 200 too) where ECS refused, `error` with a code
//! where the call failed. What ECS refuses for real is refused here: a lease outside 1 to 2880 minutes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const PATH: &str = "/api/0123456789abcdef/task-protection/v1/state";

const METADATA: &str = "/v4/0123456789abcdef";

/// The lease without `ExpiresInMinutes`.
const DEFAULT_MINUTES: u64 = 120;

/// The endpoint; it ends when this is dropped.
#[derive(Debug)]
pub struct EcsAgent {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `PUT`.
    pub method: String,
    /// The body, null where there is none or it is no JSON.
    pub body: Value,
    /// When it came.
    pub at: Instant,
}

/// What the agent does with a request, from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Grants.
    #[default]
    Grant,
    /// ECS refuses to protect, with this reason: `DEPLOYMENT_BLOCKED`, `TASK_NOT_VALID`. To give back
    /// is granted all the same.
    Refuse(String),
    /// The call fails with this status and code: 400 `AccessDeniedException`, 500 `ServerException`.
    Fail(u16, String),
    /// The connection is taken, and nothing is ever said.
    Silent,
    /// The connection is closed without an answer.
    HangUp,
    /// An answer that is no JSON, with this status.
    Garbage(u16),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Until when the task is protected.
    until: Option<Instant>,
    minutes: u64,
    behaviour: Behaviour,
    delay: Duration,
    requests: Vec<Request>,
    history: Vec<(SystemTime, bool)>,
}

impl EcsAgent {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start() -> EcsAgent {
        match EcsAgent::try_start() {
            Ok(agent) => agent,
            Err(error) => panic!("the stand-in for the ECS agent cannot be started: {error}"),
        }
    }

    fn try_start() -> std::io::Result<EcsAgent> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Ok(EcsAgent { address, shared })
    }

    /// The value of `ECS_AGENT_URI`.
    pub fn uri(&self) -> String {
        let base = PATH.trim_end_matches("/task-protection/v1/state");
        format!("http://{}{base}", self.address)
    }

    /// The value of `ECS_CONTAINER_METADATA_URI_V4`: a task of revision 12 of the family `worker`.
    pub fn metadata_uri(&self) -> String {
        format!("http://{}{METADATA}", self.address)
    }

    /// What the agent does from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// How long each answer takes from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Whether the task is protected, and its lease has not run out.
    pub fn is_protected(&self) -> bool {
        self.shared.lock().protected()
    }

    /// The lease that was granted last, in minutes.
    pub fn minutes(&self) -> u64 {
        self.shared.lock().minutes
    }

    /// Lets the lease run out now.
    pub fn expire(&self) {
        self.shared.lock().set(None);
    }

    /// When the task became protected and unprotected, oldest first; it begins unprotected. A lease that
    /// runs out by itself is not in it.
    pub fn history(&self) -> Vec<(SystemTime, bool)> {
        self.shared.lock().history.clone()
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for EcsAgent {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) {
        let Some((method, path, body)) = read(stream) else {
            return;
        };
        let (behaviour, delay) = {
            let mut state = self.lock();
            state.requests.push(Request {
                method: method.clone(),
                body: body.clone(),
                at: Instant::now(),
            });
            (state.behaviour.clone(), state.delay)
        };
        thread::sleep(delay);
        let (status, answer) = match behaviour {
            Behaviour::HangUp => return,
            Behaviour::Silent => {
                while !self.ended.load(Ordering::SeqCst) && !is_closed(stream) {
                    thread::sleep(Duration::from_millis(20));
                }
                return;
            }
            Behaviour::Garbage(status) => (status, "<html>no JSON</html>".to_owned()),
            other => {
                let (status, answer) = self.lock().answer(&method, &path, &body, &other);
                (status, answer.to_string())
            }
        };
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
    }
}

impl State {
    fn protected(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    fn set(&mut self, until: Option<Instant>) {
        let was = self.history.last().is_some_and(|(_, protected)| *protected);
        if was != until.is_some() {
            self.history.push((SystemTime::now(), until.is_some()));
        }
        self.until = until;
    }

    fn answer(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
        behaviour: &Behaviour,
    ) -> (u16, Value) {
        if method == "GET" && path.strip_prefix(METADATA) == Some("/task") {
            return (
                200,
                json!({"Family": "worker", "Revision": "12", "TaskARN": arn()}),
            );
        }
        if path != PATH {
            return (404, json!("404 page not found"));
        }
        if let Behaviour::Fail(status, code) = behaviour {
            return error(*status, code, "the call failed, as it was told to");
        }
        match method {
            "GET" => (200, self.shown()),
            "PUT" => self.put(body, behaviour),
            _ => (405, json!("method not allowed")),
        }
    }

    fn put(&mut self, body: &Value, behaviour: &Behaviour) -> (u16, Value) {
        let Some(enabled) = body["ProtectionEnabled"].as_bool() else {
            let message = "Invalid request: does not contain 'ProtectionEnabled' field";
            return error(400, "InvalidParameterException", message);
        };
        if !enabled {
            self.set(None);
            return (200, self.shown());
        }
        if let Behaviour::Refuse(reason) = behaviour {
            let failure = json!({"Arn": arn(), "Detail": null, "Reason": reason});
            return (200, json!({ "failure": failure }));
        }
        let minutes = match &body["ExpiresInMinutes"] {
            Value::Null => DEFAULT_MINUTES,
            given => match given.as_u64().filter(|given| (1..=2880).contains(given)) {
                Some(given) => given,
                None => {
                    let message =
                        "expiresInMinutes must be greater than 0 and less than or equal to 2880";
                    return error(400, "InvalidParameterException", message);
                }
            },
        };
        self.minutes = minutes;
        self.set(Some(Instant::now() + Duration::from_secs(60 * minutes)));
        (200, self.shown())
    }

    fn shown(&self) -> Value {
        let left = self
            .until
            .map(|until| until.saturating_duration_since(Instant::now()))
            .filter(|left| !left.is_zero());
        let until = left.and_then(|left| (OffsetDateTime::now_utc() + left).format(&Rfc3339).ok());
        let mut protection = json!({"ProtectionEnabled": left.is_some(), "TaskArn": arn()});
        if let Some(until) = until {
            protection["ExpirationDate"] = json!(until);
        }
        json!({ "protection": protection })
    }
}

fn arn() -> &'static str {
    "arn:aws:ecs:us-west-2:111122223333:task/1234567890abcdef0"
}

fn error(status: u16, code: &str, message: &str) -> (u16, Value) {
    let error = json!({"Arn": arn(), "Code": code, "Message": message});
    (
        status,
        json!({"requestID": "12345-abc-6789-0123-abc", "error": error}),
    )
}

fn read(stream: &TcpStream) -> Option<(String, String, Value)> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some((method, path, body))
}

fn is_closed(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let closed = matches!(stream.peek(&mut [0]), Ok(0));
    let _ = stream.set_nonblocking(false);
    closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    fn call(agent: &EcsAgent, method: &str, body: &str) -> (u16, Value) {
        let url = format!("{}/task-protection/v1/state", agent.uri());
        let answer = request(method, &url, &[], body.as_bytes()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn protection_is_granted_shown_and_given_back() {
        let agent = EcsAgent::start();
        let (status, answer) = call(
            &agent,
            "PUT",
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#,
        );
        assert_eq!(
            (status, &answer["protection"]["ProtectionEnabled"]),
            (200, &json!(true))
        );
        assert!(answer["protection"]["ExpirationDate"].is_string());
        assert!(agent.is_protected());
        assert_eq!(agent.minutes(), 60);
        assert_eq!(
            call(&agent, "GET", "").1["protection"]["ProtectionEnabled"],
            json!(true)
        );
        agent.expire();
        assert_eq!(
            call(&agent, "GET", "").1["protection"]["ProtectionEnabled"],
            json!(false)
        );
        call(&agent, "PUT", r#"{"ProtectionEnabled":true}"#);
        assert_eq!(agent.minutes(), 120);
        call(&agent, "PUT", r#"{"ProtectionEnabled":false}"#);
        assert!(!agent.is_protected());
        assert_eq!(agent.requests().len(), 5);
        let history = agent.history();
        let states: Vec<bool> = history.iter().map(|(_, protected)| *protected).collect();
        assert_eq!(states, [true, false, true, false]);
    }

    #[test]
    fn the_task_says_what_it_was_started_from() {
        let agent = EcsAgent::start();
        let url = format!("{}/task", agent.metadata_uri());
        let answer = request("GET", &url, &[], b"").unwrap();
        let task: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (&task["Family"], &task["Revision"]),
            (&json!("worker"), &json!("12"))
        );
    }

    #[test]
    fn what_ecs_refuses_is_refused() {
        let agent = EcsAgent::start();
        for (body, code) in [
            ("{}", "InvalidParameterException"),
            ("no JSON", "InvalidParameterException"),
            (
                r#"{"ProtectionEnabled":true,"ExpiresInMinutes":2881}"#,
                "InvalidParameterException",
            ),
            (
                r#"{"ProtectionEnabled":true,"ExpiresInMinutes":0}"#,
                "InvalidParameterException",
            ),
        ] {
            let (status, answer) = call(&agent, "PUT", body);
            assert_eq!(
                (status, &answer["error"]["Code"]),
                (400, &json!(code)),
                "{body}"
            );
        }
        agent.behave(Behaviour::Refuse("DEPLOYMENT_BLOCKED".to_owned()));
        let (status, answer) = call(&agent, "PUT", r#"{"ProtectionEnabled":true}"#);
        assert_eq!(
            (status, &answer["failure"]["Reason"]),
            (200, &json!("DEPLOYMENT_BLOCKED"))
        );
        assert_eq!(call(&agent, "PUT", r#"{"ProtectionEnabled":false}"#).0, 200);
        agent.behave(Behaviour::Fail(400, "AccessDeniedException".to_owned()));
        assert_eq!(
            call(&agent, "GET", "").1["error"]["Code"],
            json!("AccessDeniedException")
        );
        assert!(!agent.is_protected());
    }

    #[test]
    fn it_hangs_up_or_delays_as_told() {
        let agent = EcsAgent::start();
        agent.behave(Behaviour::HangUp);
        let url = format!("{}/task-protection/v1/state", agent.uri());
        assert!(request("GET", &url, &[], b"").is_err());
        agent.behave(Behaviour::Grant);
        agent.delay(Duration::from_millis(300));
        let asked = Instant::now();
        call(&agent, "GET", "");
        assert!(asked.elapsed() >= Duration::from_millis(300));
    }
}
