//! What goes wrong around S3: one line that names cause and fix, the design's exit code, a status that
//! says it, backoff, and recovery without a restart.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{BUCKET, Bench, DEADLINE};
use testkit::process::{Finished, Process, Program, Signal};
use testkit::s3::{Fault, Operation, Refusal, Rule};

/// One thing that goes wrong.
struct Trouble {
    name: &'static str,
    rule: fn() -> Rule,
    exit: i32,
    /// What the line must say: the object, the cause, the fix.
    says: &'static [&'static str],
}

fn on_list(fault: impl Into<Fault>) -> Rule {
    Rule::new(fault).on(Operation::List)
}

fn on_get(fault: impl Into<Fault>) -> Rule {
    Rule::new(fault).on(Operation::Get).glob("dags/*")
}

/// Those of the listing.
const LISTING: [Trouble; 10] = [
    Trouble {
        name: "wrong bucket",
        rule: || on_list(Refusal::no_such_bucket(BUCKET)),
        exit: 65,
        says: &["s3://bucket/dags/", "no bucket bucket", "check the URI"],
    },
    Trouble {
        name: "no permission",
        rule: || on_list(Refusal::access_denied()),
        exit: 77,
        says: &[
            "access is denied",
            "grant s3:ListBucket on arn:aws:s3:::bucket",
            "dags/",
        ],
    },
    Trouble {
        name: "unknown access key",
        rule: || on_list(Refusal::invalid_access_key()),
        exit: 77,
        says: &[
            "credentials are not valid",
            "InvalidAccessKeyId",
            "check which ones",
        ],
    },
    Trouble {
        name: "credentials expired",
        rule: || on_list(Refusal::expired_token()),
        exit: 69,
        says: &["credentials expired", "ExpiredToken", "renew them"],
    },
    Trouble {
        name: "throttled",
        rule: || on_list(Refusal::slow_down()),
        exit: 69,
        says: &["throttles", "SlowDown", "--interval"],
    },
    Trouble {
        name: "S3 is not well",
        rule: || on_list(Refusal::internal_error()),
        exit: 69,
        says: &["InternalError", "tried again later"],
    },
    Trouble {
        name: "wrong region, by signature",
        rule: || on_list(Refusal::wrong_region("us-east-1", "eu-central-1")),
        exit: 65,
        says: &[
            "the bucket is in eu-central-1",
            "us-east-1",
            "set AWS_REGION=eu-central-1",
        ],
    },
    Trouble {
        name: "wrong region, by redirect",
        rule: || on_list(Refusal::permanent_redirect(BUCKET, "eu-central-1")),
        exit: 65,
        says: &[
            "the bucket is in eu-central-1",
            "set AWS_REGION=eu-central-1",
        ],
    },
    Trouble {
        name: "clock off",
        rule: || on_list(Refusal::time_too_skewed()),
        exit: 77,
        says: &["clock is off", "NTP"],
    },
    Trouble {
        name: "malformed listing",
        rule: || on_list(Fault::TruncatedListing),
        exit: 65,
        says: &[
            "a page of the listing is refused",
            "nothing was changed",
            "check what answers",
        ],
    },
];

/// Those of one object.
const OBJECT: [Trouble; 5] = [
    Trouble {
        name: "KMS throttled",
        rule: || on_get(Refusal::kms_throttling()),
        exit: 69,
        says: &["new.py", "KMS throttles", "Bucket Keys"],
    },
    Trouble {
        name: "KMS denied",
        rule: || on_get(Refusal::kms_access_denied()),
        exit: 77,
        says: &[
            "new.py",
            "kms:Decrypt is denied",
            "grant it on arn:aws:kms:eu-central-1:123456789012:key/0000",
        ],
    },
    Trouble {
        name: "no permission to read",
        rule: || on_get(Refusal::access_denied()),
        exit: 77,
        says: &["new.py", "grant s3:GetObject on arn:aws:s3:::bucket/dags/*"],
    },
    Trouble {
        name: "credentials expired on the way",
        rule: || on_get(Refusal::expired_token()),
        exit: 69,
        says: &["new.py", "credentials expired"],
    },
    Trouble {
        name: "content that cannot be verified",
        rule: || on_get(Fault::FlipByte(0)),
        exit: 65,
        says: &["new.py"],
    },
];

