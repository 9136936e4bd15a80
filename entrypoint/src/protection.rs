//! ECS task protection while the schema is migrated: neither a scale-in nor a deployment ends a task
//! that is protected. What can't be had is done without.

use agent::ecs::TaskProtection;
use agent::settings::Environment;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;

/// The agent is on this host; what it asks of ECS may be throttled. A migration does not wait longer.
const LIMIT: Duration = Duration::from_secs(3);

/// Protection that was asked for, until it is given back.
#[derive(Debug)]
#[must_use = "protection that is not given back holds up a deployment until it expires"]
pub struct Protection(Option<TaskProtection>);

impl Protection {
    /// Asks for protection that expires by itself after `longest`, should this process be killed.
    /// Outside ECS, and where ECS refuses or is silent, there is none, and a line in the log.
    pub async fn ask(environment: &Environment, longest: Duration) -> Self {
        let agent = match TaskProtection::of(environment) {
            Ok(Some(agent)) => agent,
            Ok(None) => {
                tracing::info!(
                    event = "unprotected",
                    "there is no ECS_AGENT_URI: the migration goes on without task protection"
                );
                return Self(None);
            }
            Err(reason) => {
                tracing::warn!(
                    event = "unprotected",
                    reason,
                    "the migration goes on without task protection"
                );
                return Self(None);
            }
        };
        match agent.protect(longest, LIMIT).await {
            Ok(until) => {
                let until = until.and_then(|until| until.format(&Rfc3339).ok());
                tracing::info!(
                    event = "protected",
                    until,
                    "this task is protected while it migrates"
                );
            }
            Err(reason) => {
                tracing::warn!(
                    event = "unprotected",
                    %reason,
                    "the migration goes on without task protection"
                );
            }
        }
        // Given back also where the answer was lost: it may have been granted.
        Self(Some(agent))
    }

    /// Gives it back.
    pub async fn give_back(self) {
        let Some(agent) = self.0 else { return };
        match agent.release(LIMIT).await {
            Ok(()) => tracing::debug!(
                event = "protection_given_back",
                "this task is no longer protected"
            ),
            Err(reason) => {
                tracing::warn!(
                    event = "protection_kept",
                    %reason,
                    "task protection was not given back: it expires by itself"
                );
            }
        }
    }
}
