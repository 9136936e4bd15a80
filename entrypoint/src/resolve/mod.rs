//! References, paths and the known layout become variables, before anything else is done.
//!
//! [`precedence`] chooses by names, [`mod@reference`] and `value` read, `ssm` asks, `refusal` says all that
//! cannot be had at once, [`guard`] keeps Airflow from changing what was fetched. Where nothing refers
//! to AWS, no client is made.

pub mod guard;
pub mod layout;
pub mod precedence;
pub mod reference;
mod refusal;
mod ssm;
mod trouble;
mod value;

use crate::airflow::version::Version;
use crate::database;
use crate::failure::Failure;
use crate::settings::{ParameterSettings, Settings};
use crate::variables::{Source, Variables};
use guard::Expansion;
use reference::{Reference, Store};
use refusal::Refusals;
use ssm::{Answers, Ssm};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use tracing::warn;
use trouble::NameTrouble;
use value::Fetched;

/// What the database's password may stand in, beside the parts; it changes together with them.
const URLS: [&str; 4] = [
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CELERY__RESULT_BACKEND",
];

/// What was fetched.
#[derive(Debug, Default)]
pub struct Resolved {
    /// How many variables got a value.
    pub variables: usize,
    /// How many calls it took, those that were tried again included; 0 where nothing refers to AWS.
    pub calls: usize,
    /// The variables as they were given, where one of the database's was fetched.
    before: Option<Variables>,
}

/// Gives each variable its value, in place. A deadline that has passed allows each call one try.
///
/// # Errors
/// One message for all that is wrong: a reference that is none (64), a parameter that is missing or
/// cannot be used (65), SSM that throttles or does not answer until the deadline, or credentials that
/// stay expired (69), no permission or no credentials (77). Of several the highest code counts.
pub async fn resolve(
    settings: &Settings,
    airflow: Option<&Version>,
    variables: &mut Variables,
    deadline: Instant,
) -> Result<Resolved, Failure> {
    let plan = Plan {
        parameters: settings.parameters.clone(),
        airflow: airflow.copied(),
        is_wanted: |_| true,
        is_told: true,
    };
    let before = variables.clone();
    let mut ssm = Ssm::new(variables.environment(), deadline);
    // In a box, as the SDK's futures are large: what holds this one for the container's life is not.
    let found = Box::pin(plan.fetch(&before, &mut ssm)).await?;

    let is_databases = |found: &Found| is_databases(&found.variable);
    let resolved = Resolved {
        variables: found.len(),
        calls: ssm.calls(),
        before: found.iter().any(is_databases).then_some(before),
    };
    for Found {
        variable,
        source,
        value,
    } in found
    {
        variables.set(variable, value, source);
    }
    Ok(resolved)
}

/// Fetches what the database's connection is made of once more, after Postgres refused the password:
/// it may have been changed since. Says whether anything is different; then the URLs are to be built
/// again.
///
/// # Errors
/// As [`resolve`].
pub async fn refetch(
    settings: &Settings,
    airflow: Option<&Version>,
    resolved: &Resolved,
    variables: &mut Variables,
    deadline: Instant,
) -> Result<bool, Failure> {
    let Some(before) = &resolved.before else {
        return Ok(false);
    };
    let plan = Plan {
        parameters: settings.parameters.clone(),
        airflow: airflow.copied(),
        is_wanted: is_databases,
        is_told: false,
    };
    let mut ssm = Ssm::new(before.environment(), deadline);
    let mut is_different = false;
    for Found {
        variable,
        source,
        value,
    } in plan.fetch(before, &mut ssm).await?
    {
        if variables.text(&variable) != Some(&value) {
            variables.set(variable, value, source);
            is_different = true;
        }
    }
    Ok(is_different)
}

fn is_databases(variable: &str) -> bool {
    database::PARTS.contains(&variable) || URLS.contains(&variable)
}

/// What to look for.
struct Plan {
    parameters: ParameterSettings,
    airflow: Option<Version>,
    /// The variables that matter.
    is_wanted: fn(&str) -> bool,
    /// Whether what is listed and not used is said: the first time.
    is_told: bool,
}

/// A variable with its value.
struct Found {
    variable: String,
    source: Source,
    value: String,
}

/// A variable whose value is not known yet.
struct Pending {
    variable: String,
    source: Source,
    reference: Reference,
    /// A parameter was followed already, so that this one is the last.
    is_last: bool,
}

impl Plan {
    async fn fetch(&self, variables: &Variables, ssm: &mut Ssm) -> Result<Vec<Found>, Failure> {
        let (references, malformed) = precedence::references(variables);
        if !malformed.is_empty() {
            return Err(refusal::malformed(&malformed));
        }
        let mut refusals = Refusals::default();
        let mut found = Vec::new();
        let mut pending = Vec::new();

        for (variable, source, text) in self.listed(variables, ssm, &mut refusals).await? {
            match value::listed(text) {
                Ok(Fetched::Value(value)) => found.push(Found {
                    variable,
                    source,
                    value,
                }),
                Ok(Fetched::Reference(reference)) => pending.push(Pending {
                    variable,
                    source,
                    reference,
                    is_last: true,
                }),
                Err(trouble) => refusals.add(&source, trouble, &variable),
            }
        }
        for (variable, reference) in references {
            if (self.is_wanted)(&variable) {
                pending.push(Pending {
                    source: source(&reference),
                    variable,
                    reference,
                    is_last: false,
                });
            }
        }
        // Twice at most: what the first round leaves is the last level.
        while !pending.is_empty() {
            let requests: BTreeSet<_> = pending.iter().map(|one| one.reference.request()).collect();
            let answers = ssm.values(requests).await?;
            pending = settle(pending, &answers, &mut found, &mut refusals);
        }
        protect(variables, &mut found, &mut refusals);
        refusals.conclude()?;
        Ok(found)
    }

