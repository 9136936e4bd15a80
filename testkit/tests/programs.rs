//! The programs that tests and benches start, and how they end.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use testkit::http::get;
use testkit::process::{Process, Program, Signal};
use testkit::venv::Venv;

const SOON: Duration = Duration::from_secs(60);

fn s3_server(arguments: &[&str]) -> (Process, String) {
    let program = Program::new(env!("CARGO_BIN_EXE_s3-server")).args(arguments.iter().copied());
    let process = program.with_stdin().spawn();
    let line = process
        .wait_for(|line| line.starts_with("endpoint="), SOON)
        .text;
    (process, line["endpoint=".len()..].to_owned())
}

#[test]
fn the_server_is_loaded_when_it_prints_its_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    std::fs::write(directory.path().join("sub/a.py"), "x = 1").unwrap();
    let load = format!("{}=s3://bucket/dags", directory.path().display());
    let generate = "s3://bucket/made/,150,1KiB";
    let (mut process, endpoint) =
        s3_server(&["--load", &load, "--generate", generate, "--bucket", "empty"]);
    assert_eq!(
        get(&format!("{endpoint}/bucket/dags/sub/a.py"))
            .unwrap()
            .text(),
        "x = 1"
    );
    let made = get(&format!("{endpoint}/bucket/made/d0001/f049.py")).unwrap();
    assert_eq!((made.status, made.body.len()), (200, 1024));
    assert_eq!(
        get(&format!("{endpoint}/bucket/made/d0001/f050.py"))
            .unwrap()
            .status,
        404
    );
    assert_eq!(get(&format!("{endpoint}/empty")).unwrap().status, 200);
    assert!(process.signal(Signal::TERM));
    assert_eq!(process.exit_code(SOON), 0);
}

#[test]
fn the_server_ends_with_its_parents_pipe_only_when_it_is_told_to() {
    let (mut process, endpoint) = s3_server(&["--until-stdin-closes", "--bucket", "bucket"]);
    let (mut other, _) = s3_server(&[]);
    assert_eq!(get(&format!("{endpoint}/bucket")).unwrap().status, 200);
    process.close_stdin();
    other.close_stdin();
    assert_eq!(process.exit_code(SOON), 0);
    assert!(other.is_running());
}

#[test]
fn a_wrong_argument_is_an_error_of_one_line() {
    let program = Program::new(env!("CARGO_BIN_EXE_s3-server"));
    let finished = program
        .args(["--load", "/does/not/exist=s3://bucket"])
        .run(SOON);
    assert_eq!(finished.code, 1);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("/does/not/exist cannot be listed"),
        "{}",
        finished.stderr
    );
}

#[test]
fn moto_ends_with_the_process_that_started_it() {
    let mut moto = Program::new(Venv::moto().unwrap().python())
        .args(["-c", include_str!("../src/moto/server.py")])
        .inherit(&["PATH", "HOME"])
        .with_stdin()
        .spawn();
    moto.wait_for(|line| line.starts_with("port="), SOON);
    moto.close_stdin();
    assert_eq!(moto.exit_code(SOON), 0);
}
