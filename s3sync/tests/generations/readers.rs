//! Readers in the middle of everything.

use crate::bench::{current, files, path_of, revision, until_landed, wanted};
use crate::support::{BUCKET, Bench, DEADLINE, key};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a bundle does: read `current`, then open what it names, all of it.
#[test]
fn a_reader_never_sees_a_mix_or_misses_a_file_while_a_hundred_sets_are_published() {
    let bench = Bench::new();
    let _mount = testkit::fs::Mount::tmpfs(bench.dest(), 64 << 20);
    let set = |number: u32| {
        (0..20).map(move |file| {
            (
                key(&format!("d{}/f{file}.py", file % 3)),
                format!(
                    "{file} of {}",
                    if file % 4 == 0 { number } else { number / 7 }
                ),
            )
        })
    };
    bench.s3.put_all(BUCKET, set(0));
    let _watch = bench.watch(&[
        "--layout",
        "generations",
        "--interval",
        "20ms",
        "--settle",
        "0s",
    ]);
    until_landed(&bench);
    let known: Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>> = Mutex::default();
    known
        .lock()
        .unwrap()
        .insert(current(&bench), wanted(&bench));
    let over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                let id = current(&bench);
                let found = files(&path_of(&bench, &id));
                let known = known.lock().unwrap();
                let expected = known.get(&id);
                assert_eq!(Some(&found), expected, "generation {id}");
                seen.insert(id);
            }
            seen.len()
        });
        let _end = SetOnDrop(&over);
        for number in 1..=100 {
            // A set is put at one instant, so it is a whole one that is listed.
            let next: BTreeMap<String, Vec<u8>> = set(number)
                .map(|(name, text)| (name["dags/".len()..].to_string(), text.into_bytes()))
                .collect();
            let id = revision(&next);
            known.lock().unwrap().insert(id.clone(), next);
            bench.s3.put_all(BUCKET, set(number));
            if number % 5 == 0 {
                testkit::until(DEADLINE, "a set to land", || {
                    current(&bench) == id || reader.is_finished()
                });
            }
            assert!(!reader.is_finished(), "the reader ended early");
        }
        until_landed(&bench);
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(seen >= 10, "{seen} of 101 were seen");
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