    /// What the paths and the layout give, each variable once.
    async fn listed(
        &self,
        variables: &Variables,
        ssm: &mut Ssm,
        refusals: &mut Refusals,
    ) -> Result<Vec<(String, Source, String)>, Failure> {
        let ParameterSettings { base, ssm_paths } = &self.parameters;
        let mut values = BTreeMap::new();
        let mut in_paths = Vec::new();
        for path in ssm_paths {
            let names = list(
                ssm,
                path,
                false,
                "ENTRYPOINT_SSM_PATHS",
                &mut values,
                refusals,
            )
            .await?;
            in_paths.extend(names);
        }
        let paths = precedence::from_paths(variables, &in_paths);
        let mut layout = precedence::Choices::default();
        if let Some(base) = base {
            let names = list(
                ssm,
                base,
                true,
                "ENTRYPOINT_PARAMETERS",
                &mut values,
                refusals,
            )
            .await?;
            layout = precedence::from_layout(variables, &paths.chosen, base, &names, self.airflow);
        }
        for (setting, ignored) in [
            ("ENTRYPOINT_SSM_PATHS", &paths.ignored),
            ("ENTRYPOINT_PARAMETERS", &layout.ignored),
        ] {
            if !ignored.is_empty() && self.is_told {
                let parameters = ignored.join(", ");
                warn!(
                    event = "parameters_ignored",
                    setting, parameters, "parameters that become no variable"
                );
            }
        }
        let sourced = |choices: precedence::Choices, source: fn(String) -> Source| {
            choices.chosen.into_iter().map(move |choice| {
                (
                    choice.variable,
                    source(choice.parameter.clone()),
                    choice.parameter,
                )
            })
        };
        let all = sourced(paths, Source::Path).chain(sourced(layout, Source::Layout));
        let wanted = all.filter(|(variable, ..)| (self.is_wanted)(variable));
        Ok(wanted
            .filter_map(|(variable, source, parameter)| {
                Some((variable, source, values.get(&parameter)?.clone()))
            })
            .collect())
    }
}

/// Lists a path, keeps the values and returns the names. A path with nothing below it is refused: it
/// is a typing error, and the service would start without what it needs.
async fn list(
    ssm: &mut Ssm,
    path: &str,
    recursive: bool,
    setting: &str,
    values: &mut BTreeMap<String, String>,
    refusals: &mut Refusals,
) -> Result<Vec<String>, Failure> {
    let listed = match ssm.below(path, recursive).await? {
        Ok(listed) if listed.is_empty() => {
            Err(NameTrouble::Unusable("no parameter is below it".to_owned()))
        }
        other => other,
    };
    let mut names = Vec::new();
    match listed {
        Ok(listed) => {
            for parameter in listed {
                names.push(parameter.name.clone());
                values.insert(parameter.name, parameter.value);
            }
        }
        Err(trouble) => refusals.add(format!("the path {path}"), trouble, setting),
    }
    Ok(names)
}

/// Takes values out of answers; what refers on is left for the next round.
fn settle(
    pending: Vec<Pending>,
    answers: &Answers,
    found: &mut Vec<Found>,
    refusals: &mut Refusals,
) -> Vec<Pending> {
    let mut next = Vec::new();
    for Pending {
        variable,
        source,
        reference,
        is_last,
    } in pending
    {
        let answer = answers.get(&reference.request()).cloned();
        let read = answer
            .unwrap_or(Err(NameTrouble::Missing))
            .and_then(|text| match is_last {
                true => value::last(&reference, text).map(Fetched::Value),
                false => value::first(&reference, text),
            });
        match read {
            Ok(Fetched::Value(value)) => found.push(Found {
                variable,
                source,
                value,
            }),
            Ok(Fetched::Reference(reference)) => next.push(Pending {
                variable,
                source,
                reference,
                is_last: true,
            }),
            Err(trouble) => refusals.add(&reference, trouble, &variable),
        }
    }
    next
}

/// Keeps Airflow from changing what was fetched.
fn protect(variables: &Variables, found: &mut [Found], refusals: &mut Refusals) {
    let fetched: BTreeSet<String> = found.iter().map(|found| found.variable.clone()).collect();
    let is_set = |name: &str| variables.raw(name).is_some() || fetched.contains(name);
    for Found {
        variable,
        source,
        value,
    } in found
    {
        match guard::protect(variable, std::mem::take(value), is_set, is_user) {
            Ok(protected) => *value = protected,
            Err(expansion) => {
                let what = match expansion {
                    Expansion::Variable => "a $ before the name of a variable that is set",
                    Expansion::Home => "a ~ at its beginning",
                };
                let why = format!(
                    "its value has {what}, which Airflow would replace: choose a value without"
                );
                refusals.add(&*source, NameTrouble::Unusable(why), variable);
            }
        }
    }
}

/// By the file: a static program has no name services, and Airflow's image has its users there.
fn is_user(name: &str) -> bool {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .any(|line| line.split(':').next() == Some(name))
}

fn source(reference: &Reference) -> Source {
    let name = reference.to_string();
    let (_, name) = name.split_once("://").unwrap_or(("", &name));
    match reference.store {
        Store::Parameter => Source::Parameter(name.to_owned()),
        Store::Secret => Source::Secret(name.to_owned()),
    }
}
