//! The fast server beside moto: one boto3 story, two servers, one set of answers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::moto::Moto;
use testkit::process::Program;
use testkit::s3::Server;
use testkit::venv::Venv;

/// Where the two differ: what the fast server says there, as S3 does.
fn known_differences() -> BTreeMap<&'static str, Value> {
    let etag = "\"9dd4e461268c8034f5c8564e155c67a6\"";
    BTreeMap::from([
        // moto fails on these with a Python error.
        ("bad token", json!([400, "InvalidArgument"])),
        ("complete twice", json!([404, "NoSuchUpload"])),
        ("line feed", json!(etag)),
        ("line feed deleted", json!(204)),
        (
            "line feed listed",
            json!([[["line\nfeed", 1, etag, "STANDARD"]], []]),
        ),
        // moto does not look at what an uploader claims.
        ("wrong crc32", json!([400, "BadDigest"])),
        ("wrong md5", json!([400, "BadDigest"])),
        // moto looks at the sizes first.
        ("wrong order", json!([400, "InvalidPartOrder"])),
        // moto gives every prefix on every page.
        (
            "v1 folders",
            json!(["odd/./", "odd/a/", "odd/dir/", "odd/dot/", "odd/ä/"]),
        ),
    ])
}

#[test]
fn the_fast_server_answers_boto3_as_moto_does() {
    let moto = Moto::shared();
    let s3 = Server::start_blocking();
    let story = include_str!("like_moto.py");
    let theirs: BTreeMap<String, Value> = moto.json(story, &[]);
    let finished = Program::new(Venv::moto().unwrap().python())
        .args(["-c", story])
        .inherit(&["PATH", "HOME"])
        .envs(s3.environment())
        .run(Duration::from_secs(120));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let ours: BTreeMap<String, Value> = serde_json::from_str(&finished.stdout).unwrap();
    let known = known_differences();
    let mut wrong = Vec::new();
    for (name, theirs) in &theirs {
        let expected = known.get(name.as_str()).unwrap_or(theirs);
        let ours = ours.get(name).unwrap_or(&Value::Null);
        if ours != expected {
            wrong.push(format!("{name}\n  expected {expected}\n  answered {ours}"));
        }
        if known.get(name.as_str()) == Some(theirs) {
            wrong.push(format!("{name}: moto agrees by now, no difference is left"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(theirs.len() > 90, "only {} answers", theirs.len());
}
