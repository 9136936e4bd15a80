//! Old generations go, and only those.

use crate::bench::{GENERATIONS, current, ids, path_of, until_landed, watch, whole};
use crate::support::{Bench, DEADLINE};
use std::time::{Duration, SystemTime};
use testkit::fs::Picture;

/// Makes the generation one that was last current so long ago.
fn age(bench: &Bench, id: &str, age: Duration) {
    let directory = std::fs::File::open(path_of(bench, id)).unwrap();
    directory.set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn old_generations_go_and_what_may_be_in_use_stays() {
    const HOUR: Duration = Duration::from_secs(3600);
    let bench = Bench::new();
    let options = [GENERATIONS, &["--keep", "3", "--keep-for", "2h"]].concat();
    let mut made = Vec::new();
    for number in 0..6 {
        bench.put("a.py", format!("{number}"));
        bench.once(0, &options);
        made.push(current(&bench));
    }
    assert_eq!(ids(&bench).len(), 6, "all are young");
    for (id, hours) in made.iter().zip([9, 8, 1, 7, 6]) {
        age(&bench, id, hours * HOUR);
    }
    let watch = watch(
        &bench,
        &[&options[2..], &["--scrub-interval", "100ms"]].concat(),
    );
    // The current one, two more by number, and one by its age.
    let mut expected = vec![made[5].clone(), made[4].clone(), made[2].clone()];
    expected.sort();
    testkit::until(DEADLINE, "the others to go", || ids(&bench) == expected);
    testkit::until(DEADLINE, "staging to be empty", || {
        !Picture::of(bench.state())
            .0
            .keys()
            .any(|path| path.ends_with(".old"))
    });
    assert_eq!(watch.stderr().matches("\"generation_removed\"").count(), 3);
    // `once` stays until they are gone.
    drop(watch);
    age(&bench, &made[2], 9 * HOUR);
    bench.once(
        0,
        &[&options[..2], &["--keep", "1", "--keep-for", "2h"]].concat(),
    );
    assert_eq!(
        ids(&bench).len(),
        2,
        "the current one and the one before it"
    );
    let state = Picture::of(bench.state());
    assert!(
        !state.0.keys().any(|path| path.ends_with(".old")),
        "{state:?}"
    );
    let watch = crate::bench::watch(&bench, &options[2..]);
    // The one that is superseded was current until now, however old it is.
    age(&bench, &made[5], 9 * HOUR);
    bench.put("a.py", "new");
    until_landed(&bench);
    bench.after_listings(2);
    assert!(ids(&bench).contains(&made[5]));
    whole(&bench);
    drop(watch);
}
