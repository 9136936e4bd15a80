//! Which task definition a deployment wants, by a parameter that it writes.

use agent::aws::Timeouts;
use agent::ecs::{TaskDefinition, task_definition};
use agent::settings::Environment;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::DisplayErrorContext;
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio::time::sleep;

/// Between two questions. SSM answers 40 a second to an account, and asks nothing for them.
const EVERY: Duration = Duration::from_secs(30);
/// The agent is on this host.
const LIMIT: Duration = Duration::from_secs(5);
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    read: Duration::from_secs(5),
    attempt: Duration::from_secs(10),
};

/// A parameter, and where this task can learn what it was started from.
#[derive(Clone, Debug)]
pub struct Wanted {
    parameter: String,
    environment: Environment,
}

impl Wanted {
    /// By the parameter's name.
    pub fn new(parameter: &str, environment: &Environment) -> Self {
        Self {
            parameter: parameter.to_owned(),
            environment: environment.clone(),
        }
    }

    /// Tells for ever whether another revision is wanted. What cannot be learned changes nothing.
    pub async fn follow(self, told: Sender<Option<bool>>) {
        // Somebody says it, and nobody has yet said otherwise: a refused lease means nothing.
        told.send_replace(Some(false));
        let mut trouble = Trouble::default();
        let own = loop {
            match task_definition(&self.environment, LIMIT).await {
                Ok(own) => break own,
                Err(why) => trouble.tell(&self.parameter, Some(why)),
            }
            sleep(EVERY).await;
        };
        let client = loop {
            match agent::aws::config_with(&self.environment, TIMEOUTS).await {
                Ok(config) => break Client::new(&config),
                Err(why) => trouble.tell(&self.parameter, Some(why)),
            }
            sleep(EVERY).await;
        };
        loop {
            match self.read(&client).await {
                Ok(text) => match differs(&text, &own) {
                    Some(differs) => {
                        trouble.tell(&self.parameter, None);
                        told.send_if_modified(|known| known.replace(differs) != Some(differs));
                    }
                    None => trouble.tell(
                        &self.parameter,
                        Some(
                            "its value names no revision, such as family:12, 12, or a task definition's ARN"
                                .to_owned(),
                        ),
                    ),
                },
                Err(why) => trouble.tell(&self.parameter, Some(why)),
            }
            if told.is_closed() {
                return;
            }
            sleep(EVERY).await;
        }
    }

    async fn read(&self, client: &Client) -> Result<String, String> {
        let asked = client.get_parameter().name(&self.parameter);
        match asked.with_decryption(true).send().await {
            Ok(answer) => answer
                .parameter
                .and_then(|parameter| parameter.value)
                .ok_or_else(|| "it has no value".to_owned()),
            Err(error) => Err(DisplayErrorContext(&error).to_string()),
        }
    }
}

/// Why the wanted revision is not known, told when it begins and when it ends.
#[derive(Default)]
struct Trouble {
    lasts: bool,
}

impl Trouble {
    fn tell(&mut self, parameter: &str, why: Option<String>) {
        let lasted = std::mem::replace(&mut self.lasts, why.is_some());
        match why {
            Some(reason) if !lasted => tracing::warn!(
                event = "revision_unknown",
                parameter,
                reason,
                "the wanted revision is not known: the worker goes on as it is"
            ),
            None if lasted => tracing::info!(
                event = "revision_known",
                parameter,
                "the wanted revision is known"
            ),
            _ => {}
        }
    }
}

/// Whether another than the own one is wanted; none where the text names none.
///
/// | text | is wanted |
/// |---|---|
/// | `12` | that revision, of the own family |
/// | `family:12` | that one |
/// | `arn:…:task-definition/family:12` | that one |
/// | anything else | nothing that can be told |
fn differs(text: &str, own: &TaskDefinition) -> Option<bool> {
    let text = text.trim();
    let name = match text.split_once(":task-definition/") {
        Some((arn, name)) if arn.starts_with("arn:") => name,
        Some(_) => return None,
        None => text,
    };
    let (family, revision) = match name.split_once(':') {
        Some((family, revision)) => (family, revision),
        None => (own.family.as_str(), name),
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let wanted = number(revision).filter(|_| !family.is_empty())?;
    Some(family != own.family || number(&own.revision) != Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_number_a_name_or_an_arn() {
        let own = TaskDefinition {
            family: "worker".to_owned(),
            revision: "12".to_owned(),
        };
        for (text, expected) in [
            ("12", Some(false)),
            (" 12\n", Some(false)),
            ("13", Some(true)),
            ("worker:12", Some(false)),
            ("worker:11", Some(true)),
            ("other:12", Some(true)),
            (
                "arn:aws:ecs:eu-west-1:123456789012:task-definition/worker:12",
                Some(false),
            ),
            (
                "arn:aws:ecs:eu-west-1:123456789012:task-definition/worker:13",
                Some(true),
            ),
            ("", None),
            ("worker", None),
            ("worker:", None),
            (":12", None),
            ("x:task-definition/worker:12", None),
            ("none yet", None),
        ] {
            assert_eq!(differs(text, &own), expected, "{text:?}");
        }
    }
}
