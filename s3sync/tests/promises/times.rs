//! Promise 9: the times of published files, for Python's cache and Airflow's parser.

use crate::support::{BUCKET, Bench, key};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::process::Program;
use testkit::s3::PutOptions;

fn mtime(bench: &Bench, path: &str) -> i64 {
    std::fs::metadata(bench.at(path)).expect("a time").mtime()
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs() as i64
}

/// Airflow's parser takes a file early only when it is newer than its last look: LastModified is not.
#[test]
fn promise_9_the_time_of_a_new_file_is_now() {
    let bench = Bench::new();
    for (path, then) in [
        (
            "old.py",
            SystemTime::now() - Duration::from_secs(86_400 * 365),
        ),
        ("future.py", SystemTime::now() + Duration::from_secs(86_400)),
    ] {
        bench.s3.put_with(
            BUCKET,
            &key(path),
            "1",
            PutOptions {
                last_modified: Some(then),
                ..PutOptions::default()
            },
        );
    }
    let before = now();
    bench.once(0, &[]);
    for path in ["old.py", "future.py"] {
        assert!((before..=now()).contains(&mtime(&bench, path)), "{path}");
    }
}

/// aws s3 sync, s5cmd and Airflow's bundle miss a same-size edit within one second altogether.
#[test]
fn promise_9_each_change_has_a_later_second_than_the_one_before() {
    let bench = Bench::with(&[("a.py", "x = 0")]);
    bench.once(0, &[]);
    let begun = SystemTime::now();
    let mut seconds = vec![mtime(&bench, "a.py")];
    for number in 1..=4 {
        bench.put("a.py", format!("x = {number}"));
        bench.once(0, &[]);
        seconds.push(mtime(&bench, "a.py"));
    }
    assert!(
        begun.elapsed().unwrap() < Duration::from_secs(4),
        "the machine is too slow to tell"
    );
    assert!(
        seconds.windows(2).all(|pair| pair[0] < pair[1]),
        "{seconds:?}"
    );
    // Not further than needed: whoever put a time far ahead is followed from there.
    assert!(seconds[4] <= seconds[0] + 5, "{seconds:?}");
}

#[test]
fn promise_9_a_repaired_file_and_a_replaced_one_have_later_seconds_too() {
    let bench = Bench::with(&[("a.py", "x = 1"), ("theirs.py", "from S3")]);
    let ahead = SystemTime::now() + Duration::from_secs(3_600);
    std::fs::write(bench.at("theirs.py"), "local").unwrap();
    std::fs::File::options()
        .write(true)
        .open(bench.at("theirs.py"))
        .unwrap()
        .set_modified(ahead)
        .unwrap();
    let before = mtime(&bench, "theirs.py");
    bench.once(0, &[]);
    assert_eq!(
        (bench.read("theirs.py").as_str(), mtime(&bench, "theirs.py")),
        ("from S3", before + 1)
    );

    std::fs::write(bench.at("a.py"), "x = 666").unwrap();
    std::fs::File::options()
        .write(true)
        .open(bench.at("a.py"))
        .unwrap()
        .set_modified(ahead)
        .unwrap();
    let before = mtime(&bench, "a.py");
    let _watch = bench.watch_settled(&["--scrub-interval", "200ms"]);
    bench.until_equal();
    assert_eq!(mtime(&bench, "a.py"), before + 1);
}

/// A .pyc is valid by whole seconds and size: with any other time the old bytecode would run.
#[test]
fn promise_9_python_runs_each_version_and_never_a_stale_cache() {
    let bench = Bench::with(&[("helper.py", "X = 0\n")]);
    bench.once(0, &[]);
    let run = |script: &str| {
        let finished = Program::new("/usr/bin/env")
            .args(["python3", "-c", script])
            .directory(bench.dest())
            .inherit(&["PATH", "HOME"])
            .run(crate::support::DEADLINE);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.stdout.trim().to_string()
    };
    let compile = "import py_compile; print(py_compile.compile('helper.py'))";
    for number in 1..=3 {
        let cache = bench.at(&run(compile));
        assert!(cache.exists());
        bench.put("helper.py", format!("X = {number}\n"));
        bench.once(0, &[]);
        assert!(cache.exists(), "the cache is not s3sync's to delete");
        assert_eq!(
            run(
                "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, '.'); import helper; print(helper.X)"
            ),
            number.to_string()
        );
    }
}
