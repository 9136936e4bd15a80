//! The whole of it on one machine: the servers, Airflow's services through `entrypoint`, the sidecars.

mod role;
mod servers;
mod service;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::airflow::{self, Airflow, Release};
use testkit::ecs::EcsAgent;

pub use role::Role;
pub use servers::{ADMIN, BUCKET, PARAMETERS, Servers};
pub use service::{Event, Service};

use crate::timeline::Timeline;

/// How a stack is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its files are; it must exist.
    pub root: PathBuf,
    /// Where the four programs are.
    pub programs: PathBuf,
    /// Which Airflow.
    pub release: Release,
    /// Celery with Redis, or else tasks in the scheduler.
    pub celery: bool,
    /// Tasks that a worker runs.
    pub concurrency: u32,
    /// The target's most.
    pub max_workers: u32,
    /// How long the target holds.
    pub hold: Duration,
    /// The port of Airflow's UI and API; any free one where it is none.
    pub port: Option<u16>,
    /// The administrator's password.
    pub password: String,
    /// Airflow's settings beside those that the stack needs: `AIRFLOW__…`, as parameters `env/NAME`.
    pub airflow: BTreeMap<String, String>,
}

impl Settings {
    /// Airflow 3.1 with Celery, and what makes an upload visible fast: docs/latency.md.
    pub fn new(root: &Path, programs: &Path) -> Settings {
        let fast = [
            ("AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL", "5"),
            ("AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", "5"),
            ("AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL", "1"),
            ("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0"),
            ("AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME", "3600"),
            ("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "3600"),
            ("AIRFLOW__CORE__PARALLELISM", "64"),
            // Its second is too short for a new TLS connection to Redis where the CPU is shared.
            ("AIRFLOW__CELERY__OPERATION_TIMEOUT", "10"),
            ("AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT", "30"),
            ("AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG", "64"),
        ];
        Settings {
            root: root.to_owned(),
            programs: programs.to_owned(),
            release: Release::V3_1,
            celery: true,
            concurrency: 2,
            max_workers: 4,
            hold: Duration::from_secs(20),
            port: None,
            password: "pa$HOME~w@rd/%s: 'é'".to_owned(),
            airflow: fast
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// With this setting of Airflow's.
    pub fn with(mut self, name: &str, value: &str) -> Settings {
        self.airflow.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// The servers, and the services that were started. Dropped, all of them end.
#[derive(Debug)]
pub struct Stack {
    // Services go before the servers that they speak to.
    services: Vec<Service>,
    /// The servers.
    pub servers: Servers,
    /// How it is.
    pub settings: Settings,
    /// What happened when.
    pub timeline: Timeline,
    /// The ECS agents of the workers' tasks.
    agents: BTreeMap<u32, EcsAgent>,
    programs: PathBuf,
    airflow: Airflow,
    port: u16,
    scheduler_port: u16,
}

impl Stack {
    /// Starts the servers and puts the parameters; no service yet.
    ///
    /// # Panics
    /// When something of it cannot be had.
    pub fn prepare(settings: Settings) -> Stack {
        let root = airflow::writable(&settings.root);
        let airflow = Airflow::of(settings.release);
        let programs = root.join("bin");
        for name in ["s3sync", "entrypoint", "queue-metrics", "healthcheck"] {
            service::copied(&settings.programs.join(name), &programs);
        }
        for directory in ["dags", "logs", "data"] {
            airflow::writable(&root.join(directory));
        }
        let servers = Servers::start(&root, &settings.password);
        let stack = Stack {
            services: Vec::new(),
            servers,
            port: settings.port.unwrap_or_else(testkit::server::free_port),
            scheduler_port: testkit::server::free_port(),
            settings,
            timeline: Timeline::new(),
            agents: BTreeMap::new(),
            programs,
            airflow,
        };
        let variables = &stack.settings.airflow;
        let variables = variables.iter().map(|(name, value)| (&**name, &**value));
        stack.servers.put_parameters(variables);
        stack
    }

    /// Starts a service, as ECS would; it takes the place of one of its name.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&mut self, role: Role) -> &mut Service {
        self.start_with(role, &[])
    }

    /// The same, with variables of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(&mut self, role: Role, variables: &[(&str, &str)]) -> &mut Service {
        if let Role::Protect(number) = role {
            // A task of its own, which nobody protects yet.
            self.agents.insert(number, EcsAgent::start());
        }
        let mut container = role.container(self);
        for (name, value) in variables {
            let pair = ((*name).to_owned(), (*value).to_owned());
            container.environment.insert(pair.0, pair.1);
        }
        let name = container.name.clone();
        // The old one ends first: two of a name would share a status file.
        self.services.retain(|service| service.name() != name);
        self.timeline.event(&name, "started");
        self.services.push(Service::start(container));
        match self.services.last_mut() {
            Some(service) => service,
            None => unreachable!("it was pushed right now"),
        }
    }

    /// A service by name.
    ///
    /// # Panics
    /// When there is none.
    pub fn service(&mut self, name: &str) -> &mut Service {
        let found = self.services.iter_mut().find(|known| known.name() == name);
        match found {
            Some(service) => service,
            None => panic!("there is no service {name}"),
        }
    }

    /// The ECS agent of the task of the worker of that number.
    ///
    /// # Panics
    /// When no [`Role::Protect`] was started for it.
    pub fn agent(&self, number: u32) -> &EcsAgent {
        match self.agents.get(&number) {
            Some(agent) => agent,
            None => panic!("there is no task {number}"),
        }
    }

    /// All services, in the order of their starts.
    pub fn services(&mut self) -> &mut [Service] {
        &mut self.services
    }

    /// Sends SIGTERM, waits for the end, and forgets it; its exit code.
    ///
    /// # Panics
    /// When there is none, or it does not end.
    pub fn stop(&mut self, name: &str) -> i32 {
        self.tell_to_stop(name);
        self.wait_for_end(name)
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When there is none.
    pub fn tell_to_stop(&mut self, name: &str) {
        self.timeline.event(name, "is told to stop");
        self.service(name).signal(rustix::process::Signal::TERM);
    }

    /// Waits for the end of one that was told to stop, and forgets it; its exit code.
    ///
    /// # Panics
    /// When there is none, or it does not end.
    pub fn wait_for_end(&mut self, name: &str) -> i32 {
        let code = self.service(name).exit_within(Duration::from_secs(150));
        self.timeline.event(name, "ended");
        self.services.retain(|service| service.name() != name);
        code
    }

    /// Waits until `healthcheck` says that each of these is healthy; how long each took since its start.
    ///
    /// # Panics
    /// When one ends, or is not healthy at the deadline.
    pub fn wait_healthy(
        &mut self,
        names: &[&str],
        deadline: Duration,
    ) -> BTreeMap<String, Duration> {
        let began = Instant::now();
        let mut took = BTreeMap::new();
        while took.len() < names.len() {
            for name in names {
                if took.contains_key(*name) {
                    continue;
                }
                let service = self.service(name);
                let state = service.health();
                let since = service.started.elapsed();
                let code = service.exit();
                let told = || format!("{state:?}\n{}", service.told(20));
                assert!(code.is_none(), "{name} ended with {code:?}: {}", told());
                assert!(
                    began.elapsed() < deadline,
                    "{name} is not healthy after {deadline:?}: {}",
                    told()
                );
                if state.is_ok() {
                    took.insert((*name).to_owned(), since);
                    self.timeline.event(name, "healthy");
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        took
    }

    /// As [`Stack::wait_healthy`], until each of them [serves](Service::serves).
    ///
    /// # Panics
    /// As [`Stack::wait_healthy`].
    pub fn wait_serving(&mut self, names: &[&str], deadline: Duration) {
        self.wait_healthy(names, deadline);
        let began = Instant::now();
        let mut left: Vec<&str> = names.to_vec();
        while !left.is_empty() {
            left.retain(|name| {
                let service = self.service(name);
                let status = service.status();
                let code = service.exit();
                let told = || format!("{status}\n{}", service.told(20));
                assert!(code.is_none(), "{name} ended with {code:?}: {}", told());
                assert!(
                    began.elapsed() < deadline,
                    "{name} does not serve after {deadline:?}: {}",
                    told()
                );
                let serves = service.serves();
                if serves {
                    self.timeline.event(name, "serves");
                }
                !serves
            });
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The names of all services, the last started first: the order in which to stop them.
    pub fn names(&self) -> Vec<String> {
        let names = self.services.iter().rev();
        names.map(|service| service.name().to_owned()).collect()
    }

    /// What is started from now on is of that release: another image.
    pub fn roll_to(&mut self, release: Release) {
        self.airflow = Airflow::of(release);
    }

    /// The directory of DAGs.
    pub fn dags(&self) -> PathBuf {
        self.settings.root.join("dags")
    }

    /// `http://127.0.0.1:PORT` of the UI and the API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first value of the first row that a query in Airflow's database answers.
    pub fn value(&self, sql: &str) -> Option<String> {
        let rows = self.servers.postgres.try_rows("airflow", sql).ok()?;
        rows.first()?.first()?.clone()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // All at once; each is then waited for by its own drop.
        for service in &mut self.services {
            service.signal(rustix::process::Signal::TERM);
        }
    }
}
