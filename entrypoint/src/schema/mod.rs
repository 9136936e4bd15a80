//! The schema, brought up to date exactly once, however many containers start together.
//!
//! ```text
//! look: heads on disk, revisions in the database ── equal ─────────────────────────► go
//!   │ empty or behind                              └─ ahead, unknown: a rule ──────► go, or end
//!   ▼
//! try the lock ── another has it ── wait a moment, look again
//!   │ taken
//!   ▼
//! wait until no session is named trimtab-migrate, look again, migrate, look again, give the lock back
//! ```
//!
//! A session that is lost on the way takes the lock with it: the child is stopped, and all begins anew.

pub(crate) mod child;
pub mod decide;
pub mod lock;
mod migrate;
pub mod state;
mod trouble;

use crate::airflow::Installed;
use crate::airflow::config::Config;
use crate::airflow::version::Version;
use crate::failure::Failure;
use crate::settings::{Migrate, SchemaAhead};
use crate::supervise::{Children, Input, Outcome, Stop};
use crate::variables::Variables;
use agent::exit::Exit;
use agent::status::Status;
use child::Running;
use decide::{Step, decide, describe};
use state::{Found, Managers, Record, Standing, standing};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{info, warn};
pub use trouble::Lost;
pub(crate) use trouble::{Trouble, message, pause, until_stopped};

/// Between two looks while another migrates; the least, and as much again at random.
const POLL: Duration = Duration::from_millis(250);

/// Between two questions to Airflow itself, each of which costs seconds of Python.
const ASK: Duration = Duration::from_secs(10);

/// How often a migration is tried that another's hold on Airflow's own lock made fail.
const TRIES: u32 = 10;

/// Where sessions with the database come from.
pub trait Sessions {
    /// A session, with whatever must live as long.
    type Session;
    /// Its client.
    fn client(session: &Self::Session) -> &Client;
    /// A new session, as soon as the database lets one in.
    fn open(&self, deadline: Instant) -> impl Future<Output = Result<Self::Session, Failure>>;
    /// A session by the name [`lock::MIGRATOR`], within seconds.
    fn mark(&self) -> impl Future<Output = Result<Self::Session, Lost>>;
}

/// What the schema's phase needs.
#[derive(Debug)]
pub struct Work<'a, S> {
    /// What Airflow was found, or why none.
    pub installed: &'a Result<Installed, String>,
    /// Airflow's settings, as they were before any of its commands ran.
    pub config: &'a Config,
    /// The environment of its commands.
    pub variables: &'a Variables,
    /// `ENTRYPOINT_MIGRATE`
    pub mode: Migrate,
    /// `ENTRYPOINT_SCHEMA_AHEAD`
    pub ahead: SchemaAhead,
    /// `ENTRYPOINT_MIGRATE_TIMEOUT`
    pub timeout: Duration,
    /// `ENTRYPOINT_STOP_GRACE`
    pub grace: Duration,
    /// Where children come from.
    pub children: &'a Children,
    /// Whether a signal asks to end.
    pub stop: &'a Stop,
    /// Healthy from the moment on at which it waits or migrates.
    pub status: &'a Status,
    /// Where sessions come from.
    pub sessions: &'a S,
}

/// How the phase ended, where the service may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It was up to date, or is left as it is.
    Untouched,
    /// Another brought it up to date meanwhile.
    Followed,
    /// This process did.
    Migrated,
}

/// What is there, and what would be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the database holds.
    pub found: Found,
    /// How that stands to what is installed.
    pub standing: Standing,
    /// What the settings say to do.
    pub step: Step,
}

