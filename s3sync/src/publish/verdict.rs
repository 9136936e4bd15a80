//! Whether an environment has what is waited for, by its report: pure.
//!
//! | the report | verdict |
//! |---|---|
//! | is not there | not: no report |
//! | cannot be read | not: why |
//! | is older than 15 minutes | not: it is stale |
//! | has the revision | landed |
//! | has the release, nothing held, rejected or failed | landed |
//! | has the release, and some of that | not: what |
//! | has another | not: what it has, and why it says it is not further |

use super::reports::Seen;
use crate::release::Report;
use crate::report::printable;

/// For what is waited: any of these is the beginning of the release's ID or of the revision.
#[derive(Clone, Debug)]
pub(super) struct Target(pub(super) Vec<String>);

/// Landed: since when, by the watcher's clock. Not landed: why.
pub(super) type Verdict = Result<String, String>;

/// The verdict of one environment.
pub(super) fn of(seen: Option<&Seen>, target: &Target) -> Verdict {
    let Some(seen) = seen else {
        return Err(
            "there is no report: run watch with --report, and grant it s3:PutObject".into(),
        );
    };
    let report = seen
        .report
        .as_ref()
        .map_err(|why| format!("its report: {why}"))?;
    if seen.is_stale() {
        let minutes = seen.age / 60_000;
        return Err(format!(
            "its report is {minutes} minutes old: check that its watcher runs"
        ));
    }
    let begins = |text: &str| target.0.iter().any(|beginning| text.starts_with(beginning));
    if begins(&report.revision) {
        return Ok(report.landed.clone());
    }
    let why_not = troubles(report);
    if report.release.as_deref().is_some_and(begins) {
        return match why_not.is_empty() {
            true => Ok(report.landed.clone()),
            false => Err(why_not.join("; ")),
        };
    }
    let has = report.release.as_deref().unwrap_or(&report.revision);
    let mut why = vec![format!(
        "it has {}",
        printable(has.get(..12).unwrap_or(has))
    )];
    why.extend(why_not);
    Err(why.join("; "))
}

fn troubles(report: &Report) -> Vec<String> {
    let first = |what: &str, keys: &[crate::release::KeyReason]| {
        let first = keys.first()?;
        let more = match keys.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let (key, reason) = (printable(&first.key), printable(&first.reason));
        Some(format!("{what} {key}: {reason}{more}"))
    };
    let held = report.held_deletes.as_ref().map(|held| {
        let id = printable(&held.id);
        format!(
            "{} deletes are held: s3sync approve {} {id}",
            held.count,
            printable(report.source.trim_end_matches('/'))
        )
    });
    let parts = [
        held,
        first("failed", &report.failed),
        first("rejected", &report.rejected),
        report.reason.as_deref().map(printable),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{HeldDeletes, KeyReason, STALE_AFTER};

    fn seen(change: impl FnOnce(&mut Report)) -> Seen {
        let mut report = Report {
            schema: Report::schema(),
            environment: "prod".into(),
            service: "s3sync".into(),
            source: "s3://bucket/dags/".into(),
            revision: "aaaaaa11".into(),
            release: Some("bbbbbb22".into()),
            generation: None,
            landed: "2026-11-21T09:30:00Z".into(),
            updated: "2026-11-21T09:30:05Z".into(),
            held_deletes: None,
            rejected: Vec::new(),
            failed: Vec::new(),
            reason: None,
            version: "1".into(),
        };
        change(&mut report);
        Seen {
            environment: "prod".into(),
            report: Ok(report),
            age: 1000,
        }
    }

    #[test]
    fn each_row_of_the_table() {
        let key_reason = || {
            vec![KeyReason {
                key: "a.py".into(),
                reason: "its SHA-256 differs".into(),
            }]
        };
        let held = |report: &mut Report| {
            report.held_deletes = Some(HeldDeletes {
                id: "0123456789abcdef".into(),
                count: 4,
            });
        };
        let target = |text: &str| Target(vec![text.to_string()]);
        let (revision, release, other) = (target("aaaaaa"), target("bbbbbb"), target("cccccc"));
        let landed = Ok("2026-11-21T09:30:00Z".to_string());
        assert_eq!(of(Some(&seen(|_| ())), &revision), landed);
        assert_eq!(of(Some(&seen(|_| ())), &release), landed);
        assert_eq!(of(Some(&seen(held)), &revision), landed);

        let rows: Vec<(Option<Seen>, &Target, &str)> = vec![
            (None, &release, "no report"),
            (
                Some(Seen {
                    report: Err("it cannot be read".into()),
                    ..seen(|_| ())
                }),
                &release,
                "it cannot be read",
            ),
            (
                Some(Seen {
                    age: STALE_AFTER + 1,
                    ..seen(|_| ())
                }),
                &release,
                "15 minutes old",
            ),
            (
                Some(seen(held)),
                &release,
                "4 deletes are held: s3sync approve s3://bucket/dags 0123456789abcdef",
            ),
            (
                Some(seen(|report| report.failed = key_reason())),
                &release,
                "failed a.py: its SHA-256 differs",
            ),
            (
                Some(seen(|report| report.rejected = key_reason())),
                &release,
                "rejected a.py",
            ),
            (Some(seen(|_| ())), &other, "it has bbbbbb22"),
            (
                Some(seen(|report| {
                    report.release = None;
                    report.reason = Some("no connection".into());
                })),
                &other,
                "it has aaaaaa11; no connection",
            ),
        ];
        for (report, target, why) in rows {
            let not = of(report.as_ref(), target).unwrap_err();
            assert!(not.contains(why), "{why}: {not}");
        }
    }
}
