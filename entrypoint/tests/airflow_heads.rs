//! The heads of real Airflows, without Python, and how long that takes.

use entrypoint::airflow::{self, heads::Revisions, version::Version};
use entrypoint::variables::Variables;
use std::time::{Duration, Instant};
use testkit::airflow::{Airflow, Release};

#[test]
#[ignore = "installs real Airflows: make e2e"]
fn heads_of_real_releases_are_known_at_once() {
    for (release, version, core, fab) in [
        (Release::V2_8, (2, 8, 4), "88344c1d9134", None),
        (
            Release::V3_0,
            (3, 0, 6),
            "fe199e1abd77",
            Some("6709f7a774b9"),
        ),
        (
            Release::V3_1,
            (3, 1, 8),
            "509b94a1042d",
            Some("6709f7a774b9"),
        ),
        (
            Release::V3_3,
            (3, 3, 2),
            "d2f4e1b3c5a7",
            Some("02ca36b0235b"),
        ),
    ] {
        let bin = Airflow::of(release).bin();
        let variables = Variables::from_pairs([("PATH", bin)]);
        // Once for the page cache.
        airflow::installed(&variables).unwrap();
        let began = Instant::now();
        let found = airflow::installed(&variables).unwrap();
        let took = began.elapsed();
        assert_eq!(found.version, Version::new(version.0, version.1, version.2));
        assert_eq!(
            found.core.as_ref().map(Revisions::head),
            Ok(core),
            "{release:?}"
        );
        let found_fab = found
            .fab
            .as_ref()
            .map(|fab| fab.revisions.as_ref().unwrap().head());
        assert_eq!(found_fab, fab, "{release:?}");
        assert_eq!(found.discovers_managers, release == Release::V3_3);
        eprintln!("{release:?}: {took:?}");
        assert!(
            took < Duration::from_millis(200),
            "{release:?} took {took:?}"
        );
    }
}
