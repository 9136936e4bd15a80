//! `kill -9` at each system call on which it depends what readers find, one after the other.

use crate::bench::{GENERATIONS, current, files, path_of, wanted, whole};
use crate::support::releases::Made;
use crate::support::trace::{Call, Trace};
use crate::support::watcher::Watcher;
use crate::support::{Bench, DEADLINE};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use testkit::process::Program;

const KILLED: i32 = 128 + 9;

/// The places that the calls are on.
struct Places {
    /// What generations are linked from.
    tree: PathBuf,
    generations: PathBuf,
    dest: PathBuf,
}

impl Places {
    fn of(bench: &Bench) -> Self {
        Places {
            tree: bench.state().join("tree"),
            generations: bench.at("generations"),
            dest: bench.dest(),
        }
    }

    /// What was there goes into staging, and then the new one comes out of it.
    fn rename(&self, nth: u32) -> Call<'_> {
        Call {
            names: "renameat,renameat2",
            on: &self.generations,
            nth,
        }
    }

    fn link(&self) -> Call<'_> {
        Call {
            names: "linkat",
            on: &self.tree,
            nth: 1,
        }
    }

    fn fsync<'a>(&self, on: &'a Path) -> Call<'a> {
        Call {
            names: "fsync",
            on,
            nth: 1,
        }
    }
}

#[test]
fn a_watcher_killed_at_any_step_of_a_release_leaves_the_one_before_or_the_next_and_never_a_part() {
    let release = |number: usize| {
        let body = move |file: usize| format!("# {}\n", (number + 1) * file % 5).repeat(file + 1);
        let files = (0..12).map(move |file| (format!("d{}/f{file}.py", file % 3), body(file)));
        Made::of(
            &format!("r{number}"),
            files.chain([(format!("only_in_{number}.py"), String::new())]),
        )
    };
    let bench = Bench::new();
    let places = Places::of(&bench);
    let steps = [
        ("before the first link", places.link(), false),
        (
            "while there is nothing to take away",
            places.rename(1),
            false,
        ),
        ("before it is in its place", places.rename(2), false),
        (
            "before it is there for good",
            places.fsync(&places.generations),
            false,
        ),
        (
            "before the other's time is noted",
            Call {
                names: "utimensat",
                on: &places.dest,
                nth: 1,
            },
            false,
        ),
        (
            "before current is replaced",
            Call {
                names: "renameat,renameat2",
                on: &places.dest,
                nth: 1,
            },
            false,
        ),
        (
            "before that is there for good",
            places.fsync(&places.dest),
            true,
        ),
    ];
    let mut wanted = release(0);
    wanted.publish(&bench);
    bench.once(0, GENERATIONS);
    for (number, (why, call, moves)) in (1..).zip(steps) {
        let mut watcher = settled(&bench, &format!("{number}"), &wanted);
        let output = bench.outside.path().join(format!("trace{number}"));
        let trace = Trace::kill_at(&watcher.process, output, &call);
        let before = std::mem::replace(&mut wanted, release(number));
        wanted.publish(&bench);
        let code = watcher.process.exit_code(DEADLINE);
        assert_eq!(code, KILLED, "{why}: {}", watcher.process.stderr());
        drop(trace);
        let expected = if moves { &wanted } else { &before };
        assert_eq!(current(&bench), expected.revision, "{why}");
        assert_eq!(whole(&bench), expected.files, "{why}");
    }
    settled(&bench, "last", &wanted);
}

/// A watcher that has made this release current.
fn settled(bench: &Bench, name: &str, made: &Made) -> Watcher {
    let mut watcher = Watcher::start(bench, name, GENERATIONS);
    watcher.wait_for("the release", |status| {
        status["healthy"] == true && status["detail"]["release"] == made.id().as_str()
    });
    assert_eq!(current(bench), made.revision, "{name}");
    assert_eq!(whole(bench), made.files, "{name}");
    watcher
}

/// What somebody does to a generation, in one step, and what its files are then.
type Damage = fn(&Path, &mut BTreeMap<String, Vec<u8>>);

const A_FILE_LESS: Damage = |root, files| {
    std::fs::remove_file(root.join("d/b.py")).unwrap();
    files.remove("d/b.py");
};

