//! The known layout below `ENTRYPOINT_PARAMETERS`, and which variables its parameters become.

use crate::airflow::version::Version;

/// What one parameter of the layout becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The parameter's name below the base path.
    parameter: &'static str,
    variables: &'static [Target],
}

/// A variable, and the versions of Airflow that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    name: &'static str,
    from: Version,
    before: Version,
    /// Other variables that say the same to Airflow: where one is set, this one is not.
    instead: &'static [&'static str],
}

const FIRST: Version = Version::new(0, 0, 0);
const LAST: Version = Version::new(u32::MAX, 0, 0);
const THREE: Version = Version::new(3, 0, 0);

/// `[api] secret_key` came with 3.0.2; 3.0.0 and 3.0.1 read `[webserver] secret_key` only. From 3.0.2
/// on the old name is still read where the new one is not set.
const API_SECRET: Version = Version::new(3, 0, 2);

/// A connection that is there makes the parts of one useless. `[core] sql_alchemy_conn` is its name of
/// before 2.3.
const CONNECTION: &[&str] = &[
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
];

const ENTRIES: [Entry; 13] = [
    entry("db/host", &[part("ENTRYPOINT_DB_HOST")]),
    entry("db/port", &[part("ENTRYPOINT_DB_PORT")]),
    entry("db/name", &[part("ENTRYPOINT_DB_NAME")]),
    entry("db/username", &[part("ENTRYPOINT_DB_USER")]),
    entry("db/password", &[part("ENTRYPOINT_DB_PASSWORD")]),
    entry("db/sslmode", &[part("ENTRYPOINT_DB_SSLMODE")]),
    entry("broker-url", &[always("AIRFLOW__CELERY__BROKER_URL")]),
    entry("fernet-key", &[always("AIRFLOW__CORE__FERNET_KEY")]),
    entry(
        "webserver/secret-key",
        &[
            Target {
                before: API_SECRET,
                ..always("AIRFLOW__WEBSERVER__SECRET_KEY")
            },
            Target {
                from: API_SECRET,
                instead: &["AIRFLOW__WEBSERVER__SECRET_KEY"],
                ..always("AIRFLOW__API__SECRET_KEY")
            },
        ],
    ),
    entry(
        "jwt-secret",
        &[Target {
            from: THREE,
            ..always("AIRFLOW__API_AUTH__JWT_SECRET")
        }],
    ),
    entry("admin/username", &[always("ENTRYPOINT_ADMIN_USERNAME")]),
    entry("admin/password", &[always("ENTRYPOINT_ADMIN_PASSWORD")]),
    entry("admin/email", &[always("ENTRYPOINT_ADMIN_EMAIL")]),
];

const fn entry(parameter: &'static str, variables: &'static [Target]) -> Entry {
    Entry {
        parameter,
        variables,
    }
}

const fn always(name: &'static str) -> Target {
    Target {
        name,
        from: FIRST,
        before: LAST,
        instead: &[],
    }
}

const fn part(name: &'static str) -> Target {
    Target {
        instead: CONNECTION,
        ..always(name)
    }
}

/// A variable that a parameter of the layout becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub variable: String,
    /// Variables that, where one is set by something else, make this one unneeded.
    pub instead: &'static [&'static str],
}

/// The variables of the parameter `name`, given below the base path, for a version of Airflow, or for
/// any where it is not known; none where the layout has no such parameter.
///
/// | parameter | variable |
/// |---|---|
/// | `db/host` and so on | `ENTRYPOINT_DB_HOST` and so on, from which the URLs are built |
/// | `webserver/secret-key` | `AIRFLOW__WEBSERVER__SECRET_KEY` before 3.0.2, `AIRFLOW__API__SECRET_KEY` from there on |
/// | `jwt-secret` | `AIRFLOW__API_AUTH__JWT_SECRET` from 3.0 on, nothing before |
/// | `env/NAME` | `NAME` |
pub fn assignments(name: &str, airflow: Option<Version>) -> Option<Vec<Assignment>> {
    if let Some(variable) = name.strip_prefix("env/") {
        return is_variable(variable).then(|| {
            vec![Assignment {
                variable: variable.to_owned(),
                instead: &[],
            }]
        });
    }
    let entry = ENTRIES.iter().find(|entry| entry.parameter == name)?;
    let is_read = |target: &&Target| {
        airflow.is_none_or(|version| version >= target.from && version < target.before)
    };
    let targets = entry.variables.iter().filter(is_read);
    let assignments = targets.map(|target| Assignment {
        variable: target.name.to_owned(),
        // Where the version is not known both names of one secret are set.
        instead: if airflow.is_none() && target.from == API_SECRET {
            &[]
        } else {
            target.instead
        },
    });
    Some(assignments.collect())
}

/// Whether a parameter may be a variable's name: what a shell takes, so that a typing error or a
/// folder's own name does not become one.
pub fn is_variable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_with_digit = name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && !begins_with_digit && name.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(parameter: &str, airflow: Option<Version>) -> Option<Vec<String>> {
        let assignments = assignments(parameter, airflow)?;
        Some(
            assignments
                .into_iter()
                .map(|assignment| assignment.variable)
                .collect(),
        )
    }

    #[test]
    fn the_layout_becomes_what_each_version_reads() {
        let (web, api) = ("AIRFLOW__WEBSERVER__SECRET_KEY", "AIRFLOW__API__SECRET_KEY");
        let jwt = "AIRFLOW__API_AUTH__JWT_SECRET";
        for (parameter, airflow, expected) in [
            (
                "webserver/secret-key",
                Some(Version::new(2, 8, 4)),
                Some(vec![web]),
            ),
            (
                "webserver/secret-key",
                Some(Version::new(2, 11, 2)),
                Some(vec![web]),
            ),
            (
                "webserver/secret-key",
                Some(Version::new(3, 0, 1)),
                Some(vec![web]),
            ),
            (
                "webserver/secret-key",
                Some(Version::new(3, 0, 2)),
                Some(vec![api]),
            ),
            (
                "webserver/secret-key",
                Some(Version::new(3, 3, 2)),
                Some(vec![api]),
            ),
            ("webserver/secret-key", None, Some(vec![web, api])),
            ("jwt-secret", Some(Version::new(2, 11, 2)), Some(vec![])),
            ("jwt-secret", Some(Version::new(3, 0, 0)), Some(vec![jwt])),
            ("jwt-secret", None, Some(vec![jwt])),
            ("db/host", None, Some(vec!["ENTRYPOINT_DB_HOST"])),
            ("db/username", None, Some(vec!["ENTRYPOINT_DB_USER"])),
            (
                "broker-url",
                None,
                Some(vec!["AIRFLOW__CELERY__BROKER_URL"]),
            ),
            ("fernet-key", None, Some(vec!["AIRFLOW__CORE__FERNET_KEY"])),
            (
                "admin/password",
                None,
                Some(vec!["ENTRYPOINT_ADMIN_PASSWORD"]),
            ),
            ("env/MY_VAR", None, Some(vec!["MY_VAR"])),
            ("env/my-var", None, None),
            ("env/A/B", None, None),
            ("env/", None, None),
            ("env/1A", None, None),
            ("db", None, None),
            ("db/hosts", None, None),
            ("", None, None),
        ] {
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(
                variables(parameter, airflow),
                expected,
                "{parameter} {airflow:?}"
            );
        }
    }
}
