//! Which of several values a variable gets. Pure: names only, no value is fetched before.
//!
//! | a variable has | it gets |
//! |---|---|
//! | a literal value, or a `_CMD` or `_SECRET` form of Airflow's | that |
//! | else a reference | what it refers to |
//! | else a parameter below one of `ENTRYPOINT_SSM_PATHS` | that; of several paths the last |
//! | else one below `ENTRYPOINT_PARAMETERS` | that; `env/NAME` before another that becomes NAME |
//!
//! An empty literal counts as unset.

use super::layout;
use super::reference::Reference;
use crate::airflow::version::Version;
use crate::variables::Variables;
use std::collections::{BTreeMap, BTreeSet};

/// Airflow's ways to give an option: the variable itself, a command that prints the value, a name in
/// its secrets backend.
const FORMS: [&str; 3] = ["", "_CMD", "_SECRET"];

/// Settings of this program that may come from a parameter. The others are read before.
const LATE_SETTINGS: [&str; 2] = ["ENTRYPOINT_DB_", "ENTRYPOINT_ADMIN_"];

/// The variables that refer to something, and where they do.
pub fn references(variables: &Variables) -> (BTreeMap<String, Reference>, Vec<String>) {
    let mut references = BTreeMap::new();
    let mut malformed = Vec::new();
    for name in variables.names() {
        match variables.text(name).and_then(Reference::parse) {
            Some(Ok(reference)) => {
                references.insert(name.to_owned(), reference);
            }
            Some(Err(why)) => malformed.push(format!("{name}: {why}")),
            None => {}
        }
    }
    (references, malformed)
}

/// A parameter that a variable gets its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The variable.
    pub variable: String,
    /// The parameter's whole name.
    pub parameter: String,
}

/// What was chosen among listed parameters, and what was left over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Sorted by variable, each once.
    pub chosen: Vec<Choice>,
    /// Parameters that become no variable: no valid name, not in the layout, or a setting that is read
    /// before parameters are.
    pub ignored: Vec<String>,
}

/// Chooses among the parameters below the paths, in the order of the paths. `names` are whole names.
pub fn from_paths(variables: &Variables, names: &[String]) -> Choices {
    let mut chosen = BTreeMap::new();
    let mut ignored = Vec::new();
    for parameter in names {
        let (_, variable) = parameter.rsplit_once('/').unwrap_or(("", parameter));
        if !layout::is_variable(variable) || is_early_setting(variable) {
            ignored.push(parameter.clone());
        } else if !is_given(variables, variable) {
            chosen.insert(variable.to_owned(), parameter.clone());
        }
    }
    Choices {
        chosen: sorted(chosen),
        ignored,
    }
}

/// Chooses among the parameters below the base path, after `taken` got theirs from the paths.
pub fn from_layout(
    variables: &Variables,
    taken: &[Choice],
    base: &str,
    names: &[String],
    airflow: Option<Version>,
) -> Choices {
    let taken: BTreeSet<&str> = taken
        .iter()
        .map(|choice| choice.variable.as_str())
        .collect();
    let below = |name: &String| {
        let rest = name.strip_prefix(base)?.strip_prefix('/')?;
        Some((rest.to_owned(), name.clone()))
    };
    let mut below: Vec<(String, String)> = names.iter().filter_map(below).collect();
    below.sort_by_key(|(rest, _)| !rest.starts_with("env/"));

    let free = |chosen: &BTreeMap<String, String>, variable: &str| {
        !is_given(variables, variable)
            && FORMS.iter().all(|form| {
                let name = format!("{variable}{form}");
                !taken.contains(name.as_str()) && !chosen.contains_key(&name)
            })
    };
    let mut chosen = BTreeMap::new();
    let mut ignored = Vec::new();
    for (rest, parameter) in below {
        let assignments = layout::assignments(&rest, airflow);
        let Some(assignments) =
            assignments.filter(|all| !all.iter().any(|one| is_early_setting(&one.variable)))
        else {
            ignored.push(parameter);
            continue;
        };
        for assignment in assignments {
            let others = assignment.instead.iter();
            let wanted = others.copied().all(|other| free(&chosen, other));
            if wanted && free(&chosen, &assignment.variable) {
                chosen.insert(assignment.variable, parameter.clone());
            }
        }
    }
    ignored.sort();
    Choices {
        chosen: sorted(chosen),
        ignored,
    }
}

/// Whether the task definition says what a variable is, itself or by a reference.
fn is_given(variables: &Variables, variable: &str) -> bool {
    let is_airflows = variable.starts_with("AIRFLOW__");
    let forms = if is_airflows { &FORMS[..] } else { &FORMS[..1] };
    let is_set = |form: &&str| {
        variables
            .raw(&format!("{variable}{form}"))
            .is_some_and(|value| !value.is_empty())
    };
    forms.iter().any(is_set)
}

fn is_early_setting(variable: &str) -> bool {
    variable.starts_with("ENTRYPOINT_")
        && !LATE_SETTINGS
            .iter()
            .any(|prefix| variable.starts_with(prefix))
}

