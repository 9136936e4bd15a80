//! The parsers beside others': documents beside serde_json, answers beside hyper.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test]")]

#[path = "support/oracle.rs"]
mod oracle;

use std::sync::mpsc;
use std::time::Duration;

use healthcheck::http::{Event, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Any document, small, with few keys so that they meet.
fn documents() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        Just("healthy".into()),
        "\\PC{0,6}|[\\x00-\\x1f\"\\\\/a]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((keys(), inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![8 => prop::sample::select(vec!["a", "b", "status", "healthy"]).prop_map(str::to_owned), 1 => "\\PC{0,3}"]
}

/// Written by hand, with equal keys, spaces and escapes that serde_json does not write.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "1",
        "-0",
        "\"healthy\"",
        "\"h\\u0065althy\"",
        "\"null\"",
        "\"\\ud83d\\ude00\"",
        "[]",
        "{}",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 30, 4, |inner| {
        let key = prop::sample::select(vec!["\"a\"", "\"b\"", "\"\\u0061\"", "\"status\" "]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|members| format!("[{}]", members.join(" ,"))),
            prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("{key}:\n{value}"))
                    .collect();
                format!("{{ {} }}", members.join(","))
            }),
        ]
    })
}

fn paths() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "status", "*"]), 1..4)
}

fn wanted() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["healthy", "null", "true", "1", ""])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_document_is_read_as_serde_json_reads_it(document in documents(), pretty: bool, size in 1_usize..9) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let tree = oracle::independent(text.as_bytes()).unwrap();
        prop_assert_eq!(oracle::ours_in_pieces(text.as_bytes(), size).ok(), Some(tree));
    }

    #[test]
    fn a_text_is_read_as_serde_json_reads_it(text in texts(), size in 1_usize..9) {
        let tree = oracle::independent(text.as_bytes());
        prop_assert_eq!(oracle::ours_in_pieces(text.as_bytes(), size).ok().map(zero), tree.map(zero));
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in texts(), at: prop::sample::Index, with in prop::sample::select(b"\"\\{}[]:,0-.eu \x00\x1f\x80\xc3\xffdD".to_vec()), cut: bool) {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = with }
        prop_assert_eq!(oracle::ours(&text).is_ok(), serde_json::from_slice::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn an_assertion_holds_where_the_table_says_so(text in texts(), path in paths(), wanted in wanted(), size in 1_usize..9) {
        let tree = oracle::independent(text.as_bytes()).unwrap();
        let assertion = format!("{}={wanted}", path.join("."));
        prop_assert_eq!(oracle::holds(text.as_bytes(), &assertion, size), oracle::should_hold(&tree, &path, wanted), "{} {}", text, assertion);
    }

    #[test]
    fn several_assertions_hold_when_each_does(text in texts(), asserted in prop::collection::vec((paths(), wanted()), 1..5)) {
        let spelled: Vec<String> = asserted.iter().map(|(path, wanted)| format!("{}={wanted}", path.join("."))).collect();
        let each = spelled.iter().all(|one| oracle::holds(text.as_bytes(), one, 100));
        prop_assert_eq!(oracle::holds(text.as_bytes(), &spelled.join("&"), 100), each);
    }
}

/// serde_json makes a float of -0.
fn zero(tree: oracle::Tree) -> oracle::Tree {
    use oracle::Tree;
    match tree {
        Tree::Text(text) if text == "-0" => Tree::Text("0".to_owned()),
        Tree::Array(members) => Tree::Array(members.into_iter().map(zero).collect()),
        Tree::Object(members) => Tree::Object(
            members
                .into_iter()
                .map(|(key, member)| (key, zero(member)))
                .collect(),
        ),
        tree => tree,
    }
}

#[test]
fn nesting_ends_where_serde_jsons_does() {
    for depth in [1, 126, 127, 128, 129, 300] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let middle = if open == "[" { "" } else { "1" };
            let text = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let serde = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(
                oracle::ours(text.as_bytes()).is_ok(),
                serde,
                "{depth} of {open}"
            );
        }
    }
}

/// An answer as hyper reads it: status and body; none where it refuses.
type Read = Option<(u16, Vec<u8>)>;

