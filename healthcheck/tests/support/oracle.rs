//! What others say: serde_json of a document, and of what an assertion should find there.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use healthcheck::assertion::{Asked, Assertions};
use healthcheck::json::{Container, Problem, Scalar, Scanner, Visitor};
use healthcheck::text::Line;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess};
use std::fmt;

/// A document with every member kept, equal keys too.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    /// `true`, `false` and numbers, as text.
    Text(String),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// As serde_json reads it where all numbers are integers of 64 bits.
pub fn independent(text: &[u8]) -> Option<Tree> {
    serde_json::from_slice(text).ok()
}

/// As our scanner reads it, in pieces of that size.
pub fn ours_in_pieces(text: &[u8], size: usize) -> Result<Tree, Problem> {
    let (mut scanner, mut builder) = (Scanner::new(), Builder::default());
    for piece in text.chunks(size) {
        scanner.push(piece, &mut builder)?;
    }
    scanner.finish(&mut builder)?;
    Ok(builder
        .root
        .expect("a document that is complete has a value"))
}

pub fn ours(text: &[u8]) -> Result<Tree, Problem> {
    ours_in_pieces(text, usize::MAX)
}

/// Whether our assertions hold of a text.
pub fn holds(text: &[u8], assertions: &str, size: usize) -> bool {
    let mut asked = Asked::NONE;
    asked.parse(assertions.as_bytes()).unwrap();
    let mut assertions = Assertions::new(&mut asked);
    let mut scanner = Scanner::new();
    let pushed = text
        .chunks(size)
        .try_for_each(|piece| scanner.push(piece, &mut assertions));
    pushed
        .and_then(|()| scanner.finish(&mut assertions))
        .is_ok()
        && assertions.judge(&mut Line::new()).is_ok()
}

/// Whether one assertion should hold, from the table in the documentation; keys without escapes.
pub fn should_hold(tree: &Tree, path: &[&str], wanted: &str) -> bool {
    let mut found = Vec::new();
    let ambiguous = reach(tree, path, &mut found);
    let any = path.contains(&"*");
    let equal = |tree: &&Tree| match tree {
        Tree::Null => wanted == "null",
        Tree::Text(text) | Tree::String(text) => wanted != "null" && text == wanted,
        Tree::Array(_) | Tree::Object(_) => false,
    };
    let skipped = |tree: &&&Tree| any && wanted != "null" && ***tree == Tree::Null;
    !ambiguous
        && found.iter().any(equal_ref(&equal))
        && found
            .iter()
            .filter(|tree| !skipped(tree))
            .all(equal_ref(&equal))
}

fn equal_ref<'a>(equal: &'a impl Fn(&&Tree) -> bool) -> impl Fn(&&Tree) -> bool + 'a {
    move |tree| equal(tree)
}

/// All that a path reaches; whether a key that it goes through stands twice.
fn reach<'t>(tree: &'t Tree, path: &[&str], found: &mut Vec<&'t Tree>) -> bool {
    let Some((key, rest)) = path.split_first() else {
        found.push(tree);
        return false;
    };
    let Tree::Object(members) = tree else {
        return false;
    };
    let mut seen = std::collections::HashSet::new();
    let mut ambiguous = false;
    for (name, member) in members
        .iter()
        .filter(|(name, _)| *key == "*" || name == key)
    {
        ambiguous |= !seen.insert(name);
        ambiguous |= reach(member, rest, found);
    }
    ambiguous
}

#[derive(Default)]
struct Builder {
    open: Vec<(Container, Vec<(String, Tree)>)>,
    keys: Vec<String>,
    bytes: Vec<u8>,
    root: Option<Tree>,
}

impl Builder {
    fn text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.bytes)).expect("strings are valid")
    }

    fn add(&mut self, tree: Tree) {
        match self.open.last_mut() {
            None => assert!(
                self.root.replace(tree).is_none(),
                "one document has one value"
            ),
            Some((Container::Array, members)) => members.push((String::new(), tree)),
            Some((Container::Object, members)) => {
                members.push((self.keys.pop().expect("a key comes first"), tree))
            }
        }
    }
}

impl Visitor for Builder {
    fn open(&mut self, container: Container) {
        self.open.push((container, Vec::new()));
    }
    fn close(&mut self) {
        let (container, members) = self.open.pop().expect("what closes was open");
        self.add(match container {
            Container::Object => Tree::Object(members),
            Container::Array => Tree::Array(members.into_iter().map(|(_, tree)| tree).collect()),
        });
    }
    fn key_begins(&mut self) {
        assert!(self.bytes.is_empty());
    }
    fn key_byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }
    fn key(&mut self) {
        let key = self.text();
        self.keys.push(key);
    }
    fn value_begins(&mut self) {
        assert!(self.bytes.is_empty());
    }
    fn value_byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }
    fn value(&mut self, scalar: Scalar) {
        let text = self.text();
        self.add(match scalar {
            Scalar::Null => Tree::Null,
            Scalar::String => Tree::String(text),
            Scalar::Number | Scalar::Boolean => Tree::Text(text),
        });
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        struct Trees;
        impl<'de> serde::de::Visitor<'de> for Trees {
            type Value = Tree;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::String(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = sequence.next_element()? {
                    members.push(member);
                }
                Ok(Tree::Array(members))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }
        }
        deserializer.deserialize_any(Trees)
    }
}
