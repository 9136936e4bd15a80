//! Services with a port are looked at there; nobody waits long for an answer.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use agent::http::request;
use agent::metrics::Metrics;
use agent::status::{State, Status};
use entrypoint::health::plan::{Node, Port, Watched};
use entrypoint::health::row::{Own, Row};
use entrypoint::health::witness::Witness;
use entrypoint::health::{Pace, Watch};
use entrypoint::oom;
use entrypoint::supervise::Stop;
use hyper::Method;

const SOON: Duration = Duration::from_secs(20);

/// A server that says the same to everybody; `None` takes connections and is silent.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        server.answers(status);
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        // It ends with the process; each test has its own.
        thread::spawn(move || {
            let mut silent = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap_or(0);
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                asked.lock().unwrap().push(text);
                let answer = answer.lock().unwrap().clone();
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes())),
                    None => silent.push(stream),
                }
            }
        });
        server
    }

    fn answers(&self, status: u16) {
        let text =
            format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        *self.answer.lock().unwrap() = Some(text);
    }

    fn raw(&self, answer: Option<&str>) {
        *self.answer.lock().unwrap() = answer.map(str::to_owned);
    }

    fn port(&self, path: &str) -> Port {
        Port {
            authority: self.address.to_string(),
            path: path.to_owned(),
        }
    }
}

#[tokio::test]
async fn a_request_is_bounded_whatever_the_server_does() {
    let server = Server::start(200);
    let authority = server.address.to_string();
    let limit = Duration::from_millis(300);
    let ask = || request(Method::GET, &authority, "/x?y=1", None, limit);
    assert_eq!(ask().await.unwrap().status, 200);
    assert!(server.asked.lock().unwrap()[0].starts_with("GET /x?y=1 HTTP/1.1\r\n"));
    for (answer, why) in [
        (None, "did not answer within"),
        (Some(""), "did not answer"),
        (Some("SSH-2.0-x\r\n\r\n"), "did not answer"),
        (
            Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
            "not whole",
        ),
    ] {
        server.raw(answer);
        let asked = Instant::now();
        let error = ask().await.unwrap_err();
        assert!(error.contains(why), "{answer:?}: {error}");
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
    let huge = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}",
        "x".repeat(1 << 20)
    );
    server.raw(Some(&huge));
    assert!(ask().await.is_err());
    let error = request(Method::GET, "127.0.0.1:1", "/", None, limit).await;
    assert!(error.unwrap_err().contains("takes no connection"));
}

/// A database that says what it is told to.
struct Told(Arc<Mutex<Result<Option<Row>, String>>>);

impl Witness for Told {
    fn has_database(&self) -> bool {
        true
    }

    async fn row(
        &mut self,
        _: &Own,
        _: &[String],
        _: SystemTime,
        _: Duration,
    ) -> Result<Option<Row>, String> {
        self.0.lock().unwrap().clone()
    }

    async fn worker(&mut self, _: &Node, _: Duration) -> Result<bool, String> {
        self.0.lock().unwrap().clone().map(|row| row.is_some())
    }
}

struct Around {
    status: Status,
    metrics: Metrics,
    stop: Stop,
    oom: oom::Watch,
    told: Arc<Mutex<Result<Option<Row>, String>>>,
}

impl Around {
    fn new() -> Self {
        Self {
            status: Status::disabled(),
            metrics: Metrics::none(),
            stop: Stop::manual().0,
            oom: oom::Watch::begin(),
            told: Arc::new(Mutex::new(Ok(None))),
        }
    }

    /// A row that runs, or failed; or why there is no answer.
    fn tell(&self, alive: Result<bool, &str>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let row = alive.map(|alive| {
            Some(Row {
                state: Some(if alive { "running" } else { "failed" }.to_owned()),
                heartbeat: Some(now.unwrap().as_secs_f64()),
            })
        });
        *self.told.lock().unwrap() = row.map_err(str::to_owned);
    }

