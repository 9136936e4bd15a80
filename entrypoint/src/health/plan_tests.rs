use super::*;
use crate::variables::Variables;

fn decided(service: Service, args: &str, release: &str, pairs: &[(&str, &str)]) -> String {
    let variables = Variables::from_pairs(pairs.iter().copied());
    let config = Config::from_parts(&variables, "");
    let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
    match watched(service, &args, &config, release.parse().ok(), "host") {
        Watched::Http(port) => format!("http {}{}", port.authority, port.path),
        Watched::Tcp(authority) => format!("tcp {authority}"),
        Watched::Row(own, None) => format!("{} {:?}", own.job_type, own.threshold),
        Watched::Row(own, Some(port)) => format!(
            "{} {:?} or {}{}",
            own.job_type, own.threshold, port.authority, port.path
        ),
        Watched::Worker(node) => format!("{}{}", node.key_prefix, node.name),
        Watched::Process(_) => "process".to_owned(),
    }
}

#[test]
fn each_service_is_looked_at_where_it_tells_of_itself() {
    use Service::*;
    let check = ("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "True");
    let redis = ("AIRFLOW__CELERY__BROKER_URL", "rediss://:p@h/0");
    let prefix = (
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX",
        "p_",
    );
    let sqs = ("AIRFLOW__CELERY__BROKER_URL", "sqs://");
    let custom = ("AIRFLOW__CORE__HOSTNAME_CALLABLE", "my.module.name");
    for (service, args, release, pairs, expected) in [
        (
            ApiServer,
            "api-server",
            "3.1.8",
            vec![],
            "http 127.0.0.1:8080/api/v2/version",
        ),
        (
            ApiServer,
            "api-server --port 9091",
            "3.1.8",
            vec![("AIRFLOW__API__PORT", "9090")],
            "http 127.0.0.1:9091/api/v2/version",
        ),
        (
            ApiServer,
            "api-server",
            "3.1.8",
            vec![
                ("AIRFLOW__API__PORT", "9090"),
                ("AIRFLOW__API__HOST", "10.0.0.7"),
            ],
            "http 10.0.0.7:9090/api/v2/version",
        ),
        (
            ApiServer,
            "api-server",
            "3.1.8",
            vec![("AIRFLOW__API__HOST", "::")],
            "http [::1]:8080/api/v2/version",
        ),
        (
            ApiServer,
            "api-server",
            "3.1.8",
            vec![("AIRFLOW__API__SSL_CERT", "/c")],
            "tcp 127.0.0.1:8080",
        ),
        (
            Standalone,
            "standalone",
            "3.1.8",
            vec![],
            "http 127.0.0.1:8080/api/v2/version",
        ),
        (
            Standalone,
            "standalone",
            "2.8.4",
            vec![],
            "http 127.0.0.1:8080/health",
        ),
        (
            Webserver,
            "webserver -p 80",
            "2.8.4",
            vec![("AIRFLOW__WEBSERVER__BASE_URL", "https://x.org/air/flow/")],
            "http 127.0.0.1:80/air/flow/health",
        ),
        (
            Webserver,
            "webserver",
            "2.8.4",
            vec![("AIRFLOW__WEBSERVER__BASE_URL", "http://localhost:8080")],
            "http 127.0.0.1:8080/health",
        ),
        (Scheduler, "scheduler", "2.8.4", vec![], "SchedulerJob 30s"),
        (
            Scheduler,
            "scheduler",
            "3.1.8",
            vec![check],
            "SchedulerJob 30s or 127.0.0.1:8974/health",
        ),
        (
            Scheduler,
            "scheduler",
            "3.1.8",
            vec![check, custom],
            "http 127.0.0.1:8974/health",
        ),
        (Scheduler, "scheduler", "3.1.8", vec![custom], "process"),
        (
            Scheduler,
            "scheduler",
            "3.1.8",
            vec![("AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD", "45")],
            "SchedulerJob 45s",
        ),
        (
            Triggerer,
            "triggerer",
            "3.1.8",
            vec![(
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD",
                "12.5",
            )],
            "TriggererJob 12.5s",
        ),
        (
            DagProcessor,
            "dag-processor",
            "3.1.8",
            vec![],
            "DagProcessorJob 30s",
        ),
        (
            DagProcessor,
            "dag-processor",
            "3.1.8",
            vec![("AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC", "20")],
            "DagProcessorJob 42s",
        ),
        (
            DagProcessor,
            "dag-processor",
            "3.3.2",
            vec![("AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD", "60")],
            "DagProcessorJob 60s",
        ),
        (
            CeleryWorker,
            "celery worker",
            "3.1.8",
            vec![redis],
            "celery@host",
        ),
        (
            CeleryWorker,
            "celery worker -H mine@%h",
            "3.1.8",
            vec![redis],
            "mine@host",
        ),
        (
            CeleryWorker,
            "celery worker --celery-hostname=w1",
            "3.1.8",
            vec![redis],
            "celery@w1",
        ),
        (
            CeleryWorker,
            "celery worker -H w@%d",
            "3.1.8",
            vec![redis],
            "process",
        ),
        (
            CeleryWorker,
            "celery worker",
            "3.1.8",
            vec![redis, prefix],
            "p_celery@host",
        ),
        (CeleryWorker, "celery worker", "3.1.8", vec![sqs], "process"),
        (CeleryWorker, "celery worker", "3.1.8", vec![], "process"),
        (
            CeleryFlower,
            "celery flower -p 5556 -u flower",
            "3.1.8",
            vec![],
            "http 127.0.0.1:5556/flower/healthcheck",
        ),
        (
            CeleryFlower,
            "celery flower",
            "3.1.8",
            vec![],
            "http 127.0.0.1:5555/healthcheck",
        ),
    ] {
        assert_eq!(
            decided(service, args, release, &pairs),
            expected,
            "{service} {args} {pairs:?}"
        );
    }
}

#[test]
fn a_number_that_is_none_falls_back() {
    for odd in ["", "x", "-1", "NaN", "inf", "1e300"] {
        let pair = ("AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD", odd);
        assert_eq!(
            decided(Service::Triggerer, "triggerer", "3.1.8", &[pair]),
            "TriggererJob 30s",
            "{odd}"
        );
    }
}
