//! The Fernet key, tried on what the database holds encrypted.

use super::fernet::Keys;
use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::schema::message;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Newest rows of each table that are looked at: a key that was replaced opens only the newer ones.
const ROWS: usize = 10;

/// An encrypted value, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Encrypted {
    /// `connection aws_default`.
    owner: String,
    token: String,
}

/// The newest encrypted values; none where the tables are not there yet.
///
/// One round trip, without a prepared statement: a pooler may stand between.
///
/// # Errors
/// Where the server refuses, with its message.
pub(super) async fn fetch(client: &Client, schema: Option<&str>) -> Result<Vec<Encrypted>, String> {
    match client.simple_query(&query(schema)).await {
        Ok(messages) => Ok(messages.into_iter().filter_map(encrypted).collect()),
        Err(error) => {
            // The transaction is still open, and the session goes on being used.
            let _ = client.batch_execute("ROLLBACK").await;
            match error.code() {
                Some(&SqlState::UNDEFINED_TABLE) => Ok(Vec::new()),
                _ => Err(message(&error)),
            }
        }
    }
}

fn query(schema: Option<&str>) -> String {
    let schema = match schema {
        Some(schema) => format!("\"{}\".", schema.replace('"', "\"\"")),
        None => String::new(),
    };
    // A value of megabytes would cost more than it tells.
    let newest = |owner: &str, token: &str, table: &str, flag: &str| {
        format!(
            "(SELECT {owner}, {token} FROM {schema}{table} WHERE {flag} AND {token} <> '' \
             AND length({token}) < 65536 ORDER BY id DESC LIMIT {ROWS})"
        )
    };
    let connection = "'connection ' || conn_id";
    // A table that is locked for long is another's migration: not worth the wait.
    format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = '5s'; {} UNION ALL {} UNION ALL {}; ROLLBACK",
        newest(connection, "password", "connection", "is_encrypted"),
        newest(connection, "extra", "connection", "is_extra_encrypted"),
        newest("'variable ' || key", "val", "variable", "is_encrypted"),
    )
}

fn encrypted(message: SimpleQueryMessage) -> Option<Encrypted> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    Some(Encrypted {
        owner: row.get(0)?.to_owned(),
        token: row.get(1)?.to_owned(),
    })
}

/// | of the values, the keys open | |
/// |---|---|
/// | all, or there are none | nothing to say |
/// | some | a warning: an older key is missing in the list |
/// | none | an error, before new values are encrypted with a wrong key |
/// | there are values, and no key at all | an error: Airflow ends with "FERNET_KEY configuration is missing" |
pub(super) fn judge(
    subject: &Subject<'_>,
    keys: Option<&Keys>,
    rows: &[Encrypted],
) -> Option<Finding> {
    let closed: Vec<&Encrypted> = rows
        .iter()
        .filter(|row| !keys.is_some_and(|keys| keys.open(&row.token)))
        .collect();
    let (all, count, first) = (rows.len(), closed.len(), &closed.first()?.owner);
    let (level, why) = if keys.is_none() {
        (
            Level::Error,
            format!(
                "is not set and the database holds encrypted values, such as {first}: give the key that they were encrypted with"
            ),
        )
    } else if count == all {
        (
            Level::Error,
            format!(
                "is another key than the one that the database's values were encrypted with: it opens none of {all}, such as {first}, so give that key, or both with a comma between them"
            ),
        )
    } else {
        (
            Level::Warning,
            format!(
                "does not open {count} of the {all} newest encrypted values, such as {first}: add the older key after a comma and run airflow rotate-fernet-key"
            ),
        )
    };
    Some(subject.finding(level, "core", "fernet_key", &why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::airflow::config::Config;
    use crate::command::Service;
    use crate::variables::Variables;

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn a_wrong_key_is_an_error_and_an_incomplete_list_a_warning() {
        use Level::{Error, Warning};
        for (keys, tokens, level) in [
            (Some(KEY), &[][..], None),
            (Some(KEY), &[TOKEN, TOKEN], None),
            (Some(KEY), &[TOKEN, "gAAAAA"], Some(Warning)),
            (Some(OTHER), &[TOKEN, TOKEN], Some(Error)),
            (None, &[TOKEN], Some(Error)),
            (None, &[], None),
        ] {
            let (config, variables) = (Config::default(), Variables::default());
            let subject = Subject {
                service: Service::Scheduler,
                release: None,
                config: &config,
                variables: &variables,
                simple_auth_allowed: false,
            };
            let keys = keys.map(|keys| Keys::parse(keys).unwrap());
            let encrypted = |token: &&str| Encrypted {
                owner: "connection x".to_owned(),
                token: (*token).to_owned(),
            };
            let rows: Vec<Encrypted> = tokens.iter().map(encrypted).collect();
            let found = judge(&subject, keys.as_ref(), &rows);
            assert_eq!(found.as_ref().map(|found| found.level), level, "{found:?}");
            let told = found.is_none_or(|found| {
                found.why.contains("connection x") && !found.why.contains(TOKEN)
            });
            assert!(told);
        }
    }

    #[test]
    fn a_schema_of_ones_own_is_quoted() {
        assert!(query(Some("a\"b")).contains("FROM \"a\"\"b\".connection"));
        assert!(query(None).contains("FROM variable"));
    }
}
