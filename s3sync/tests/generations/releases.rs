//! A release lands whole or not at all.

use crate::bench::{GENERATIONS, current, path_of, whole};
use crate::support::releases::{Made, content};
use crate::support::{BUCKET, Bench, DEADLINE, key};

fn lands(bench: &Bench, made: &Made) {
    testkit::until(DEADLINE, "the release", || current(bench) == made.revision);
    assert_eq!(whole(bench), made.files);
}

#[test]
fn a_release_becomes_a_generation_and_a_rollback_takes_the_kept_one() {
    let bench = Bench::new();
    let one = Made::new("one", &[("a.py", "1"), ("d/b.py", "1")]);
    let two = Made::new("two", &[("a.py", "2"), ("d/b.py", "1"), ("c.py", "1")]);
    one.publish(&bench);
    let watch = bench.watch(GENERATIONS);
    lands(&bench, &one);
    let made = crate::bench::inode(path_of(&bench, &one.revision));
    two.publish(&bench);
    lands(&bench, &two);
    one.point(&bench);
    lands(&bench, &one);
    assert_eq!(crate::bench::inode(path_of(&bench, &one.revision)), made);
    watch.wait_for(|line| line.contains("\"generation_current\""), DEADLINE);
    testkit::until(DEADLINE, "the status", || {
        let detail = &bench.status()["detail"];
        detail["generation"] == one.revision.as_str() && detail["release"] == one.id().as_str()
    });
}

#[test]
fn a_release_with_a_missing_object_moves_nothing_until_it_is_there() {
    let bench = Bench::new();
    let one = Made::new("one", &[("a.py", "1"), ("b.py", "1")]);
    let two = Made::new("two", &[("a.py", "2"), ("b.py", "two")]);
    one.publish(&bench);
    let _watch = bench.watch(GENERATIONS);
    lands(&bench, &one);
    two.upload(&bench);
    assert!(bench.s3.delete(BUCKET, &key(&content("two"))));
    two.point(&bench);
    testkit::until(DEADLINE, "trouble", || bench.status()["degraded"] == true);
    assert_eq!(current(&bench), one.revision);
    whole(&bench);
    assert_eq!(bench.status()["detail"]["revision"], one.revision.as_str());
    bench.put(&content("two"), "two");
    lands(&bench, &two);
}

#[test]
fn a_release_without_room_moves_nothing_until_there_is_some() {
    let bench = Bench::new();
    let large = "x = 1\n".repeat(100_000);
    let one = Made::new("one", &[("a.py", "1"), ("b.py", "1")]);
    let two = Made::new("two", &[("a.py", "2"), ("b.py", "1"), ("large.py", &large)]);
    let mount = testkit::fs::Mount::tmpfs(bench.dest(), 1 << 20);
    one.publish(&bench);
    let _watch = bench.watch(GENERATIONS);
    lands(&bench, &one);
    let filler = mount.path().join("filler");
    std::fs::write(&filler, vec![1; 700 << 10]).unwrap();
    two.publish(&bench);
    testkit::until(DEADLINE, "trouble that names the cause", || {
        let status = bench.status();
        let reason = status["reason"].as_str().unwrap_or_default();
        reason.contains("large.py") && reason.contains("No space left")
    });
    assert_eq!(whole(&bench), one.files);
    assert_eq!(bench.status()["healthy"], true);
    std::fs::remove_file(filler).unwrap();
    lands(&bench, &two);
    testkit::until(DEADLINE, "no trouble", || {
        bench.status()["degraded"] == false
    });
}

/// Adds and updates of plain uploads land though deletes are held; a release would then be a mix.
#[test]
fn a_release_whose_deletes_are_held_lands_when_they_are_approved_or_it_is_taken_back() {
    let bench = Bench::new();
    let files = |count: usize, text: &str| -> Vec<(String, String)> {
        (0..count)
            .map(|number| (format!("f{number}.py"), format!("{text}{number}")))
            .collect()
    };
    let ten = Made::of("ten", files(10, "old"));
    let two = Made::of("two", files(2, "new"));
    ten.publish(&bench);
    let _watch = bench.watch(GENERATIONS);
    lands(&bench, &ten);
    let held = || {
        bench.status()["detail"]["held"]["id"]
            .as_str()
            .map(ToString::to_string)
    };
    two.publish(&bench);
    let id = testkit::until_some(DEADLINE, "held deletes", held);
    assert_eq!(current(&bench), ten.revision, "nothing of it lands");
    assert_eq!(bench.status()["detail"]["release"], ten.id().as_str());
    assert_eq!(whole(&bench), ten.files);
    // Taken back, a poll finds the tree equal and nothing to do but to land it.
    let both = Made::of(
        "both",
        files(2, "new")
            .into_iter()
            .chain(files(10, "old").split_off(2)),
    );
    both.publish(&bench);
    lands(&bench, &both);
    two.point(&bench);
    let again = testkit::until_some(DEADLINE, "held deletes", held);
    assert_eq!(id, again);
    bench.put(&format!(".s3sync/approve/{id}"), "");
    lands(&bench, &two);
}
