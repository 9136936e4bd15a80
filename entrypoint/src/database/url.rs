//! The database's URLs: built from parts for each driver, or read where Airflow has one already.
//!
//! Nothing is given to the drivers by `PG…` variables, which every connection of every DAG would
//! inherit.

use super::roots;
use crate::airflow::config::{Config, Setting};
use crate::airflow::version::Version;
use crate::failure::Failure;
use crate::variables::{Source, Variables};
use agent::exit::Exit;
use agent::postgres::{Host, Target, Tls, TlsMode};
use agent::secret::Secret;
use std::path::{Path, PathBuf};

const SYNC: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";
const ASYNC: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC";
const RESULTS: &str = "AIRFLOW__CELERY__RESULT_BACKEND";
/// What the URLs can be built from.
pub(crate) const PARTS: [&str; 7] = [
    "ENTRYPOINT_DB_HOST",
    "ENTRYPOINT_DB_PORT",
    "ENTRYPOINT_DB_NAME",
    "ENTRYPOINT_DB_USER",
    "ENTRYPOINT_DB_PASSWORD",
    "ENTRYPOINT_DB_SSLMODE",
    "ENTRYPOINT_DB_SSLROOTCERT",
];
/// Said in the dry run for what is set here.
const BUILT: Source = Source::Built("ENTRYPOINT_DB_*");

/// The driver that a URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Psycopg2,
    Asyncpg,
}

/// Where Airflow's database is; none where there are neither parts nor a URL of PostgreSQL's.
///
/// | set | done |
/// |---|---|
/// | parts alone | all URLs are built: sync, async, and the result backend of a Celery executor |
/// | a URL alone | it stays as it is; an async one is added where its TLS would not survive Airflow's own |
/// | both | the parts take the place of the URL's own, unless they come from further away than it |
///
/// # Errors
/// 65 for a URL or a part that cannot be used, and for parts that are missing.
pub fn urls(
    variables: &mut Variables,
    airflow: Option<&Version>,
) -> Result<Option<Target>, Failure> {
    let config = Config::read(variables);
    let present = config.setting("database", "sql_alchemy_conn");
    let parts: Vec<(&str, String)> = PARTS
        .iter()
        .filter(|name| counts(variables, name))
        .filter_map(|name| Some((*name, variables.text(name)?.to_owned())))
        .collect();
    let url = match &present {
        Setting::Value(url) => url.clone(),
        Setting::Elsewhere => return Ok(None),
        Setting::Unset if parts.is_empty() => return Ok(None),
        Setting::Unset => String::new(),
    };
    let is_postgres = url.starts_with("postgres");
    if parts.is_empty() {
        if !is_postgres {
            return Ok(None);
        }
        let mut target = parsed(&url)?;
        inherit(&mut target, variables);
        if settle_roots(&mut target, variables)? {
            let mark = if url.contains('?') { '&' } else { '?' };
            let root = target.tls.root.as_deref().unwrap_or(Path::new(""));
            let url = format!(
                "{url}{mark}sslrootcert={}",
                encoded(&root.to_string_lossy())
            );
            variables.set(SYNC, url, Source::Built(SYNC));
        }
        let present = config.setting("database", "sql_alchemy_conn_async");
        let breaks = url.contains("sslmode=");
        if breaks && has_async(airflow) && is_ours(variables, ASYNC, present) {
            let url = url_for(&target, Driver::Asyncpg);
            variables.set(ASYNC, url, Source::Built(SYNC));
        }
        return Ok(Some(target));
    }
    let mut target = match is_postgres {
        true => parsed(&url)?,
        false => Target::new(
            Host {
                name: String::new(),
                port: 5432,
            },
            "",
            "",
        ),
    };
    for (name, value) in parts {
        replace(&mut target, name, value)?;
    }
    complete(&target)?;
    settle_roots(&mut target, variables)?;
    variables.set(SYNC, url_for(&target, Driver::Psycopg2), BUILT);
    let present = config.setting("database", "sql_alchemy_conn_async");
    if is_ours(variables, ASYNC, present) && airflow.is_none_or(|version| has_async(Some(version)))
    {
        variables.set(ASYNC, url_for(&target, Driver::Asyncpg), BUILT);
    }
    let celery = config
        .text("core", "executor")
        .is_some_and(|executor| executor.contains("Celery"));
    let present = config.setting("celery", "result_backend");
    if celery && is_ours(variables, RESULTS, present) {
        let url = format!("db+{}", url_for(&target, Driver::Psycopg2));
        variables.set(RESULTS, url, BUILT);
    }
    Ok(Some(target))
}

