//! What was damaged or removed by hand, and what a writer left half done.

use crate::bench::{
    GENERATIONS, current, files, ids, inode, path_of, revision, until_landed, wanted, watch, whole,
};
use crate::support::{Bench, DEADLINE, trace};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use testkit::fs::Mount;
use testkit::process::{Process, Signal};

const SCRUBS: &[&str] = &["--scrub-interval", "100ms"];

fn until_whole(bench: &Bench, what: &str) {
    let id = revision(&wanted(bench));
    testkit::until(DEADLINE, what, || {
        current(bench) == id && {
            let path = path_of(bench, &id);
            path.is_dir() && files(&path) == wanted(bench)
        }
    });
}

#[test]
fn a_scrub_mends_what_was_removed_or_damaged_by_hand() {
    let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1"), ("empty/", "")]);
    let watch = watch(&bench, SCRUBS);
    let generation = path_of(&bench, &current(&bench));
    std::fs::remove_file(bench.at("current")).unwrap();
    until_whole(&bench, "current to be there again");
    std::fs::write(bench.at("current"), "rubbish\n").unwrap();
    until_whole(&bench, "current to be right again");
    std::fs::remove_dir_all(&generation).unwrap();
    until_whole(&bench, "the generation to be there again");
    std::fs::remove_dir_all(bench.at("generations")).unwrap();
    until_whole(&bench, "all of it to be there again");
    std::fs::remove_file(generation.join("d/b.py")).unwrap();
    until_whole(&bench, "the file to be there again");
    std::fs::remove_dir(generation.join("empty")).unwrap();
    testkit::until(DEADLINE, "the directory to be there again", || {
        generation.join("empty").is_dir()
    });
    // In place and of the same size: the tree shares it, and shows it by its time.
    std::fs::write(generation.join("a.py"), "X").unwrap();
    until_whole(&bench, "the bytes to be right again");
    assert!(watch.stderr().contains("generation_damaged"));
    assert_eq!(ids(&bench).len(), 1);
}

#[test]
fn a_start_makes_a_current_generation_anew_that_is_not_there() {
    let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1")]);
    bench.once(0, GENERATIONS);
    let generation = path_of(&bench, &current(&bench));
    std::fs::remove_dir_all(&generation).unwrap();
    bench.once(0, GENERATIONS);
    assert_eq!(path_of(&bench, &current(&bench)), generation);
    assert_eq!(whole(&bench), bench.wanted());
}

#[test]
fn a_damaged_generation_does_not_become_current_again() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 4] = [
        // Of the same size: only its bytes tell.
        ("other bytes", |root| {
            std::fs::write(root.join("a.py"), "X").unwrap()
        }),
        ("a file more", |root| {
            std::fs::write(root.join("extra.py"), "X").unwrap()
        }),
        ("a file less", |root| {
            std::fs::remove_file(root.join("d/b.py")).unwrap()
        }),
        ("a link", |root| {
            std::fs::remove_file(root.join("a.py")).unwrap();
            std::os::unix::fs::symlink("d/b.py", root.join("a.py")).unwrap();
        }),
    ];
    for (why, damage) in damages {
        let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1")]);
        bench.once(0, GENERATIONS);
        let first = path_of(&bench, &current(&bench));
        bench.put("a.py", "2");
        bench.once(0, GENERATIONS);
        damage(&first);
        bench.put("a.py", "1");
        bench.once(0, GENERATIONS);
        assert_eq!(path_of(&bench, &current(&bench)), first, "{why}");
        assert_eq!(whole(&bench), bench.wanted(), "{why}");
    }
}

#[test]
fn bytecode_beside_the_files_is_no_damage() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, GENERATIONS);
    let first = path_of(&bench, &current(&bench));
    std::fs::create_dir(first.join("__pycache__")).unwrap();
    std::fs::write(first.join("__pycache__/a.cpython-312.pyc"), "x").unwrap();
    let made = inode(&first);
    for text in ["2", "1"] {
        bench.put("a.py", text);
        bench.once(0, GENERATIONS);
    }
    assert_eq!(path_of(&bench, &current(&bench)), first);
    assert_eq!(inode(&first), made, "it was not made anew");
}

/// A tree from which a file was removed by hand makes no generation until it is repaired.
#[test]
fn a_file_that_is_gone_from_the_tree_is_repaired_before_the_next_generation() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "1")]);
    bench.once(0, GENERATIONS);
    std::fs::remove_file(bench.state().join("tree/b.py")).unwrap();
    bench.put("a.py", "2");
    let report = bench.once(0, GENERATIONS);
    assert_eq!((report.updated, report.repaired), (1, 1));
    assert_eq!(whole(&bench), bench.wanted());
}

