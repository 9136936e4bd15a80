//! What the service needs, checked before it starts: all that is wrong is named at once, each with the
//! variable to set.
//!
//! [`examine`] decides from values alone. [`inspect`] also tries the Fernet key on the database, and
//! [`Report::conclude`] says what follows.

pub mod fernet;
pub mod finding;
pub mod fingerprint;
mod image;
mod keys;
mod rows;
mod services;
mod subject;
mod times;
mod urls;
mod values;

pub use finding::{Finding, Level};
pub use subject::Subject;

use crate::airflow::config::Setting;
use crate::command::Service;
use crate::failure::Failure;
use agent::exit::Exit;
use fernet::Keys;
use std::path::Path;
use tokio_postgres::Client;
use tracing::{info, warn};

/// What was found, worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    service: Service,
    /// Everything that is wrong or may be.
    pub findings: Vec<Finding>,
    /// That of the shared secrets; none without a Fernet key.
    pub fingerprint: Option<Fingerprint>,
}

/// Shows which containers have other secrets than the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Eight hexadecimal digits.
    pub digits: String,
    /// The settings that it is made of: two containers with the same list must have the same digits.
    pub of: String,
}

/// Checks in full, logs what is found, and ends the run where the service cannot work.
///
/// `package` is the directory of the package `airflow`, where that is known.
///
/// # Errors
/// 65 with every error in one line, or 64 where only SimpleAuthManager is refused.
pub async fn check(
    subject: &Subject<'_>,
    package: Option<&Path>,
    client: Option<&Client>,
) -> Result<(), Failure> {
    let report = inspect(subject, package, client).await;
    report.log();
    report.conclude()
}

/// Everything that can be found, without a word in the log.
pub async fn inspect(
    subject: &Subject<'_>,
    package: Option<&Path>,
    client: Option<&Client>,
) -> Report {
    let passwd = std::fs::read_to_string("/etc/passwd").ok();
    let mut findings = examine(subject, passwd.as_deref());
    findings.extend(package.and_then(|package| image::check(package, subject.variables)));
    if let Some(client) = client {
        findings.extend(encrypted_rows(subject, client).await);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Report {
        service: subject.service,
        findings,
        fingerprint: fingerprint_of(subject),
    }
}

/// All that values alone can tell. `passwd` is the text of `/etc/passwd`, where `~user` is looked for.
pub fn examine(subject: &Subject<'_>, passwd: Option<&str>) -> Vec<Finding> {
    [
        services::check(subject),
        keys::check(subject),
        values::check(subject, passwd),
        urls::check(subject),
        times::check(subject),
    ]
    .concat()
}

impl Report {
    /// Warnings, one a line, and the fingerprint.
    pub fn log(&self) {
        let findings = self.findings.iter();
        for finding in findings.filter(|finding| finding.level == Level::Warning) {
            warn!(
                variable = finding.variable,
                reason = finding.why,
                event = "preflight",
                "a setting may not be meant so"
            );
        }
        if let Some(Fingerprint { digits, of }) = &self.fingerprint {
            info!(
                fingerprint = digits,
                of,
                event = "fingerprint",
                "shared secrets, equal in every container with the same list"
            );
        }
    }

    /// Whether the service may start.
    ///
    /// # Errors
    /// As [`check`].
    pub fn conclude(&self) -> Result<(), Failure> {
        let findings = self.findings.iter();
        let stops: Vec<&Finding> = findings
            .filter(|finding| finding.level > Level::Warning)
            .collect();
        let exit = match stops.iter().map(|finding| finding.level).max() {
            None => return Ok(()),
            Some(Level::Error) => Exit::Source,
            Some(Level::Refused | Level::Warning) => Exit::Usage,
        };
        let each: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let why = format!("{} can't work: {}", self.service, each.join("; "));
        Err(Failure::new(exit, why))
    }
}

async fn encrypted_rows(subject: &Subject<'_>, client: &Client) -> Option<Finding> {
    let keys = match subject.config.setting("core", "fernet_key") {
        // Known to Airflow alone.
        Setting::Elsewhere => return None,
        // A key that is none has been named already.
        Setting::Value(value) => Some(Keys::parse(&value).ok()?),
        Setting::Unset if keys::needs_fernet(subject) => None,
        Setting::Unset => return None,
    };
    let schema = subject.config.text("database", "sql_alchemy_schema");
    match rows::fetch(client, schema.as_deref()).await {
        Ok(rows) => rows::judge(subject, keys.as_ref(), &rows),
        Err(why) => {
            let why = format!("can't be tried on what the database holds: {why}");
            Some(subject.finding(Level::Warning, "core", "fernet_key", &why))
        }
    }
}

fn fingerprint_of(subject: &Subject<'_>) -> Option<Fingerprint> {
    let fernet = subject.config.text("core", "fernet_key")?;
    let keys = Keys::parse(&fernet).ok()?;
    let known = |(section, key)| Some((key, subject.config.text(section, key)?));
    let secrets: Vec<(&str, String)> = keys::shared(subject)
        .into_iter()
        .filter_map(known)
        .collect();
    let pairs: Vec<(&str, &str)> = secrets
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let names = pairs.iter().map(|(name, _)| *name);
    let of: Vec<&str> = std::iter::once("fernet_key").chain(names).collect();
    Some(Fingerprint {
        digits: fingerprint::of(&keys, &pairs)?,
        of: of.join(","),
    })
}

#[cfg(test)]
mod tests;
