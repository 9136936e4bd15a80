//! One migration, under the lock: nothing runs beside it, and nothing of it goes on without the lock.

use super::child::{self, Running};
use super::lock::{self, MIGRATOR, Pulse};
use super::{Lost, Sessions, Trouble, Work, pause};
use crate::failure::Failure;
use crate::supervise::{Input, Outcome, Signal};
use agent::exit::Exit;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_postgres::Client;
use tracing::{debug, info, warn};

/// How often the lock is looked at. Airflow waits 1.8 s for a lock of its own, so that whoever holds
/// that one meanwhile is seen.
const BEAT: Duration = Duration::from_millis(500);

/// An answer that takes longer is none: the lock counts as lost. Well below the minute after which the
/// server gives the lock of a session that fell silent to another.
const ANSWER: Duration = Duration::from_secs(15);

/// What a stopped container leaves of its grace for the end of the child.
const RESERVE: Duration = Duration::from_secs(3);

/// How often the server is asked whether a transaction has ended.
const GLANCE: Duration = Duration::from_millis(50);

/// For the end of backends: the grace has little left.
const ENOUGH: Duration = Duration::from_secs(1);

/// How a run of the child ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    /// Whether another was seen at Airflow's own lock, for which the child waits only 1.8 s.
    pub(super) contended: bool,
}

/// Waits until no migration runs that lost its lock, nor any that a person started.
pub(super) async fn quiet<S: Sessions>(
    work: &Work<'_, S>,
    client: &Client,
    deadline: Instant,
) -> Result<(), Trouble> {
    let mut said = false;
    loop {
        let others = lock::migrators(client).await?;
        let contended = lock::pulse(client).await?.contended;
        if others.is_empty() && !contended {
            return Ok(());
        }
        if !said {
            let backends = others.join(" ");
            info!(
                event = "migration_waits",
                backends, contended, "another migration is still at its end: waiting for it"
            );
            said = true;
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(
                Exit::Unavailable,
                format!(
                    "another migration has not ended within {:?}: see pg_stat_activity for {MIGRATOR}, and pg_locks for Airflow's lock; raise ENTRYPOINT_MIGRATE_TIMEOUT or end it",
                    work.timeout
                ),
            )
            .into());
        }
        pause(work.stop, GLANCE * 4).await?;
    }
}

/// Runs `airflow db migrate` and watches over the lock meanwhile.
pub(super) async fn run<S: Sessions>(
    work: &Work<'_, S>,
    session: &S::Session,
    deadline: Instant,
) -> Result<Ran, Trouble> {
    let client = S::client(session);
    // It stands for the child until the child has a session of its own: who takes the lock after this
    // one was lost must not overtake a child that is still starting.
    let marker = work.sessions.mark().await?;
    let mut child = Running::airflow(
        work.children,
        &["db", "migrate"],
        child::migrating(work.variables),
        Input::Null,
        &[("PGAPPNAME", MIGRATOR)],
    )
    .map_err(|error| {
        Failure::new(
            Exit::Migration,
            format!("the migration cannot be started: {error}"),
        )
    })?;

    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut contended = false;
    loop {
        tokio::select! {
            biased;
            outcome = child.wait() => return Ok(Ran { outcome, contended }),
            signal = work.stop.wait() => {
                let failure = stopped(work, client, &mut child, signal).await;
                end_backends(S::client(&marker)).await;
                return Err(failure.into());
            }
            () = tokio::time::sleep_until(deadline) => {
                child.end().await;
                end_backends(S::client(&marker)).await;
                return Err(Failure::new(Exit::Migration, format!(
                    "airflow db migrate was stopped after ENTRYPOINT_MIGRATE_TIMEOUT={:?}: what it had committed stays, and the next start goes on from there; raise the limit", work.timeout
                )).into());
            }
            pulse = pulse(client, &mut beat) => {
                let trouble = match pulse {
                    Ok(Pulse { held: true, contended: now }) => {
                        contended |= now;
                        continue;
                    }
                    // With another try it would be the same.
                    Ok(_) => Failure::new(
                        Exit::Source,
                        "the session that took the migration's lock does not hold it: a pooler between us changes sessions; connect to Postgres itself, or set the pooler to session mode",
                    ).into(),
                    Err(lost) => {
                        warn!(event = "migration_lock_lost", why = lost.0, "the migration's lock was lost: stopping the migration");
                        Trouble::Lost(lost)
                    }
                };
                child.end().await;
                end_backends(S::client(&marker)).await;
                return Err(trouble);
            }
        }
    }
}

/// What a child that was ended has left at work in the server. While our marker lives nobody else has
/// begun a migration: whatever has its name is ours.
async fn end_backends(marker: &Client) {
    match timeout(ENOUGH, lock::end_migrators(marker)).await {
        Ok(Ok(())) => {}
        // They end by themselves, and whoever comes next waits for that.
        Ok(Err(error)) => {
            debug!(event = "backends_left", %error, "the migration's backends were not ended")
        }
        Err(_) => debug!(event = "backends_left", "the server does not answer"),
    }
}

async fn pulse(client: &Client, beat: &mut tokio::time::Interval) -> Result<Pulse, Lost> {
    // A session that the server ended is known at once, and not only at the next beat.
    let until = tokio::select! {
        _ = beat.tick() => false,
        () = closed(client) => true,
    };
    if until {
        return Err(Lost("its connection ended".to_owned()));
    }
    match timeout(ANSWER, lock::pulse(client)).await {
        Ok(Ok(pulse)) => Ok(pulse),
        Ok(Err(error)) => Err(Lost(error.to_string())),
        Err(_) => Err(Lost(format!("the server has not answered for {ANSWER:?}"))),
    }
}

/// Returns when the session is lost.
async fn closed(client: &Client) {
    while !client.is_closed() {
        tokio::time::sleep(GLANCE / 2).await;
    }
}

/// Lets the transaction that was open when the signal came reach its end, within the grace; then ends
/// the child. A revision is one transaction, so that nothing is lost but what had just begun.
async fn stopped<S: Sessions>(
    work: &Work<'_, S>,
    client: &Client,
    child: &mut Running,
    signal: Signal,
) -> Failure {
    let limit = Instant::now() + work.grace.saturating_sub(RESERVE);
    info!(event = "migration_stopping", %signal, "stopping after the transaction that runs");
    let ended = async {
        let Ok(open) = lock::transactions(client).await else {
            return;
        };
        let open: BTreeSet<String> = open.into_iter().collect();
        loop {
            match lock::transactions(client).await {
                Ok(now) if now.iter().any(|transaction| open.contains(transaction)) => {}
                _ => return,
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    let finished = tokio::select! {
        outcome = child.wait() => Some(outcome),
        () = ended => None,
        () = tokio::time::sleep_until(limit) => None,
        _ = work.stop.wait_second() => None,
    };
    let outcome = match finished {
        Some(outcome) => outcome,
        None => child.end().await,
    };
    let how = child::describe(outcome);
    Failure::stopped(
        signal.number(),
        format!(
            "{signal} came while the schema was migrated: airflow db migrate ended with {how}, and the next start goes on from there"
        ),
    )
}
