//! The figures that stand in docs/latency.md.

use std::thread::sleep;
use std::time::Duration;

use e2e::stack::{Role, Stack};
use testkit::process::usage;

use super::{LONG, note, upload};

/// How often uploads come: a person's pace, at no fixed place within anybody's interval.
const PAUSES: std::ops::Range<u64> = 1_000..9_000;

/// Uploads one version after the other; the p95 of the seconds to the file and to the database.
pub(crate) fn uploads(stack: &mut Stack, what_for: &str, count: usize) -> (f64, f64) {
    let mut files = Vec::new();
    let mut parsed = Vec::new();
    for number in 0..count {
        let (file, all) = upload::upload(stack, &format!("{what_for}-{number}").replace(' ', "-"));
        files.push(file);
        parsed.push(all);
        sleep(Duration::from_millis(fastrand::u64(PAUSES)));
    }
    let mut p95 = [0.0, 0.0];
    let measured = [("upload to file", files), ("upload to serialized", parsed)];
    for (place, (what, mut values)) in measured.into_iter().enumerate() {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(values.len() as f64 * share).ceil() as usize - 1];
        p95[place] = at(0.95);
        for (name, value) in [("median", at(0.5)), ("p95", at(0.95)), ("most", at(1.0))] {
            note(stack, &format!("{what_for}, {what}, {name}, s"), value);
        }
    }
    (p95[0], p95[1])
}

/// RSS and CPU of the sidecars over ten minutes; what all have together, in MB and in % of a core.
pub(crate) fn rest(stack: &mut Stack) -> (f64, f64) {
    let seconds = std::env::var("TRIMTAB_REST_SECONDS");
    let seconds: u64 = seconds.map_or(600, |text| text.parse().unwrap());
    let sidecars = [Role::S3Sync, Role::QueueMetrics, Role::Protect(1)];
    let look = |stack: &mut Stack| {
        sidecars
            .clone()
            .map(|role| usage(stack.service(&role.name()).id()).unwrap())
    };
    sleep(Duration::from_secs(15));
    let before = look(stack);
    sleep(Duration::from_secs(seconds));
    let after = look(stack);
    let (mut memory, mut share) = (0.0, 0.0);
    for ((role, before), after) in sidecars.iter().zip(before).zip(after) {
        let used = (after.cpu - before.cpu).as_secs_f64() / seconds as f64 * 100.0;
        let resident = after.resident as f64 / 1e6;
        let name = role.name();
        note(stack, &format!("{name} at rest: RSS, MB"), resident);
        note(stack, &format!("{name} at rest: % of a core"), used);
        memory += resident;
        share += used;
    }
    note(stack, "sidecars together: RSS, MB", memory);
    note(stack, "sidecars together: % of a core", share);
    (memory, share)
}

/// What the DAG processor costs at rest, by its settings: refresh, process, update.
pub(crate) fn settings(stack: &mut Stack) {
    for number in 0..10 {
        let text = upload::probe("still").replace("\"probe\"", &format!("\"still{number}\""));
        e2e::bucket::put(&stack.servers, &format!("still{number}.py"), &text);
    }
    for (refresh, process, update) in [
        ("300", "30", "30"),
        ("10", "10", "30"),
        ("5", "5", "5"),
        ("5", "5", "0"),
    ] {
        stack.stop("dag-processor");
        stack.start_with(
            Role::DagProcessor,
            &[
                ("AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL", refresh),
                ("AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", process),
                ("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", update),
            ],
        );
        stack.wait_serving(&["dag-processor"], LONG);
        sleep(Duration::from_secs(20));
        let before = tree(stack);
        sleep(Duration::from_secs(90));
        let used = (tree(stack) - before) / 90.0 * 100.0;
        let what =
            format!("dag-processor with 10 files, {refresh}/{process}/{update}: % of a core");
        note(stack, &what, used);
    }
}

/// CPU seconds of the DAG processor and all its descendants, ended ones too.
fn tree(stack: &mut Stack) -> f64 {
    let ids = stack.service("dag-processor").processes();
    ids.into_iter()
        .filter_map(super::begin::cpu)
        .map(|(_, with_children)| with_children)
        .sum()
}
