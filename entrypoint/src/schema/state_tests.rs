//! Standings by table, and what is kept in the comment.

use super::*;
use crate::airflow::Fab;
use crate::airflow::heads::Revisions;
use proptest::prelude::*;
use std::path::Path;

const FAB: &str = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";
const FAB_DB: &str = "airflow.providers.fab.auth_manager.models.db.FABDBManager";

fn value(text: &str) -> Setting {
    Setting::Value(text.to_owned())
}

/// Revisions `1` (2.8.1) and `2` (3.1.0), the head; FAB's `f1` and `f2`.
fn installed(version: Version) -> Installed {
    let revisions = |names: [&str; 2]| {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let [first, last] = names;
        let source = |revision: &str, follows: &str, release: &str| {
            format!(
                "revision = '{revision}'\ndown_revision = {follows}\nairflow_version = '{release}'\n"
            )
        };
        std::fs::write(file("1.py"), source(first, "None", "2.8.1")).unwrap();
        std::fs::write(file("2.py"), source(last, &format!("'{first}'"), "3.1.0")).unwrap();
        std::fs::write(
            file("map"),
            format!("_REVISION_HEADS_MAP = {{'1.0.0': '{last}'}}\n"),
        )
        .unwrap();
        Revisions::read(directory.path(), &file("map"), version)
    };
    Installed {
        program: Path::new("/bin/airflow").to_owned(),
        packages: Path::new("/packages").to_owned(),
        version,
        core: revisions(["1", "2"]),
        fab: (version.major >= 3).then(|| Fab {
            version: Version::new(3, 4, 0),
            revisions: revisions(["f1", "f2"]),
        }),
        discovers_managers: false,
        other_managers: false,
    }
}

fn found(core: &[&str], fab: &[&str]) -> Found {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Found {
        core: owned(core),
        fab: owned(fab),
        ..Found::default()
    }
}

fn behind(from: (u32, u32, u32)) -> Standing {
    let (major, minor, patch) = from;
    Standing::Behind {
        from: Some(Version::new(major, minor, patch)),
    }
}

fn ahead(revision: &str) -> Standing {
    Standing::Ahead {
        revision: revision.to_owned(),
        by: None,
    }
}

fn stands(installed: &Installed, auth: &Setting, found: &Found) -> Standing {
    let managers = Managers::of(installed, auth, &Setting::Unset);
    standing(&Ok((installed, managers)), found)
}

#[test]
fn how_a_database_stands() {
    let ours = installed(Version::new(3, 1, 8));
    let current = Standing::Current;
    for (auth, core, fab, expected) in [
        (Setting::Unset, &[][..], &[][..], Standing::Empty),
        (Setting::Unset, &["2"], &[], current.clone()),
        (Setting::Unset, &["2"], &["f9"], current.clone()),
        (Setting::Unset, &["1"], &[], behind((2, 8, 1))),
        (Setting::Unset, &["9"], &[], ahead("9")),
        (Setting::Unset, &["1", "2"], &[], ahead("1 and 2")),
        (value(FAB), &["2"], &["f2"], current.clone()),
        (value(FAB), &["2"], &[], behind((3, 1, 8))),
        (value(FAB), &["2"], &["f1"], behind((3, 1, 8))),
        (value(FAB), &["1"], &["f1"], behind((2, 8, 1))),
        (value(FAB), &["2"], &["f9"], ahead("f9")),
        (value(FAB), &["1"], &["f9"], ahead("f9")),
        (value(FAB), &["9"], &[], ahead("9")),
        (value("my.Manager"), &["2"], &["f2"], current.clone()),
        (value("my.Manager"), &["2"], &["f1"], behind((3, 1, 8))),
        (value("my.Manager"), &["1"], &[], behind((2, 8, 1))),
        (Setting::Elsewhere, &["2"], &["f2"], current),
    ] {
        assert_eq!(
            stands(&ours, &auth, &found(core, fab)),
            expected,
            "{auth:?} {core:?} {fab:?}"
        );
    }
}

