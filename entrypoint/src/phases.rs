//! The story in order: resolve, wait, migrate, admin, preflight, run, stop.

use crate::admin::Admin;
use crate::airflow::config::Config;
use crate::airflow::version::Version;
use crate::airflow::{self, Installed};
use crate::command::{self, Command, Service};
use crate::database::{self, Reconnect, no_refetch};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::oom;
use crate::preflight::{self, Subject};
use crate::protection::Protection;
use crate::resolve::{self, Resolved};
use crate::schema::Work;
use crate::schema::decide::Step;
use crate::settings::{Settings, SimpleAuth, TaskProtection};
use crate::supervise::{Children, Signals, Stop};
use crate::timeline::{Phase, Timeline};
use crate::variables::Variables;
use crate::waiting::Given;
use agent::exit::Exit;
use agent::metrics::{Metric, Metrics};
use agent::postgres::{Session, Target};
use agent::status::Status;
use std::path::PathBuf;
use std::time::Instant;
use tracing::{info, warn};

/// What all phases work with.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    /// What was asked for.
    pub settings: &'a Settings,
    /// What is to run; none where only the phases before it are.
    pub command: Option<&'a Command>,
    /// Where processes come from.
    pub children: &'a Children,
    /// Whether a signal asked to end.
    pub stop: &'a Stop,
    /// What the container says of itself.
    pub status: &'a Status,
    /// Where metrics go.
    pub metrics: &'a Metrics,
}

/// What the watch over the service needs of the phases before it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) release: Option<Version>,
    /// The database, where it is PostgreSQL.
    pub(crate) target: Option<Target>,
    /// What the phases took.
    pub(crate) metrics: Vec<Metric>,
}

