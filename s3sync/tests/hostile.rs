//! A DEST that cannot be written: from the start, and from some moment on.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::watcher::Watcher;
use support::{Bench, DEADLINE};
use testkit::fs::{Mount, Picture};
use testkit::fuse::{Call, Fuse};
use testkit::process::{Finished, Program};

const FILES: &[(&str, &str)] = &[("a.py", "a = 1"), ("pkg/b.py", "b = 1")];
/// `nobody`: a user that owns nothing here.
const NOBODY: u32 = 65534;

#[test]
fn a_read_only_directory_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    let _mount = Mount::read_only(bench.dest());
    both_refuse(&bench, &[], &["Read-only file system", "mount it writable"]);
    assert_eq!(
        bench.s3.requests().len(),
        0,
        "it was found before anything was asked of S3"
    );
}

#[test]
fn a_full_file_system_is_refused_at_the_start() {
    for options in ["size=64k", "size=1m,nr_inodes=8"] {
        let bench = Bench::with(FILES);
        let _mount = Mount::tmpfs_with(bench.dest(), options);
        fill(&bench.dest());
        both_refuse(&bench, &[], &["No space left", "free some room"]);
    }
}

#[test]
fn once_on_a_file_system_too_small_for_the_set_ends_with_73_and_keeps_what_was_there() {
    let bench = Bench::with(FILES);
    let _mount = Mount::tmpfs(bench.dest(), 256 << 10);
    assert_eq!(bench.run("once", &[]).code, 0);
    let before = bench.picture();
    bench.put("a.py", "a = 2");
    bench.put("large.bin", vec![7; 1 << 20]);
    bench.delete("pkg/b.py");
    refused(
        "once",
        &bench.run("once", &[]),
        &["No space left", "free some room"],
    );
    assert_eq!(
        bench.picture(),
        before,
        "nothing was truncated, replaced or deleted"
    );
    assert_eq!(staged(&bench), 0, "its room is given back");
    bench.s3.delete("bucket", "dags/large.bin");
    assert_eq!(bench.run("once", &[]).code, 0);
    assert_eq!(bench.files(), bench.wanted());
}

#[test]
fn a_directory_of_another_user_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    open_to_all(bench.outside.path());
    for command in ["once", "watch"] {
        let program = as_nobody(&bench, command, &[]);
        refused(
            command,
            &program.run(DEADLINE),
            &["Permission denied", "let this user write there"],
        );
    }
}

#[test]
fn a_state_directory_on_another_file_system_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    let state = beside(&bench, "state");
    let _mount = Mount::tmpfs(&state, 1 << 20);
    let state = state.to_str().unwrap();
    both_refuse(
        &bench,
        &["--state-dir", state],
        &["another file system than DEST", "--state-dir", state],
    );
}

#[test]
fn a_state_directory_beside_dest_works() {
    let bench = Bench::with(FILES);
    let state = beside(&bench, "state");
    assert_eq!(
        bench
            .run("once", &["--state-dir", state.to_str().unwrap()])
            .code,
        0
    );
    assert_eq!(bench.files(), bench.wanted());
    assert!(!bench.state().exists() && state.join("heartbeat").exists());
}

#[test]
fn a_state_directory_that_is_a_file_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    let state = bench.outside.path().join("state");
    std::fs::write(&state, "kept").unwrap();
    both_refuse(
        &bench,
        &["--state-dir", state.to_str().unwrap()],
        &["it is no directory", "state"],
    );
    assert_eq!(std::fs::read(&state).unwrap(), b"kept");
    std::fs::write(bench.state(), "kept").unwrap();
    both_refuse(&bench, &[], &["it is no directory", ".s3sync"]);
    assert_eq!(std::fs::read(bench.state()).unwrap(), b"kept");
}

#[test]
fn a_dest_that_is_a_file_or_below_one_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    std::fs::remove_dir(bench.dest()).unwrap();
    std::fs::write(bench.dest(), "kept").unwrap();
    both_refuse(&bench, &[], &["it is no directory"]);
    let below = bench.at("below/it");
    for command in ["once", "watch"] {
        let program = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args([command, "s3://bucket/dags"])
            .arg(&below);
        refused(
            command,
            &program.envs(bench.s3.environment()).run(DEADLINE),
            &["below/it", "Not a directory"],
        );
    }
    assert_eq!(std::fs::read(bench.dest()).unwrap(), b"kept");
}

