//! A secret never shows: marked ones go through every phase at the highest level of logs, and are
//! looked for in all that anybody else could read.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;
use testkit::airflow::StandIn;
use testkit::moto::Moto;
use testkit::postgres::{Database, Postgres};
use testkit::process::{Program, Signal};
use testkit::redis::{Options, Redis};
use testkit::ssm;

const DEADLINE: Duration = Duration::from_secs(30);

/// In every secret, and in no escaped form of one any different.
const MARK: &str = "mk7Secret";

/// A key, and so unlike the others.
const FERNET: &str = "bWs3U2VjcmV0LWZlcm5ldC1rZXktb2YtMzItYnl0ZXM=";

/// Every library that writes logs of its own, too.
const EVERYTHING: &str = "trace,aws_config=trace,aws_credential_types=trace,aws_runtime=trace,aws_sdk_ssm=trace,\
     aws_sdk_cloudwatch=trace,aws_smithy_runtime=trace,aws_smithy_runtime_api=trace,aws_smithy_http_client=trace,\
     hyper=trace,hyper_util=trace,h2=trace,rustls=trace,tower=trace,mio=trace,redis=trace,tokio_postgres=trace";

struct Scene {
    database: Database,
    airflow: StandIn,
    path: String,
}

impl Scene {
    fn new() -> Self {
        let server = Postgres::shared();
        let plain = server.database();
        let password = format!("{MARK}:a @/%$~'\"\u{fc}");
        let user = format!("{}_user", plain.name);
        let database = server.database_for(&format!("{}_db", plain.name), &user, &password);
        let airflow = StandIn::new("3.1.8", &[("a", "3.0.0"), ("b", "3.1.0")]);
        airflow
            .on(
                "db",
                "migrate",
                "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); \
                 INSERT INTO alembic_version VALUES ('b'); \
                 CREATE TABLE ab_user (id serial, username text, active boolean); \
                 CREATE TABLE ab_role (id serial, name text); \
                 CREATE TABLE ab_user_role (user_id int, role_id int);",
            )
            .on(
                "users",
                "create",
                "INSERT INTO ab_user (username, active) VALUES ('root', true);",
            )
            .on("celery", "worker", "SELECT pg_sleep(60)");
        let path = format!("/secrets/{}", database.name);
        let scene = Self {
            database,
            airflow,
            path,
        };
        let url = format!("redis://:{MARK}-broker@127.0.0.1:{}/0", broker().port());
        let port = scene.database.port.to_string();
        for (name, value) in [
            ("db/host", "127.0.0.1"),
            ("db/port", &port),
            ("db/name", &scene.database.name),
            ("db/username", &scene.database.user),
            ("db/password", &scene.database.password),
            ("broker-url", &url),
            ("fernet-key", FERNET),
            ("webserver/secret-key", &format!("{MARK}-webserver")),
            ("jwt-secret", &format!("{MARK}-jwt-{}", "x".repeat(64))),
            ("admin/username", "root"),
            ("admin/password", &format!("{MARK}-admin")),
        ] {
            scene.put(name, value);
        }
        scene
    }

    fn put(&self, name: &str, value: &str) {
        ssm::put(
            Moto::shared().endpoint(),
            &format!("{}/{name}", self.path),
            value,
        );
    }

    fn entrypoint(&self) -> Program {
        let programs = Postgres::shared().programs().display().to_string();
        let path = format!("{}:{programs}:/usr/bin:/bin", self.airflow.bin().display());
        let fab = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";
        Program::new(env!("CARGO_BIN_EXE_entrypoint"))
            .envs(Moto::shared().environment())
            .env("AWS_SECRET_ACCESS_KEY", format!("{MARK}-aws"))
            .env("PATH", path)
            .env("AIRFLOW_HOME", self.airflow.home())
            .env("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
            .env("AIRFLOW__CORE__AUTH_MANAGER", fab)
            .env("ENTRYPOINT_PARAMETERS", &self.path)
            .env("ENTRYPOINT_WAIT_TIMEOUT", "0s")
            .env("TRIMTAB_LOG", EVERYTHING)
    }
}

/// One broker for all.
fn broker() -> &'static Redis {
    static BROKER: OnceLock<Redis> = OnceLock::new();
    BROKER.get_or_init(|| Redis::with(&Options::new().password(&format!("{MARK}-broker"))))
}

fn shows(text: &str) -> bool {
    text.contains(MARK) || text.contains(FERNET)
}

fn assert_hidden(what: &str, text: &str) {
    let line = text.lines().find(|line| shows(line));
    assert_eq!(line, None, "{what}");
}

/// Command lines that show a secret; psql's are the stand-in's own doing.
fn telling_command_lines() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut telling = BTreeSet::new();
    for process in processes {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if shows(&line) && name.trim() != "psql" {
            telling.insert(line);
        }
    }
    telling
}