/// Where the database of a URL is that Airflow itself told; none where it is not PostgreSQL's. The URL
/// stays as it is for the service, which finds it out again.
///
/// # Errors
/// 65 for a URL that cannot be used.
pub fn target(url: &str, variables: &Variables) -> Result<Option<Target>, Failure> {
    if !url.starts_with("postgres") {
        return Ok(None);
    }
    let mut target = parsed(url)?;
    inherit(&mut target, variables);
    Ok(Some(target))
}

fn parsed(url: &str) -> Result<Target, Failure> {
    Target::parse(url).map_err(|why| refused(format!("{SYNC} cannot be used: {why}")))
}

/// Whether a URL is made here: nobody set it, or it was made here before and a password has changed.
fn is_ours(variables: &Variables, name: &str, present: Setting) -> bool {
    present.is_unset() || matches!(variables.source(name), Some(Source::Built(_)))
}

/// A part counts where it is set, unless the URL itself was set closer by: a literal URL is not changed
/// by what a path of parameters holds. A URL that was built here is no reason.
fn counts(variables: &Variables, part: &str) -> bool {
    let far = |source: &Source| match source {
        Source::Literal => 0,
        Source::Parameter(_) | Source::Secret(_) => 1,
        Source::Path(_) => 2,
        Source::Layout(_) => 3,
        Source::Built(_) => 4,
    };
    let url = match variables.text(SYNC) {
        Some(_) => variables.source(SYNC).map_or(4, far),
        None => 4,
    };
    // A secret part beside a literal URL is how a password is kept out of a task definition.
    variables.text(part).is_some()
        && variables
            .source(part)
            .is_some_and(|source| far(source) <= url.max(1))
}

/// From 3.1 on.
fn has_async(airflow: Option<&Version>) -> bool {
    airflow.is_some_and(|version| (version.major, version.minor) >= (3, 1))
}

fn replace(target: &mut Target, part: &str, value: String) -> Result<(), Failure> {
    let bad = |why: &str| refused(format!("{part} {why}"));
    match part {
        "ENTRYPOINT_DB_HOST" => {
            let odd = |byte: char| !byte.is_ascii_alphanumeric() && !".-_:,[]".contains(byte);
            if value.contains(odd) {
                return Err(bad("is no name or address of a host"));
            }
            let port = target.hosts.first().map_or(5432, |host| host.port);
            let name = value.trim_matches(['[', ']']).to_owned();
            target.hosts = vec![Host { name, port }];
        }
        "ENTRYPOINT_DB_PORT" => {
            let port = value.parse().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| bad("is no number from 1 to 65535"))?;
            for host in &mut target.hosts {
                host.port = port;
            }
        }
        "ENTRYPOINT_DB_NAME" => target.name = value,
        "ENTRYPOINT_DB_USER" => target.user = value,
        "ENTRYPOINT_DB_PASSWORD" => target.password = Some(Secret::new(value)),
        "ENTRYPOINT_DB_SSLMODE" => {
            let mode = value.parse();
            target.tls.mode = Some(mode.map_err(|why: String| bad(&format!("is wrong: {why}")))?);
        }
        _ => target.tls.root = Some(PathBuf::from(value)),
    }
    Ok(())
}

fn complete(target: &Target) -> Result<(), Failure> {
    let host = target.hosts.first().map_or("", |host| host.name.as_str());
    let missing: Vec<&str> = [
        ("ENTRYPOINT_DB_HOST", host),
        ("ENTRYPOINT_DB_NAME", &target.name),
        ("ENTRYPOINT_DB_USER", &target.user),
    ]
    .iter()
    .filter(|(_, value)| value.is_empty())
    .map(|(name, _)| *name)
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "{} is missing to make the database's URL: set it, or {SYNC}",
        missing.join(", ")
    );
    Err(refused(why))
}

/// libpq demands a file of roots to check a certificate, and looks for one at home. Says whether one was
/// written, which the drivers must be told of.
fn settle_roots(target: &mut Target, variables: &Variables) -> Result<bool, Failure> {
    let checks = matches!(
        target.tls.mode,
        Some(TlsMode::VerifyCa | TlsMode::VerifyFull)
    );
    if !checks || target.tls.root.is_some() {
        return Ok(false);
    }
    let home = variables.text("HOME").map(at_home);
    if let Some(file) = home.filter(|file| file.exists()) {
        target.tls.root = Some(file);
        return Ok(false);
    }
    if !target.hosts.iter().all(|host| roots::is_rds(&host.name)) {
        return Err(refused(
            "ENTRYPOINT_DB_SSLROOTCERT (or sslrootcert in the URL) is missing: to check the certificate of a server that is not Amazon RDS, name the file of its authorities",
        ));
    }
    let file = roots::write().map_err(refused)?;
    target.tls.root = Some(file);
    Ok(true)
}

