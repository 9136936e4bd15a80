//! Several instances on one directory. The sidecars that share a volume and run `aws s3 sync` in a
//! loop race on it (helm/charts #21972); here one writes, and the others follow.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use support::watcher::Watcher;
use support::{Bench, DEADLINE};
use testkit::process::{Program, Signal};
use testkit::s3::Operation;
use testkit::until;

const FILES: &[(&str, &str)] = &[
    ("a.py", "a = 1"),
    ("pkg/b.py", "b = 1"),
    ("pkg/c.sql", "select 1"),
];
/// Some polls of a follower, and what a busy machine adds.
const A_FEW_POLLS: Duration = Duration::from_secs(5);

#[test]
fn promise_8_several_instances_are_one_writer() {
    let bench = Bench::with(FILES);
    let mut watchers: Vec<Watcher> = (0..10)
        .map(|number| Watcher::start(&bench, &number.to_string(), &["--max-delete", "1000"]))
        .collect();
    for watcher in &mut watchers {
        watcher.wait_for("health", |status| status["healthy"] == true);
    }
    bench.until_equal();
    assert_eq!(writers(&watchers).len(), 1);

    // No lost update, and never a second writer, while the source changes all the time.
    for round in 0..15 {
        bench.put("a.py", format!("a = {round:04}"));
        bench.put(&format!("pkg/{round}.py"), format!("x = {round}"));
        if round > 0 {
            bench.delete(&format!("pkg/{}.py", round - 1));
        }
        until(DEADLINE, "the round's files", || {
            assert!(writers(&watchers).len() <= 1);
            bench.files() == bench.wanted()
        });
    }

    // The LISTs are those of one: 200 ms, shortened by a tenth at most.
    let (window, begun) = (Duration::from_secs(2), Instant::now());
    bench.s3.reset_requests();
    std::thread::sleep(window);
    let (lists, most) = (
        bench.s3.count(Operation::List),
        begun.elapsed().as_millis() as u64 / 180 + 2,
    );
    assert!(
        (3..=most).contains(&lists),
        "{lists} LISTs, {most} are those of one"
    );
    assert_eq!(bench.s3.requests().len() as u64, lists, "and nothing else");

    let mut late = Watcher::start(&bench, "late", &[]);
    late.wait_within(A_FEW_POLLS, "a healthy follower at once", |status| {
        status["healthy"] == true && status["detail"]["role"] == "follower"
    });
    watchers.push(late);
    for watcher in &mut watchers {
        let status = watcher.status();
        assert_eq!(status["degraded"], false, "{status}");
        assert!(watcher.process.is_running());
        no_complaint(watcher);
    }
}

#[test]
fn a_follower_is_not_healthy_before_the_writer_has_filled_the_directory() {
    let bench = Bench::with(FILES);
    bench.s3.delay(Operation::Get, Duration::from_secs(2));
    let mut watchers = [
        Watcher::start(&bench, "one", &[]),
        Watcher::start(&bench, "other", &[]),
    ];
    for watcher in &mut watchers {
        let status = watcher.wait_for("a role", |status| status["detail"]["role"].is_string());
        assert_eq!(
            (&status["healthy"], &status["degraded"]),
            (&false.into(), &false.into()),
            "{status}"
        );
    }
    until(DEADLINE, "health of both", || {
        let healthy = watchers
            .iter()
            .filter(|watcher| watcher.status()["healthy"] == true)
            .count();
        // Looked at after the health that it must come before.
        assert!(
            healthy == 0 || bench.files() == bench.wanted(),
            "healthy before a file was there"
        );
        healthy == 2
    });
}

#[test]
fn a_killed_writer_is_replaced_within_a_few_polls() {
    let bench = Bench::with(FILES);
    let mut watchers = together(&bench, 3);
    for round in 0..2 {
        let writer = writers(&watchers)[0];
        let mut killed = watchers.remove(writer);
        killed.process.kill();
        bench.put("a.py", format!("a = 'after kill {round}'"));
        bench.put(&format!("new{round}.py"), "new");
        until(A_FEW_POLLS, "another writer", || {
            writers(&watchers).len() == 1 && bench.files() == bench.wanted()
        });
    }
    watchers.iter_mut().for_each(|watcher| {
        watcher.wait_healthy("writer");
        no_complaint(watcher);
    });
}

#[test]
fn a_writer_that_is_asked_to_stop_hands_over_at_once() {
    let bench = Bench::with(FILES);
    let mut watchers = together(&bench, 3);
    let mut stopped = watchers.remove(writers(&watchers)[0]);
    stopped.process.signal(Signal::TERM);
    assert_eq!(stopped.process.exit_code(DEADLINE), 0);
    until(A_FEW_POLLS, "another writer", || {
        writers(&watchers).len() == 1
    });
    bench.put("a.py", "a = 2");
    bench.until_equal();
    let mut follower = watchers.remove(1 - writers(&watchers)[0]);
    follower.process.signal(Signal::TERM);
    assert_eq!(
        follower.process.exit_code(DEADLINE),
        0,
        "a follower stops too"
    );
    assert!(watchers[0].process.is_running());
}

