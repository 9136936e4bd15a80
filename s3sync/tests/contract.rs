//! What users and other programs meet: settings, help, answers and their exit codes.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use support::{Bench, DEADLINE};
use testkit::process::{Finished, Program};
use testkit::server::free_port;
use testkit::{http, until_some};

/// An option, its default, a value that it takes, one that it refuses, and the commands that have it.
struct Setting {
    flag: &'static str,
    default: &'static str,
    good: &'static str,
    bad: &'static str,
    commands: &'static [&'static str],
}

const ALL: &[&str] = &["once", "watch", "plan", "verify"];
const RUNS: &[&str] = &["once", "watch"];
const WATCH: &[&str] = &["watch"];
const ANSWERS: &[&str] = &["once", "plan", "verify", "digest"];
const PATTERNS: &[&str] = &["once", "watch", "plan", "verify", "digest"];
const COMMANDS: [&str; 6] = ["once", "watch", "plan", "verify", "digest", "approve"];

const fn setting(
    flag: &'static str,
    default: &'static str,
    good: &'static str,
    bad: &'static str,
    commands: &'static [&'static str],
) -> Setting {
    Setting {
        flag,
        default,
        good,
        bad,
        commands,
    }
}

/// Every option with a value.
const SETTINGS: [Setting; 26] = [
    setting("interval", "auto", "5s", "5", WATCH),
    setting("settle", "1s", "0s", "-1s", WATCH),
    setting("scrub-interval", "5m", "1m", "0s", WATCH),
    setting("deep-scrub-interval", "24h", "1h", "daily", WATCH),
    setting("delete", "managed", "never", "some", ALL),
    setting("max-delete", "50%", "20", "101%", ALL),
    setting("include", "", "*.py", "!", PATTERNS),
    setting(
        "exclude",
        "__pycache__/ *.pyc .git/ .nfs*",
        "*.md",
        "!",
        PATTERNS,
    ),
    setting("concurrency", "16", "1", "0", ALL),
    setting("part-size", "8MiB", "16MiB", "1KiB", ALL),
    setting("checksums", "when-supported", "when-required", "never", ALL),
    setting("on-failure", "hold", "skip", "stop", RUNS),
    setting("file-mode", "0664", "0640", "0999", RUNS),
    setting("dir-mode", "0775", "0750", "rwx", RUNS),
    setting("layout", "in-place", "generations", "links", RUNS),
    setting("keep", "20", "0", "-1", RUNS),
    setting("keep-for", "7d", "36h", "7", RUNS),
    setting("report", "", "s3://bucket/dags", "bucket/dags", WATCH),
    setting("output", "text", "json", "xml", ANSWERS),
    setting("metrics", "none", "none", "statsd", ALL),
    setting("namespace", "Trimtab", "Team/Airflow", "AWS/ECS", ALL),
    setting("environment", "default", "prod", ":prod", ALL),
    setting("service", "s3sync", "dags", ":dags", ALL),
    setting("listen", "127.0.0.1:9464", "127.0.0.1:1", "here", ALL),
    setting("allow-empty", "", "true", "maybe", ALL),
    setting("adopt", "", "true", "maybe", RUNS),
];

/// Options that take any path.
const PATHS: [(&str, &str, &[&str]); 2] = [
    ("state-dir", "DEST/.s3sync", ALL),
    ("status-file", "/run/trimtab/", RUNS),
];

fn variable(flag: &str) -> String {
    format!("S3SYNC_{}", flag.to_uppercase().replace('-', "_"))
}

fn is_switch(setting: &Setting) -> bool {
    setting.good == "true"
}

/// Where DEST is a file: settings that are fine end with 73 and no request.
fn no_dest(bench: &Bench) -> PathBuf {
    let path = bench.outside.path().join("file");
    std::fs::write(&path, "").unwrap();
    path
}

