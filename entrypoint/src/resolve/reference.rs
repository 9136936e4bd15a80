//! A variable's value that names a parameter or a secret instead of being one.

use std::fmt;

/// Under which SSM shows the secrets of Secrets Manager. Only `GetParameter` and `GetParameters` take
/// such a name, and only with decryption.
const SECRETS: &str = "/aws/reference/secretsmanager/";

const PARAMETER: &str = "a reference to a parameter is ssm:///path/name or ssm://name, with letters, \
     digits and . - _, and may end in :version";
const SECRET: &str = "a reference to a secret is secretsmanager://name or secretsmanager://name#key, \
     with the secret's name and not its ARN";

/// Where a reference points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// The Parameter Store of SSM.
    Parameter,
    /// Secrets Manager, through SSM.
    Secret,
}

/// `ssm:///path[:version]`, `ssm://name[:version]` or `secretsmanager://name[:version][#key]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Where it points to.
    pub store: Store,
    /// The parameter's or the secret's name, with the slash that a path begins with.
    pub name: String,
    /// A version's number or label.
    pub version: Option<String>,
    /// One key of a secret that is a JSON object.
    pub key: Option<String>,
}

impl Reference {
    /// Reads a value; none where it is no reference.
    ///
    /// # Errors
    /// Says what a reference is, without the value.
    pub fn parse(value: &str) -> Option<Result<Self, String>> {
        if let Some(rest) = value.strip_prefix("ssm://") {
            return Some(parameter(rest));
        }
        value.strip_prefix("secretsmanager://").map(secret)
    }

    /// A parameter by its name.
    pub fn to_parameter(name: &str) -> Self {
        Self {
            store: Store::Parameter,
            name: name.to_owned(),
            version: None,
            key: None,
        }
    }

    /// What SSM is asked for. References to several keys of one secret have the same.
    pub fn request(&self) -> Request {
        Request {
            store: self.store,
            name: self.name.clone(),
            version: self.version.clone(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.request())?;
        match &self.key {
            Some(key) => write!(formatter, "#{key}"),
            None => Ok(()),
        }
    }
}

/// One name to ask SSM for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Where it lies.
    pub store: Store,
    /// Its name there.
    pub name: String,
    /// A version's number or label.
    pub version: Option<String>,
}

impl Request {
    /// The name as `GetParameters` takes it.
    pub fn wire(&self) -> String {
        let prefix = match self.store {
            Store::Parameter => "",
            Store::Secret => SECRETS,
        };
        match &self.version {
            Some(version) => format!("{prefix}{}:{version}", self.name),
            None => format!("{prefix}{}", self.name),
        }
    }

    /// Whether an answer with this name and ARN is for this request. AWS answers a secret's with the
    /// whole path, moto with the secret's bare name.
    pub fn is_answered_by(&self, name: &str, arn: &str) -> bool {
        let bare = match self.store {
            Store::Parameter => name,
            Store::Secret => name.strip_prefix(SECRETS).unwrap_or(name),
        };
        let bare = bare.strip_suffix(&self.suffix()).unwrap_or(bare);
        bare == self.name || (self.name.starts_with("arn:") && arn == self.name)
    }