/// The reason in the last log line of a run that failed: one line, one event.
fn reason(finished: &Finished) -> String {
    let last = finished.stderr.lines().last().unwrap_or_default();
    let event: serde_json::Value =
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr));
    let reason = event["reason"]
        .as_str()
        .unwrap_or_else(|| panic!("no reason: {}", finished.stderr))
        .to_string();
    assert_eq!(event["level"], "ERROR");
    assert_eq!(event["exit"], finished.code);
    reason
}

fn assert_says(name: &str, text: &str, says: &[&str]) {
    assert!(!text.contains('\n'), "{name}: {text:?}");
    for word in says {
        assert!(text.contains(word), "{name}: {word:?} is not in {text:?}");
    }
}

/// Runs every case at once: most of their time is waiting between retries.
fn all(troubles: &[Trouble], act: impl Fn(&Trouble) + Sync) {
    std::thread::scope(|scope| {
        let act = &act;
        for trouble in troubles {
            std::thread::Builder::new()
                .name(trouble.name.to_string())
                .spawn_scoped(scope, move || act(trouble))
                .unwrap();
        }
    });
}

fn stop(mut process: Process) -> String {
    assert!(process.signal(Signal::TERM));
    assert_eq!(process.exit_code(DEADLINE), 0);
    process.stderr()
}

/// objinsync ignored the error and renamed the half file into place; a shell loop says nothing.
#[test]
fn once_names_cause_and_fix_of_a_listing_that_fails() {
    all(&LISTING, |trouble| {
        let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
        bench.s3.faults().add((trouble.rule)());
        let finished = bench.run("once", &[]);
        assert_eq!(
            finished.code, trouble.exit,
            "{}: {}",
            trouble.name, finished.stderr
        );
        assert_says(trouble.name, &reason(&finished), trouble.says);
        assert!(bench.files().is_empty());
        assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    });
}

#[test]
fn once_names_cause_and_fix_of_an_object_that_fails_and_the_rest_lands() {
    all(&OBJECT, |trouble| {
        let bench = Bench::with(&[("new.py", "new")]);
        bench.put("sub/fine.py", "fine");
        bench.s3.faults().add((trouble.rule)().glob("dags/new.py"));
        let report = bench.once(trouble.exit, &[]);
        assert_eq!(report.failed.len(), 1, "{}: {report:?}", trouble.name);
        assert_eq!(report.failed[0].key, "new.py");
        assert_says(trouble.name, &report.failed[0].reason, trouble.says);
        assert_eq!(
            bench.files().keys().collect::<Vec<_>>(),
            ["sub/fine.py"],
            "{}",
            trouble.name
        );
    });
}

#[test]
fn the_worst_of_several_failures_is_the_exit_code() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
    bench
        .s3
        .faults()
        .add(on_get(Fault::FlipByte(0)).glob("dags/a.py"));
    bench
        .s3
        .faults()
        .add(on_get(Refusal::kms_access_denied()).glob("dags/b.py"));
    assert_eq!(bench.once(77, &[]).failed.len(), 2);
}

#[test]
fn once_without_credentials_says_where_it_looked() {
    let bench = Bench::with(&[("a.py", "1")]);
    let program = bench
        .program("once", &[])
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY");
    let finished = program.run(DEADLINE);
    assert_eq!(finished.code, 77, "{}", finished.stderr);
    assert_says(
        "no credentials",
        &reason(&finished),
        &["no credentials", "AWS_ACCESS_KEY_ID", "task role"],
    );
    assert_eq!(bench.s3.count(Operation::List), 0);
}

#[test]
fn once_without_a_region_is_a_setting_that_is_missing() {
    let bench = Bench::with(&[("a.py", "1")]);
    let program = bench
        .program("once", &[])
        .without_env("AWS_REGION")
        .without_env("AWS_DEFAULT_REGION");
    let finished = program.run(DEADLINE);
    assert_eq!(finished.code, 64, "{}", finished.stderr);
    assert_says("no region", &reason(&finished), &["set AWS_REGION"]);
}

