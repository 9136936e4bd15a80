//! One container's worth of processes: a program with a home, a log and a status file of its own, and
//! what ECS sees of it, through `healthcheck`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::process::{Finished, Program};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longer than `entrypoint`'s own grace, after which nothing is left. A worker's is longer, for a task
/// that runs: who drops a stack has no use for that.
const END: Duration = Duration::from_secs(40);

/// What is to be started.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) words: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// The words after `healthcheck`.
    pub(super) checks: Vec<String>,
    pub(super) healthcheck: PathBuf,
    pub(super) directory: PathBuf,
}

/// One that was started. Dropped, it is stopped as ECS stops a task.
#[derive(Debug)]
pub struct Service {
    container: Container,
    child: Child,
    exit: Option<i32>,
    /// When it was started.
    pub started: Instant,
    wall: SystemTime,
}

/// An event of an agent's log.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// When it was logged, after the start of its process.
    pub at: Duration,
    /// All its fields.
    pub fields: Value,
}

impl Service {
    pub(super) fn start(container: Container) -> Service {
        let child = spawn(&container);
        let child = match child {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", container.name),
        };
        Service {
            container,
            child,
            exit: None,
            started: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// `worker-1`.
    pub fn name(&self) -> &str {
        &self.container.name
    }

    /// The process id of our own program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote, all of it, earlier starts under the same name included.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where it writes.
    pub fn log_file(&self) -> PathBuf {
        self.container.directory.join("log")
    }

    /// The last lines of its log, for a message of what went wrong.
    pub fn told(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The lines that are our program's own, since this start.
    pub fn events(&self) -> Vec<Event> {
        let since = OffsetDateTime::from(self.wall);
        let event = |line: &str| {
            let fields: Value = serde_json::from_str(line).ok()?;
            let name = fields.get("event")?.as_str()?.to_owned();
            let stamp = fields.get("timestamp")?.as_str()?;
            let at = OffsetDateTime::parse(stamp, &Rfc3339).ok()? - since;
            // Lines of an earlier start; the clock of a log has fewer digits than ours.
            let at = (at.as_seconds_f64() + 0.01).max(-1.0);
            (at >= 0.0).then(|| Event {
                name,
                at: Duration::from_secs_f64(at),
                fields,
            })
        };
        self.log()
            .lines()
            .filter(|line| line.starts_with('{'))
            .filter_map(event)
            .collect()
    }

    /// The first event of that name since this start.
    pub fn event(&self, name: &str) -> Option<Event> {
        self.events().into_iter().find(|event| event.name == name)
    }

    /// Its status file; null where there is none.
    pub fn status(&self) -> Value {
        let text = fs::read(self.status_file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }

    /// Whether it does its work: `entrypoint` says healthy while it still migrates, or waits for the
    /// first sign of a service that it started.
    pub fn serves(&self) -> bool {
        let status = self.status();
        let running = status["phase"] == "running" && status["reason"].is_null();
        self.health().is_ok() && (status["agent"] != "entrypoint" || running)
    }

    fn status_file(&self) -> PathBuf {
        self.container.directory.join("status.json")
    }

    /// What ECS's health check says: the exit code and the reason of `healthcheck`.
    pub fn health(&self) -> Result<(), String> {
        let finished = self.check();
        match finished.code {
            0 => Ok(()),
            _ => Err(finished.stderr.trim().to_owned()),
        }
    }

    fn check(&self) -> Finished {
        Program::new(&self.container.healthcheck)
            .args(self.container.checks.iter().map(OsString::from))
            .envs(&self.container.environment)
            .run(Duration::from_secs(10))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.exit.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            let by_signal = || 128 + status.signal().unwrap_or(0);
            self.exit = Some(status.code().unwrap_or_else(by_signal));
        }
        self.exit.is_none()
    }

    /// Its exit code, 128+n for a signal; none while it runs.
    pub fn exit(&mut self) -> Option<i32> {
        self.is_running();
        self.exit
    }

    /// Sends a signal to our program, and to nobody else; says whether it still ran.
    pub fn signal(&mut self, signal: Signal) -> bool {
        // Looked at first: the id of a process that was waited for may belong to another.
        self.is_running() && kill_process(Pid::from_child(&self.child), signal).is_ok()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub fn exit_within(&mut self, deadline: Duration) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(code) = self.exit() {
                return code;
            }
            assert!(
                started.elapsed() < deadline,
                "{} still runs after {deadline:?}:\n{}",
                self.name(),
                self.told(20)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process and all that descend from it, from /proc.
    pub fn processes(&self) -> Vec<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            if let Some(parent) = parent {
                children.entry(parent).or_default().push(id);
            }
        }
        let mut found = vec![self.id()];
        let mut next = 0;
        while let Some(id) = found.get(next) {
            found.extend(children.get(id).into_iter().flatten());
            next += 1;
        }
        found
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let started = Instant::now();
        while self.is_running() && started.elapsed() < END {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.is_running() {
            // In a container they would all end with the first.
            for id in self.processes().into_iter().rev() {
                let id = i32::try_from(id).ok().and_then(Pid::from_raw);
                let _ = id.map(|id| kill_process(id, Signal::KILL));
            }
            let _ = self.child.wait();
        }
    }
}

fn spawn(container: &Container) -> std::io::Result<Child> {
    testkit::airflow::writable(&container.directory);
    let open = || {
        let path = container.directory.join("log");
        File::options().append(true).create(true).open(path)
    };
    // A host's name of its own, as each task has: Celery's workers are told apart by it. Not by
    // `--celery-hostname`, with which Airflow asks the other workers before it forks, and the pool's
    // processes then wait for ever on the connection they inherited (celery#8874).
    let mut command = Command::new("/usr/bin/unshare");
    let root = rustix::process::geteuid().is_root();
    if !root {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let named = "hostname \"$0\" && exec \"$@\"";
    command.args(["--uts", "--", "/bin/sh", "-c", named, &container.name]);
    command.arg("/usr/bin/setpriv");
    command.args(match root {
        true => ["--reuid=50000", "--regid=0", "--clear-groups"].as_slice(),
        // What the name needed, and the service must not have.
        false => ["--ambient-caps=-all", "--inh-caps=-all"].as_slice(),
    });
    // It ends with us however we end. The kernel means the thread, so that starting a service is the
    // work of a thread that stays.
    command.args(["--pdeathsig", "TERM", "--"]);
    command
        .arg(&container.program)
        .args(&container.words)
        .env_clear()
        .envs(&container.environment)
        .current_dir(&container.directory)
        // Ctrl-C in a terminal is for the stack, which then ends its services in order.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?);
    command.spawn()
}

/// A program where the containers' user can reach it.
pub(super) fn copied(program: &Path, directory: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = directory.join(program.file_name().unwrap_or_default());
    let made = fs::create_dir_all(directory)
        .and_then(|()| fs::copy(program, &copy))
        .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)));
    match made {
        Ok(()) => copy,
        Err(error) => panic!(
            "{} cannot be copied to {}: {error}; `make build` builds it",
            program.display(),
            copy.display()
        ),
    }
}
