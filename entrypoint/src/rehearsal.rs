//! The dry run: everything that can be reached is asked once, and nothing is changed.

use crate::admin::{Admin, Answer};
use crate::airflow::Installed;
use crate::airflow::config::{Config, Setting};
use crate::broker;
use crate::command::{self, Service};
use crate::database::{self, Reconnect, no_refetch};
use crate::files;
use crate::phases::{Story, package, resolve_all};
use crate::preflight::{self, Level};
use crate::report::Report;
use crate::schema::decide::{Step, describe};
use crate::timeline::Phase;
use crate::variables::Variables;
use crate::waiting::no_database;
use agent::exit::Exit;
use agent::postgres::{Session, Target};
use std::time::Instant;

impl Story<'_> {
    /// Looks at what every phase would find.
    pub async fn rehearse(&self, mut variables: Variables) -> Report {
        let mut report = Report::default();
        let stopped = tokio::select! {
            biased;
            signal = self.stop.wait() => Some(signal),
            () = self.look(&mut variables, &mut report) => None,
        };
        if let Some(signal) = stopped {
            report.failed("stop", signal.exit_code(), format!("{signal} came"));
        }
        report.variables(&variables);
        report
    }

    async fn look(&self, variables: &mut Variables, report: &mut Report) {
        // It has passed already: each is tried once.
        let deadline = Instant::now();
        let installed = self.installed(variables);
        let release = installed.as_ref().ok().map(|installed| installed.version);
        let resolved = resolve_all(self, release, variables, deadline).await;
        let Some((resolved, target)) = report.checked(Phase::Resolve, resolved) else {
            return;
        };
        let (count, calls) = (resolved.variables, resolved.calls);
        let what = match count {
            0 => "nothing is to be fetched".to_owned(),
            count => format!("variables fetched: {count}, calls: {calls}"),
        };
        report.step("resolve", what);

        let files = files::wait(&self.settings.wait.wait_files, deadline.into()).await;
        report.checked(Phase::Wait, files);
        if self.has_all_phases() {
            let config = Config::read(variables);
            let session = self
                .look_at_database(&config, target.as_ref(), report)
                .await;
            if let (Some(session), Some(target)) = (&session, target) {
                let seen = Seen {
                    installed: &installed,
                    config: &config,
                    variables,
                };
                self.look_at_schema(seen, session, target, report).await;
            }
            if let Some(service) = self.service() {
                self.look_at_broker(service, &config, report).await;
                let seen = Seen {
                    installed: &installed,
                    config: &config,
                    variables,
                };
                self.look_at_values(seen, service, session.as_ref(), report)
                    .await;
            }
        }
        self.look_at_program(variables, report);
    }

    async fn look_at_database(
        &self,
        config: &Config,
        target: Option<&Target>,
        report: &mut Report,
    ) -> Option<Session> {
        let Some(target) = target else {
            report.step("wait", no_database(config));
            return None;
        };
        let session = database::wait(&mut target.clone(), Instant::now().into(), no_refetch).await;
        let session = report.checked(Phase::Wait, session)?;
        report.step("wait", format!("database {target} lets in"));
        Some(session)
    }

    async fn look_at_broker(&self, service: Service, config: &Config, report: &mut Report) {
        if !broker::is_needed(service, config) {
            return;
        }
        match config.setting("celery", "broker_url") {
            Setting::Value(url) => {
                let answer = broker::wait(&url, Instant::now().into()).await;
                if report.checked(Phase::Wait, answer).is_some() {
                    report.step("wait", "the broker lets in");
                }
            }
            Setting::Elsewhere => report.step("wait", "Airflow would be asked for the broker"),
            Setting::Unset => {}
        }
    }

    async fn look_at_schema(
        &self,
        seen: Seen<'_>,
        session: &Session,
        target: Target,
        report: &mut Report,
    ) {
        let sessions = Reconnect(target);
        let work = self.work(seen.installed, seen.config, seen.variables, &sessions);
        if let Some(look) = report.checked(Phase::Migrate, work.look(&session.client).await) {
            let release = seen.installed.as_ref().ok().map(|it| it.version);
            let stands = describe(&look.standing, release);
            match &look.step {
                Step::Refuse(exit, why) => report.failed("migrate", exit.code(), why),
                step => report.step("migrate", format!("{stands}: {}", would(step))),
            }
        }
        let admin = match Admin::of(seen.variables) {
            Ok(None) => return,
            Ok(Some(admin)) => admin.look(&work, &session.client).await,
            Err(failure) => Err(failure),
        };
        if let Some(answer) = report.checked(Phase::Admin, admin) {
            report.step(
                "admin",
                match answer {
                    Answer::NoUsers => "the auth manager keeps no users: none would be created",
                    Answer::Exists => "the administrator exists, and would stay as it is",
                    Answer::Missing | Answer::Created => "the administrator would be created",
                },
            );
        }
    }

    async fn look_at_values(
        &self,
        seen: Seen<'_>,
        service: Service,
        session: Option<&Session>,
        report: &mut Report,
    ) {
        let release = seen.installed.as_ref().ok().map(|it| it.version);
        let subject = self.subject(service, release, seen.config, seen.variables);
        let package = package(seen.installed);
        let client = session.map(|session| &session.client);
        let found = preflight::inspect(&subject, package.as_deref(), client).await;
        for finding in &found.findings {
            match finding.level {
                Level::Warning => report.step("preflight", format!("warning: {finding}")),
                Level::Refused => {
                    report.failed("preflight", Exit::Usage.code(), finding.to_string());
                }
                Level::Error => {
                    report.failed("preflight", Exit::Source.code(), finding.to_string());
                }
            }
        }
        match &found.fingerprint {
            Some(print) => report.step(
                "preflight",
                format!("fingerprint {} of {}", print.digits, print.of),
            ),
            None => report.step("preflight", "no fingerprint without a Fernet key"),
        }
    }

    fn look_at_program(&self, variables: &Variables, report: &mut Report) {
        let Some(command) = self.command else {
            report.step("run", "nothing");
            return;
        };
        let path = variables.raw("PATH");
        match command::find(&command.program, path, command::is_program) {
            Some(program) => {
                let service = match command.service {
                    Some(service) => format!(", the service {service}"),
                    None => String::new(),
                };
                report.step("run", format!("{}{service}", program.display()));
            }
            None => {
                let program = command.program.to_string_lossy();
                report.failed("run", 127, format!("{program} is not found"));
            }
        }
    }
}

/// What the looks share.
#[derive(Clone, Copy)]
struct Seen<'a> {
    installed: &'a Result<Installed, String>,
    config: &'a Config,
    variables: &'a Variables,
}

fn would(step: &Step) -> String {
    match step {
        Step::Go => "nothing to do".to_owned(),
        Step::GoWarned(why) => format!("the service would run, with a warning: {why}"),
        Step::Migrate { .. } => "it would be migrated".to_owned(),
        Step::Wait => "another's migration would be waited for".to_owned(),
        Step::Ask => "airflow db check-migrations would be asked".to_owned(),
        Step::Refuse(_, why) => why.clone(),
    }
}
