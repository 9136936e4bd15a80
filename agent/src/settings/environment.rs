//! The environment as a value, so that nothing but `main` reads the process's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;

/// A set of environment variables. Names that are not UTF-8 are left out: no setting has one.
///
/// `Debug` shows how many there are and no value, since some are secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The process's own.
    pub fn from_process() -> Self {
        let pairs =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self(pairs.collect())
    }

    /// One made of `pairs`; of two with the same name the later counts.
    pub fn from_pairs<K: Into<String>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// A variable's value; none where it is unset, empty or not UTF-8.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str()
    }

    /// A variable's value as the system has it; none where it is unset or empty.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0
            .get(name)
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a variable that takes `true` has it (any case, as the AWS SDKs read theirs).
    pub fn is_true(&self, name: &str) -> bool {
        self.value(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The names of all variables, empty ones included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Environment({} variables)", self.0.len())
    }
}

/// A warning for each variable with the prefix that is not among `known`. Values are not shown.
pub(super) fn unknown(
    prefix: &str,
    known: &BTreeSet<String>,
    environment: &Environment,
) -> Vec<String> {
    let unknown = environment
        .names()
        .filter(|name| name.starts_with(prefix) && !known.contains(*name));
    unknown
        .map(
            |name| match nearest(name, known.iter().map(String::as_str)) {
                Some(nearest) => format!("{name} is not a setting, the nearest is {nearest}"),
                None => format!("{name} is not a setting"),
            },
        )
        .collect()
}

/// The candidate that is most like `word`.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = candidates.map(|candidate| {
        (
            strsim::normalized_damerau_levenshtein(word, candidate),
            candidate,
        )
    });
    scored
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
