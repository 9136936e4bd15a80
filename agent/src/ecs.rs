//! What the ECS agent offers a task by HTTP: protection against scale-in and deployments, and what the
//! task was started from.
//!
//! `PUT $ECS_AGENT_URI/task-protection/v1/state` with `{"ProtectionEnabled":true,"ExpiresInMinutes":N}`;
//! the agent answers with `protection`, or `failure` where ECS refused (in a 200 too), or `error`.

use std::fmt;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::http;
use crate::settings::Environment;

const PATH: &str = "/task-protection/v1/state";

/// The longest lease that ECS takes.
pub const LONGEST: Duration = Duration::from_secs(2_880 * 60);

/// The endpoint of this task's protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskProtection {
    authority: String,
    path: String,
}

/// Why protection was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// ECS refuses, for a reason such as `DEPLOYMENT_BLOCKED` or `TASK_NOT_VALID`.
    Refused(String),
    /// The call failed, or nobody answered: protection is as it was or as it was asked for.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(formatter, "ECS refused: {reason}"),
            Self::Failed(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for Refusal {}

/// What a task was started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its family.
    pub family: String,
    /// Its revision within the family.
    pub revision: String,
}

impl TaskProtection {
    /// The endpoint; none outside ECS.
    ///
    /// # Errors
    /// `ECS_AGENT_URI` is no `http://` address.
    pub fn of(environment: &Environment) -> Result<Option<Self>, String> {
        let Some(uri) = environment.value("ECS_AGENT_URI") else {
            return Ok(None);
        };
        match place(uri) {
            Some((authority, base)) => Ok(Some(Self {
                authority,
                path: format!("{base}{PATH}"),
            })),
            None => Err(format!("ECS_AGENT_URI '{uri}' is no http:// address")),
        }
    }

    /// Asks for protection for as long as `lease`, in whole minutes within what ECS takes. Until when it
    /// was granted, where the answer says so.
    ///
    /// # Errors
    /// Why it is not, within `limit`.
    pub async fn protect(
        &self,
        lease: Duration,
        limit: Duration,
    ) -> Result<Option<OffsetDateTime>, Refusal> {
        match self.put(&enabled(lease), limit).await? {
            granted if granted.protection_enabled => Ok(granted
                .expiration_date
                .and_then(|date| OffsetDateTime::parse(&date, &Rfc3339).ok())),
            _ => Err(Refusal::Failed(
                "the ECS agent took the request and grants nothing".to_owned(),
            )),
        }
    }

    /// Gives protection back.
    ///
    /// # Errors
    /// Why it is not, within `limit`.
    pub async fn release(&self, limit: Duration) -> Result<(), Refusal> {
        match self.put(r#"{"ProtectionEnabled":false}"#, limit).await? {
            granted if !granted.protection_enabled => Ok(()),
            _ => Err(Refusal::Failed(
                "the ECS agent took the request and protects on".to_owned(),
            )),
        }
    }

    async fn put(&self, body: &str, limit: Duration) -> Result<Granted, Refusal> {
        let body = Some(body.to_owned());
        let answer = http::request(Method::PUT, &self.authority, &self.path, body, limit).await;
        let answer = answer.map_err(Refusal::Failed)?;
        judge(answer.status, &answer.body)
    }
}

/// What this task was started from, by `$ECS_CONTAINER_METADATA_URI_V4/task`.
///
/// # Errors
/// One line: there is no such address, no answer within `limit`, or none that says it.
pub async fn task_definition(
    environment: &Environment,
    limit: Duration,
) -> Result<TaskDefinition, String> {
    let name = "ECS_CONTAINER_METADATA_URI_V4";
    let uri = environment
        .value(name)
        .ok_or_else(|| format!("there is no {name}"))?;
    let (authority, base) =
        place(uri).ok_or_else(|| format!("{name} '{uri}' is no http:// address"))?;
    let path = format!("{base}/task");
    let answer = http::request(Method::GET, &authority, &path, None, limit).await?;
    match serde_json::from_slice::<Task>(&answer.body) {
        Ok(task) if answer.status == 200 => Ok(TaskDefinition {
            family: task.family,
            revision: task.revision,
        }),
        _ => Err(format!(
            "the task's metadata was answered with {} and no family and revision",
            answer.status
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    family: String,
    revision: String,
}

#[derive(Deserialize)]
struct Answer {
    protection: Option<Granted>,
    failure: Option<Failure>,
    error: Option<Error>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    protection_enabled: bool,
    expiration_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

/// Authority and path of an `http://` address.
fn place(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() {
        return None;
    }
    let base = match path.trim_end_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    };
    Some((authority.to_owned(), base))
}

fn enabled(lease: Duration) -> String {
    let minutes = lease.min(LONGEST).as_secs().div_ceil(60).max(1);
    format!(r#"{{"ProtectionEnabled":true,"ExpiresInMinutes":{minutes}}}"#)
}

fn judge(status: u16, body: &[u8]) -> Result<Granted, Refusal> {
    let unknown = || Refusal::Failed(format!("the ECS agent answered {status}"));
    let answer: Answer = serde_json::from_slice(body).map_err(|_| unknown())?;
    if let Some(failure) = answer.failure {
        return Err(Refusal::Refused(failure.reason.unwrap_or_default()));
    }
    if let Some(error) = answer.error {
        let (code, message) = (error.code.unwrap_or_default(), error.message);
        let message = message.unwrap_or_default();
        return Err(Refusal::Failed(format!(
            "the ECS agent answered {status} {code}: {message}"
        )));
    }
    answer.protection.ok_or_else(unknown)
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
        let expected = Granted {
            protection_enabled: true,
            expiration_date: Some("2026-01-02T03:04:05Z".to_owned()),
        };
        assert_eq!(judge(200, granted.as_bytes()), Ok(expected));
        let refused = r#"{"failure":{"Arn":"arn","Detail":null,"Reason":"DEPLOYMENT_BLOCKED"}}"#;
        let error = r#"{"requestID":"1","error":{"Arn":"arn","Code":"AccessDeniedException","Message":"no"}}"#;
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
            let refusal = judge(status, body.as_bytes()).unwrap_err();
            assert_eq!(refusal.to_string(), why);
        }
    }

    #[test]
    fn the_agents_address_is_taken_apart() {
        let expected = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        let known = "169.254.170.2";
        assert_eq!(
            place("http://169.254.170.2/api/0123"),
            expected(known, "/api/0123")
        );
        assert_eq!(place("http://127.0.0.1:99/"), expected("127.0.0.1:99", ""));
        for uri in ["", "https://x/y", known, "http://"] {
            assert_eq!(place(uri), None, "{uri}");
        }
    }
}
