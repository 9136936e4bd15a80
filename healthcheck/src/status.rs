//! An agent's status file: healthy, its own, and not out of date.
//!
//! | the file | |
//! |---|---|
//! | is whole, of schema 1, `healthy`, and `updated` ≤ now ≤ `valid_until`, each with 5 s of tolerance | holds |
//! | is past `valid_until`, whatever it says | does not: its agent is gone or hangs |
//! | was `updated` in the future | does not: a clock is wrong, and it would be believed too long |
//! | is valid for more than an hour, or until before it was updated | does not: no agent writes that |
//! | is named after one agent and written by another | does not |

use crate::assertion::{Assertions, Spelling};
use crate::json::{Container, Scalar, Scanner, Visitor};
use crate::text::{Line, Snippet, Unhealthy, decimal, pieces};
use crate::timestamp::seconds;

/// How far two clocks may be apart, in seconds.
pub const TOLERANCE: i64 = 5;

/// No status is good for longer than this, in seconds. The agents write theirs every 5 s, for 30 s.
const LONGEST_VALIDITY: i64 = 3_600;

/// More than any agent writes.
const LARGEST: u64 = 1 << 20;

/// A file whose name is one of these with `.json` must be of that agent.
const AGENTS: [&[u8]; 3] = [b"entrypoint", b"queue-metrics", b"s3sync"];

/// Reads a status file piece by piece, and judges it.
#[derive(Debug)]
pub struct Report<'a> {
    scanner: Scanner,
    contents: Contents<'a>,
}

#[derive(Debug)]
#[repr(C)]
struct Contents<'a> {
    schema: Option<u64>,
    healthy: Option<bool>,
    updated: Option<i64>,
    valid_until: Option<i64>,
    agent: Snippet,
    phase: Snippet,
    reason: Snippet,
    assertions: Assertions<'a>,
}

impl<'a> Report<'a> {
    /// Before the first byte.
    #[inline(never)]
    pub fn new(assertions: Spelling<'a>) -> Self {
        Self {
            scanner: Scanner::new(),
            contents: Contents {
                assertions: Assertions::new(assertions),
                schema: None,
                healthy: None,
                updated: None,
                valid_until: None,
                agent: Snippet::new(),
                phase: Snippet::new(),
                reason: Snippet::new(),
            },
        }
    }

    /// The next bytes of the file.
    ///
    /// # Errors
    /// It is no status file, as the line says.
    pub fn push(&mut self, bytes: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
        if self.scanner.offset() + bytes.len() as u64 > LARGEST {
            return Err(why.say("the file is larger than 1 MiB").failed());
        }
        let pushed = self.scanner.push(bytes, &mut self.contents);
        pushed.map_err(|problem| self.no_json(problem.words(), why))
    }

    /// The file has no more. `path` is where it was read, `now` in seconds since 1970.
    ///
    /// # Errors
    /// It does not hold, as the line says.
    pub fn judge(&mut self, path: &[u8], now: i64, why: &mut Line) -> Result<(), Unhealthy> {
        if let Err(problem) = self.scanner.finish(&mut self.contents) {
            return Err(self.no_json(problem.words(), why));
        }
        let contents = &self.contents;
        contents.is_one(why)?;
        contents.is_of_its_agent(path, why)?;
        contents.is_current(now, why)?;
        if contents.healthy != Some(true) {
            contents.agent.show_in(why).say(" is not healthy");
            if !contents.phase.as_bytes().is_empty() {
                contents.phase.show_in(why.say(" in phase "));
            }
            if !contents.reason.as_bytes().is_empty() {
                contents.reason.show_in(why.say(": "));
            }
            return Err(why.failed());
        }
        if self.has_assertions() {
            self.contents.assertions.judge(why)
        } else {
            Ok(())
        }
    }

    /// What the agent says it is doing; of use only after [`Self::judge`].
    pub fn phase(&self) -> Snippet {
        self.contents.phase
    }

    fn has_assertions(&self) -> bool {
        !self.contents.assertions.is_empty()
    }

    fn no_json(&self, problem: &str, why: &mut Line) -> Unhealthy {
        why.say("the file is no JSON: ").say(problem);
        why.say(" at byte ").number(self.scanner.offset()).failed()
    }
}

