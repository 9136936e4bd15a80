//! One message for all that cannot be had, so that one look at the log mends them all.

use super::trouble::NameTrouble;
use crate::failure::Failure;
use agent::exit::Exit;
use std::collections::{BTreeMap, BTreeSet};

/// What cannot be had, and for which variables.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<(String, NameTrouble), BTreeSet<String>>);

impl Refusals {
    /// Notes that `what`, such as `ssm:///a`, cannot be had for a variable.
    pub(super) fn add(&mut self, what: impl ToString, trouble: NameTrouble, variable: &str) {
        let variables = self.0.entry((what.to_string(), trouble)).or_default();
        variables.insert(variable.to_owned());
    }

    /// The end of the run, if anything was noted.
    pub(super) fn conclude(self) -> Result<(), Failure> {
        let exit = self.0.keys().map(|(_, trouble)| trouble.exit()).max();
        match exit {
            Some(exit) => Err(Failure::new(exit, self.message())),
            None => Ok(()),
        }
    }

    fn message(&self) -> String {
        let mut parts = Vec::new();
        let missing = self.list(|trouble| matches!(trouble, NameTrouble::Missing).then_some(""));
        if let Some((names, _)) = missing {
            parts.push(format!(
                "missing: {names}; create them, or correct the names"
            ));
        }
        for ((what, trouble), variables) in &self.0 {
            if let NameTrouble::Unusable(why) = trouble {
                parts.push(format!("unusable: {what} for {}: {why}", joined(variables)));
            }
        }
        let denied = self.list(|trouble| match trouble {
            NameTrouble::Denied(said) => Some(said),
            _ => None,
        });
        if let Some((names, said)) = denied {
            let actions = self.actions();
            parts.push(format!(
                "permission denied: {names}; grant the task role {actions} on them ({said})"
            ));
        }
        let keys = self.list(|trouble| match trouble {
            NameTrouble::Key(said) => Some(said),
            _ => None,
        });
        if let Some((names, said)) = keys {
            parts.push(format!(
                "KMS denied: {names}; grant the task role kms:Decrypt on their key, in its policy and in the \
                 key's, and see that the key is enabled ({said})"
            ));
        }
        parts.join("; ")
    }

    /// The names that have a trouble of one kind, and the first thing that was said about one.
    fn list<'a>(
        &'a self,
        of: impl Fn(&'a NameTrouble) -> Option<&'a str>,
    ) -> Option<(String, &'a str)> {
        let mut names = Vec::new();
        let mut first = None;
        for ((what, trouble), variables) in &self.0 {
            if let Some(said) = of(trouble) {
                first.get_or_insert(said);
                names.push(format!("{what} for {}", joined(variables)));
            }
        }
        Some((names.join(", "), first?))
    }

    fn actions(&self) -> String {
        let mut actions = BTreeSet::new();
        let is_denied =
            |(_, trouble): &&(String, NameTrouble)| matches!(trouble, NameTrouble::Denied(_));
        for (what, _) in self.0.keys().filter(is_denied) {
            match what.split_once("://") {
                Some(("secretsmanager", _)) => {
                    actions.extend(["ssm:GetParameters", "secretsmanager:GetSecretValue"]);
                }
                Some(_) => {
                    actions.insert("ssm:GetParameters");
                }
                None => {
                    actions.insert("ssm:GetParametersByPath");
                }
            }
        }
        actions.into_iter().collect::<Vec<_>>().join(" and ")
    }
}

/// A failure of settings that were read before anything was fetched.
pub(super) fn malformed(reasons: &[String]) -> Failure {
    Failure::new(Exit::Usage, reasons.join("; "))
}

fn joined(variables: &BTreeSet<String>) -> String {
    variables
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_names_all_and_the_highest_code_wins() {
        let mut refusals = Refusals::default();
        assert!(Refusals::default().conclude().is_ok());
        refusals.add("ssm:///a", NameTrouble::Missing, "Y");
        refusals.add("ssm:///a", NameTrouble::Missing, "X");
        refusals.add(
            "ssm:///b",
            NameTrouble::Unusable("it has no key k".into()),
            "Z",
        );
        let failure = Refusals(refusals.0.clone()).conclude().unwrap_err();
        assert_eq!(failure.exit, Exit::Source);
        refusals.add(
            "ssm:///c",
            NameTrouble::Denied("AccessDeniedException: no".into()),
            "C",
        );
        refusals.add(
            "secretsmanager://s",
            NameTrouble::Denied("AccessDeniedException: no".into()),
            "S",
        );
        refusals.add("ssm:///d", NameTrouble::Key("kms:Decrypt".into()), "D");
        let failure = refusals.conclude().unwrap_err();
        assert_eq!(failure.exit, Exit::Permission);
        assert_eq!(
            failure.why,
            "missing: ssm:///a for X and Y; create them, or correct the names; \
             unusable: ssm:///b for Z: it has no key k; \
             permission denied: secretsmanager://s for S, ssm:///c for C; grant the task role \
             secretsmanager:GetSecretValue and ssm:GetParameters on them (AccessDeniedException: no); \
             KMS denied: ssm:///d for D; grant the task role kms:Decrypt on their key, in its policy and \
             in the key's, and see that the key is enabled (kms:Decrypt)"
        );
    }
}
