//! A broker's URL, read as kombu reads it.

use super::{Target, Tls};
use crate::secret::Secret;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;

const PORT: u16 = 6379;

/// Why a URL is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// A broker that is no single Redis server, by its scheme: `amqp`, `sqs`, `sentinel`.
    Unsupported(String),
    /// What is wrong, in one line that holds nothing of the password.
    Malformed(String),
}

impl std::fmt::Display for UrlError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported(scheme) => {
                write!(
                    formatter,
                    "its scheme is {scheme}; only redis and rediss are supported"
                )
            }
            Self::Malformed(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for UrlError {}

impl Target {
    /// From `redis://` or `rediss://USER:PASSWORD@HOST:PORT/DATABASE`, with kombu's `ssl_cert_reqs`
    /// and `ssl_ca_certs`. Of several with semicolons the first counts.
    ///
    /// # Errors
    /// Says what is wrong, without the password.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let malformed = |why: &str| UrlError::Malformed(why.to_owned());
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            malformed("it has no scheme: a broker's URL is redis://USER:PASSWORD@HOST:PORT/0")
        })?;
        let encrypted = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(UrlError::Unsupported(scheme.to_owned())),
        };
        // Celery's list of brokers, of which it starts with the first.
        let rest = match rest.split_once(";redis") {
            Some((first, _)) => first,
            None => rest,
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (login, place),
            None => ("", authority),
        };
        if path.contains('@') || query.contains('@') {
            return Err(malformed(
                "a / or ? in a password is written as %2F or %3F, and an @ as %40",
            ));
        }
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = host_and_port(place)?;
        let mut target = Self {
            host,
            port,
            database: database(path)?,
            user: some(decoded(user)?),
            password: some(decoded(password)?).map(Secret::new),
            tls: encrypted.then(Tls::default),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match (key, &mut target.tls) {
                ("ssl_cert_reqs", Some(tls)) => tls.checked = checked(&value)?,
                ("ssl_ca_certs", Some(tls)) => tls.root = some(value).map(PathBuf::from),
                ("ssl_check_hostname", Some(tls)) => {
                    tls.named = !matches!(value.as_str(), "false" | "False" | "0" | "no");
                }
                ("virtual_host", _) => target.database = database(&value)?,
                _ => {}
            }
        }
        Ok(target)
    }
}

fn checked(word: &str) -> Result<bool, UrlError> {
    match word
        .trim_start_matches("CERT_")
        .to_ascii_lowercase()
        .as_str()
    {
        "none" => Ok(false),
        // Python's own: to a client `optional` is `required`.
        "required" | "optional" => Ok(true),
        _ => Err(UrlError::Malformed(format!(
            "ssl_cert_reqs={word} is none of required, optional, none"
        ))),
    }
}

fn database(path: &str) -> Result<u16, UrlError> {
    let text = path.trim_matches('/');
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        // Not shown: with an unescaped / it may be a piece of the password.
        UrlError::Malformed("what follows the host is no number of a database".to_owned())
    })
}

fn host_and_port(place: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => Some(PORT),
    };
    let port = port.ok_or_else(|| {
        UrlError::Malformed(
            "its port is no number from 1 to 65535; a : or / in a password is written %3A or %2F"
                .to_owned(),
        )
    })?;
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decoded(text: &str) -> Result<String, UrlError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(UrlError::Malformed(
            "its escapes (%XX) are not UTF-8".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_kombu_reads_them() {
        for (url, place, user, password) in [
            ("redis://h", "h:6379/0", None, None),
            ("redis://h:1/3", "h:1/3", None, None),
            ("redis://:p%40%24@h/1", "h:6379/1", None, Some("p@$")),
            ("redis://u:p@[::1]:2/", "::1:2/0", Some("u"), Some("p")),
            ("rediss://u:p:q@h", "h:6379/0", Some("u"), Some("p:q")),
            ("redis://a:1/2;redis://b:3/4", "a:1/2", None, None),
            (
                "redis://u:p@h?virtual_host=5",
                "h:6379/5",
                Some("u"),
                Some("p"),
            ),
        ] {
            let target = Target::parse(url).unwrap();
            let shown = format!("{}:{}/{}", target.host, target.port, target.database);
            let secret = target.password.as_ref().map(Secret::reveal);
            assert_eq!(
                (shown.as_str(), target.user.as_deref(), secret),
                (place, user, password),
                "{url}"
            );
            assert_eq!(target.tls.is_some(), url.starts_with("rediss"));
        }
    }

    #[test]
    fn the_certificate_is_checked_unless_it_is_said_not_to_be() {
        let tls = |query: &str| Target::parse(&format!("rediss://h?{query}")).map(|it| it.tls);
        let of = |checked, root: Option<&str>| {
            Ok(Some(Tls {
                checked,
                named: true,
                root: root.map(PathBuf::from),
            }))
        };
        assert_eq!(tls(""), of(true, None));
        assert_eq!(tls("ssl_cert_reqs=CERT_NONE"), of(false, None));
        assert_eq!(tls("ssl_cert_reqs=none"), of(false, None));
        assert_eq!(
            tls("ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem"),
            of(true, Some("/ca.pem"))
        );
        assert!(tls("ssl_cert_reqs=never").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("amqp://u:secret@h", "its scheme is amqp"),
            ("sentinel://:secret@h", "its scheme is sentinel"),
            ("h:6379", "it has no scheme"),
            ("redis://:x/secret@h", "is written as %2F"),
            ("redis://:x@h/secret", "no number of a database"),
            ("redis://h:secret", "its port is no number"),
            ("redis://:secret%FF@h", "not UTF-8"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(
                error.contains(why) && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }
}
