//! With nothing configured it is a plain init: for any command, adding nothing and hiding nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use serde_json::Value;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::process::{Finished, Program, Signal};

const DEADLINE: Duration = Duration::from_secs(20);

fn entrypoint() -> Program {
    Program::new(env!("CARGO_BIN_EXE_entrypoint")).env("PATH", "/usr/bin:/bin")
}

/// Runs a line of shell below it.
fn shell(script: &str) -> Finished {
    entrypoint().args(["/bin/sh", "-c", script]).run(DEADLINE)
}

/// The last line of the log.
fn last(finished: &Finished) -> Value {
    let line = finished.stderr.lines().last().expect("a last line");
    serde_json::from_str(line).unwrap()
}

/// A program `airflow` in a directory of its own, which shows how it was called.
fn stand_in(directory: &Path) {
    let path = directory.join("airflow");
    std::fs::write(&path, "#!/bin/sh\necho \"airflow:$*\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_exit_code_is_the_services_and_the_last_line_says_so() {
    for code in [0, 1, 77, 255] {
        let finished = shell(&format!("echo out; exit {code}"));
        assert_eq!((finished.code, finished.stdout.as_str()), (code, "out\n"));
        let last = last(&finished);
        assert_eq!(last["event"], "ended");
        assert_eq!(last["origin"], "child");
        assert_eq!(last["exit"], code);
        // Nothing else is said of a command that needs nothing.
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    let finished = shell("kill -KILL $$");
    assert_eq!(finished.code, 137);
    assert_eq!(last(&finished)["signal"], 9);
}

#[test]
fn the_environment_is_handed_on_as_it_is() {
    let finished = entrypoint()
        .env("ODD", "a'b\"$c%d~\u{fc}\nnext")
        .env("AIRFLOW__CORE__X", "~/$HOME")
        .env("ENTRYPOINT_ADMIN_PASSWORD", "marked")
        .env("ENTRYPOINT_STOP_GRACE", "3s")
        .args(["env", "-0"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let mut variables: Vec<&str> = finished.stdout.trim_end().split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "AIRFLOW__CORE__X=~/$HOME",
            "ENTRYPOINT_STOP_GRACE=3s",
            "ODD=a'b\"$c%d~\u{fc}\nnext",
            "PATH=/usr/bin:/bin"
        ]
    );
}

#[test]
fn what_the_service_makes_can_be_written_by_its_group() {
    assert_eq!(shell("umask").stdout, "0002\n");
}

#[test]
fn a_user_without_an_entry_has_a_name_and_airflows_home() {
    let home = tempfile::tempdir().unwrap();
    testkit::airflow::writable(home.path());
    let before = std::fs::read("/etc/passwd").unwrap();
    let finished = testkit::airflow::unprivileged(env!("CARGO_BIN_EXE_entrypoint"))
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/")
        .env("AIRFLOW_USER_HOME_DIR", home.path())
        .env("PIP_USER", "true")
        .args([
            "/bin/sh",
            "-c",
            "echo \"$(id -u) $LOGNAME $USER $HOME ${PIP_USER-unset}\"",
        ])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let (user, rest) = finished.stdout.trim().split_once(' ').unwrap();
    let passwd = String::from_utf8_lossy(&before).into_owned();
    let has_entry = passwd
        .lines()
        .any(|line| line.split(':').nth(2) == Some(user));
    let expected = match has_entry {
        true => "  / unset".to_owned(),
        false => format!("default default {} unset", home.path().display()),
    };
    assert_eq!(rest, expected.trim_start());
    assert_eq!(std::fs::read("/etc/passwd").unwrap(), before);
}

#[test]
fn a_status_file_that_was_asked_for_and_cannot_be_written_is_73() {
    let finished = entrypoint()
        .env("ENTRYPOINT_STATUS_FILE", "/no/such/directory/status.json")
        .args(["echo", "ran"])
        .run(DEADLINE);
    assert_eq!((finished.code, finished.stdout.as_str()), (73, ""));
    assert!(
        finished.stderr.contains("/no/such/directory"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_program_that_is_not_found_is_127_and_one_that_is_none_126() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    for (program, code) in [
        ("/no/such/program", 127),
        ("no-such-word", 127),
        (plain.to_str().unwrap(), 126),
        ("/etc", 126),
    ] {
        let finished = entrypoint().arg(program).run(DEADLINE);
        assert_eq!(finished.code, code, "{program}: {}", finished.stderr);
        let last = last(&finished);
        assert_eq!(
            (&last["origin"], &last["exit"]),
            (&"entrypoint".into(), &code.into())
        );
        let failed = finished
            .stderr
            .lines()
            .find(|line| line.contains("\"failed\""));
        let named = if program == "no-such-word" {
            "airflow"
        } else {
            program
        };
        assert!(failed.expect("why").contains(named), "{}", finished.stderr);
    }
}

#[test]
fn what_cannot_be_executed_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text, mode, code, told) in [
        ("carriage", "#!/bin/sh\r\n", 0o755, 127, "CR LF"),
        (
            "interpreter",
            "#!/no/such/python\n",
            0o755,
            127,
            "interpreter",
        ),
        ("architecture", "\u{7f}ELF", 0o755, 126, "architecture"),
        (
            "permission",
            "#!/bin/sh\n",
            0o644,
            126,
            "executable for this user",
        ),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let finished = entrypoint().arg(&path).run(DEADLINE);
        assert_eq!(finished.code, code, "{name}: {}", finished.stderr);
        assert!(
            finished.stderr.contains(told),
            "{name}: {}",
            finished.stderr
        );
    }
}

#[test]
fn without_a_path_programs_are_looked_for_where_execvp_does() {
    let finished = entrypoint()
        .without_env("PATH")
        .args(["sh", "-c", "exit 3"])
        .run(DEADLINE);
    assert_eq!(finished.code, 3, "{}", finished.stderr);
}

#[test]
fn a_word_that_is_no_program_is_airflows() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    for (words, shown) in [
        (&["version"][..], "airflow:version\n"),
        (&["airflow", "dags", "list"], "airflow:dags list\n"),
        (&["users", "list"], "airflow:users list\n"),
        (&["echo", "plain"], "plain\n"),
    ] {
        let finished = entrypoint()
            .env("PATH", &path)
            .args(words.iter().copied())
            .run(DEADLINE);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (0, shown),
            "{words:?}"
        );
    }
}

