//! Releases beside a real Airflow: a run keeps the code that it began with. The short form is
//! `make e2e`'s, the long one `make e2e-full`'s.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod package;
mod runs;
mod scene;

use common::{Root, note, record, upload};
use e2e::stack::Stack;
use scene::{Scene, settings};
use testkit::airflow::Release;

/// A count that `make e2e-full` raises.
fn count(name: &str, short: usize) -> usize {
    std::env::var(name).map_or(short, |text| text.parse().unwrap())
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn the_bundle_keeps_its_contract_in_3_0_3_1_and_3_3() {
    package::tested_and_clean(&[Release::V3_0, Release::V3_1, Release::V3_3]);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_3_1_runs_what_a_run_began_with_through_celery() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, Release::V3_1));
    story(&mut stack);
    record(&stack, "releases", "Releases and rollbacks under runs");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn airflow_3_3_runs_what_a_run_began_with() {
    let root = Root::new();
    let mut settings = settings(&root, Release::V3_3);
    // In the pinned list of 3.3 the provider asks Celery for a name that it no longer has.
    settings.celery = false;
    let mut stack = Stack::prepare(settings);
    story(&mut stack);
    record(
        &stack,
        "releases-3.3",
        "Releases and rollbacks under runs, 3.3",
    );
}

fn story(stack: &mut Stack) {
    let mut scene = Scene::begin(stack);
    upload::watch_import_errors(stack);
    runs::a_release_and_a_rollback_in_the_middle(stack, &mut scene);
    let doomed = runs::a_run_begins_whose_generation_will_go(stack, &mut scene);
    let seconds = runs::from_publish_to_parsed(stack, &mut scene, count("TRIMTAB_RELEASES", 4));
    runs::many_under_a_publisher(stack, &mut scene, count("TRIMTAB_RUNS", 0));
    upload::no_import_error(stack);
    runs::the_clean_up_removed_nothing_shared(stack, &scene, &doomed);
    runs::a_generation_that_is_removed_is_a_clear_error(stack, &scene, &doomed);
    note(stack, "all of it, s", stack.timeline.now());
    if seconds.len() >= 30 {
        let p95 = seconds[(seconds.len() as f64 * 0.95).ceil() as usize - 1];
        assert!(p95 <= 12.0, "publish to parsed: p95 {p95} s of {seconds:?}");
    }
}
