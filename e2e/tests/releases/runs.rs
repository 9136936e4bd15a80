//! What is asked of runs, releases and rollbacks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::stack::Stack;
use serde_json::json;
use testkit::until;

use crate::common::{LONG, note};
use crate::scene::{Scene, TASKS, storage};

/// The version that Airflow has the DAG of.
const VERSION: &str = "SELECT bundle_version FROM dag WHERE dag_id = 'chain' AND NOT is_stale";

/// A release and a rollback under two runs: each goes on with what it began with.
pub(crate) fn a_release_and_a_rollback_in_the_middle(stack: &Stack, scene: &mut Scene) {
    let (began, _) = scene.labels.first_key_value().unwrap();
    let began = began.clone();
    hold(stack, "old", "first", "before");
    trigger(stack, scene, "old");
    wait_for(stack, "old.first.began");
    let released = scene.publish_and_wait(stack, "released");
    scene.wait_parsed(stack, &released);
    hold(stack, "new", "second", "before");
    trigger(stack, scene, "new");
    wait_for(stack, "new.second.began");
    let_go(stack, "old", "first", "before");
    scene.rollback(stack, &began);
    scene.wait_parsed(stack, &began);
    let_go(stack, "new", "second", "before");
    trigger(stack, scene, "back");
    for (run, version) in [("old", &began), ("new", &released), ("back", &began)] {
        assert_eq!(&saw_one_version(stack, scene, run), version, "{run}");
    }
    let seen = stack.value("SELECT version FROM dag_bundle WHERE name = 'dags'");
    assert_eq!(
        seen.as_ref(),
        Some(&began),
        "Airflow's own note of the bundle"
    );
    let answer = scene
        .api
        .call("GET", "/dags/chain/dagVersions", &json!(null))
        .unwrap();
    let shown = answer["dag_versions"][0]["bundle_url"]
        .as_str()
        .unwrap_or_default();
    let version = answer["dag_versions"][0]["bundle_version"]
        .as_str()
        .unwrap();
    assert_eq!(
        shown,
        format!("https://example.com/tree/{version}"),
        "{answer}"
    );
}

/// Releases at a person's pace, every fourth a rollback, and a run of each while the next ones come; the
/// seconds from a publish to the database, sorted.
pub(crate) fn from_publish_to_parsed(stack: &Stack, scene: &mut Scene, count: usize) -> Vec<f64> {
    let mut seconds = Vec::new();
    let mut released: Vec<String> = scene.labels.keys().take(1).cloned().collect();
    for number in 0..count {
        let began = Instant::now();
        let next = if number % 4 == 3 {
            let before = released[released.len() - 2].clone();
            scene.rollback(stack, &before);
            before
        } else {
            scene.publish(stack, &format!("paced-{number}"))
        };
        scene.wait_parsed(stack, &next);
        seconds.push(began.elapsed().as_secs_f64());
        trigger(stack, scene, &format!("paced-{number}"));
        released.push(next);
        std::thread::sleep(Duration::from_millis(fastrand::u64(500..3_000)));
    }
    for (number, version) in released.iter().skip(1).enumerate() {
        let run = format!("paced-{number}");
        assert_eq!(&saw_one_version(stack, scene, &run), version, "{run}");
    }
    seconds.sort_by(f64::total_cmp);
    for (name, share) in [("median", 0.5), ("p95", 0.95), ("most", 1.0)] {
        let value = seconds[(seconds.len() as f64 * share).ceil() as usize - 1];
        let what = format!("publish to parsed, {count} releases, {name}, s");
        note(stack, &what, value);
    }
    seconds
}

