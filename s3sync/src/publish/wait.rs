//! `s3sync wait`, and `publish --wait`: until the environments have it, by their reports.

use super::reports::{self, Seen};
use super::settings::{Wait, Waiting};
use super::verdict::{self, Target};
use super::{current, quiet_source};
use crate::inspect::Answer;
use crate::report::printable;
use crate::revision::hex;
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Location, Source};
use agent::exit::Exit;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between looks at the reports.
const LOOK: Duration = Duration::from_millis(500);

/// How one environment ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    environment: String,
    landed: bool,
    /// Since when, by the watcher's clock.
    at: Option<String>,
    why: Option<String>,
}

/// How the waiting ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Waited {
    landed: bool,
    seconds: f64,
    environments: Vec<Outcome>,
    /// Environments that were not waited for, as nothing is heard of them any more.
    silent: Vec<Outcome>,
}

impl Waited {
    /// 69 when not all have it.
    pub(super) fn exit(&self) -> Exit {
        match self.landed {
            true => Exit::Done,
            false => Exit::Unavailable,
        }
    }

    /// A line for each environment.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for outcome in &self.environments {
            let name = printable(&outcome.environment);
            // Writing to a String cannot fail.
            let _ = match &outcome.why {
                None => writeln!(text, "landed in {name} after {:.1} s", self.seconds),
                Some(why) => writeln!(
                    text,
                    "not landed in {name} after {:.1} s: {why}",
                    self.seconds
                ),
            };
        }
        for outcome in &self.silent {
            let (name, why) = (printable(&outcome.environment), outcome.why.as_deref());
            let _ = writeln!(text, "not waited for {name}: {}", why.unwrap_or_default());
        }
        text
    }
}

/// `s3sync wait`.
///
/// # Errors
/// As S3 answers.
pub async fn wait(settings: &Wait, around: &Surroundings) -> Result<Answer, Ending> {
    let location = &settings.place.location;
    let target = match &settings.revision {
        Some(revision) => Target(vec![revision.clone()]),
        None => {
            let current = current::must(&quiet_source(around, location)).await?;
            let (release, revision) = (&current.pointer.release, &current.pointer.revision);
            Target(vec![hex(release), hex(revision)])
        }
    };
    let waited = until_landed(&settings.waiting, location, &target, around).await?;
    let text = match settings::is_json(&settings.output) {
        true => serde_json::to_string(&waited).unwrap_or_default() + "\n",
        false => waited.text(),
    };
    Ok(Answer {
        text,
        exit: waited.exit(),
    })
}

/// Until every environment has it, or the time is up.
///
/// # Errors
/// As S3 answers.
pub(super) async fn until_landed(
    settings: &Waiting,
    location: &Location,
    target: &Target,
    around: &Surroundings,
) -> Result<Waited, Ending> {
    let begun = Instant::now();
    let location = settings.reports.report.as_ref().unwrap_or(location);
    let source = quiet_source(around, location);
    loop {
        let (outcomes, silent) = match look(&source, &settings.environment, target).await {
            Ok(looked) => looked,
            // One answer that failed is no reason to give up what is waited for.
            Err(ending)
                if ending.exit == Exit::Unavailable && begun.elapsed() < settings.timeout =>
            {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(ending) => return Err(ending),
        };
        let landed = outcomes.iter().all(|outcome| outcome.landed);
        let left = settings.timeout.saturating_sub(begun.elapsed());
        if landed || left.is_zero() {
            return Ok(Waited {
                landed,
                seconds: begun.elapsed().as_secs_f64(),
                environments: outcomes,
                silent,
            });
        }
        tokio::time::sleep(LOOK.min(left)).await;
    }
}

/// Those that are waited for, and those that are silent.
async fn look(
    source: &Source,
    environments: &[String],
    target: &Target,
) -> Result<(Vec<Outcome>, Vec<Outcome>), Ending> {
    let outcome = |name: &str, seen: Option<&Seen>| {
        let verdict = verdict::of(seen, target);
        Outcome {
            environment: name.to_string(),
            landed: verdict.is_ok(),
            at: verdict.as_ref().ok().cloned(),
            why: verdict.err(),
        }
    };
    let (mut outcomes, mut silent) = (Vec::new(), Vec::new());
    for name in environments {
        outcomes.push(outcome(name, reports::one(source, name).await?.as_ref()));
    }
    if environments.is_empty() {
        let all = reports::all(source).await?;
        // An environment that is no more is not waited for while another one reports.
        let heard = all.iter().any(|seen| !seen.is_stale());
        for seen in &all {
            let outcome = outcome(&seen.environment, Some(seen));
            match heard && seen.is_stale() {
                true => silent.push(outcome),
                false => outcomes.push(outcome),
            }
        }
        if outcomes.is_empty() {
            outcomes.push(outcome("any environment", None));
        }
    }
    Ok((outcomes, silent))
}
