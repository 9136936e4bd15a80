//! What each container runs, with which variables, and how its health is asked for: what a task
//! definition would say.

use std::collections::BTreeMap;

use testkit::airflow::Release;
use testkit::ecs::EcsAgent;

use super::service::Container;
use super::{BUCKET, PARAMETERS, Stack};

const FAB: &str = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";

/// A container of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// `s3sync watch`.
    S3Sync,
    /// Airflow 3's API server, with the UI.
    ApiServer,
    /// Airflow 2's web server.
    Webserver,
    /// The scheduler.
    Scheduler,
    /// The DAG processor.
    DagProcessor,
    /// The triggerer.
    Triggerer,
    /// A one-off task that brings the schema up to date and ends.
    Migrate,
    /// A Celery worker, by number.
    Worker(u32),
    /// `queue-metrics watch`.
    QueueMetrics,
    /// `queue-metrics protect`, beside the worker of that number.
    Protect(u32),
}

impl Role {
    /// `worker-1`.
    pub fn name(&self) -> String {
        match self {
            Role::S3Sync => "s3sync".to_owned(),
            Role::ApiServer => "api-server".to_owned(),
            Role::Webserver => "webserver".to_owned(),
            Role::Scheduler => "scheduler".to_owned(),
            Role::DagProcessor => "dag-processor".to_owned(),
            Role::Triggerer => "triggerer".to_owned(),
            Role::Migrate => "migrate".to_owned(),
            Role::Worker(number) => format!("worker-{number}"),
            Role::QueueMetrics => "queue-metrics".to_owned(),
            Role::Protect(number) => format!("protect-{number}"),
        }
    }

    pub(super) fn container(&self, stack: &Stack) -> Container {
        let name = self.name();
        let directory = stack.settings.root.join(&name);
        let mut environment = plain(stack, &name);
        let status = directory.join("status.json").display().to_string();
        let (program, words, checks) = match self {
            Role::S3Sync => {
                environment.insert("S3SYNC_STATUS_FILE".into(), status.clone());
                environment.insert("S3SYNC_METRICS".into(), "cloudwatch".into());
                let (source, dest) = (format!("s3://{BUCKET}/dags"), stack.dags());
                let words = vec!["watch".into(), source, dest.display().to_string()];
                ("s3sync", words, vec![format!("status:{status}")])
            }
            Role::QueueMetrics => {
                environment.extend(queue_metrics(stack, &status));
                let words = vec!["watch".into()];
                ("queue-metrics", words, vec![format!("status:{status}")])
            }
            Role::Protect(number) => {
                environment.extend(queue_metrics(stack, &status));
                let agent = stack.agents.get(number).map(EcsAgent::uri);
                environment.extend(agent.map(|uri| ("ECS_AGENT_URI".to_owned(), uri)));
                let worker = format!("celery@{}", Role::Worker(*number).name());
                let words = vec!["protect".into(), "--worker".into(), worker];
                ("queue-metrics", words, vec![format!("status:{status}")])
            }
            service => {
                environment.extend(airflow(stack, &name, &status));
                if matches!(service, Role::Worker(_)) {
                    // Under Fargate's longest stopTimeout, 120 s.
                    environment.insert("ENTRYPOINT_STOP_GRACE".into(), "115s".into());
                }
                let (words, profile) = service.service();
                ("entrypoint", words, vec![format!("airflow:{profile}")])
            }
        };
        Container {
            name,
            program: stack.programs.join(program),
            words,
            environment,
            checks,
            healthcheck: stack.programs.join("healthcheck"),
            directory,
        }
    }

    /// The words after `entrypoint`, and the profile of `healthcheck`.
    fn service(&self) -> (Vec<String>, &'static str) {
        let one = |word: &str| vec![word.to_owned()];
        match self {
            Role::ApiServer => (one("api-server"), "api-server"),
            Role::Webserver => (one("webserver"), "webserver"),
            Role::DagProcessor => (one("dag-processor"), "dag-processor"),
            Role::Migrate => (
                ["--init-only", "scheduler"].map(str::to_owned).into(),
                "scheduler",
            ),
            Role::Triggerer => (one("triggerer"), "triggerer"),
            Role::Worker(_) => {
                // Logs lie in a directory that all share: none needs a server of its own for them.
                let words = ["celery", "worker", "--skip-serve-logs"];
                (words.map(str::to_owned).into(), "worker")
            }
            _ => (one("scheduler"), "scheduler"),
        }
    }
}