#[test]
fn what_only_airflow_knows_is_asked_unless_the_same_airflow_left_it() {
    let ours = installed(Version::new(3, 1, 8));
    let auth = value("my.Manager");
    let mut there = found(&["2"], &[]);
    assert!(matches!(
        stands(&ours, &auth, &there),
        Standing::Unsure { from: Some(from), .. } if from == ours.version
    ));
    let record = |airflow, managers: &str| Record {
        airflow,
        core: "2".to_owned(),
        fab: None,
        managers: managers.to_owned(),
    };
    let digest = Managers::of(&ours, &auth, &Setting::Unset).digest;
    there.record = Some(record(ours.version, &digest));
    assert_eq!(stands(&ours, &auth, &there), Standing::Current);
    // Another release, or other settings, may keep other tables.
    for other in [
        record(Version::new(3, 1, 7), &digest),
        record(ours.version, "00000000"),
    ] {
        there.record = Some(other);
        assert!(matches!(
            stands(&ours, &auth, &there),
            Standing::Unsure { .. }
        ));
    }

    let mut broken = ours.clone();
    broken.core = Err("two heads".to_owned());
    assert_eq!(
        stands(&broken, &Setting::Unset, &found(&["2"], &[])),
        Standing::Unsure {
            why: "two heads".to_owned(),
            from: None
        }
    );
    assert_eq!(
        stands(&broken, &Setting::Unset, &found(&[], &[])),
        Standing::Empty
    );
    let unknown = Err("no airflow");
    assert_eq!(standing(&unknown, &found(&[], &[])), Standing::Empty);
    assert!(matches!(
        standing(&unknown, &found(&["2"], &[])),
        Standing::Unsure { from: None, .. }
    ));
}

#[test]
fn who_made_a_schema_that_is_ahead_is_known_by_the_comment() {
    let ours = installed(Version::new(3, 1, 7));
    let mut there = found(&["9"], &[]);
    there.record = Some(Record {
        airflow: Version::new(3, 1, 8),
        core: "9".to_owned(),
        fab: None,
        managers: String::new(),
    });
    assert_eq!(
        stands(&ours, &Setting::Unset, &there),
        Standing::Ahead {
            revision: "9".to_owned(),
            by: Some(Version::new(3, 1, 8))
        }
    );
}

#[test]
fn tables_beside_airflows_own_by_setting() {
    let three = installed(Version::new(3, 1, 8));
    let mut discovers = three.clone();
    discovers.discovers_managers = true;
    let mut edge = discovers.clone();
    edge.other_managers = true;
    let two = installed(Version::new(2, 11, 2));
    let unset = Setting::Unset;
    for (airflow, auth, external, expected) in [
        (&three, unset.clone(), unset.clone(), (Some(false), false)),
        (
            &three,
            value("airflow.providers.amazon.aws.auth_manager.aws_auth_manager.AwsAuthManager"),
            unset.clone(),
            (Some(false), false),
        ),
        (&three, value(FAB), unset.clone(), (Some(true), false)),
        (&three, value("my.Manager"), unset.clone(), (None, false)),
        (&three, Setting::Elsewhere, unset.clone(), (None, false)),
        (&three, unset.clone(), value(FAB_DB), (Some(true), false)),
        (
            &three,
            unset.clone(),
            value(&format!("my.DBManager, {FAB_DB}")),
            (Some(true), true),
        ),
        (
            &three,
            unset.clone(),
            Setting::Elsewhere,
            (Some(false), true),
        ),
        (
            &discovers,
            unset.clone(),
            unset.clone(),
            (Some(true), false),
        ),
        (&edge, unset.clone(), unset.clone(), (Some(true), true)),
        (
            &two,
            value("my.Manager"),
            Setting::Elsewhere,
            (Some(false), false),
        ),
    ] {
        let managers = Managers::of(airflow, &auth, &external);
        assert_eq!(
            (managers.fab, managers.others),
            expected,
            "{auth:?} {external:?}"
        );
    }
}

#[test]
fn a_record_counts_only_for_the_revisions_it_names() {
    let record: Record = "trimtab: migrated by airflow=3.1.8 core=2 fab=none managers=01234567"
        .parse()
        .unwrap();
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    assert!(record.is_of(&names(&["2"]), &[]));
    assert!(!record.is_of(&names(&["3"]), &[]));
    assert!(!record.is_of(&names(&["2"]), &names(&["f"])));
    assert!(!record.is_of(&names(&["2", "3"]), &[]));
    for other in [
        "",
        "migrated by airflow=3.1.8",
        "trimtab: migrated by airflow=x core=2 fab=none managers=0",
    ] {
        assert_eq!(other.parse::<Record>(), Err(()), "{other}");
    }
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(core in "[0-9a-f]{12}", fab in proptest::option::of("[0-9a-f]{12}"), managers in "[0-9a-f]{8}") {
        let record = Record { airflow: Version::new(3, 1, 8), core, fab, managers };
        prop_assert_eq!(record.to_string().parse(), Ok(record));
    }
}
