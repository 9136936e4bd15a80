//! Prometheus: what was published last, served at `/metrics`, and the status at `/healthz`.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{LOGS_DROPPED, Metric, MetricsSettings, Publication, Unit};
use crate::lines;
use crate::status::{State, Status};

/// Connections at once; the next one waits. A scraper has one.
const CONNECTIONS: usize = 16;
/// For a request to come whole, so that an idle client does not hold one of them for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an accept that failed, for want of descriptors for example.
const PAUSE: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Debug)]
pub(super) struct Prometheus {
    latest: Arc<Mutex<Option<Publication>>>,
}

/// What a request is answered from.
#[derive(Clone)]
struct Board {
    prefix: Arc<str>,
    service: Arc<[(String, String)]>,
    latest: Arc<Mutex<Option<Publication>>>,
    status: Option<Status>,
}

impl Prometheus {
    pub(super) fn start(
        settings: &MetricsSettings,
        status: Option<&Status>,
    ) -> Result<Self, String> {
        let runtime = Handle::try_current()
            .map_err(|_| "--metrics prometheus needs a tokio runtime".to_owned())?;
        let listener = listen(settings.listen)
            .map_err(|error| format!("--listen {} cannot be used: {error}", settings.listen))?;
        let latest = Arc::new(Mutex::new(None));
        let service = super::Dimensions::service(&settings.environment, &settings.service);
        let board = Board {
            prefix: prefix(&settings.namespace).into(),
            service: service
                .pairs()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            latest: Arc::clone(&latest),
            status: status.cloned(),
        };
        if let Ok(address) = listener.local_addr() {
            tracing::info!(event = "prometheus", %address, "metrics are served");
        }
        runtime.spawn(serve(listener, board));
        Ok(Self { latest })
    }

    pub(super) fn publish(&self, publication: Publication) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(publication);
    }

    pub(super) fn withdraw(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn serve(listener: TcpListener, board: Board) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let answers = service_fn(|request: Request<Incoming>| {
                let answer = board.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that breaks off is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answers)
                .await;
            drop(place);
        });
    }
}

impl Board {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new());
            let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        match path {
            "/metrics" => respond(StatusCode::OK, TEXT, self.metrics()),
            "/healthz" => {
                let (status, body) = health(self.status.as_ref().map(Status::state));
                respond(status, "application/json", body)
            }
            _ => respond(
                StatusCode::NOT_FOUND,
                TEXT,
                "/metrics, /healthz\n".to_owned(),
            ),
        }
    }

    fn metrics(&self) -> String {
        let latest = self
            .latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let latest = latest.map(|publication| publication.sent(SystemTime::now()));
        let mut text = rendered(&self.prefix, latest.as_ref());
        let name = format!("{}{}_total", self.prefix, snake(LOGS_DROPPED));
        let labels = labels(
            self.service
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# TYPE {name} counter\n{name}{labels} {}\n",
            lines::dropped()
        );
        text
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// 200 while the agent is healthy, degraded or not, else 503.
fn health(state: Option<State>) -> (StatusCode, String) {
    let Some(state) = state else {
        return (StatusCode::OK, "{\"healthy\":true}\n".to_owned());
    };
    let status = match state.healthy {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::json!({
        "healthy": state.healthy,
        "degraded": state.degraded,
        "phase": state.phase,
        "reason": state.reason,
    });
    (status, format!("{body}\n"))
}

/// All series of a name together, as the format wants them; names in the order of first use.
fn rendered(prefix: &str, publication: Option<&Publication>) -> String {
    let mut names: Vec<(String, String)> = Vec::new();
    let groups = publication.map_or(&[][..], |publication| &publication.groups);
    for (dimensions, metrics) in groups {
        let labels = labels(dimensions.pairs());
        for metric in metrics {
            let name = name(prefix, metric);
            let place = names.iter().position(|(known, _)| *known == name);
            let place = place.unwrap_or_else(|| {
                let first = format!("# TYPE {name} gauge\n");
                names.push((name.clone(), first));
                names.len() - 1
            });
            // Writing to a String cannot fail.
            let _ = writeln!(names[place].1, "{name}{labels} {}", metric.value);
        }
    }
    names.into_iter().map(|(_, text)| text).collect()
}

/// `WorkersTarget` is `trimtab_workers_target`, `SampleAge` in seconds `trimtab_sample_age_seconds`.
fn name(prefix: &str, metric: &Metric) -> String {
    let name = format!("{prefix}{}", snake(metric.name));
    let unit = match metric.unit {
        Unit::Seconds => "_seconds",
        Unit::Milliseconds => "_milliseconds",
        Unit::Bytes => "_bytes",
        Unit::Percent => "_percent",
        Unit::Count | Unit::None => "",
    };
    match name.ends_with(unit) {
        true => name,
        false => name + unit,
    }
}

fn prefix(namespace: &str) -> String {
    let allowed = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '_',
    };
    let name: String = namespace.chars().map(allowed).collect();
    match name.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("_{name}_"),
        false => format!("{name}_"),
    }
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (at, character) in name.chars().enumerate() {
        if at > 0 && character.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let escaped = |value: &str| {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{}=\"{}\"", name.to_ascii_lowercase(), escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::super::Dimensions;
    use super::*;

    #[test]
    fn series_of_a_name_stand_together_under_its_type() {
        let metric = |name, unit, value| Metric { name, unit, value };
        let publication = Publication::new()
            .about(
                Dimensions::service("prod", "a"),
                &[
                    metric("WorkersTarget", Unit::Count, 3.0),
                    metric("SampleAge", Unit::Seconds, 0.5),
                ],
            )
            .about(
                Dimensions::service("prod", "b"),
                &[
                    metric("WorkersTarget", Unit::Count, 0.0),
                    metric("ResolveSeconds", Unit::Seconds, 1.0),
                ],
            )
            .about(
                Dimensions::queue("prod", "odd \"\\\n"),
                &[metric("QueueReady", Unit::Count, 7.0)],
            );
        assert_eq!(
            rendered("trimtab_", Some(&publication)),
            "# TYPE trimtab_workers_target gauge\n\
             trimtab_workers_target{environment=\"prod\",service=\"a\"} 3\n\
             trimtab_workers_target{environment=\"prod\",service=\"b\"} 0\n\
             # TYPE trimtab_sample_age_seconds gauge\n\
             trimtab_sample_age_seconds{environment=\"prod\",service=\"a\"} 0.5\n\
             # TYPE trimtab_resolve_seconds gauge\n\
             trimtab_resolve_seconds{environment=\"prod\",service=\"b\"} 1\n\
             # TYPE trimtab_queue_ready gauge\n\
             trimtab_queue_ready{environment=\"prod\",queue=\"odd \\\"\\\\\\n\"} 7\n"
        );
        assert_eq!(rendered("trimtab_", None), "");
    }

    #[test]
    fn a_namespace_becomes_a_prefix_that_prometheus_takes() {
        for (namespace, expected) in [
            ("Trimtab", "trimtab_"),
            ("Team/Air.flow#1", "team_air_flow_1_"),
            ("9lives", "_9lives_"),
        ] {
            assert_eq!(prefix(namespace), expected);
        }
    }

    #[test]
    fn health_is_the_status_and_degraded_is_healthy() {
        let state = |healthy, degraded| State {
            healthy,
            degraded,
            ..State::default()
        };
        for (state, code) in [
            (None, 200),
            (Some(state(true, false)), 200),
            (Some(state(true, true)), 200),
            (Some(state(false, false)), 503),
        ] {
            assert_eq!(health(state).0.as_u16(), code);
        }
    }
}
