//! Each kind of check, by the program that ships, against real servers and files.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test]")]

#[path = "checks/profiles.rs"]
mod profiles;
mod support;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use support::{DEADLINE, Server, closed_port, fails, holds, read_request, run, with_length};

const HEALTH: &str = r#"{"metadatabase":{"status":"healthy"},"scheduler":{"status":"healthy","latest_scheduler_heartbeat":"2026-01-01T00:00:00+00:00"},"triggerer":{"status":null,"latest_triggerer_heartbeat":null},"dag_processor":{"status":"unhealthy"}}"#;

#[test]
fn a_status_from_200_to_299_holds_and_no_other() {
    for (status, held) in [
        (200, true),
        (204, true),
        (299, true),
        (199, false),
        (300, false),
        (404, false),
        (500, false),
        (999, false),
    ] {
        let server = Server::saying(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        match held {
            true => holds(&[&server.url("/")]),
            // An interim answer is none, and another one never comes.
            false if status == 199 => fails(
                &[&server.url("/")],
                ": it closed the connection within the headers",
            ),
            false => fails(&[&server.url("/")], &format!(": it answered {status}")),
        }
    }
}

#[test]
fn a_redirect_is_named_and_not_followed() {
    let server = Server::saying(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login?token=secret\r\n\r\n",
    );
    let told = ": it answered 302, a redirect to http://127.0.0.1:1/login, which is not followed";
    fails(&[&server.url("/home")], told);
}

#[test]
fn components_are_asked_by_name_or_all_at_once() {
    let server = Server::json(HEALTH);
    holds(&[&server.url("/h#scheduler.status=healthy")]);
    holds(&[&server
        .url("/h#metadatabase.status=healthy&scheduler.status=healthy&triggerer.status=null")]);
    for (asserted, told) in [
        (
            "triggerer.status=healthy",
            "triggerer.status is null, where healthy is asserted",
        ),
        (
            "dag_processor.status=healthy",
            "dag_processor.status is \"unhealthy\", where healthy is asserted",
        ),
        (
            "scheduler=healthy",
            "scheduler is no single value, where healthy is asserted",
        ),
        (
            "scheduler.state=healthy",
            "scheduler.state is not there, where healthy is asserted",
        ),
        (
            "*.status=healthy",
            "dag_processor.status is \"unhealthy\", where healthy is asserted",
        ),
    ] {
        fails(&[&server.url(&format!("/h#{asserted}"))], told);
    }
    let unused = HEALTH.replace("unhealthy", "healthy");
    holds(&[&Server::json(&unused).url("/h#*.status=healthy")]);
}

#[test]
fn a_body_may_come_in_chunks_by_length_or_until_the_end_in_pieces_of_any_size() {
    let padding = " ".repeat(20_000);
    let body = format!("{padding}{HEALTH}{padding}");
    let chunks: String = body
        .as_bytes()
        .chunks(777)
        .map(|chunk| {
            format!(
                "{:x};x=y\r\n{}\r\n",
                chunk.len(),
                std::str::from_utf8(chunk).unwrap()
            )
        })
        .collect();
    for answer in [
        with_length(&body),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nTrailer: x\r\n\r\n"
        ),
        format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
        format!(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}",
            with_length(&body)
        ),
    ] {
        for size in [1, 4096] {
            let answer = answer.clone();
            let server = Server::start(move |mut stream| {
                read_request(&mut stream);
                let _ = stream.set_nodelay(true);
                // One byte at a time only for the beginning, which is enough of it.
                let (slow, rest) = answer.as_bytes().split_at(if size == 1 {
                    2_000.min(answer.len())
                } else {
                    0
                });
                slow.chunks(size)
                    .for_each(|piece| drop(stream.write_all(piece)));
                let _ = stream.write_all(rest);
            });
            holds(&[&server.url("/#scheduler.status=healthy")]);
        }
    }
}

