//! Releases beside a real Airflow: a run keeps the code that it began with. The short form is
//! `make e2e`'s, the long one `make e2e-full`'s.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod package;
mod removed;
mod runs;
mod scene;

use std::sync::{Mutex, PoisonError};

use common::{Root, note, upload};
use e2e::stack::Stack;
use scene::{Scene, settings};
use testkit::airflow::Release;

/// How many releases, and how many runs under a publisher; `make e2e-full` raises both.
fn counts() -> (usize, usize) {
    let count = |name: &str, short| std::env::var(name).map_or(short, |text| text.parse().unwrap());
    (count("TRIMTAB_RELEASES", 4), count("TRIMTAB_RUNS", 0))
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn the_bundle_keeps_its_contract_in_3_0_3_1_and_3_3() {
    package::tested_and_clean(&[Release::V3_0, Release::V3_1, Release::V3_3]);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_3_1_runs_what_a_run_began_with_through_celery() {
    let (releases, runs) = counts();
    through(Release::V3_1, true, releases, runs, "releases");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn airflow_3_3_runs_what_a_run_began_with_through_celery() {
    let (releases, runs) = counts();
    through(Release::V3_3, true, releases, runs, "releases-3.3");
}

#[test]
#[ignore = "needs a real Airflow: make e2e-full"]
fn airflow_3_3_runs_what_a_run_began_with_in_the_local_executor() {
    through(Release::V3_3, false, 4, 0, "releases-3.3-local");
}

/// The story with this Airflow; `record` is the name of what is kept of it.
fn through(release: Release, celery: bool, releases: usize, runs: usize, record: &str) {
    // Two Airflows at once would measure one another.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Root::new();
    let mut settings = settings(&root, release);
    settings.celery = celery;
    let mut stack = Stack::prepare(settings);
    story(&mut stack, releases, runs);
    let executor = if celery { "Celery" } else { "LocalExecutor" };
    let title = format!("Releases and rollbacks under runs, {release:?}, {executor}");
    common::record(&stack, record, &title);
}

fn story(stack: &mut Stack, releases: usize, runs: usize) {
    let mut scene = Scene::begin(stack);
    upload::watch_import_errors(stack);
    runs::a_release_and_a_rollback_in_the_middle(stack, &mut scene);
    let doomed = removed::a_run_begins_whose_generation_will_go(stack, &mut scene);
    let seconds = runs::from_publish_to_parsed(stack, &mut scene, releases);
    runs::many_under_a_publisher(stack, &mut scene, runs);
    upload::no_import_error(stack);
    runs::the_clean_up_removed_nothing_shared(stack, &scene, &doomed);
    removed::a_generation_that_is_removed_is_a_clear_error(stack, &mut scene, &doomed);
    upload::no_import_error(stack);
    note(stack, "all of it, s", stack.timeline.now());
    if seconds.len() >= 30 {
        let p95 = seconds[(seconds.len() as f64 * 0.95).ceil() as usize - 1];
        assert!(p95 <= 12.0, "publish to parsed: p95 {p95} s of {seconds:?}");
    }
}
