//! A real Redis, with users, and TLS by a certificate of the test's own.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use redis::Value;

use crate::process::{Process, Program, Signal};
use crate::server::{Authority, Guard, free_port};

/// A start is some milliseconds, but for a machine that is building.
const START: Duration = Duration::from_secs(30);
/// The test's own user, who may do everything whatever the others may.
const USER: &str = "testkit";
const PASSWORD: &str = "password-of-a-test";

/// How a server is to differ from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    lines: Vec<String>,
    names: Vec<String>,
    tls: bool,
    expired: bool,
}

impl Options {
    /// One without TLS and without a password.
    pub fn new() -> Options {
        Options::default()
    }

    /// A line of redis.conf, `maxmemory 1mb`.
    pub fn line(mut self, line: &str) -> Options {
        self.lines.push(line.to_owned());
        self
    }

    /// A password for the default user.
    pub fn password(self, password: &str) -> Options {
        let line = format!("requirepass {}", quoted(password));
        self.line(&line)
    }

    /// A user with a password who may do what `rules` say: `~* &* +@all`.
    pub fn user(self, name: &str, password: &str, rules: &str) -> Options {
        let line = format!("user {name} on {} {rules}", quoted(&format!(">{password}")));
        self.line(&line)
    }

    /// With TLS on [`Redis::tls_port`], for `localhost` and 127.0.0.1.
    pub fn tls(mut self) -> Options {
        self.tls = true;
        self
    }

    /// With TLS, and these names and addresses in its certificate.
    pub fn names(mut self, names: &[&str]) -> Options {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self.tls()
    }

    /// With TLS, and a certificate that is out of date.
    pub fn expired(mut self) -> Options {
        self.expired = true;
        self.tls()
    }
}

/// A running server; it ends when this is dropped, and when the test's process does.
#[derive(Debug)]
pub struct Redis {
    directory: tempfile::TempDir,
    authority: Authority,
    port: u16,
    tls_port: u16,
    options: Options,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    guard: Guard,
}

impl Redis {
    /// One server for all tests of this process, for those that keep to keys of their own.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn shared() -> &'static Redis {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(Redis::start)
    }

    /// Starts a server of its own.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it cannot be started.
    pub fn start() -> Redis {
        Redis::with(&Options::new())
    }

    /// Starts a server of its own that differs from the plain one.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn with(options: &Options) -> Redis {
        let directory = match tempfile::Builder::new().prefix("redis").tempdir() {
            Ok(directory) => directory,
            Err(error) => panic!("redis has no directory: {error}"),
        };
        let mut redis = Redis {
            directory,
            authority: Authority::new(),
            port: free_port(),
            tls_port: free_port(),
            options: options.clone(),
            running: Mutex::new(None),
        };
        for _ in 0..10 {
            redis.configure();
            if redis.launch() {
                return redis;
            }
            (redis.port, redis.tls_port) = (free_port(), free_port());
        }
        panic!("redis found ten ports taken");
    }

    /// 127.0.0.1's port, without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// 127.0.0.1's port, with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// `redis://127.0.0.1:PORT/0`, without a user.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// `rediss://localhost:PORT/0`, without a user.
    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}/0", self.tls_port)
    }

    /// The certificate of the authority that signed its own, in a file.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// One command, by the test's own user.
    ///
    /// # Panics
    /// When the server refuses it, or is not there.
    pub fn command(&self, words: &[&str]) -> Value {
        match self.try_command(words) {
            Ok(value) => value,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    /// One command, by the test's own user, or what the server answered.
    ///
    /// # Errors
    /// When the server refuses it, or is not there.
    pub fn try_command(&self, words: &[&str]) -> Result<Value, redis::RedisError> {
        let url = format!("redis://{USER}:{PASSWORD}@127.0.0.1:{}/0", self.port);
        let mut connection = redis::Client::open(url)?.get_connection_with_timeout(START)?;
        connection.set_read_timeout(Some(START))?;
        let (name, rest) = words.split_first().unwrap_or((&"PING", &[]));
        redis::cmd(name).arg(rest).query(&mut connection)
    }

    /// All that it logged since its last start.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn log(&self) -> String {
        self.with_process(|process| process.stdout())
    }

    /// Sends a signal: `STOP` leaves its clients without an answer, `CONT` goes on.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn signal(&self, signal: Signal) {
        self.with_process(|process| process.signal(signal));
    }

    /// Stops it; what it held is lost.
    pub fn stop(&self) {
        if let Some(mut running) = self.lock().take() {
            running.guard.release();
            running.process.kill();
        }
    }

    /// Starts it again on the same port, with what it last saved.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&self) {
        let started = Instant::now();
        while !self.launch() {
            assert!(
                started.elapsed() < START,
                "port {} is not free again",
                self.port
            );
        }
    }

    /// Stops and starts it; what it held is there again.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart_with_data(&self) {
        self.command(&["SAVE"]);
        self.stop();
        self.start_again();
    }

    /// Stops and starts it; it is empty then.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart_without_data(&self) {
        self.stop();
        let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        self.start_again();
    }

    fn configure(&self) {
        let directory = self.directory.path();
        let mut text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nsave \"\"\nappendonly no\nuser {USER} on >{PASSWORD} ~* &* +@all\n",
            self.port,
            directory.display()
        );
        if self.options.tls {
            let names: Vec<&str> = match self.options.names.is_empty() {
                true => vec!["localhost", "127.0.0.1"],
                false => self.options.names.iter().map(String::as_str).collect(),
            };
            let pair = match self.options.expired {
                true => self.authority.expired_certificate(&names),
                false => self.authority.certificate(&names),
            };
            self.write("server.crt", &pair.0);
            self.write("server.key", &pair.1);
            text.push_str(&format!(
                "tls-port {}\ntls-cert-file {directory}/server.crt\ntls-key-file {directory}/server.key\n\
                 tls-ca-cert-file {directory}/authority.pem\ntls-auth-clients no\n",
                self.tls_port,
                directory = directory.display()
            ));
        }
        self.write("authority.pem", &self.authority.pem());
        for line in &self.options.lines {
            text.push_str(line);
            text.push('\n');
        }
        self.write("redis.conf", &text);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        if let Err(error) = std::fs::write(&path, text) {
            panic!("{} cannot be written: {error}", path.display());
        }
    }

    /// Whether it took its ports.
    fn launch(&self) -> bool {
        let mut process = Program::new("redis-server")
            .arg(self.directory.path().join("redis.conf"))
            .inherit(&["PATH"])
            .spawn();
        let started = Instant::now();
        loop {
            let written = process.stdout();
            if written.contains("Ready to accept connections") {
                let guard = Guard::over(process.id(), self.directory.path());
                *self.lock() = Some(Running { process, guard });
                return true;
            }
            if !process.is_running() && process.stdout().contains("bind") {
                return false;
            }
            assert!(
                process.is_running() && started.elapsed() < START,
                "redis cannot be started (`make deps` installs it):\n{written}{}",
                process.stderr()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn with_process<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        match self.lock().as_mut() {
            Some(running) => act(&mut running.process),
            None => panic!("redis is stopped"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A word of redis.conf, whatever is in it.
fn quoted(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"", bytes.collect::<String>())
}