    fn suffix(&self) -> String {
        match &self.version {
            Some(version) => format!(":{version}"),
            None => String::new(),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.store {
            Store::Parameter => "ssm",
            Store::Secret => "secretsmanager",
        };
        write!(formatter, "{scheme}://{}{}", self.name, self.suffix())
    }
}

/// Splits into lists that one call can ask for: at most `size` names, and no bare name twice, because
/// two versions of one parameter, or a secret and a parameter of the same name in moto, could not be
/// told apart in the answer.
pub fn batches(requests: impl IntoIterator<Item = Request>, size: usize) -> Vec<Vec<Request>> {
    let mut batches: Vec<Vec<Request>> = Vec::new();
    for request in requests {
        let has_room = |batch: &&mut Vec<Request>| {
            batch.len() < size && batch.iter().all(|other| other.name != request.name)
        };
        match batches.iter_mut().find(has_room) {
            Some(batch) => batch.push(request),
            None => batches.push(vec![request]),
        }
    }
    batches
}

fn parameter(text: &str) -> Result<Reference, String> {
    if let Some(rest) = text.strip_prefix("arn:") {
        return shared_parameter(rest);
    }
    let (name, version) = split_version(text);
    let is_path = name.starts_with('/');
    let levels_are_named = !name.contains("//") && !name.ends_with('/');
    if name.contains('/') && !is_path {
        return Err(format!("{PARAMETER}; a path has three slashes, ssm:///a/b"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) || !levels_are_named || !is_version(version) {
        return Err(PARAMETER.to_owned());
    }
    Ok(Reference {
        version: version.map(str::to_owned),
        ..Reference::to_parameter(name)
    })
}

/// A parameter that another account shares is named by its ARN:
/// `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME[:version]`.
fn shared_parameter(rest: &str) -> Result<Reference, String> {
    let parts: Vec<&str> = rest.splitn(6, ':').collect();
    let [partition, "ssm", region, account, resource, version @ ..] = &parts[..] else {
        return Err(PARAMETER.to_owned());
    };
    let version = version.first().copied();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let is_parameter = resource
        .strip_prefix("parameter/")
        .is_some_and(|name| !name.is_empty());
    if !is_parameter || !resource.bytes().all(allowed) || !is_version(version) {
        return Err(PARAMETER.to_owned());
    }
    let name = format!("arn:{partition}:ssm:{region}:{account}:{resource}");
    Ok(Reference {
        version: version.map(str::to_owned),
        ..Reference::to_parameter(&name)
    })
}

fn secret(text: &str) -> Result<Reference, String> {
    let (path, key) = match text.split_once('#') {
        Some((path, key)) => (path, Some(key)),
        None => (text, None),
    };
    let (name, version) = split_version(path);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) || !is_version(version) || key == Some("") {
        return Err(SECRET.to_owned());
    }
    Ok(Reference {
        store: Store::Secret,
        name: name.to_owned(),
        version: version.map(str::to_owned),
        key: key.map(str::to_owned),
    })
}

fn split_version(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    }
}

fn is_version(version: Option<&str>) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    version.is_none_or(|version| !version.is_empty() && version.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reference_says_what_ssm_is_asked_for() {
        for (text, wire, key) in [
            ("ssm:///a/b", "/a/b", None),
            ("ssm:///a/b:3", "/a/b:3", None),
            ("ssm:///a/b:prod", "/a/b:prod", None),
            ("ssm://name", "name", None),
            ("ssm://na.me-x_1:2", "na.me-x_1:2", None),
            (
                "ssm://arn:aws:ssm:eu-west-1:123456789012:parameter/a/b:2",
                "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b:2",
                None,
            ),
            (
                "secretsmanager://db",
                "/aws/reference/secretsmanager/db",
                None,
            ),
            (
                "secretsmanager://rds!db-1#password",
                "/aws/reference/secretsmanager/rds!db-1",
                Some("password"),
            ),
            (
                "secretsmanager://a/b+c=d@e#pass word#2",
                "/aws/reference/secretsmanager/a/b+c=d@e",
                Some("pass word#2"),
            ),
            (
                "secretsmanager://db:AWSPREVIOUS#password",
                "/aws/reference/secretsmanager/db:AWSPREVIOUS",
                Some("password"),
            ),
        ] {
            let reference = Reference::parse(text).unwrap().unwrap();
            assert_eq!(reference.request().wire(), wire, "{text}");
            assert_eq!(reference.key.as_deref(), key, "{text}");
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_only_looks_like_a_reference_is_refused_without_its_text() {
        for text in [
            "ssm://",
            "ssm:///",
            "ssm:///a/",
            "ssm:////a",
            "ssm://a/b",
            "ssm:///a b",
            "ssm:///a:",
            "ssm:///a:1:2",
            "ssm:///é",
            "ssm://arn:aws:s3:::bucket",
            "ssm://arn:aws:ssm:r:1:parameter/",
            "secretsmanager://",
            "secretsmanager://#key",
            "secretsmanager://a#",
            "secretsmanager://a b",
            "secretsmanager://arn:aws:secretsmanager:r:1:secret:x-AbCdEf",
        ] {
            let why = Reference::parse(text).unwrap().unwrap_err();
            assert!(why.contains("a reference to a"), "{text}: {why}");
        }
        for text in [
            "",
            "x",
            "SSM:///a",
            " ssm:///a",
            "ssm:/a",
            "https://ssm:///a",
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_is_known_by_bare_name_full_path_version_and_arn() {
        let request = |text: &str| Reference::parse(text).unwrap().unwrap().request();
        let secret = request("secretsmanager://db/x");
        assert!(secret.is_answered_by("db/x", ""));
        assert!(secret.is_answered_by("/aws/reference/secretsmanager/db/x", ""));
        assert!(!secret.is_answered_by("x", ""));
        let version = request("ssm:///a:2");
        assert!(version.is_answered_by("/a", "") && version.is_answered_by("/a:2", ""));
        assert!(!version.is_answered_by("/a:3", ""));
        let shared = request("ssm://arn:aws:ssm:r:1:parameter/a");
        assert!(shared.is_answered_by("/a", "arn:aws:ssm:r:1:parameter/a"));
        assert!(!request("ssm:///a").is_answered_by("/b", "/a"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_writes_itself(text in "(ssm://|secretsmanager://)[ -~é]{0,20}") {
            if let Some(Ok(reference)) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }

        #[test]
        fn batches_hold_each_request_once_and_no_bare_name_twice(
            names in prop::collection::btree_set(("[a-c]{1,3}", prop::option::of("[1-3]"), any::<bool>()), 0..60),
            size in 1_usize..12,
        ) {
            let requests: Vec<Request> = names.into_iter().map(|(name, version, secret)| Request {
                store: if secret { Store::Secret } else { Store::Parameter }, name, version,
            }).collect();
            let batches = batches(requests.clone(), size);
            let mut all: Vec<Request> = batches.concat();
            all.sort();
            let mut expected = requests;
            expected.sort();
            prop_assert_eq!(all, expected);
            for batch in &batches {
                let mut bare: Vec<&str> = batch.iter().map(|request| request.name.as_str()).collect();
                bare.sort_unstable();
                bare.dedup();
                prop_assert!(bare.len() == batch.len() && (1..=size).contains(&batch.len()));
            }
        }

        #[test]
        fn distinct_names_need_no_more_batches_than_their_number_asks_for(count in 0_usize..60) {
            let requests = (0..count).map(|n| Reference::to_parameter(&format!("/p/{n}")).request());
            prop_assert_eq!(batches(requests, 10).len(), count.div_ceil(10));
        }
    }
}
