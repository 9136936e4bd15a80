//! An agent's status file: healthy, its own, and not out of date.
//!
//! | the file | |
//! |---|---|
//! | is whole, of schema 1, `healthy`, and `updated` ≤ now ≤ `valid_until`, each with 5 s of tolerance | holds |
//! | is past `valid_until`, whatever it says | does not: its agent is gone or hangs |
//! | was `updated` in the future | does not: a clock is wrong, and it would be believed too long |
//! | is valid for more than an hour, or until before it was updated | does not: no agent writes that |
//! | is named after one agent and written by another | does not |

use crate::assertion::Asked;
use crate::document::{Document, Members};
use crate::json::Problem;
use crate::text::{Line, Unhealthy, pieces};

/// How far two clocks may be apart, in seconds.
pub const TOLERANCE: i64 = 5;

/// No status is good for longer than this, in seconds. The agents write theirs every 5 s, for 30 s.
const LONGEST_VALIDITY: i64 = 3_600;

/// More than any agent writes.
const LARGEST: u64 = 1 << 20;

/// The agent that runs the service of a container.
pub const ENTRYPOINT: &[u8] = b"entrypoint";

/// A file whose name is one of these with `.json` must be of that agent.
const AGENTS: [&[u8]; 3] = [ENTRYPOINT, b"queue-metrics", b"s3sync"];

/// Whose a file must be, by its name.
pub fn named_after(path: &[u8]) -> Option<&[u8]> {
    let name = pieces(path, b'/').last()?.strip_suffix(b".json")?;
    AGENTS.contains(&name).then_some(name)
}

/// What an agent that is healthy says of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It runs, and nothing is the matter.
    Runs,
    /// It has not started yet, or has not been seen alive, or something else is away: the agent is
    /// healthy in another phase than `running`, or gives a reason.
    Excused,
}

/// Reads a status file piece by piece, and judges it.
#[derive(Debug)]
pub struct Report<'c, 'a> {
    document: Document<'c, 'a>,
}

impl<'c, 'a> Report<'c, 'a> {
    /// Before the first byte.
    #[inline(always)]
    pub fn new(asked: &'c mut Asked<'a>) -> Self {
        Self {
            document: Document::new(asked),
        }
    }

    /// The next bytes of the file.
    ///
    /// # Errors
    /// It is no status file, as the line says.
    pub fn push(&mut self, bytes: &[u8], why: &mut Line) -> Result<(), Unhealthy> {
        if self.document.offset() + bytes.len() as u64 > LARGEST {
            return Err(why.say("the file is larger than 1 MiB").failed());
        }
        let pushed = self.document.push(bytes);
        pushed.map_err(|problem| self.no_json(problem, why))
    }

    /// The file has no more. `agent` is whose it must be, `now` in seconds since 1970.
    ///
    /// # Errors
    /// It does not hold, as the line says.
    pub fn judge(
        &mut self,
        agent: Option<&[u8]>,
        now: i64,
        why: &mut Line,
    ) -> Result<Word, Unhealthy> {
        if let Err(problem) = self.document.finish() {
            return Err(self.no_json(problem, why));
        }
        let members = self.document.members();
        is_one(members, why)?;
        is_of(agent, members, why)?;
        is_current(members, now, why)?;
        is_healthy(members, why)?;
        self.document.assertions().judge(why)?;
        let runs = members.phase.is("running") && members.reason.is("");
        Ok(if runs { Word::Runs } else { Word::Excused })
    }

    fn no_json(&self, problem: Problem, why: &mut Line) -> Unhealthy {
        self.document.no_json(problem, why.say("the file is "))
    }
}

fn is_one(members: &Members, why: &mut Line) -> Result<(), Unhealthy> {
    match members.schema {
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

fn is_of(agent: Option<&[u8]>, members: &Members, why: &mut Line) -> Result<(), Unhealthy> {
    match agent {
        Some(expected) if members.agent.whole() != Some(expected) => Err(members
            .agent
            .show_in(why.say("the status is "))
            .say("'s and not ")
            .show(expected)
            .say("'s")
            .failed()),
        _ => Ok(()),
    }
}

fn is_current(members: &Members, now: i64, why: &mut Line) -> Result<(), Unhealthy> {
    let (Some(updated), Some(valid_until)) = (members.updated, members.valid_until) else {
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
    let (what, distance, reason) = if now > valid_until + TOLERANCE {
        let age = now - valid_until;
        (
            "'s status is out of date by ",
            age,
            " s: the agent is gone or hangs",
        )
    } else if updated > now + TOLERANCE {
        (
            "'s status is ",
            updated - now,
            " s in the future: a clock is wrong",
        )
    } else {
        return Ok(());
    };
    let why = members.agent.show_in(why).say(what);
    Err(why.number(distance as u64).say(reason).failed())
}

fn is_healthy(members: &Members, why: &mut Line) -> Result<(), Unhealthy> {
    if members.healthy {
        return Ok(());
    }
    members.agent.show_in(why).say(" is not healthy");
    if !members.phase.is("") {
        members.phase.show_in(why.say(" in phase "));
    }
    if !members.reason.is("") {
        members.reason.show_in(why.say(": "));
    }
    Err(why.failed())
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

    fn judged_at(text: &str, path: &str, assertions: &str, now: i64) -> Result<Word, String> {
        let mut asked = Asked::NONE;
        if !assertions.is_empty() {
            asked.parse(assertions.as_bytes()).unwrap();
        }
        let mut report = Report::new(&mut asked);
        let mut why = Line::new();
        let judged = report
            .push(text.as_bytes(), &mut why)
            .and_then(|()| report.judge(named_after(path.as_bytes()), now, &mut why));
        judged.map_err(|_| String::from_utf8(why.as_bytes().to_vec()).unwrap())
    }

    fn judged(text: &str) -> Result<Word, String> {
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
                "updated or valid_until of the status is no timestamp",
            ),
            (
                set("valid_until", "2099-12-31T23:59:59Z".into()),
                "the status claims a validity that no agent gives, of 2352444799 s",
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
    fn an_agent_is_excused_until_it_says_that_its_service_runs() {
        for (phase, reason, word) in [
            ("running", None, Word::Runs),
            (
                "running",
                Some("the service is starting: no answer"),
                Word::Excused,
            ),
            ("running", Some("the database is away"), Word::Excused),
            ("migrating", None, Word::Excused),
            ("creating-admin", None, Word::Excused),
            ("checking", None, Word::Excused),
            ("runningx", None, Word::Excused),
        ] {
            let text = status(|status| {
                status["phase"] = phase.into();
                status["reason"] = reason.into();
            });
            assert_eq!(judged(&text), Ok(word), "{phase} {reason:?}");
        }
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
