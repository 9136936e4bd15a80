//! Promise 6: no key and no link leads out of DEST, and one that would costs nobody else anything.

use crate::support::{BUCKET, Bench, DEADLINE, Report, key};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use testkit::fs::{Kind, Picture};

/// The world beside DEST, which nothing may touch: with names and times.
fn world(bench: &Bench) -> Picture {
    Picture::of(bench.outside.path())
        .without("dest")
        .without("status.json")
}

fn with_world() -> Bench {
    let bench = Bench::new();
    let outside = bench.outside.path();
    std::fs::create_dir_all(outside.join("world/inner")).expect("a world beside DEST");
    for name in ["world/a.py", "world/b.py", "world/inner/c.py", "esc.py"] {
        std::fs::write(outside.join(name), "the world").expect("a world beside DEST");
    }
    bench
}

fn names(report: &Report) -> BTreeSet<&str> {
    report
        .rejected
        .iter()
        .map(|rejected| rejected.key.as_str())
        .collect()
}

/// s5cmd wrote `x/../../esc.py` outside its directory (#872); Airflow's bundle has no check.
#[test]
fn promise_6_keys_that_would_leave_are_named_and_the_rest_goes_on() {
    let bench = with_world();
    let hostile = [
        "../esc.py",
        "x/../../esc.py",
        "/esc.py",
        "//esc.py",
        "a//b.py",
        "./a.py",
        "a/./b.py",
        "a/..",
        "..",
        ".",
        "nul\0.py",
    ];
    hostile
        .iter()
        .for_each(|path| drop(bench.put(path, "hostile")));
    bench.put(&"n".repeat(256), "too long");
    bench.put(".s3sync/epoch", "state");
    bench.put("fine.py", "fine");
    let before = world(&bench);
    let report = bench.once(0, &[]);
    assert_eq!(world(&bench), before);
    assert_eq!(
        bench.files(),
        BTreeMap::from([("fine.py".to_string(), b"fine".to_vec())])
    );
    assert_eq!((report.listed, report.added), (13, 1), "{report:?}");
    assert!(
        hostile.iter().all(|path| names(&report).contains(path)),
        "{:?}",
        names(&report)
    );
    assert!(
        report
            .rejected
            .iter()
            .all(|rejected| !rejected.reason.is_empty())
    );
    // A rejected key is nobody's news at the next pass.
    assert_eq!(bench.once(0, &[]).added, 0);
}

