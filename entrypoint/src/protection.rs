//! ECS task protection while the schema is migrated: neither a scale-in nor a deployment ends a task
//! that is protected. What can't be had is done without.
//!
//! `PUT $ECS_AGENT_URI/task-protection/v1/state` with `{"ProtectionEnabled":true,"ExpiresInMinutes":N}`;
//! the agent answers 200 with `protection`, or `failure` where ECS refused, or `error`.

use std::time::Duration;

use agent::settings::Environment;
use hyper::Method;
use serde::Deserialize;

use crate::health::http;

/// The agent is on this host; what it asks of ECS may be throttled. A migration does not wait longer.
const LIMIT: Duration = Duration::from_secs(3);

const PATH: &str = "/task-protection/v1/state";

/// What ECS takes, in minutes.
const LONGEST: u64 = 2880;

/// Protection that was asked for, until it is given back.
#[derive(Debug)]
#[must_use = "protection that is not given back holds up a deployment until it expires"]
pub struct Protection {
    agent: Option<Agent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Agent {
    authority: String,
    path: String,
}

#[derive(Deserialize)]
struct Answer {
    protection: Option<Granted>,
    failure: Option<Refused>,
    error: Option<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    protection_enabled: bool,
    expiration_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

impl Protection {
    /// Asks for protection that expires by itself after `longest`, should this process be killed.
    /// Outside ECS, and where ECS refuses or is silent, there is none, and a line in the log.
    pub async fn ask(environment: &Environment, longest: Duration) -> Self {
        let Some(uri) = environment.value("ECS_AGENT_URI") else {
            tracing::info!(
                event = "unprotected",
                "there is no ECS_AGENT_URI: the migration goes on without task protection"
            );
            return Self { agent: None };
        };
        let agent = match Agent::parse(uri) {
            Some(agent) => agent,
            None => {
                tracing::warn!(
                    event = "unprotected",
                    "ECS_AGENT_URI is no http:// address: the migration goes on without task protection"
                );
                return Self { agent: None };
            }
        };
        match agent.put(&enabled(longest)).await {
            Ok(until) => {
                tracing::info!(
                    event = "protected",
                    until,
                    "this task is protected while it migrates"
                );
            }
            Err(reason) => {
                tracing::warn!(
                    event = "unprotected",
                    reason,
                    "the migration goes on without task protection"
                );
            }
        }
        // Given back also where the answer was lost: it may have been granted.
        Self { agent: Some(agent) }
    }

    /// Gives it back.
    pub async fn give_back(self) {
        let Some(agent) = self.agent else { return };
        match agent.put(r#"{"ProtectionEnabled":false}"#).await {
            Ok(_) => tracing::debug!(
                event = "protection_given_back",
                "this task is no longer protected"
            ),
            Err(reason) => {
                tracing::warn!(
                    event = "protection_kept",
                    reason,
                    "task protection was not given back: it expires by itself"
                );
            }
        }
    }
}

impl Agent {
    fn parse(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("http://")?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (rest, ""),
        };
        if authority.is_empty() {
            return None;
        }
        let base = match path {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Some(Self {
            authority: authority.to_owned(),
            path: format!("{base}{PATH}"),
        })
    }

    /// Until when it is granted.
    async fn put(&self, body: &str) -> Result<String, String> {
        let answer = http::request(
            Method::PUT,
            &self.authority,
            &self.path,
            Some(body.to_owned()),
            LIMIT,
        )
        .await?;
        judge(answer.status, &answer.body)
    }
}

fn enabled(longest: Duration) -> String {
    let minutes = longest.as_secs().div_ceil(60).clamp(1, LONGEST);
    format!(r#"{{"ProtectionEnabled":true,"ExpiresInMinutes":{minutes}}}"#)
}

/// The agent's answer: until when, or why not.
fn judge(status: u16, body: &[u8]) -> Result<String, String> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(format!("the ECS agent answered {status}"));
    };
    if let Some(failure) = answer.failure {
        let reason = failure.reason.unwrap_or_default();
        return Err(format!("ECS refused: {reason}"));
    }
    if let Some(error) = answer.error {
        let (code, message) = (
            error.code.unwrap_or_default(),
            error.message.unwrap_or_default(),
        );
        return Err(format!("the ECS agent answered {status} {code}: {message}"));
    }
    match answer.protection {
        Some(granted) if granted.protection_enabled => {
            Ok(granted.expiration_date.unwrap_or_default())
        }
        Some(_) => Ok(String::new()),
        None => Err(format!("the ECS agent answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_whole_minutes_within_what_ecs_takes() {
        for (seconds, minutes) in [(0, 1), (60, 1), (61, 2), (1800, 30), (1 << 40, 2880)] {
            assert_eq!(
                enabled(Duration::from_secs(seconds)),
                format!(r#"{{"ProtectionEnabled":true,"ExpiresInMinutes":{minutes}}}"#)
            );
        }
    }

    #[test]
    fn the_agents_answers_are_understood() {
        let granted = r#"{"protection":{"ExpirationDate":"2026-01-02T03:04:05Z","ProtectionEnabled":true,"TaskArn":"arn"}}"#;
        let refused = r#"{"failure":{"Arn":"arn","Detail":null,"Reason":"DEPLOYMENT_BLOCKED"}}"#;
        let error = r#"{"requestID":"1","error":{"Arn":"arn","Code":"AccessDeniedException","Message":"no"}}"#;
        assert_eq!(
            judge(200, granted.as_bytes()).unwrap(),
            "2026-01-02T03:04:05Z"
        );
        for (status, body, why) in [
            (200, refused, "ECS refused: DEPLOYMENT_BLOCKED"),
            (
                400,
                error,
                "the ECS agent answered 400 AccessDeniedException: no",
            ),
            (502, "<html>", "the ECS agent answered 502"),
            (200, "{}", "the ECS agent answered 200"),
        ] {
            assert_eq!(judge(status, body.as_bytes()).unwrap_err(), why);
        }
    }

    #[test]
    fn the_agents_address_is_taken_apart() {
        let parsed = |uri| Agent::parse(uri).map(|agent| (agent.authority, agent.path));
        let expected = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(
            parsed("http://169.254.170.2/api/0123"),
            expected("169.254.170.2", "/api/0123/task-protection/v1/state")
        );
        assert_eq!(
            parsed("http://127.0.0.1:99/"),
            expected("127.0.0.1:99", "/task-protection/v1/state")
        );
        for uri in ["", "https://x/y", "169.254.170.2", "http://"] {
            assert_eq!(parsed(uri), None, "{uri}");
        }
    }
}
