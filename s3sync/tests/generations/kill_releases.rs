//! `kill -9` of watcher and publisher at random instants, while releases come and are taken back.
//!
//! `TRIMTAB_KILLS` says how many (40, at most 1,000), `TRIMTAB_SEED` makes another run's instants.

use crate::bench::{GENERATIONS, current, files, ids, path_of, revision, whole};
use crate::support::releases::POINTER;
use crate::support::{BUCKET, Bench, DEADLINE, key, kills};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::process::{Process, Program};

/// Files come and go all the time here, and what a release deletes is not what is tested.
const WATCH: &[&str] = &[
    "--layout",
    "generations",
    "--interval",
    "30ms",
    "--max-delete",
    "1000000",
];

#[test]
fn kills_of_watcher_and_publisher_show_readers_whole_releases_that_were_published_and_no_others() {
    let (most, seed) = (kills::count(40, 1000), kills::seed());
    let mut random = Rng::with_seed(seed);
    let bench = Bench::new();
    // A busy disk would take a second for each generation's fsyncs.
    let _mount = testkit::fs::Mount::tmpfs(bench.dest(), 256 << 20);
    let mut publisher = Publisher::begin(&bench, random.u64(..));
    let begun = Instant::now();
    bench.once(0, GENERATIONS);
    let span = begun.elapsed();
    let over = Over::default();
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| over.read(&bench));
        let publishing = scope.spawn(|| publisher.work(&over));
        let _end = SetOnDrop(&over.0);
        for kill in 0..most {
            let before = current(&bench);
            let mut watch = watch(&bench);
            // Most of a start comes before anything that could be seen.
            match kill % 3 {
                0 => kills::pause(&mut random, 2 * span.as_micros() as u64),
                1 => kills::until_making(&bench, &mut watch),
                _ => testkit::until(DEADLINE, "a release to land", || current(&bench) != before),
            }
            kills::pause(&mut random, 3_000);
            watch.kill();
            let code = watch.exit_code(DEADLINE);
            assert_eq!(code, 137, "kill {kill} of seed {seed}: {}", watch.stderr());
            whole(&bench);
            let ended = reader.is_finished() || publishing.is_finished();
            assert!(
                !ended,
                "kill {kill} of seed {seed}: reader or publisher failed"
            );
        }
        over.0.store(true, Ordering::Relaxed);
        publishing.join().unwrap();
        reader.join().unwrap()
    });
    let killed = publisher.killed;
    assert!(killed > 0, "no publisher was killed, seed {seed}");

    // Publishing again finishes the job.
    let last = publisher.finish();
    let mut watch = watch(&bench);
    testkit::until(DEADLINE, "the last release", || {
        current(&bench) == revision(&last)
    });
    assert_eq!(whole(&bench), last);
    watch.kill();
    watch.exit_code(DEADLINE);

    let published = published(&bench);
    let strange: Vec<_> = seen.difference(&published).collect();
    assert!(
        strange.is_empty(),
        "never published, seed {seed}: {strange:?}"
    );
    assert!(
        seen.len() as u32 > most / 3,
        "{} releases were seen",
        seen.len()
    );
    for id in ids(&bench) {
        assert_eq!(revision(&files(&path_of(&bench, &id))), id, "seed {seed}");
        assert!(
            published.contains(&id),
            "{id} was never published, seed {seed}"
        );
    }
}

/// How it ends when the last write of one that was killed arrives late.
const QUICKER: i32 = 1;

fn watch(bench: &Bench) -> Process {
    bench.program("watch", WATCH).spawn()
}

/// The revisions that the pointer ever named.
fn published(bench: &Bench) -> BTreeSet<String> {
    let pointers = bench.s3.history(BUCKET, &key(POINTER)).into_iter();
    let revision = |line: bytes::Bytes| -> String {
        let pointer: serde_json::Value = serde_json::from_slice(&line).unwrap();
        pointer["revision"].as_str().unwrap().to_string()
    };
    pointers.map(revision).collect()
}

