//! What went wrong with the database, and what to do about it.

use crate::broker::Failure;
use agent::exit::Exit;
use agent::postgres::{ConnectError, Reason, Target};

const URL: &str = "QUEUE_METRICS_DATABASE_URL or AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";

/// | answer | exit |
/// |---|---|
/// | no address, no connection, no answer, a handshake that fails, something that is no PostgreSQL | 69 |
/// | any SQLSTATE that may pass: starting, stopping, too many connections, a lock, a limit of time | 69 |
/// | a wrong password, no entry in pg_hba.conf, no right to read, a certificate that cannot be trusted | 77 |
/// | no such database, no tables of Airflow's, no TLS where it is demanded, certificates that cannot be read | 65 |
pub(super) fn judge(target: &Target, error: &ConnectError) -> Failure {
    let (exit, fix) = verdict(error);
    let why = format!("database {target}: {error}; {fix}");
    Failure { exit, why }
}

fn verdict(error: &ConnectError) -> (Exit, String) {
    let (exit, fix) = match &error.reason {
        Reason::Name => (
            Exit::Unavailable,
            "check its host and the DNS of the network",
        ),
        Reason::Network | Reason::Timeout => (
            Exit::Unavailable,
            "check that it runs, its host and port, and that its security group lets this task in",
        ),
        Reason::Handshake | Reason::Protocol => (
            Exit::Unavailable,
            "check that the port is PostgreSQL's own, and its versions of TLS",
        ),
        Reason::Certificate if error.why.contains("out of date") => (
            Exit::Permission,
            "renew it, or correct this machine's clock",
        ),
        Reason::Certificate => (
            Exit::Permission,
            "name the file of its authorities by sslrootcert in the URL, and connect by the name that the certificate is for",
        ),
        Reason::NoTls => (
            Exit::Source,
            "turn TLS on in the server, or write sslmode=prefer in the URL",
        ),
        Reason::Roots => (Exit::Source, "correct sslrootcert in the URL"),
        Reason::Login => return (Exit::Permission, format!("write a password into {URL}")),
        Reason::State(state) => return by_state(state, &error.why),
    };
    (exit, fix.to_owned())
}

fn by_state(state: &str, message: &str) -> (Exit, String) {
    let (exit, fix) = match (state, state.get(..2).unwrap_or_default()) {
        ("28000", _) if message.contains("no encryption") => (
            Exit::Permission,
            "the server demands TLS, or does not know this client: write sslmode=require in the URL",
        ),
        ("28000", _) if message.contains("no pg_hba.conf entry") => (
            Exit::Permission,
            "add a line for this user, database and network to the server's pg_hba.conf",
        ),
        (_, "28") => {
            return (
                Exit::Permission,
                format!("correct user and password in {URL}"),
            );
        }
        ("42501", _) => (
            Exit::Permission,
            "grant CONNECT on the database and SELECT on task_instance to this role",
        ),
        ("3D000", _) => {
            return (
                Exit::Source,
                format!("correct the database's name in {URL}"),
            );
        }
        ("42P01", _) => (
            Exit::Source,
            "it has no tables of Airflow's, or not in this role's search_path: migrate it, or write options=-csearch_path=SCHEMA in the URL",
        ),
        ("53300", _) => (
            Exit::Unavailable,
            "raise max_connections, or lower Airflow's pools",
        ),
        ("57014", _) => (
            Exit::Unavailable,
            "see what else it is busy with, and whether task_instance has its index on state",
        ),
        _ => (Exit::Unavailable, "look at the server's own log"),
    };
    (exit, fix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_exit_and_its_fix() {
        let target = Target::parse("postgresql://u:secret@h/airflow").expect("a URL");
        let state = |state: &str| Reason::State(state.to_owned());
        for (reason, why, exit, fix) in [
            (Reason::Name, "", 69, "DNS"),
            (Reason::Network, "", 69, "security group"),
            (Reason::Timeout, "", 69, "security group"),
            (Reason::Handshake, "", 69, "TLS"),
            (Reason::Protocol, "", 69, "port"),
            (Reason::Certificate, "", 77, "sslrootcert"),
            (Reason::NoTls, "", 65, "sslmode=prefer"),
            (Reason::Roots, "", 65, "sslrootcert"),
            (Reason::Login, "", 77, "password"),
            (
                state("28P01"),
                "password authentication failed",
                77,
                "password",
            ),
            (
                state("28000"),
                "no pg_hba.conf entry, no encryption",
                77,
                "sslmode",
            ),
            (
                state("28000"),
                "no pg_hba.conf entry, SSL encryption",
                77,
                "pg_hba",
            ),
            (state("42501"), "permission denied", 77, "SELECT"),
            (state("3D000"), "no such database", 65, "name"),
            (state("42P01"), "no such relation", 65, "migrate"),
            (state("53300"), "too many", 69, "max_connections"),
            (state("57014"), "canceling statement", 69, "index"),
            (state("57P03"), "starting up", 69, "log"),
        ] {
            let why = why.to_owned();
            let failure = judge(&target, &ConnectError { reason, why });
            assert_eq!(failure.exit.code(), exit, "{failure}");
            assert!(
                failure.why.contains(fix) && !failure.why.contains("secret"),
                "{failure}"
            );
        }
    }
}
