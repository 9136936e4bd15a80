//! The answer as a table and as JSON.

use super::model::Outcome;
use super::policy::Kind;
use super::scenario::Scenario;
use serde_json::json;
use std::fmt::Write;

/// A table, one policy a line.
pub fn table(scenario: &Scenario, outcomes: &[Outcome]) -> String {
    let mut text = format!("{}\n\n", scenario.title);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<16} {:>8} {:>8} {:>8} {:>12} {:>9} {:>7} {:>10} {:>9} {:>11}",
        "policy",
        "wait p50",
        "p95",
        "p99",
        "worker-hours",
        "cost",
        "killed",
        "lost, spot",
        "scalings",
        "deployment"
    );
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "{:<16} {:>6} s {:>6} s {:>6} s {:>12.1} {:>7.2} $ {:>7} {:>10} {:>9} {:>11}",
            outcome.kind.name(),
            outcome.wait(50),
            outcome.wait(95),
            outcome.wait(99),
            outcome.worker_hours(),
            outcome.worker_hours() * scenario.service.worker_hour,
            outcome.killed(),
            outcome.killed_by_spot,
            outcome.scalings,
            deployment(outcome),
        );
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.unstarted > 0) {
        let _ = writeln!(
            text,
            "{}: {} tasks never started",
            outcome.kind.name(),
            outcome.unstarted
        );
    }
    text
}

fn deployment(outcome: &Outcome) -> String {
    let longest = outcome
        .deployments
        .iter()
        .max_by_key(|took| took.unwrap_or(u32::MAX));
    match longest {
        None => "-".to_owned(),
        Some(None) => "unfinished".to_owned(),
        Some(Some(seconds)) => format!("{seconds} s"),
    }
}

/// JSON, for programs.
pub fn json(scenario: &Scenario, outcomes: &[Outcome]) -> String {
    let policies: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "policy": outcome.kind.name(),
                "tasks": outcome.waits.len(),
                "unstarted": outcome.unstarted,
                "wait_p50": outcome.wait(50),
                "wait_p95": outcome.wait(95),
                "wait_p99": outcome.wait(99),
                "worker_hours": outcome.worker_hours(),
                "cost": outcome.worker_hours() * scenario.service.worker_hour,
                "killed_by_scale_in": outcome.killed_by_scale_in,
                "killed_by_deployment": outcome.killed_by_deployment,
                "killed_unprotected": outcome.killed_unprotected,
                "killed_by_spot": outcome.killed_by_spot,
                "scalings": outcome.scalings,
                "deployments": outcome.deployments,
            })
        })
        .collect();
    let answer = json!({ "scenario": scenario.title, "seed": scenario.seed, "policies": policies });
    format!("{answer}\n")
}

/// Several scenarios, each with several seeds, as a table of Markdown: wait at p95 and worker-hours on
/// average, and all tasks killed. Each entry of `rows` is a scenario's name and, for each seed, the
/// outcomes of [`Kind::ALL`].
pub fn summary(rows: &[(String, Vec<Vec<Outcome>>)]) -> String {
    let mut text = String::from("| scenario |");
    for kind in Kind::ALL {
        // Writing to a String cannot fail.
        let _ = write!(text, " {} |", kind.name());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Kind::ALL.len()));
    for (name, seeds) in rows {
        let _ = write!(text, "\n| {name} |");
        for at in 0..Kind::ALL.len() {
            let outcomes = || seeds.iter().filter_map(move |kinds| kinds.get(at));
            let wait = mean(outcomes().map(|outcome| outcome.wait(95).into()));
            let hours = mean(outcomes().map(Outcome::worker_hours));
            let killed: u32 = outcomes().map(Outcome::killed).sum();
            let _ = write!(text, " {wait:.0} s, {hours:.1}, {killed} |");
        }
    }
    text.push('\n');
    text
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
