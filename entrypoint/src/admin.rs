//! The administrator, created once, where the auth manager keeps users.

use crate::airflow::Installed;
use crate::airflow::config::Setting;
use crate::failure::Failure;
use crate::schema::child::{self, Running};
use crate::schema::state::{column, literal};
use crate::schema::{Lost, Sessions, Trouble, Work, lock, pause, until_stopped};
use crate::supervise::Input;
use crate::variables::Variables;
use agent::exit::Exit;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{info, warn};

/// Between two looks while another creates it; the least, and as much again at random.
const POLL: Duration = Duration::from_millis(250);

/// `airflow users create` can collide with a service that makes its roles at the same moment.
const TRIES: u32 = 3;

/// Who is to be created. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Admin {
    username: String,
    password: Option<String>,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The auth manager keeps no users of its own.
    NoUsers,
    /// The administrator exists, and stays as it is.
    Exists,
    /// There is no such user yet.
    Missing,
    /// It was created here.
    Created,
}

impl Admin {
    /// By `ENTRYPOINT_ADMIN_*`; none where no name is set.
    ///
    /// # Errors
    /// A password that Airflow cannot read from its input (exit 65).
    pub fn of(variables: &Variables) -> Result<Option<Self>, Failure> {
        let text = |name: &str| variables.text(name).map(str::to_owned);
        let Some(username) = text("ENTRYPOINT_ADMIN_USERNAME") else {
            return Ok(None);
        };
        let password = text("ENTRYPOINT_ADMIN_PASSWORD");
        if password
            .as_ref()
            .is_some_and(|password| password.contains(['\n', '\r']))
        {
            return Err(Failure::new(
                Exit::Source,
                "ENTRYPOINT_ADMIN_PASSWORD has a line break, which Airflow takes for its end: is there one at the end of the parameter?",
            ));
        }
        let email = || match username.contains('@') {
            true => username.clone(),
            false => format!("{username}@example.com"),
        };
        let or = |name: &str, default: &str| text(name).unwrap_or_else(|| default.to_owned());
        Ok(Some(Self {
            email: text("ENTRYPOINT_ADMIN_EMAIL").unwrap_or_else(email),
            first_name: or("ENTRYPOINT_ADMIN_FIRSTNAME", "Airflow"),
            last_name: or("ENTRYPOINT_ADMIN_LASTNAME", "Admin"),
            role: or("ENTRYPOINT_ADMIN_ROLE", "Admin"),
            username,
            password,
        }))
    }

    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The database refuses, or the session is lost.
    pub async fn look<S: Sessions>(
        &self,
        work: &Work<'_, S>,
        client: &Client,
    ) -> Result<Answer, Failure> {
        self.see(work, client).await.map_err(Failure::from)
    }

