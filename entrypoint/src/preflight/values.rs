//! Values that would not arrive as they were stored.

use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::airflow::config::{Around, variable};
use crate::airflow::expand::{Endless, expand};
use crate::variables::Source;

/// Settings in which a `$` is more often a secret's own character than the sign of a variable.
const SECRETS: [(&str, &str); 8] = [
    ("core", "fernet_key"),
    ("webserver", "secret_key"),
    ("api", "secret_key"),
    ("api_auth", "jwt_secret"),
    ("database", "sql_alchemy_conn"),
    ("database", "sql_alchemy_conn_async"),
    ("celery", "broker_url"),
    ("celery", "result_backend"),
];

/// | a variable of Airflow's settings | |
/// |---|---|
/// | that refers to itself, so that Airflow would hang | an error |
/// | a secret that was fetched, with a `$` or `~` that Airflow replaces | an error: nobody means that |
/// | a literal one | a warning: `$DB_PASSWORD` in a URL may be meant |
/// | any other, such as `$AIRFLOW_HOME/dags` | meant |
/// | fetched, with white space around it | a warning: `file://` keeps a line's end |
pub(super) fn check(subject: &Subject<'_>, passwd: Option<&str>) -> Vec<Finding> {
    let around = Around::of(subject.variables, passwd.map(str::to_owned));
    let names = subject.variables.names();
    let settings = names.filter(|name| name.starts_with("AIRFLOW__") && !name.ends_with("_CMD"));
    settings
        .filter_map(|name| {
            let value = subject.variables.text(name)?;
            let source = subject.variables.source(name)?;
            let (level, why) = odd(name, value, source, &around)?;
            Some(Finding::new(level, name, why))
        })
        .collect()
}

fn odd(name: &str, value: &str, source: &Source, around: &Around) -> Option<(Level, String)> {
    let is_fetched = *source != Source::Literal;
    let is_secret = SECRETS
        .iter()
        .any(|(section, key)| variable(section, key) == name);
    match expand(value, around) {
        Err(Endless) => Some((
            Level::Error,
            "refers to itself by a $, which Airflow would fill in for ever: take the $ out"
                .to_owned(),
        )),
        Ok(expanded) if is_secret && expanded != value => Some(if is_fetched {
            let why = format!(
                "({source}) holds a $NAME or begins with ~, which Airflow replaces: store another value, in a URL with %24 for $ and %7E for ~"
            );
            (Level::Error, why)
        } else {
            let why = "holds a $NAME or begins with ~, which Airflow replaces: if that is not meant, give another value, in a URL with %24 for $ and %7E for ~";
            (Level::Warning, why.to_owned())
        }),
        Ok(_) if is_fetched && value.trim() != value => {
            let why = format!(
                "({source}) begins or ends with white space, maybe a line end from a file: store it without"
            );
            Some((Level::Warning, why))
        }
        Ok(_) => None,
    }
}