/// s5cmd deleted everything here, exit 0.
#[test]
fn once_ends_when_the_endpoint_cannot_be_reached() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, &[]);
    bench.s3.go_down();
    std::thread::scope(|scope| {
        for command in ["once", "plan", "verify"] {
            let bench = &bench;
            scope.spawn(move || {
                let finished = bench.run(command, &["--delete", "all", "--allow-empty"]);
                assert_eq!(finished.code, 69, "{command}: {}", finished.stderr);
                assert_says(
                    command,
                    &reason(&finished),
                    &[
                        "no connection to http://127.0.0.1",
                        "check AWS_ENDPOINT_URL",
                    ],
                );
            });
        }
    });
    assert_eq!(bench.read("a.py"), "1");
}

#[test]
fn approve_says_what_it_needs() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench
        .s3
        .faults()
        .add(Rule::new(Refusal::access_denied()).on(Operation::Put));
    let finished = Program::new(env!("CARGO_BIN_EXE_s3sync"))
        .args(["approve", "s3://bucket/dags", "0123456789abcdef"])
        .envs(bench.s3.environment())
        .run(DEADLINE);
    assert_eq!(finished.code, 77, "{}", finished.stderr);
    assert_says(
        "approve",
        &reason(&finished),
        &["grant s3:PutObject on arn:aws:s3:::bucket/dags/.s3sync/approve/*"],
    );
}

#[test]
fn watch_shows_a_listing_that_fails_stays_healthy_and_recovers() {
    all(&LISTING, |trouble| {
        let bench = Bench::with(&[("a.py", "1"), ("b.py", "2")]);
        let process = bench.watch_settled(&[]);
        bench.s3.faults().add((trouble.rule)());
        bench.put("new.py", "new");
        testkit::until(DEADLINE, trouble.name, || {
            bench.status()["degraded"] == true
        });
        let status = bench.status();
        assert_eq!(
            status["healthy"], true,
            "an outage of S3 stops no Airflow that has a tree: {status}"
        );
        assert_says(
            trouble.name,
            status["reason"].as_str().unwrap_or_default(),
            trouble.says,
        );
        bench.s3.faults().clear();
        bench.until_equal();
        testkit::until(DEADLINE, "the trouble to end", || {
            bench.status()["degraded"] == false
        });
        assert_eq!(bench.status()["reason"], serde_json::Value::Null);
        let stderr = stop(process);
        let count = |event: &str| stderr.matches(&format!("\"{event}\"")).count();
        assert_eq!(
            (count("trouble"), count("trouble_ended")),
            (1, 1),
            "{}: {stderr}",
            trouble.name
        );
    });
}

#[test]
fn watch_shows_an_object_that_fails_and_recovers() {
    all(&OBJECT, |trouble| {
        let bench = Bench::with(&[("a.py", "1")]);
        let process = bench.watch_settled(&[]);
        bench.s3.faults().add((trouble.rule)());
        bench.put("new.py", "new");
        testkit::until(DEADLINE, trouble.name, || {
            bench.status()["degraded"] == true
        });
        let status = bench.status();
        assert_eq!(status["healthy"], true, "{status}");
        assert_says(
            trouble.name,
            status["reason"].as_str().unwrap_or_default(),
            trouble.says,
        );
        bench.s3.faults().clear();
        bench.until_equal();
        testkit::until(DEADLINE, "the trouble to end", || {
            bench.status()["degraded"] == false
        });
        stop(process);
    });
}

#[test]
fn a_restarted_watch_with_a_full_tree_is_healthy_while_s3_is_away() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.once(0, &[]);
    std::fs::remove_file(bench.status_file()).unwrap();
    bench.s3.go_down();
    let process = bench.watch(&[]);
    testkit::until(DEADLINE, "healthy and degraded", || {
        let status = bench.status();
        status["healthy"] == true && status["degraded"] == true
    });
    bench.put("b.py", "2");
    bench.s3.come_back();
    bench.until_equal();
    testkit::until(DEADLINE, "the trouble to end", || {
        bench.status()["degraded"] == false
    });
    stop(process);
}

#[test]
fn a_watch_that_never_filled_its_directory_is_not_healthy_while_s3_is_away() {
    let bench = Bench::with(&[("a.py", "1")]);
    bench.s3.go_down();
    let process = bench.watch(&[]);
    testkit::until(DEADLINE, "a degraded status", || {
        bench.status()["degraded"] == true
    });
    assert_eq!(bench.status()["healthy"], false, "{}", bench.status());
    bench.s3.come_back();
    bench.until_healthy();
    assert_eq!(bench.read("a.py"), "1");
    stop(process);
}

