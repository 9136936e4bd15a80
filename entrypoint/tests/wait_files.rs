//! Waiting for files that somebody else makes.

mod wait;

use std::path::PathBuf;
use std::time::Duration;

use entrypoint::failure::Failure;
use wait::{SOON, Waiting, start, timed};

fn files(paths: &[PathBuf], timeout: Duration) -> Waiting<Result<(), Failure>> {
    let paths = paths.to_vec();
    start(move || async move {
        let deadline = tokio::time::Instant::now() + timeout;
        entrypoint::files::wait(&paths, deadline).await
    })
}

#[test]
fn every_file_is_waited_for_and_each_change_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| directory.path().join(name));
    let waiting = files(&paths, SOON);
    waiting.until_told("files_missing", 1);
    std::fs::create_dir(&paths[0]).unwrap();
    waiting.until_told("files_missing", 2);
    std::fs::write(&paths[1], "").unwrap();
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end(), Ok(()));
    assert_eq!(
        (lines.count("files_missing"), lines.count("files_present")),
        (2, 1)
    );
}

#[test]
fn what_is_missing_at_the_deadline_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["there", "missing"].map(|name| directory.path().join(name));
    std::fs::write(&paths[0], "").unwrap();
    // A link to nothing is no file.
    std::os::unix::fs::symlink("/no/such", &paths[1]).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(300)] {
        let (result, took) = timed(|| files(&paths, timeout).end());
        let failure = result.unwrap_err();
        assert_eq!(failure.code(), 69);
        assert!(
            failure.why.contains("missing") && !failure.why.contains("there,"),
            "{failure}"
        );
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn no_file_is_no_wait() {
    let waiting = files(&[], Duration::ZERO);
    let lines = waiting.lines.clone();
    assert_eq!((waiting.end(), lines.text().as_str()), (Ok(()), ""));
}
