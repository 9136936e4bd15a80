//! Heads: spellings of migrations and maps as they are in the wheels of 2.8 to 3.3, and graphs.

use super::*;
use proptest::prelude::*;

fn of(revision: &str, follows: &[&str]) -> Migration {
    Migration {
        revision: revision.to_owned(),
        follows: follows.iter().map(|name| (*name).to_owned()).collect(),
        release: None,
    }
}

#[test]
fn a_migration_is_read_in_each_of_its_spellings() {
    let read = |text| migration(text).map(|read| (read.revision, read.follows, read.release));
    let expected = |follows: &[&str], release| {
        let follows = follows.iter().map(|name| (*name).to_owned()).collect();
        Some(("509b94a1042d".to_owned(), follows, release))
    };
    assert_eq!(
        read(
            "\"\"\"\nRevision ID: x\nrevision = no, not at the start\n\"\"\"\nrevision = \"509b94a1042d\"\ndown_revision = \"82dbd68e6171\"\nbranch_labels = None\nairflow_version = \"3.1.8\"\n"
        ),
        None,
        "prose that looks like an assignment is believed to be one, and then is no revision"
    );
    assert_eq!(
        read(
            "revision = \"509b94a1042d\"\ndown_revision = \"82dbd68e6171\"\nairflow_version = \"3.1.8\"\n"
        ),
        expected(&["82dbd68e6171"], Some(Version::new(3, 1, 8)))
    );
    assert_eq!(
        read("revision: str = '509b94a1042d'  # 'x'\ndown_revision: str | None = None\n"),
        expected(&[], None)
    );
    assert_eq!(
        read("down_revision = (\n    \"a\",  # \"no\"\n    'b',\n)\nrevision = '509b94a1042d'"),
        expected(&["a", "b"], None)
    );
    assert_eq!(read("revision = \"509b94a1042d\"\n"), None);
    assert_eq!(read("down_revision = None\n"), None);
}

#[test]
fn a_map_is_read_with_and_without_annotation() {
    for declared in [
        "_REVISION_HEADS_MAP = {",
        "_REVISION_HEADS_MAP: dict[str, str] = {",
    ] {
        let text = format!(
            "from x import _REVISION_HEADS_MAP\n{declared}\n    \"2.8.0\": \"10b52ebd31f7\",\n    # \"2.8.5\": \"no\",\n    \"2.10.0\": \"22ed7efa9da2\",\n}}\n\"9.9.9\": \"x\"\n"
        );
        let expected = [
            (Version::new(2, 8, 0), "10b52ebd31f7".to_owned()),
            (Version::new(2, 10, 0), "22ed7efa9da2".to_owned()),
        ];
        assert_eq!(heads(&text), expected.into());
    }
    assert_eq!(heads("nothing"), BTreeMap::new());
}

#[test]
fn a_graph_that_is_not_whole_has_no_head() {
    for (migrations, why) in [
        (vec![], "there is no head"),
        (vec![of("a", &["b"]), of("b", &["a"])], "there is no head"),
        (
            vec![of("a", &[]), of("b", &["a"]), of("c", &["a"])],
            "b and c are both heads",
        ),
        (
            vec![of("b", &["a"])],
            "revision a is followed and not there",
        ),
        (
            vec![of("a", &[]), of("a", &[])],
            "revision a is there twice",
        ),
    ] {
        assert_eq!(Revisions::of(migrations), Err(why.to_owned()));
    }
}

#[test]
fn the_map_counts_up_to_the_installed_release() {
    let revisions = Revisions::of(vec![of("a", &[]), of("b", &["a"])]).unwrap();
    let map: BTreeMap<_, _> = [
        (Version::new(3, 0, 0), "a".to_owned()),
        (Version::new(3, 1, 0), "b".to_owned()),
        (Version::new(3, 2, 0), "c".to_owned()),
    ]
    .into();
    assert_eq!(revisions.agrees_with(&map, Version::new(3, 1, 8)), Ok(()));
    assert_eq!(revisions.agrees_with(&map, Version::new(3, 1, 0)), Ok(()));
    for (version, why) in [
        (
            Version::new(3, 0, 6),
            "the head is a since 3.0.0, and b by the migrations",
        ),
        (
            Version::new(3, 3, 0),
            "the head is c since 3.2.0, and b by the migrations",
        ),
        (Version::new(2, 9, 0), "no head is named for 2.9.0"),
    ] {
        assert_eq!(revisions.agrees_with(&map, version), Err(why.to_owned()));
    }
}

proptest! {
    /// Merges included: whatever follows whatever came before, and at last one follows all.
    #[test]
    fn the_head_is_found_in_any_order_of_files(
        parents in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..3), 1..40),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut all: Vec<Migration> = Vec::new();
        for (number, parents) in parents.iter().enumerate() {
            let follows = parents.iter().filter(|_| number > 0).map(|parent| format!("r{}", parent.index(number)));
            let follows = follows.collect::<Vec<_>>();
            all.push(Migration { revision: format!("r{number}"), follows, release: None });
        }
        let names: Vec<String> = all.iter().map(|one| one.revision.clone()).collect();
        all.push(Migration { revision: "last".to_owned(), follows: names, release: None });
        let turn = turn.index(all.len());
        all.rotate_left(turn);
        let revisions = Revisions::of(all).unwrap();
        prop_assert_eq!(revisions.head(), "last");
        prop_assert!(revisions.knows("r0") && !revisions.knows("other"));
    }

    #[test]
    fn no_source_makes_it_panic(text in "(revision|down_revision|_REVISION_HEADS_MAP|[ =:(){}\"'#\n,aü]){0,40}") {
        let _ = migration(&text);
        let _ = heads(&text);
    }
}
