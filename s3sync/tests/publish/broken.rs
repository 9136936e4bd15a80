//! Releases that are not whole, documents that lie, and clocks that are wrong.

use crate::bench::{BUCKET, Bench, PLACE, POINTER, Tree, release, text};
use s3sync::release::{File, ReleaseManifest, content_key, manifest_key};
use s3sync::revision::{Hash, hex};
use sha2::{Digest, Sha256};
use testkit::s3::{Operation, Refusal};

fn put_manifest(bench: &Bench, bytes: &[u8]) -> Hash {
    let release = Hash::from(Sha256::digest(bytes));
    bench.s3.put(
        BUCKET,
        &format!("dags/{}", manifest_key(&release)),
        bytes.to_vec(),
    );
    release
}

#[test]
fn a_rollback_to_what_is_not_whole_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    let one = bench.publish(&tree, "one", &[]);
    tree.write("a.py", "2");
    bench.publish(&tree, "two", &[]);
    let pointer = bench.s3.get(BUCKET, POINTER);

    let key = format!("dags/{}", manifest_key(&release(&one)));
    let whole = bench.s3.get(BUCKET, &key).expect("the manifest");
    let cut = put_manifest(&bench, &whole[..whole.len() - 10]);
    let line = |path: &str| {
        format!(
            "{{\"path\":\"{path}\",\"sha256\":\"{}\",\"size\":1}}\n",
            hex(&[7; 32])
        )
    };
    let hostile = |path: &str| {
        let header = format!(
            "{{\"schema\":1,\"revision\":\"{}\",\"created\":\"x\",\"files\":1,\"bytes\":1}}\n",
            hex(&[0; 32])
        );
        put_manifest(&bench, (header + &line(path)).as_bytes())
    };
    let (outside, state) = (hostile("../../etc/cron.d/x"), hostile(".s3sync/lock"));
    let lost = [7; 32];
    let file = File {
        path: "gone.py".into(),
        sha256: lost,
        size: 1,
    };
    let made = ReleaseManifest::new(vec![file], None, None, "2026-01-01T00:00:00Z".into()).unwrap();
    let without = put_manifest(&bench, &made.to_bytes().1);
    for (release, why) in [
        (cut, "no file"),
        (outside, "etc/cron.d/x"),
        (state, "lock"),
        (without, "gone.py"),
    ] {
        let refused = bench.run(&["rollback", PLACE, &text(&release)], 65);
        assert!(refused.stderr.contains(why), "{why}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("nothing was changed"),
            "{}",
            refused.stderr
        );
    }
    // One whose bytes are not those of its name.
    let mut changed = whole.to_vec();
    changed[20] ^= 1;
    bench.s3.put(BUCKET, &key, changed);
    let refused = bench.run(&["rollback", PLACE], 65);
    assert!(
        refused.stderr.contains("cut or changed"),
        "{}",
        refused.stderr
    );
    // And content of another size.
    bench.s3.put(BUCKET, &key, whole);
    bench.s3.put(
        BUCKET,
        &format!("dags/{}", content_key(&Sha256::digest("1").into())),
        "longer",
    );
    let refused = bench.run(&["rollback", PLACE], 65);
    assert!(refused.stderr.contains("a.py"), "{}", refused.stderr);
    assert_eq!(bench.s3.get(BUCKET, POINTER), pointer);
}

#[test]
fn publishing_again_puts_back_what_somebody_removed() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1"), ("b.py", "2")]);
    let one = bench.publish(&tree, "one", &[]);
    let content = format!("dags/{}", content_key(&Sha256::digest("1").into()));
    assert!(bench.s3.delete(BUCKET, &content));
    let again = bench.publish(&tree, "again", &[]);
    assert_eq!(
        (&again["uploaded_files"], &again["published"]),
        (&1.into(), &false.into())
    );
    bench.contents(&release(&one)).unwrap();

    // A pointer to nothing: a new release is made, and everything is uploaded.
    bench
        .s3
        .delete(BUCKET, &format!("dags/{}", manifest_key(&release(&one))));
    let anew = bench.publish(&tree, "anew", &[]);
    assert_eq!(
        (&anew["uploaded_files"], &anew["published"]),
        (&2.into(), &true.into())
    );
    bench.contents(&bench.current()).unwrap();
}

#[test]
fn an_empty_manifest_hides_no_other_release() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    let one = bench.publish(&tree, "one", &[]);
    tree.write("a.py", "2");
    bench.publish(&tree, "two", &[]);
    put_manifest(&bench, b"");
    let list = bench.run(&["releases", PLACE, "--output", "json"], 0);
    let list = crate::bench::json(&list);
    let list = list.as_array().expect("a list");
    let unreadable = list.iter().filter(|line| line["unreadable"].is_string());
    assert_eq!((list.len(), unreadable.count()), (3, 1), "{list:?}");
    bench.run(&["rollback", PLACE, "one"], 0);
    assert_eq!(bench.current(), release(&one));
}

#[test]
fn a_pointer_that_is_none_is_not_overwritten() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    for (pointer, why) in [
        ("{}".to_string(), "cannot be read"),
        ("{\"schema\":2}".to_string(), "update s3sync"),
        ("x".repeat(5000), "5000 bytes"),
    ] {
        bench.s3.put(BUCKET, POINTER, pointer.clone());
        let refused = crate::bench::run(&bench.publisher(&tree, "one", &[]), 65);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert_eq!(
            bench.s3.get(BUCKET, POINTER).as_deref(),
            Some(pointer.as_bytes())
        );
    }
}

#[test]
fn a_host_whose_clock_is_off_is_told_so_and_publishes_nothing() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    bench.fault(Refusal::time_too_skewed(), Operation::Put, "*");
    let refused = crate::bench::run(&bench.publisher(&tree, "one", &[]), 77);
    assert!(refused.stderr.contains("clock"), "{}", refused.stderr);
    assert_eq!(bench.keys(), Vec::<String>::new());
}

/// Within the quarter of an hour that S3 allows, a clock orders nothing: S3's does.
#[test]
fn a_release_from_the_future_is_not_the_newest_for_long() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    bench.publish(&tree, "one", &[]);
    let future = "2099-01-01T00:00:00Z".to_string();
    let made = ReleaseManifest::new(Vec::new(), Some("future".into()), None, future).unwrap();
    let future = put_manifest(&bench, &made.to_bytes().1);
    bench.age_all(3, &[]);
    tree.write("a.py", "2");
    let two = bench.publish(&tree, "two", &[]);
    let list = bench.run(&["releases", PLACE, "--output", "json"], 0);
    let list = crate::bench::json(&list);
    assert_eq!(list[0]["name"], "two");
    let pruned = bench.run(&["prune", PLACE, "--keep", "1", "--output", "json"], 0);
    let pruned = crate::bench::json(&pruned);
    assert_eq!(pruned["releases"][0]["release"], text(&future));
    assert_eq!(bench.current(), release(&two));
}