#[test]
fn a_writer_frozen_in_a_burst_publishes_nothing_when_it_wakes_after_another_took_over() {
    let bench = Bench::with(FILES);
    let mut frozen = Watcher::start(&bench, "frozen", &[]);
    frozen.wait_healthy("writer");
    let mut taker = Watcher::start(&bench, "taker", &[]);
    taker.wait_healthy("follower");
    freeze_in_a_burst(&bench, &mut frozen);

    age(&bench.state(), Duration::from_secs(240));
    taker.wait_healthy("writer");
    bench.until_equal();
    // Further changes: what the frozen one holds in staging is old, or is to be gone.
    for number in 0..BURST {
        match number % 3 {
            0 => bench.delete(&burst_path(number)),
            1 => drop(bench.put(&burst_path(number), format!("later = {number:06}"))),
            _ => {}
        }
    }
    bench.put("after.py", "after");
    until(
        DEADLINE,
        "the deletes, as far as they go, and the updates",
        || bench.files() == bench.wanted(),
    );
    let before = bench.picture();

    frozen.process.signal(Signal::CONT);
    frozen.wait_for("a follower", |status| {
        status["detail"]["role"] == "follower" && status["healthy"] == true
    });
    assert_eq!(bench.picture(), before, "the woken one changed something");
    frozen.wait_for_recovery();
    assert_eq!(taker.role(), "writer");
    bench.put("last.py", "last");
    bench.until_equal();
    assert!(frozen.process.is_running() && taker.process.is_running());
    // The other way round: the woken one is as good a successor as any.
    taker.process.kill();
    bench.put("last.py", "again");
    frozen.wait_healthy("writer");
    bench.until_equal();
}

#[test]
fn once_waits_thirty_seconds_for_the_lock_and_names_its_holder() {
    let bench = Bench::with(FILES);
    let mut watcher = Watcher::start(&bench, "watch", &[]);
    watcher.wait_healthy("writer");
    let begun = Instant::now();
    let finished = bench.program("once", &[]).run(DEADLINE * 2);
    assert_eq!(finished.code, 69, "{}", finished.stderr);
    assert!(
        (30..40).contains(&begun.elapsed().as_secs()),
        "after {:?}",
        begun.elapsed()
    );
    let holder = format!("/{}/", watcher.process.id());
    assert!(
        finished.stderr.contains(&holder) && finished.stderr.contains("locked by another s3sync"),
        "{}",
        finished.stderr
    );
    assert_eq!(finished.stdout, "");
    watcher.wait_healthy("writer");
}

