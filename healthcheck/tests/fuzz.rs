//! Mutated documents and answers, seeded and bounded: no panic, the same answer in pieces of any size,
//! and serde_json's opinion of each document. `make fuzz` gives it minutes; what it finds is kept below.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test]")]

#[path = "support/oracle.rs"]
mod oracle;

use std::time::{Duration, Instant};

use fastrand::Rng;
use healthcheck::assertion::Asked;
use healthcheck::check::Check;
use healthcheck::http::{Event, Response};
use healthcheck::status::Report;
use healthcheck::text::Line;

const DOCUMENTS: &[&str] = &[
    r#"{"metadatabase":{"status":"healthy"},"scheduler":{"status":"healthy","latest_scheduler_heartbeat":"2026-01-01T00:00:00+00:00"},"triggerer":{"status":null}}"#,
    r#"{"schema":1,"agent":"s3sync","version":"0.1.0","pid":7,"phase":"watching","healthy":true,"degraded":false,"reason":null,"updated":"2025-06-15T15:06:40Z","valid_until":"2025-06-15T15:07:10Z","detail":{"keys":7}}"#,
    r#"[[[{"a":[1,2.5e-3,-0,1E+400,true,false,null]}]],"\u0000\ud83d\ude00\"\\\/\b\f\n\r\t","é😀"]"#,
    r#"{"a":{"b":{"c":"d"}},"a":{"b":null}}"#,
];

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nServer: x\r\n\r\n{\"a\":\"b\",\"c\":1}",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nLocation: http://x/y?z\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"a\":1}\r\nA \r\n          \r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 503 Service Unavailable\nX: a\n b\n\nbody",
];

const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"null",
    b"true",
    b"-",
    b"0",
    b"e",
    b".",
    b"1e999",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"ffffffffffffffff",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1 ",
    b"99999999999999999999",
    b";",
    b"*",
    b"%",
    b"=",
    b"&",
    b"#",
];

#[test]
fn mutations_find_nothing() {
    let seconds = std::env::var("TRIMTAB_FUZZ_SECONDS")
        .ok()
        .map_or(3, |text| text.parse().unwrap());
    let seed = std::env::var("TRIMTAB_FUZZ_SEED")
        .ok()
        .map_or(6, |text| text.parse().unwrap());
    let (mut random, end) = (
        Rng::with_seed(seed),
        Instant::now() + Duration::from_secs(seconds),
    );
    let mut documents: Vec<Vec<u8>> = DOCUMENTS
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let mut answers: Vec<Vec<u8>> = ANSWERS
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let mut turns = 0_u64;
    while Instant::now() < end {
        for _ in 0..200 {
            turns += 1;
            let document = mutated(&documents, &mut random);
            let good = document_is_one_thing(&document, &mut random);
            keep(&mut documents, document, good, DOCUMENTS.len(), &mut random);
            let answer = mutated(&answers, &mut random);
            let good = answer_is_one_thing(&answer, &mut random);
            keep(&mut answers, answer, good, ANSWERS.len(), &mut random);
            let text = mutated(&documents, &mut random);
            let _ = Asked::NONE.clone().parse(&text);
            let _ = Check::NONE
                .clone()
                .parse(&text, |_: &[u8]| None, &mut Asked::NONE.clone());
        }
    }
    eprintln!("{turns} turns of each in {seconds} s from seed {seed}");
    assert!(turns > 1_000);
}

/// What once was found, or nearly was; each goes the same way.
#[test]
fn earlier_findings_stay_fixed() {
    let mut random = Rng::with_seed(1);
    for text in [
        &b""[..],
        b"\"",
        b"\"\\",
        b"\"\\u",
        b"\"\\ud800\"",
        b"\"\\ud800\\ud800\"",
        b"-",
        b"1.",
        b"1e",
        b"nul",
        b"[1,",
        b"{\"a\"",
        b"{\"a\":1,}",
        b"\xef\xbb\xbf{}",
        b"{}\0",
        b"1 2",
        b"[]]",
        b"}",
    ] {
        document_is_one_thing(text, &mut random);
        answer_is_one_thing(text, &mut random);
    }
}

fn document_is_one_thing(text: &[u8], random: &mut Rng) -> bool {
    let show = || String::from_utf8_lossy(text).into_owned();
    let whole = oracle::ours(text);
    let size = random.usize(1..9);
    assert_eq!(whole, oracle::ours_in_pieces(text, size), "{}", show());
    let serde = serde_json::from_slice::<serde_json::Value>(text);
    let too_large = serde
        .as_ref()
        .is_err_and(|error| error.to_string().starts_with("number out of range"));
    assert!(
        too_large || whole.is_ok() == serde.is_ok(),
        "{}: {whole:?} and {serde:?}",
        show()
    );
    if let Ok(tree) = &whole {
        for (path, wanted) in [
            (&["scheduler", "status"][..], "healthy"),
            (&["*", "status"], "healthy"),
            (&["a", "*", "c"], "d"),
            (&["triggerer", "status"], "null"),
        ] {
            let assertion = format!("{}={wanted}", path.join("."));
            assert_eq!(
                oracle::holds(text, &assertion, size),
                oracle::should_hold(tree, path, wanted),
                "{}: {assertion}",
                show()
            );
        }
    }
    let mut asked = Asked::NONE;
    let mut report = Report::new(&mut asked);
    let mut why = Line::new();
    let judged = report
        .push(text, &mut why)
        .and_then(|()| report.judge(Some(b"s3sync"), 1_750_000_000, &mut why));
    assert!(judged.is_err() || whole.is_ok(), "{}", show());
    whole.is_ok()
}

fn answer_is_one_thing(text: &[u8], random: &mut Rng) -> bool {
    let whole = read(text, usize::MAX);
    let pieces = read(text, random.usize(1..9));
    assert_eq!(whole, pieces, "{}", String::from_utf8_lossy(text));
    whole.0.is_ok()
}

/// How an answer ended, its status, and its body.
fn read(text: &[u8], size: usize) -> (Result<(), healthcheck::http::Problem>, u16, Vec<u8>) {
    let mut response = Response::BEGINNING;
    let mut body = Vec::new();
    for mut bytes in text.chunks(size) {
        loop {
            match response.next(&mut bytes) {
                Ok(Event::More) => break,
                Ok(Event::Head) => {}
                Ok(Event::Body(data)) => body.extend(data),
                Ok(Event::Complete) => return (Ok(()), response.status(), body),
                Err(problem) => return (Err(problem), response.status(), body),
            }
        }
    }
    (response.finish(), response.status(), body)
}

fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut text = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=text.len());
        let to = random.usize(at..=text.len().min(at + 12));
        match random.u8(..6) {
            0 => drop(text.drain(at..to)),
            1 => text.truncate(at),
            2 if at < text.len() => text[at] ^= 1 << random.u8(..8),
            3 => {
                let copy = text[at..to].to_vec();
                drop(text.splice(at..at, copy));
            }
            4 => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                drop(text.splice(at..to, other[from..].iter().copied()));
            }
            _ => drop(text.splice(at..to, PIECES[random.usize(..PIECES.len())].iter().copied())),
        }
    }
    text.truncate(2_000);
    text
}

/// What is still good is worth going on from.
fn keep(corpus: &mut Vec<Vec<u8>>, text: Vec<u8>, good: bool, seeds: usize, random: &mut Rng) {
    if good && corpus.len() < 500 {
        corpus.push(text);
    } else if good {
        let place = random.usize(seeds..corpus.len());
        corpus[place] = text;
    }
}
