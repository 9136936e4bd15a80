//! A real PostgreSQL, with passwords by scram, and TLS by a certificate of the test's own.
//!
//! It never runs as root: root starts it as the user `postgres`, which Debian's package makes.

mod cluster;
mod options;
mod query;
mod running;
mod text;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use cluster::Cluster;
use running::{Running, START};

pub use options::Options;
pub use running::Shutdown;
pub use text::{identifier, literal, percent};

use crate::process::{Program, Signal};
use crate::server::{Authority, free_port};

/// The superuser.
pub const SUPERUSER: &str = "postgres";

/// A user with a database of its own.
#[derive(Clone, Debug)]
pub struct Database {
    /// 127.0.0.1's port.
    pub port: u16,
    /// The database's name.
    pub name: String,
    /// Its owner.
    pub user: String,
    /// The owner's password.
    pub password: String,
}

impl Database {
    /// `postgresql://USER:PASSWORD@127.0.0.1:PORT/NAME`.
    pub fn url(&self) -> String {
        let Database {
            port,
            name,
            user,
            password,
        } = self;
        format!("postgresql://{user}:{password}@127.0.0.1:{port}/{name}")
    }
}

/// A running server; it ends when this is dropped, and when the test's process does.
#[derive(Debug)]
pub struct Postgres {
    cluster: Cluster,
    port: u16,
    authority: Authority,
    running: Mutex<Option<Running>>,
}

impl Postgres {
    /// One server for all tests of this process, for those that keep to a [`Postgres::database`] of
    /// their own.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// Starts a server of its own.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it cannot be started.
    pub fn start() -> Postgres {
        Postgres::with(&Options::new())
    }

    /// Starts a server of its own that differs from the plain one.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn with(options: &Options) -> Postgres {
        let cluster = match Cluster::make() {
            Ok(cluster) => cluster,
            Err(error) => panic!("postgres: {error:#}"),
        };
        let mut postgres = Postgres {
            cluster,
            port: free_port(),
            authority: Authority::new(),
            running: Mutex::new(None),
        };
        postgres.configure(options);
        for _ in 0..10 {
            if postgres.launch() {
                postgres.wait_until_up();
                return postgres;
            }
            postgres.port = free_port();
        }
        panic!("postgres found ten ports taken");
    }

    /// 127.0.0.1's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its programs, `psql` and `pg_dump` among them.
    pub fn programs(&self) -> &Path {
        self.cluster.programs()
    }

    /// The certificate of the authority that signed its own, in a file for `sslrootcert`.
    pub fn authority(&self) -> PathBuf {
        self.cluster.file("authority.pem")
    }

    /// Its data directory, for `standby.signal` and the like.
    pub fn data(&self) -> PathBuf {
        self.cluster.data()
    }

    /// Writes a file into the data directory that the server can read.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        self.cluster.write(name, text);
    }

    /// The superuser's URL, for any database.
    pub fn superuser_url(&self, database: &str) -> String {
        let (port, password) = (self.port, self.cluster.password());
        format!("postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
    }

    /// A database that no other test has, with an owner of its own.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn database(&self) -> Database {
        let name = format!("db{:012x}", fastrand::u64(..1 << 48));
        self.database_for(&name, &name, &format!("pw{:016x}", fastrand::u64(..)))
    }

    /// A database and its owner by name.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn database_for(&self, name: &str, user: &str, password: &str) -> Database {
        self.role(user, password);
        let (quoted, owner) = (identifier(name), identifier(user));
        self.execute(&format!("CREATE DATABASE {quoted} OWNER {owner}"));
        Database {
            port: self.port,
            name: name.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// A role that may log in, or another password for one that is there.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn role(&self, user: &str, password: &str) {
        let role = identifier(user);
        let known = self.rows(
            "postgres",
            &format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(user)),
        );
        let verb = if known.is_empty() { "CREATE" } else { "ALTER" };
        self.execute(&format!(
            "{verb} ROLE {role} LOGIN PASSWORD {}",
            literal(password)
        ));
    }

    /// Statements by the superuser in the database `postgres`.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn execute(&self, sql: &str) {
        self.rows("postgres", sql);
    }

    /// The rows of the statements, as text, by the superuser.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.try_rows(database, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// The rows of the statements, or what the server answered, with its SQLSTATE.
    ///
    /// # Errors
    /// When the server refuses, or is not there.
    pub fn try_rows(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        query::rows(self.port, self.cluster.password(), database, sql)
    }

    /// A session that only holds a connection, until it is dropped.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn hold(&self, database: &Database) -> TcpStream {
        query::hold(database)
    }

    /// Changes settings of the running server that need no restart.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn set(&self, name: &str, value: &str) {
        self.execute(&format!(
            "ALTER SYSTEM SET {} = {}",
            identifier(name),
            literal(value)
        ));
        self.execute("SELECT pg_reload_conf()");
    }

    /// Writes other lines into pg_hba.conf, and waits until they hold.
    ///
    /// # Panics
    /// When they do not.
    pub fn set_rules(&self, lines: &[&str]) {
        self.write_rules(lines);
        let before = self.log().matches("SIGHUP").count();
        self.signal(Signal::HUP);
        crate::until(START, "the server to read its rules", || {
            self.log().matches("SIGHUP").count() > before
        });
    }

    fn configure(&self, options: &Options) {
        let names: Vec<&str> = match options.names.is_empty() {
            true => vec!["localhost", "127.0.0.1"],
            false => options.names.iter().map(String::as_str).collect(),
        };
        let pair = match options.expired {
            true => self.authority.expired_certificate(&names),
            false => self.authority.certificate(&names),
        };
        self.cluster.write("server.crt", &pair.0);
        self.cluster.write("server.key", &pair.1);
        self.cluster
            .write_beside("authority.pem", &self.authority.pem());
        let ssl = if options.without_tls { "off" } else { "on" };
        let mut text = format!("ssl = {ssl}\n");
        for (name, value) in &options.settings {
            text.push_str(&format!("{name} = {}\n", literal(value)));
        }
        self.cluster.write("testkit.conf", &text);
        match &options.rules {
            Some(rules) => {
                let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
                self.write_rules(&rules);
            }
            None => self.write_rules(&["host all all 127.0.0.1/32 scram-sha-256"]),
        }
    }

    /// The superuser always gets in, so that a test can look and change its mind.
    fn write_rules(&self, lines: &[&str]) {
        let mut text = format!(
            "host all {SUPERUSER} 127.0.0.1/32 scram-sha-256\nhost replication {SUPERUSER} 127.0.0.1/32 scram-sha-256\n"
        );
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.cluster.write("pg_hba.conf", &text);
    }
}

/// A program of PostgreSQL's, run as the user that may run it.
fn as_server_user(program: &Path) -> Program {
    if !rustix::process::geteuid().is_root() {
        return Program::new(program).inherit(&["PATH"]);
    }
    Program::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .inherit(&["PATH"])
}
