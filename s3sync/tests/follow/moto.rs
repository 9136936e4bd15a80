//! The same against moto, another project's S3.

use crate::support::releases::Made;
use std::time::Duration;
use testkit::fs::Picture;
use testkit::moto::Moto;
use testkit::process::{Program, Signal};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_release_lands_from_motos_s3_and_the_next_and_the_one_before() {
    let moto = Moto::shared();
    moto.create_bucket("followed");
    let put = |path: &str, bytes: &[u8]| moto.put("followed", &format!("dags/{path}"), bytes);
    let publish = |made: &Made| {
        for (path, bytes) in made.objects() {
            put(&path, &bytes);
        }
        put(".s3sync/current", made.pointer().as_bytes());
    };
    let first = Made::new("first", &[("a.py", "x = 1\n"), ("ü b+c.py", "y = 1\n")]);
    let second = Made::new("second", &[("a.py", "x = 2\n"), ("ü b+c.py", "y = 1\n")]);
    publish(&first);
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "watch",
        "s3://followed/dags",
        "dest",
        "--interval",
        "300ms",
        "--status-file",
        "status.json",
    ];
    let mut watch = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(arguments)
        .envs(moto.environment())
        .directory(directory.path())
        .spawn();
    let dest = directory.path().join("dest");
    let holds =
        |made: &Made| dest.exists() && Picture::of(&dest).without(".s3sync").files() == made.files;
    testkit::until(DEADLINE, "the first release", || holds(&first));
    publish(&second);
    testkit::until(DEADLINE, "the second release", || holds(&second));
    put(".s3sync/current", first.pointer().as_bytes());
    testkit::until(DEADLINE, "the rollback", || holds(&first));
    watch.signal(Signal::TERM);
    assert_eq!(watch.exit_code(DEADLINE), 0, "{}", watch.stderr());
    assert!(!watch.stderr().contains("trouble"), "{}", watch.stderr());
}

#[test]
fn what_publish_puts_at_moto_is_what_once_brings() {
    let moto = Moto::shared();
    moto.create_bucket("published");
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], code: i32| {
        let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args(arguments.iter().copied())
            .envs(moto.environment())
            .directory(directory.path())
            .run(DEADLINE);
        assert_eq!(
            finished.code, code,
            "{arguments:?}: {}{}",
            finished.stdout, finished.stderr
        );
        finished.stdout
    };
    let tree = directory.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    for (text, name) in [("x = 1\n", "one"), ("x = 2\n", "two")] {
        std::fs::write(tree.join("a.py"), text).unwrap();
        std::fs::write(tree.join("sub/ü b+c.py"), "y = 1\n").unwrap();
        run(
            &["publish", "tree", "s3://published/dags", "--name", name],
            0,
        );
        let status = ["--status-file", "status.json"];
        run(
            &[&["once", "s3://published/dags", "dest"][..], &status].concat(),
            0,
        );
        let dest = Picture::of(directory.path().join("dest")).without(".s3sync");
        assert_eq!(dest.files(), Picture::of(&tree).files());
        run(&["verify", "s3://published/dags", "dest"], 0);
        assert_eq!(run(&["digest", "dest"], 0), run(&["digest", "tree"], 0));
    }
}