    fn watch(&self, watched: Watched) -> Watch<'_, Told> {
        Watch {
            watched,
            witness: Told(Arc::clone(&self.told)),
            status: &self.status,
            metrics: &self.metrics,
            stop: &self.stop,
            oom: &self.oom,
            beside: Vec::new(),
            pace: Pace {
                starting: Duration::from_millis(20),
                settled: Duration::from_millis(20),
            },
        }
    }

    /// Watches while the story is told.
    async fn during(&self, watched: Watched, story: impl Future<Output = ()>) {
        tokio::select! {
            never = self.watch(watched).run() => match never {},
            () = story => {}
        }
    }

    async fn reaches(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let start = tokio::time::Instant::now();
        while !holds(&self.status.state()) {
            assert!(start.elapsed() < SOON, "{what}: {:?}", self.status.state());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_api_server_is_healthy_while_its_port_answers() {
    let (around, server) = (Around::new(), Server::start(503));
    let watched = Watched::Http(server.port("/api/v2/version"));
    around
        .during(watched, async {
            around
                .reaches("starting", |state| {
                    state
                        .reason
                        .as_deref()
                        .unwrap_or_default()
                        .contains("answered 503")
                })
                .await;
            assert!(!around.status.state().healthy);
            server.answers(200);
            around
                .reaches("alive", |state| state.healthy && state.reason.is_none())
                .await;
            // Not our business: the path is not there, or a login is wanted.
            server.answers(404);
            let asked = server.asked.lock().unwrap().len();
            while server.asked.lock().unwrap().len() < asked + 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(around.status.state().healthy);
            server.answers(500);
            around
                .reaches("broken", |state| !state.healthy && !state.degraded)
                .await;
            server.answers(200);
            around.reaches("alive again", |state| state.healthy).await;
        })
        .await;
    assert!(
        server
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.starts_with("GET /api/v2/version "))
    );
}

#[tokio::test]
async fn a_scheduler_whose_server_says_503_is_judged_by_its_row() {
    let (around, server) = (Around::new(), Server::start(200));
    let own = Own {
        job_type: "SchedulerJob",
        threshold: Duration::from_secs(30),
    };
    around.tell(Ok(false));
    around
        .during(Watched::Row(own, Some(server.port("/health"))), async {
            around
                .reaches("its server is enough", |state| state.healthy)
                .await;
            // Its server says so of a database that is away too: then nothing is known.
            around.tell(Err("the database is away"));
            server.answers(503);
            around
                .reaches("away", |state| state.healthy && state.degraded)
                .await;
            around.tell(Ok(true));
            around
                .reaches("the row is fresh", |state| state.healthy && !state.degraded)
                .await;
            around.tell(Ok(false));
            around.reaches("both say so", |state| !state.healthy).await;
        })
        .await;
}

#[tokio::test]
async fn a_worker_is_healthy_while_it_answers_and_keeps_its_state_without_a_broker() {
    let around = Around::new();
    let node = Node {
        name: "celery@host".to_owned(),
        key_prefix: String::new(),
    };
    around.tell(Err("the broker is away"));
    around
        .during(Watched::Worker(node), async {
            around
                .reaches("unknown", |state| !state.healthy && state.degraded)
                .await;
            around.tell(Ok(true));
            around
                .reaches("alive", |state| state.healthy && !state.degraded)
                .await;
            around.tell(Err("the broker is away"));
            around
                .reaches("away", |state| state.healthy && state.degraded)
                .await;
            *around.told.lock().unwrap() = Ok(None);
            around
                .reaches("silent", |state| {
                    !state.healthy
                        && state
                            .reason
                            .as_deref()
                            .unwrap_or_default()
                            .contains("celery@host does not answer")
                })
                .await;
        })
        .await;
}

#[tokio::test]
async fn a_container_that_migrated_stays_healthy_while_its_service_starts() {
    let (around, server) = (Around::new(), Server::start(200));
    server.raw(None);
    around.status.update(|state| state.healthy = true);
    around
        .during(Watched::Http(server.port("/")), async {
            around
                .reaches("running", |state| {
                    state.phase == "running" || !server.asked.lock().unwrap().is_empty()
                })
                .await;
            assert!(around.status.state().healthy);
        })
        .await;
}

#[tokio::test]
async fn a_port_with_tls_is_looked_at_by_its_connection() {
    let (around, server) = (Around::new(), Server::start(200));
    around
        .during(
            Watched::Tcp(server.address.to_string()),
            around.reaches("alive", |state| state.healthy),
        )
        .await;
}
