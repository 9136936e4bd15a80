//! The broker: waiting for it, and whether a worker answers on it.

use crate::airflow::config::Config;
use crate::command::Service;
use crate::failure::Failure;
use crate::tries::{SHORTEST_TRY, Tries};
use agent::exit::Exit;
use agent::redis::{ConnectError, Pidbox, Reason, Target, UrlError, connect};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a service needs the broker: a Celery worker and flower, and a scheduler that sends tasks to
/// Celery.
pub fn is_needed(service: Service, config: &Config) -> bool {
    match service {
        Service::CeleryWorker | Service::CeleryFlower => true,
        Service::Scheduler => config
            .text("core", "executor")
            .is_some_and(|executor| executor.contains("Celery")),
        _ => false,
    }
}

/// Waits until the broker lets in, at least for one try where the deadline has passed. One that is no
/// Redis is not waited for, which is said once.
///
/// # Errors
/// 69 at the deadline; 65 or 77 for what will not pass by itself.
pub async fn wait(url: &str, deadline: Instant) -> Result<(), Failure> {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(UrlError::Unsupported(scheme)) => {
            tracing::warn!(
                event = "broker_unknown",
                scheme,
                "a broker of this kind is not waited for"
            );
            return Ok(());
        }
        Err(UrlError::Malformed(why)) => {
            let why = format!("AIRFLOW__CELERY__BROKER_URL cannot be used: {why}");
            return Err(Failure::new(Exit::Source, why));
        }
    };
    let mut tries = Tries::<Reason>::until(deadline);
    loop {
        let error = match connect(&target, tries.next_limit()).await {
            Ok(_) => {
                if tries.has_told() {
                    tracing::info!(
                        event = "broker_available",
                        broker = %target,
                        tries = tries.count(),
                        seconds = tries.elapsed().as_secs_f64(),
                        "the broker lets in"
                    );
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let (fatal, fix) = judge(&error);
        if let Some(exit) = fatal {
            let why = format!("broker {target} cannot be used: {error}; {fix}");
            return Err(Failure::new(exit, why));
        }
        if tries.is_news(&error.reason) {
            tracing::warn!(
                event = "broker_unavailable",
                broker = %target,
                reason = %error,
                tries = tries.count(),
                "waiting for the broker"
            );
        }
        if let Err(waited) = tries.pause().await {
            let why = format!("broker {target} did not let in within {waited}: {error}; {fix}");
            return Err(Failure::new(Exit::Unavailable, why));
        }
    }
}

/// | answer | meaning |
/// |---|---|
/// | no address, no connection, no answer, a handshake that fails, LOADING and every other error | wait |
/// | NOAUTH, WRONGPASS, NOPERM | 77 |
/// | a certificate that cannot be trusted | 77 |
/// | a file of certificates that cannot be used, a database's number that Redis does not have | 65 |
fn judge(error: &ConnectError) -> (Option<Exit>, &'static str) {
    match &error.reason {
        Reason::Name => (None, "check its host and the DNS of the network"),
        Reason::Network | Reason::Timeout => (
            None,
            "check that it runs, its host and port, whether it wants TLS (rediss://), and that its security group lets this task in",
        ),
        Reason::Handshake | Reason::Protocol => {
            (None, "check its port, and whether it wants TLS (rediss://)")
        }
        Reason::Certificate => (
            Some(Exit::Permission),
            "name the file of its authorities by ssl_ca_certs in the URL, and connect by the name that the certificate is for",
        ),
        Reason::Roots => (Some(Exit::Source), "correct ssl_ca_certs in the URL"),
        Reason::Login => (
            Some(Exit::Permission),
            "correct user and password in AIRFLOW__CELERY__BROKER_URL",
        ),
        Reason::Server(code) if code == "ERR" && error.why.contains("DB index") => (
            Some(Exit::Source),
            "correct the database's number in AIRFLOW__CELERY__BROKER_URL",
        ),
        Reason::Server(_) => (None, "look at its own log, its memory and its maxclients"),
    }
}

/// Whether a worker, `celery@HOST`, answers on the broker within `limit`: some milliseconds, where
/// Celery's own command takes six seconds of CPU. No other worker is asked.
///
/// # Errors
/// One line where the broker itself is away.
pub async fn worker_answers(url: &str, node: &str, limit: Duration) -> Result<bool, String> {
    worker_answers_under("", url, node, limit).await
}

/// The same where the broker's keys have a prefix (`global_keyprefix`).
///
/// # Errors
/// As [`worker_answers`].
pub async fn worker_answers_under(
    prefix: &str,
    url: &str,
    node: &str,
    limit: Duration,
) -> Result<bool, String> {
    let target = Target::parse(url).map_err(|error| error.to_string())?;
    let away = |error: ConnectError| format!("broker {target} is away: {error}");
    let mut connection = connect(&target, limit).await.map_err(away)?;
    // The answer may take the whole limit, and what is asked of Redis itself some more.
    connection.set_response_timeout(limit + SHORTEST_TRY);
    let pidbox = Pidbox {
        prefix: prefix.to_owned(),
        database: target.database,
    };
    let unique = format!("trimtab-{:016x}", fastrand::u64(..));
    let arguments = serde_json::json!({});
    let answer = pidbox
        .ask(&mut connection, node, "ping", arguments, limit, &unique)
        .await
        .map_err(|error| away(ConnectError::from(&error)))?;
    Ok(answer.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::Variables;

    #[test]
    fn only_what_talks_to_celery_needs_the_broker() {
        let config = |executor| {
            let variables = Variables::from_pairs([("AIRFLOW__CORE__EXECUTOR", executor)]);
            Config::from_parts(&variables, "")
        };
        for (service, executor, needed) in [
            (Service::CeleryWorker, "CeleryExecutor", true),
            (Service::CeleryFlower, "CeleryExecutor", true),
            (Service::Scheduler, "CeleryExecutor", true),
            (Service::Scheduler, "LocalExecutor,CeleryExecutor", true),
            (Service::Scheduler, "LocalExecutor", false),
            (Service::ApiServer, "CeleryExecutor", false),
            (Service::Triggerer, "CeleryExecutor", false),
        ] {
            assert_eq!(is_needed(service, &config(executor)), needed, "{service}");
        }
    }
}
