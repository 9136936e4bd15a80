//! What a service needs beside keys: a command that this Airflow has, its database, its executor and
//! the broker; and who keeps passwords.

use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::airflow::config::variable;
use crate::command::Service;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    [
        command(subject),
        dag_processor(subject),
        executor(subject),
        database(subject),
        broker(subject),
        auth_manager(subject),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The web server has another name in 3.x.
fn command(subject: &Subject<'_>) -> Option<Finding> {
    let why = match subject.service {
        Service::Webserver if subject.at_least(3, 0, 0) => {
            "webserver is gone in Airflow 3: run api-server"
        }
        Service::ApiServer if subject.before(3, 0, 0) => {
            "api-server comes with Airflow 3: run webserver"
        }
        _ => return None,
    };
    Some(Finding::new(Level::Error, "command", why))
}

/// 2.x ends it with "The option \[scheduler/standalone_dag_processor\] must be True".
fn dag_processor(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("scheduler", "standalone_dag_processor");
    let asked = subject.service == Service::DagProcessor && subject.before(3, 0, 0);
    if !asked || subject.config.is_on(section, key) == Some(true) {
        return None;
    }
    let why = "must be True, here and for the scheduler, where a dag-processor runs by itself";
    Some(subject.finding(Level::Error, section, key, why))
}

/// Up to 3.1 Airflow knows no `celery` command unless the executor is one of Celery's.
fn executor(subject: &Subject<'_>) -> Option<Finding> {
    const NOT_CELERYS: [&str; 4] = [
        "LocalExecutor",
        "SequentialExecutor",
        "DebugExecutor",
        "KubernetesExecutor",
    ];
    if !subject.is_celery() {
        return None;
    }
    let executors = subject.executors()?;
    let mut each = executors.split(',').map(str::trim);
    // An executor of somebody else's may be derived from Celery's.
    if !each.all(|name| NOT_CELERYS.contains(&name)) {
        return None;
    }
    let level = if subject.before(3, 2, 0) {
        Level::Error
    } else {
        Level::Warning
    };
    let why = format!(
        "is {executors}, which sends nothing to Celery: set CeleryExecutor in every service"
    );
    Some(subject.finding(level, "core", "executor", &why))
}

fn database(subject: &Subject<'_>) -> Option<Finding> {
    let set = |section, key| !subject.config.setting(section, key).is_unset();
    let needs = match subject.service {
        // One container is all of it.
        Service::Standalone | Service::CeleryFlower => false,
        // From 3.0 it uses the database for nothing but Celery's results, unless they go elsewhere.
        Service::CeleryWorker if subject.at_least(3, 0, 0) => !set("celery", "result_backend"),
        _ => true,
    };
    if !needs || set("database", "sql_alchemy_conn") {
        return None;
    }
    let why = "is not set: Airflow would use a SQLite file of this container's own, so set it, or ENTRYPOINT_DB_HOST, _NAME, _USER and _PASSWORD";
    Some(subject.finding(Level::Error, "database", "sql_alchemy_conn", why))
}

fn broker(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("celery", "broker_url");
    if !subject.speaks_to_celery() || !subject.config.setting(section, key).is_unset() {
        return None;
    }
    let why = "is not set: Celery would look for redis://redis:6379/0, so give the broker's URL";
    Some(subject.finding(Level::Error, section, key, why))
}

/// SimpleAuthManager, 3.x's default, keeps passwords in a file of each container. A Celery worker has
/// no logins.
fn auth_manager(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("core", "auth_manager");
    if subject.simple_auth_allowed || subject.is_celery() {
        return None;
    }
    let is_simple = match subject.config.text(section, key) {
        Some(manager) => manager.trim().ends_with("SimpleAuthManager"),
        None => subject.at_least(3, 0, 0) && subject.config.setting(section, key).is_unset(),
    };
    let why = format!(
        "is SimpleAuthManager's, with passwords of its own in each container: set {}=airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager or another, or ENTRYPOINT_SIMPLE_AUTH=allow",
        variable(section, key)
    );
    is_simple.then(|| subject.finding(Level::Refused, section, key, &why))
}