impl Contents<'_> {
    fn is_one(&self, why: &mut Line) -> Result<(), Unhealthy> {
        match self.schema {
            Some(1) => Ok(()),
            Some(schema) => Err(why
                .say("the status has schema ")
                .number(schema)
                .say(", and only 1 is understood")
                .failed()),
            None => Err(why
                .say("the file is no agent's status: it has no schema")
                .failed()),
        }
    }

    fn is_of_its_agent(&self, path: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
        let name = pieces(path, b'/').last().unwrap_or_default();
        let Some(expected) = name
            .strip_suffix(b".json")
            .filter(|stem| AGENTS.contains(stem))
        else {
            return Ok(());
        };
        if self.agent.whole() == Some(expected) {
            return Ok(());
        }
        why.say("the status is ");
        Err(self
            .agent
            .show_in(why)
            .say("'s and not ")
            .show(expected)
            .say("'s")
            .failed())
    }

    fn is_current(&self, now: i64, why: &mut Line) -> Result<(), Unhealthy> {
        let (Some(updated), Some(valid_until)) = (self.updated, self.valid_until) else {
            return Err(why
                .say("updated or valid_until of the status is no timestamp")
                .failed());
        };
        let validity = valid_until - updated;
        if !(0..=LONGEST_VALIDITY).contains(&validity) {
            return Err(why
                .say("the status claims a validity that no agent gives, of ")
                .say(if validity < 0 { "-" } else { "" })
                .number(validity.unsigned_abs())
                .say(" s")
                .failed());
        }
        if now > valid_until + TOLERANCE {
            let age = (now - valid_until).unsigned_abs();
            return Err(self
                .agent
                .show_in(why)
                .say("'s status is out of date by ")
                .number(age)
                .say(" s: the agent is gone or hangs")
                .failed());
        }
        if updated > now + TOLERANCE {
            let ahead = (updated - now).unsigned_abs();
            return Err(self
                .agent
                .show_in(why)
                .say("'s status is ")
                .number(ahead)
                .say(" s in the future: a clock is wrong")
                .failed());
        }
        Ok(())
    }
}

