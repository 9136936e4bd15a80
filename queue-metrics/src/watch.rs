//! `watch`: samples for ever, and publishes how many workers are wanted.

mod beside;
mod cadence;
mod homes;
mod lasting;
mod notices;
mod picture;
mod plan;
mod report;
mod session;

pub use self::cadence::{ACTIVE, Cadence, IDLE, LINGER};
pub use self::lasting::{Lasting, Turn};
pub use self::picture::{GroupPicture, Homes, Picture, QueuePicture, Rounds, Witnessed};
pub use self::plan::Plan;

use self::beside::Beside;
use self::homes::Finder;
use self::notices::Notices;
use self::session::Link;
use crate::broker::{Asker, Failure, Reading, Workers};
use crate::demand::HEARD;
use crate::metrics::publication;
use crate::program::{Ending, Surroundings};
use agent::metrics::Delivery;
use agent::redis::Target;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

/// For what was published last to go out at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// How long a sample waits for the database; a later answer counts with the next one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tellings of what did not change.
const TOLD_EVERY: Duration = Duration::from_secs(4);
/// Between two tidyings: puts come once a minute while nothing runs.
const TIDIED_EVERY: Duration = Duration::from_secs(50);
/// Between two writings of a target that did not change, which lasts for 60 s.
const LEFT_EVERY: Duration = Duration::from_secs(20);

