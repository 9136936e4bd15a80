//! Releases that cannot be believed: refused by name, and the tree stays as it is.

use crate::polls::asked;
use crate::support::releases::{Made, POINTER, content, sha256};
use crate::support::{Bench, DEADLINE, key};
use std::collections::BTreeMap;
use testkit::s3::{Operation, Refusal, Rule};

const GOOD: [(&str, &str); 2] = [("a.py", "x = 1\n"), ("b.py", "y = 1\n")];

fn next() -> Made {
    let files = [
        ("a.py", "x = 2\n"),
        ("b.py", "y = 2\n"),
        ("c.py", "z = 2\n"),
    ];
    Made::new("next", &files)
}

/// The release with another manifest, named by its true hash.
fn with_manifest(manifest: String) -> Made {
    Made { manifest, ..next() }
}

/// What is wrong, how it is uploaded, and what the reason must say.
type Case = (&'static str, fn(&Bench), &'static str);

const CASES: &[Case] = &[
    (
        "a manifest that was cut",
        |bench| {
            let made = next();
            made.publish(bench);
            bench.put(
                &made.manifest_key(),
                &made.manifest[..made.manifest.len() - 20],
            );
        },
        "cut or changed",
    ),
    (
        "a manifest of which a byte changed",
        |bench| {
            let made = next();
            made.publish(bench);
            bench.put(&made.manifest_key(), made.manifest.replace("c.py", "d.py"));
        },
        "cut or changed",
    ),
    (
        "a path that leads outside",
        |bench| with_manifest(next().manifest.replace("c.py", "../../c.py")).publish(bench),
        "../../c.py",
    ),
    (
        "an absolute path",
        |bench| with_manifest(next().manifest.replace("a.py", "/etc/cron.d/a")).publish(bench),
        "/etc/cron.d/a",
    ),
    (
        "a path into the state directory",
        |bench| {
            with_manifest(next().manifest.replace("a.py", ".s3sync/manifest.jsonl")).publish(bench)
        },
        ".s3sync",
    ),
    (
        "a file where a directory must be",
        |bench| with_manifest(next().manifest.replace("b.py", "a.py/b.py")).publish(bench),
        "needs it as a directory",
    ),
    (
        "fewer lines than its header says",
        |bench| {
            let manifest = next().manifest;
            let end = manifest.trim_end().rfind('\n').unwrap();
            with_manifest(manifest[..=end].to_string()).publish(bench);
        },
        "its lines do not",
    ),
    (
        "another schema",
        |bench| {
            with_manifest(next().manifest.replace("\"schema\":1", "\"schema\":2")).publish(bench)
        },
        "update s3sync",
    ),
    (
        "a pointer to nothing",
        |bench| Made::new("nowhere", &[("n.py", "")]).point(bench),
        "there is none",
    ),
    (
        "a pointer that is none",
        |bench| drop(bench.put(POINTER, "{\"schema\":1}")),
        "no pointer",
    ),
    (
        "a pointer of another revision",
        |bench| {
            let made = next();
            made.upload(bench);
            bench.put(
                POINTER,
                made.pointer().replace(&made.revision, &sha256("other")),
            );
        },
        "its revision is",
    ),
    (
        "a pointer longer than one can be",
        |bench| drop(bench.put(POINTER, next().pointer().replace("ann", &"n".repeat(5_000)))),
        "at most 4096",
    ),
    (
        "content that is missing",
        |bench| {
            next().publish(bench);
            bench.delete(&content("y = 2\n"));
        },
        "publish the release again",
    ),
    (
        "content of which a byte changed",
        |bench| {
            next().publish(bench);
            bench.put(&content("y = 2\n"), "y = 3\n");
        },
        "its SHA-256 is",
    ),
    (
        "content that is shorter",
        |bench| {
            next().publish(bench);
            bench.put(&content("y = 2\n"), "y =");
        },
        "bytes",
    ),
];