/// Runs that start one after the other while releases and rollbacks come every second or so.
pub(crate) fn many_under_a_publisher(stack: &Stack, scene: &mut Scene, count: usize) {
    if count == 0 {
        return;
    }
    let ended = AtomicBool::new(false);
    let publisher = scene.publisher.clone();
    let published = std::thread::scope(|scope| {
        let ended = &ended;
        let thread = scope.spawn(move || {
            let mut published = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let number = published.len();
                match fastrand::usize(0..4) {
                    0 if number > 0 => {
                        let (_, label): &(String, String) = &published[fastrand::usize(0..number)];
                        publisher.rollback(label);
                    }
                    _ => {
                        let label = format!("storm-{number}");
                        published.push((publisher.publish(&label), label));
                    }
                }
                std::thread::sleep(Duration::from_millis(fastrand::u64(300..2_000)));
            }
            published
        });
        for number in 0..count {
            let version = stack.value(VERSION);
            trigger(stack, scene, &format!("storm-{number}"));
            // A version each, and no more at once than get on.
            until(LONG, "another version, and room for a run", || {
                std::thread::sleep(Duration::from_millis(45));
                let room = "SELECT count(*) < 5 FROM dag_run WHERE state IN ('queued', 'running')";
                stack.value(VERSION) != version && stack.value(room).as_deref() == Some("t")
            });
        }
        until(LONG, "the last run's end", || {
            std::thread::sleep(Duration::from_millis(95));
            // The one that is held.
            let sql = "SELECT count(*) FROM dag_run WHERE state IN ('queued', 'running')";
            stack.value(sql).as_deref() == Some("1")
        });
        ended.store(true, Ordering::Relaxed);
        thread.join().unwrap()
    });
    note(stack, "releases under the runs", published.len() as f64);
    scene.labels.extend(published);
    let runs = (0..count).map(|number| saw_one_version(stack, scene, &format!("storm-{number}")));
    let versions: BTreeSet<String> = runs.collect();
    note(stack, "runs, all of one version each", count as f64);
    note(stack, "versions among them", versions.len() as f64);
    assert!(
        2 * versions.len() > count,
        "{versions:?}: too few were tried"
    );
}

/// Airflow cleaned up all the time; it left the mark of the one version that a task still uses, and every
/// generation is as it was made.
pub(crate) fn the_clean_up_removed_nothing_shared(stack: &mut Stack, scene: &Scene, used: &str) {
    let service = match stack.settings.celery {
        true => "worker-1",
        false => "scheduler",
    };
    let marks = storage(stack, service).join("_tracking/dags");
    until(LONG, "the clean-up of versions that no task uses", || {
        let log = stack.service(service).log();
        assert!(
            !log.contains("in _remove_stale_bundle\n"),
            "it failed: {log}"
        );
        // Airflow writes its marks in place, and its clean-up ends over one that it reads half-written.
        let broken = log.contains("year 0 is out of range");
        std::thread::sleep(Duration::from_millis(95));
        broken || names(&marks) == BTreeSet::from([used.to_owned()])
    });
    let generations = stack.dags().join("generations");
    let mut made = names(&generations);
    made.retain(|name| !name.starts_with('.'));
    for id in &made {
        let there = scene.publisher.digest(&generations.join(id));
        assert_eq!(&there, id, "{}", scene.labels[id]);
    }
    let sql = "SELECT DISTINCT bundle_version FROM dag_run";
    for row in stack.servers.postgres.rows("airflow", sql) {
        let version = row.into_iter().flatten().next().unwrap();
        let label = &scene.labels[&version];
        assert!(made.contains(&version), "{label} is gone");
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// The version of a run that succeeded, by Airflow's database; each of its tasks saw that one and no other.
pub(crate) fn saw_one_version(stack: &Stack, scene: &Scene, run: &str) -> String {
    super::upload::wait_for_run(stack, "chain", run);
    let version = version_of(stack, run);
    let label = &scene.labels[&version];
    for task in TASKS {
        let seen = fs::read_to_string(data(stack, &format!("{run}.{task}.seen"))).unwrap();
        assert_eq!(
            seen,
            format!("{label} {label} {version}"),
            "{task} of {run}"
        );
    }
    version
}

/// The version of a run, by Airflow's database.
pub(crate) fn version_of(stack: &Stack, run: &str) -> String {
    let sql =
        format!("SELECT bundle_version FROM dag_run WHERE dag_id = 'chain' AND run_id = '{run}'");
    stack.value(&sql).unwrap()
}

/// Starts a run of the chain.
pub(crate) fn trigger(stack: &Stack, scene: &Scene, run: &str) {
    stack.timeline.event("triggers", run);
    scene.api.trigger("chain", run, &json!({})).unwrap();
}

/// A file that tasks and the test tell one another by.
pub(crate) fn data(stack: &Stack, name: &str) -> PathBuf {
    stack.settings.root.join("data").join(name)
}

/// Has a task of a run wait, before it imports or when it has noted what it saw.
pub(crate) fn hold(stack: &Stack, run: &str, task: &str, place: &str) {
    fs::write(data(stack, &format!("{run}.{task}.{place}")), "").unwrap();
}

/// Lets it go on.
pub(crate) fn let_go(stack: &Stack, run: &str, task: &str, place: &str) {
    fs::remove_file(data(stack, &format!("{run}.{task}.{place}"))).unwrap();
}

/// Waits for a file that a task leaves.
pub(crate) fn wait_for(stack: &Stack, name: &str) {
    until(LONG, name, || data(stack, name).exists());
}