#[test]
fn a_dest_that_is_a_link_is_refused_at_the_start() {
    let bench = Bench::with(FILES);
    let target = beside(&bench, "target");
    std::fs::remove_dir(bench.dest()).unwrap();
    std::os::unix::fs::symlink(&target, bench.dest()).unwrap();
    both_refuse(
        &bench,
        &[],
        &["symbolic link", "name the directory that it leads to"],
    );
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn a_status_file_that_was_asked_for_and_cannot_be_written_is_refused() {
    let bench = Bench::with(FILES);
    for command in ["once", "watch"] {
        let program = bench.program(command, &[]).env(
            "S3SYNC_STATUS_FILE",
            bench.outside.path().join("none/status.json"),
        );
        refused(
            command,
            &program.run(DEADLINE),
            &["none/status.json", "--status-file"],
        );
    }
    assert!(bench.files().is_empty());
}

#[test]
fn the_default_status_file_that_cannot_be_written_is_a_warning() {
    let bench = Bench::with(FILES);
    open_to_all(bench.outside.path());
    chown(&bench.dest(), NOBODY);
    // As a user who cannot make /run/trimtab, whether or not this machine has one.
    let mut watch = as_nobody(&bench, "watch", &[])
        .without_env("S3SYNC_STATUS_FILE")
        .spawn();
    watch.wait_for(
        |line| line.contains("status_unwritable") && line.contains("WARN"),
        DEADLINE,
    );
    bench.until_equal();
    assert!(watch.is_running());
}

/// An NFS server may refuse what it allowed before: an export made read-only, a policy, a failing disk.
#[test]
fn a_file_system_that_begins_to_refuse_writes_holds_the_pass_until_it_takes_them_again() {
    for (error, words) in [
        (Errno::ROFS, ["Read-only file system", "mount it writable"]),
        (
            Errno::ACCESS,
            ["Permission denied", "let this user write there"],
        ),
        (Errno::DQUOT, ["quota", "raise the quota"]),
        (Errno::IO, ["Input/output error", "cannot"]),
        (
            Errno::STALE,
            ["Stale file handle", "the file system was replaced"],
        ),
    ] {
        for call in [Call::Change, Call::Rename] {
            let bench = Bench::with(FILES);
            let fuse = Fuse::mount(bench.dest());
            holds_and_recovers(&bench, || fuse.refuse(call, error), &words, || fuse.allow());
        }
    }
}

#[test]
fn a_file_system_that_becomes_full_holds_the_pass_until_there_is_room() {
    for options in ["size=256k", "size=4m,nr_inodes=40"] {
        let bench = Bench::with(FILES);
        let _mount = Mount::tmpfs_with(bench.dest(), options);
        holds_and_recovers(
            &bench,
            || fill(&bench.dest()),
            &["No space left", "free some room"],
            || drain(&bench.dest()),
        );
    }
}

#[test]
fn a_directory_that_loses_its_permission_holds_the_pass_until_it_is_given_back() {
    let bench = Bench::with(FILES);
    open_to_all(bench.outside.path());
    chown(&bench.dest(), NOBODY);
    let watcher = Watcher::of(
        &bench,
        "nobody",
        as_nobody(
            &bench,
            "watch",
            &["--interval", "200ms", "--settle", "100ms"],
        ),
    );
    let mode =
        |mode| std::fs::set_permissions(bench.dest(), PermissionsExt::from_mode(mode)).unwrap();
    // Staging can still be written: the renames are what fails.
    let cause = || mode(0o555);
    holds_and_recovers_with(
        &bench,
        watcher,
        cause,
        &["Permission denied", "let this user write there"],
        || mode(0o755),
    );
}

#[test]
fn a_dest_replaced_by_a_link_holds_the_pass_until_it_is_back() {
    let bench = Bench::with(FILES);
    let (moved, other) = (bench.outside.path().join("moved"), beside(&bench, "other"));
    let replace = || {
        std::fs::rename(bench.dest(), &moved).unwrap();
        std::os::unix::fs::symlink(&other, bench.dest()).unwrap();
    };
    let put_back = || {
        assert_eq!(
            std::fs::read_dir(&other).unwrap().count(),
            0,
            "nothing goes through the link"
        );
        std::fs::remove_file(bench.dest()).unwrap();
        std::fs::rename(&moved, bench.dest()).unwrap();
    };
    holds_and_recovers(
        &bench,
        replace,
        &["symbolic link", "name the directory that it leads to"],
        put_back,
    );
}

/// Also without any change in S3: the next scrub looks.
#[test]
fn another_directory_in_place_of_dest_is_filled_and_the_old_one_left_alone() {
    for changes in [true, false] {
        let bench = Bench::with(FILES);
        let moved = bench.outside.path().join("moved");
        let mut watcher = Watcher::start(&bench, "watch", &["--scrub-interval", "1s"]);
        watcher.wait_healthy("writer");
        let before = bench.picture();
        std::fs::rename(bench.dest(), &moved).unwrap();
        std::fs::create_dir(bench.dest()).unwrap();
        if changes {
            bench.put("a.py", "a = 2");
        }
        bench.until_equal();
        assert_eq!(Picture::of(&moved).without(".s3sync"), before);
        watcher.wait_for_recovery();
    }
}

/// A pass is held while `cause` lasts, and made when it is gone, by the same process.
fn holds_and_recovers(bench: &Bench, cause: impl FnOnce(), words: &[&str], cure: impl FnOnce()) {
    let watcher = Watcher::start(bench, "watch", &[]);
    holds_and_recovers_with(bench, watcher, cause, words, cure);
}

fn holds_and_recovers_with(
    bench: &Bench,
    mut watcher: Watcher,
    cause: impl FnOnce(),
    words: &[&str],
    cure: impl FnOnce(),
) {
    watcher.wait_healthy("writer");
    let before = bench.picture();
    cause();
    bench.put("a.py", "a = 2 # longer than before");
    bench.put("new/c.py", "c = 1");
    bench.delete("pkg/b.py");
    for word in words {
        let status = watcher.wait_for_trouble(word);
        assert_eq!(status["healthy"], true, "{status}");
    }
    stays_held(&watcher, Duration::from_secs(1));
    if bench
        .dest()
        .symlink_metadata()
        .is_ok_and(|data| data.is_dir())
    {
        for (path, bytes) in &before.files() {
            assert_eq!(
                std::fs::read(bench.at(path)).ok().as_ref(),
                Some(bytes),
                "{path}"
            );
        }
    }
    cure();
    let managed = || {
        bench
            .files()
            .into_iter()
            .filter(|(path, _)| !path.starts_with("ballast."))
            .collect()
    };
    testkit::until(DEADLINE, "DEST to be equal to S3", || {
        bench.wanted() == managed()
    });
    watcher.wait_for_recovery();
    assert!(watcher.process.is_running());
    assert_eq!(staged(bench), 0);
}

/// Degraded and healthy over several tries: it does not flicker.
fn stays_held(watcher: &Watcher, window: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < window {
        let status = watcher.status();
        assert_eq!(
            (&status["healthy"], &status["degraded"]),
            (&true.into(), &true.into()),
            "{status}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `once` and the start of `watch` must end alike: 73, and one line that names cause and fix.
fn both_refuse(bench: &Bench, options: &[&str], words: &[&str]) {
    for command in ["once", "watch"] {
        refused(command, &bench.run(command, options), words);
    }
}

fn refused(what: &str, finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, 73, "{what}: {}", finished.stderr);
    assert_eq!(finished.stdout, "", "{what}");
    let errors: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "{what}: {}", finished.stderr);
    for word in words {
        assert!(
            errors[0].contains(word),
            "{what}: no {word:?} in {}",
            errors[0]
        );
    }
}

/// Takes every byte and every inode.
fn fill(directory: &Path) {
    for number in 0.. {
        if std::fs::write(directory.join(format!("ballast.{number}")), vec![0; 4096]).is_err() {
            return;
        }
    }
}

fn drain(directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        if entry.file_name().to_string_lossy().starts_with("ballast.") {
            std::fs::remove_file(entry.path()).expect("ballast can be removed");
        }
    }
}

fn staged(bench: &Bench) -> usize {
    let reigns = std::fs::read_dir(bench.state().join("staging"))
        .into_iter()
        .flatten()
        .flatten();
    reigns
        .map(|reign| {
            std::fs::read_dir(reign.path())
                .into_iter()
                .flatten()
                .count()
        })
        .sum()
}

fn beside(bench: &Bench, name: &str) -> std::path::PathBuf {
    let path = bench.outside.path().join(name);
    std::fs::create_dir(&path).expect("a directory");
    path
}

/// The program as a user that owns nothing.
fn as_nobody(bench: &Bench, command: &str, options: &[&str]) -> Program {
    let nobody = NOBODY.to_string();
    let (user, group) = (format!("--reuid={nobody}"), format!("--regid={nobody}"));
    // A copy: the directory that the program was built in may be closed to others.
    let copy = bench.outside.path().join("s3sync");
    std::fs::copy(env!("CARGO_BIN_EXE_s3sync"), &copy).expect("a copy of the program");
    Program::new("/usr/bin/setpriv")
        .args([&user, &group, "--clear-groups"])
        .arg(copy)
        .args([command, "s3://bucket/dags"])
        .arg(bench.dest())
        .args(options.iter().copied())
        .envs(bench.s3.environment())
}

fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).expect("a mode");
}

fn chown(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).expect("another owner (needs root)");
}
