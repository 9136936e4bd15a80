//! The answer as a table and as JSON.

use super::model::Outcome;
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