impl<S: Sessions> Work<'_, S> {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The database refuses, or the session is lost.
    pub async fn look(&self, client: &Client) -> Result<Look, Failure> {
        self.see(client).await.map_err(Failure::from)
    }

    /// Brings the schema up to date. Gives back a session, the given one or a later one.
    ///
    /// # Errors
    /// As the design's table of exit codes says; or a signal came.
    pub async fn bring_up_to_date(
        &self,
        mut session: S::Session,
    ) -> Result<(S::Session, Course), Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut waited = false;
        loop {
            match self.attempt(&session, deadline, &mut waited).await {
                Ok(course) => {
                    self.status.update(|state| {
                        state.detail.remove("migration");
                    });
                    return Ok((session, course));
                }
                Err(Trouble::Lost(Lost(why))) if Instant::now() < deadline => {
                    warn!(
                        event = "session_lost",
                        why, "the session with the database was lost: connecting again"
                    );
                    waited = true;
                    pause(self.stop, POLL).await?;
                    session = until_stopped(self.stop, self.sessions.open(deadline)).await??;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    async fn attempt(
        &self,
        session: &S::Session,
        deadline: Instant,
        waited: &mut bool,
    ) -> Result<Course, Trouble> {
        let client = S::client(session);
        loop {
            let mut look = until_stopped(self.stop, self.see(client)).await??;
            if look.step == Step::Ask {
                self.healthy("asking");
                look = self.ask(client, look, deadline).await?;
            }
            let check_services = match look.step {
                Step::Go | Step::GoWarned(_) => {
                    if let Step::GoWarned(why) = look.step {
                        warn!(event = "schema_odd", why, "going on all the same");
                    }
                    return Ok(if *waited {
                        Course::Followed
                    } else {
                        Course::Untouched
                    });
                }
                Step::Refuse(exit, why) => return Err(Failure::new(exit, why).into()),
                Step::Wait | Step::Ask => None,
                Step::Migrate { check_services } => Some(check_services),
            };
            if let Some(check_services) = check_services
                && until_stopped(self.stop, lock::take(client)).await??
            {
                return self.migrate(session, check_services, deadline).await;
            }
            if !*waited {
                *waited = true;
                let why = describe(&look.standing, self.version());
                info!(
                    event = "schema_waits",
                    why, "waiting for another's migration"
                );
                self.healthy("waiting");
            }
            if Instant::now() >= deadline {
                let why = describe(&look.standing, self.version());
                return Err(Failure::new(Exit::Unavailable, format!(
                    "{why}, and nobody brought it up to date within ENTRYPOINT_MIGRATE_TIMEOUT={:?}: see who migrates, or who holds the advisory lock {:?} in pg_locks", self.timeout, lock::KEY
                )).into());
            }
            let asked = matches!(look.standing, Standing::Unsure { .. });
            let least = if asked { ASK } else { POLL };
            pause(self.stop, least + POLL.mul_f64(fastrand::f64())).await?;
        }
    }

    /// The lock is held here.
    async fn migrate(
        &self,
        session: &S::Session,
        check_services: bool,
        deadline: Instant,
    ) -> Result<Course, Trouble> {
        let client = S::client(session);
        migrate::quiet(self, client, deadline).await?;
        // Who had the lock before may have done it all.
        let mut look = until_stopped(self.stop, self.see(client)).await??;
        if look.step == Step::Ask {
            look = self.ask(client, look, deadline).await?;
        }
        match look.step {
            Step::Migrate {
                check_services: again,
            } if again == check_services => {}
            // The rest is decided as for anybody without the lock.
            _ => {
                lock::release(client).await?;
                return Box::pin(self.attempt(session, deadline, &mut true)).await;
            }
        }
        if check_services && look.found.has_jobs {
            self.refuse_while_services_live(client, &look).await?;
        }
        self.healthy("migrating");
        let from = describe(&look.standing, self.version());
        for attempt in 1.. {
            info!(
                event = "migration_begins",
                why = from,
                attempt,
                "migrating the schema"
            );
            let began = Instant::now();
            let ran = migrate::run(self, session, deadline).await?;
            let seconds = began.elapsed().as_secs_f64();
            let after = until_stopped(self.stop, self.see(client)).await??;
            let done = match after.standing {
                Standing::Current => true,
                // Nobody else can tell.
                Standing::Unsure { .. } => ran.outcome.success(),
                _ => false,
            };
            let how = child::describe(ran.outcome);
            if done {
                if !ran.outcome.success() {
                    warn!(
                        event = "migration_odd",
                        how, "airflow db migrate failed, and yet the schema is up to date"
                    );
                }
                self.record(client, &after.found).await;
                lock::release(client).await?;
                info!(
                    event = "migration_done",
                    seconds, "the schema is up to date"
                );
                return Ok(Course::Migrated);
            }
            if !ran.contended || attempt >= TRIES {
                let now = describe(&after.standing, self.version());
                return Err(Failure::new(Exit::Migration, format!(
                    "airflow db migrate ended with {how} after {seconds:.0} s, and {now}: its own output says why"
                )).into());
            }
            warn!(
                event = "migration_contended",
                how, "another held Airflow's own lock: trying again"
            );
            migrate::quiet(self, client, deadline).await?;
        }
        unreachable!("the tries are counted")
    }

    async fn refuse_while_services_live(
        &self,
        client: &Client,
        look: &Look,
    ) -> Result<(), Trouble> {
        let services = until_stopped(self.stop, lock::services(client)).await??;
        if services.is_empty() {
            return Ok(());
        }
        lock::release(client).await?;
        let names: Vec<String> = services
            .iter()
            .map(|service| format!("{} on {}", service.kind, service.host))
            .collect();
        let why = describe(&look.standing, self.version());
        Err(Failure::new(
            Exit::Migration,
            format!(
                "{why}, and services of the older release live: {}; stop them, wait a minute, and start again",
                names.join(", ")
            ),
        )
        .into())
    }

    async fn see(&self, client: &Client) -> Result<Look, Trouble> {
        let found = state::read(client).await?;
        let installed = match self.installed {
            Ok(installed) => Ok((installed, self.managers(installed))),
            Err(why) => Err(why.as_str()),
        };
        let standing = standing(&installed, &found);
        let step = decide(self.mode, self.ahead, &standing, self.version());
        Ok(Look {
            found,
            standing,
            step,
        })
    }

    /// `airflow db check-migrations`, where the heads are not known otherwise.
    async fn ask(&self, client: &Client, look: Look, deadline: Instant) -> Result<Look, Trouble> {
        let Standing::Unsure { why, from } = &look.standing else {
            return Ok(look);
        };
        info!(
            event = "schema_asks",
            why, "asking airflow db check-migrations"
        );
        let words = ["db", "check-migrations", "--migration-wait-timeout", "1"];
        let variables = self.variables.owned();
        let mut child = Running::airflow(self.children, &words, variables, Input::Null, &[])
            .map_err(|error| Failure::new(Exit::Migration, error.to_string()))?;
        let outcome = tokio::select! {
            outcome = child.wait() => outcome,
            signal = self.stop.wait() => {
                child.end().await;
                return Err(Failure::stopped(signal.number(), format!("{signal} came before the schema was known")).into());
            }
            () = tokio::time::sleep_until(deadline) => child.end().await,
        };
        let standing = if outcome == Outcome::Exited(0) {
            self.record(client, &look.found).await;
            Standing::Current
        } else {
            Standing::Behind { from: *from }
        };
        let step = decide(self.mode, self.ahead, &standing, self.version());
        Ok(Look {
            step,
            standing,
            found: look.found,
        })
    }

    /// Keeps who made this schema; without it a later downgrade is refused, which is no reason to end.
    async fn record(&self, client: &Client, found: &Found) {
        let (Ok(installed), [core]) = (self.installed, found.core.as_slice()) else {
            return;
        };
        let record = Record {
            airflow: installed.version,
            core: core.clone(),
            fab: found.fab.first().cloned(),
            managers: self.managers(installed).digest,
        };
        if let Err(error) = client.simple_query(&record.statement()).await {
            let error = message(&error);
            warn!(
                event = "schema_unrecorded",
                error, "the comment on alembic_version cannot be written"
            );
        }
    }

    fn managers(&self, installed: &Installed) -> Managers {
        let auth = self.config.setting("core", "auth_manager");
        let external = self.config.setting("database", "external_db_managers");
        Managers::of(installed, &auth, &external)
    }

    fn version(&self) -> Option<Version> {
        self.installed
            .as_ref()
            .ok()
            .map(|installed| installed.version)
    }

    /// Whoever waits for a migration or makes one does its job: ECS must not end it.
    fn healthy(&self, what: &str) {
        self.status.update(|state| {
            state.healthy = true;
            state.detail.insert("migration".to_owned(), what.into());
        });
    }
}
