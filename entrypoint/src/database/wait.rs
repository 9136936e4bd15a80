//! Waits for a session that can be worked with: TLS, password, a query, and a server that takes writes.

use super::policy::{Verdict, judge};
use crate::failure::Failure;
use crate::tries::{SHORTEST_TRY, Tries};
use agent::exit::Exit;
use agent::postgres::{ConnectError, Reason, Session, Target, connect};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

/// What the sessions are called in `pg_stat_activity`.
pub const APPLICATION: &str = "trimtab-entrypoint";

/// For who has nowhere to look the password up again.
pub async fn no_refetch() -> Result<Option<Target>, Failure> {
    Ok(None)
}

/// Waits until the database lets in, at least for one try where the deadline has passed. After a wrong
/// password `refetch` is asked once for another target, which is then used and left in `target`.
///
/// # Errors
/// 69 at the deadline; 65 or 77 for what will not pass by itself. The line names cause and remedy.
pub async fn wait(
    target: &mut Target,
    deadline: Instant,
    mut refetch: impl AsyncFnMut() -> Result<Option<Target>, Failure>,
) -> Result<Session, Failure> {
    let mut tries = Tries::<Reason>::until(deadline);
    let mut refetched = false;
    loop {
        let error = match usable(target, tries.next_limit()).await {
            Ok(session) => {
                if tries.has_told() {
                    tracing::info!(
                        event = "database_available",
                        database = %target,
                        tries = tries.count(),
                        seconds = tries.elapsed().as_secs_f64(),
                        "the database lets in"
                    );
                }
                return Ok(session);
            }
            Err(error) => error,
        };
        let fix = match judge(&error, refetched) {
            Verdict::Retry(fix) => fix,
            Verdict::Refetch(_) => {
                refetched = true;
                let newer = refetch().await?;
                match newer.filter(|newer| newer != target) {
                    Some(newer) => {
                        tracing::info!(
                            event = "database_password_changed",
                            database = %newer,
                            "the database refused the password, which has meanwhile changed"
                        );
                        *target = newer;
                        continue;
                    }
                    None => return Err(refused(target, &error, judge(&error, true))),
                }
            }
            fatal @ Verdict::Fatal(..) => return Err(refused(target, &error, fatal)),
        };
        if tries.is_news(&error.reason) {
            tracing::warn!(
                event = "database_unavailable",
                database = %target,
                reason = %error,
                tries = tries.count(),
                "waiting for the database"
            );
        }
        if let Err(waited) = tries.pause().await {
            let why = format!("database {target} did not let in within {waited}: {error}; {fix}");
            return Err(Failure::new(Exit::Unavailable, why));
        }
    }
}

fn refused(target: &Target, error: &ConnectError, verdict: Verdict) -> Failure {
    let (exit, fix) = match verdict {
        Verdict::Fatal(exit, fix) => (exit, fix),
        Verdict::Retry(fix) | Verdict::Refetch(fix) => (Exit::Unavailable, fix),
    };
    let why = format!(
        "database {target} refuses user {}: {error}; {fix}",
        target.user
    );
    Failure::new(exit, why)
}

/// A session that answered a query, of a server that takes writes.
async fn usable(target: &Target, limit: Duration) -> Result<Session, ConnectError> {
    let started = Instant::now();
    let session = connect(target, limit, APPLICATION).await?;
    // The simple protocol, because a pooler may keep no prepared statement.
    let asked = session
        .client
        .simple_query("SELECT current_setting('transaction_read_only')");
    let left = limit.saturating_sub(started.elapsed()).max(SHORTEST_TRY);
    let answer = match tokio::time::timeout(left, asked).await {
        Ok(answer) => answer.map_err(|error| ConnectError::from(&error))?,
        Err(_) => {
            return Err(ConnectError {
                reason: Reason::Timeout,
                why: format!("it let in, and answered no query within {left:?}"),
            });
        }
    };
    let read_only = answer
        .iter()
        .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on")));
    if read_only {
        session.end().await;
        return Err(ConnectError {
            reason: Reason::State("25006".to_owned()),
            why: "it takes no writes".to_owned(),
        });
    }
    Ok(session)
}