impl Story<'_> {
    /// Does all of it.
    pub async fn tell(&self, mut variables: Variables, signals: Signals) -> Ending {
        if let Some(ending) = self.missing(&variables) {
            return ending;
        }
        let oom = oom::Watch::begin();
        let mut timeline = Timeline::new(self.status.clone(), self.has_all_phases());
        // Boxed, so that what the phases needed is given back before the service runs.
        let prepared = Box::pin(self.prepare(&mut variables, &mut timeline)).await;
        self.metrics.publish(&timeline.metrics());
        let ending = match prepared {
            Err(failure) => Ending::Phase(timeline.current(), failure),
            Ok(_) if self.settings.init_only => Ending::Done,
            Ok(prepared) => self.serve(variables, prepared, signals, &oom).await,
        };
        // The service may have been killed, and the watch over it with it; or a migration was.
        if oom.look() > 0 {
            self.metrics.publish(&[oom.metric()]);
        }
        ending
    }

    /// From references to the checks: what comes before the service.
    async fn prepare(
        &self,
        variables: &mut Variables,
        timeline: &mut Timeline,
    ) -> Result<Prepared, Failure> {
        let deadline = Instant::now() + self.settings.wait.wait_timeout;
        let installed = self.installed(variables);
        let release = installed.as_ref().ok().map(|installed| installed.version);

        let work = resolve_all(self, release, variables, deadline);
        let work = Box::pin(self.unless_stopped(Phase::Resolve, work));
        let (resolved, target) = timeline.phase(Phase::Resolve, work).await?;
        let config = Config::read(variables);
        self.check_values(variables, &config, &installed, timeline)
            .await?;
        let mut given = Given {
            variables,
            config,
            target,
            release,
            resolved,
        };

        let work = self.wait(&mut given, deadline);
        let work = Box::pin(self.unless_stopped(Phase::Wait, work));
        let mut session = timeline.phase(Phase::Wait, work).await?;

        if let Some(open) = session.take() {
            let work = Box::pin(self.migrate(&installed, &mut given, open));
            let open = timeline.phase(Phase::Migrate, work).await?;
            let work = self.administer(&installed, &given, open);
            session = Some(timeline.phase(Phase::Admin, work).await?);
        }
        // What was fetched is in the variables.
        let Given {
            variables,
            config,
            target,
            ..
        } = given;
        if let Some(service) = self.service() {
            let subject = self.subject(service, release, &config, variables);
            let package = package(&installed);
            let client = session.as_ref().map(|session| &session.client);
            let work = preflight::check(&subject, package.as_deref(), client);
            let work = self.unless_stopped(Phase::Preflight, work);
            timeline.phase(Phase::Preflight, work).await?;
        }
        Ok(Prepared {
            config,
            release,
            target,
            metrics: timeline.metrics(),
        })
    }

    /// Whether the database, and all that depends on it, is this command's affair.
    pub(crate) fn has_all_phases(&self) -> bool {
        self.service().is_some() || self.settings.schema.migrate.is_some() || self.command.is_none()
    }

    pub(crate) fn service(&self) -> Option<Service> {
        self.command.and_then(|command| command.service)
    }

    /// A service whose program is not there: said before anything is waited for, or migrated.
    fn missing(&self, variables: &Variables) -> Option<Ending> {
        let command = self.command?;
        if command.service.is_none() || self.settings.init_only {
            return None;
        }
        let path = variables.raw("PATH");
        match command::find(&command.program, path, |path| path.exists()) {
            Some(_) => None,
            None => Some(self.not_found(command)),
        }
    }

    pub(crate) fn not_found(&self, command: &Command) -> Ending {
        let program = command.program.to_string_lossy();
        let first = self.settings.words.first();
        let why = match first.map(|word| word.to_string_lossy()) {
            Some(word) if word != program => format!(
                "{word} is no program on PATH, and {program}, whose command it would be, is not found: \
                 check the command, and PATH in the image"
            ),
            _ => format!("{program} is not found: check the command, and PATH in the image"),
        };
        Ending::NotStarted(127, why)
    }

    /// The Airflow that is there, where anything depends on which one it is.
    pub(crate) fn installed(&self, variables: &Variables) -> Result<Installed, String> {
        let has_base = self.settings.parameters.base.is_some();
        if self.has_all_phases() || has_base || has_parts(variables) {
            return airflow::installed(variables);
        }
        Err("this command does not depend on it".to_owned())
    }

    /// What values alone can tell is said before anything is waited for, or migrated; and before a
    /// command of Airflow's writes a configuration with keys of its own.
    async fn check_values(
        &self,
        variables: &Variables,
        config: &Config,
        installed: &Result<Installed, String>,
        timeline: &mut Timeline,
    ) -> Result<(), Failure> {
        let Some(service) = self.service() else {
            return Ok(());
        };
        let release = installed.as_ref().ok().map(|installed| installed.version);
        let subject = self.subject(service, release, config, variables);
        let report = preflight::inspect(&subject, None, None).await;
        report.conclude().inspect_err(|_| {
            report.log();
            timeline.fails_in(Phase::Preflight);
        })
    }

    pub(crate) fn subject<'a>(
        &self,
        service: Service,
        release: Option<Version>,
        config: &'a Config,
        variables: &'a Variables,
    ) -> Subject<'a> {
        Subject {
            service,
            release,
            config,
            variables,
            simple_auth_allowed: self.settings.admin.simple_auth == SimpleAuth::Allow,
        }
    }

    pub(crate) fn work<'a>(
        &'a self,
        installed: &'a Result<Installed, String>,
        config: &'a Config,
        variables: &'a Variables,
        sessions: &'a Reconnect,
    ) -> Work<'a, Reconnect> {
        Work {
            installed,
            config,
            variables,
            mode: self.settings.migrate(),
            ahead: self.settings.schema.schema_ahead,
            timeout: self.settings.schema.migrate_timeout,
            grace: self.settings.run.stop_grace,
            children: self.children,
            stop: self.stop,
            status: self.status,
            sessions,
        }
    }

    /// The schema. Where the database refuses a session that is needed anew, the password may have been
    /// rotated since the wait: it is looked up once more.
    async fn migrate(
        &self,
        installed: &Result<Installed, String>,
        given: &mut Given<'_>,
        mut session: Session,
    ) -> Result<Session, Failure> {
        let mut is_renewed = false;
        loop {
            let sessions = self.sessions(given)?;
            let work = self.work(installed, &given.config, given.variables, &sessions);
            let failure = match self.migrate_protected(&work, session).await {
                Ok(session) => return Ok(session),
                Err(failure) => failure,
            };
            if is_renewed || failure.exit != Exit::Permission {
                return Err(failure);
            }
            is_renewed = true;
            let deadline = Instant::now() + self.settings.wait.wait_timeout;
            let work = self.renew(given, deadline);
            let Some(mut target) = self.unless_stopped(Phase::Migrate, work).await? else {
                return Err(failure);
            };
            info!(event = "database_password_changed", database = %target, "the database refused the password, which has meanwhile changed");
            let work = database::wait(&mut target, deadline.into(), no_refetch);
            session = self.unless_stopped(Phase::Migrate, work).await?;
        }
    }

    async fn administer(
        &self,
        installed: &Result<Installed, String>,
        given: &Given<'_>,
        session: Session,
    ) -> Result<Session, Failure> {
        let Some(admin) = Admin::of(given.variables)? else {
            return Ok(session);
        };
        let sessions = self.sessions(given)?;
        let work = self.work(installed, &given.config, given.variables, &sessions);
        let (session, _) = admin.create(&work, session).await?;
        Ok(session)
    }

    /// Further sessions with the database, which is known where there is one already.
    fn sessions(&self, given: &Given<'_>) -> Result<Reconnect, Failure> {
        let target = given.target.clone();
        target
            .map(Reconnect)
            .ok_or_else(|| Failure::new(Exit::Internal, "a session without a database"))
    }

    /// Under ECS's protection where that was asked for and there is something to do.
    async fn migrate_protected(
        &self,
        work: &Work<'_, Reconnect>,
        session: Session,
    ) -> Result<Session, Failure> {
        let is_wanted = self.settings.ecs.task_protection == TaskProtection::Migrate;
        if is_wanted && self.service() == Some(Service::CeleryWorker) {
            warn!(
                event = "protection_ignored",
                "a Celery worker's task protection is queue-metrics protect's: ENTRYPOINT_TASK_PROTECTION is ignored"
            );
        } else if is_wanted && is_to_change(work, &session).await {
            let environment = work.variables.environment();
            let protection = Protection::ask(&environment, work.timeout).await;
            let result = work.bring_up_to_date(session).await;
            protection.give_back().await;
            return result.map(|(session, _)| session);
        }
        let (session, _) = work.bring_up_to_date(session).await?;
        Ok(session)
    }

    /// The work, or the signal that came before it was done.
    pub(crate) async fn unless_stopped<T>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            signal = self.stop.wait() => {
                let why = format!("{signal} came in the phase {}", phase.name());
                Err(Failure::stopped(signal.number(), why))
            }
            result = work => result,
        }
    }
}

