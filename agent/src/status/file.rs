//! The file itself: its text, and its replacement as a whole.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::State;

/// For how long the file counts after it was written.
const VALIDITY: Duration = Duration::from_secs(30);

/// The file, and whether writing it fails at the moment.
pub(super) struct StatusFile {
    pub(super) agent: &'static str,
    pub(super) version: &'static str,
    pub(super) path: PathBuf,
    pub(super) failing: bool,
}

impl StatusFile {
    /// Writes, and logs where failing begins and ends.
    pub(super) fn report(&mut self, state: &State, silent: Option<String>) {
        let path = self.path.display();
        match self.write(state, silent) {
            Ok(()) if self.failing => {
                tracing::info!(event = "status_written", %path, "the status file is written again");
                self.failing = false;
            }
            Err(error) if !self.failing => {
                tracing::warn!(event = "status_unwritable", %path, %error, "the status file grows old");
                self.failing = true;
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Replaces the file; `silent` is what hangs.
    pub(super) fn write(&self, state: &State, silent: Option<String>) -> io::Result<()> {
        let text = self.rendered(state, silent, OffsetDateTime::now_utc());
        let name = self
            .path
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        // A rename is atomic within one directory only.
        let temporary = self
            .path
            .with_file_name(format!(".{}.tmp", name.to_string_lossy()));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &self.path).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    fn rendered(&self, state: &State, silent: Option<String>, now: OffsetDateTime) -> String {
        let reason = match (silent.clone(), state.reason.clone()) {
            (Some(silent), Some(reason)) => Some(format!("{silent}; {reason}")),
            (silent, reason) => silent.or(reason),
        };
        let written = Written {
            schema: 1,
            agent: self.agent,
            version: self.version,
            pid: std::process::id(),
            phase: &state.phase,
            healthy: state.healthy,
            degraded: state.degraded || silent.is_some(),
            reason,
            updated: timestamp(now),
            valid_until: timestamp(now + VALIDITY),
            detail: &state.detail,
        };
        // Neither of these types can fail to become JSON.
        serde_json::to_string(&written).unwrap_or_default() + "\n"
    }
}

/// RFC 3339 in whole seconds, UTC: every time in a status file, as `healthcheck` reads it.
pub fn timestamp(at: OffsetDateTime) -> String {
    let seconds = at.replace_nanosecond(0).unwrap_or(at);
    seconds.format(&Rfc3339).unwrap_or_default()
}

#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    agent: &'a str,
    version: &'a str,
    pid: u32,
    phase: &'a str,
    healthy: bool,
    degraded: bool,
    reason: Option<String>,
    updated: String,
    valid_until: String,
    detail: &'a Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOON: i64 = 1_750_000_000;

    fn file(path: PathBuf) -> StatusFile {
        StatusFile {
            agent: "s3sync",
            version: "0.1.0",
            path,
            failing: false,
        }
    }

    fn rendered(state: &State, silent: Option<&str>) -> String {
        let now = OffsetDateTime::from_unix_timestamp(NOON).unwrap() + Duration::from_millis(999);
        file(PathBuf::new()).rendered(state, silent.map(str::to_owned), now)
    }

    fn state() -> State {
        let detail = json!({"keys": 7}).as_object().unwrap().clone();
        State {
            phase: "watching".to_owned(),
            healthy: true,
            detail,
            ..State::default()
        }
    }

    #[test]
    fn the_text_is_exactly_the_published_one() {
        let expected = format!(
            concat!(
                r#"{{"schema":1,"agent":"s3sync","version":"0.1.0","pid":{},"phase":"watching","healthy":true,"#,
                r#""degraded":false,"reason":null,"updated":"2025-06-15T15:06:40Z","#,
                r#""valid_until":"2025-06-15T15:07:10Z","detail":{{"keys":7}}}}"#,
                "\n"
            ),
            std::process::id()
        );
        assert_eq!(rendered(&state(), None), expected);
    }

    #[test]
    fn what_hangs_degrades_and_keeps_the_other_reason() {
        for (reason, silent, degraded, expected) in [
            (None, None, false, Value::Null),
            (Some("S3 is away"), None, false, json!("S3 is away")),
            (
                None,
                Some("DEST silent for 42 s in rename"),
                true,
                json!("DEST silent for 42 s in rename"),
            ),
            (
                Some("S3 is away"),
                Some("DEST silent for 42 s in rename"),
                true,
                json!("DEST silent for 42 s in rename; S3 is away"),
            ),
        ] {
            let state = State {
                reason: reason.map(str::to_owned),
                ..state()
            };
            let written: Value = serde_json::from_str(&rendered(&state, silent)).unwrap();
            assert_eq!(
                (&written["degraded"], &written["reason"]),
                (&json!(degraded), &expected)
            );
            assert_eq!(written["healthy"], json!(true));
        }
    }
}
