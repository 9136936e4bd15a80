//! From what SSM answered to a variable's value. Pure.

use super::reference::{Reference, Store};
use super::trouble::NameTrouble;
use serde_json::Value;

/// What a fetched text is. No `Debug` but in tests: it would show the value.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(super) enum Fetched {
    /// The value.
    Value(String),
    /// A parameter that refers to something itself.
    Reference(Reference),
}

/// Reads what a reference of a variable points to. A parameter may refer on, once.
pub(super) fn first(reference: &Reference, text: String) -> Result<Fetched, NameTrouble> {
    match reference.store {
        Store::Parameter => listed(text),
        Store::Secret => last(reference, text).map(Fetched::Value),
    }
}

/// Reads a parameter that was found below a path.
pub(super) fn listed(text: String) -> Result<Fetched, NameTrouble> {
    match Reference::parse(&text) {
        Some(Ok(next)) => Ok(Fetched::Reference(next)),
        Some(Err(why)) => Err(unusable(format!(
            "its value looks like a reference, and {why}"
        ))),
        None => plain(text).map(Fetched::Value),
    }
}

/// Reads what may refer no further.
pub(super) fn last(reference: &Reference, text: String) -> Result<String, NameTrouble> {
    let value = match &reference.key {
        Some(key) => of_key(&text, key)?,
        None => text,
    };
    if Reference::parse(&value).is_some() {
        return Err(unusable(
            "its value is a reference again, and only one level is followed",
        ));
    }
    plain(value)
}

fn of_key(text: &str, key: &str) -> Result<String, NameTrouble> {
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
        return Err(unusable("it is no JSON object, so it has no keys"));
    };
    match object.remove(key) {
        Some(Value::String(value)) => Ok(value),
        Some(Value::Null) => Err(unusable(format!("the key {key} is null"))),
        Some(other) => Ok(other.to_string()),
        None => {
            let keys: Vec<String> = object.into_iter().map(|(key, _)| key).collect();
            Err(unusable(format!(
                "it has no key {key}, but {}",
                keys.join(", ")
            )))
        }
    }
}

/// A process's environment cannot hold a NUL byte.
fn plain(value: String) -> Result<String, NameTrouble> {
    match value.contains('\0') {
        true => Err(unusable(
            "its value holds a NUL byte, which no variable can",
        )),
        false => Ok(value),
    }
}

fn unusable(why: impl Into<String>) -> NameTrouble {
    NameTrouble::Unusable(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_key_is_taken_out_of_a_secret() {
        let json =
            r#"{"password":"p","port":5432,"on":true,"none":null,"o":{"a":[1]},"r":"ssm:///x"}"#;
        for (key, expected) in [
            ("password", Ok("p")),
            ("port", Ok("5432")),
            ("on", Ok("true")),
            ("o", Ok(r#"{"a":[1]}"#)),
            ("none", Err("null")),
            ("r", Err("one level")),
            (
                "absent",
                Err("no key absent, but none, o, on, password, port, r"),
            ),
        ] {
            let reference = reference(&format!("secretsmanager://s#{key}"));
            match (first(&reference, json.to_owned()), expected) {
                (Ok(Fetched::Value(value)), Ok(expected)) => assert_eq!(value, expected),
                (Err(NameTrouble::Unusable(why)), Err(part)) => {
                    assert!(why.contains(part), "{why}")
                }
                (other, _) => panic!("{key}: {other:?}"),
            }
        }
        for text in ["", "x", "[]", "\"s\"", "{"] {
            assert!(
                first(&reference("secretsmanager://s#k"), text.to_owned()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_parameter_refers_on_once() {
        let parameter = reference("ssm:///a");
        let next = first(&parameter, "secretsmanager://s#k".to_owned());
        assert_eq!(
            next,
            Ok(Fetched::Reference(reference("secretsmanager://s#k")))
        );
        assert!(last(&parameter, "ssm:///b".to_owned()).is_err());
        assert!(
            last(
                &reference("secretsmanager://s"),
                "secretsmanager://t".to_owned()
            )
            .is_err()
        );
        assert!(first(&parameter, "ssm://a b".to_owned()).is_err());
        assert!(
            first(
                &reference("secretsmanager://s#k"),
                r#"{"k":"a\u0000b"}"#.to_owned()
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_other_text_is_the_value_as_it_is(text in "[^\u{0}]{0,40}") {
            prop_assume!(Reference::parse(&text).is_none());
            let parameter = reference("ssm:///a");
            prop_assert_eq!(first(&parameter, text.clone()), Ok(Fetched::Value(text.clone())));
            let json = serde_json::json!({ "k": text }).to_string();
            prop_assert_eq!(last(&reference("secretsmanager://s#k"), json), Ok(text));
        }
    }
}
