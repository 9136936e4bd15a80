//! What Airflow would make of a fetched value: it expands `$NAME`, `${NAME}` and a leading `~` in each
//! `AIRFLOW__…` variable, again and again until nothing changes (`expand_env_var` in
//! `airflow/configuration.py`, 2.8 to 3.3). No escape exists, since what an escape gives would be
//! expanded too.
//!
//! | variable | what is done |
//! |---|---|
//! | a URL (database, broker, result backend) | `$` in user, password and query is written `%24`, which means the same |
//! | another secret | refused when the expansion would change it |
//! | any other, such as a folder | nothing: `$AIRFLOW_HOME/dags` is meant so |
//! | not `AIRFLOW__…` | nothing: it is not expanded |

use crate::airflow::expand::{self, Surroundings};

/// The variables whose values are URLs that SQLAlchemy or kombu read, both of which decode `%24`.
const URLS: [&str; 5] = [
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
];

/// How the names of secret options end: those marked `sensitive` in Airflow's `config.yml`, 2.8 to 3.3,
/// and what providers add.
const SECRET_ENDINGS: [&str; 12] = [
    "_CONN",
    "_CONN_ASYNC",
    "_URL",
    "_BACKEND",
    "_KEY",
    "_KEYS",
    "_SECRET",
    "_PASSWORD",
    "_TOKEN",
    "_AUTH",
    "_DSN",
    "_KWARGS",
];

/// What Airflow would do to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// `$NAME` of a variable that is set.
    Variable,
    /// `~` at the beginning.
    Home,
}

/// The value for a variable so that Airflow reads what was fetched.
///
/// # Errors
/// What Airflow would do to a secret, where nothing can be done about it.
pub fn protect(
    variable: &str,
    value: String,
    is_set: impl Fn(&str) -> bool,
    is_user: impl Fn(&str) -> bool,
) -> Result<String, Expansion> {
    let value = match URLS.contains(&variable) {
        true => encoded(&value),
        false => value,
    };
    let is_secret = variable.starts_with("AIRFLOW__")
        && SECRET_ENDINGS
            .iter()
            .any(|ending| variable.ends_with(ending));
    match expansion(&value, is_set, is_user) {
        Some(expansion) if is_secret => Err(expansion),
        _ => Ok(value),
    }
}

/// Whether Airflow would read something else than what stands in an `AIRFLOW__…` variable: a name that
/// is not set, or not a user's, stays as it is.
pub fn expansion(
    value: &str,
    is_set: impl Fn(&str) -> bool,
    is_user: impl Fn(&str) -> bool,
) -> Option<Expansion> {
    let names = Names { is_set, is_user };
    if expand::expand(value, &names).as_deref() == Ok(value) {
        return None;
    }
    Some(match value.starts_with('~') {
        true => Expansion::Home,
        false => Expansion::Variable,
    })
}

/// Each name that is known stands for something that no value holds in its place.
struct Names<S, U> {
    is_set: S,
    is_user: U,
}

impl<S: Fn(&str) -> bool, U: Fn(&str) -> bool> Surroundings for Names<S, U> {
    fn variable(&self, name: &str) -> Option<&str> {
        (self.is_set)(name).then_some("")
    }

    fn home(&self, user: Option<&str>) -> Option<String> {
        user.is_none_or(&self.is_user).then(|| "/".to_owned())
    }
}

/// A URL with `%24` for `$` where it is decoded again: before the host, and in the query. In a
/// database's name it is not decoded by SQLAlchemy.
fn encoded(url: &str) -> String {
    let query = url.rfind('?').unwrap_or(url.len());
    let host = url[..query].rfind('@').unwrap_or(0);
    let (user, rest) = url.split_at(host);
    let (path, query) = rest.split_at(query - host);
    format!(
        "{}{path}{}",
        user.replace('$', "%24"),
        query.replace('$', "%24")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_set(name: &str) -> bool {
        ["HOME", "A_1"].contains(&name)
    }

    fn is_user(name: &str) -> bool {
        name == "root"
    }

    #[test]
    fn only_what_python_would_expand_is_an_expansion() {
        use Expansion::*;
        for (value, expected) in [
            ("plain", None),
            ("a$HOME", Some(Variable)),
            ("a${HOME}b", Some(Variable)),
            ("a$A_1-", Some(Variable)),
            ("$$HOME", Some(Variable)),
            ("$HOMES", None),
            ("$UNSET", None),
            ("${HOME", None),
            ("$", None),
            ("100$", None),
            ("$é", None),
            ("~", Some(Home)),
            ("~/x", Some(Home)),
            ("~root", Some(Home)),
            ("~root/x", Some(Home)),
            ("~nobody-here", None),
            ("a~", None),
            ("", None),
        ] {
            assert_eq!(expansion(value, is_set, is_user), expected, "{value}");
        }
    }

    #[test]
    fn each_kind_of_variable_gets_its_own_rule() {
        let protect = |name: &str, value: &str| protect(name, value.to_owned(), is_set, is_user);
        let url = "AIRFLOW__CELERY__BROKER_URL";
        assert_eq!(
            protect(url, "redis://u:p$HOME@h/0?a=$HOME").as_deref(),
            Ok("redis://u:p%24HOME@h/0?a=%24HOME")
        );
        assert_eq!(protect(url, "redis://h/$HOME"), Err(Expansion::Variable));
        assert_eq!(
            protect("AIRFLOW__API_AUTH__JWT_SECRET", "a$HOME"),
            Err(Expansion::Variable)
        );
        assert_eq!(
            protect("AIRFLOW__SMTP__SMTP_PASSWORD", "~root"),
            Err(Expansion::Home)
        );
        assert_eq!(
            protect("AIRFLOW__API_AUTH__JWT_SECRET", "a$b").as_deref(),
            Ok("a$b")
        );
        assert_eq!(
            protect("AIRFLOW__CORE__DAGS_FOLDER", "$HOME/dags").as_deref(),
            Ok("$HOME/dags")
        );
        assert_eq!(
            protect("ENTRYPOINT_DB_PASSWORD", "~$HOME").as_deref(),
            Ok("~$HOME")
        );
    }

    proptest! {
        #[test]
        fn a_url_keeps_no_dollar_in_its_password(password in "[a-z$%]{0,12}", query in "[a-z$=]{0,8}") {
            let url = format!("postgresql://u:{password}@h:5432/db?{query}");
            let guarded = encoded(&url);
            prop_assert!(!guarded.contains('$'));
            prop_assert_eq!(guarded.replace("%24", "$"), url.replace("%24", "$"));
        }

        #[test]
        fn no_value_panics(value in "[$~{}/A-Za-zé ]{0,20}") {
            let _ = expansion(&value, |_| true, |_| true);
            let _ = encoded(&value);
        }
    }
}