#[test]
fn settings_that_cannot_be_used_end_with_64_before_anything_is_done() {
    for (name, value, named) in [
        (
            "ENTRYPOINT_WAIT_TIMEOUT",
            "soon",
            "--wait-timeout (ENTRYPOINT_WAIT_TIMEOUT) cannot be 'soon'",
        ),
        (
            "CONNECTION_CHECK_MAX_COUNT",
            "x",
            "CONNECTION_CHECK_MAX_COUNT cannot be 'x'",
        ),
        ("ENTRYPOINT_METRICS", "statsd", "prometheus"),
        (
            "TRIMTAB_LOG_FORMAT",
            "xml",
            "TRIMTAB_LOG_FORMAT cannot be 'xml'",
        ),
    ] {
        let finished = entrypoint()
            .env(name, value)
            .args(["echo", "ran"])
            .run(DEADLINE);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (64, ""),
            "{name}"
        );
        assert!(finished.stderr.contains(named), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    let finished = entrypoint().args(["", "x"]).run(DEADLINE);
    assert_eq!(finished.code, 64);
    assert!(
        finished.stderr.contains("empty word"),
        "{}",
        finished.stderr
    );
    let odd = OsStr::from_bytes(b"marked\xff");
    let finished = entrypoint()
        .env("X", odd)
        .env("ENTRYPOINT_DB_PASSWORD", odd)
        .arg("true")
        .run(DEADLINE);
    assert_eq!(finished.code, 64);
    assert!(
        finished
            .stderr
            .contains("ENTRYPOINT_DB_PASSWORD is not UTF-8")
            && !finished.stderr.contains("marked"),
        "{}",
        finished.stderr
    );
    let finished = entrypoint().run(DEADLINE);
    assert_eq!(finished.code, 64);
    assert!(
        finished.stderr.contains("no command"),
        "{}",
        finished.stderr
    );
    let finished = entrypoint()
        .env("ENTRYPOINT_DRY_RUN", "1")
        .env("ENTRYPOINT_METRICS", "emf")
        .arg("x")
        .run(DEADLINE);
    assert_eq!(finished.code, 64, "{}", finished.stderr);
}

#[test]
fn a_fatal_exit_is_held_back_in_ecs_alone_and_a_signal_ends_that() {
    let in_ecs = || entrypoint().env("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/x");
    let began = Instant::now();
    let mut held = in_ecs()
        .env("ENTRYPOINT_FATAL_HOLD", "10m")
        .arg("/no/such")
        .spawn();
    held.wait_for(|line| line.contains("\"held\""), DEADLINE);
    assert!(held.is_running());
    held.signal(Signal::TERM);
    assert_eq!(held.exit_code(DEADLINE), 127);

    // A setting that is wrong is the commonest of all.
    let mut held = in_ecs()
        .env("ENTRYPOINT_MIGRATE", "x")
        .env("ENTRYPOINT_FATAL_HOLD", "10m")
        .arg("x")
        .spawn();
    held.wait_for(|line| line.contains("ENTRYPOINT_MIGRATE"), DEADLINE);
    assert!(held.is_running());
    held.signal(Signal::TERM);
    assert_eq!(held.exit_code(DEADLINE), 64);

    let finished = in_ecs()
        .env("ENTRYPOINT_FATAL_HOLD", "100ms")
        .arg("/no/such")
        .run(DEADLINE);
    assert_eq!(finished.code, 127);
    // A service's own end is no fatal exit: ECS sees it at once.
    let finished = in_ecs()
        .env("ENTRYPOINT_FATAL_HOLD", "10m")
        .args(["/bin/sh", "-c", "exit 3"])
        .run(DEADLINE);
    assert_eq!(finished.code, 3);
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_plain_command_hears_of_a_database_only_where_parts_of_it_are_given() {
    let url = "postgresql://u:marked@db.example/d?sslmode=verify-full";
    for (name, value, is_told) in [
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url, false),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "marked", false),
        ("ENTRYPOINT_DB_HOST", "db.example", true),
    ] {
        let finished = entrypoint().env(name, value).arg("true").run(DEADLINE);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let told = finished.stderr.contains("\"no_database\"");
        assert_eq!(told, is_told, "{name}: {}", finished.stderr);
        assert!(!finished.stderr.contains("marked"), "{}", finished.stderr);
    }
}

#[test]
fn init_only_ends_before_the_service() {
    let finished = entrypoint()
        .args(["--init-only", "echo", "ran"])
        .run(DEADLINE);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, ""));
    assert_eq!(last(&finished)["origin"], "entrypoint");
}

#[test]
fn help_and_version_answer_on_stdout() {
    let finished = entrypoint().arg("--help").run(DEADLINE);
    assert_eq!(finished.code, 0);
    for word in [
        "ENTRYPOINT_MIGRATE",
        "ENTRYPOINT_DB_PASSWORD",
        "Waiting:",
        "TRIMTAB_LOG",
    ] {
        assert!(
            finished.stdout.contains(word),
            "{word}: {}",
            finished.stdout
        );
    }
    let finished = entrypoint().arg("--version").run(DEADLINE);
    assert!(
        finished.stdout.starts_with("entrypoint 0."),
        "{}",
        finished.stdout
    );
}