    /// Creates the administrator under the lock, unless there is one. Gives back a session, the given
    /// one or a later one.
    ///
    /// # Errors
    /// It cannot be created (exit 65), the lock is not to be had (69), or a signal came.
    pub async fn create<S: Sessions>(
        &self,
        work: &Work<'_, S>,
        mut session: S::Session,
    ) -> Result<(S::Session, Answer), Failure> {
        let deadline = Instant::now() + work.timeout;
        loop {
            match self.attempt(work, S::client(&session), deadline).await {
                Ok(answer) => return Ok((session, answer)),
                Err(Trouble::Lost(Lost(why))) if Instant::now() < deadline => {
                    warn!(
                        event = "session_lost",
                        why, "the session with the database was lost: connecting again"
                    );
                    pause(work.stop, POLL).await?;
                    session = until_stopped(work.stop, work.sessions.open(deadline)).await??;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    async fn attempt<S: Sessions>(
        &self,
        work: &Work<'_, S>,
        client: &Client,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let username = self.username.as_str();
        loop {
            match until_stopped(work.stop, self.see(work, client)).await?? {
                Answer::NoUsers => {
                    warn!(
                        event = "admin_without_users",
                        username, "the auth manager keeps no users: no administrator is created"
                    );
                    return Ok(Answer::NoUsers);
                }
                Answer::Exists => return Ok(self.exists()),
                Answer::Missing | Answer::Created => {}
            }
            if until_stopped(work.stop, lock::take(client)).await?? {
                break;
            }
            if Instant::now() >= deadline {
                return Err(Failure::new(Exit::Unavailable, format!(
                    "the administrator {username} does not exist, and the lock to create it was not free within ENTRYPOINT_MIGRATE_TIMEOUT={:?}: see who holds the advisory lock {:?} in pg_locks", work.timeout, lock::KEY
                )).into());
            }
            pause(work.stop, POLL + POLL.mul_f64(fastrand::f64())).await?;
        }
        let answer = self.create_locked(work, client, deadline).await?;
        lock::release(client).await?;
        Ok(answer)
    }

    fn exists(&self) -> Answer {
        info!(
            event = "admin_exists",
            username = self.username,
            "the administrator exists; its password is unchanged"
        );
        Answer::Exists
    }

    async fn create_locked<S: Sessions>(
        &self,
        work: &Work<'_, S>,
        client: &Client,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let username = self.username.as_str();
        // Who had the lock before may have created it.
        if until_stopped(work.stop, self.see(work, client)).await?? == Answer::Exists {
            return Ok(self.exists());
        }
        let Some(password) = &self.password else {
            return Err(Failure::new(Exit::Source, format!(
                "the administrator {username} does not exist, and ENTRYPOINT_ADMIN_PASSWORD is not set: set it, or take ENTRYPOINT_ADMIN_USERNAME away"
            )).into());
        };
        let mut how = String::new();
        for attempt in 1..=TRIES {
            let arguments = self.arguments();
            let mut child = Running::airflow(
                work.children,
                &arguments,
                work.variables.owned(),
                // It is asked for twice.
                Input::Bytes(format!("{password}\n{password}\n").into_bytes()),
                // In the locale of an image it may be read as something else.
                &[("PYTHONUTF8", "1")],
            )
            .map_err(|error| Failure::new(Exit::Source, error.to_string()))?;
            let outcome = tokio::select! {
                outcome = child.wait() => outcome,
                signal = work.stop.wait() => {
                    child.end().await;
                    return Err(Failure::stopped(signal.number(), format!("{signal} came before the administrator was created")).into());
                }
                () = tokio::time::sleep_until(deadline) => child.end().await,
            };
            if until_stopped(work.stop, self.see(work, client)).await?? == Answer::Exists {
                info!(
                    event = "admin_created",
                    username,
                    role = self.role,
                    "the administrator was created"
                );
                return Ok(Answer::Created);
            }
            how = child::describe(outcome);
            warn!(
                event = "admin_failed",
                username, how, attempt, "airflow users create created nobody"
            );
            pause(work.stop, POLL + POLL.mul_f64(fastrand::f64())).await?;
        }
        Err(Failure::new(Exit::Source, format!(
            "airflow users create ended with {how}, and there is no administrator {username}: its own output says why (another user with the address {}? no role {}?)", self.email, self.role
        )).into())
    }

    async fn see<S: Sessions>(
        &self,
        work: &Work<'_, S>,
        client: &Client,
    ) -> Result<Answer, Trouble> {
        let auth = work.config.setting("core", "auth_manager");
        let table = "SELECT to_regclass('ab_user') IS NOT NULL";
        let has_users = column(client, table).await? == ["t"];
        if !keeps_users(work.installed.as_ref().ok(), &auth, has_users) {
            return Ok(Answer::NoUsers);
        }
        if !has_users {
            return Err(Failure::new(Exit::Source, format!(
                "there is no table of users for the administrator {}: the schema has to be migrated first", self.username
            )).into());
        }
        // FAB compares names without regard to case.
        let query = format!(
            "SELECT 1 FROM ab_user WHERE lower(username) = lower({})",
            literal(&self.username)
        );
        Ok(match column(client, &query).await?.is_empty() {
            true => Answer::Missing,
            false => Answer::Exists,
        })
    }

    fn arguments(&self) -> Vec<&str> {
        vec![
            "users",
            "create",
            "--username",
            &self.username,
            "--firstname",
            &self.first_name,
            "--lastname",
            &self.last_name,
            "--email",
            &self.email,
            "--role",
            &self.role,
        ]
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Admin({})", self.username)
    }
}

/// Whether the auth manager keeps users in Airflow's database.
///
/// | auth manager | Airflow 2 | Airflow 3 |
/// |---|---|---|
/// | unset | yes: FAB's is the default | no: the simple one is |
/// | FAB's | yes | yes |
/// | another of Airflow's own | no | no |
/// | anybody else's, or not known here | if there is a table of users | the same |
fn keeps_users(installed: Option<&Installed>, auth: &Setting, has_users: bool) -> bool {
    match (auth, installed) {
        (Setting::Unset, Some(installed)) => installed.version.major < 3,
        (Setting::Value(class), _) if class.starts_with("airflow.") => {
            class.ends_with(".FabAuthManager")
        }
        _ => has_users,
    }
}
