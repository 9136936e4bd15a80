//! The plan by table and against a model.

use super::*;
use crate::manifest::Local;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn object(key: &str, version: u8) -> Object {
    Object {
        key: key.into(),
        etag: format!("{version:032x}").into(),
        size: u64::from(version),
        modified: i64::from(version),
        archived: false,
    }
}

fn listing(objects: Vec<Object>) -> Listing {
    let mut objects = objects;
    objects.sort_by(|one, other| one.key.cmp(&other.key));
    Listing {
        objects,
        pages: 1,
        ..Listing::default()
    }
}

fn entry(version: u8) -> Entry {
    let object = object("", version);
    Entry {
        etag: object.etag,
        size: object.size,
        modified: object.modified,
        sha256: [version; 32],
        md5: true,
        local: Local::default(),
    }
}

fn manifest(files: &[(&str, u8)]) -> Manifest {
    let files = files
        .iter()
        .map(|(path, version)| (Box::from(*path), entry(*version)));
    Manifest {
        files: files.collect(),
        ..Manifest::default()
    }
}

fn make(manifest: &Manifest, objects: Vec<Object>) -> Plan {
    let filter = Filter::new(&[], &[]).unwrap();
    plan(
        manifest,
        &listing(objects),
        &filter,
        Some(".s3sync"),
        &BTreeSet::new(),
    )
}

fn kinds(plan: &Plan) -> Vec<(&str, Why)> {
    plan.fetch
        .iter()
        .map(|fetch| (fetch.path(), fetch.why))
        .collect()
}

#[test]
fn a_file_of_a_release_is_known_by_its_sha256_whatever_it_was_before() {
    let known = manifest(&[("same", 1), ("other", 2), ("longer", 3), ("drifted", 4)]);
    let of_release = |key: &str, version: u8, size: u64| {
        Object::of_release(crate::release::File {
            path: key.into(),
            sha256: [version; 32],
            size,
        })
    };
    let objects = vec![
        of_release("drifted", 4, 4),
        of_release("longer", 3, 9),
        of_release("new", 5, 5),
        of_release("other", 9, 2),
        of_release("same", 1, 1),
    ];
    let filter = Filter::new(&[], &[]).unwrap();
    let suspects = BTreeSet::from([Box::from("drifted")]);
    let plan = plan(&known, &listing(objects), &filter, None, &suspects);
    assert_eq!(
        kinds(&plan),
        [
            ("drifted", Why::Repair),
            ("longer", Why::Update),
            ("new", Why::Add),
            ("other", Why::Update)
        ]
    );
    assert_eq!(plan.confirm, [of_release("same", 1, 1)]);
    assert_eq!(plan.unchanged, 1);
}

#[test]
fn each_row_of_the_table() {
    let known = manifest(&[
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("d", 4),
        ("e.pyc", 5),
        ("f", 6),
    ]);
    let mut again = object("c", 3);
    again.modified = 99;
    let mut archived = object("f", 6);
    archived.archived = true;
    let mut archived_new = object("g", 7);
    archived_new.archived = true;
    let plan = make(
        &known,
        vec![
            object("a", 1),
            object("b", 9),
            again.clone(),
            object("n", 1),
            archived,
            archived_new,
        ],
    );
    assert_eq!(kinds(&plan), [("b", Why::Update), ("n", Why::Add)]);
    assert_eq!(plan.confirm, [again]);
    assert_eq!(
        plan.missing
            .iter()
            .map(|gone| &*gone.path)
            .collect::<Vec<_>>(),
        ["d"]
    );
    assert_eq!(plan.forget, [Box::from("e.pyc")]);
    assert_eq!(
        plan.rejected
            .iter()
            .map(|rejected| &*rejected.key)
            .collect::<Vec<_>>(),
        ["g"]
    );
    assert_eq!((plan.listed, plan.wanted, plan.unchanged), (6, 6, 3));
}

#[test]
fn an_etag_that_is_no_md5_proves_nothing_when_the_object_was_written_again() {
    let mut known = manifest(&[("a", 1)]);
    known.files.get_mut("a").unwrap().md5 = false;
    let mut again = object("a", 1);
    again.modified = 99;
    assert_eq!(kinds(&make(&known, vec![again])), [("a", Why::Update)]);
}

#[test]
fn a_suspect_is_repaired_though_the_object_is_the_same() {
    let known = manifest(&[("a", 1), ("b", 1)]);
    let suspects = BTreeSet::from([Box::from("b")]);
    let filter = Filter::new(&[], &[]).unwrap();
    let plan = plan(
        &known,
        &listing(vec![object("a", 1), object("b", 1)]),
        &filter,
        None,
        &suspects,
    );
    assert_eq!(kinds(&plan), [("b", Why::Repair)]);
}

#[test]
fn a_suspect_whose_object_was_written_again_is_repaired_too() {
    let known = manifest(&[("a", 1)]);
    let suspects = BTreeSet::from([Box::from("a")]);
    let again = Object {
        etag: "another".into(),
        ..object("a", 1)
    };
    let filter = Filter::new(&[], &[]).unwrap();
    let plan = plan(&known, &listing(vec![again]), &filter, None, &suspects);
    assert_eq!(kinds(&plan), [("a", Why::Repair)]);
}

