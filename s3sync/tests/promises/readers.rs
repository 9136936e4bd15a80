//! Promise 10: what Airflow sees of files that wait.

use crate::support::{BUCKET, Bench, DEADLINE, key};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use testkit::process::Program;
use testkit::s3::{Fault, Operation, Rule};

/// Every path below the state directory.
fn state(bench: &Bench) -> Vec<PathBuf> {
    let picture = testkit::fs::Picture::of(bench.state());
    picture
        .0
        .keys()
        .map(|path| bench.state().join(path))
        .collect()
}

fn python(script: &str, arguments: &[&Path]) -> String {
    let finished = Program::new("/usr/bin/env")
        .args(["python3", "-c", script])
        .args(arguments)
        .inherit(&["PATH", "HOME"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.stdout.trim().to_string()
}

/// A packaged DAG.
fn zip(bench: &Bench) -> Vec<u8> {
    let path = bench.outside.path().join("made.zip");
    python(
        "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w'); z.writestr('dag.py', 'x = 1\\n' * 9999); z.close()",
        &[&path],
    );
    std::fs::read(path).expect("the zip")
}

/// As Airflow asks, by another user than root.
const IS_ZIP: &str = "import os, sys, zipfile\n\
    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n\
    print(zipfile.is_zipfile(sys.argv[1]))";

#[test]
fn promise_10_a_staged_file_has_no_python_name_and_a_staged_zip_cannot_be_read() {
    let bench = Bench::new();
    std::fs::set_permissions(bench.outside.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let zip = zip(&bench);
    // One hangs in the middle of its bytes, and so the others wait, whole, in staging.
    bench.s3.put_all(
        BUCKET,
        [
            (key("slow.py"), vec![b'#'; 50_000]),
            (key("dag.zip"), zip.clone()),
            (key("whole.py"), b"whole = 1\n".to_vec()),
        ],
    );
    bench.s3.put(BUCKET, &key("odd-name.txt"), zip.clone());
    let hang = bench.s3.faults().add(
        Rule::new(Fault::HangAfter(30_000))
            .on(Operation::Get)
            .glob("*slow.py"),
    );
    let mut watch = bench.watch(&[]);
    let staged = |size: u64| {
        state(&bench)
            .into_iter()
            .filter(|path| {
                std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.size() == size)
            })
            .collect::<Vec<_>>()
    };
    testkit::until(DEADLINE, "whole files to wait", || {
        bench.s3.faults().acted(hang) > 0
            && staged(zip.len() as u64).len() == 2
            && staged(10).len() == 1
    });

    assert!(
        bench.files().is_empty(),
        "none of the set is there before all of it is"
    );
    let names = state(&bench);
    assert!(
        names.iter().all(|path| path
            .extension()
            .is_none_or(|end| end != "py" && end != "zip")),
        "{names:?}"
    );
    let zips = staged(zip.len() as u64);
    for path in &zips {
        assert_eq!(
            std::fs::metadata(path).unwrap().mode() & 0o777,
            0,
            "nobody but root reads {}",
            path.display()
        );
        assert_eq!(python(IS_ZIP, &[path]), "False");
    }
    assert_eq!(
        std::fs::read_to_string(bench.state().join(".airflowignore"))
            .unwrap()
            .trim_end(),
        "[^~]*"
    );

    bench.s3.faults().clear();
    watch.kill();
    bench.once(0, &[]);
    assert_eq!(bench.files(), bench.wanted());
    assert_eq!(
        std::fs::metadata(bench.at("dag.zip")).unwrap().mode() & 0o777,
        0o664
    );
    assert_eq!(
        python(IS_ZIP, &[&bench.at("dag.zip")]),
        "True",
        "the same question finds the published one"
    );
    assert!(
        state(&bench)
            .iter()
            .all(|path| !path.starts_with(bench.state().join("staging")) || path.is_dir())
    );
}

/// A zip is known by the end of its bytes, so one that is still on its way is none; a Python file has
/// no Python name at any time.
#[test]
fn promise_10_a_file_on_its_way_is_not_seen() {
    let bench = Bench::new();
    let zip = zip(&bench);
    bench.s3.put_all(
        BUCKET,
        [(key("dag.zip"), zip), (key("slow.py"), vec![b'#'; 90_000])],
    );
    let slow = Fault::Slow {
        before: std::time::Duration::ZERO,
        bytes_per_second: 40_000,
    };
    bench.s3.faults().add(Rule::new(slow).on(Operation::Get));
    let mut once = bench.program("once", &[]).spawn();
    let mut looks = 0;
    testkit::until(DEADLINE, "once to end", || {
        for path in state(&bench) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.ends_with(".py") && !name.ends_with(".zip"), "{name}");
            looks += u32::from(name.ends_with(".part"));
        }
        !once.is_running()
    });
    assert_eq!(once.exit_code(DEADLINE), 0);
    assert!(looks > 10, "staging was seen with files in it");
    assert_eq!(bench.files(), bench.wanted());
}

/// Airflow 2 reads the line as a regular expression that is searched for in a path, Airflow 3 as a
/// pattern as git has them.
#[test]
fn promise_10_the_airflowignore_covers_every_name() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, &[]);
    let script = "import fnmatch, re, sys\n\
        line = open(sys.argv[1]).read().strip()\n\
        names = ['staging', '0.part', '12.gone', 'manifest.py', 'x.zip', '.hidden', 'é', '-', '!']\n\
        glob = line.replace('[^', '[!')\n\
        print(line, all(re.search(line, name) for name in names), all(fnmatch.fnmatchcase(name, glob) for name in names))";
    assert_eq!(
        python(script, &[&bench.state().join(".airflowignore")]),
        "[^~]* True True"
    );
}
