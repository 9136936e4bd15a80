//! What is told of the machine: log, status file and metric.

use super::wire::Standing;
use super::{State, Why};
use crate::metrics::{WORKER_SILENT, WORKER_UNPROTECTED};
use agent::metrics::{Metric, Metrics, Unit};
use agent::status::{Status, timestamp};
use serde_json::{Map, Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{info, warn};

/// Between two publications of the same.
const EVERY: Duration = Duration::from_secs(60);
/// So many times as long as usual a worker is waited for that never answered: its image is pulled once
/// `protect` is healthy, and Airflow comes up.
const START: u32 = 5;

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where the machine is.
    pub state: State,
    /// Whether the worker may start.
    pub healthy: bool,
    /// Whether it works unprotected.
    pub unprotected: bool,
    /// Why the agent's last answer was no.
    pub refusal: Option<String>,
    /// Why there is no connection to the broker.
    pub broker: Option<String>,
    /// What the target is, and who lives.
    pub standing: Option<Standing>,
    /// Whether another revision is wanted.
    pub outdated: Option<bool>,
}

/// Tells what changes.
#[derive(Debug)]
pub struct Board {
    status: Status,
    metrics: Metrics,
    worker: String,
    told: Option<(View, Option<String>)>,
    /// When, and whether the worker was unprotected, and silent.
    published: Option<(Instant, bool, bool)>,
    /// A worker that takes longer to answer is named: it may be deaf, hung, or have remote control
    /// switched off.
    patience: Duration,
    answered: bool,
    silent: Option<Silence>,
}

/// A worker that does not answer.
#[derive(Debug)]
struct Silence {
    since: Instant,
    /// The same for people.
    date: String,
    told: bool,
}

impl Board {
    /// For a worker, which is silent when it has not answered for `patience`.
    pub fn new(status: Status, metrics: Metrics, worker: &str, patience: Duration) -> Self {
        Self {
            status,
            metrics,
            worker: worker.to_owned(),
            told: None,
            published: None,
            patience,
            answered: false,
            silent: None,
        }
    }

    /// Whether the worker answered. Before it has started it cannot.
    pub fn answered(&mut self, answered: bool) {
        self.answered |= answered;
        if !answered {
            self.silent.get_or_insert_with(|| Silence {
                since: Instant::now(),
                date: timestamp(OffsetDateTime::now_utc()),
                told: false,
            });
        } else if self.silent.take().is_some_and(|silence| silence.told) {
            info!(
                event = "worker_answers",
                worker = self.worker,
                "the worker answers"
            );
        }
    }

    /// Since when the worker is silent, for too long.
    fn silence(&mut self, view: &View) -> Option<String> {
        let patience = self.patience * if self.answered { 1 } else { START };
        let silence = self.silent.as_mut()?;
        if !silence.told && view.broker.is_some() {
            // It could not be asked: it has its time when it can.
            self.silent = None;
            return None;
        }
        if !silence.told && silence.since.elapsed() >= patience {
            silence.told = true;
            warn!(
                event = "worker_silent",
                worker = self.worker,
                since = silence.date,
                "the worker does not answer on the broker: it is deaf, hangs, is not there, or has remote control switched off; what it may run stays protected"
            );
        }
        silence.told.then(|| silence.date.clone())
    }

    /// Tells what is new in it.
    pub fn show(&mut self, view: View) {
        let silent = self.silence(&view);
        let published = (view.unprotected, silent.is_some());
        let due = match self.published {
            Some((at, unprotected, silent)) => {
                (unprotected, silent) != published || at.elapsed() >= EVERY
            }
            None => true,
        };
        if due {
            self.published = Some((Instant::now(), published.0, published.1));
            let metric = |name, holds| Metric {
                name,
                unit: Unit::Count,
                value: f64::from(u8::from(holds)),
            };
            self.metrics.publish(&[
                metric(WORKER_UNPROTECTED, published.0),
                metric(WORKER_SILENT, published.1),
            ]);
        }
        let told = self.told.as_ref();
        if told.is_some_and(|(before, since)| *before == view && *since == silent) {
            return;
        }
        let before = told.map(|(before, _)| before);
        if before.map(|before| before.state) != Some(view.state) {
            self.log_state(&view);
        }
        self.log_broker(before.and_then(|before| before.broker.as_ref()), &view);
        log_refusal(before.and_then(|before| before.refusal.as_ref()), &view);
        self.status.update(|state| {
            let reason = reason(&view, silent.as_deref());
            state.phase = name(view.state).to_owned();
            state.healthy = view.healthy;
            state.degraded = reason.is_some();
            state.reason = reason;
            state.detail = detail(&self.worker, &view, silent.as_deref());
        });
        self.told = Some((view, silent));
    }

