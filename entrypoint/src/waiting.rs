//! The wait: files, the database, the broker, in this order and under one deadline; and the database's
//! password once more, where it was rotated meanwhile.

use crate::airflow::config::{Config, Setting};
use crate::airflow::version::Version;
use crate::command::Service;
use crate::database;
use crate::failure::Failure;
use crate::phases::Story;
use crate::resolve::{self, Resolved};
use crate::variables::Variables;
use crate::{asked, broker, files};
use agent::exit::Exit;
use agent::postgres::{Session, Target};
use std::time::Instant;
use tracing::warn;

/// The setting with the database's URL.
const DATABASE: (&str, &str) = ("database", "sql_alchemy_conn");

/// The setting with the broker's.
const BROKER: (&str, &str) = ("celery", "broker_url");

/// What the service is given, as far as it is known; a password that is rotated changes it.
#[derive(Debug)]
pub(crate) struct Given<'a> {
    pub(crate) variables: &'a mut Variables,
    /// Read before any command of Airflow's ran.
    pub(crate) config: Config,
    /// The database, where it is PostgreSQL.
    pub(crate) target: Option<Target>,
    pub(crate) release: Option<Version>,
    pub(crate) resolved: Resolved,
}

impl Story<'_> {
    /// Waits for what the command needs. Gives back a session with the database, where it is
    /// PostgreSQL's.
    pub(crate) async fn wait(
        &self,
        given: &mut Given<'_>,
        deadline: Instant,
    ) -> Result<Option<Session>, Failure> {
        files::wait(&self.settings.wait.wait_files, deadline.into()).await?;
        if !self.has_all_phases() {
            return Ok(None);
        }
        if given.target.is_none() {
            given.target = self.ask_for_database(given, deadline).await?;
        }
        let session = match given.target.clone() {
            Some(mut target) => {
                let renew = async || self.renew(given, deadline).await;
                Some(database::wait(&mut target, deadline.into(), renew).await?)
            }
            None => {
                let reason = no_database(&given.config);
                warn!(
                    event = "no_database",
                    reason, "the database is not waited for, and its schema not looked at"
                );
                None
            }
        };
        if let Some(service) = self.service() {
            self.wait_for_broker(service, given, deadline).await?;
        }
        Ok(session)
    }

    /// Looks the database's connection up once more, after it refused the password: where it is from,
    /// the Parameter Store or Airflow itself. None where nothing has changed.
    ///
    /// # Errors
    /// As [`resolve::refetch`] and [`asked::url`].
    pub(crate) async fn renew(
        &self,
        given: &mut Given<'_>,
        deadline: Instant,
    ) -> Result<Option<Target>, Failure> {
        let (settings, release) = (self.settings, given.release.as_ref());
        let (variables, resolved) = (&mut *given.variables, &given.resolved);
        let is_new = resolve::refetch(settings, release, resolved, variables, deadline).await?;
        let mut newer = match is_new {
            true => database::urls(variables, release)?,
            false => None,
        };
        given.config = std::mem::take(&mut given.config).renewed(given.variables);
        if newer.is_none() {
            newer = self.ask_for_database(given, deadline).await?;
        }
        let newer = newer.filter(|newer| Some(newer) != given.target.as_ref());
        if newer.is_some() {
            given.target.clone_from(&newer);
        }
        Ok(newer)
    }

    /// The database by the URL that only Airflow can find out; none where that is not so.
    async fn ask_for_database(
        &self,
        given: &mut Given<'_>,
        deadline: Instant,
    ) -> Result<Option<Target>, Failure> {
        if !given.config.is_elsewhere(DATABASE.0, DATABASE.1) {
            return Ok(None);
        }
        let url = asked::url(self.children, given.variables, DATABASE, deadline.into()).await?;
        if url.ends_with(['\n', '\r']) {
            return Err(Failure::new(
                Exit::Source,
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD (or _SECRET) gives a URL with a line end, which Airflow keeps, so that no such database exists: give it without, by printf in place of echo, or set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=ssm:///NAME instead",
            ));
        }
        let target = database::target(&url, given.variables)?;
        given.config.learn(DATABASE.0, DATABASE.1, url);
        Ok(target)
    }

    async fn wait_for_broker(
        &self,
        service: Service,
        given: &mut Given<'_>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if !broker::is_needed(service, &given.config) {
            return Ok(());
        }
        if given.config.is_elsewhere(BROKER.0, BROKER.1) {
            let url = asked::url(self.children, given.variables, BROKER, deadline.into()).await?;
            // Kombu minds no line end.
            given
                .config
                .learn(BROKER.0, BROKER.1, url.trim_end().to_owned());
        }
        match given.config.text(BROKER.0, BROKER.1) {
            Some(url) => broker::wait(&url, deadline.into()).await,
            None => Ok(()),
        }
    }
}

/// Why there is no database to be waited for, and what to set.
pub(crate) fn no_database(config: &Config) -> String {
    let name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";
    match config.setting(DATABASE.0, DATABASE.1) {
        Setting::Unset => {
            format!("{name} is not set: set it, or ENTRYPOINT_DB_HOST and the other parts")
        }
        Setting::Elsewhere => {
            format!(
                "only Airflow can find {name} out, by its form _CMD or _SECRET: it would be asked"
            )
        }
        Setting::Value(url) => {
            let scheme = url.split("://").next().unwrap_or_default();
            match url.contains("://") {
                true => format!("{name} is a URL of {scheme}, and only PostgreSQL is known here"),
                false => format!("{name} is no URL: postgresql+psycopg2://USER:PASSWORD@HOST/NAME"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_database_is_said_without_the_url() {
        for (pairs, expected) in [
            (&[][..], "is not set: set it, or ENTRYPOINT_DB_HOST"),
            (
                &[("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "mysql://marked@h/d")],
                "is a URL of mysql,",
            ),
            (
                &[("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "marked")],
                "is no URL",
            ),
            (
                &[("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "marked")],
                "only Airflow can find",
            ),
        ] {
            let variables = Variables::from_pairs(pairs.iter().copied());
            let why = no_database(&Config::from_parts(&variables, ""));
            assert!(why.contains(expected) && !why.contains("marked"), "{why}");
        }
    }
}
