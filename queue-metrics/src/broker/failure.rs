//! What went wrong with the broker, and what to do about it.

use agent::exit::Exit;
use agent::redis::{ConnectError, Reason, Target};
use redis::{RedisError, ServerError};
use std::fmt;

/// Why the broker gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 69 for what may pass by itself, 65 and 77 for what will not.
    pub exit: Exit,
    /// One line, without a secret.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl Failure {
    /// From a connection that failed, or a command.
    ///
    /// | answer | exit |
    /// |---|---|
    /// | no address, no connection, no answer, a handshake that fails | 69 |
    /// | `LOADING`, `READONLY`, `MASTERDOWN`, `max number of clients`, another error | 69 |
    /// | `NOAUTH`, `WRONGPASS`, `NOPERM`, a certificate that cannot be trusted | 77 |
    /// | certificates that cannot be read, no such database, a key of a wrong type | 65 |
    pub fn new(target: &Target, error: &ConnectError) -> Self {
        let (exit, fix) = judge(error);
        let why = format!("broker {target}: {error}; {fix}");
        Self { exit, why }
    }

    /// From a command that failed as a whole.
    pub fn of(target: &Target, error: &RedisError) -> Self {
        Self::new(target, &ConnectError::from(error))
    }

    /// From the answer to one command of several, which was about `key`, where a `wanted` belongs.
    pub(super) fn answered(target: &Target, error: &ServerError, key: &str, wanted: &str) -> Self {
        if error.code() == "WRONGTYPE" {
            let why = format!(
                "broker {target}: key {key:?} is no {wanted}: another program writes to the same database, give the broker a number or --key-prefix of its own"
            );
            return Self {
                exit: Exit::Source,
                why,
            };
        }
        let error = RedisError::from(error.clone());
        let mut failure = Self::of(target, &error);
        if error.code() == Some("NOPERM") {
            failure.why = format!("{} (key {key:?})", failure.why);
        }
        failure
    }

    /// The subscription ended.
    pub fn lost(target: &Target) -> Self {
        let why = "the connection ended while listening to the workers".to_owned();
        let reason = Reason::Network;
        Self::new(target, &ConnectError { reason, why })
    }

    /// No answer within the limit of a reading as a whole.
    pub fn silent(target: &Target, limit: std::time::Duration) -> Self {
        let why = format!("no answer within {limit:?}");
        let reason = Reason::Timeout;
        Self::new(target, &ConnectError { reason, why })
    }

    /// It answers, but what it says may be behind the primary, or of a time before a failover.
    pub fn replica(target: &Target) -> Self {
        let why = "it is a replica (READONLY)".to_owned();
        let reason = Reason::Server("READONLY".to_owned());
        Self::new(target, &ConnectError { reason, why })
    }

    /// From an answer that no Redis gives.
    pub(super) fn odd(target: &Target, what: &str) -> Self {
        let why = format!("broker {target}: {what} was answered with something unknown");
        Self {
            exit: Exit::Unavailable,
            why,
        }
    }
}

fn judge(error: &ConnectError) -> (Exit, &'static str) {
    match &error.reason {
        Reason::Name => (
            Exit::Unavailable,
            "check its host and the DNS of the network",
        ),
        Reason::Network | Reason::Timeout => (
            Exit::Unavailable,
            "check that it runs, its host and port, whether it wants TLS (rediss://), and that its security group lets this task in",
        ),
        Reason::Handshake | Reason::Protocol => (
            Exit::Unavailable,
            "check its port, and whether it wants TLS (rediss://)",
        ),
        Reason::Certificate if error.why.contains("out of date") => (
            Exit::Permission,
            "renew it, or correct this machine's clock",
        ),
        Reason::Certificate => (
            Exit::Permission,
            "name the file of its authorities by --ca-file, and connect by the name that the certificate is for",
        ),
        Reason::Roots => (Exit::Source, "correct --ca-file or ssl_ca_certs in the URL"),
        Reason::Login if error.why.contains("NOPERM") => (
            Exit::Permission,
            "give its user +select +ping +info +llen +lindex +zrange +hmget +subscribe on the broker's keys and channels",
        ),
        Reason::Login => (
            Exit::Permission,
            "correct user and password in QUEUE_METRICS_BROKER_URL or AIRFLOW__CELERY__BROKER_URL",
        ),
        Reason::Server(code) => match code.as_str() {
            "LOADING" => (
                Exit::Unavailable,
                "it reads its data from disk and will answer when that is done",
            ),
            "READONLY" => (
                Exit::Unavailable,
                "it is a replica: connect to the primary's address",
            ),
            "MASTERDOWN" => (
                Exit::Unavailable,
                "it is a replica that lost its primary: connect to the primary's address",
            ),
            "ERR" if error.why.contains("DB index") => (
                Exit::Source,
                "correct the database's number in the broker's URL",
            ),
            "ERR" if error.why.contains("max number of clients") => (
                Exit::Unavailable,
                "raise its maxclients or find who holds its connections",
            ),
            _ => (Exit::Unavailable, "look at its own log"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_exit_and_its_fix() {
        let target = Target::parse("redis://:secret@h:1/0").expect("a URL");
        for (reason, why, exit, fix) in [
            (Reason::Network, "gone", 69, "rediss://"),
            (
                Reason::Login,
                "NOAUTH Authentication required",
                77,
                "user and password",
            ),
            (Reason::Login, "NOPERM no permissions", 77, "+llen"),
            (Reason::Server("LOADING".into()), "LOADING", 69, "from disk"),
            (Reason::Server("READONLY".into()), "READONLY", 69, "primary"),
            (
                Reason::Server("ERR".into()),
                "ERR max number of clients reached",
                69,
                "maxclients",
            ),
            (
                Reason::Server("ERR".into()),
                "ERR DB index is out of range",
                65,
                "number",
            ),
        ] {
            let why = why.to_owned();
            let failure = Failure::new(&target, &ConnectError { reason, why });
            assert_eq!(failure.exit.code(), exit, "{failure}");
            assert!(
                failure.why.contains(fix) && !failure.why.contains("secret"),
                "{failure}"
            );
        }
    }
}
