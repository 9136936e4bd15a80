//! The policies that are held against each other.

use super::alarms::{Alarms, Layout};
use super::load::Arrival;
use super::scenario::Service;
use crate::demand::{self, Broker, Demand, Sample};
use crate::watch::{ACTIVE, IDLE, LINGER};
use std::collections::VecDeque;
use std::time::Duration;

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `WorkersTarget`, one alarm with a step for each count.
    OneAlarm,
    /// `WorkersTarget`, one alarm for each count.
    AlarmPerLevel,
    /// Target tracking on the backlog of each worker.
    Tracking,
    /// KEDA's rule for a list in Redis.
    Keda,
    /// The ideal's target, sampled, published and carried over by alarms as ours is: what of the
    /// distance to the ideal is CloudWatch's.
    IdealByAlarms,
    /// Starts workers when the tasks come, and knows which of them will be needed again.
    Ideal,
}

impl Kind {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::AlarmPerLevel,
        Self::OneAlarm,
        Self::Tracking,
        Self::Keda,
        Self::IdealByAlarms,
        Self::Ideal,
    ];

    /// Its name in table and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneAlarm => "one alarm",
            Self::AlarmPerLevel => "alarm a level",
            Self::Tracking => "target tracking",
            Self::Keda => "keda",
            Self::IdealByAlarms => "ideal, by alarms",
            Self::Ideal => "ideal",
        }
    }

    /// Whether `protect` runs beside each worker.
    pub fn protects(self) -> bool {
        matches!(self, Self::OneAlarm | Self::AlarmPerLevel)
    }

    /// Whether workers finish what they run, whatever is done to them, and the idle ones leave first.
    pub(super) fn is_ideal(self) -> bool {
        matches!(self, Self::IdealByAlarms | Self::Ideal)
    }
}

/// What a policy may look at.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) now: u32,
    pub(super) redis: bool,
    pub(super) ready: u32,
    /// Tasks that run on live workers.
    pub(super) running: u32,
    pub(super) workers: u32,
    /// Of them those that said that they drain for a deployment.
    pub(super) draining: u32,
    /// Messages in flight that nobody holds.
    pub(super) orphans: u32,
    pub(super) desired: u32,
}

/// A policy at work.
pub(super) enum Policy {
    Ours(Box<Ours>),
    Tracking(Tracking),
    Keda(Keda),
    Ideal(Ideal),
}

impl Policy {
    pub(super) fn new(kind: Kind, service: &Service, tasks: &[Arrival]) -> Self {
        match kind {
            Kind::OneAlarm => Self::Ours(Box::new(Ours::new(kind, service, Layout::One, tasks))),
            Kind::AlarmPerLevel | Kind::IdealByAlarms => {
                Self::Ours(Box::new(Ours::new(kind, service, Layout::Levels, tasks)))
            }
            Kind::Tracking => Self::Tracking(Tracking::new(service)),
            Kind::Keda => Self::Keda(Keda::new(service)),
            Kind::Ideal => Self::Ideal(Ideal::new(service, tasks)),
        }
    }

    /// The desired count that it sets at this second, if any.
    pub(super) fn step(&mut self, view: &View) -> Option<u32> {
        match self {
            Self::Ours(ours) => ours.step(view),
            Self::Tracking(tracking) => tracking.step(view),
            Self::Keda(keda) => keda.step(view),
            Self::Ideal(ideal) => Some(ideal.step(view)),
        }
    }

    /// `WorkersTarget`, where there is one.
    pub(super) fn target(&self) -> Option<u32> {
        match self {
            Self::Ours(ours) => ours.target,
            _ => None,
        }
    }
}

/// From the sample to CloudWatch.
const PUT: u32 = 2;
/// From the alarm's action to the desired count.
const ACTION: u32 = 2;

/// What becomes `WorkersTarget`.
enum Source {
    Demand(Demand),
    Future(Ideal),
}