#[test]
fn watch_asks_less_and_less_often_while_it_is_refused() {
    let bench = Bench::with(&[("a.py", "1")]);
    let process = bench.watch_settled(&[]);
    bench.s3.faults().add(on_list(Refusal::access_denied()));
    testkit::until(DEADLINE, "a degraded status", || {
        bench.status()["degraded"] == true
    });
    bench.s3.reset_requests();
    testkit::until(DEADLINE, "five refusals", || {
        bench.s3.count(Operation::List) >= 5
    });
    let times: Vec<_> = bench
        .s3
        .requests()
        .iter()
        .map(|request| request.time)
        .collect();
    let gaps: Vec<Duration> = times
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).unwrap_or_default())
        .collect();
    // 200 ms, doubled each time, less up to a half at random; one wait was over before the counting began.
    assert!(gaps[3] >= Duration::from_millis(1_500), "{gaps:?}");
    stop(process);
}

/// The container's credentials endpoint, as ECS has it: a key that is given out until it is replaced.
struct Credentials {
    port: u16,
    rotated: Arc<AtomicBool>,
}

impl Credentials {
    /// Gives out `old`, and once it was rotated `new`. What is renewed is renewed at the latest 30 s before
    /// it expires, which for `old` is 3 s after it was given.
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rotated = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&rotated);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let (key, seconds) = if switch.load(Ordering::Acquire) {
                    ("new", 3600)
                } else {
                    ("old", 33)
                };
                let expiration = time::OffsetDateTime::now_utc() + Duration::from_secs(seconds);
                let expiration = expiration
                    .format(&time::format_description::well_known::Rfc3339)
                    .unwrap();
                let body = format!(
                    r#"{{"AccessKeyId":"{key}","SecretAccessKey":"secret-{key}","Token":"token-{key}","Expiration":"{expiration}"}}"#
                );
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Credentials { port, rotated }
    }
}

#[test]
fn a_task_roles_credentials_are_read_again_before_they_expire() {
    let bench = Bench::with(&[("a.py", "1")]);
    let credentials = Credentials::serve();
    bench.s3.only_access_key(Some("old"));
    let process = bench
        .program("watch", &["--interval", "200ms", "--settle", "100ms"])
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://127.0.0.1:{}/credentials", credentials.port),
        )
        .spawn();
    bench.until_healthy();
    credentials.rotated.store(true, Ordering::Release);
    bench.s3.only_access_key(Some("new"));
    bench.put("b.py", "2");
    testkit::until(Duration::from_secs(60), "the new key to be used", || {
        bench.files() == bench.wanted()
    });
    testkit::until(DEADLINE, "the trouble to end", || {
        bench.status()["degraded"] == false
    });
    stop(process);
}

#[test]
fn no_secret_is_logged_at_any_level() {
    let bench = Bench::with(&[("a.py", "1"), ("b.py", "2"), ("c.py", "3")]);
    let secrets = ["sEcReTaCcEsSkEy0123456789", "sEsSiOnToKeN9876543210"];
    bench
        .s3
        .faults()
        .add(on_get(Refusal::signature_does_not_match()).glob("dags/b.py"));
    bench
        .s3
        .faults()
        .add(on_get(Refusal::slow_down()).glob("dags/c.py").times(1));
    // Libraries are quiet unless they are named.
    let libraries = [
        "aws_config",
        "aws_runtime",
        "aws_sdk_s3",
        "aws_sigv4",
        "aws_smithy_runtime",
        "aws_smithy_http_client",
        "hyper",
        "hyper_util",
    ];
    let level = libraries
        .iter()
        .fold("trace".to_string(), |level, library| {
            format!("{level},{library}=trace")
        });
    let finished = bench
        .program("once", &["--on-failure", "skip"])
        .env("AWS_SECRET_ACCESS_KEY", secrets[0])
        .env("AWS_SESSION_TOKEN", secrets[1])
        .env("TRIMTAB_LOG", level)
        .run(DEADLINE);
    assert_eq!(finished.code, 77, "{}", finished.stdout);
    assert!(finished.stderr.contains("TRACE"), "the level works");
    assert_eq!(bench.read("c.py"), "3");
    let status = bench.status().to_string();
    for text in [&finished.stderr, &finished.stdout, &status] {
        for secret in secrets {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
}
