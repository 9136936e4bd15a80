//! The environment that the service will get, with where each value came from.

use agent::settings::Environment;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// What no process but this one needs. The database's password reaches the service in its URLs.
const WITHHELD: [&str; 4] = [
    "ENTRYPOINT_DB_PASSWORD",
    "ENTRYPOINT_ADMIN_PASSWORD",
    "_AIRFLOW_WWW_USER_PASSWORD",
    "_AIRFLOW_WWW_USER_PASSWORD_CMD",
];

/// Where a variable's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The task definition, or an option.
    Literal,
    /// A parameter that the variable refers to, by its name.
    Parameter(String),
    /// A secret of Secrets Manager that the variable refers to, by its name.
    Secret(String),
    /// A parameter below one of `ENTRYPOINT_SSM_PATHS`, by its name.
    Path(String),
    /// A parameter below `ENTRYPOINT_PARAMETERS`, by its name.
    Layout(String),
    /// Made from other variables: says from which.
    Built(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal => formatter.write_str("literal"),
            Self::Parameter(name) => write!(formatter, "ssm {name}"),
            Self::Secret(name) => write!(formatter, "secretsmanager {name}"),
            Self::Path(name) => write!(formatter, "path {name}"),
            Self::Layout(name) => write!(formatter, "layout {name}"),
            Self::Built(from) => write!(formatter, "built from {from}"),
        }
    }
}

/// The variables of a process to be started. Names and values that are not UTF-8 are kept as they are.
///
/// `Debug` shows how many there are and no value, since some are secrets.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<OsString, Variable>);

#[derive(Clone)]
struct Variable {
    value: OsString,
    source: Source,
}

impl Variables {
    /// The process's own.
    pub fn from_process() -> Self {
        Self::from_pairs(std::env::vars_os())
    }

    /// Literal ones; of two with the same name the later counts.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let literal = |(name, value): (K, V)| {
            let variable = Variable {
                value: value.into(),
                source: Source::Literal,
            };
            (name.into(), variable)
        };
        Self(pairs.into_iter().map(literal).collect())
    }

    /// A variable's value; none where it is unset, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str().filter(|value| !value.is_empty())
    }

    /// A variable's value as the system has it, an empty one too.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        let variable = self.0.get(OsStr::new(name))?;
        Some(&variable.value)
    }

    /// Sets a variable, whatever it was before.
    pub fn set(&mut self, name: impl Into<String>, value: String, source: Source) {
        let variable = Variable {
            value: value.into(),
            source,
        };
        self.0.insert(name.into().into(), variable);
    }

    /// Takes a variable out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(OsStr::new(name));
    }

    /// Where a variable's value came from; none where it is unset.
    pub fn source(&self, name: &str) -> Option<&Source> {
        Some(&self.0.get(OsStr::new(name))?.source)
    }

    /// The names that are UTF-8, in order, empty variables included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str())
    }

    /// All of them, for a process to be started.
    pub fn pairs(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.0.iter();
        pairs.map(|(name, variable)| (name.as_os_str(), variable.value.as_os_str()))
    }

    /// A copy for a process to be started, without what only this program needs: its own secrets,
    /// and settings that it made from others.
    pub fn owned(&self) -> Vec<(OsString, OsString)> {
        let shown = self.0.iter().filter(|(name, variable)| {
            let made = matches!(variable.source, Source::Built(_))
                && name.as_encoded_bytes().starts_with(b"ENTRYPOINT_");
            !made
                && !WITHHELD
                    .iter()
                    .any(|withheld| name.as_os_str() == *withheld)
        });
        shown
            .map(|(name, variable)| (name.clone(), variable.value.clone()))
            .collect()
    }

    /// What the shared parts of the agents read.
    pub fn environment(&self) -> Environment {
        let named = self
            .pairs()
            .filter_map(|(name, value)| Some((name.to_str()?, value)));
        Environment::from_pairs(named)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Variables({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_not_utf_8_reaches_the_service_as_it_is() {
        let odd = OsStr::from_bytes(b"\xff");
        let variables = Variables::from_pairs([(OsStr::new("X"), odd), (odd, OsStr::new("y"))]);
        assert_eq!(variables.text("X"), None);
        assert_eq!(variables.raw("X"), Some(odd));
        assert_eq!(variables.names().collect::<Vec<_>>(), ["X"]);
        assert_eq!(variables.pairs().count(), 2);
        assert_eq!(variables.owned().len(), 2);
    }

    #[test]
    fn an_empty_value_counts_as_unset_and_stays() {
        let variables = Variables::from_pairs([("X", "")]);
        assert_eq!(variables.text("X"), None);
        assert_eq!(variables.raw("X"), Some(OsStr::new("")));
        assert_eq!(variables.source("X"), Some(&Source::Literal));
        assert_eq!(variables.source("Y"), None);
    }

    #[test]
    fn a_child_gets_all_but_what_only_this_program_needs() {
        let given = [
            ("X", "1"),
            ("ENTRYPOINT_DB_PASSWORD", "2"),
            ("ENTRYPOINT_MIGRATE", "auto"),
        ];
        let mut variables = Variables::from_pairs(given);
        let built = Source::Built("_AIRFLOW_WWW_USER_*");
        variables.set(
            "ENTRYPOINT_ADMIN_USERNAME",
            "admin".to_owned(),
            built.clone(),
        );
        variables.set("AIRFLOW__X__Y", "3".to_owned(), built);
        variables.set(
            "ENTRYPOINT_ADMIN_PASSWORD",
            "4".to_owned(),
            Source::Path("/p".to_owned()),
        );
        let owned = variables.owned();
        let names: Vec<&str> = owned.iter().filter_map(|(name, _)| name.to_str()).collect();
        assert_eq!(names, ["AIRFLOW__X__Y", "ENTRYPOINT_MIGRATE", "X"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let mut variables = Variables::from_pairs([("X", "secret")]);
        variables.set("Y", "secret".to_owned(), Source::Parameter("/y".to_owned()));
        assert_eq!(format!("{variables:?}"), "Variables(2)");
    }
}