const ANOTHER_FILE: Damage = |root, files| {
    let other = root.parent().unwrap().join(".other");
    std::fs::write(&other, "other").unwrap();
    std::fs::rename(other, root.join("a.py")).unwrap();
    files.insert("a.py".to_string(), b"other".to_vec());
};

const ALL_OF_IT: Damage = |root, files| {
    std::fs::rename(root, root.parent().unwrap().join(".taken")).unwrap();
    std::fs::remove_dir_all(root.parent().unwrap().join(".taken")).unwrap();
    files.clear();
};

/// What readers find where the generation should be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    /// What the damage left, and nothing of the new one.
    Damage,
    Nothing,
    Whole,
}

#[test]
fn a_damaged_generation_is_as_it_was_or_whole_wherever_the_watcher_that_mends_it_is_killed() {
    let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1"), ("d/c.py", "1")]);
    let places = Places::of(&bench);
    bench.once(0, GENERATIONS);
    let for_good = places.fsync(&places.generations);
    for (number, (damage, call, expected)) in [
        (A_FILE_LESS, places.link(), Found::Damage),
        (ANOTHER_FILE, places.rename(1), Found::Damage),
        (A_FILE_LESS, places.rename(2), Found::Nothing),
        (ANOTHER_FILE, for_good, Found::Whole),
        (ALL_OF_IT, places.link(), Found::Nothing),
        (ALL_OF_IT, places.rename(2), Found::Nothing),
        (ALL_OF_IT, for_good, Found::Whole),
    ]
    .into_iter()
    .enumerate()
    {
        let mut watcher = mended(&bench, &format!("{number}"));
        let output = bench.outside.path().join(format!("trace{number}"));
        let trace = Trace::kill_at(&watcher.process, output, &call);
        let mut left = wanted(&bench);
        damage(&path_of(&bench, &current(&bench)), &mut left);
        let code = watcher.process.exit_code(DEADLINE);
        assert_eq!(code, KILLED, "{call:?}: {}", watcher.process.stderr());
        drop(trace);
        assert_eq!(found(&bench, &left), expected, "{call:?}");
    }
    mended(&bench, "last");
}

/// A watcher that looks all the time, and has found or made the generation whole.
fn mended(bench: &Bench, name: &str) -> Watcher {
    let options = [GENERATIONS, &["--scrub-interval", "100ms"]].concat();
    let mut watcher = Watcher::start(bench, name, &options);
    watcher.wait_healthy("writer");
    let path = path_of(bench, &current(bench));
    testkit::until(DEADLINE, "the generation to be whole again", || {
        files(&path) == wanted(bench)
    });
    assert_eq!(whole(bench), wanted(bench), "{name}");
    watcher
}

/// The next start mends what is missing before it asks S3; it may be killed there, too.
#[test]
fn a_missing_generation_is_nothing_or_whole_wherever_the_start_that_makes_it_is_killed() {
    let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1"), ("d/c.py", "1")]);
    let places = Places::of(&bench);
    bench.once(0, GENERATIONS);
    for (call, expected) in [
        (places.link(), Found::Nothing),
        (places.rename(2), Found::Nothing),
        (places.fsync(&places.generations), Found::Whole),
    ] {
        std::fs::remove_dir_all(path_of(&bench, &current(&bench))).unwrap();
        let killed = Program::new("/usr/bin/strace")
            .args(["-f", "-o"])
            .arg(bench.outside.path().join("trace"))
            .args(call.options())
            .arg(env!("CARGO_BIN_EXE_s3sync"))
            .args(["once", "s3://bucket/dags"])
            .arg(bench.dest())
            .args(GENERATIONS.iter().copied())
            .envs(bench.s3.environment())
            .run(DEADLINE);
        assert_eq!(killed.code, KILLED, "{call:?}: {}", killed.stderr);
        assert_eq!(found(&bench, &BTreeMap::new()), expected, "{call:?}");
        bench.once(0, GENERATIONS);
        assert_eq!(whole(&bench), wanted(&bench), "{call:?}");
    }
}

/// What is found, where the damage would have left these files; anything else is a failure.
fn found(bench: &Bench, damaged: &BTreeMap<String, Vec<u8>>) -> Found {
    let path = path_of(bench, &current(bench));
    if !path.exists() {
        return Found::Nothing;
    }
    match files(&path) {
        files if files == wanted(bench) => Found::Whole,
        files if files == *damaged => Found::Damage,
        files => panic!("neither whole nor what was left of it: {files:?}"),
    }
}
