//! URLs that a driver or Celery refuses, or that lead to this container itself.

use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::airflow::config::variable;
use crate::command::Service;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    [
        execution_api(subject),
        broker(subject),
        result_backend(subject),
        asynchronous(subject),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Who runs tasks asks the API server for everything; by default at `http://localhost:8080`.
fn execution_api(subject: &Subject<'_>) -> Option<Finding> {
    let runs_tasks = match subject.service {
        Service::CeleryWorker => true,
        Service::Scheduler => !subject.uses_celery(),
        _ => false,
    };
    if !subject.at_least(3, 0, 0) || !runs_tasks {
        return None;
    }
    let (section, key) = ("core", "execution_api_server_url");
    let set = |section, key| !subject.config.setting(section, key).is_unset();
    let (from, url) = if set(section, key) {
        (variable(section, key), subject.config.text(section, key)?)
    } else if set("api", "base_url") {
        let base = subject.config.text("api", "base_url")?;
        let url = if base.starts_with('/') {
            "http://localhost:8080".to_owned()
        } else {
            base
        };
        (variable("api", "base_url"), url)
    } else {
        ("its default".to_owned(), "http://localhost:8080".to_owned())
    };
    if !is_this_container(host(&url)?) {
        return None;
    }
    let why = format!(
        "is this container itself by {from}: tasks reach no API server unless one runs in the same task, so set http://HOST:PORT/execution/"
    );
    Some(subject.finding(Level::Warning, section, key, &why))
}

/// Kombu takes `rediss://` without `ssl_cert_reqs`, and ends with a KeyError for a word that it does
/// not know (tried on Celery 5.5).
fn broker(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("celery", "broker_url");
    let url = celery_url(subject, section, key)?;
    let (level, why) = match checks(&url) {
        Checks::Unknown => (
            Level::Error,
            "has an ssl_cert_reqs that Celery does not know: use CERT_REQUIRED, CERT_OPTIONAL or CERT_NONE",
        ),
        Checks::No => (
            Level::Warning,
            "has ssl_cert_reqs=CERT_NONE: anybody can pass for the broker, so use CERT_REQUIRED",
        ),
        Checks::Unsaid | Checks::Yes => return None,
    };
    Some(subject.finding(level, section, key, why))
}

/// Celery refuses a `rediss://` backend without `ssl_cert_reqs` (tried on Celery 5.5).
fn result_backend(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("celery", "result_backend");
    let url = celery_url(subject, section, key)?;
    let (level, why) = match checks(&url) {
        Checks::Unknown | Checks::Unsaid => (
            Level::Error,
            "needs ssl_cert_reqs in a rediss:// URL, or Celery refuses it: add ?ssl_cert_reqs=CERT_REQUIRED",
        ),
        Checks::No => (
            Level::Warning,
            "has ssl_cert_reqs=CERT_NONE: anybody can pass for the server, so use CERT_REQUIRED",
        ),
        Checks::Yes => return None,
    };
    Some(subject.finding(level, section, key, why))
}

fn celery_url(subject: &Subject<'_>, section: &str, key: &str) -> Option<String> {
    let url = subject.config.text(section, key)?;
    (subject.speaks_to_celery() && url.starts_with("rediss://")).then_some(url)
}

/// What a URL says about the server's certificate.
enum Checks {
    Yes,
    No,
    Unsaid,
    Unknown,
}

fn checks(url: &str) -> Checks {
    match parameter(url, "ssl_cert_reqs") {
        None => Checks::Unsaid,
        Some("CERT_REQUIRED" | "required" | "CERT_OPTIONAL" | "optional") => Checks::Yes,
        Some("CERT_NONE" | "none") => Checks::No,
        Some(_) => Checks::Unknown,
    }
}

/// What libpq takes in a URL and asyncpg does not.
const LIBPQS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "channel_binding",
    "gssencmode",
    "application_name",
    "connect_timeout",
    "options",
    "keepalives",
    "keepalives_idle",
];

/// 3.x makes the URL for asyncpg from the other one by its scheme alone, parameters included: its
/// async sessions then end with "unexpected keyword argument 'sslmode'".
fn asynchronous(subject: &Subject<'_>) -> Option<Finding> {
    if !subject.at_least(3, 0, 0) || subject.is_celery() {
        return None;
    }
    let (section, key) = ("database", "sql_alchemy_conn_async");
    // 3.0 has no such setting.
    let has_own = subject.at_least(3, 1, 0) && !subject.config.setting(section, key).is_unset();
    let key_used = if has_own { key } else { "sql_alchemy_conn" };
    let url = subject.config.text(section, key_used)?;
    let (scheme, _) = url.split_once("://")?;
    let is_for_asyncpg = match has_own {
        true => scheme == "postgresql+asyncpg",
        false => scheme.split('+').next() == Some("postgresql"),
    };
    let refused = LIBPQS.iter().find(|name| parameter(&url, name).is_some())?;
    if !is_for_asyncpg {
        return None;
    }
    let cure = if subject.at_least(3, 1, 0) {
        "set one for asyncpg, with ssl= instead of sslmode= and PGSSLROOTCERT for the file, or ENTRYPOINT_DB_*, which builds both"
    } else {
        let why = format!(
            "has {refused}, which asyncpg does not know, so async sessions fail: leave it out, both drivers prefer TLS by themselves"
        );
        return Some(subject.finding(Level::Warning, section, key_used, &why));
    };
    let why = format!(
        "{} {refused}, which asyncpg does not know, so async sessions fail: {cure}",
        if has_own {
            "has"
        } else {
            "is not set and would be made from a URL with"
        }
    );
    Some(subject.finding(Level::Warning, section, key, &why))
}

/// A parameter of a URL's query, as it is written.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A URL's host, without brackets.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => host.split(':').next(),
    }
}

fn is_this_container(host: &str) -> bool {
    let loopback = |address: std::net::IpAddr| address.is_loopback() || address.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(loopback)
}
