//! What Airflow makes of a value before it uses it: variables and a leading `~` are filled in, again
//! and again until nothing changes (`expand_env_var` in `airflow/configuration.py`, 2.8 to 3.3).
//!
//! A password such as `pa$HOME` does not survive that, and nothing escapes it.

/// Python itself has no limit: a value that refers to itself twice hangs Airflow.
const ROUNDS: usize = 64;
const LONGEST: usize = 1 << 20;

/// A value that refers to itself: Airflow would never be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endless;

/// What a value can refer to.
pub trait Surroundings {
    /// A variable's value; an empty one counts as set.
    fn variable(&self, name: &str) -> Option<&str>;
    /// The home directory in the list of users: of a user, or of the process's own.
    fn home(&self, user: Option<&str>) -> Option<String>;
}

/// The value as Airflow sees it.
///
/// # Errors
/// Where Airflow would hang.
pub fn expand(value: &str, around: &impl Surroundings) -> Result<String, Endless> {
    let mut value = value.to_owned();
    for _ in 0..ROUNDS {
        let next = user(&variables(&value, around), around);
        if next == value {
            return Ok(value);
        }
        if next.len() > LONGEST {
            break;
        }
        value = next;
    }
    Err(Endless)
}

/// `$NAME` and `${NAME}`; a variable that is not set stays as it is written.
fn variables(value: &str, around: &impl Surroundings) -> String {
    let (mut filled, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let (name, end) = reference(after);
        match name.and_then(|name| around.variable(name)) {
            Some(value) => filled.push_str(value),
            None => {
                filled.push('$');
                filled.push_str(&after[..end]);
            }
        }
        rest = &after[end..];
    }
    filled.push_str(rest);
    filled
}

/// The name that follows a `$`, and where what follows it begins.
fn reference(after: &str) -> (Option<&str>, usize) {
    if let Some(inner) = after.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (Some(&inner[..end]), end + 2),
            None => (None, 0),
        };
    }
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let end = after.find(|char| !is_word(char)).unwrap_or(after.len());
    (Some(&after[..end]).filter(|name| !name.is_empty()), end)
}

/// `~` and `~user`.
fn user(value: &str, around: &impl Surroundings) -> String {
    let Some(after) = value.strip_prefix('~') else {
        return value.to_owned();
    };
    let (name, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    let home = if name.is_empty() {
        let home = around.variable("HOME").map(str::to_owned);
        home.or_else(|| around.home(None))
    } else {
        around.home(Some(name))
    };
    match home {
        None => value.to_owned(),
        Some(home) => {
            let path = home.trim_end_matches('/').to_owned() + rest;
            if path.is_empty() {
                "/".to_owned()
            } else {
                path
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World;

    impl Surroundings for World {
        fn variable(&self, name: &str) -> Option<&str> {
            let value = match name {
                "HOME" => "/home/airflow/",
                "A" => "a",
                "B" => "$A-b",
                "EMPTY" => "",
                "LOOP" => "$LOOP$LOOP",
                "SELF" => "$SELF",
                "odd name" => "odd",
                _ => return None,
            };
            Some(value)
        }

        fn home(&self, user: Option<&str>) -> Option<String> {
            let home = match user {
                Some("root") => "/root",
                Some("nobody") => "/",
                _ => return None,
            };
            Some(home.to_owned())
        }
    }

    #[test]
    fn values_change_as_airflow_changes_them() {
        for (value, expanded) in [
            ("", ""),
            ("plain % text", "plain % text"),
            ("x$A", "xa"),
            ("${A}x", "ax"),
            ("${odd name}", "odd"),
            ("$B", "a-b"),
            ("$EMPTY", ""),
            ("$NONE", "$NONE"),
            ("${A", "${A"),
            ("$$A", "$a"),
            ("$", "$"),
            ("$ä", "$ä"),
            ("100$", "100$"),
            ("~", "/home/airflow"),
            ("~/dags", "/home/airflow/dags"),
            ("~root/x", "/root/x"),
            ("~nobody", "/"),
            ("~unknown/x", "~unknown/x"),
            ("a~", "a~"),
            ("$SELF", "$SELF"),
        ] {
            assert_eq!(expand(value, &World).as_deref(), Ok(expanded), "{value}");
        }
    }

    #[test]
    fn a_value_that_grows_for_ever_is_named_instead_of_waited_for() {
        assert_eq!(expand("$LOOP", &World), Err(Endless));
    }
}
