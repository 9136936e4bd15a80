//! A database's URL, read as SQLAlchemy reads it, so that what is waited for is what Airflow connects
//! to.

use super::{Host, Target, Tls, TlsMode};
use crate::secret::Secret;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;

/// PostgreSQL's port.
const PORT: u16 = 5432;

impl Target {
    /// From `postgresql://`, `postgres://` or `postgresql+DRIVER://`, with the query options of
    /// psycopg2 and asyncpg. As in SQLAlchemy, user and password are percent-decoded and the database's
    /// name is not.
    ///
    /// # Errors
    /// One line that says what is wrong, and holds nothing of the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .trim()
            .split_once("://")
            .ok_or("it has no scheme: a database's URL is postgresql://USER:PASSWORD@HOST/NAME")?;
        let dialect = scheme.split('+').next().unwrap_or_default();
        if !matches!(dialect, "postgresql" | "postgres") {
            return Err(format!(
                "its scheme is {scheme}, and only postgresql is supported"
            ));
        }
        let (user, password, rest) = credentials(rest);
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = before.split_once('/').unwrap_or((before, ""));
        if authority.contains('@') || name.contains('@') {
            // What follows the first @ was taken for the host, and would be shown as one.
            return Err(
                "user or password hold an @ that is not escaped: write it as %40".to_owned(),
            );
        }
        let mut target = Self {
            hosts: hosts(authority, PORT)?,
            name: name.to_owned(),
            user: decoded(user)?,
            password: password.map(decoded).transpose()?.map(Secret::new),
            tls: Tls::default(),
            options: None,
        };
        let mut named: Vec<Host> = Vec::new();
        let mut ports: Option<String> = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(&value.replace('+', " "))?;
            match key {
                "host" => named.extend(hosts(&value, PORT)?),
                "port" => ports = Some(value),
                "user" => target.user = value,
                "password" => target.password = Some(Secret::new(value)),
                "dbname" | "database" => target.name = value,
                "options" => target.options = Some(value),
                "dsn" => target.tls = tls_of_dsn(&value)?.unwrap_or(target.tls),
                "sslmode" | "ssl" => target.tls.mode = Some(value.parse()?),
                "sslrootcert" => target.tls.root = root(value),
                _ => {}
            }
        }
        if !named.is_empty() {
            target.hosts = named;
        }
        if let Some(ports) = ports {
            set_ports(&mut target.hosts, &ports)?;
        }
        if target.user.is_empty() {
            return Err("it names no user".to_owned());
        }
        if target.name.is_empty() {
            // PostgreSQL's own rule.
            target.name.clone_from(&target.user);
        }
        Ok(target)
    }
}

/// User, password, and what follows them. SQLAlchemy's expression lets a password hold all but an @,
/// and takes the first @ after a colon for its end.
fn credentials(rest: &str) -> (&str, Option<&str>, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    if rest[end..].starts_with(':')
        && let Some(at) = rest[end..].find('@')
    {
        let at = end + at;
        return (&rest[..end], Some(&rest[end + 1..at]), &rest[at + 1..]);
    }
    match rest[..end].rfind('@') {
        Some(at) => (&rest[..at], None, &rest[at + 1..]),
        None => ("", None, rest),
    }
}

/// `HOST`, `HOST:PORT`, `[::1]:PORT`, a socket's directory, or several of them with commas.
fn hosts(text: &str, default: u16) -> Result<Vec<Host>, String> {
    let mut hosts = Vec::new();
    for part in text.split(',') {
        let (name, port) = match part.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, port)) => (name, port.strip_prefix(':')),
            None if part.starts_with('/') => (part, None),
            None => match part.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (part, None),
            },
        };
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) => port_number(port)?,
            None => default,
        };
        let name = if name.is_empty() { "localhost" } else { name };
        hosts.push(Host {
            name: name.to_owned(),
            port,
        });
    }
    Ok(hosts)
}

fn set_ports(hosts: &mut [Host], ports: &str) -> Result<(), String> {
    let ports: Result<Vec<u16>, String> = ports.split(',').map(port_number).collect();
    let ports = ports?;
    for (host, port) in hosts.iter_mut().zip(ports.iter().cycle()) {
        host.port = *port;
    }
    Ok(())
}

fn port_number(text: &str) -> Result<u16, String> {
    // The text is not shown: with an unescaped : or / it may be a piece of the password.
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        "its port is no number from 1 to 65535; a : or / in a password is written %3A or %2F"
            .to_owned()
    })
}

