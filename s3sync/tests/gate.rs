//! The delete gate by play: mistakes in S3, what is held, what goes, and who may release it.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

use std::time::{Duration, SystemTime};
use support::{BUCKET, Bench, DEADLINE, Report, identity, key};
use testkit::process::{Process, Program};
use testkit::s3::{Operation, PutOptions};

fn bench_of(count: usize) -> Bench {
    let bench = Bench::new();
    for number in 0..count {
        bench.put(&name(number), format!("x = {number}"));
    }
    bench
}

fn name(number: usize) -> String {
    format!("team{}/f{number:02}.py", number % 3)
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The IDs that the log of a run names as held, in order.
fn logged_ids(stderr: &str) -> Vec<String> {
    let events = stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let held = events.filter(|event| event.to_string().contains("deletes_held"));
    held.map(|event| find(&event, "id").expect("an ID").to_string())
        .collect()
}

/// A field of a log line, wherever the format puts fields.
fn find<'a>(event: &'a serde_json::Value, field: &str) -> Option<&'a str> {
    event[field]
        .as_str()
        .or_else(|| event["fields"][field].as_str())
}

/// `once`, which must end with held deletes: the report and the ID in its log.
fn held(bench: &Bench, arguments: &[&str]) -> (Report, String) {
    let finished = bench.run("once", &[arguments, &["--output", "json"]].concat());
    let report = support::report(&finished, 1);
    let ids = logged_ids(&finished.stderr);
    assert_eq!(ids.len(), 1, "{}", finished.stderr);
    assert!(is_id(&ids[0]), "{ids:?}");
    (report, ids[0].clone())
}

/// The ID that `plan` shows, in JSON.
fn planned_id(bench: &Bench) -> String {
    let finished = bench.run("plan", &["--output", "json"]);
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    let plan: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).unwrap();
    let reason = plan
        .iter()
        .find(|action| action["action"] == "hold")
        .expect("a hold")["reason"]
        .as_str()
        .unwrap();
    reason.split_once("ID ").expect("an ID").1[..16].to_string()
}

fn approve(bench: &Bench, id: &str) {
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(["approve", "s3://bucket/dags", id])
        .envs(bench.s3.environment())
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

fn until_held(bench: &Bench) -> String {
    testkit::until_some(DEADLINE, "a held set in the status", || {
        bench.status()["detail"]["held"]["id"]
            .as_str()
            .map(ToString::to_string)
    })
}

fn stop(mut process: Process) -> String {
    process.signal(testkit::process::Signal::TERM);
    assert_eq!(process.exit_code(DEADLINE), 0);
    process.stderr()
}

/// aws s3 sync, s5cmd, rclone and objinsync deleted everything here, exit 0.
#[test]
fn an_emptied_prefix_is_held_and_log_status_report_and_plan_show_one_id() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    let before = bench.files();
    bench.s3.delete_prefix(BUCKET, "dags/");

    let (report, id) = held(&bench, &[]);
    assert_eq!((report.held_deletes, report.deleted), (10, 0));
    assert_eq!(bench.files(), before);
    assert_eq!(planned_id(&bench), id);
    let text = bench.run("once", &[]);
    assert_eq!(text.code, 1);
    assert!(
        text.stdout.contains(&id) && text.stdout.contains("s3sync approve"),
        "{}",
        text.stdout
    );

    // The runs of once left one.
    std::fs::remove_file(bench.status_file()).unwrap();
    let process = bench.watch(&[]);
    assert_eq!(until_held(&bench), id);
    bench.after_listings(3);
    let status = bench.status();
    assert_eq!(
        status["healthy"], true,
        "a full tree stays healthy: {status}"
    );
    assert_eq!(status["detail"]["held_deletes"], 10);
    let stderr = stop(process);
    assert_eq!(
        logged_ids(&stderr),
        [id],
        "logged once, not at every poll: {stderr}"
    );
    assert_eq!(bench.files(), before);
}