#[test]
fn once_goes_on_when_it_gets_the_lock_meanwhile() {
    let bench = Bench::with(FILES);
    let mut watcher = Watcher::start(&bench, "watch", &[]);
    watcher.wait_healthy("writer");
    let mut once = bench.program("once", &["--output", "json"]).spawn();
    // It has tried when it has read the heartbeat; the writer is there for some more polls.
    bench.after_listings(3);
    assert!(once.is_running());
    watcher.process.signal(Signal::TERM);
    assert_eq!(watcher.process.exit_code(DEADLINE), 0);
    bench.put("later.py", "later");
    assert_eq!(once.exit_code(DEADLINE), 0, "{}", once.stderr());
    assert_eq!(bench.run("once", &[]).code, 0);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn a_directory_of_another_source_is_refused_and_left_alone() {
    let bench = Bench::with(FILES);
    bench.s3.put_all(
        "bucket",
        [("staging/a.py", "a = 'staging'"), ("staging/d.py", "d")],
    );
    assert_eq!(bench.run("once", &[]).code, 0);
    let before = bench.picture();
    for command in ["once", "watch"] {
        let finished = of_staging(&bench, command, &[]).run(DEADLINE);
        refused(finished.code, &finished.stderr);
    }
    // The writer lives: the other would be a follower.
    let mut writer = Watcher::start(&bench, "writer", &[]);
    writer.wait_healthy("writer");
    let finished = of_staging(&bench, "watch", &[]).run(DEADLINE);
    refused(finished.code, &finished.stderr);
    assert_eq!(bench.picture(), before);
    assert!(writer.process.is_running());
    no_complaint(&writer);
}

#[test]
fn adopt_takes_a_directory_of_another_source_over() {
    for command in ["once", "watch"] {
        let bench = Bench::with(FILES);
        bench.s3.put_all(
            "bucket",
            [("staging/a.py", "a = 'staging'"), ("staging/d.py", "d")],
        );
        assert_eq!(bench.run("once", &[]).code, 0);
        let _process = of_staging(&bench, command, &["--adopt"]).spawn();
        let wanted = BTreeMap::from([
            ("a.py".to_string(), b"a = 'staging'".to_vec()),
            ("d.py".to_string(), b"d".to_vec()),
        ]);
        until(DEADLINE, "the other source's files", || {
            bench.files() == wanted
        });
        if command == "once" {
            let finished = bench.run("once", &[]);
            refused_words(finished.code, &finished.stderr, &["s3://bucket/staging/"]);
        }
    }
}

/// A deployment that changes the source starts the new task beside the old one.
#[test]
fn adopt_waits_for_the_other_sources_writer_and_is_not_healthy_before() {
    let bench = Bench::with(FILES);
    bench.s3.put_all(
        "bucket",
        [("staging/a.py", "a = 'staging'"), ("staging/d.py", "d")],
    );
    let mut old = Watcher::start(&bench, "old", &[]);
    old.wait_healthy("writer");
    let mut new = Watcher::of(
        &bench,
        "new",
        of_staging(&bench, "watch", &["--adopt", "--interval", "200ms"]),
    );
    let status = new.wait_for("a follower", |status| {
        status["detail"]["role"] == "follower"
    });
    assert_eq!(
        status["healthy"], false,
        "it vouches for the other source's files: {status}"
    );
    old.process.signal(Signal::TERM);
    assert_eq!(old.process.exit_code(DEADLINE), 0);
    new.wait_healthy("writer");
    assert_eq!(bench.read("a.py"), "a = 'staging'");
}

fn together(bench: &Bench, count: usize) -> Vec<Watcher> {
    let mut watchers: Vec<Watcher> = (0..count)
        .map(|number| Watcher::start(bench, &number.to_string(), &[]))
        .collect();
    watchers.iter_mut().for_each(|watcher| {
        watcher.wait_for("health", |status| status["healthy"] == true);
    });
    watchers
}

/// Which of them say that they write.
fn writers(watchers: &[Watcher]) -> Vec<usize> {
    let roles = watchers.iter().map(Watcher::role).enumerate();
    roles
        .filter(|(_, role)| role == "writer")
        .map(|(number, _)| number)
        .collect()
}

fn no_complaint(watcher: &Watcher) {
    let complaint = watcher
        .process
        .lines()
        .into_iter()
        .find(|line| line.text.contains("\"WARN\"") || line.text.contains("\"ERROR\""));
    assert!(complaint.is_none(), "{complaint:?}");
}

/// Enough that a burst takes longer than a signal.
const BURST: usize = 1500;

fn burst_path(number: usize) -> String {
    format!("burst/d{:02}/f{number:04}.py", number % 40)
}

/// Uploads a set, and stops the writer while some of it is published and some is not.
fn freeze_in_a_burst(bench: &Bench, writer: &mut Watcher) {
    for round in 0..8 {
        let text = |number| format!("round = {round}; number = {number:06}");
        let set: Vec<(String, String)> = (0..BURST)
            .map(|number| (support::key(&burst_path(number)), text(number)))
            .collect();
        bench.s3.put_all(support::BUCKET, set);
        let published = || {
            let there = (0..BURST).filter(|number| {
                std::fs::read_to_string(bench.at(&burst_path(*number)))
                    .is_ok_and(|found| found == text(*number))
            });
            there.count()
        };
        let first = bench.at(&burst_path(0));
        let before = inode(&first);
        let begun = Instant::now();
        // As fast as it goes: what is looked for lasts some milliseconds.
        while inode(&first) == before {
            assert!(begun.elapsed() < DEADLINE, "no burst");
        }
        writer.process.signal(Signal::STOP);
        let count = published();
        if (1..BURST).contains(&count) {
            return;
        }
        writer.process.signal(Signal::CONT);
        bench.until_equal();
    }
    panic!("no burst could be stopped in its middle");
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().map_or(0, |data| data.ino())
}

/// Makes the writer's last sign of life older.
fn age(state: &Path, by: Duration) {
    for name in ["heartbeat", "epoch"] {
        let file = std::fs::File::options()
            .write(true)
            .open(state.join(name))
            .expect("a file of the lock");
        file.set_modified(SystemTime::now() - by)
            .expect("another time");
    }
}

/// The program, from another prefix to the same DEST.
fn of_staging(bench: &Bench, command: &str, options: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args([command, "s3://bucket/staging"])
        .arg(bench.dest())
        .args(options.iter().copied())
        .envs(bench.s3.environment())
        .env(
            "S3SYNC_STATUS_FILE",
            bench.outside.path().join("staging.json"),
        )
}

fn refused(code: i32, stderr: &str) {
    refused_words(
        code,
        stderr,
        &["s3://bucket/staging/", "s3://bucket/dags/", "--adopt"],
    );
}

fn refused_words(code: i32, stderr: &str, words: &[&str]) {
    assert_eq!(code, 73, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
}
