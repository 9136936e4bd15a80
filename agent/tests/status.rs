//! The status file as its readers see it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test may panic, and a role speaks on stdout"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::status::Status;
use serde_json::{Value, json};

fn read(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn eventually(path: &Path, what: &str, holds: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !read(path).is_some_and(|file| holds(&file)) {
        assert!(Instant::now() < deadline, "not {what}: {:?}", read(path));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_is_there_once_started_and_says_stopped_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s3sync.json");
    let status = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap();
    let first = read(&path).unwrap();
    assert_eq!(
        (&first["phase"], &first["healthy"]),
        (&json!("starting"), &json!(false))
    );
    status.update(|state| {
        state.phase = "watching".to_owned();
        state.healthy = true;
        state.detail.insert("keys".to_owned(), json!(7));
    });
    eventually(&path, "updated", |file| {
        file["healthy"] == json!(true) && file["detail"]["keys"] == json!(7)
    });
    status.finish();
    let last = read(&path).unwrap();
    assert_eq!(
        (&last["phase"], &last["healthy"]),
        (&json!("stopped"), &json!(false))
    );
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["s3sync.json"]);
}

#[test]
fn a_reader_never_sees_a_part() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let status = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut versions = std::collections::BTreeSet::new();
    for number in 0_u64.. {
        status.update(|state| {
            state.detail.insert(
                "filler".to_owned(),
                json!("x".repeat(usize::try_from(number % 50_000).unwrap())),
            );
            state.detail.insert("number".to_owned(), json!(number));
        });
        versions.insert(read(&path).unwrap()["detail"]["number"].as_u64());
        if Instant::now() > deadline {
            break;
        }
    }
    // It was replaced while it was read, and not once for each of the thousands of updates.
    assert!((3..=15).contains(&versions.len()), "{}", versions.len());
}

#[test]
fn it_stays_fresh_without_updates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let _status = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap();
    let first = read(&path).unwrap();
    eventually(&path, "renewed", |file| {
        file["valid_until"] != first["valid_until"]
    });
}

#[test]
fn a_path_that_was_set_and_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/status.json");
    let error = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap_err();
    let expected = format!(
        "the status file {} cannot be written: No such file or directory (os error 2); name another with --status-file",
        path.display()
    );
    assert_eq!(error, expected);
    let occupied = Status::start("s3sync", "0.1.0", Some(directory.path().to_owned()));
    assert!(occupied.is_err());
}

#[test]
fn it_comes_back_when_its_directory_does() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("run");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("status.json");
    let status = Status::start("s3sync", "0.1.0", Some(path.clone())).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    status.update(|state| state.phase = "lost".to_owned());
    fs::create_dir(&inner).unwrap();
    status.update(|state| state.phase = "found".to_owned());
    eventually(&path, "written again", |file| {
        file["phase"] == json!("found")
    });
}
