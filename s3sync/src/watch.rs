//! `s3sync watch`: when the next pass is made, by whom, and what happens when it fails.

use crate::board::Board;
use crate::dest::Dest;
use crate::failure::Failure;
use crate::lock::{Heartbeat, Lock, STALE};
use crate::manifest::journal;
use crate::once::{leave, leave_in_order, name_unmanaged};
use crate::prepare::blocking;
use crate::reporter::{Pace, Reporter};
use crate::scrubs::Scrubs;
use crate::session::{Ending, Surroundings, owner, rules};
use crate::settings::{Interval, Watch, monthly_cost};
use crate::writer::{Rules, Writer, check_source};
use agent::backoff::backoff;
use agent::footprint::{Tidying, release_memory};
use agent::metrics::Metrics;
use agent::settings::show_duration;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What a GET costs where a LIST costs one: 0.0004 dollars for 1,000 of them (S3 Standard, us-east-1).
const GET_OF_LIST: f64 = 0.08;

/// The longest wait after errors.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a reign ended.
enum End {
    /// A signal.
    Stopped,
    /// Another took over, or DEST failed.
    Over(Failure),
}

/// Watches for ever.
pub async fn watch(
    settings: &Watch,
    around: &Surroundings,
    metrics: Metrics,
) -> Result<(), Ending> {
    let rules = rules(
        &settings.deletes,
        &settings.patterns,
        &settings.transfer,
        &settings.local,
        &settings.landing,
        settings.timing.scrub_interval,
    )?;
    let mut board = Board::new(
        around.status.clone(),
        metrics,
        &settings.ends.source.to_string(),
    );
    if let Some(location) = &settings.report {
        let source = around.source(location, &settings.transfer);
        let reporter = Reporter::start(source, Pace::default());
        board = board.reporting(reporter, &settings.metrics);
    }
    let watcher = Watcher {
        settings,
        around,
        rules,
        board,
        owner: owner(),
        passed: Cell::default(),
        reigning: Cell::new(false),
    };
    watcher.status_begins();
    let ended = watcher.run().await;
    watcher.board.finish().await;
    ended
}

struct Watcher<'a> {
    settings: &'a Watch,
    around: &'a Surroundings,
    rules: Rules,
    board: Board,
    owner: String,
    /// Whether a pass was made since the last failure.
    passed: Cell<bool>,
    /// Whether a reign is under way, which a signal must not cut short.
    reigning: Cell<bool>,
}

