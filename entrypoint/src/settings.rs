//! Every option, once.
//!
//! What is made from parameters (`ENTRYPOINT_DB_*`, `ENTRYPOINT_ADMIN_*`) may be a reference such as
//! `ssm:///x`: those are read from [`Variables`] after they were resolved, and stand here only so that
//! they have a flag, a line of help and a name that is known.

use crate::supervise::{Rewrite, Scope};
use crate::variables::{Source, Variables};
use agent::settings::{MetricsSettings, OutputSettings, StatusSettings, duration};
use clap::{Args, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The prefix of the variables.
pub const PREFIX: &str = "ENTRYPOINT_";

/// The default of `--fatal-hold`.
pub const FATAL_HOLD: Duration = Duration::from_secs(30);

/// The version and the commit that it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TRIMTAB_COMMIT"), ")");

/// Brings an Airflow container from an empty task to a running service, as its PID 1.
#[derive(Parser, Clone, Debug)]
#[command(name = "entrypoint", version = VERSION)]
pub struct Settings {
    /// What to run: a program on PATH or a path as it is, any other word is a command of Airflow's
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub words: Vec<OsString>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub parameters: ParameterSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub wait: WaitSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub schema: SchemaSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub admin: AdminSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub run: RunSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub ecs: EcsSettings,
    /// Stop before the service, with exit 0
    #[arg(long)]
    pub init_only: bool,
    /// Check everything that can be reached, change nothing, and show in a table what would be done
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub output: OutputSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub status: StatusSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub metrics: MetricsSettings,
}

/// Where values are fetched from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Parameters")]
pub struct ParameterSettings {
    /// A path of the Parameter Store in the known layout: db/host, fernet-key, env/NAME and so on
    #[arg(long = "parameters", value_name = "PATH", value_parser = parameter_path)]
    pub base: Option<String>,
    /// Paths of the Parameter Store whose parameters become variables: /a/b/DB_HOST is DB_HOST
    #[arg(long, value_name = "PATH", value_delimiter = ',', value_parser = parameter_path)]
    pub ssm_paths: Vec<String>,
}

/// The database in parts, from which the URLs are built and escaped for each driver.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Host or address [default: what AIRFLOW__DATABASE__SQL_ALCHEMY_CONN says, as for all parts]
    #[arg(long, value_name = "HOST")]
    pub db_host: Option<String>,
    /// Port
    #[arg(long, value_name = "PORT")]
    pub db_port: Option<String>,
    /// The database's name
    #[arg(long, value_name = "NAME")]
    pub db_name: Option<String>,
    /// Whom to log in as
    #[arg(long, value_name = "NAME")]
    pub db_user: Option<String>,
    /// The password
    #[arg(long, value_name = "PASSWORD", hide = true, hide_env_values = true)]
    pub db_password: Option<OsString>,
    /// disable, prefer, require, verify-ca or verify-full
    #[arg(long, value_name = "MODE")]
    pub db_sslmode: Option<String>,
    /// File of the certificates that sign the server's, for verify-ca and verify-full
    #[arg(long, value_name = "FILE")]
    pub db_sslrootcert: Option<String>,
}

/// What is waited for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Waiting")]
pub struct WaitSettings {
    /// How long to wait for parameters, files, Postgres and the broker together; 0s tries once
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub wait_timeout: Duration,
    /// Paths that must exist before the service starts
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub wait_files: Vec<PathBuf>,
}

/// What may be done to the schema.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Schema")]
pub struct SchemaSettings {
    /// auto creates a schema and migrates within a major version, major crosses it too, wait waits
    /// until another has, never only looks; given at all, also for commands that are no service
    /// [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub migrate: Option<Migrate>,
    /// For a migration, for its lock, and for another's migration
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub migrate_timeout: Duration,
    /// A schema that is ahead is fine when the Airflow that migrated it has the same minor version,
    /// always, or never
    #[arg(long, value_enum, value_name = "WHAT", default_value = "minor")]
    pub schema_ahead: SchemaAhead,
}