/// What every container has.
fn plain(stack: &Stack, name: &str) -> BTreeMap<String, String> {
    let home = stack.settings.root.join(name).display().to_string();
    let mut variables: BTreeMap<String, String> = stack.servers.environment().into_iter().collect();
    variables.extend([
        ("HOME".to_owned(), home),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("TRIMTAB_LOG_FORMAT".to_owned(), "json".to_owned()),
        ("TRIMTAB_ENVIRONMENT".to_owned(), "laptop".to_owned()),
        ("TRIMTAB_SERVICE".to_owned(), name.to_owned()),
    ]);
    variables
}

/// What the sidecars on the broker have beside it; the URL is one of ECS's `secrets`.
fn queue_metrics(stack: &Stack, status: &str) -> Vec<(String, String)> {
    let settings = &stack.settings;
    let pairs = [
        ("QUEUE_METRICS_BROKER_URL", stack.servers.broker_url()),
        ("QUEUE_METRICS_STATUS_FILE", status.to_owned()),
        (
            "QUEUE_METRICS_WORKER_CONCURRENCY",
            settings.concurrency.to_string(),
        ),
        (
            "QUEUE_METRICS_MAX_WORKERS",
            settings.max_workers.to_string(),
        ),
        (
            "QUEUE_METRICS_HOLD",
            format!("{}s", settings.hold.as_secs()),
        ),
        ("TRIMTAB_SERVICE", "worker".to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What Airflow's containers have beside it. No secret is among it.
fn airflow(stack: &Stack, name: &str, status: &str) -> Vec<(String, String)> {
    let settings = &stack.settings;
    let path = |name: &str| settings.root.join(name).display().to_string();
    let executor = match settings.celery {
        true => "CeleryExecutor",
        false => "LocalExecutor",
    };
    let bin = stack.airflow.bin();
    let port = stack.port.to_string();
    let pairs = [
        ("PATH", format!("{}:/usr/bin:/bin", bin.display())),
        // The user may have no line in /etc/passwd, and Airflow wants a name.
        ("LOGNAME", "airflow".into()),
        ("AIRFLOW_HOME", path(name)),
        ("ENTRYPOINT_PARAMETERS", PARAMETERS.into()),
        (
            "ENTRYPOINT_DB_SSLROOTCERT",
            stack.servers.postgres_authority().display().to_string(),
        ),
        ("ENTRYPOINT_STATUS_FILE", status.into()),
        ("ENTRYPOINT_METRICS", "cloudwatch".into()),
        ("DAG_DATA_DIR", path("data")),
        ("AIRFLOW__CORE__EXECUTOR", executor.into()),
        // No name server knows these hosts.
        (
            "AIRFLOW__CORE__HOSTNAME_CALLABLE",
            "socket.gethostname".into(),
        ),
        ("AIRFLOW__CORE__LOAD_EXAMPLES", "False".into()),
        ("AIRFLOW__CORE__DAGS_FOLDER", path("dags")),
        ("AIRFLOW__CORE__PLUGINS_FOLDER", path("dags/plugins")),
        ("AIRFLOW__LOGGING__BASE_LOG_FOLDER", path("logs")),
        ("AIRFLOW__API__HOST", "127.0.0.1".into()),
        ("AIRFLOW__API__PORT", port.clone()),
        ("AIRFLOW__API__WORKERS", "1".into()),
        (
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
            format!("http://127.0.0.1:{port}/execution/"),
        ),
        ("AIRFLOW__WEBSERVER__WEB_SERVER_HOST", "127.0.0.1".into()),
        ("AIRFLOW__WEBSERVER__WEB_SERVER_PORT", port),
        ("AIRFLOW__WEBSERVER__WORKERS", "1".into()),
        // 120 s are too few for a machine that builds at the same time.
        (
            "AIRFLOW__WEBSERVER__WEB_SERVER_MASTER_TIMEOUT",
            "300".into(),
        ),
        (
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
            stack.scheduler_port.to_string(),
        ),
        (
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
            testkit::server::free_port().to_string(),
        ),
        (
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
            testkit::server::free_port().to_string(),
        ),
        (
            "AIRFLOW__CELERY__WORKER_CONCURRENCY",
            settings.concurrency.to_string(),
        ),
    ];
    let mut variables: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_owned(), value)).into();
    if settings.release == Release::V2_8 {
        // Its server of health is forked from the scheduler and shares its session with Postgres: a
        // question that comes before the scheduler's first statement leaves it waiting for ever.
        return variables;
    }
    // Airflow 2 has it built in, under another name.
    let more = [
        ("AIRFLOW__CORE__AUTH_MANAGER", FAB),
        ("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "True"),
    ];
    variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}
