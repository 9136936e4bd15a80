//! `kill -9` at random instants: `current` always names a complete generation, by `s3sync digest`.

use crate::bench::{GENERATIONS, current, path_of, until_landed};
use crate::support::{Bench, DEADLINE, kills};
use std::time::Instant;
use testkit::process::Program;

#[test]
fn a_kill_at_any_instant_leaves_a_current_generation_that_is_what_its_id_says() {
    let (kills, seed) = (kills::count(40, 200), kills::seed());
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = Bench::new();
    // A busy disk would take a second for each run's fsyncs.
    let _mount = testkit::fs::Mount::tmpfs(bench.dest(), 64 << 20);
    for number in 0..150 {
        bench.put(&format!("d{}/f{number}.py", number % 30), "0");
    }
    let begun = Instant::now();
    bench.once(0, GENERATIONS);
    let span = begun.elapsed();
    let mut moved = 0;
    for kill in 0..kills {
        let before = current(&bench);
        for _ in 0..random.u32(1..4) {
            bench.put(
                &format!("d{}/f{}.py", random.u32(0..30), random.u32(0..150)),
                format!("{}", random.u8(0..4)),
            );
        }
        let mut process = bench.program("once", GENERATIONS).spawn();
        // Most of a run is its start; what matters is where it makes directories and links.
        if kill % 2 == 0 {
            std::thread::sleep(span.mul_f64(random.f64()));
        } else {
            kills::until_making(&bench, &mut process);
            kills::pause(&mut random, 6_000);
        }
        process.kill();
        process.exit_code(DEADLINE);
        let id = current(&bench);
        moved += u32::from(id != before);
        let digest = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .arg("digest")
            .arg(path_of(&bench, &id))
            .run(DEADLINE);
        assert_eq!(
            digest.stdout.trim_end(),
            id,
            "kill {kill} of seed {seed}: {}",
            digest.stderr
        );
    }
    assert!(
        moved > 0 && moved < kills,
        "{moved} of {kills} runs came to their end"
    );
    bench.once(0, GENERATIONS);
    until_landed(&bench);
    let left = testkit::fs::Picture::of(bench.state().join("staging"));
    assert!(
        !left.0.keys().any(|path| path.contains(".making")),
        "{:?}",
        left.0.keys()
    );
}
