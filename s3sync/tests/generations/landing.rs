//! How a set becomes a generation.

use crate::bench::{
    GENERATIONS, current, files, ids, inode, path_of, revision, until_landed, wanted, watch, whole,
};
use crate::support::{Bench, DEADLINE};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_first_pass_makes_a_generation_of_everything() {
    let bench = Bench::with(&[
        ("a.py", "x = 1\n"),
        ("etl/deep/b.sql", "select 1\n"),
        ("empty/", ""),
    ]);
    let report = bench.once(0, GENERATIONS);
    let id = revision(&wanted(&bench));
    assert_eq!((report.revision, current(&bench)), (id.clone(), id.clone()));
    assert_eq!(whole(&bench), wanted(&bench));
    assert!(path_of(&bench, &id).join("empty").is_dir());
    let mode = |path: &str| {
        let path = path_of(&bench, &id).join(path);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode(""), mode("etl"), mode("a.py")), (0o775, 0o775, 0o664));
    let mode = std::fs::metadata(bench.at("current"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o664);
    let names = std::fs::read_dir(bench.dest()).unwrap().count();
    assert_eq!(
        names, 3,
        "current, generations and the state directory are all there is"
    );
}

/// Against another project's S3.
#[test]
fn moto_gives_the_same_generations() {
    let moto = testkit::moto::Moto::shared();
    moto.create_bucket("generations");
    let directory = tempfile::tempdir().unwrap();
    let dest = directory.path().join("dest");
    let once = |objects: &[(&str, &str)]| {
        objects.iter().for_each(|(path, text)| {
            moto.put("generations", &format!("dags/{path}"), text.as_bytes())
        });
        let finished = testkit::process::Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args(["once", "s3://generations/dags"])
            .arg(&dest)
            .args(GENERATIONS)
            .envs(moto.environment())
            .run(DEADLINE);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let id = std::fs::read_to_string(dest.join("current")).unwrap();
        let found = files(&dest.join("generations").join(id.trim_end()));
        assert_eq!(revision(&found), id.trim_end());
        found.len()
    };
    assert_eq!(once(&[("a.py", "1"), ("d/b.py", "1")]), 2);
    assert_eq!(once(&[("a.py", "2"), ("c.py", "1")]), 3);
    assert_eq!(
        std::fs::read_dir(dest.join("generations")).unwrap().count(),
        2
    );
}

#[test]
fn one_changed_file_makes_a_generation_that_shares_the_others() {
    let bench = Bench::new();
    bench.s3.put_all(
        crate::support::BUCKET,
        (0..200).map(|number| {
            (
                crate::support::key(&format!("d{}/f{number}.py", number % 7)),
                format!("x = {number}\n"),
            )
        }),
    );
    bench.once(0, GENERATIONS);
    let (first, before) = (current(&bench), whole(&bench));
    bench.put("d1/f1.py", "x = 'new'\n");
    let report = bench.once(0, GENERATIONS);
    let second = current(&bench);
    assert_eq!((report.updated, &report.revision), (1, &second));
    assert_eq!(whole(&bench), bench.wanted());
    assert_eq!(
        files(&path_of(&bench, &first)),
        before,
        "the old one is as it was"
    );
    for path in before.keys() {
        let shared =
            inode(path_of(&bench, &first).join(path)) == inode(path_of(&bench, &second).join(path));
        assert_eq!(shared, path != "d1/f1.py", "{path}");
    }
}

#[test]
fn a_rollback_to_a_kept_generation_only_moves_current() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "1")]);
    let watch = watch(&bench, &[]);
    let first = current(&bench);
    let made = inode(path_of(&bench, &first).join("a.py"));
    bench.put("a.py", "2");
    until_landed(&bench);
    bench.put("a.py", "1");
    until_landed(&bench);
    assert_eq!(current(&bench), first);
    assert_eq!(inode(path_of(&bench, &first).join("a.py")), made);
    assert_eq!(ids(&bench).len(), 2);
    watch.wait_for(|line| line.contains("\"generation_current\""), DEADLINE);
    assert_eq!(watch.stderr().matches("\"generation\"").count(), 2);
}

/// Promise 9 is the tree's: a linked file has its time, and a scrub that cannot go by the time of
/// change must not take each new link for an edit.
#[test]
fn a_new_generation_makes_no_file_a_suspect() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "1")]);
    let watch = watch(&bench, &["--scrub-interval", "100ms"]);
    for text in ["2", "3", "4"] {
        bench.put("a.py", text);
        until_landed(&bench);
        bench.after_listings(3);
    }
    let log = watch.stderr();
    assert!(
        !log.contains("drifted") && !log.contains("generation_suspect"),
        "{log}"
    );
    assert_eq!(bench.status()["degraded"], false);
}

#[test]
fn a_poll_at_rest_touches_nothing_and_the_status_names_the_generation() {
    let bench = Bench::with(&[("a.py", "1")]);
    let watch = watch(&bench, &[]);
    let id = current(&bench);
    let trace = crate::support::trace::Trace::attach(&watch, bench.outside.path().join("trace"));
    bench.after_listings(5);
    assert_eq!(trace.calls_on(&bench.dest()), Vec::<String>::new());
    let status = bench.status();
    assert_eq!(status["detail"]["generation"], id.as_str());
    assert_eq!(status["detail"]["revision"], id.as_str());
}