fn command(bench: &Bench, command: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .arg(command)
        .envs(bench.s3.environment());
    match command {
        "digest" => program.arg(no_dest(bench)),
        _ => program.arg("s3://bucket/dags").arg(no_dest(bench)),
    }
}

fn help(command: &str) -> String {
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args([command, "--help"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0);
    finished.stdout
}

/// The part of a help page that describes one option.
fn described<'a>(page: &'a str, flag: &str) -> Option<&'a str> {
    let head = format!("      --{flag}");
    let mut starts = page.match_indices(&head).map(|(at, _)| at);
    let start = starts.find(|at| page[at + head.len()..].starts_with([' ', '\n']))?;
    let rest = &page[start..];
    let end = rest[head.len()..]
        .find("\n      --")
        .map_or(rest.len(), |end| head.len() + end);
    Some(&rest[..end])
}

fn assert_refused(finished: &Finished, setting: &Setting) {
    let (flag, variable) = (format!("--{}", setting.flag), variable(setting.flag));
    assert_eq!(
        finished.code, 64,
        "{flag} {}: {}",
        setting.bad, finished.stderr
    );
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    for word in [&flag, &variable, setting.bad] {
        assert!(
            finished.stderr.contains(word),
            "{word}: {}",
            finished.stderr
        );
    }
    // What it takes comes after the colon.
    let (_, takes) = finished
        .stderr
        .trim_end()
        .rsplit_once(&format!("'{}': ", setting.bad))
        .expect("what it takes");
    assert!(takes.len() > 10, "{}", finished.stderr);
    assert!(finished.stdout.is_empty());
}

#[test]
fn a_bad_value_by_flag_or_variable_is_refused_before_any_io() {
    let bench = Bench::with(&[("a.py", "1")]);
    for setting in &SETTINGS {
        let program = command(&bench, setting.commands[0]);
        assert_refused(
            &program
                .clone()
                .env(variable(setting.flag), setting.bad)
                .run(DEADLINE),
            setting,
        );
        if !is_switch(setting) {
            assert_refused(
                &program
                    .arg(format!("--{}={}", setting.flag, setting.bad))
                    .run(DEADLINE),
                setting,
            );
        }
    }
    assert_eq!(bench.s3.requests(), []);
    assert!(!bench.state().exists());
}

#[test]
fn a_flag_wins_over_its_variable_in_every_command_that_has_it() {
    let bench = Bench::with(&[("a.py", "1")]);
    for setting in &SETTINGS {
        for name in setting.commands {
            let flag = match is_switch(setting) {
                true => format!("--{}", setting.flag),
                false => format!("--{}={}", setting.flag, setting.good),
            };
            let by_flag = command(&bench, name)
                .arg(flag)
                .env(variable(setting.flag), setting.bad)
                .run(DEADLINE);
            let by_variable = command(&bench, name)
                .env(variable(setting.flag), setting.good)
                .run(DEADLINE);
            for finished in [by_flag, by_variable] {
                let expected = if *name == "digest" { 65 } else { 73 };
                // A digest of a file is that file's; the others cannot use it as DEST.
                let fine = finished.code == expected || *name == "digest" && finished.code == 0;
                assert!(
                    fine,
                    "{name} --{}: {} {}",
                    setting.flag, finished.code, finished.stderr
                );
            }
        }
    }
    assert_eq!(bench.s3.requests(), []);
}

#[test]
fn values_take_effect_by_flag_and_by_variable_alike() {
    let bench = Bench::with(&[("a.py", "1"), ("b.md", "2")]);
    for by_flag in [true, false] {
        let dest = bench.outside.path().join(format!("dest-{by_flag}"));
        let state = bench.outside.path().join(format!("state-{by_flag}"));
        let values = [
            ("exclude", "*.md"),
            ("file-mode", "0640"),
            ("state-dir", state.to_str().unwrap()),
            ("output", "json"),
        ];
        let mut program = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .args(["once", "s3://bucket/dags"])
            .arg(&dest)
            .envs(bench.s3.environment());
        for (flag, value) in values {
            program = match by_flag {
                true => program.arg(format!("--{flag}")).arg(value),
                false => program.env(variable(flag), value),
            };
        }
        std::fs::create_dir(&dest).unwrap();
        let report = support::report(&program.run(DEADLINE), 0);
        assert_eq!(report.added, 1);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            dest.join("a.py").metadata().unwrap().permissions().mode() & 0o7777,
            0o640
        );
        assert!(state.join("manifest.jsonl").exists() && !dest.join(".s3sync").exists());
    }
}

