//! A file system that hangs, as NFS does when its server is away: the status says so, and the process
//! can be ended all the same. These tests take as long as the silence and the grace that they are about.

mod support;

use std::time::{Duration, Instant};

use support::watcher::Watcher;
use support::{Bench, DEADLINE};
use testkit::fuse::{Call, Fuse};
use testkit::process::{Process, Signal};

const FILES: &[(&str, &str)] = &[("a.py", "a = 1"), ("pkg/b.py", "b = 1")];
/// What the program gives itself to end in good order.
const GRACE: Duration = Duration::from_secs(20);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(5);

#[test]
fn a_hanging_rename_is_named_health_stays_and_the_pass_goes_on_afterwards() {
    let bench = Bench::with(FILES);
    let fuse = Fuse::mount(bench.dest());
    let mut watcher = Watcher::start(&bench, "watch", &[]);
    watcher.wait_healthy("writer");
    let stalled = Instant::now();
    fuse.stall(Call::Rename);
    bench.put("a.py", "a = 2");
    let status = watcher.wait_for_trouble("DEST silent for 1");
    assert!(
        stalled.elapsed() >= Duration::from_secs(10),
        "too early: {:?}",
        stalled.elapsed()
    );
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.ends_with(" s in rename"), "{reason}");
    assert_eq!(
        status["healthy"], true,
        "a hanging file system is no reason to end the task: {status}"
    );
    // The status stays fresh, whatever hangs.
    let updated = status["updated"].clone();
    let status = watcher.wait_for("a later status", |status| status["updated"] != updated);
    assert_eq!(
        (&status["degraded"], &status["healthy"]),
        (&true.into(), &true.into()),
        "{status}"
    );

    fuse.go_on();
    watcher.wait_for_recovery();
    bench.put("pkg/c.py", "c = 1");
    bench.until_equal();
    assert!(watcher.process.is_running());
}

#[test]
fn sigterm_ends_a_watch_that_hangs_in_a_burst_within_its_grace() {
    let bench = Bench::with(FILES);
    let fuse = Fuse::mount(bench.dest());
    let mut watcher = hung(&bench, &fuse, Call::Rename);
    ends_within(&mut watcher.process, GRACE);
    fuse.go_on();
    recovers(&bench);
}

#[test]
fn sigterm_ends_a_watch_whose_whole_file_system_hangs_within_its_grace() {
    let bench = Bench::with(FILES);
    let fuse = Fuse::mount(bench.dest());
    let mut watcher = hung(&bench, &fuse, Call::Any);
    watcher.wait_for_trouble("DEST silent for 1");
    ends_within(&mut watcher.process, GRACE);
    fuse.go_on();
    recovers(&bench);
}

#[test]
fn a_second_sigterm_ends_a_hanging_watch_at_once() {
    for call in [Call::Rename, Call::Write, Call::Any] {
        let bench = Bench::with(FILES);
        let fuse = Fuse::mount(bench.dest());
        let mut watcher = hung(&bench, &fuse, call);
        watcher.process.signal(Signal::TERM);
        // Only the first one's handler leaves the process there to be sent another.
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(500) {
            assert!(
                watcher.process.is_running(),
                "{call:?}: it did not wait for what hangs: {}",
                watcher.process.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        ends_within(&mut watcher.process, Duration::ZERO);
        fuse.go_on();
        recovers(&bench);
    }
}

#[test]
fn a_file_system_that_hangs_from_the_start_is_named_and_does_not_hold_the_process() {
    let bench = Bench::with(FILES);
    let fuse = Fuse::mount(bench.dest());
    fuse.stall(Call::Any);
    let mut once = bench.program("once", &[]).spawn();
    let mut watcher = Watcher::start(&bench, "watch", &[]);
    let status = watcher.wait_for_trouble("DEST silent for 1");
    assert_eq!(
        status["healthy"], false,
        "no pass was made, and DEST's content is not known: {status}"
    );
    assert!(
        status["reason"].as_str().unwrap().ends_with(" s in open"),
        "{status}"
    );
    // Nothing is half done, so nothing is waited for.
    ends_within(&mut watcher.process, Duration::ZERO);
    once.signal(Signal::TERM);
    ends_within(&mut once, GRACE);
}

#[test]
fn a_follower_says_that_the_file_system_hangs_and_stays_healthy() {
    let bench = Bench::with(FILES);
    let fuse = Fuse::mount(bench.dest());
    let mut writer = Watcher::start(&bench, "writer", &[]);
    writer.wait_healthy("writer");
    let mut follower = Watcher::start(&bench, "follower", &[]);
    follower.wait_healthy("follower");
    fuse.stall(Call::Any);
    let status = follower.wait_for_trouble("DEST silent for 1");
    assert_eq!(status["healthy"], true, "{status}");
    fuse.go_on();
    follower.wait_for_recovery();
    bench.put("a.py", "a = 2");
    bench.until_equal();
    let roles = [writer.role(), follower.role()];
    assert_eq!(
        roles.iter().filter(|role| *role == "writer").count(),
        1,
        "{roles:?}"
    );
}

/// A writer that has filled DEST, and waits for one of these calls.
fn hung(bench: &Bench, fuse: &Fuse, call: Call) -> Watcher {
    let mut watcher = Watcher::start(bench, "watch", &[]);
    watcher.wait_healthy("writer");
    fuse.stall(call);
    bench.put("a.py", "a = 2");
    testkit::until(DEADLINE, "a call that waits", || fuse.waiting() > 0);
    watcher
}

fn ends_within(process: &mut Process, limit: Duration) {
    let asked = Instant::now();
    assert!(process.signal(Signal::TERM));
    assert_eq!(
        process.exit_code(limit + SLACK),
        0,
        "after {:?}: {}",
        asked.elapsed(),
        process.stderr()
    );
}

/// What the one before left half done is no obstacle.
fn recovers(bench: &Bench) {
    assert_eq!(bench.run("once", &[]).code, 0);
    assert_eq!(bench.files(), bench.wanted());
}