impl Watcher<'_> {
    fn status_begins(&self) {
        self.around
            .status
            .update(|state| state.phase = "starting".to_string());
        info!(
            source = %self.settings.ends.source, dest = %self.settings.ends.dest.display(), owner = self.owner,
            event = "started", "s3sync watches"
        );
    }

    async fn run(&self) -> Result<(), Ending> {
        let mut started = false;
        let mut waits = self.waits();
        loop {
            let ended = tokio::select! {
                ended = self.live(&mut started) => ended,
                () = self.leave_outside_reigns() => End::Stopped,
            };
            match ended {
                End::Stopped => {
                    info!(event = "stopped", "stopped as asked");
                    return Ok(());
                }
                End::Over(failure) if !started => return Err(failure.into()),
                End::Over(failure) => {
                    self.board.failed(&failure);
                    if self.passed.take() {
                        waits = self.waits();
                    }
                    if !matches!(failure, Failure::Dethroned) && self.pause(waits.next()).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Until a signal came, where nothing is half done; a reign drains by itself.
    async fn leave_outside_reigns(&self) {
        self.around.shutdown.wait().await;
        if self.reigning.get() {
            std::future::pending().await
        }
    }

    /// Follows until the lock can be had, then reigns. `started` is set once DEST was usable.
    async fn live(&self, started: &mut bool) -> End {
        let dest = match self
            .around
            .dest(
                &self.settings.ends,
                &self.settings.local,
                &self.settings.landing,
            )
            .await
        {
            Ok(dest) => dest,
            Err(error) => return End::Over(error.into()),
        };
        let lock = match self.follow(&dest, started).await {
            Ok(Some(lock)) => lock,
            Ok(None) => return End::Stopped,
            Err(failure) => return End::Over(failure),
        };
        let source = self
            .around
            .source(&self.settings.ends.source, &self.settings.transfer);
        let opened = Writer::open(
            source,
            dest,
            Arc::clone(&lock),
            self.rules.clone(),
            self.around.status.clone(),
        );
        let mut writer = match opened.await {
            Ok(writer) => writer,
            Err(failure) => return End::Over(failure),
        };
        // What troubled the reign before is over when a pass says so, and not before.
        *started = true;
        self.reigning.set(true);
        let bursting = Arc::clone(&writer.bursting);
        let end = {
            let reign = self.reign(&mut writer);
            tokio::pin!(reign);
            tokio::select! {
                failure = &mut reign => End::Over(failure),
                () = leave(self.around, &bursting) => End::Stopped,
                () = self.board.keep_time(Arc::clone(&lock)) => End::Over(Failure::Dethroned),
            }
        };
        let clean = !matches!(end, End::Over(Failure::Dethroned));
        if !clean {
            self.board.dethroned();
        }
        leave_in_order(writer, &self.board, &lock, clean).await;
        self.reigning.set(false);
        end
    }

    /// Waits for the lock; `None` when a signal came first.
    async fn follow(
        &self,
        dest: &Arc<Dest>,
        started: &mut bool,
    ) -> Result<Option<Arc<Lock>>, Failure> {
        let mut filled = None;
        let poll = self
            .settings
            .timing
            .interval
            .of(1)
            .min(Duration::from_secs(5));
        let mut following: Option<String> = None;
        loop {
            let (heartbeat, age) = match self.around.attempt(dest, &self.owner).await? {
                Ok(lock) => return Ok(Some(lock)),
                Err(theirs) => theirs,
            };
            let filled = match filled {
                Some(filled) => filled,
                None => *filled.insert(self.is_filled(dest).await?),
            };
            self.check_theirs(dest, &heartbeat)?;
            *started = true;
            self.board.trouble(None);
            if following.as_ref() != Some(&heartbeat.owner) {
                info!(
                    writer = heartbeat.owner,
                    event = "following",
                    "another s3sync writes; this one follows"
                );
                following = Some(heartbeat.owner.clone());
                // A failure of DEST ended this one's reign, and what it told then is out of date.
                self.board.dethroned();
            }
            // With --adopt the writer may be another source's: its files are not what was asked for.
            let alive = age < STALE && heartbeat.source == self.settings.ends.source.to_string();
            self.board.show_follower(&heartbeat, alive, filled);
            if self.pause(Some(poll)).await {
                return Ok(None);
            }
        }
    }

    fn check_theirs(&self, dest: &Dest, heartbeat: &Heartbeat) -> Result<(), Failure> {
        let ours = self.settings.ends.source.to_string();
        if heartbeat.source.is_empty() || heartbeat.source == ours || self.rules.adopt {
            return Ok(());
        }
        Err(Failure::OtherSource {
            dest: dest.path().display().to_string(),
            theirs: heartbeat.source.clone(),
            ours,
        })
    }

    /// Whether DEST holds an earlier complete pass of the same source.
    async fn is_filled(&self, dest: &Arc<Dest>) -> Result<bool, Failure> {
        let (dest, ours, rules) = (
            Arc::clone(dest),
            self.settings.ends.source.to_string(),
            self.rules.clone(),
        );
        blocking(&self.around.status, "load", move || {
            // A writer may be replacing it this very moment; its heartbeat tells the rest.
            let loaded = journal::load(dest.state()).ok().flatten();
            check_source(&dest, loaded.as_ref(), &ours, rules.adopt)?;
            let complete = loaded
                .filter(|loaded| loaded.source == ours)
                .and_then(|loaded| loaded.manifest.complete);
            Ok(dest.offers_a_tree()
                && complete.is_some_and(|complete| complete.files > 0 || rules.policy.allow_empty))
        })
        .await
    }

    /// Passes and scrubs, until DEST fails or another takes over.
    async fn reign(&self, writer: &mut Writer) -> Failure {
        name_unmanaged(writer);
        self.board.begin(writer).await;
        // Before a first complete pass DEST has no revision that means anything.
        let revision = writer
            .manifest()
            .complete
            .is_some()
            .then(|| writer.revision().to_string());
        self.board.show_writer(writer, 0, revision.as_deref());
        let mut waits = self.waits();
        let mut scrubs = Scrubs::new(self.settings, writer);
        let mut pages = None;
        let mut tidying = Tidying::default();
        loop {
            let begun = Instant::now();
            let passed = writer
                .pass(self.settings.timing.settle, |_| self.board.listed())
                .await;
            // A pointer that is unchanged is one GET; a listing is work.
            let light = matches!(&passed, Ok(passed) if passed.quiet && passed.pages == 0);
            let wait = match passed {
                Ok(passed) => {
                    self.tell_cost(&mut pages, passed.pages);
                    if self
                        .board
                        .passed(writer, &passed, begun.elapsed().as_secs_f64())
                        && let Err(error) = self.board.beat(writer.lock(), false).await
                    {
                        warn!(%error, event = "heartbeat_failed", "the heartbeat cannot be written");
                    }
                    waits = self.waits();
                    self.passed.set(true);
                    let interval = self.settings.timing.interval.of(passed.pages);
                    shortened(interval).saturating_sub(begun.elapsed())
                }
                Err(failure @ Failure::Source(_)) => {
                    self.board.failed(&failure);
                    self.board.report(writer, Some(failure.to_string()));
                    waits.next().unwrap_or(LONGEST_WAIT)
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Dethroned) {
                        self.board.report(writer, Some(failure.to_string()));
                    }
                    return failure;
                }
            };
            // Until the next poll hardly anything is needed.
            if tidying.is_due(light, Instant::now()) {
                release_memory();
            }
            if let Err(failure) = scrubs.meanwhile(writer, wait).await {
                return failure;
            }
        }
    }

    fn tell_cost(&self, told: &mut Option<u32>, pages: u32) {
        if *told == Some(pages) {
            return;
        }
        *told = Some(pages);
        let interval = self.settings.timing.interval.of(pages);
        if pages == 0 {
            let dollars = format!("{:.2}", monthly_cost(1, interval) * GET_OF_LIST);
            info!(
                interval = show_duration(interval),
                monthly_usd = dollars,
                event = "poll_cost",
                "what the GETs of the pointer cost"
            );
            return;
        }
        let dollars = format!("{:.2}", monthly_cost(pages, interval));
        info!(
            pages,
            interval = show_duration(interval),
            monthly_usd = dollars,
            event = "list_cost",
            "what the LISTs cost"
        );
    }

    fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let first = match self.settings.timing.interval {
            Interval::Fixed(interval) => interval.min(Duration::from_secs(1)),
            Interval::Auto => Duration::from_secs(1),
        };
        backoff(first, LONGEST_WAIT, fastrand::u64(..))
    }

    /// Waits; returns true when a signal came.
    async fn pause(&self, wait: Option<Duration>) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or(LONGEST_WAIT)) => false,
            () = self.around.shutdown.wait() => true,
        }
    }
}

/// Up to a tenth shorter, so that a fleet of syncers does not list in step.
fn shortened(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - fastrand::f64() * 0.1)
}