fn sorted(chosen: BTreeMap<String, String>) -> Vec<Choice> {
    let choice = |(variable, parameter)| Choice {
        variable,
        parameter,
    };
    chosen.into_iter().map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONN: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn layout(
        literals: &[(&str, &str)],
        taken: &[&str],
        below: &[&str],
        airflow: Option<Version>,
    ) -> Vec<(String, String)> {
        let variables = Variables::from_pairs(literals.iter().copied());
        let taken: Vec<Choice> = taken
            .iter()
            .map(|name| Choice {
                variable: (*name).to_owned(),
                parameter: format!("/p/{name}"),
            })
            .collect();
        let below: Vec<String> = below.iter().map(|name| format!("/b/{name}")).collect();
        let choices = from_layout(&variables, &taken, "/b", &below, airflow);
        choices
            .chosen
            .into_iter()
            .map(|choice| (choice.variable, choice.parameter.replace("/b/", "")))
            .collect()
    }

    #[test]
    fn a_literal_a_command_and_a_secret_win_over_paths() {
        let fernet = "AIRFLOW__CORE__FERNET_KEY";
        for (literal, is_chosen) in [
            (("OTHER", "x"), true),
            ((fernet, "x"), false),
            ((fernet, "ssm:///x"), false),
            ((fernet, ""), true),
            (("AIRFLOW__CORE__FERNET_KEY_CMD", "cat /x"), false),
            (("AIRFLOW__CORE__FERNET_KEY_SECRET", "x"), false),
            (("AIRFLOW__CORE__FERNET_KEY_CMD", ""), true),
        ] {
            let variables = Variables::from_pairs([literal]);
            let path = from_paths(&variables, &names(&["/p/AIRFLOW__CORE__FERNET_KEY"]));
            assert_eq!(!path.chosen.is_empty(), is_chosen, "{literal:?}");
            let layout = layout(&[literal], &[], &["fernet-key"], None);
            assert_eq!(!layout.is_empty(), is_chosen, "{literal:?}");
        }
    }

    #[test]
    fn the_last_path_wins_and_what_is_no_variable_is_ignored() {
        let choices = from_paths(
            &Variables::default(),
            &names(&[
                "/a/X",
                "/a/x-y",
                "/b/X",
                "/b/Y",
                "/b/ENTRYPOINT_MIGRATE",
                "/b/ENTRYPOINT_DB_HOST",
            ]),
        );
        let chosen: Vec<(&str, &str)> = choices
            .chosen
            .iter()
            .map(|choice| (choice.variable.as_str(), choice.parameter.as_str()))
            .collect();
        assert_eq!(
            chosen,
            [
                ("ENTRYPOINT_DB_HOST", "/b/ENTRYPOINT_DB_HOST"),
                ("X", "/b/X"),
                ("Y", "/b/Y")
            ]
        );
        assert_eq!(choices.ignored, ["/a/x-y", "/b/ENTRYPOINT_MIGRATE"]);
    }

    #[test]
    fn the_layout_comes_last_and_parts_yield_to_a_connection() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let host = pair("ENTRYPOINT_DB_HOST", "db/host");
        for (literals, taken, below, expected) in [
            (&[][..], &[][..], &["db/host"][..], vec![host.clone()]),
            (
                &[("ENTRYPOINT_DB_PORT", "1")],
                &[],
                &["db/host", "db/port"],
                vec![host.clone()],
            ),
            (&[(CONN, "x")], &[], &["db/host"], vec![]),
            (
                &[("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "x")],
                &[],
                &["db/host"],
                vec![],
            ),
            (&[], &[CONN], &["db/host"], vec![]),
            (
                &[],
                &["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET"],
                &["db/host"],
                vec![],
            ),
            (&[], &["ENTRYPOINT_DB_HOST"], &["db/host"], vec![]),
            (
                &[],
                &[],
                &["db/host", "env/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
                vec![pair(CONN, "env/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")],
            ),
            (&[], &[], &["env/ENTRYPOINT_MIGRATE"], vec![]),
            (
                &[],
                &[],
                &["broker-url", "env/AIRFLOW__CELERY__BROKER_URL"],
                vec![pair(
                    "AIRFLOW__CELERY__BROKER_URL",
                    "env/AIRFLOW__CELERY__BROKER_URL",
                )],
            ),
        ] {
            assert_eq!(
                layout(literals, taken, below, None),
                expected,
                "{literals:?} {taken:?} {below:?}"
            );
        }
    }

    #[test]
    fn an_old_name_of_the_secret_key_is_enough_for_the_versions_that_read_it() {
        let old = ("AIRFLOW__WEBSERVER__SECRET_KEY", "x");
        let key = ["webserver/secret-key"];
        assert_eq!(layout(&[old], &[], &key, Some(Version::new(3, 1, 8))), []);
        assert_eq!(layout(&[], &[], &key, Some(Version::new(3, 1, 8))).len(), 1);
        assert_eq!(layout(&[], &[], &key, None).len(), 2);
        assert_eq!(layout(&[old], &[], &key, None).len(), 1);
    }

    proptest! {
        #[test]
        fn no_variable_that_is_given_is_ever_chosen(
            literals in prop::collection::vec(("[A-C]{1,2}", "[xy]{0,1}"), 0..6),
            paths in prop::collection::vec("/[ab]/[A-C]{1,2}", 0..8),
            below in prop::collection::vec("/b/env/[A-C]{1,2}", 0..8),
        ) {
            let variables = Variables::from_pairs(literals);
            let first = from_paths(&variables, &paths);
            let second = from_layout(&variables, &first.chosen, "/b", &below, None);
            let mut seen = BTreeSet::new();
            for choice in first.chosen.iter().chain(&second.chosen) {
                prop_assert!(variables.text(&choice.variable).is_none());
                let ending = format!("/{}", choice.variable);
                prop_assert!(choice.parameter.ends_with(&ending));
                prop_assert!(seen.insert(choice.variable.clone()));
            }
            for parameter in paths.iter().chain(&below) {
                let variable = parameter.rsplit('/').next().unwrap();
                prop_assert!(seen.contains(variable) || variables.text(variable).is_some());
            }
        }
    }
}
