//! Answers that a real PostgreSQL cannot be brought to give, from a server that only refuses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wait;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use agent::postgres::Target;
use wait::{database, target};

/// Refuses each connection with an SQLSTATE, after it was asked for TLS and said no.
fn refusing(state: &'static str, message: &'static str) -> Target {
    serving(move |stream| refuse(stream, state, message))
}

fn serving(mut serve: impl FnMut(TcpStream) -> std::io::Result<()> + Send + 'static) -> Target {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = serve(stream);
        }
    });
    target(&format!("postgresql://u:p@127.0.0.1:{port}/d"))
}

fn refuse(mut stream: TcpStream, state: &str, message: &str) -> std::io::Result<()> {
    read_packet(&mut stream)?;
    stream.write_all(b"N")?;
    read_packet(&mut stream)?;
    let mut fields = Vec::new();
    for (kind, text) in [
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', state),
        (b'M', message),
    ] {
        fields.push(kind);
        fields.extend(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    stream.write_all(&[b"E", &length[..], &fields].concat())
}

/// A packet without a kind, as the first ones of a session are.
fn read_packet(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = usize::try_from(u32::from_be_bytes(length)).unwrap() - 4;
    stream.read_exact(&mut vec![0; rest])
}

#[test]
fn states_that_pass_are_waited_for_and_others_end_it() {
    for (state, code) in [
        ("57P01", 69),
        ("57P02", 69),
        ("57P03", 69),
        ("08006", 69),
        ("08P01", 69),
        ("53200", 69),
        ("58030", 69),
        ("XX000", 69),
        ("40001", 69),
        ("28000", 77),
        ("28P01", 77),
        ("42501", 77),
        ("3D000", 65),
        ("42704", 65),
    ] {
        let timeout = match code {
            69 => Duration::from_millis(150),
            _ => wait::SOON,
        };
        let waiting = database(&refusing(state, "as scripted"), timeout);
        let lines = waiting.lines.clone();
        let failure = waiting.end().unwrap_err();
        assert_eq!(failure.code(), code, "{state}: {failure}");
        assert!(
            failure.why.contains(state) && failure.why.contains("as scripted"),
            "{failure}"
        );
        assert_eq!(
            lines.count("database_unavailable"),
            usize::from(code == 69),
            "{state}"
        );
    }
}

#[test]
fn a_message_of_several_lines_becomes_one() {
    let failure = wait::once(&refusing("42704", "first\nsecond\tthird")).unwrap_err();
    assert!(failure.why.contains("first second third"), "{failure}");
}

#[test]
fn a_change_of_the_reason_is_told_and_its_repetition_is_not() {
    let mut connections = 0;
    let target = serving(move |stream| {
        connections += 1;
        match connections {
            1..=3 => refuse(stream, "57P03", "starting"),
            4..=6 => refuse(stream, "53300", "full"),
            _ => refuse(stream, "3D000", "none"),
        }
    });
    let waiting = database(&target, wait::SOON);
    let lines = waiting.lines.clone();
    assert_eq!(waiting.end().unwrap_err().code(), 65);
    assert_eq!(lines.count("database_unavailable"), 2, "{}", lines.text());
}

#[test]
fn a_port_that_speaks_something_else_is_named() {
    let target = serving(|mut stream| {
        read_packet(&mut stream)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let failure = wait::once(&target).unwrap_err();
    assert_eq!(failure.code(), 69);
    assert!(failure.why.contains("check that"), "{failure}");
}