#[test]
fn an_approval_in_watch_releases_the_set_without_a_restart() {
    let bench = bench_of(10);
    let process = bench.watch_settled(&[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    let id = until_held(&bench);
    assert_eq!(bench.files().len(), 10);
    approve(&bench, &id);
    testkit::until(DEADLINE, "an empty DEST", || bench.files().is_empty());
    testkit::until(DEADLINE, "no held set in the status", || {
        bench.status()["detail"]["held"].is_null()
    });
    let stderr = stop(process);
    assert!(stderr.contains("deletes_released"), "{stderr}");
}

/// The shell loop's other way to lose a tree: a few files at each poll.
#[test]
fn a_slow_drain_adds_up_across_processes_until_it_is_held() {
    let bench = bench_of(20);
    bench.once(0, &[]);
    let mut gone = 0;
    let (report, _) = loop {
        for _ in 0..2 {
            bench.delete(&name(gone));
            gone += 1;
        }
        let finished = bench.run("once", &["--output", "json"]);
        match finished.code {
            0 => assert!(gone <= 10, "{gone} of 20 went within the hour"),
            _ => break (support::report(&finished, 1), ()),
        }
    };
    assert_eq!(gone, 12, "half of the largest tree of the hour may go");
    assert_eq!(report.held_deletes, 2);
    assert_eq!(bench.files().len(), 10);
}

#[test]
fn a_slow_drain_in_watch_is_held_at_half_whatever_the_settle() {
    for settle in ["0s", "100ms", "300ms"] {
        let bench = bench_of(12);
        let arguments = ["--interval", "100ms", "--settle", settle];
        let process = bench.program("watch", &arguments).spawn();
        bench.until_healthy();
        for number in 0..12 {
            bench.delete(&name(number));
            if number < 6 {
                bench.until_equal();
            }
        }
        until_held(&bench);
        testkit::until(DEADLINE, "all that is left to be held", || {
            bench.status()["detail"]["held_deletes"] == 6
        });
        bench.after_listings(3);
        assert_eq!(bench.files().len(), 6, "settle {settle}");
        stop(process);
    }
}

#[test]
fn another_tree_under_the_prefix_lands_and_the_old_one_is_held() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    for number in 0..10 {
        bench.put(&format!("other/g{number}.py"), format!("y = {number}"));
    }
    let (report, _) = held(&bench, &[]);
    assert_eq!(
        (report.added, report.deleted, report.held_deletes),
        (10, 0, 10)
    );
    assert_eq!(bench.files().len(), 20);
}

#[test]
fn a_tree_moved_to_another_folder_goes_through() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    for number in 0..10 {
        bench.delete(&name(number));
        bench.put(&format!("moved/{}", name(number)), format!("x = {number}"));
    }
    let plan = bench.run("plan", &[]);
    assert!(
        plan.stdout.contains("10 to delete, 0 held"),
        "{}",
        plan.stdout
    );
    let report = bench.once(0, &[]);
    assert_eq!(
        (report.added, report.deleted, report.held_deletes),
        (10, 10, 0)
    );
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn a_repository_of_four_files_may_lose_two() {
    let bench = bench_of(4);
    bench.once(0, &[]);
    bench.delete(&name(0));
    bench.delete(&name(1));
    assert_eq!(bench.once(0, &[]).deleted, 2);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn another_source_in_the_task_definition_is_refused_until_it_is_adopted() {
    let bench = bench_of(4);
    bench.once(0, &[]);
    let before = bench.picture();
    bench.s3.put(BUCKET, "prod/a.py", "prod");
    bench.s3.reset_requests();
    for command in ["once", "watch", "plan"] {
        let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args([command, "s3://bucket/prod"])
            .arg(bench.dest())
            .envs(bench.s3.environment())
            .run(DEADLINE);
        assert_eq!(finished.code, 73, "{command}: {}", finished.stderr);
        let names = ["s3://bucket/dags", "s3://bucket/prod", "--adopt"];
        assert!(
            names.iter().all(|name| finished.stderr.contains(name)),
            "{}",
            finished.stderr
        );
    }
    assert_eq!(bench.picture().0, before.0);
    let adopted = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(["once", "s3://bucket/prod"])
        .arg(bench.dest())
        .arg("--adopt")
        .envs(bench.s3.environment())
        .run(DEADLINE);
    assert_eq!(
        adopted.code, 1,
        "the old source's files are managed, and the gate holds their deletes: {}",
        adopted.stderr
    );
    assert_eq!(bench.read("a.py"), "prod");
}

#[test]
fn an_approval_releases_exactly_its_set_and_a_changed_set_has_another_id() {
    let bench = bench_of(12);
    bench.once(0, &[]);
    for number in 0..8 {
        bench.delete(&name(number));
    }
    let (_, first) = held(&bench, &[]);
    bench.delete(&name(8));
    approve(&bench, &first);
    let (report, second) = held(&bench, &[]);
    assert_ne!(first, second);
    assert_eq!((report.deleted, report.held_deletes), (0, 9));
    assert_eq!(bench.files().len(), 12);
    approve(&bench, &second);
    let report = bench.once(0, &[]);
    assert_eq!((report.deleted, report.held_deletes), (9, 0));
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn a_set_put_back_is_held_no_more() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    held(&bench, &[]);
    let before = bench.picture();
    for number in 0..10 {
        bench.put(&name(number), format!("x = {number}"));
    }
    let report = bench.once(0, &[]);
    assert_eq!((report.held_deletes, report.unchanged), (0, 10));
    assert_eq!(
        bench.picture().0,
        before.0,
        "the same bytes under a new time touch nothing"
    );
}

#[test]
fn an_approval_older_than_a_day_counts_no_more() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    let (_, id) = held(&bench, &[]);
    let put = |age: Duration| {
        let last_modified = Some(SystemTime::now() - age);
        let options = PutOptions {
            last_modified,
            ..PutOptions::default()
        };
        bench
            .s3
            .put_with(BUCKET, &key(&format!(".s3sync/approve/{id}")), "", options);
    };
    put(Duration::from_secs(24 * 3600 + 60));
    assert_eq!(held(&bench, &[]).0.deleted, 0);
    put(Duration::from_secs(23 * 3600));
    assert_eq!(bench.once(0, &[]).deleted, 10);
}

#[test]
fn a_file_whose_place_a_held_delete_keeps_says_so_and_lands_with_the_approval() {
    let bench = bench_of(10);
    bench.put("thing", "file");
    let process = bench.watch_settled(&["--scrub-interval", "1h"]);
    (0..10).for_each(|number| bench.delete(&name(number)));
    bench.delete("thing");
    bench.put("thing/a.py", "below");
    let id = until_held(&bench);
    testkit::until(DEADLINE, "the file that waits in the status", || {
        bench.status()["detail"]["rejected"] == 1
    });
    assert_eq!(bench.read("thing"), "file");
    approve(&bench, &id);
    bench.until_equal();
    testkit::until(DEADLINE, "nothing that waits", || {
        bench.status()["detail"]["rejected"] == 0
    });
    let stderr = stop(process);
    let waits = stderr
        .lines()
        .find(|line| line.contains("key_rejected"))
        .unwrap_or_default();
    assert!(
        waits.contains("thing/a.py") && waits.contains(&id),
        "{stderr}"
    );
}

#[test]
fn an_empty_listing_may_delete_with_allow_empty() {
    let bench = bench_of(10);
    bench.once(0, &[]);
    bench.s3.delete_prefix(BUCKET, "dags/");
    assert_eq!(bench.once(0, &["--allow-empty"]).deleted, 10);
    assert!(bench.files().is_empty());
}

/// Even one file: what an empty listing deletes is held, however few.
#[test]
fn the_last_file_of_a_prefix_is_held_too() {
    let bench = bench_of(1);
    bench.once(0, &[]);
    bench.delete(&name(0));
    assert_eq!(held(&bench, &[]).0.held_deletes, 1);
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn max_delete_is_a_count_or_a_share_and_three_are_always_free() {
    for (limit, gone, code) in [
        ("5", 5, 0),
        ("5", 6, 1),
        ("25%", 5, 0),
        ("25%", 6, 1),
        ("0", 3, 0),
        ("0", 4, 1),
        ("0%", 3, 0),
        ("100%", 19, 0),
    ] {
        let bench = bench_of(20);
        bench.once(0, &[]);
        for number in 0..gone {
            bench.delete(&name(number));
        }
        let report = bench.once(code, &["--max-delete", limit]);
        let expected = if code == 0 {
            (gone as u64, 0)
        } else {
            (0, gone as u64)
        };
        assert_eq!(
            (report.deleted, report.held_deletes),
            expected,
            "--max-delete {limit}, {gone} gone"
        );
    }
}

#[test]
fn delete_never_deletes_nothing_and_holds_nothing() {
    let bench = bench_of(5);
    bench.once(0, &[]);
    bench.delete(&name(0));
    let report = bench.once(0, &["--delete", "never"]);
    assert_eq!((report.deleted, report.held_deletes), (0, 0));
    assert_eq!(bench.files().len(), 5);
    assert_eq!(bench.once(0, &[]).deleted, 1, "it is still managed");
}

#[test]
fn delete_all_removes_strays_but_nothing_that_is_excluded() {
    let bench = bench_of(5);
    bench.once(0, &[]);
    for path in ["stray.py", "team0/stray.txt"] {
        std::fs::write(bench.at(path), "stray").unwrap();
    }
    std::fs::create_dir(bench.at("__pycache__")).unwrap();
    std::fs::write(bench.at("__pycache__/a.cpython-312.pyc"), "pyc").unwrap();
    std::fs::write(bench.at("keep.local"), "mine").unwrap();
    let report = bench.once(0, &["--delete", "all", "--exclude", "*.local"]);
    assert_eq!((report.deleted, report.held_deletes), (2, 0));
    assert!(bench.at("__pycache__/a.cpython-312.pyc").exists());
    assert!(bench.at("keep.local").exists());
    assert!(!bench.at("stray.py").exists() && !bench.at("team0/stray.txt").exists());
}

#[test]
fn delete_all_in_watch_removes_a_stray_at_the_next_scrub() {
    let bench = bench_of(5);
    let process = bench.watch_settled(&["--delete", "all", "--scrub-interval", "300ms"]);
    std::fs::write(bench.at("stray.py"), "stray").unwrap();
    testkit::until(DEADLINE, "the stray to go", || {
        !bench.at("stray.py").exists()
    });
    assert_eq!(bench.files(), bench.wanted());
    stop(process);
}

#[test]
fn an_existing_directory_is_adopted_without_rewriting_what_is_equal() {
    let bench = bench_of(4);
    bench.put("changed.py", "new");
    for number in 0..4 {
        let path = bench.at(&name(number));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("x = {number}")).unwrap();
    }
    std::fs::write(bench.at("changed.py"), "old").unwrap();
    std::fs::write(bench.at("stray.py"), "stray").unwrap();
    std::fs::write(bench.at("notes.txt"), "stray").unwrap();
    let before: Vec<_> = (0..4)
        .map(|number| identity(bench.at(&name(number))))
        .collect();

    let process = bench.watch_settled(&[]);
    bench.after_listings(3);
    let after: Vec<_> = (0..4)
        .map(|number| identity(bench.at(&name(number))))
        .collect();
    assert_eq!(after, before, "inode and times of equal files stay");
    assert_eq!(
        bench.s3.count(Operation::Get),
        1,
        "equal files are not fetched"
    );
    assert_eq!(bench.read("changed.py"), "new");
    assert_eq!(bench.read("stray.py"), "stray");
    assert_eq!(bench.status()["detail"]["unmanaged"], 2);
    assert_eq!(bench.status()["detail"]["files"], 5);
    let stderr = stop(process);
    assert_eq!(stderr.matches("unmanaged_python").count(), 1, "{stderr}");
    assert!(
        stderr.contains("stray.py") && !stderr.contains("notes.txt"),
        "{stderr}"
    );

    bench.delete(&name(0));
    assert_eq!(bench.once(0, &[]).deleted, 1, "an adopted file is managed");
    assert!(bench.at("stray.py").exists());
}

#[test]
fn a_file_that_is_excluded_later_is_left_where_it_is() {
    let bench = bench_of(5);
    bench.put("readme.md", "text");
    bench.once(0, &[]);
    let before = identity(bench.at("readme.md"));
    let report = bench.once(0, &["--exclude", "*.md"]);
    assert_eq!((report.deleted, report.held_deletes), (0, 0));
    assert_eq!(identity(bench.at("readme.md")), before);
    bench.delete("readme.md");
    assert_eq!(bench.once(0, &[]).deleted, 0, "it is managed no more");
    assert!(bench.at("readme.md").exists());
}
