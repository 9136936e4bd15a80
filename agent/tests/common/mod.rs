//! What the tests share: this test program started anew in a role, and a small HTTP server.
//!
//! A role is an ignored test that another test starts as a process of its own, because handlers,
//! descriptors and environment variables belong to a whole process.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Marks a process that plays a role.
const ROLE: &str = "TRIMTAB_TEST_ROLE";

/// A command that plays `role`, with nothing in its environment but the mark.
pub(crate) fn play(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        role,
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
        .env_clear()
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Whether this process plays `role`; else a role's test has nothing to do, under `--ignored` too.
pub(crate) fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|played| played == role)
}

/// A child that does not outlive its test.
pub(crate) struct Played(pub(crate) Child);

impl Played {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the role ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of JSON in a role's output; the rest is the test harness's.
pub(crate) fn json_lines(output: &[u8]) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(output);
    let lines = text
        .lines()
        .filter_map(|line| line.find('{').map(|at| &line[at..]));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Waits until `holds`, at most [`DEADLINE`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "it did not come to be that {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /path`.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What it answers: status line's code, further headers, body.
pub(crate) struct Answer(pub(crate) u16, pub(crate) &'static str, pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn json(body: &str) -> Self {
        Self(
            200,
            "content-type: application/json\r\n",
            body.as_bytes().to_vec(),
        )
    }

    pub(crate) fn text(body: &str) -> Self {
        Self(
            200,
            "content-type: text/plain\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n",
            body.as_bytes().to_vec(),
        )
    }

    /// What the CloudWatch SDK takes for done: an empty map in CBOR.
    pub(crate) fn cbor_done() -> Self {
        Self(
            200,
            "smithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor\r\n",
            vec![0xa0],
        )
    }

    pub(crate) fn error(code: u16) -> Self {
        Self(code, "", Vec::new())
    }
}

/// An HTTP server on a free port of the loopback; its thread ends with the test program.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(answer, Some)
    }

    /// `accept` may wrap the connection, in TLS for instance.
    pub(crate) fn start_with<S: Read + Write>(
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
        accept: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (recorded, shared) = (Arc::clone(&seen), Arc::new((answer, accept)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (recorded, shared) = (Arc::clone(&recorded), Arc::clone(&shared));
                thread::spawn(move || {
                    let (answer, accept) = &*shared;
                    let stream = stream.ok()?;
                    stream.set_read_timeout(Some(DEADLINE)).ok()?;
                    let mut stream = BufReader::new(accept(stream)?);
                    let request = read(&mut stream)?;
                    recorded
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request.clone());
                    let Answer(code, headers, body) = answer(&request);
                    let head = format!(
                        "HTTP/1.1 {code} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    stream
                        .get_mut()
                        .write_all(&[head.as_bytes(), &body].concat())
                        .ok()?;
                    stream.get_mut().flush().ok()
                });
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn read(stream: &mut BufReader<impl Read>) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).ok()?;
    let line = first.rsplit_once(' ')?.0.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Request {
        line,
        headers,
        body,
    })
}
