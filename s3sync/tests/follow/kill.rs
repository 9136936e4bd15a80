//! `kill -9` of a watcher that follows a pointer which keeps moving.

use crate::support::releases::Made;
use crate::support::{Bench, DEADLINE, kills};
use fastrand::Rng;
use std::time::Duration;

#[test]
fn a_kill_at_any_instant_leaves_whole_files_of_one_release_or_another() {
    let bench = Bench::new();
    let release = |number: usize| {
        let body = |file: usize| format!("# {}\n", (number * file) % 7).repeat(200 + file);
        Made::of(
            &format!("r{number}"),
            (0..30).map(|file| (format!("d{}/f{file}.py", file % 3), body(file))),
        )
    };
    let releases: Vec<Made> = (0..7).map(release).collect();
    releases.iter().for_each(|release| release.upload(&bench));
    releases[0].point(&bench);
    bench.once(0, &[]);
    let seed = kills::seed();
    let mut random = Rng::with_seed(seed);
    for kill in 0..kills::count(12, 200) {
        let mut watch = bench.watch(&["--interval", "20ms"]);
        let until = std::time::Instant::now() + Duration::from_millis(random.u64(20..400));
        while std::time::Instant::now() < until {
            releases[random.usize(..releases.len())].point(&bench);
            std::thread::sleep(Duration::from_millis(random.u64(5..40)));
        }
        watch.kill();
        assert_eq!(watch.exit_code(DEADLINE), 137, "{}", watch.stderr());
        for (path, bytes) in bench.files() {
            let known = releases.iter().any(|release| release.files[&path] == bytes);
            assert!(known, "kill {kill} of seed {seed}: {path} is of no release");
        }
    }
    let last = &releases[3];
    last.point(&bench);
    let report = bench.once(0, &[]);
    assert_eq!(
        (bench.files(), report.revision),
        (last.files.clone(), last.revision.clone())
    );
    assert_eq!(bench.run("verify", &[]).code, 0);
}