#[test]
fn once_reports_the_generation_and_in_place_does_not() {
    let bench = Bench::with(&[("a.py", "1")]);
    let report = |options: &[&str]| -> serde_json::Value {
        let finished = bench.run("once", &[options, &["--output", "json"]].concat());
        serde_json::from_str(&finished.stdout).unwrap()
    };
    assert_eq!(report(GENERATIONS)["generation"], current(&bench).as_str());
    std::fs::remove_dir_all(bench.dest()).unwrap();
    assert!(report(&[]).get("generation").is_none());
}

#[test]
fn held_deletes_do_not_hold_back_what_was_uploaded() {
    let names: Vec<String> = (0..10).map(|number| format!("f{number}.py")).collect();
    let bench = Bench::new();
    names.iter().for_each(|name| {
        bench.put(name, "1");
    });
    bench.once(0, GENERATIONS);
    names.iter().skip(1).for_each(|name| bench.delete(name));
    bench.put("new.py", "not a move");
    bench.once(1, GENERATIONS);
    let files = whole(&bench);
    assert!(
        files.len() == 11 && files.contains_key("new.py"),
        "{files:?}"
    );
}

#[test]
fn an_empty_prefix_makes_no_generation_unless_it_may() {
    let bench = Bench::new();
    bench.once(0, GENERATIONS);
    assert_eq!(current(&bench), "");
    bench.once(0, &[GENERATIONS, &["--allow-empty"]].concat());
    assert!(whole(&bench).is_empty() && current(&bench).len() == 64);
}

#[test]
fn each_layout_refuses_the_other() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, GENERATIONS);
    let before = testkit::fs::Picture::of(bench.dest());
    for command in ["once", "watch"] {
        let finished = bench.run(command, &[]);
        assert_eq!(finished.code, 73, "{}", finished.stderr);
        assert!(
            finished.stderr.contains("add --layout generations"),
            "{}",
            finished.stderr
        );
    }
    assert_eq!(testkit::fs::Picture::of(bench.dest()), before);
    std::fs::remove_dir_all(bench.state()).unwrap();
    assert_eq!(bench.run("once", &[]).code, 73, "its state was lost");
    std::fs::remove_dir_all(bench.dest()).unwrap();
    bench.once(0, &[]);
    for command in ["once", "watch"] {
        let finished = bench.run(command, GENERATIONS);
        assert_eq!(finished.code, 73, "{}", finished.stderr);
        assert!(
            finished.stderr.contains("an empty directory"),
            "{}",
            finished.stderr
        );
    }
    bench.once(0, &[]);
    // The way that the message names.
    std::fs::remove_file(bench.state().join("manifest.jsonl")).unwrap();
    bench.once(0, GENERATIONS);
    assert_eq!(whole(&bench), bench.wanted());
    assert!(
        bench.at("a.py").exists(),
        "what lay there in place is not s3sync's to remove"
    );
}

/// A DAG folder may hold a directory of that name.
#[test]
fn a_directory_named_current_is_not_removed() {
    let bench = Bench::with(&[("a.py", "1")]);
    std::fs::create_dir(bench.at("current")).unwrap();
    std::fs::write(bench.at("current/mine.py"), "x").unwrap();
    let finished = bench.run("once", GENERATIONS);
    assert!(
        finished.code == 73 && finished.stderr.contains("cannot replace current"),
        "{}",
        finished.stderr
    );
    assert_eq!(bench.read("current/mine.py"), "x");
}

#[test]
fn a_lost_state_directory_costs_a_fetch_and_no_generation() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "1")]);
    bench.once(0, GENERATIONS);
    let (id, made) = (
        current(&bench),
        inode(path_of(&bench, &current(&bench)).join("a.py")),
    );
    std::fs::remove_dir_all(bench.state()).unwrap();
    bench.once(0, GENERATIONS);
    assert_eq!(inode(path_of(&bench, &id).join("a.py")), made);
    whole(&bench);
}

#[test]
fn a_follower_names_the_generation_and_takes_over() {
    use crate::support::watcher::Watcher;
    let bench = Bench::with(&[("a.py", "1")]);
    let mut first = Watcher::start(&bench, "first", GENERATIONS);
    first.wait_healthy("writer");
    let mut second = Watcher::start(&bench, "second", GENERATIONS);
    let id = current(&bench);
    second.wait_for("a follower of that generation", |status| {
        status["healthy"] == true
            && status["detail"]["role"] == "follower"
            && status["detail"]["generation"] == id.as_str()
    });
    first.process.kill();
    first.process.exit_code(DEADLINE);
    second.wait_healthy("writer");
    bench.put("a.py", "2");
    until_landed(&bench);
}

#[test]
fn plan_and_verify_find_the_layout_by_themselves() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "1")]);
    bench.once(0, GENERATIONS);
    assert_eq!(bench.run("plan", &[]).code, 0);
    assert_eq!(bench.run("verify", &[]).code, 0);
    let id = current(&bench);
    // Of the generation alone: the tree has another inode from now on.
    let damaged = path_of(&bench, &id).join("a.py");
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(&damaged, "2").unwrap();
    std::fs::write(path_of(&bench, &id).join("extra.py"), "2").unwrap();
    std::fs::remove_file(path_of(&bench, &id).join("b.py")).unwrap();
    let finished = bench.run("verify", &[]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    for line in [
        "differs      generations/",
        "missing      generations/",
        "extra        generations/",
    ] {
        assert!(finished.stdout.contains(line), "{}", finished.stdout);
    }
    std::fs::remove_file(bench.at("current")).unwrap();
    let finished = bench.run("verify", &[]);
    assert!(
        finished.code == 1 && finished.stdout.contains("missing      current"),
        "{}",
        finished.stdout
    );
}