#[test]
fn a_secret_is_seen_by_the_service_and_by_nobody_else() {
    let scene = Scene::new();
    let files = tempfile::tempdir().unwrap();
    let status = files.path().join("status.json");
    let secret = format!("{}-secret", scene.database.name);
    ssm::put_secret(
        Moto::shared().endpoint(),
        &secret,
        &format!(r#"{{"token":"{MARK}-token"}}"#),
    );
    let mut running = scene
        .entrypoint()
        .env("ENTRYPOINT_STATUS_FILE", &status)
        .env("SERVICE_TOKEN", format!("secretsmanager://{secret}#token"))
        .args(["celery", "worker"])
        .spawn();
    let mut telling = BTreeSet::new();
    let mut states = String::new();
    testkit::until(DEADLINE, "the service to run", || {
        telling.extend(telling_command_lines());
        states.push_str(&fs::read_to_string(&status).unwrap_or_default());
        scene.airflow.count(&["celery", "worker"]) == 1 && states.contains("\"phase\":\"running\"")
    });
    telling.extend(telling_command_lines());
    assert_eq!(telling, BTreeSet::new());
    assert_hidden("the status file", &states);

    running.signal(Signal::TERM);
    assert_eq!(running.exit_code(DEADLINE), 143, "{}", running.stderr());
    let log = running.stderr();
    for phase in ["resolve", "wait", "migrate", "admin", "preflight"] {
        let done = format!("\"phase\":\"{phase}\"");
        assert!(log.contains(&done), "{phase} was not reached: {log}");
    }
    assert!(log.contains("TRACE"), "{log}");
    assert_hidden("the log", &log);
    assert_hidden("stdout", &running.stdout());

    // It is all where it belongs.
    let calls = scene.airflow.calls();
    let service = calls.iter().find(|call| call.args[0] == "celery").unwrap();
    assert_eq!(
        service.variable("SERVICE_TOKEN"),
        Some(format!("{MARK}-token").as_str())
    );
    assert_eq!(service.variable("AIRFLOW__CORE__FERNET_KEY"), Some(FERNET));
    let users = calls.iter().find(|call| call.args[0] == "users").unwrap();
    assert!(
        users
            .stdin
            .as_ref()
            .unwrap()
            .contains(&format!("{MARK}-admin"))
    );
    for call in &calls {
        assert_hidden("arguments", &call.args.join(" "));
        let admin = format!("{MARK}-admin");
        let with_admin = call.environment.iter().find(|pair| pair.contains(&admin));
        assert_eq!(with_admin, None, "{:?}", call.args);
        assert_eq!(call.variable("ENTRYPOINT_DB_PASSWORD"), None);
    }
}

/// What goes wrong, and the code that it ends with.
type Mishap = (&'static str, fn(&Scene, Program) -> Program, i32);

const MISHAPS: [Mishap; 8] = [
    (
        "a wrong password",
        |scene, program| {
            scene.put("db/password", &format!("{MARK}-wrong"));
            program
        },
        77,
    ),
    (
        "a URL that is none",
        |_, program| {
            let url = format!("postgresql://user:{MARK}@host:{MARK}/name");
            program.env("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        },
        65,
    ),
    (
        "a key that is none",
        |scene, program| {
            scene.put("fernet-key", &format!("{MARK}-is-no-key"));
            program
        },
        65,
    ),
    (
        "a broker's wrong password",
        |_, program| {
            let url = format!("redis://:{MARK}-wrong@127.0.0.1:{}/0", broker().port());
            program.env("AIRFLOW__CELERY__BROKER_URL", url)
        },
        77,
    ),
    (
        "a broker's URL that is none",
        |_, program| {
            let url = format!("redis://:{MARK}@127.0.0.1:{MARK}/{MARK}");
            program.env("AIRFLOW__CELERY__BROKER_URL", url)
        },
        65,
    ),
    (
        "a secret that is no JSON",
        |scene, program| {
            let name = format!("{}-odd", scene.database.name);
            ssm::put_secret(Moto::shared().endpoint(), &name, &format!("{MARK}{{"));
            program.env("X", format!("secretsmanager://{name}#key"))
        },
        65,
    ),
    (
        "an administrator's password of two lines",
        |scene, program| {
            scene.put("admin/password", &format!("{MARK}\n{MARK}"));
            program
        },
        65,
    ),
    (
        "a value that Airflow would change",
        |scene, program| {
            scene.put("jwt-secret", &format!("${{AIRFLOW_HOME}}{MARK}"));
            program
        },
        65,
    ),
];

#[test]
fn nor_does_it_show_where_something_is_wrong_with_it() {
    for (what, change, code) in MISHAPS {
        let scene = Scene::new();
        // Nothing runs for a minute where nothing is wrong.
        scene.airflow.on("celery", "worker", "SELECT 1");
        let finished = change(&scene, scene.entrypoint())
            .args(["celery", "worker"])
            .run(DEADLINE);
        assert_hidden(what, &finished.stderr);
        assert_hidden(what, &finished.stdout);
        assert_eq!(finished.code, code, "{what}: {}", finished.stderr);

        let scene = Scene::new();
        let program = change(&scene, scene.entrypoint());
        for output in ["text", "json"] {
            let finished = program
                .clone()
                .args(["--dry-run", "--output", output, "celery", "worker"])
                .run(DEADLINE);
            assert_hidden(what, &finished.stderr);
            assert_hidden(what, &finished.stdout);
            assert!(
                finished.stdout.contains("AIRFLOW__CORE__EXECUTOR"),
                "{}",
                finished.stdout
            );
        }
    }
}
