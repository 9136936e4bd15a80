//! Drives the machine: what it asks for is done, and what comes of it is told to it.

use super::board::{Board, View};
use super::plan::Inside;
use super::remote::Remote;
use super::wire::{Heard, Standing};
use super::{Action, Event, Machine, Rules, State};
use agent::ecs::{LONGEST, Refusal, TaskProtection};
use std::pin::Pin;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// For an answer of the agent, which itself waits 4 s for ECS.
const LIMIT: Duration = Duration::from_secs(5);
/// ECS's reason to refuse where more tasks are protected than are desired.
const BLOCKED: &str = "DEPLOYMENT_BLOCKED";
/// How long ago a worker may have come up for a cancel to be of use at once.
const FRESH: Duration = Duration::from_secs(3);

/// What is under way; none most of the time.
type Call<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// Keeps one worker, until it is dropped or nobody tells it anything any more.
pub struct Keeper {
    machine: Machine,
    rules: Rules,
    began: Instant,
    protection: TaskProtection,
    remote: Remote,
    board: Board,
    agent: Call<(Event, Option<String>)>,
    worker: Call<(Remote, Event)>,
    online: Option<Instant>,
    refusal: Option<String>,
    broker: Option<String>,
    standing: Option<Standing>,
    outdated: Option<bool>,
    heard: mpsc::Receiver<Heard>,
    wanted: watch::Receiver<Option<bool>>,
    drains: watch::Sender<bool>,
}

impl Keeper {
    /// Begins to listen to the broker; needs a runtime. `wanted` says whether another revision is.
    pub fn start(inside: Inside, wanted: watch::Receiver<Option<bool>>, board: Board) -> Self {
        let (sender, heard) = mpsc::channel(16);
        let (drains, told) = watch::channel(false);
        let wire = inside.wire.with_drains(told);
        tokio::spawn(wire.hear(sender));
        Self {
            machine: Machine::new(Duration::ZERO, inside.rules),
            rules: inside.rules,
            began: Instant::now(),
            protection: inside.protection,
            remote: inside.remote,
            board,
            agent: None,
            worker: None,
            online: None,
            refusal: None,
            broker: None,
            standing: None,
            outdated: None,
            heard,
            wanted,
            drains,
        }
    }

    /// Keeps for ever. Dropped in the middle, it leaves protection and worker as they are: what was
    /// protected stays so for as long as the lease, and whoever comes next looks first.
    pub async fn keep(&mut self) {
        let mut ticks = interval(self.rules.pace.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.take_wanted();
        loop {
            tokio::select! {
                (event, refusal) = outcome(&mut self.agent) => {
                    self.refusal = refusal;
                    self.step(event);
                }
                (remote, event) = outcome(&mut self.worker) => {
                    self.remote = remote;
                    self.board.answered(event != Event::Silent);
                    self.step(event);
                }
                Some(heard) = self.heard.recv() => self.hear(heard),
                Ok(()) = self.wanted.changed() => self.take_wanted(),
                _ = ticks.tick() => self.step(Event::Tick),
            }
            self.show();
        }
    }

    /// Where the machine is.
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// Waits until what was published has gone out.
    pub async fn finish(&self, limit: Duration) {
        self.board.finish(limit).await;
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn take_wanted(&mut self) {
        let wanted = *self.wanted.borrow_and_update();
        self.outdated = wanted;
        self.step(Event::Outdated(wanted));
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Back => {
                self.broker = None;
                self.step(Event::Back);
            }
            Heard::Lost(why) => {
                self.broker = Some(why);
                self.step(Event::Lost);
            }
            Heard::Standing(standing) => {
                self.standing = Some(standing);
                self.step(Event::Standing(standing.verdict));
            }
            Heard::Online => {
                if !matches!(self.state(), State::Working | State::Exposed)
                    && self.worker.take().is_some()
                {
                    // It was asked before it was there: no answer will come, and each moment counts.
                    self.remote.disconnect();
                    self.step(Event::Silent);
                }
                self.online = Some(Instant::now());
                self.step(Event::Online);
            }
        }
    }

    fn step(&mut self, event: Event) {
        for action in self.machine.step(self.now(), event) {
            match action.is_agents() {
                true => {
                    self.agent = Some(Box::pin(call(self.protection.clone(), action, self.began)))
                }
                false => {
                    let fresh = self.online.take_if(|_| action == Action::Cancel);
                    let at_once = fresh.is_some_and(|since| since.elapsed() < FRESH);
                    let remote = self.remote.clone();
                    self.worker = Some(Box::pin(control(remote, action, at_once)));
                }
            }
        }
    }

    fn show(&mut self) {
        self.drains
            .send_replace(self.machine.state().drains_for_deployment());
        self.board.show(View {
            state: self.machine.state(),
            healthy: self.machine.healthy(self.now()),
            unprotected: self.machine.unprotected(),
            refusal: self.refusal.clone(),
            broker: self.broker.clone(),
            standing: self.standing,
            outdated: self.outdated,
        });
    }
}

/// Waits for what is under way, for ever where nothing is.
async fn outcome<T>(call: &mut Call<T>) -> T {
    let outcome = match call {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    };
    *call = None;
    outcome
}

/// What the agent answers, and why it is no.
async fn call(
    protection: TaskProtection,
    action: Action,
    began: Instant,
) -> (Event, Option<String>) {
    let (answer, failed) = match action {
        Action::Protect => {
            let granted = protection.protect(LONGEST, LIMIT).await;
            let granted = granted.map(|date| Event::Granted(began.elapsed() + lease(date)));
            (granted, Event::Denied)
        }
        _ => (
            protection.release(LIMIT).await.map(|()| Event::Freed),
            Event::NotFreed,
        ),
    };
    match answer {
        Ok(event) => (event, None),
        Err(Refusal::Refused(reason)) if reason == BLOCKED && action == Action::Protect => {
            (Event::Blocked, Some(format!("ECS refused: {reason}")))
        }
        Err(refusal) => (failed, Some(refusal.to_string())),
    }
}

/// What is left until a date, by this host's clock; the whole lease where the answer names none.
fn lease(until: Option<OffsetDateTime>) -> Duration {
    match until {
        Some(until) => Duration::try_from(until - OffsetDateTime::now_utc())
            .unwrap_or_default()
            .min(LONGEST),
        None => LONGEST,
    }
}

async fn control(mut remote: Remote, action: Action, at_once: bool) -> (Remote, Event) {
    let event = match action {
        Action::Cancel => remote.cancel(at_once).await,
        Action::Add => remote.add().await,
        Action::Shutdown => remote.shutdown().await,
        _ => remote.look().await,
    };
    (remote, event)
}