    /// Waits until what was published has gone out.
    pub async fn finish(&self, limit: Duration) {
        self.metrics.flush(limit).await;
    }

    fn log_state(&self, view: &View) {
        let (worker, why) = (&self.worker, why(view.state));
        match view.state {
            State::Asking => {
                info!(
                    event = "asking",
                    worker, "asks for protection; the worker is to take nothing"
                )
            }
            State::Working => info!(event = "working", worker, "the worker works, protected"),
            State::Draining(_) => info!(
                event = "draining",
                worker, why, "the worker ends its tasks, to leave"
            ),
            State::Releasing(_) => info!(
                event = "releasing",
                worker, why, "the worker is empty and gives its protection back"
            ),
            State::Released(_) => info!(
                event = "released",
                worker, why, "the worker is unprotected and idle: ECS may stop it"
            ),
            State::Exposed => warn!(
                event = "unprotected",
                worker,
                reason = view.refusal,
                "the worker works unprotected: a scale-in or a deployment may kill its tasks"
            ),
            State::Leaving => warn!(
                event = "leaving",
                worker,
                "the worker cannot be mended and was told to shut down once its tasks have ended"
            ),
        }
    }

    fn log_broker(&self, before: Option<&String>, view: &View) {
        match (before, &view.broker) {
            (None, Some(reason)) => warn!(
                event = "broker_lost",
                reason, "the broker is away: nothing is asked of the worker"
            ),
            (Some(before), Some(reason)) if before != reason => {
                warn!(
                    event = "broker_lost",
                    reason, "the broker is away for another reason"
                )
            }
            (Some(_), None) => info!(event = "broker_back", "the broker answers"),
            _ => {}
        }
    }
}

fn log_refusal(before: Option<&String>, view: &View) {
    match (before, &view.refusal) {
        (before, Some(reason)) if before != Some(reason) => {
            warn!(
                event = "refused",
                reason, "the ECS agent does not do what was asked"
            )
        }
        (Some(_), None) => info!(event = "agreed", "the ECS agent does what is asked again"),
        _ => {}
    }
}

/// Why it is degraded: what is away, the most harmful first.
fn reason(view: &View, silent: Option<&str>) -> Option<String> {
    let refusal = view
        .refusal
        .as_deref()
        .unwrap_or("the ECS agent has not answered");
    let deaf = silent.map(|since| {
        format!("the worker has not answered since {since}: what it may run stays protected")
    });
    match (&view.broker, view.state) {
        (_, State::Exposed) => Some(format!("the worker works unprotected: {refusal}")),
        (_, State::Asking) if view.refusal.is_some() => Some(format!("no protection: {refusal}")),
        (Some(broker), _) => Some(broker.clone()),
        (None, _) if deaf.is_some() => deaf,
        (None, State::Leaving) => Some("the worker cannot be mended: it shuts down".to_owned()),
        (None, _) => view
            .refusal
            .as_ref()
            .map(|refusal| format!("protection cannot be changed: {refusal}")),
    }
}

fn detail(worker: &str, view: &View, silent: Option<&str>) -> Map<String, Value> {
    let standing = view.standing.as_ref();
    let target = standing.and_then(|standing| standing.hint);
    let mut detail = Map::new();
    for (key, value) in [
        ("worker", json!(worker)),
        ("why", json!(why(view.state))),
        ("unprotected", json!(view.unprotected)),
        ("silent_since", json!(silent)),
        ("outdated", json!(view.outdated)),
        (
            "workers_target",
            json!(target.map(|hint| hint.workers_target)),
        ),
        (
            "workers_alive",
            json!(standing.map(|standing| standing.alive)),
        ),
    ] {
        detail.insert(key.to_owned(), value);
    }
    detail
}

fn name(state: State) -> &'static str {
    match state {
        State::Asking => "asking",
        State::Working => "working",
        State::Draining(_) => "draining",
        State::Releasing(_) => "releasing",
        State::Released(_) => "released",
        State::Exposed => "exposed",
        State::Leaving => "leaving",
    }
}

fn why(state: State) -> Option<&'static str> {
    match state {
        State::Draining(why) | State::Releasing(why) | State::Released(why) => Some(match why {
            Why::Surplus => "surplus",
            Why::Deployment => "deployment",
            Why::Replace => "replace",
        }),
        _ => None,
    }
}