#[test]
fn an_unknown_variable_is_a_warning_that_names_the_nearest() {
    let bench = Bench::with(&[("a.py", "1")]);
    let finished = bench
        .program("once", &[])
        .env("S3SYNC_MAX_DELETES", "3")
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("S3SYNC_MAX_DELETES"))
        .expect("a warning");
    let event: Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["level"], "WARN");
    assert!(
        event["warning"]
            .as_str()
            .unwrap()
            .ends_with("the nearest is S3SYNC_MAX_DELETE"),
        "{line}"
    );
}

#[test]
fn metrics_that_would_mix_with_an_answer_or_that_nobody_could_ask_for_are_refused() {
    let bench = Bench::with(&[("a.py", "1")]);
    for (name, sink) in [
        ("once", "emf"),
        ("plan", "emf"),
        ("verify", "emf"),
        ("once", "prometheus"),
        ("plan", "prometheus"),
        ("verify", "prometheus"),
    ] {
        let finished = command(&bench, name)
            .args(["--metrics", sink])
            .run(DEADLINE);
        assert_eq!(finished.code, 64, "{name} {sink}: {}", finished.stderr);
        assert!(
            finished.stderr.contains(&format!("--metrics {sink}")),
            "{}",
            finished.stderr
        );
    }
    assert_eq!(bench.s3.requests(), []);
}

#[test]
fn watch_serves_its_metrics_and_its_health_to_prometheus() {
    let bench = Bench::with(&[("a.py", "1")]);
    let address = format!("127.0.0.1:{}", free_port());
    let _watch = bench.watch(&["--metrics", "prometheus", "--listen", &address]);
    let page = until_some(DEADLINE, "the first pass's metrics", || {
        let page = http::get(&format!("http://{address}/metrics")).ok()?.text();
        page.contains("trimtab_files_changed").then_some(page)
    });
    let lag = "trimtab_sync_lag_seconds{environment=\"default\",service=\"s3sync\"}";
    assert!(page.contains(lag), "{page}");
    let health = http::get(&format!("http://{address}/healthz")).unwrap();
    assert_eq!(health.status, 200, "{}", health.text());
}