/// asyncpg's `dsn`, the one way to give it a file of certificates without a variable for everybody.
fn tls_of_dsn(dsn: &str) -> Result<Option<Tls>, String> {
    let Some((_, query)) = dsn.split_once('?') else {
        return Ok(None);
    };
    let mut tls = Tls::default();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" | "ssl" => tls.mode = Some(decoded(value)?.parse()?),
            "sslrootcert" => tls.root = root(decoded(value)?),
            _ => {}
        }
    }
    Ok(Some(tls))
}

/// `system` is libpq's word for the authorities that a system trusts.
fn root(text: String) -> Option<PathBuf> {
    Some(text)
        .filter(|text| !text.is_empty() && text != "system")
        .map(PathBuf::from)
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    Ok(text
        .map_err(|_| "its escapes (%XX) are not UTF-8")?
        .into_owned())
}

impl std::str::FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disable" | "false" | "False" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" | "true" | "True" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(format!(
                "sslmode {text} is none of disable, allow, prefer, require, verify-ca, verify-full"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn urls_are_read_as_sqlalchemy_reads_them() {
        for (url, host, name, user, password) in [
            ("postgresql://u:p@h/d", "h:5432", "d", "u", Some("p")),
            (
                "postgresql+psycopg2://u:p@h:1/d",
                "h:1",
                "d",
                "u",
                Some("p"),
            ),
            ("postgres://u@h", "h:5432", "u", "u", None),
            (
                "postgresql+asyncpg://u%40x:%24%2F%25@h/d",
                "h:5432",
                "d",
                "u@x",
                Some("$/%"),
            ),
            (
                "postgresql://u:a/b?c#d:e@h/d",
                "h:5432",
                "d",
                "u",
                Some("a/b?c#d:e"),
            ),
            ("postgresql://u:p@[::1]:99/d", "::1:99", "d", "u", Some("p")),
            (
                "postgresql://u:p@/d?host=/run/pg",
                "/run/pg:5432",
                "d",
                "u",
                Some("p"),
            ),
            (
                "postgresql://u:p@/d?host=a:1&host=b:2",
                "a:1 b:2",
                "d",
                "u",
                Some("p"),
            ),
            (
                "postgresql://u:p@a,b:7/d",
                "a:5432 b:7",
                "d",
                "u",
                Some("p"),
            ),
            (
                "postgresql://u:p@h/a%20b",
                "h:5432",
                "a%20b",
                "u",
                Some("p"),
            ),
            (
                "postgresql://u:p@h/?dbname=a%20b",
                "h:5432",
                "a b",
                "u",
                Some("p"),
            ),
            ("postgresql://u:@h/d", "h:5432", "d", "u", Some("")),
        ] {
            let target = parse(url);
            let hosts: Vec<String> = target.hosts.iter().map(Host::to_string).collect();
            let shown = target.password.as_ref().map(Secret::reveal);
            assert_eq!(
                (
                    hosts.join(" ").as_str(),
                    target.name.as_str(),
                    target.user.as_str(),
                    shown
                ),
                (host, name, user, password),
                "{url}"
            );
        }
    }

    #[test]
    fn tls_is_read_from_either_drivers_options() {
        let tls = |query: &str| parse(&format!("postgresql://u:p@h/d?{query}")).tls;
        let file = Some(PathBuf::from("/ca.pem"));
        let of = |mode, root: &Option<PathBuf>| Tls {
            mode,
            root: root.clone(),
        };
        assert_eq!(tls(""), of(None, &None));
        assert_eq!(tls("sslmode=allow"), of(Some(TlsMode::Prefer), &None));
        assert_eq!(tls("ssl=require"), of(Some(TlsMode::Require), &None));
        assert_eq!(
            tls("sslmode=verify-ca&sslrootcert=%2Fca.pem"),
            of(Some(TlsMode::VerifyCa), &file)
        );
        assert_eq!(
            tls("sslmode=verify-full&sslrootcert=system"),
            of(Some(TlsMode::VerifyFull), &None)
        );
        assert_eq!(
            tls("dsn=postgresql%3A%2F%2F%2F%3Fsslmode%3Dverify-full%26sslrootcert%3D%2Fca.pem"),
            of(Some(TlsMode::VerifyFull), &file)
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("mysql://u:secret@h/d", "its scheme is mysql"),
            ("u:secret@h/d", "it has no scheme"),
            ("postgresql://u:sec@ret@h/d", "write it as %40"),
            ("postgresql://u:x@sec/ret@h/d", "write it as %40"),
            ("postgresql://u:x@h:secret/d", "its port is no number"),
            ("postgresql://:secret@h/d", "it names no user"),
            ("postgresql://u:secret%FF@h/d", "not UTF-8"),
            (
                "postgresql://u:secret@h/d?sslmode=on",
                "sslmode on is none of",
            ),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("ret") || error.contains("rect"), "{error}");
        }
    }
}