#[derive(Clone, Debug)]
enum Framing {
    Length,
    Chunks {
        size: usize,
        extension: bool,
        trailer: bool,
    },
    UntilClose,
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let framing = prop_oneof![
        Just(Framing::Length),
        (1_usize..50, any::<bool>(), any::<bool>()).prop_map(|(size, extension, trailer)| {
            Framing::Chunks {
                size,
                extension,
                trailer,
            }
        }),
        Just(Framing::UntilClose),
    ];
    let head = prop::sample::select(vec![
        "",
        "X: y\r\n",
        "content-type:application/json\r\nServer:  s \r\n",
        "X-Content-Length: 3\r\n",
    ]);
    let early = prop::sample::select(vec![
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n",
    ]);
    let status = prop::sample::select(vec![
        "200 OK",
        "299 ",
        "404 Not Found",
        "204 No Content",
        "503 x",
    ]);
    (
        early,
        status,
        head,
        framing,
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(early, status, head, framing, body)| {
            let mut answer = format!("{early}HTTP/1.1 {status}\r\n{head}").into_bytes();
            match framing {
                Framing::Length => {
                    answer.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    answer.extend(&body);
                }
                Framing::UntilClose => {
                    answer.extend(b"\r\n");
                    answer.extend(&body);
                }
                Framing::Chunks {
                    size,
                    extension,
                    trailer,
                } => {
                    answer.extend(b"Transfer-Encoding: Chunked\r\n\r\n");
                    for chunk in body.chunks(size) {
                        answer.extend(
                            format!(
                                "{:X}{}\r\n",
                                chunk.len(),
                                if extension { ";a=b" } else { "" }
                            )
                            .bytes(),
                        );
                        answer.extend(chunk);
                        answer.extend(b"\r\n");
                    }
                    answer.extend(if trailer {
                        b"0\r\nX: y\r\n\r\n".as_slice()
                    } else {
                        b"0\r\n\r\n"
                    });
                }
            }
            answer
        })
}

fn ours(answer: &[u8], size: usize) -> Read {
    let mut response = Response::BEGINNING;
    let mut body = Vec::new();
    for mut bytes in answer.chunks(size) {
        loop {
            match response.next(&mut bytes).ok()? {
                Event::More => break,
                Event::Head => {}
                Event::Body(data) => body.extend(data),
                Event::Complete => return Some((response.status(), body)),
            }
        }
    }
    response.finish().ok()?;
    Some((response.status(), body))
}

/// One runtime for all cases.
fn hyper(answers: &mpsc::Sender<(Vec<u8>, mpsc::Sender<Read>)>, answer: &[u8]) -> Read {
    let (sender, read) = mpsc::channel();
    answers.send((answer.to_vec(), sender)).unwrap();
    read.recv_timeout(Duration::from_secs(10)).unwrap()
}

fn hyper_client() -> mpsc::Sender<(Vec<u8>, mpsc::Sender<Read>)> {
    let (sender, answers) = mpsc::channel::<(Vec<u8>, mpsc::Sender<Read>)>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for (answer, reply) in answers {
            let _ = reply.send(runtime.block_on(read(answer)));
        }
    });
    sender
}

async fn read(answer: Vec<u8>) -> Read {
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let serve = async move {
        let _ = server.read(&mut [0; 4096]).await;
        let _ = server.write_all(&answer).await;
        let _ = server.shutdown().await;
        let _ = server.read(&mut [0; 16]).await;
    };
    let ask = async move {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client))
            .await
            .ok()?;
        let request = hyper::Request::get("/")
            .header("host", "h")
            .body(Empty::<bytes::Bytes>::new())
            .ok()?;
        let asked = async move {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            Some((
                status,
                response
                    .into_body()
                    .collect()
                    .await
                    .ok()?
                    .to_bytes()
                    .to_vec(),
            ))
        };
        tokio::pin!(asked);
        tokio::select! {
            read = &mut asked => read,
            _ = connection => asked.await,
        }
    };
    tokio::join!(ask, serve).0
}

#[test]
fn answers_are_read_as_hyper_reads_them_and_cut_ones_refused() {
    let client = hyper_client();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1_500));
    let cases = (
        answers(),
        1_usize..40,
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    let result = runner.run(&cases, |(mut answer, size, at, cut)| {
        if cut {
            answer.truncate(at.index(answer.len()));
        }
        prop_assert_eq!(
            ours(&answer, size),
            hyper(&client, &answer),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