/// The administrator that is created once, where the auth manager keeps users.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Administrator")]
pub struct AdminSettings {
    /// The administrator's name; without one none is created
    #[arg(long, value_name = "NAME")]
    pub admin_username: Option<String>,
    /// The administrator's password
    #[arg(long, value_name = "PASSWORD", hide = true, hide_env_values = true)]
    pub admin_password: Option<OsString>,
    /// E-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub admin_email: Option<String>,
    /// First name
    #[arg(long, value_name = "NAME")]
    pub admin_firstname: Option<String>,
    /// Last name
    #[arg(long, value_name = "NAME")]
    pub admin_lastname: Option<String>,
    /// Role
    #[arg(long, value_name = "ROLE")]
    pub admin_role: Option<String>,
    /// SimpleAuthManager in a service, with passwords of its own in each container
    #[arg(long, value_enum, value_name = "WHAT", default_value = "refuse")]
    pub simple_auth: SimpleAuth,
}

/// How the service is run and stopped.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run and stop")]
pub struct RunSettings {
    /// From SIGTERM to SIGKILL of what is left; keep it under ECS's stopTimeout
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub stop_grace: Duration,
    /// Who gets a signal: the service's process group, or its main process only
    /// [default: main for celery worker, else group]
    #[arg(long, value_enum, value_name = "WHO")]
    pub signal_scope: Option<Scope>,
    /// Signals to be passed on as another, TERM:QUIT, or not at all, HUP:0
    #[arg(long, value_name = "FROM:TO", value_delimiter = ',', value_parser = rewrite)]
    pub signal_rewrite: Vec<Rewrite>,
}

/// What concerns ECS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ECS")]
pub struct EcsSettings {
    /// ECS task protection while the schema is migrated
    #[arg(long, value_enum, value_name = "WHEN", default_value = "off")]
    pub task_protection: TaskProtection,
    /// How long a fatal exit is held back, because ECS restarts a task at once; 0s never
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub fatal_hold: Duration,
}

/// `--migrate`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum Migrate {
    Auto,
    Major,
    Wait,
    Never,
}

/// `--schema-ahead`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum SchemaAhead {
    Minor,
    Allow,
    Refuse,
}

/// `--simple-auth`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum SimpleAuth {
    #[default]
    Refuse,
    Allow,
}

/// `--task-protection`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum TaskProtection {
    Off,
    Migrate,
}

impl Settings {
    /// What to do about the schema.
    pub fn migrate(&self) -> Migrate {
        self.schema.migrate.unwrap_or(Migrate::Auto)
    }

    /// Flags win over variables: those whose values may be references go where they are looked up.
    /// A value that came from the variable is set to what it is already.
    pub fn apply_to(&self, variables: &mut Variables) {
        let (database, admin) = (&self.database, &self.admin);
        for (name, given) in [
            ("ENTRYPOINT_DB_HOST", &database.db_host),
            ("ENTRYPOINT_DB_PORT", &database.db_port),
            ("ENTRYPOINT_DB_NAME", &database.db_name),
            ("ENTRYPOINT_DB_USER", &database.db_user),
            ("ENTRYPOINT_DB_SSLMODE", &database.db_sslmode),
            ("ENTRYPOINT_DB_SSLROOTCERT", &database.db_sslrootcert),
            ("ENTRYPOINT_ADMIN_USERNAME", &admin.admin_username),
            ("ENTRYPOINT_ADMIN_EMAIL", &admin.admin_email),
            ("ENTRYPOINT_ADMIN_FIRSTNAME", &admin.admin_firstname),
            ("ENTRYPOINT_ADMIN_LASTNAME", &admin.admin_lastname),
            ("ENTRYPOINT_ADMIN_ROLE", &admin.admin_role),
        ] {
            if let Some(value) = given {
                variables.set(name, value.clone(), Source::Literal);
            }
        }
    }
}

fn rewrite(text: &str) -> Result<Rewrite, String> {
    text.parse().map_err(|why| {
        format!("a rewrite is two signals, such as TERM:QUIT, or HUP:0 for none; {why}")
    })
}

/// A path of the Parameter Store, without the slash at its end.
fn parameter_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if path.starts_with('/') && path.bytes().all(allowed) && !path.contains("//") {
        return Ok(path.to_owned());
    }
    Err(
        "a path of the Parameter Store begins with a slash and has letters, digits and . - _, \
         such as /airflow/prod"
            .to_owned(),
    )
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
