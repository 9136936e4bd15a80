//! The whole story through the real program: parameters from moto's SSM, a real Postgres, and a
//! stand-in for Airflow.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod story;

use serde_json::Value;
use story::{DEADLINE, FERNET, JWT, Scene, events, phases, schema};
use testkit::cloudwatch::Shim;
use testkit::moto::Moto;
use testkit::postgres::{Database, Postgres};
use testkit::process::Signal;
use testkit::proxy::Proxy;
use testkit::server::free_port;

#[test]
fn an_empty_task_becomes_a_running_service_and_the_next_one_costs_no_python() {
    let scene = Scene::new();
    let finished = scene
        .entrypoint()
        .args(["scheduler", "--num-runs", "1"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(
        phases(&finished),
        ["resolve", "wait", "migrate", "admin", "preflight"],
        "{}",
        finished.stderr
    );
    let calls = scene.airflow.calls();
    let words: Vec<String> = calls.iter().map(|call| call.args.join(" ")).collect();
    assert_eq!(words, ["db migrate", "scheduler --num-runs 1"]);
    assert_eq!(
        scene
            .value("SELECT version_num FROM alembic_version")
            .as_deref(),
        Some("b")
    );

    // The service has what it needs, and nothing of how it came there.
    let service = &calls[1];
    let Database {
        port,
        name,
        user,
        password,
    } = &scene.database;
    let url = format!("postgresql+psycopg2://{user}:{password}@127.0.0.1:{port}/{name}");
    let given = service
        .variable("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
        .unwrap();
    assert!(given.starts_with(&url), "{given}");
    assert_eq!(service.variable("AIRFLOW__CORE__FERNET_KEY"), Some(FERNET));
    assert_eq!(service.variable("AIRFLOW__API__SECRET_KEY"), Some("shared"));
    assert_eq!(service.variable("AIRFLOW__API_AUTH__JWT_SECRET"), Some(JWT));
    assert_eq!(service.variable("AIRFLOW__CORE__PARALLELISM"), Some("7"));
    assert_eq!(service.variable("ENTRYPOINT_DB_PASSWORD"), None);

    let proxy = Proxy::start(Postgres::shared().port());
    let again = scene
        .entrypoint()
        .env("ENTRYPOINT_DB_PORT", proxy.port().to_string())
        .arg("scheduler")
        .run(DEADLINE);
    assert!(
        (1..=2).contains(&proxy.most()),
        "{} connections",
        proxy.most()
    );
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(scene.airflow.count(&["db"]), 1);
    assert_eq!(scene.airflow.count(&["scheduler"]), 2);
}

#[test]
fn a_plain_command_gets_the_variables_and_waits_for_nothing() {
    let scene = Scene::new();
    scene.put("db/port", "1");
    let finished = scene
        .entrypoint()
        .args(["airflow", "dags", "list"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let calls = scene.airflow.calls();
    assert_eq!(calls.len(), 1);
    let url = calls[0]
        .variable("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
        .unwrap();
    assert!(url.contains("127.0.0.1:1/"), "{url}");
    assert_eq!(phases(&finished), Vec::<String>::new());

    // Unless it is asked to migrate, and then it needs no service.
    let finished = scene
        .entrypoint()
        .env("ENTRYPOINT_MIGRATE", "auto")
        .env("ENTRYPOINT_WAIT_TIMEOUT", "0s")
        .args(["airflow", "dags", "list"])
        .run(DEADLINE);
    assert_eq!(finished.code, 69, "{}", finished.stderr);
    assert_eq!(scene.airflow.calls().len(), 1);
}

#[test]
fn init_only_migrates_and_runs_nothing() {
    let scene = Scene::new();
    let finished = scene.entrypoint().arg("--init-only").run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let words: Vec<String> = scene
        .airflow
        .calls()
        .iter()
        .map(|call| call.args.join(" "))
        .collect();
    assert_eq!(words, ["db migrate"]);
    let last = events(&finished.stderr, "origin").pop().unwrap();
    assert_eq!(last, ("ended".to_owned(), "entrypoint".to_owned()));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let scene = Scene::new();
    let finished = scene
        .entrypoint()
        .args(["--dry-run", "scheduler"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(scene.airflow.calls().is_empty());
    assert_eq!(
        scene.value("SELECT to_regclass('alembic_version')::text"),
        None
    );
    for shown in [
        &format!("layout {}/fernet-key", scene.path),
        "built from ENTRYPOINT_DB_*",
        "it would be migrated",
        "fingerprint",
        "the service scheduler",
    ] {
        assert!(
            finished.stdout.contains(shown),
            "{shown}: {}",
            finished.stdout
        );
    }
    for secret in [FERNET, JWT, &scene.database.password] {
        assert!(!finished.stdout.contains(secret), "{}", finished.stdout);
    }

    // It goes on after a failure, and ends with the highest code.
    scene.put("db/password", "wrong");
    let finished = scene
        .entrypoint()
        .args(["--dry-run", "--output", "json", "api-server"])
        .env("AIRFLOW__API_AUTH__JWT_SECRET", "short")
        .run(DEADLINE);
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(finished.code, 77, "{answer:#}");
    assert_eq!(answer["exit"], 77);
    let phases = answer["phases"].as_array().unwrap();
    let code = |phase: &str| {
        let steps = phases.iter().filter(|step| step["phase"] == phase);
        steps.map(|step| step["exit"].as_u64().unwrap()).max()
    };
    assert_eq!(
        (code("wait"), code("run")),
        (Some(77), Some(0)),
        "{answer:#}"
    );
}

#[test]
fn the_images_variables_create_the_administrator_too() {
    let scene = Scene::new();
    let tables = "CREATE TABLE ab_user (id serial, username text, first_name text, last_name text, \
         email text, active boolean); CREATE TABLE ab_role (id serial, name text); \
         CREATE TABLE ab_user_role (user_id int, role_id int);";
    scene
        .airflow
        .on("db", "migrate", &format!("{}{tables}", schema("b")));
    let user = "INSERT INTO ab_user (username, active) VALUES ('root', true); \
         INSERT INTO ab_role (name) VALUES ('Admin'); INSERT INTO ab_user_role VALUES (1, 1);";
    scene.airflow.on("users", "create", user);
    let finished = scene
        .entrypoint()
        .env(
            "AIRFLOW__CORE__AUTH_MANAGER",
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        )
        .env("_AIRFLOW_WWW_USER_CREATE", "true")
        .env("_AIRFLOW_WWW_USER_USERNAME", "root")
        .env("_AIRFLOW_WWW_USER_PASSWORD", "marked-password")
        .env("_AIRFLOW_DB_MIGRATE", "true")
        .args(["airflow", "version"])
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let calls = scene.airflow.calls();
    let users: Vec<_> = calls
        .iter()
        .filter(|call| call.args[0] == "users")
        .collect();
    assert_eq!(users.len(), 1);
    assert!(users[0].stdin.as_ref().unwrap().contains("marked-password"));
    for call in &calls {
        let shown = format!("{:?}{:?}", call.args, call.environment);
        assert!(!shown.contains("marked-password"), "{shown}");
    }
    assert_eq!(calls.last().unwrap().args, ["version"]);
}

#[test]
fn metrics_come_as_whole_lines_between_the_services_own() {
    let scene = Scene::new();
    let finished = scene
        .entrypoint()
        .env("ENTRYPOINT_METRICS", "emf")
        .env("TRIMTAB_ENVIRONMENT", "test")
        .args(["airflow", "version"])
        .env("ENTRYPOINT_MIGRATE", "auto")
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let mut named = std::collections::BTreeSet::new();
    for line in finished.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["Environment"], "test");
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
            .as_array()
            .unwrap()
            .clone();
        named.extend(
            metrics
                .iter()
                .map(|metric| metric["Name"].as_str().unwrap().to_owned()),
        );
    }
    let expected = [
        "AdminSeconds",
        "LogsDropped",
        "MigrateSeconds",
        "ResolveSeconds",
        "WaitSeconds",
    ];
    assert_eq!(
        named.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn prometheus_finds_the_service_and_what_the_phases_took() {
    let scene = Scene::new();
    scene.airflow.shut("scheduler", "");
    let port = free_port();
    let mut running = scene
        .entrypoint()
        .env("ENTRYPOINT_METRICS", "prometheus")
        .env("ENTRYPOINT_LISTEN", format!("127.0.0.1:{port}"))
        .arg("scheduler")
        .spawn();
    let ask = |path: &str| testkit::http::get(&format!("http://127.0.0.1:{port}/{path}"));
    let names = [
        "trimtab_service_healthy{",
        "trimtab_migrate_seconds{",
        "trimtab_oom_kills{",
    ];
    testkit::until(DEADLINE, "the metrics to be served", || {
        ask("metrics").is_ok_and(|answer| {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            names.iter().all(|name| text.contains(name))
        })
    });
    // A container that migrated is healthy until its service had time to start.
    assert_eq!(ask("healthz").unwrap().status, 200);
    running.signal(Signal::TERM);
    assert_eq!(running.exit_code(DEADLINE), 143, "{}", running.stderr());
}

#[test]
fn a_running_service_is_healthy_by_its_own_row_and_a_term_reaches_it() {
    let scene = Scene::new();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let job = "CREATE TABLE job (id serial, job_type text, state text, hostname text, \
         start_date timestamptz, latest_heartbeat timestamptz);";
    let migration = format!("{}{job}", schema("b"));
    scene.airflow.on("db", "migrate", &migration);
    let beat = format!(
        "INSERT INTO job (job_type, state, hostname, start_date, latest_heartbeat) \
         VALUES ('SchedulerJob', 'running', '{}', now(), now()); SELECT pg_sleep(60);",
        host.trim()
    );
    scene.airflow.on("scheduler", "", &beat);
    let status = scene.airflow.home().join("status.json");
    let mut running = scene
        .entrypoint()
        .env("ENTRYPOINT_METRICS", "emf")
        .env("ENTRYPOINT_STATUS_FILE", &status)
        .env("TRIMTAB_SERVICE", "scheduler")
        .arg("scheduler")
        .spawn();
    // It was healthy before, because it migrated; with its own row seen nothing is left to say.
    testkit::until(DEADLINE, "the status to be healthy", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        text.contains("\"phase\":\"running\",\"healthy\":true,\"degraded\":false,\"reason\":null")
    });
    running.wait_for(|line| line.contains("\"ServiceHealthy\":1.0"), DEADLINE);
    running.signal(Signal::TERM);
    assert_eq!(running.exit_code(DEADLINE), 143, "{}", running.stderr());
    let stdout = running.stdout();
    for name in [
        "OomKills",
        "ServiceHealthy",
        "MigrateSeconds",
        "PreflightSeconds",
    ] {
        let line = stdout.lines().find(|line| line.contains(name)).expect(name);
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["Service"], "scheduler");
    }
    let log = running.stderr();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["origin"], &last["signal"]),
        (&"child".into(), &15.into())
    );
    let text = std::fs::read_to_string(&status).unwrap();
    assert!(
        text.contains("\"phase\":\"stopped\"") && text.contains("\"healthy\":false"),
        "{text}"
    );
}

#[test]
fn cloudwatch_gets_the_phases_of_a_service_that_ends_at_once() {
    let scene = Scene::new();
    let moto = Moto::shared();
    let shim = Shim::start(moto.endpoint());
    let finished = scene
        .entrypoint()
        .env("AWS_ENDPOINT_URL_CLOUDWATCH", shim.endpoint())
        .env("ENTRYPOINT_METRICS", "cloudwatch")
        .env("ENTRYPOINT_NAMESPACE", "Story")
        .env("TRIMTAB_ENVIRONMENT", "test")
        .arg("scheduler")
        .run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let metrics = moto.metrics("Story");
    let dimensions = [("Environment", "test"), ("Service", "entrypoint")];
    for name in [
        "ResolveSeconds",
        "WaitSeconds",
        "MigrateSeconds",
        "AdminSeconds",
        "PreflightSeconds",
    ] {
        let metric = metrics
            .iter()
            .find(|metric| metric.name == name)
            .expect(name);
        let found = metric
            .dimensions
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        assert!(found.eq(dimensions), "{metric:?}");
    }
}