#[test]
fn the_request_is_plain_and_names_its_host() {
    let (sender, requests) = mpsc::channel();
    let server = Server::start(move |mut stream| {
        sender.send(read_request(&mut stream)).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    holds(&[&server.url("/a/b?c=d")]);
    let expected = format!(
        "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: trimtab-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        server.port()
    );
    assert_eq!(requests.recv_timeout(DEADLINE).unwrap(), expected);
}

#[test]
fn a_host_is_reached_by_address_by_localhost_and_by_ipv6() {
    let answer = |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    };
    let four = Server::start(answer);
    holds(&[
        &format!("http://localhost:{}/", four.port()),
        &format!("tcp://127.0.0.1:{}", four.port()),
    ]);
    // localhost is both: this one listens on ::1 only.
    let six = Server::start_on("[::1]:0", answer);
    holds(&[
        &format!("http://[::1]:{}/", six.port()),
        &format!("http://localhost:{}/", six.port()),
    ]);
    fails(
        &[&format!("tcp://127.0.0.1:{}", six.port())],
        ": connection refused",
    );
    fails(
        &["http://no-such-name/"],
        ": /etc/hosts does not have no-such-name, and no other names are known",
    );
}

#[test]
fn nothing_that_listens_is_refused() {
    let port = closed_port();
    fails(
        &[&format!("tcp://127.0.0.1:{port}")],
        ": connection refused",
    );
    fails(
        &[&format!("http://127.0.0.1:{port}/")],
        ": connection refused",
    );
}

#[test]
fn a_file_exists_and_is_fresh() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let file = File::create(path("beat")).unwrap();
    symlink("beat", path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    holds(&[
        &format!("file:{}", path("beat")),
        &format!("file:{}?max-age=60s", path("link")),
    ]);
    holds(&[&format!("file:{}", directory.path().display())]);
    fails(&[&format!("file:{}", path("missing"))], ": no such file");
    fails(&[&format!("file:{}", path("dangling"))], ": no such file");
    fails(
        &[&format!("file:{}", path("beat/x"))],
        ": a part of the path is no directory",
    );
    file.set_modified(SystemTime::now() - Duration::from_secs(100))
        .unwrap();
    holds(&[&format!("file:{}?max-age=2m", path("beat"))]);
    let old = run(&[&format!("file:{}?max-age=60s", path("beat"))]);
    assert!(
        old.code == 1 && old.stderr.contains(": modified 100."),
        "{}",
        old.stderr
    );
    file.set_modified(SystemTime::now() + Duration::from_secs(100))
        .unwrap();
    let ahead = run(&[&format!("file:{}?max-age=60s", path("beat"))]);
    assert!(
        ahead.code == 1 && ahead.stderr.contains(" s in the future: a clock is wrong"),
        "{}",
        ahead.stderr
    );
    holds(&[&format!("file:{}", path("beat"))]);
}

#[test]
fn all_checks_must_hold_and_the_first_that_does_not_is_told() {
    let server = Server::json(HEALTH);
    let (http, tcp) = (
        server.url("/"),
        format!("tcp://127.0.0.1:{}", server.port()),
    );
    holds(&[&http, &tcp, "file:/"]);
    fails(
        &[
            &http,
            "file:/missing",
            &format!("tcp://127.0.0.1:{}", closed_port()),
        ],
        "file:/missing: no such file",
    );
    let done = run(&["--verbose", &http, "file:/missing", &tcp]);
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!((done.code, lines.len()), (1, 3), "{lines:?}");
    let timed = |line: &str, told: &str| {
        let time = line.strip_prefix(told)?.strip_suffix(" ms")?;
        let (whole, thousandths) = time.split_once('.')?;
        whole.parse::<u32>().ok()?;
        (thousandths.len() == 3).then(|| thousandths.parse::<u32>().ok())?
    };
    let told = format!("healthcheck: {http}: holds, ");
    assert!(timed(lines[0], &told).is_some(), "{lines:?}");
    let told = "healthcheck: file:/missing: does not hold, ";
    assert!(timed(lines[1], told).is_some(), "{lines:?}");
    assert_eq!(lines[2], "healthcheck: file:/missing: no such file");
}

#[test]
fn what_is_mistyped_is_never_healthy_and_hides_behind_nothing() {
    for arguments in [
        &[][..],
        &["--timeout"],
        &["--timeout", "4", "file:/"],
        &["--quiet", "file:/"],
        &["file:/", "--help"],
        &["/health"],
        &["airflow:web"],
        &["https://localhost/"],
        &[""],
    ] {
        let done = run(arguments);
        assert_eq!(
            (done.code, done.stderr.lines().count()),
            (1, 1),
            "{arguments:?}: {}",
            done.stderr
        );
    }
    fails(
        &["file:/missing", "tcp://localhost"],
        "tcp://localhost: PORT is a number from 1 to 65535",
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    assert!(
        version
            .stdout
            .starts_with(concat!("healthcheck ", env!("CARGO_PKG_VERSION"), " ("))
    );
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for word in [
        "http://",
        "tcp://",
        "status:",
        "file:",
        "airflow:",
        "--timeout",
        "--verbose",
    ] {
        assert!(help.stdout.contains(word), "{word}");
    }
}