/// Fetches what is referred to, and builds the database's URLs. A plain command may have a URL that
/// only Airflow understands.
pub(crate) async fn resolve_all(
    story: &Story<'_>,
    release: Option<Version>,
    variables: &mut Variables,
    deadline: Instant,
) -> Result<(Resolved, Option<Target>), Failure> {
    let settings = story.settings;
    let resolved = resolve::resolve(settings, release.as_ref(), variables, deadline).await?;
    if resolved.variables > 0 {
        info!(
            event = "resolved",
            variables = resolved.variables,
            calls = resolved.calls,
            "variables were fetched"
        );
    }
    match database::urls(variables, release.as_ref()) {
        Ok(target) => Ok((resolved, target)),
        Err(failure) if story.has_all_phases() => Err(failure),
        Err(Failure { why, .. }) if has_parts(variables) => {
            warn!(
                event = "no_database",
                reason = why,
                "the database's URL cannot be built and stays as it is"
            );
            Ok((resolved, None))
        }
        // Nobody asked for anything about it.
        Err(_) => Ok((resolved, None)),
    }
}

/// Whether the database's URLs are to be built.
fn has_parts(variables: &Variables) -> bool {
    let mut names = variables.names();
    names.any(|name| name.starts_with("ENTRYPOINT_DB_"))
}

/// Whether the phase that follows will migrate. If that cannot be seen, the phase itself says why.
async fn is_to_change(work: &Work<'_, Reconnect>, session: &Session) -> bool {
    let look = work.look(&session.client).await;
    look.is_ok_and(|look| matches!(look.step, Step::Migrate { .. } | Step::Ask))
}

/// Where Airflow's own package lies.
pub(crate) fn package(installed: &Result<Installed, String>) -> Option<PathBuf> {
    let installed = installed.as_ref().ok()?;
    Some(installed.packages.join("airflow"))
}
