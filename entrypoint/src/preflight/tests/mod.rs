//! The checks as a table and by property: a set of variables with which all is well, and changes to it.

mod report;
mod rules;

use super::*;
use crate::airflow::config::Config;
use crate::airflow::version::Version;
use crate::variables::{Source, Variables};
use Service::{
    ApiServer, CeleryFlower, CeleryWorker, DagProcessor, Scheduler, Standalone, Triggerer,
    Webserver,
};

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const FERNET: &str = "AIRFLOW__CORE__FERNET_KEY";
const EXECUTOR: &str = "AIRFLOW__CORE__EXECUTOR";
const AUTH: &str = "AIRFLOW__CORE__AUTH_MANAGER";
const API_URL: &str = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL";
const API_SECRET: &str = "AIRFLOW__API__SECRET_KEY";
const WEB_SECRET: &str = "AIRFLOW__WEBSERVER__SECRET_KEY";
const JWT: &str = "AIRFLOW__API_AUTH__JWT_SECRET";
const CONN: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN";
const CONN_ASYNC: &str = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC";
const BROKER: &str = "AIRFLOW__CELERY__BROKER_URL";
const BACKEND: &str = "AIRFLOW__CELERY__RESULT_BACKEND";
const TOKEN_TIME: &str = "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME";
const QUEUE_TIME: &str = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT";
const ALONE: &str = "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR";

/// Variables with which every service of every version works, and nothing is to be said.
const COMPLETE: [(&str, &str); 14] = [
    (FERNET, KEY),
    (EXECUTOR, "CeleryExecutor"),
    (
        AUTH,
        "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    ),
    (API_URL, "http://api.internal:8080/execution/"),
    (API_SECRET, "api secret"),
    (WEB_SECRET, "web secret"),
    (JWT, "jwt secret"),
    (CONN, "postgresql://u:p@h/d"),
    (CONN_ASYNC, "postgresql+asyncpg://u:p@h/d?ssl=require"),
    (BROKER, "rediss://h:6379/0?ssl_cert_reqs=CERT_REQUIRED"),
    (BACKEND, "db+postgresql://u:p@h/d"),
    (TOKEN_TIME, "3600"),
    (QUEUE_TIME, "3600.0"),
    (ALONE, "True"),
];

const SERVICES: [Service; 8] = [
    Scheduler,
    ApiServer,
    Webserver,
    DagProcessor,
    Triggerer,
    CeleryWorker,
    CeleryFlower,
    Standalone,
];
const V28: Version = Version::new(2, 8, 4);
const V211: Version = Version::new(2, 11, 0);
const V300: Version = Version::new(3, 0, 0);
const V31: Version = Version::new(3, 1, 8);
const V33: Version = Version::new(3, 3, 2);

/// COMPLETE with some of the variables changed, or taken out where there is no value.
fn with(changes: &[(&str, Option<&str>)]) -> Variables {
    let mut variables = Variables::from_pairs(COMPLETE);
    for (name, value) in changes {
        match value {
            Some(value) => variables.set(*name, (*value).to_owned(), Source::Literal),
            None => variables.remove(name),
        }
    }
    variables
}

fn found(service: Service, release: Option<Version>, variables: &Variables) -> Vec<Finding> {
    let config = Config::from_parts(variables, "");
    let subject = Subject {
        service,
        release,
        config: &config,
        variables,
        simple_auth_allowed: false,
    };
    examine(&subject, Some("root:x:0:0:root:/root:/bin/sh\n"))
}

fn exists(service: Service, release: Version) -> bool {
    match service {
        Webserver => release < V300,
        ApiServer => release >= V300,
        _ => true,
    }
}