#[test]
fn promise_6_links_in_dest_lead_nowhere() {
    let bench = with_world();
    let outside = bench.outside.path().join("world");
    symlink(&outside, bench.at("up")).unwrap();
    symlink("../world", bench.at("relative")).unwrap();
    symlink(outside.join("a.py"), bench.at("leaf.py")).unwrap();
    symlink(outside.join("none.py"), bench.at("dangling.py")).unwrap();
    std::fs::write(bench.at("file"), "a file where a directory must be").unwrap();
    std::fs::create_dir_all(bench.at("directory.py/kept")).unwrap();
    for path in [
        "up/a.py",
        "up/new.py",
        "up/inner/c.py",
        "relative/a.py",
        "up/",
        "leaf.py",
        "dangling.py",
        "file/x.py",
        "file/y/",
        "directory.py",
        "fine.py",
    ] {
        bench.put(path, if path.ends_with('/') { "" } else { "from S3" });
    }
    let before = world(&bench);
    let report = bench.once(0, &[]);
    assert_eq!(world(&bench), before);
    assert_eq!(bench.read("fine.py"), "from S3");
    let obstructed = [
        "up/a.py",
        "up/new.py",
        "up/inner/c.py",
        "relative/a.py",
        "up/",
        "file/x.py",
        "file/y/",
        "directory.py",
    ];
    assert_eq!(names(&report), BTreeSet::from(obstructed), "{report:?}");
    // A link at the leaf is replaced by the file, or it is in the way; what it leads to stays.
    for path in ["leaf.py", "dangling.py"] {
        assert_eq!(
            bench.picture().0[path].kind,
            Kind::File(b"from S3".to_vec()),
            "{path}"
        );
    }
    assert!(
        std::fs::symlink_metadata(bench.at("up"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(bench.read("file"), "a file where a directory must be");
}

/// A directory that was synced becomes a link to elsewhere: updates and deletes stop at it.
#[test]
fn promise_6_a_directory_that_became_a_link_leads_nowhere() {
    let bench = with_world();
    for path in ["d/a.py", "d/b.py", "d/inner/c.py", "fine.py"] {
        bench.put(path, "from S3");
    }
    let _watch = bench.watch_settled(&["--scrub-interval", "300ms"]);
    bench.until_equal();
    let before = world(&bench);
    std::fs::rename(bench.at("d"), bench.outside.path().join("dest/.moved")).unwrap();
    symlink(bench.outside.path().join("world"), bench.at("d")).unwrap();
    bench.put("d/a.py", "an update");
    bench.put("d/inner/c.py", "an update");
    bench.delete("d/b.py");
    bench.put("fine.py", "an update");
    testkit::until(DEADLINE, "the rest to go on", || {
        bench.read("fine.py") == "an update"
    });
    testkit::until(DEADLINE, "the obstruction to be told", || {
        bench.status()["detail"]["rejected"].as_u64() >= Some(2)
    });
    bench.after_listings(4);
    assert_eq!(world(&bench), before);
    // The link goes, and the tree is whole again without a restart.
    std::fs::remove_file(bench.at("d")).unwrap();
    std::fs::remove_dir_all(bench.at(".moved")).unwrap();
    bench.until_equal();
    assert_eq!(world(&bench), before);
}

/// Thousands of keys of every shape that is known to hurt, in one run.
#[test]
fn promise_6_no_generated_key_leaves_dest() {
    let bench = with_world();
    symlink(bench.outside.path().join("world"), bench.at("link")).unwrap();
    symlink("/", bench.at("root")).unwrap();
    std::fs::write(bench.at("file"), "in the way").unwrap();
    let keys = generated(4_000);
    bench.s3.put_all(
        BUCKET,
        keys.iter()
            .map(|path| (key(path), format!("bytes of {path:?}"))),
    );
    bench.put("fine.py", "fine");
    let before = world(&bench);

    let report = bench.once(0, &[]);
    assert_eq!(world(&bench), before);
    assert_eq!(bench.read("fine.py"), "fine");
    assert!(report.failed.is_empty(), "{:?}", report.failed.first());
    let (picture, named) = (bench.picture(), names(&report));
    let mut kept = 0;
    for path in &keys {
        let found = picture
            .0
            .get(path.strip_suffix('/').unwrap_or(path))
            .map(|entry| &entry.kind);
        let is_kept = match path.ends_with('/') {
            true => found == Some(&Kind::Directory),
            false => found == Some(&Kind::File(format!("bytes of {path:?}").into_bytes())),
        };
        // Either it is there, or it is named; the ones that a pattern excludes are neither.
        assert!(
            is_kept != named.contains(path.as_str()),
            "{path:?}: {found:?}, named: {}",
            named.contains(path.as_str())
        );
        kept += u32::from(is_kept);
    }
    assert!(
        kept > 500 && named.len() > 500,
        "{kept} kept, {} named",
        named.len()
    );
    let second = bench.once(0, &[]);
    assert_eq!(
        (second.added, second.updated, second.deleted),
        (0, 0, 0),
        "a second pass has nothing to do"
    );
    assert_eq!(second.revision, report.revision);
}

/// Keys from parts that hurt, as many as asked and no two alike; the same ones each time.
fn generated(count: usize) -> BTreeSet<String> {
    let long = |length: usize| "l".repeat(length);
    let mut parts: Vec<String> = [
        "..", ".", "", "nul\0", "link", "root", "file", "etc", "~", "-rf", "\\..\\", "%2e%2e",
        "%2F",
    ]
    .iter()
    .chain(&[
        "a",
        "A",
        "b",
        "c.py",
        "C.PY",
        "+",
        " ",
        "  ",
        "a b",
        "\n",
        "\t",
        "\u{1}",
        "\u{7f}",
        "\u{1b}[2J",
        "*",
        "?",
        "'\"",
    ])
    .chain(&[
        "e\u{301}",
        "\u{e9}",
        "日本",
        "\u{202e}yp.",
        "\u{feff}",
        "...",
        "..a",
        "a..",
        "CON",
        "&amp;",
        "<x>",
        "$(id)",
        ";",
    ])
    .map(ToString::to_string)
    .collect();
    parts.extend([
        long(254),
        long(255),
        long(256),
        "é".repeat(127),
        "é".repeat(128),
    ]);
    let mut random = fastrand::Rng::with_seed(6);
    let mut keys = BTreeSet::new();
    while keys.len() < count {
        let depth = random.usize(1..=5);
        let chosen: Vec<String> = (0..depth)
            .map(|_| match random.u8(..10) {
                0..=3 => format!("d{}", random.u8(..20)),
                4..=5 => format!("f{}", random.u16(..)),
                _ => parts[random.usize(..parts.len())].clone(),
            })
            .collect();
        let end = if random.u8(..8) == 0 { "/" } else { "" };
        let path = chosen.join("/") + end;
        if key(&path).len() <= 1_024 && !path.is_empty() {
            keys.insert(path);
        }
    }
    keys
}