/// The manifest says what should be current, so a start needs no S3 to finish it.
#[test]
fn a_start_finishes_what_the_last_writer_left() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, GENERATIONS);
    let first = current(&bench);
    bench.put("a.py", "2");
    bench.once(0, GENERATIONS);
    let second = current(&bench);
    for (why, leave) in [
        (
            "current is behind",
            &(|| std::fs::write(bench.at("current"), format!("{first}\n")).unwrap()) as &dyn Fn(),
        ),
        ("there is no current", &|| {
            std::fs::remove_file(bench.at("current")).unwrap()
        }),
        ("the generation is not there", &|| {
            std::fs::write(bench.at("current"), format!("{first}\n")).unwrap();
            std::fs::remove_dir_all(path_of(&bench, &second)).unwrap();
        }),
        ("a half is left in staging", &|| {
            std::fs::remove_file(bench.at("current")).unwrap();
            std::fs::create_dir_all(bench.state().join("staging/1/0.making/d")).unwrap();
            std::fs::write(bench.state().join("staging/1/0.making/d/a.py"), "half").unwrap();
        }),
    ] {
        leave();
        bench.s3.go_down();
        let watch = bench.watch(GENERATIONS);
        testkit::until(DEADLINE, why, || current(&bench) == second);
        assert_eq!(whole(&bench), bench.wanted(), "{why}");
        testkit::until(DEADLINE, "staging to be empty", || {
            !testkit::fs::Picture::of(bench.state())
                .0
                .keys()
                .any(|path| path.ends_with(".old") || path.ends_with(".making"))
        });
        drop(watch);
        bench.s3.come_back();
    }
}

#[test]
fn a_full_disk_leaves_the_current_generation_and_room_lets_it_go_on() {
    let bench = Bench::new();
    let directories = 60;
    for number in 0..directories {
        bench.put(&format!("d{number}/f.py"), "1");
    }
    // A link takes no room here, a directory an inode.
    let mount = Mount::tmpfs_with(bench.dest(), "size=4m,nr_inodes=400");
    let watch = watch(&bench, &[]);
    let first = current(&bench);
    let filler: Vec<_> = (0..)
        .map_while(|number| {
            let path = mount.path().join(format!("filler{number}"));
            std::fs::write(&path, "").ok().map(|()| path)
        })
        .collect();
    filler
        .iter()
        .take(20)
        .for_each(|path| std::fs::remove_file(path).unwrap());
    bench.put("d1/f.py", "2");
    testkit::until(DEADLINE, "trouble that names the generation", || {
        let reason = bench.status()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        reason.contains("make generation")
            && reason.contains("No space left")
            && reason.contains("free some room")
    });
    assert_eq!(current(&bench), first);
    whole(&bench);
    assert_eq!(bench.status()["healthy"], true);
    let left = testkit::fs::Picture::of(bench.state());
    assert!(
        !left.0.keys().any(|path| path.contains(".making/")),
        "the partial one is removed"
    );
    filler
        .iter()
        .skip(20)
        .for_each(|path| std::fs::remove_file(path).unwrap());
    until_landed(&bench);
    testkit::until(DEADLINE, "no trouble", || {
        bench.status()["degraded"] == false
    });
    drop(watch);
}

/// A writer that was frozen while it made a generation, and wakes when another has made a later one.
#[test]
fn a_writer_that_wakes_in_anothers_reign_moves_nothing() {
    let bench = Bench::new();
    for number in 0..400 {
        bench.put(&format!("f{number}.py"), "1");
    }
    let mut frozen = watch(&bench, &[]);
    let met = (0..50).any(|number| freeze_while_making(&bench, &mut frozen, number));
    assert!(met, "no generation was met while it was made");
    // Its lock is taken from it as after three minutes of silence.
    silence(&bench);
    bench.put("f1.py", "last");
    let mut taker = bench.program("once", GENERATIONS).spawn();
    assert_eq!(taker.exit_code(DEADLINE), 0, "{}", taker.stderr());
    let id = current(&bench);
    assert_eq!(whole(&bench), bench.wanted());
    let before = testkit::fs::Picture::of(bench.at("generations"));
    frozen.signal(Signal::CONT);
    frozen.wait_for(|line| line.contains("took over"), DEADLINE);
    frozen.kill();
    frozen.exit_code(DEADLINE);
    assert_eq!(current(&bench), id);
    assert_eq!(testkit::fs::Picture::of(bench.at("generations")), before);
}

/// Publishes a change and stops the writer while it makes the generation; returns whether it was met.
fn freeze_while_making(bench: &Bench, writer: &mut Process, number: u32) -> bool {
    let staging = bench.state().join("staging");
    let making = || {
        let picture = testkit::fs::Picture::of(&staging);
        picture.0.keys().any(|path| path.contains(".making/"))
    };
    // Traced, it is slow enough to be met in the middle.
    let output = bench.outside.path().join(format!("trace{number}"));
    let tracer = trace::Trace::attach(writer, output);
    let before = current(bench);
    bench.put("f1.py", format!("{number}"));
    let begun = Instant::now();
    while current(bench) == before && !making() {
        assert!(begun.elapsed() < DEADLINE, "no generation after {before}");
    }
    writer.signal(Signal::STOP);
    drop(tracer);
    // The signal goes by the tracer, and on a busy machine the writer runs on for long.
    testkit::until(DEADLINE, "the writer to stand still", || {
        writer.signal(Signal::STOP) && is_stopped(writer.id())
    });
    let met = current(bench) == before && making();
    if !met {
        writer.signal(Signal::CONT);
    }
    met
}

/// Whether each thread of a process is stopped by a signal.
fn is_stopped(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat"));
    tasks
        .flatten()
        .filter_map(|task| stat(task).ok())
        .all(|stat| {
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        })
}

/// Makes the heartbeat and the epoch as old as a writer's that is gone.
fn silence(bench: &Bench) {
    for name in ["heartbeat", "epoch"] {
        let file = std::fs::File::options()
            .write(true)
            .open(bench.state().join(name))
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(600))
            .unwrap();
    }
}
