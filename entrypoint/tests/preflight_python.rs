//! Python's `cryptography`, `os.path` and `configparser` beside the readings that need no Python:
//! thousands of cases made at random must come out alike.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use entrypoint::airflow::config::Config;
use entrypoint::preflight::fernet::Keys;
use entrypoint::variables::Variables;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::process::Program;
use testkit::venv::Venv;

const CASES: usize = 1500;
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Serialize)]
struct Question {
    keys: String,
    tokens: Vec<String>,
}

#[derive(Deserialize)]
struct Answers {
    tokens: Vec<String>,
    keys: Vec<Option<Vec<bool>>>,
    values: Vec<Option<String>>,
    settings: Vec<Vec<Option<String>>>,
}

fn ask(cases: &Value) -> Answers {
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&file, cases).unwrap();
    let finished = Program::new(Venv::moto().unwrap().python())
        .args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preflight/oracle.py").into(),
            file.path().as_os_str().to_owned(),
        ])
        .inherit(&["PATH"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1")
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap()
}

/// Seeded, so that a failure comes again; the case is in its message.
fn random() -> Rng {
    Rng::with_seed(7)
}

fn pick<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

fn text(random: &mut Rng, pieces: &[&str], most: usize) -> String {
    (0..random.usize(..=most))
        .map(|_| pick(random, pieces))
        .collect()
}

#[test]
fn keys_and_tokens_are_read_as_cryptography_reads_them() {
    let mut random = random();
    let key = |random: &mut Rng, length: usize| {
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        BASE64_URL_SAFE.encode(bytes)
    };
    let good: Vec<String> = (0..20).map(|_| key(&mut random, 32)).collect();
    let messages: Vec<Value> = (0..100)
        .map(|index| json!({"key": good[index % good.len()], "message": "m".repeat(index)}))
        .collect();
    let nothing =
        json!({"variables": {}, "tokens": messages, "keys": [], "values": [], "settings": []});
    let tokens = ask(&nothing).tokens;

    let mut questions = Vec::new();
    for _ in 0..CASES {
        let parts = (0..random.usize(1..4)).map(|_| match random.u8(..8) {
            0 => {
                let length = random.usize(..40);
                key(&mut random, length)
            }
            1 => damaged(&mut random, &good),
            2 => {
                let bytes = BASE64_URL_SAFE.decode(pick(&mut random, &good)).unwrap();
                format!(" {}\n", BASE64_STANDARD.encode(bytes))
            }
            3 => text(&mut random, &["A", "=", "-", "é", " ", "QUJD", "+/"], 20),
            _ => pick(&mut random, &good),
        });
        let keys = parts.collect::<Vec<_>>().join(",");
        let tokens = (0..3).map(|_| match random.u8(..3) {
            0 => damaged(&mut random, &tokens),
            _ => pick(&mut random, &tokens),
        });
        questions.push(Question {
            keys,
            tokens: tokens.collect(),
        });
    }
    let cases =
        json!({"variables": {}, "tokens": [], "keys": questions, "values": [], "settings": []});
    let answers = ask(&cases).keys;
    let (mut refused, mut opened) = (0, 0);
    for (question, theirs) in questions.iter().zip(answers) {
        let keys = Keys::parse(&question.keys).ok();
        let ours = keys.map(|keys| {
            question
                .tokens
                .iter()
                .map(|token| keys.open(token))
                .collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs, "{:?} {:?}", question.keys, question.tokens);
        refused += usize::from(ours.is_none());
        opened += ours.into_iter().flatten().filter(|open| *open).count();
    }
    assert!(refused > 100 && opened > 50, "{refused} {opened}");
}

/// One of the texts with a character changed, put in or taken out, not later than `last`.
fn damaged(random: &mut Rng, texts: &[String]) -> String {
    let mut text: Vec<char> = pick(random, texts).chars().collect();
    let place = random.usize(..text.len());
    match random.u8(..4) {
        0 => drop(text.remove(place)),
        1 => text.insert(place, pick(random, &['=', '\n', '!', 'A', 'é'])),
        2 => text[place] = random.alphanumeric(),
        _ => text.truncate(place),
    }
    text.into_iter().collect()
}

#[test]
fn values_are_filled_in_as_airflow_fills_them_in() {
    let mut random = random();
    let variables = [
        ("HOME", "/h/"),
        ("A", "x"),
        ("B", "$A~"),
        ("C_1", "${B}"),
        ("EMPTY", ""),
        ("T", "~/t"),
        ("S", "$S"),
    ];
    let pieces = [
        "$", "{", "}", "~", "/", "A", "B", "C_1", "T", "S", "EMPTY", "HOME", "$A", "${B}", "$C_1",
        "${T}", "é", " ", "%24", "root", "~root", "nobody",
    ];
    let values: Vec<String> = (0..CASES)
        .map(|_| text(&mut random, &pieces, 8))
        .filter(|value| !value.is_empty())
        .collect();
    let map: serde_json::Map<String, Value> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let cases =
        json!({"variables": map, "tokens": [], "keys": [], "values": values, "settings": []});
    let answers = ask(&cases).values;
    let mut changed = 0;
    for (value, theirs) in values.iter().zip(answers) {
        let pairs = variables
            .iter()
            .copied()
            .chain([("AIRFLOW__A__B", value.as_str())]);
        let ours = Config::read(&Variables::from_pairs(pairs)).text("a", "b");
        let theirs = theirs.filter(|text| !text.is_empty());
        assert_eq!(ours, theirs, "{value:?}");
        changed += usize::from(theirs.as_ref() != Some(value));
    }
    assert!(changed > CASES / 4, "{changed}");
}

#[test]
fn a_file_is_read_as_configparser_reads_it() {
    let mut random = random();
    let names = ["a", "b", "Key", "with space"];
    let mut texts = Vec::new();
    for _ in 0..CASES {
        let mut text = String::from("[one]\n");
        for _ in 0..random.usize(..12) {
            let name = pick(&mut random, &names);
            let value = self::text(
                &mut random,
                &[
                    "v", " ", "%%", "%(a)s", "%(b)s", "=", ":", "#", ";", "é", "[",
                ],
                4,
            );
            text += &match random.u8(..10) {
                0 => "[two]\n".to_owned(),
                1 => "[DEFAULT]\n".to_owned(),
                2 => format!("{}# {value}\n", pick(&mut random, &["", "  "])),
                3 => "\n".to_owned(),
                4 | 5 => format!("{name} = {value}\n  more{value}\n"),
                6 => format!("{name}: {value}\n\n\tlast\n"),
                _ => format!("{name}{}{value}\n", pick(&mut random, &["=", " = ", ":"])),
            };
        }
        texts.push(text);
    }
    let asked: Vec<(&str, &str)> = ["one", "two", "three"]
        .iter()
        .flat_map(|section| names.iter().map(move |name| (*section, *name)))
        .collect();
    let settings: Vec<Value> = texts
        .iter()
        .map(|text| json!({"text": text, "names": asked}))
        .collect();
    let cases =
        json!({"variables": {}, "tokens": [], "keys": [], "values": [], "settings": settings});
    let answers = ask(&cases).settings;
    let mut known = 0;
    for (text, theirs) in texts.iter().zip(answers) {
        let config = Config::from_parts(&Variables::default(), text);
        for ((section, name), theirs) in asked.iter().zip(theirs) {
            // What Python refuses ends Airflow, whatever is made of it here.
            if theirs.as_deref() != Some("refused") {
                let theirs = theirs.filter(|value| !value.is_empty());
                assert_eq!(
                    config.text(section, name),
                    theirs,
                    "{section} {name} in {text:?}"
                );
                known += usize::from(theirs.is_some());
            }
        }
    }
    assert!(known > CASES, "{known}");
}
