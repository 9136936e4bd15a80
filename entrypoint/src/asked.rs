//! Settings that only Airflow can find out: given by a command (`…_CMD`) or kept in its secrets backend
//! (`…_SECRET`). Airflow is asked once for each, which costs seconds of Python: what is waited for and
//! migrated is then what the service will use, whatever its command or its backend does.

use crate::airflow::config::variable;
use crate::failure::Failure;
use crate::schema::child::{self, Running};
use crate::supervise::Children;
use crate::variables::Variables;
use agent::exit::Exit;
use std::time::Duration;
use tokio::time::Instant;

/// What Python is given at least, however near the deadline: without compiled bytecode, on a quarter of
/// a vCPU, `airflow` takes 40 s.
const LEAST: Duration = Duration::from_secs(60);

/// The URL that Airflow finds for a setting, a database's or a broker's; with a line end where the command
/// printed one, because Airflow keeps it as a part of the value.
///
/// # Errors
/// 65 where Airflow fails or names no URL, 69 where it takes too long. Nothing of its answer is shown.
pub async fn url(
    children: &Children,
    variables: &Variables,
    (section, key): (&str, &str),
    deadline: Instant,
) -> Result<String, Failure> {
    let name = variable(section, key);
    tracing::info!(
        event = "setting_asked",
        variable = name,
        "only Airflow can find this setting out: asking airflow config get-value"
    );
    let words = ["config", "get-value", section, key];
    let fix = format!("correct {name}_CMD or {name}_SECRET, or set {name}=ssm:///NAME instead");
    let mut child = Running::asking(children, &words, variables.owned()).map_err(|error| {
        let why = format!("Airflow cannot be asked for {name}: {error}; {fix}");
        Failure::new(Exit::Source, why)
    })?;
    let limit = deadline.max(Instant::now() + LEAST);
    let Ok((outcome, answer)) = tokio::time::timeout_at(limit, child.answer()).await else {
        child.end().await;
        let why = format!("airflow config get-value {section} {key} did not answer in time; {fix}");
        return Err(Failure::new(Exit::Unavailable, why));
    };
    let how = child::describe(outcome);
    match last_url(&String::from_utf8_lossy(&answer)) {
        Some(url) if outcome.success() => Ok(url.to_owned()),
        _ => {
            let why = format!(
                "airflow config get-value {section} {key} ended with {how} and named no URL: its own output says why; {fix}"
            );
            Err(Failure::new(Exit::Source, why))
        }
    }
}

/// Airflow 3 logs to the same output before it answers. The end of the answer's own line is not the value's.
fn last_url(answer: &str) -> Option<&str> {
    let is_url = |line: &str| {
        line.split_once("://").is_some_and(|(scheme, _)| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            !scheme.is_empty() && scheme.bytes().all(allowed)
        })
    };
    let lines = answer.split_inclusive('\n');
    let places = lines.scan(0, |end, line| {
        *end += line.len();
        Some((*end - line.len(), line))
    });
    let (start, _) = places.filter(|(_, line)| is_url(line)).last()?;
    let value = &answer[start..];
    Some(value.strip_suffix('\n').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_url_among_lines_of_log_is_the_answer() {
        for (answer, url) in [
            ("redis://h/0\n", Some("redis://h/0")),
            ("redis://h/0", Some("redis://h/0")),
            ("db+x://u:p@h/d\n\n", Some("db+x://u:p@h/d\n")),
            (
                "2026-01-01T00:00:00Z [info] see https://airflow.apache.org [x]\ndb://h\n",
                Some("db://h"),
            ),
            ("2026-01-01 [info] https://airflow.apache.org\n", None),
            ("://h\n", None),
            ("", None),
        ] {
            assert_eq!(last_url(answer), url, "{answer}");
        }
    }
}