/// Whether the scene is over; set when it fails, too.
#[derive(Default)]
struct Over(AtomicBool);

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Over {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What a bundle does, all the time: reads `current`, and opens what it names. Returns all that it saw.
    fn read(&self, bench: &Bench) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        while !self.is_over() {
            let id = current(bench);
            let found = files(&path_of(bench, &id));
            assert_eq!(
                revision(&found),
                id,
                "a reader sees a part: {:?}",
                found.keys()
            );
            seen.insert(id);
        }
        seen
    }
}

/// Somebody who publishes, rolls back, and is killed now and then.
struct Publisher<'a> {
    bench: &'a Bench,
    random: Rng,
    tree: tempfile::TempDir,
    wanted: BTreeMap<String, String>,
    releases: u32,
    killed: u32,
    /// How long a publish takes here and now.
    span: Duration,
}

impl<'a> Publisher<'a> {
    /// Two releases, so that there is one to go back to.
    fn begin(bench: &'a Bench, seed: u64) -> Self {
        let files = (0..24).map(|file| (format!("d{}/f{file}.py", file % 4), String::new()));
        let mut publisher = Publisher {
            bench,
            random: Rng::with_seed(seed),
            tree: tempfile::tempdir().unwrap(),
            wanted: files.collect(),
            releases: 0,
            killed: 0,
            span: Duration::ZERO,
        };
        for _ in 0..2 {
            publisher.change();
            let begun = Instant::now();
            publisher.publish(None);
            publisher.span = begun.elapsed();
        }
        publisher
    }

    fn work(&mut self, over: &Over) {
        while !over.is_over() {
            let kill = self.random.u8(..3) == 0;
            let kill = kill.then(|| self.span.mul_f64(self.random.f64()));
            match self.random.u8(..4) {
                0 => self.run(&["rollback", "s3://bucket/dags"], &[0, QUICKER], kill),
                1 => {
                    let name = format!("r{}", self.random.u32(1..=self.releases));
                    // The name of one that was killed before there was a manifest.
                    let ends = [0, QUICKER, 65];
                    self.run(&["rollback", "s3://bucket/dags", &name], &ends, kill)
                }
                _ => {
                    self.change();
                    self.publish(kill)
                }
            };
        }
    }

    /// A release that nobody disturbs; its files.
    fn finish(&mut self) -> BTreeMap<String, Vec<u8>> {
        while self.publish(None) == Some(QUICKER) {}
        let bytes = |(path, text): (&String, &String)| (path.clone(), text.clone().into_bytes());
        self.wanted.iter().map(bytes).collect()
    }

    /// Edits, adds and removes files; one path is a file or a directory.
    fn change(&mut self) {
        for _ in 0..self.random.u32(1..6) {
            let file = self.random.usize(..24);
            let text = format!("# {}\n", self.random.u32(..)).repeat(1 + file);
            self.wanted
                .insert(format!("d{}/f{file}.py", file % 4), text);
        }
        self.wanted
            .retain(|path, _| !path.starts_with("now/") && !path.starts_with("either"));
        let either = ["either", "either/or.py"][self.random.usize(..2)];
        for path in [either, &format!("now/{}.py", self.random.u8(..))] {
            self.wanted.insert(path.to_string(), String::new());
        }
        let root = self.tree.path().join("dags");
        let _ = std::fs::remove_dir_all(&root);
        for (path, text) in &self.wanted {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn publish(&mut self, kill: Option<Duration>) -> Option<i32> {
        self.releases += 1;
        let (name, tree) = (format!("r{}", self.releases), self.tree.path().join("dags"));
        let tree = tree.to_str().unwrap();
        let arguments = ["publish", tree, "s3://bucket/dags", "--name", &name];
        self.run(&arguments, &[0, QUICKER], kill)
    }

    /// Runs it to one of these ends, or kills it after so long, and returns its end.
    fn run(&mut self, arguments: &[&str], ends: &[i32], kill: Option<Duration>) -> Option<i32> {
        let mut process = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args(arguments.iter().copied())
            .envs(self.bench.s3.environment())
            .spawn();
        if let Some(after) = kill {
            std::thread::sleep(after);
            process.kill();
        }
        let code = process.exit_code(DEADLINE);
        if kill.is_some() && code == 137 {
            self.killed += 1;
            return None;
        }
        let ended = ends.contains(&code);
        assert!(ended, "{arguments:?}: {code}: {}", process.stderr());
        Some(code)
    }
}
