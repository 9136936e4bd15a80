//! What an answer of the database means: wait, ask for the password once more, or give up.

use agent::exit::Exit;
use agent::postgres::{ConnectError, Reason};

/// What to do about a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass. The words say what to look at if it does not.
    Retry(&'static str),
    /// The password may have been rotated: look it up again, once.
    Refetch(&'static str),
    /// It will not pass by itself.
    Fatal(Exit, &'static str),
}

/// | answer | meaning |
/// |---|---|
/// | no address, no connection, no answer, a handshake that fails, something that is no PostgreSQL | wait |
/// | 08, 40, 53 (53300 too many connections), 55, 57 (57P01 to 57P03 starting and stopping), 58, XX | wait |
/// | 25006, a server that takes no writes: a failover that is under way | wait |
/// | 28P01 wrong password | look it up again once, then 77 |
/// | other 28 (28000 no entry in pg_hba.conf), 42501, no way to log in | 77 |
/// | a certificate that cannot be trusted | 77 |
/// | 3D000 no such database | 65 |
/// | no TLS where it is demanded, a file of certificates that cannot be used, any other SQLSTATE | 65 |
pub fn judge(error: &ConnectError, refetched: bool) -> Verdict {
    match &error.reason {
        Reason::Name => Verdict::Retry("check ENTRYPOINT_DB_HOST and the DNS of the network"),
        Reason::Network | Reason::Timeout => Verdict::Retry(
            "check that the database runs, its host and port, and that its security group lets this task in",
        ),
        Reason::Handshake => {
            Verdict::Retry("check that the port is PostgreSQL's own, and its versions of TLS")
        }
        Reason::Protocol => Verdict::Retry("check that the port is PostgreSQL's own"),
        Reason::Certificate => Verdict::Fatal(
            Exit::Permission,
            "name the file of its authorities in ENTRYPOINT_DB_SSLROOTCERT, and connect by the name that the certificate is for",
        ),
        Reason::NoTls => Verdict::Fatal(
            Exit::Source,
            "turn TLS on in the server, or set ENTRYPOINT_DB_SSLMODE=prefer",
        ),
        Reason::Roots => Verdict::Fatal(Exit::Source, "correct ENTRYPOINT_DB_SSLROOTCERT"),
        Reason::Login => Verdict::Fatal(
            Exit::Permission,
            "set ENTRYPOINT_DB_PASSWORD; by password is the only way to log in that is supported",
        ),
        Reason::State(state) => by_state(state, &error.why, refetched),
    }
}

fn by_state(state: &str, message: &str, refetched: bool) -> Verdict {
    match (state, state.get(..2).unwrap_or_default()) {
        ("28P01", _) if !refetched => Verdict::Refetch("look its password up again"),
        ("28P01", _) => Verdict::Fatal(
            Exit::Permission,
            "correct ENTRYPOINT_DB_USER and ENTRYPOINT_DB_PASSWORD, or the parameters that they come from",
        ),
        ("28000", _) if message.contains("no encryption") => Verdict::Fatal(
            Exit::Permission,
            "the server demands TLS, or does not know this client: set ENTRYPOINT_DB_SSLMODE=require",
        ),
        ("28000", _) if message.contains("no pg_hba.conf entry") => Verdict::Fatal(
            Exit::Permission,
            "add a line for this user, database and network to the server's pg_hba.conf",
        ),
        (_, "28") => Verdict::Fatal(
            Exit::Permission,
            "correct ENTRYPOINT_DB_USER, or let this role log in",
        ),
        ("3D000", _) => Verdict::Fatal(
            Exit::Source,
            "create the database, which entrypoint never does, or correct ENTRYPOINT_DB_NAME",
        ),
        ("42501", _) => Verdict::Fatal(
            Exit::Permission,
            "grant CONNECT on the database to this role",
        ),
        ("53300", _) => Verdict::Retry(
            "raise max_connections, or lower the pools (AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE)",
        ),
        ("57P03", _) => {
            Verdict::Retry("look at the server's own log for why it takes so long to start")
        }
        ("25006", _) => {
            Verdict::Retry("connect to the writer, not to a reader, and look at the server's disk")
        }
        (_, "08" | "40" | "53" | "55" | "57" | "58" | "XX") => {
            Verdict::Retry("look at the server's own log")
        }
        _ => Verdict::Fatal(Exit::Source, "correct the database's URL and its options"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: Reason, why: &str) -> ConnectError {
        ConnectError {
            reason,
            why: why.to_owned(),
        }
    }

    fn word(state: &str, why: &str, refetched: bool) -> String {
        match judge(&error(Reason::State(state.to_owned()), why), refetched) {
            Verdict::Retry(_) => "wait".to_owned(),
            Verdict::Refetch(_) => "refetch".to_owned(),
            Verdict::Fatal(exit, _) => exit.code().to_string(),
        }
    }

    #[test]
    fn each_state_has_its_meaning() {
        for (state, refetched, meaning) in [
            ("28P01", false, "refetch"),
            ("28P01", true, "77"),
            ("28000", false, "77"),
            ("42501", false, "77"),
            ("3D000", false, "65"),
            ("42704", false, "65"),
            ("22023", false, "65"),
            ("53300", false, "wait"),
            ("53200", true, "wait"),
            ("57P01", false, "wait"),
            ("57P02", false, "wait"),
            ("57P03", false, "wait"),
            ("08P01", false, "wait"),
            ("08006", false, "wait"),
            ("25006", false, "wait"),
            ("40001", false, "wait"),
            ("55000", false, "wait"),
            ("58030", false, "wait"),
            ("XX000", false, "wait"),
            ("", false, "65"),
        ] {
            assert_eq!(word(state, "x", refetched), meaning, "{state}");
        }
    }

    #[test]
    fn what_is_no_answer_has_its_meaning_too() {
        for (reason, exit) in [
            (Reason::Name, None),
            (Reason::Network, None),
            (Reason::Timeout, None),
            (Reason::Handshake, None),
            (Reason::Protocol, None),
            (Reason::Certificate, Some(77)),
            (Reason::Login, Some(77)),
            (Reason::NoTls, Some(65)),
            (Reason::Roots, Some(65)),
        ] {
            let found = match judge(&error(reason.clone(), "x"), false) {
                Verdict::Fatal(exit, _) => Some(exit.code()),
                _ => None,
            };
            assert_eq!(found, exit, "{reason:?}");
        }
    }

    #[test]
    fn a_server_that_demands_tls_is_told_from_one_that_does_not_know_the_client() {
        let fix = |why| match judge(&error(Reason::State("28000".to_owned()), why), false) {
            Verdict::Fatal(_, fix) => fix,
            other => panic!("{other:?}"),
        };
        assert!(fix("no pg_hba.conf entry for host \"1\", no encryption").contains("SSLMODE"));
        assert!(fix("no pg_hba.conf entry for host \"1\", SSL encryption").contains("pg_hba"));
    }
}