#[test]
fn once_refuses_each_by_its_reason_and_changes_nothing() {
    let good = Made::new("good", &GOOD);
    for (what, upload, reason) in CASES {
        let bench = Bench::new();
        good.publish(&bench);
        bench.once(0, &[]);
        let before = bench.picture();
        upload(&bench);
        // Leave it to nobody's choice: readers of a release get all of it or nothing.
        let finished = bench.run("once", &["--on-failure", "skip"]);
        assert_eq!(
            finished.code, 65,
            "{what}: {}{}",
            finished.stdout, finished.stderr
        );
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains(reason), "{what}: {said}");
        assert_eq!(bench.picture(), before, "{what}");
        next().publish(&bench);
        bench.once(0, &[]);
        assert_eq!(bench.files(), next().files, "{what}, mended");
    }
}

#[test]
fn with_generations_too_and_the_current_one_stays() {
    const GENERATIONS: &[&str] = &["--layout", "generations"];
    let good = Made::new("good", &GOOD);
    let bench = Bench::new();
    good.publish(&bench);
    bench.once(0, GENERATIONS);
    let before = bench.picture();
    assert_eq!(bench.read("current"), format!("{}\n", good.revision));
    for (what, upload, reason) in CASES {
        upload(&bench);
        let finished = bench.run("once", GENERATIONS);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.code, 65, "{what}: {said}");
        assert!(said.contains(reason), "{what}: {said}");
        assert_eq!(bench.picture(), before, "{what}");
    }
    next().publish(&bench);
    bench.once(0, GENERATIONS);
    let id = next().revision;
    assert_eq!(bench.read("current"), format!("{id}\n"));
    let path = bench.at("generations").join(id);
    assert_eq!(testkit::fs::Picture::of(path).files(), next().files);
}

#[test]
fn watch_keeps_what_it_has_says_why_and_goes_on_with_the_next_release() {
    let bench = Bench::new();
    let good = Made::new("good", &GOOD);
    good.publish(&bench);
    let _watch = bench.watch_settled(&[]);
    let trouble = |words: &str| {
        testkit::until(DEADLINE, &format!("trouble in the words {words:?}"), || {
            let status = bench.status();
            status["degraded"] == true
                && status["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains(words))
        });
        assert_eq!(bench.files(), good.files);
        assert_eq!(bench.status()["detail"]["release"], good.id());
        assert_eq!(bench.status()["healthy"], true);
    };
    for (_, upload, reason) in [CASES[8], CASES[9], CASES[12], CASES[13], CASES[0]] {
        upload(&bench);
        trouble(reason);
        // The pointer is looked at as often as ever.
        good.point(&bench);
        testkit::until(DEADLINE, "no trouble", || {
            bench.status()["degraded"] == false
        });
    }
    // What was missing comes later: found by itself.
    next().point(&bench);
    trouble("cut or changed");
    next().upload(&bench);
    testkit::until(DEADLINE, "the release", || bench.files() == next().files);
    testkit::until(DEADLINE, "no trouble", || {
        bench.status()["degraded"] == false
    });
    assert_eq!(asked(&bench, 3), [(Operation::Get, key(POINTER), 304)]);
}

/// As where somebody puts the content again while it comes in ranges.
#[test]
fn content_that_is_put_again_while_it_is_read_keeps_the_whole_release_away() {
    let bench = Bench::new();
    Made::new("good", &GOOD).publish(&bench);
    bench.once(0, &[]);
    let before = bench.picture();
    next().publish(&bench);
    let refusal = Refusal::new(412, "PreconditionFailed", "At least one did not hold");
    let rule = Rule::new(refusal).on(Operation::Get);
    let rule = rule.glob(&format!("*{}", sha256("y = 2\n")));
    let rule = bench.s3.faults().add(rule);
    let finished = bench.run("once", &["--on-failure", "skip"]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, 69, "{said}");
    assert!(said.contains("put again while it was read"), "{said}");
    assert_eq!(bench.picture(), before);
    bench.s3.faults().remove(rule);
    bench.once(0, &[]);
    assert_eq!(bench.files(), next().files);
}

/// Hostile content of a name that is its hash: what is fetched is what is hashed.
#[test]
fn two_paths_of_one_content_land_both() {
    let bench = Bench::new();
    let release = Made::new("one", &[("a.py", "same"), ("b.py", "same"), ("empty", "")]);
    release.publish(&bench);
    bench.once(0, &[]);
    assert_eq!(bench.files(), release.files);
    let paths: BTreeMap<_, _> = bench.files();
    assert_eq!(paths.len(), 3);
}