#[test]
fn a_status_file_that_was_asked_for_and_cannot_be_written_ends_with_73() {
    let bench = Bench::with(&[("a.py", "1")]);
    for name in RUNS {
        let finished = bench
            .program(name, &[])
            .env(
                "S3SYNC_STATUS_FILE",
                bench.outside.path().join("none/status.json"),
            )
            .run(DEADLINE);
        assert_eq!(finished.code, 73, "{name}: {}", finished.stderr);
        assert!(
            finished.stderr.contains("--status-file"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn help_of_each_command_lists_its_options_with_variable_and_default() {
    let known: BTreeSet<&str> = SETTINGS
        .iter()
        .map(|setting| setting.flag)
        .chain(PATHS.iter().map(|(flag, ..)| *flag))
        .collect();
    for name in COMMANDS {
        let page = help(name);
        let options = SETTINGS
            .iter()
            .map(|setting| (setting.flag, setting.default, setting.commands))
            .chain(PATHS);
        for (flag, default, commands) in options {
            let found = described(&page, flag);
            assert_eq!(found.is_some(), commands.contains(&name), "{name} --{flag}");
            let Some(text) = found else { continue };
            assert!(text.contains(&variable(flag)), "{name} --{flag}: {text}");
            assert!(text.contains(default), "{name} --{flag}: {text}");
        }
        for flag in long_flags(&page) {
            assert!(
                known.contains(&*flag) || flag == "help",
                "{name} has --{flag}, which no test knows"
            );
        }
    }
}

fn long_flags(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| {
        line.trim_start()
            .strip_prefix("-h, ")
            .or(Some(line.trim_start()))
    });
    let flags = lines.filter_map(|line| line.strip_prefix("--"));
    flags
        .map(|rest| {
            rest.split([' ', '[', '='])
                .next()
                .unwrap_or_default()
                .to_string()
        })
        .collect()
}

#[test]
fn help_shows_no_variables_value() {
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(["watch", "--help"])
        .env("S3SYNC_SERVICE", "from-the-environment")
        .run(DEADLINE);
    assert_eq!(finished.stdout, help("watch"));
}

#[test]
fn version_names_program_version_and_commit() {
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .arg("--version")
        .run(DEADLINE);
    assert_eq!(finished.code, 0);
    let head = format!("s3sync {} (", env!("CARGO_PKG_VERSION"));
    let commit = finished
        .stdout
        .strip_prefix(&head)
        .and_then(|rest| rest.strip_suffix(")\n"));
    assert!(
        commit.is_some_and(|commit| commit.len() >= 7),
        "{:?}",
        finished.stdout
    );
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(|key| &**key)
        .collect();
    keys.sort();
    keys
}

#[test]
fn the_report_of_once_has_the_designs_keys_and_types() {
    let bench = Bench::with(&[("a.py", "12345"), ("b.py", "1"), ("x//y.py", "bad")]);
    bench.s3.faults().add(
        testkit::s3::Rule::new(testkit::s3::Fault::FlipByte(0))
            .on(testkit::s3::Operation::Get)
            .glob("*b.py"),
    );
    let finished = bench.run("once", &["--output", "json", "--on-failure", "skip"]);
    assert_eq!(finished.code, 65, "{}", finished.stderr);
    assert_eq!(finished.stdout.lines().count(), 1);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let numbers = [
        "listed",
        "added",
        "updated",
        "deleted",
        "unchanged",
        "repaired",
        "held_deletes",
        "bytes",
        "seconds",
    ];
    let mut expected = [&numbers[..], &["revision", "rejected", "failed"]].concat();
    expected.sort();
    assert_eq!(keys(&report), expected);
    assert!(
        numbers.iter().all(|name| report[*name].is_number()),
        "{report}"
    );
    assert_eq!(
        (&report["listed"], &report["added"], &report["bytes"]),
        (&Value::from(3), &Value::from(1), &Value::from(5))
    );
    assert!(report["revision"].is_string());
    for list in ["rejected", "failed"] {
        let entries = report[list].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{report}");
        assert_eq!(keys(&entries[0]), ["key", "reason"]);
    }
}

#[test]
fn the_plan_has_the_designs_entries_and_says_whether_there_is_something() {
    let bench = Bench::new();
    for number in 0..10 {
        bench.put(&format!("f{number}.py"), format!("{number}"));
    }
    let plan = |code| -> Vec<Value> {
        let finished = bench.run("plan", &["--output", "json"]);
        assert_eq!(
            finished.code, code,
            "{}{}",
            finished.stdout, finished.stderr
        );
        serde_json::from_str(&finished.stdout).unwrap()
    };
    assert_eq!(plan(1).len(), 10);
    assert!(!bench.state().exists(), "a plan writes nothing");
    bench.once(0, &[]);
    assert_eq!(plan(0), Vec::<Value>::new());

    bench.put("f0.py", "changed");
    bench.put("new.py", "new");
    bench.put("x//y.py", "bad");
    bench.delete("f1.py");
    let actions = plan(1);
    let mut seen: Vec<(&str, &str)> = actions
        .iter()
        .map(|action| {
            (
                action["action"].as_str().unwrap(),
                action["key"].as_str().unwrap(),
            )
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            ("add", "new.py"),
            ("delete", "f1.py"),
            ("reject", "x//y.py"),
            ("update", "f0.py")
        ]
    );
    for action in &actions {
        assert_eq!(keys(action), ["action", "key", "path", "reason"]);
        assert!(
            action.as_object().unwrap().values().all(Value::is_string),
            "{action}"
        );
    }
    (2..10).for_each(|number| bench.delete(&format!("f{number}.py")));
    assert_eq!(
        plan(1)
            .iter()
            .filter(|action| action["action"] == "hold")
            .count(),
        9
    );
}

#[test]
fn verify_names_each_difference() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2"), ("c.py", "3"), ("d.py", "4")]);
    bench.once(0, &[]);
    let finished = bench.run("verify", &[]);
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (0, "4 equal, 0 not\n")
    );
    // The size stays: only the hash can tell.
    std::fs::write(bench.at("a.py"), "X").unwrap();
    std::fs::remove_file(bench.at("b.py")).unwrap();
    bench.delete("c.py");
    let finished = bench.run("verify", &["--output", "json"]);
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(answer["equal"], 1);
    let differences = answer["differences"].as_array().unwrap();
    let mut named: Vec<(&str, &str)> = differences
        .iter()
        .map(|one| (one["key"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    named.sort();
    assert_eq!(
        named,
        [("a.py", "differs"), ("b.py", "missing"), ("c.py", "extra")]
    );
    let text = bench.run("verify", &[]).stdout;
    assert!(
        ["a.py", "b.py", "c.py"]
            .iter()
            .all(|name| text.contains(name)),
        "{text}"
    );
    assert_eq!(bench.read("a.py"), "X", "it repairs nothing");
}

#[test]
fn a_digest_of_the_upload_is_the_revision_that_is_live() {
    let bench = Bench::with(&[
        ("a.py", "1"),
        ("deep/b.py", "2"),
        ("readme.md", "3"),
        ("empty.py", ""),
    ]);
    let upload = bench.outside.path().join("upload");
    std::fs::create_dir_all(upload.join("deep/__pycache__")).unwrap();
    for (path, text) in [
        ("a.py", "1"),
        ("deep/b.py", "2"),
        ("readme.md", "3"),
        ("empty.py", ""),
        ("deep/__pycache__/b.pyc", "pyc"),
    ] {
        std::fs::write(upload.join(path), text).unwrap();
    }
    let mut seen = BTreeSet::new();
    for patterns in [
        &[][..],
        &["--exclude", "*.md"],
        &["--include", "*.py"],
        &["--include", "deep/", "--exclude", "*.md"],
    ] {
        let revision = bench
            .once(0, &[patterns, &["--delete", "never"]].concat())
            .revision;
        let digest = Program::new(env!("CARGO_BIN_EXE_s3sync"))
            .arg("digest")
            .arg(&upload)
            .args(patterns.iter().copied())
            .run(DEADLINE);
        assert_eq!(
            (digest.code, digest.stdout.trim()),
            (0, revision.as_str()),
            "{patterns:?}: {}",
            digest.stderr
        );
        seen.insert(revision);
    }
    // Leaving out Markdown and taking only Python is the same here.
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn the_page_of_the_program_names_every_metric_and_every_flag() {
    let page = include_str!("../../docs/s3sync.md");
    for name in support::metric_names() {
        assert!(
            page.contains(&name),
            "docs/s3sync.md says nothing of {name}"
        );
    }
    let releases = ["publish", "releases", "rollback", "prune", "wait"];
    for name in COMMANDS.into_iter().chain(releases) {
        for flag in long_flags(&help(name))
            .iter()
            .filter(|flag| *flag != "help")
        {
            assert!(
                page.contains(&format!("--{flag}")),
                "docs/s3sync.md says nothing of --{flag}"
            );
        }
    }
}