fn at_home(home: &str) -> PathBuf {
    Path::new(home).join(".postgresql/root.crt")
}

/// What libpq takes from its own variables where the URL does not say: they were set for everybody.
fn inherit(target: &mut Target, variables: &Variables) {
    let given = |name: &str| variables.text(name).map(str::to_owned);
    let Tls { mode, root } = &mut target.tls;
    if mode.is_none() {
        *mode = given("PGSSLMODE").and_then(|word| word.parse().ok());
    }
    if root.is_none() {
        let home = given("HOME").map(|home| at_home(&home));
        let home = home.filter(|file| file.exists());
        let file = given("PGSSLROOTCERT").filter(|file| file != "system");
        *root = file.map(PathBuf::from).or(home);
    }
    if target.password.is_none() {
        target.password = given("PGPASSWORD").map(Secret::new);
    }
}

fn url_for(target: &Target, driver: Driver) -> String {
    let (scheme, database) = match driver {
        Driver::Psycopg2 => ("postgresql+psycopg2", "dbname"),
        Driver::Asyncpg => ("postgresql+asyncpg", "database"),
    };
    let mut url = format!("{scheme}://{}", encoded(&target.user));
    if let Some(password) = &target.password {
        url.push(':');
        url.push_str(&encoded(password.reveal()));
    }
    url.push('@');
    url.push_str(&place(target, driver));
    let mut query: Vec<String> = Vec::new();
    // SQLAlchemy decodes the names of databases in the query only.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if target.name.bytes().all(plain) {
        url.push('/');
        url.push_str(&target.name);
    } else {
        url.push('/');
        query.push(format!("{database}={}", encoded(&target.name)));
    }
    let root = target.tls.root.as_ref().map(|root| root.to_string_lossy());
    match (driver, target.tls.mode, root) {
        (_, None, None) => {}
        (Driver::Psycopg2, mode, root) => {
            query.extend(mode.map(|mode| format!("sslmode={}", mode.word())));
            query.extend(root.map(|root| format!("sslrootcert={}", encoded(&root))));
        }
        (Driver::Asyncpg, Some(mode), None) => query.push(format!("ssl={}", mode.word())),
        // asyncpg takes a file of roots from PGSSLROOTCERT, which would be everybody's, or in a DSN,
        // whose other parts the URL's own replace. With a file psycopg2's `require` is `verify-ca`.
        (Driver::Asyncpg, mode, Some(root)) => {
            let word = match mode {
                Some(TlsMode::Require) => TlsMode::VerifyCa.word(),
                mode => mode.unwrap_or(TlsMode::Prefer).word(),
            };
            let dsn = format!(
                "postgresql:///?sslmode={word}&sslrootcert={}",
                encoded(&root)
            );
            query.push(format!("dsn={}", encoded(&dsn)));
        }
    }
    if let Some(options) = target
        .options
        .as_ref()
        .filter(|_| driver == Driver::Psycopg2)
    {
        query.push(format!("options={}", encoded(options)));
    }
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query.join("&"));
    }
    url
}

/// The host and port, or where SQLAlchemy wants a list of them.
fn place(target: &Target, driver: Driver) -> String {
    let bracketed = |name: &str| match name.contains(':') {
        true => format!("[{name}]"),
        false => name.to_owned(),
    };
    let shown = |host: &Host| format!("{}:{}", bracketed(&host.name), host.port);
    match (target.hosts.as_slice(), driver) {
        ([host], _) => shown(host),
        // libpq's own list; asyncpg has none in a URL, and gets the first.
        (hosts, Driver::Psycopg2) => {
            let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            let port = hosts.first().map_or(5432, |host| host.port);
            format!("{}:{port}", names.join(","))
        }
        (hosts, Driver::Asyncpg) => hosts.first().map(shown).unwrap_or_default(),
    }
}

/// Percent-encoded but for letters, digits and what no reader of URLs minds. A `$` and a `~` among the
/// rest: Airflow fills them in wherever they stand in a variable.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| match byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            },
        )
        .collect()
}

fn refused(why: impl Into<String>) -> Failure {
    Failure::new(Exit::Source, why)
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
