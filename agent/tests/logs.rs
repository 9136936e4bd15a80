//! Logs as a process writes them, each in a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test may panic, and a role speaks on stdout"
)]

mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use agent::logs::{self, Logs};
use agent::settings::Environment;
use common::{Played, json_lines, play, plays};
use serde_json::{Value, json};

#[test]
#[ignore = "a role"]
fn role_speaks() {
    if !plays("role_speaks") {
        return;
    }
    let _logs = logs::start(&Environment::from_process(), false).unwrap();
    tracing::info!(
        event = "pass",
        files = 3,
        seconds = 0.5,
        name = "a \"b\"\nc",
        "pass done"
    );
    tracing::debug!(event = "detail", "a detail");
    tracing::info!(target: "aws_config::imds", "a library's affair");
    tracing::error!(event = "broken", "somebody must act");
}

#[test]
#[ignore = "a role"]
fn role_floods() {
    if !plays("role_floods") {
        return;
    }
    let logs = logs::start(&Environment::from_process(), false).unwrap();
    let began = Instant::now();
    for number in 0..20_000 {
        tracing::info!(
            event = "flood",
            number,
            "one of many lines that nobody reads"
        );
    }
    let flooded = began.elapsed();
    let dropped = Logs::dropped();
    let began = Instant::now();
    drop(logs);
    println!(
        "{}",
        json!({"dropped": dropped, "flooded": flooded.as_secs_f64(), "ended": began.elapsed().as_secs_f64()})
    );
}

#[test]
#[ignore = "a role"]
fn role_panics() {
    if !plays("role_panics") {
        return;
    }
    let _logs = logs::start(&Environment::from_process(), false).unwrap();
    logs::report_panics();
    panic!("two and two are five");
}

fn spoken(variables: &[(&str, &str)]) -> String {
    let output = play("role_speaks")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_event_is_one_line_of_flat_json() {
    let lines = json_lines(spoken(&[]).as_bytes());
    assert_eq!(lines.len(), 2, "{lines:?}");
    let mut pass = lines[0].clone();
    let timestamp = pass["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    time::OffsetDateTime::parse(timestamp, &time::format_description::well_known::Rfc3339).unwrap();
    assert!(timestamp.ends_with('Z'), "{timestamp}");
    let expected = json!({
        "timestamp": null, "level": "INFO", "target": "logs", "event": "pass", "message": "pass done",
        "files": 3, "seconds": 0.5, "name": "a \"b\"\nc",
    });
    assert_eq!(pass, expected);
    assert_eq!(
        (&lines[1]["level"], &lines[1]["event"]),
        (&json!("ERROR"), &json!("broken"))
    );
}

#[test]
fn the_filter_selects_by_level_and_target() {
    let events = |filter| {
        let lines = json_lines(spoken(&[("TRIMTAB_LOG", filter)]).as_bytes());
        lines
            .iter()
            .map(|line| line["event"].as_str().unwrap_or("library").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(events("debug"), ["pass", "detail", "broken"]);
    assert_eq!(events("error"), ["broken"]);
    assert_eq!(events("error,aws_config=info"), ["library", "broken"]);
    assert_eq!(events("off"), [""; 0]);
}

#[test]
fn text_has_no_colour_where_there_is_no_terminal() {
    let text = spoken(&[("TRIMTAB_LOG_FORMAT", "text")]);
    assert!(
        text.contains(" INFO pass done event=\"pass\" files=3"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains('{'), "{text}");
}

#[test]
fn a_stalled_stderr_holds_up_nothing_and_counts_what_it_cost() {
    let mut child = Played::start(&mut play("role_floods"));
    // The pipe is kept open and not read until the end.
    let mut stderr = child.0.stderr.take().unwrap();
    let mut stdout = Vec::new();
    child
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut stdout)
        .unwrap();
    assert!(child.end().success());
    let told = &json_lines(&stdout)[0];
    assert!(told["dropped"].as_u64().unwrap() > 10_000, "{told}");
    assert!(
        told["ended"].as_f64().unwrap() < Duration::from_millis(1_500).as_secs_f64(),
        "{told}"
    );
    let mut written = Vec::new();
    stderr.read_to_end(&mut written).unwrap();
    assert!(written.starts_with(b"{"));
}

#[test]
fn a_panic_is_one_event_and_exit_70() {
    let output = play("role_panics").output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    let lines = json_lines(&output.stderr);
    let panic: &Value = lines.last().unwrap();
    assert_eq!(
        (&panic["event"], &panic["reason"]),
        (&json!("bug"), &json!("two and two are five"))
    );
    assert!(
        panic["place"].as_str().unwrap().contains("logs.rs"),
        "{panic}"
    );
}