#[test]
fn a_path_that_other_keys_make_a_directory_is_no_file() {
    let plan = make(
        &Manifest::default(),
        vec![
            object("a", 1),
            object("a!", 1),
            object("a/b/c", 1),
            object("a/b", 2),
        ],
    );
    assert_eq!(kinds(&plan), [("a!", Why::Add), ("a/b/c", Why::Add)]);
    assert_eq!(
        plan.rejected
            .iter()
            .map(|rejected| &*rejected.key)
            .collect::<Vec<_>>(),
        ["a", "a/b"]
    );
}

#[test]
fn a_directory_marker_gives_way_to_a_file_and_makes_a_directory_else() {
    let plan = make(
        &Manifest::default(),
        vec![
            object("a", 1),
            object("a/", 0),
            object("x/y/", 0),
            object("x/z", 1),
        ],
    );
    assert_eq!(kinds(&plan), [("a", Why::Add), ("x/z", Why::Add)]);
    assert_eq!(plan.make_directories, [Box::from("x/y")]);
    assert_eq!(
        plan.rejected
            .iter()
            .map(|rejected| &*rejected.key)
            .collect::<Vec<_>>(),
        ["a/"]
    );
}

#[test]
fn a_managed_file_that_becomes_a_directory_is_missing_and_its_followers_are_added() {
    let plan = make(&manifest(&[("a", 1)]), vec![object("a/b", 1)]);
    assert_eq!(
        plan.missing
            .iter()
            .map(|gone| &*gone.path)
            .collect::<Vec<_>>(),
        ["a"]
    );
    assert_eq!(kinds(&plan), [("a/b", Why::Add)]);
}

#[test]
fn an_excluded_key_is_neither_wanted_nor_rejected() {
    let plan = make(
        &Manifest::default(),
        vec![object("__pycache__/a.py", 1), object("a.pyc", 1)],
    );
    assert_eq!((plan.wanted, plan.listed, plan.rejected.len()), (0, 2, 0));
}

/// A model of DEST: what a perfect executor of plans would leave.
fn apply(manifest: &mut Manifest, plan: &Plan, versions: &BTreeMap<Box<str>, u8>) {
    for gone in &plan.missing {
        manifest.files.remove(&gone.path);
    }
    for path in &plan.forget {
        manifest.files.remove(path);
    }
    for fetch in &plan.fetch {
        let mut entry = entry(versions[&fetch.object.key]);
        entry.modified = fetch.object.modified;
        manifest.files.insert(fetch.object.key.clone(), entry);
    }
    for object in &plan.confirm {
        manifest.files.get_mut(&object.key).unwrap().modified = object.modified;
    }
    manifest
        .directories
        .extend(plan.make_directories.iter().cloned());
    for path in &plan.drop_directories {
        manifest.directories.remove(path);
    }
}

fn keys() -> impl Strategy<Value = Vec<(String, u8, bool)>> {
    let key = prop_oneof![
        4 => "[ab]{1,2}(/[ab]{1,2}){0,3}/?",
        1 => r"(\.\.|\.|/|//|a|b|\x00|\n|é|e\u{301}|A|\.s3sync/x|x\.pyc){1,6}",
        1 => prop::collection::vec("[a-z]{1,300}", 1..4).prop_map(|parts| parts.join("/")),
    ];
    prop::collection::vec((key, 1u8..4, any::<bool>()), 0..30)
}

proptest! {
    #[test]
    fn an_applied_plan_equals_the_source_and_a_second_one_is_empty(rounds in prop::collection::vec(keys(), 1..5)) {
        let mut model = Manifest::default();
        for round in rounds {
            let versions: BTreeMap<Box<str>, u8> = round.iter().map(|(key, version, _)| (Box::from(key.as_str()), *version)).collect();
            let objects: Vec<Object> = versions.iter().map(|(key, version)| object(key, *version)).collect();
            let made = make(&model, objects.clone());
            apply(&mut model, &made, &versions);
            let rejected: BTreeSet<&str> = made.rejected.iter().map(|rejected| &*rejected.key).collect();
            for (path, entry) in &model.files {
                prop_assert_eq!(&*entry.etag, &*object("", versions[path]).etag, "{}", path);
                prop_assert_eq!(key::name(path, Some(".s3sync")), Ok(Name::File(path)));
            }
            for key in versions.keys() {
                let kept = model.files.contains_key(key) || key.strip_suffix('/').is_some_and(|path| model.directories.contains(path));
                let excluded = key.contains("x.pyc");
                prop_assert!(kept || excluded || rejected.contains(&**key), "{} is neither kept nor rejected", key);
            }
            // No path is below a file.
            for path in model.files.keys().chain(&model.directories) {
                prop_assert!(key::ancestors(path).all(|above| !model.files.contains_key(above)), "{}", path);
            }
            let second = make(&model, objects);
            prop_assert!(second.is_empty(), "{:?}", second);
        }
    }
}