/// Watches until it is asked to stop.
///
/// # Errors
/// None: whatever is away may come back.
pub async fn run(plan: Plan, around: Surroundings) -> Result<(), Ending> {
    let mut watcher = Watcher::new(plan, &around);
    let mut ticks = tokio::time::interval(watcher.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    watcher.tell();
    loop {
        let due = watcher.link.due();
        let step = tokio::select! {
            () = around.shutdown.wait() => break,
            () = until(due) => Step::Connect,
            _ = ticks.tick() => Step::Sample,
            Ok(()) = watcher.deliveries.changed() => Step::Tell,
            published = watcher.link.heard() => Step::Heard(published),
        };
        let work = async {
            match step {
                Step::Heard(Some(published)) => {
                    let at = watcher.started.elapsed();
                    watcher.workers.observe(at, &published);
                }
                Step::Heard(None) => {
                    let failure = watcher.link.lost();
                    watcher.link.close();
                    watcher.away(&failure);
                }
                Step::Connect => match watcher.link.open().await {
                    Ok(()) => {
                        // It may be another server, which has nothing of what was left.
                        watcher.left = None;
                        ticks.reset_immediately();
                    }
                    Err(failure) => watcher.away(&failure),
                },
                Step::Sample => watcher.sample().await,
                Step::Tell => {
                    watcher.tell();
                    watcher.tidy();
                }
            }
        };
        // Whatever is under way hangs at most as long as its limit, and not after a signal.
        tokio::select! {
            () = work => {}
            () = around.shutdown.wait() => break,
        }
    }
    tracing::info!(event = "stopping", "asked to stop");
    around.metrics.flush(FLUSH_LIMIT).await;
    Ok(())
}

enum Step {
    Heard(Option<Vec<u8>>),
    Connect,
    Sample,
    Tell,
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

struct Watcher {
    around: Surroundings,
    deliveries: Receiver<Delivery>,
    started: Instant,
    interval: Duration,
    place: Target,
    prefix: String,
    link: Link,
    beside: Option<Beside>,
    workers: Workers,
    /// None with a single group, which every worker serves.
    finder: Option<Finder>,
    rounds: Rounds,
    cadence: Cadence,
    notices: Notices,
    /// What was seen last, and when by the wall clock; none while nobody sees anything.
    picture: Option<(std::time::SystemTime, Picture)>,
    /// When the targets were left, and which.
    left: Option<(Duration, Vec<u32>)>,
    published: bool,
    /// When the status file was told last, and of what, where nothing was wrong.
    told: Option<(Instant, Option<Vec<u64>>)>,
    /// When code that has done its work was let go of, and the put after which that was.
    tidied: Option<(Instant, Option<std::time::Instant>)>,
}

impl Watcher {
    fn new(plan: Plan, around: &Surroundings) -> Self {
        plan.announce();
        let limit = plan.limit();
        let several = plan.groups.iter().count() > 1;
        let finder =
            several.then(|| Finder::new(Asker::new(&plan.target, &plan.prefix, &plan.groups)));
        let layout = plan.layout;
        Self {
            deliveries: around.metrics.deliveries(),
            around: around.clone(),
            started: Instant::now(),
            interval: plan.interval,
            place: plan.target.clone(),
            prefix: plan.prefix,
            link: Link::new(plan.target, layout.clone(), limit),
            beside: plan
                .witness
                .map(|witness| Beside::start(witness, limit, plan.interval)),
            workers: Workers::default(),
            finder,
            rounds: Rounds::new(&plan.groups, layout, plan.policy, plan.prefetch),
            cadence: Cadence::new(plan.interval),
            notices: Notices::new(plan.limits),
            picture: None,
            left: None,
            published: false,
            told: None,
            tidied: None,
        }
    }

    /// The broker failed; nobody takes its last word for what is true now.
    fn away(&mut self, failure: &Failure) {
        self.notices.broker(self.started.elapsed(), Some(failure));
        if self.beside.is_none() {
            self.blind();
        }
        self.tell();
    }

    fn blind(&mut self) {
        self.picture = None;
        self.cadence.withdrawn();
        self.around.metrics.withdraw();
    }

    async fn sample(&mut self) {
        let counts = match &mut self.beside {
            Some(beside) => Some(beside.counts(PATIENCE.min(self.interval / 4)).await),
            None => None,
        };
        let reading = self.link.read().await;
        let at = self.started.elapsed();
        let reading = match reading {
            Some(Ok(reading)) => {
                self.notices.broker(at, None);
                Some(reading)
            }
            Some(Err(failure)) => {
                self.notices.broker(at, Some(&failure));
                None
            }
            None => None,
        };
        if let Some(result) = &counts {
            self.notices.database(at, result.as_ref().err());
        }
        let counts = counts.and_then(Result::ok);
        if let Some(server) = reading.as_ref().and_then(|reading| reading.server.as_ref()) {
            self.notices.server(at, &self.place, server);
        }
        self.judge(at, reading.as_ref(), counts.as_ref()).await;
        self.tell();
        self.tidy();
    }

    async fn judge(
        &mut self,
        at: Duration,
        reading: Option<&Reading>,
        counts: Option<&crate::witness::Counts>,
    ) {
        let seen = Witnessed {
            at,
            broker: reading.map(|reading| (reading, &self.workers)),
            database: counts,
        };
        let nobody = Homes::new();
        let homes = match &mut self.finder {
            Some(finder) => finder.look(at, &self.workers),
            None => &nobody,
        };
        let Some(picture) = self.rounds.observe(seen, homes) else {
            return self.blind();
        };
        if reading.is_some() {
            let gone = self.workers.forget(at);
            self.notices.silent(gone);
        }
        // Before each worker that lives was heard, the numbers may be too low.
        let listened = self
            .link
            .since()
            .is_some_and(|since| since.elapsed() >= HEARD);
        let settled = picture.groups.iter().all(|group| group.target.settled);
        if !settled || (reading.is_some() && !listened) {
            return;
        }
        self.notices.picture(at, &picture);
        let failing = self.deliveries.borrow().failing.is_some();
        if self.cadence.due(at, &picture, failing) {
            let publication = publication(&picture, &self.around.metrics);
            self.around.metrics.send(publication);
            self.published = true;
        }
        if reading.is_some() {
            self.leave(at, &picture).await;
        }
        self.picture = Some((std::time::SystemTime::now(), picture));
    }

    /// Leaves the targets for `protect`, when they changed or the last ones are about to expire.
    async fn leave(&mut self, at: Duration, picture: &Picture) {
        let groups = picture.groups.iter();
        let targets: Vec<u32> = groups.map(|group| group.target.workers).collect();
        let fresh = |(then, last): &(Duration, Vec<u32>)| {
            *last == targets && at.saturating_sub(*then) < LEFT_EVERY
        };
        if self.left.as_ref().is_some_and(fresh) {
            return;
        }
        let result = self.link.leave(&self.prefix, picture).await;
        self.notices.hint(at, result.as_ref().err());
        self.left = match result {
            Ok(()) => Some((at, targets)),
            Err(failure) => {
                // A primary that became a replica: the name may be another server's by now.
                if failure.why.contains("READONLY") {
                    self.link.close();
                }
                None
            }
        };
    }

    /// After the start, and after a put now and then, most of the program is not needed for a while.
    /// Each sample's own pages come back in microseconds, but not for nothing: so it is done rarely.
    fn tidy(&mut self) {
        let accepted = self.deliveries.borrow().accepted;
        if !self.published || accepted.is_none() {
            return;
        }
        let due = match self.tidied {
            None => true,
            Some((then, put)) if put != accepted => then.elapsed() >= TIDIED_EVERY,
            Some((then, _)) => then.elapsed() >= 2 * TIDIED_EVERY,
        };
        if due {
            self.tidied = Some((Instant::now(), accepted));
            agent::footprint::release_memory();
        }
    }

    /// Tells what changed at once, and times now and then: each telling is a file written, which costs
    /// more than a sample.
    fn tell(&mut self) {
        let delivery = self.deliveries.borrow().clone();
        let facts = report::Facts {
            at: self.started.elapsed(),
            notices: &self.notices,
            delivery: &delivery,
            published: self.published,
            database: self.beside.is_some(),
            picture: self.picture.as_ref(),
        };
        let (now, calm) = (Instant::now(), report::calm(&facts));
        let same = |(then, told): &(Instant, Option<Vec<u64>>)| {
            calm.is_some() && *told == calm && now.duration_since(*then) < TOLD_EVERY
        };
        if self.told.as_ref().is_some_and(same) {
            return;
        }
        let state = report::state(&facts);
        self.told = Some((now, calm));
        self.around.status.update(|told| *told = state);
    }
}