impl Visitor for Contents<'_> {
    fn open(&mut self, container: Container) {
        self.assertions.open(container);
    }

    fn close(&mut self) {
        self.assertions.close();
    }

    fn key_byte(&mut self, byte: u8) {
        self.assertions.key_byte(byte);
    }

    fn key(&mut self) {
        self.assertions.key();
    }

    fn value_byte(&mut self, byte: u8) {
        self.assertions.value_byte(byte);
    }

    fn value(&mut self, scalar: Scalar) {
        self.assertions.value(scalar);
        if let Some((key, value)) = self.assertions.member() {
            let text = value.whole().unwrap_or_default();
            let is_text = scalar == Scalar::String;
            // Compared as slices: patterns of bytes would become a comparison of each byte.
            let key = key.whole().unwrap_or_default();
            let is = |name: &str| key == name.as_bytes();
            if is("schema") && scalar == Scalar::Number {
                self.schema = decimal(text);
            } else if is("healthy") {
                self.healthy = Some(scalar == Scalar::Boolean && text == b"true");
            } else if is("updated") && is_text {
                self.updated = seconds(text);
            } else if is("valid_until") && is_text {
                self.valid_until = seconds(text);
            } else if is("agent") && is_text {
                self.agent = *value;
            } else if is("phase") && is_text {
                self.phase = *value;
            } else if is("reason") && is_text {
                self.reason = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_750_000_000;

    fn status(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut status = serde_json::json!({
            "schema": 1, "agent": "s3sync", "version": "0.1.0", "pid": 7, "phase": "watching",
            "healthy": true, "degraded": true, "reason": null,
            "updated": "2025-06-15T15:06:40Z", "valid_until": "2025-06-15T15:07:10Z",
            "detail": {"healthy": false, "schema": 9, "list": [{"healthy": false}]},
        });
        change(&mut status);
        status.to_string()
    }

    fn judged_at(text: &str, path: &str, assertions: &str, now: i64) -> Result<(), String> {
        let spelling = match assertions {
            "" => Spelling::NONE,
            _ => Spelling::parse(assertions.as_bytes()).unwrap(),
        };
        let mut report = Report::new(spelling);
        let mut why = Line::new();
        let judged = report
            .push(text.as_bytes(), &mut why)
            .and_then(|()| report.judge(path.as_bytes(), now, &mut why));
        judged.map_err(|_| String::from_utf8(why.as_bytes().to_vec()).unwrap())
    }

    fn judged(text: &str) -> Result<(), String> {
        judged_at(text, "/run/trimtab/s3sync.json", "", NOW)
    }

    #[test]
    fn what_an_agent_writes_holds_while_it_is_fresh() {
        let text = status(|_| {});
        for (now, holds) in [
            (NOW - 6, false),
            (NOW - 5, true),
            (NOW, true),
            (NOW + 30, true),
            (NOW + 35, true),
            (NOW + 36, false),
            (NOW + 86_400, false),
        ] {
            let judged = judged_at(&text, "/run/trimtab/s3sync.json", "", now);
            assert_eq!(judged.is_ok(), holds, "{}: {judged:?}", now - NOW);
        }
    }

    #[test]
    fn each_reason_is_told() {
        let set =
            |key: &'static str, value: serde_json::Value| status(|status| status[key] = value);
        for (text, told) in [
            (
                set("healthy", false.into()),
                "s3sync is not healthy in phase watching",
            ),
            (
                set("healthy", "true".into()),
                "s3sync is not healthy in phase watching",
            ),
            (
                set("schema", 2.into()),
                "the status has schema 2, and only 1 is understood",
            ),
            (
                set("schema", "1".into()),
                "the file is no agent's status: it has no schema",
            ),
            (
                "{}".to_owned(),
                "the file is no agent's status: it has no schema",
            ),
            (
                "[]".to_owned(),
                "the file is no agent's status: it has no schema",
            ),
            (String::new(), "the file is no JSON: an early end at byte 0"),
            (
                status(|_| {})[..40].to_owned(),
                "the file is no JSON: an early end at byte 40",
            ),
            (
                status(|_| {}) + "}",
                "the file is no JSON: an unexpected character at byte 271",
            ),
            (
                set("updated", "yesterday".into()),
                "updated or valid_until of the status is no timestamp",
            ),
            (
                set("valid_until", 1.into()),
                "updated or valid_until of the status is no timestamp",
            ),
            (
                set("valid_until", "9999-12-31T23:59:59Z".into()),
                "the status claims a validity that no agent gives, of 251652300799 s",
            ),
            (
                set("valid_until", "2025-06-15T15:06:39Z".into()),
                "the status claims a validity that no agent gives, of -1 s",
            ),
            (
                set("agent", "entrypoint".into()),
                "the status is entrypoint's and not s3sync's",
            ),
            (
                set("agent", serde_json::Value::Null),
                "the status is 's and not s3sync's",
            ),
        ] {
            let judged = judged(&text).unwrap_err();
            let told = told.replace("271", &text.len().saturating_sub(1).to_string());
            assert_eq!(judged, told, "{text}");
        }
        let text = status(|status| {
            status["healthy"] = false.into();
            status["reason"] = "S3 is away\nsince noon".into();
        });
        assert_eq!(
            judged(&text).unwrap_err(),
            "s3sync is not healthy in phase watching: S3 is away?since noon"
        );
    }

    #[test]
    fn only_a_file_named_after_an_agent_must_be_that_agents() {
        let text = status(|_| {});
        for (path, holds) in [
            ("/run/trimtab/s3sync.json", true),
            ("s3sync.json", true),
            ("/run/trimtab/queue-metrics.json", false),
            ("/tmp/status.json", true),
            ("/run/entrypoint.json/x", true),
        ] {
            assert_eq!(judged_at(&text, path, "", NOW).is_ok(), holds, "{path}");
        }
    }

    #[test]
    fn assertions_are_about_the_whole_file() {
        let text = status(|_| {});
        for (assertions, holds) in [
            ("phase=watching", true),
            ("detail.healthy=false&degraded=true", true),
            ("phase=starting", false),
            ("detail.revision=x", false),
        ] {
            assert_eq!(
                judged_at(&text, "x", assertions, NOW).is_ok(),
                holds,
                "{assertions}"
            );
        }
    }

    /// Each key is the last of its object, so that it would still stand when the next element ends.
    #[test]
    fn an_array_has_no_members() {
        let text = r#"[{"schema":0},1,{"agent":0},"s3sync",{"healthy":0},true,
            {"updated":0},"2025-06-15T15:06:40Z",{"valid_until":0},"2025-06-15T15:07:10Z"]"#;
        let told = judged(text).unwrap_err();
        assert!(told.contains("it has no schema"), "{told}");
    }

    #[test]
    fn what_refuted_is_told_and_not_what_followed() {
        let text = status(|_| {});
        let told = judged_at(&text, "/s", "phase=draining", NOW).unwrap_err();
        assert!(
            told.contains(r#"phase is "watching", where draining"#),
            "{told}"
        );
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_never_holds(cut in 0_usize..260) {
            let text = status(|_| {});
            prop_assert!(judged(&text[..cut.min(text.len() - 1)]).is_err());
        }
    }
}