/// `queue-metrics watch`, CloudWatch's alarms and step scaling.
pub(super) struct Ours {
    source: Source,
    alarms: Alarms,
    interval: u32,
    pub(super) target: Option<u32>,
    published: Option<(u32, u32)>,
    /// When the target was above zero.
    wanted: Option<u32>,
    /// What is on its way, and when it arrives.
    puts: VecDeque<(u32, u32)>,
    actions: VecDeque<(u32, u32)>,
}

impl Ours {
    fn new(kind: Kind, service: &Service, layout: Layout, tasks: &[Arrival]) -> Self {
        let policy = demand::Policy {
            concurrency: service.concurrency,
            min: service.min,
            max: service.max,
            hold: service.hold,
            acks_late: true,
        };
        let source = match kind {
            Kind::IdealByAlarms => Source::Future(Ideal::new(service, tasks)),
            _ => Source::Demand(Demand::new(policy)),
        };
        Self {
            source,
            alarms: Alarms::new(layout, service.max),
            interval: u32::try_from(service.interval.as_secs()).unwrap_or(u32::MAX),
            target: None,
            published: None,
            wanted: None,
            puts: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    fn step(&mut self, view: &View) -> Option<u32> {
        let now = view.now;
        if now.is_multiple_of(self.interval) {
            self.sample(view);
        }
        while let Some((_, value)) = self.puts.pop_front_if(|(at, _)| *at <= now) {
            self.alarms.put(value);
        }
        if let Some(desired) = self.alarms.act(now) {
            self.actions.push_back((now + ACTION, desired));
        }
        let mut desired = None;
        while let Some((_, count)) = self.actions.pop_front_if(|(at, _)| *at <= now) {
            desired = Some(count);
        }
        desired
    }

    fn sample(&mut self, view: &View) {
        let (target, settled) = match &mut self.source {
            Source::Demand(demand) => observe(demand, view),
            Source::Future(ideal) => (Some(ideal.step(view)), true),
        };
        // The key in Redis lives for 60 s, and Redis itself is away for longer than that or not at all.
        self.target = target;
        let Some(target) = target.filter(|_| settled) else {
            return;
        };
        if target > 0 {
            self.wanted = Some(view.now);
        }
        let lingers = |then| Duration::from_secs(u64::from(view.now - then)) <= LINGER;
        let every = match self.wanted.is_some_and(lingers) {
            true => ACTIVE,
            false => IDLE,
        };
        let due = self.published.is_none_or(|(at, value)| {
            value != target || Duration::from_secs(u64::from(view.now - at)) >= every
        });
        if due {
            self.published = Some((view.now, target));
            self.puts.push_back((view.now + PUT, target));
        }
    }
}

/// The real decision, and whether it is to be published.
fn observe(demand: &mut Demand, view: &View) -> (Option<u32>, bool) {
    let broker = view.redis.then(|| Broker {
        ready: view.ready.into(),
        in_flight: u64::from(view.running) + u64::from(view.orphans),
        claimed: view.running.into(),
        workers: view.workers,
        draining: view.draining,
    });
    let target = demand.observe(&Sample {
        at: Duration::from_secs(view.now.into()),
        broker,
        database: None,
    });
    let settled = target.is_some_and(|target| target.settled);
    (target.map(|target| target.workers), settled)
}

/// Target tracking: messages a worker, kept near what a worker runs at once. Three minutes above it
/// scale out, fifteen below nine tenths of it scale in. It cannot leave zero, so the least is one.
pub(super) struct Tracking {
    concurrency: f64,
    min: u32,
    max: u32,
    minute: Vec<f64>,
    high: u32,
    low: u32,
}

impl Tracking {
    fn new(service: &Service) -> Self {
        Self {
            concurrency: service.concurrency.into(),
            min: service.min.max(1),
            max: service.max,
            minute: Vec::new(),
            high: 0,
            low: 0,
        }
    }

    fn step(&mut self, view: &View) -> Option<u32> {
        if view.redis {
            self.minute
                .push(f64::from(view.ready) / f64::from(view.workers.max(1)));
        }
        if !view.now.is_multiple_of(60) {
            return (view.desired < self.min).then_some(self.min);
        }
        if self.minute.is_empty() {
            // Missing data: it does nothing.
            (self.high, self.low) = (0, 0);
            return None;
        }
        let samples = std::mem::take(&mut self.minute);
        let count = f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        let load = samples.iter().sum::<f64>() / count / self.concurrency;
        self.high = if load > 1.0 { self.high + 1 } else { 0 };
        self.low = if load < 0.9 { self.low + 1 } else { 0 };
        let wanted = ceil(f64::from(view.desired.max(1)) * load).clamp(self.min, self.max);
        if self.high >= 3 {
            Some(wanted.max(view.desired))
        } else if self.low >= 15 {
            Some(wanted.min(view.desired))
        } else {
            None
        }
    }
}

/// KEDA's scaler for one list: its length by `listLength`, looked at every 30 s from zero; from one on
/// the autoscaler of Kubernetes decides every 15 s, and falls to the most of five minutes. To zero after
/// a cooldown of five minutes without messages.
pub(super) struct Keda {
    concurrency: u32,
    min: u32,
    max: u32,
    recent: VecDeque<(u32, u32)>,
    active: Option<u32>,
}

impl Keda {
    fn new(service: &Service) -> Self {
        Self {
            concurrency: service.concurrency,
            min: service.min,
            max: service.max,
            recent: VecDeque::new(),
            active: None,
        }
    }

    fn step(&mut self, view: &View) -> Option<u32> {
        // Without Redis the scaler reports an error, and nothing is scaled.
        if !view.now.is_multiple_of(15) || !view.redis {
            return None;
        }
        let now = view.now;
        if view.ready > 0 {
            self.active = Some(now);
        }
        if view.desired == 0 {
            let wakes = now.is_multiple_of(30) && view.ready > 0;
            return wakes.then_some(self.min.max(1));
        }
        if self.min == 0 && self.active.is_none_or(|then| now - then >= 300) {
            self.recent.clear();
            return Some(0);
        }
        let wanted = demand::workers(view.ready.into(), self.concurrency).clamp(1, self.max);
        self.recent.push_back((now, wanted));
        self.recent.retain(|(then, _)| now - then < 300);
        let held = self.recent.iter().map(|(_, wanted)| *wanted).max();
        // Doubling, or four more, in 15 s: the autoscaler's own limit.
        let limit = (view.desired * 2).max(view.desired + 4);
        Some(held.unwrap_or(wanted).min(limit).max(self.min))
    }
}

/// No sampling, no alarm: a worker is started at the second in which it is needed, as slowly as any
/// other; one that will not be needed within the hold is stopped at once, and one that will be is kept.
pub(super) struct Ideal {
    concurrency: u32,
    min: u32,
    max: u32,
    hold: u32,
    /// For each second the workers that tasks would need that all started at once.
    future: Vec<u32>,
}

impl Ideal {
    fn new(service: &Service, tasks: &[Arrival]) -> Self {
        let end = tasks
            .iter()
            .map(|task| task.at + task.runs)
            .max()
            .unwrap_or(0);
        let mut change = vec![0_i64; end as usize + 2];
        for task in tasks {
            change[task.at as usize] += 1;
            change[(task.at + task.runs) as usize] -= 1;
        }
        let mut tasks = 0;
        let future = change
            .into_iter()
            .map(|change| {
                tasks += change;
                demand::workers(tasks.unsigned_abs(), service.concurrency)
            })
            .collect();
        Self {
            concurrency: service.concurrency,
            min: service.min,
            max: service.max,
            hold: u32::try_from(service.hold.as_secs()).unwrap_or(u32::MAX),
            future,
        }
    }

    fn step(&mut self, view: &View) -> u32 {
        let tasks = u64::from(view.ready) + u64::from(view.running);
        let need = demand::workers(tasks, self.concurrency).clamp(self.min, self.max);
        if need >= view.desired {
            return need;
        }
        let from = (view.now as usize).min(self.future.len());
        let to = (view.now.saturating_add(self.hold) as usize).min(self.future.len());
        let soon = self.future[from..to].iter().max().copied().unwrap_or(0);
        need.max(soon.min(view.desired))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of workers; a cast takes what is beyond to the nearest end"
)]
fn ceil(value: f64) -> u32 {
    value.ceil() as u32
}
