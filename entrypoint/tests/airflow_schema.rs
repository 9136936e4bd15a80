//! The schema's phase and the administrator with real Airflows: `make e2e`.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod airflow_common;

use airflow_common::{LONG, Scene};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};
use testkit::airflow::{Airflow, Release};
use testkit::process::{Process, Signal};

const CORE_31: &str = "509b94a1042d";
const CORE_30: &str = "fe199e1abd77";
const FAB_HEAD: &str = "6709f7a774b9";
const PASSWORD: &str = " p%ä$~@/:'\" #";

fn heads(core: &str) -> (String, String) {
    (core.to_owned(), FAB_HEAD.to_owned())
}

fn succeed(process: &mut Process) {
    assert_eq!(
        process.exit_code(LONG),
        0,
        "{}{}",
        process.stdout(),
        process.stderr()
    );
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn six_that_start_together_on_an_empty_database_migrate_once_and_create_one_admin() {
    let scene = Scene::empty();
    let program = scene
        .entrypoint(Release::V3_1)
        .env("ENTRYPOINT_ADMIN_USERNAME", "admin")
        .env("ENTRYPOINT_ADMIN_PASSWORD", PASSWORD);
    let mut all: Vec<Process> = (0..6).map(|_| program.spawn()).collect();
    for process in &mut all {
        succeed(process);
        assert!(!process.stderr().contains(PASSWORD), "{}", process.stderr());
    }
    let count = |event: &str| {
        let mark = format!("\"event\":\"{event}\"");
        all.iter()
            .map(|process| process.stderr().matches(&mark).count())
            .sum::<usize>()
    };
    assert_eq!((count("migration_begins"), count("migration_done")), (1, 1));
    assert_eq!((count("admin_created"), count("admin_exists")), (1, 5));
    assert_eq!(scene.migrations(), 1);
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(
        scene.query("SELECT string_agg(username, ' ') FROM ab_user"),
        "admin"
    );
    assert_eq!(
        scene.query("SELECT r.name FROM ab_role r JOIN ab_user_role l ON l.role_id = r.id"),
        "Admin"
    );
    // The password came through as it is.
    let hash = scene.query("SELECT password FROM ab_user");
    let check =
        "import sys, werkzeug.security as s; sys.exit(not s.check_password_hash(*sys.argv[1:]))";
    let python = Airflow::of(Release::V3_1).bin().join("python");
    let run = testkit::process::Program::new(python)
        .args(["-c", check, &hash, PASSWORD])
        .env("PYTHONUTF8", "1")
        .run(LONG);
    assert_eq!(run.code, 0, "{}", run.stderr);

    // And now that all is there: no Python, which would take seconds.
    let began = Instant::now();
    succeed(&mut program.spawn());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(scene.migrations(), 1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn airflow_2_is_migrated_and_has_its_admin() {
    let scene = Scene::empty();
    let program = scene
        .entrypoint(Release::V2_8)
        .env("ENTRYPOINT_ADMIN_USERNAME", "admin")
        .env("ENTRYPOINT_ADMIN_PASSWORD", PASSWORD);
    succeed(&mut program.spawn());
    assert_eq!(
        scene.revisions(),
        ("88344c1d9134".to_owned(), String::new())
    );
    assert_eq!(
        scene.query("SELECT string_agg(username, ' ') FROM ab_user"),
        "admin"
    );
    assert_eq!(scene.migrations(), 1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_minor_version_is_crossed_and_what_is_ahead_goes_by_its_maker() {
    let scene = Scene::made_by(Release::V3_0);
    assert_eq!(scene.revisions(), heads(CORE_30));
    succeed(&mut scene.entrypoint(Release::V3_1).spawn());
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 1);

    // A downgrade to another minor version.
    let run = scene.entrypoint(Release::V3_0).run(LONG);
    assert_eq!(run.code, 76, "{}", run.stderr);
    assert!(
        run.stderr.contains("Airflow 3.1.8 made it"),
        "{}",
        run.stderr
    );
    // And within the same: 3.1.7 is 3.1.8 without its last migrations.
    let older = Older::new();
    let run = scene.entrypoint_with(&older.bin(), Release::V3_1).run(LONG);
    assert_eq!(run.code, 0, "{}", run.stderr);
    // By whom a schema was made is not known where nobody said so.
    scene.query("COMMENT ON TABLE alembic_version IS NULL");
    let run = scene.entrypoint_with(&older.bin(), Release::V3_1).run(LONG);
    assert_eq!(run.code, 76, "{}", run.stderr);
    assert_eq!(scene.migrations(), 1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_major_version_is_crossed_when_asked_for_and_nothing_older_lives() {
    let scene = Scene::made_by(Release::V2_8);
    let program = scene.entrypoint(Release::V3_1);
    let run = program.run(LONG);
    assert_eq!(run.code, 65, "{}", run.stderr);
    assert!(
        run.stderr.contains("that of Airflow 2.8.1"),
        "{}",
        run.stderr
    );

    scene.query(
        "INSERT INTO job (dag_id, state, job_type, start_date, latest_heartbeat, hostname, unixname) \
         VALUES ('', 'running', 'SchedulerJob', now(), now(), 'old-1', 'airflow')",
    );
    let program = program.env("ENTRYPOINT_MIGRATE", "major");
    let run = program.run(LONG);
    assert_eq!(run.code, 71, "{}", run.stderr);
    assert!(
        run.stderr.contains("SchedulerJob on old-1"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.migrations(), 0);

    scene.query("UPDATE job SET latest_heartbeat = now() - interval '2 minutes'");
    succeed(&mut program.spawn());
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_provider_in_3_3_is_looked_after_whatever_the_auth_manager() {
    let scene = Scene::empty();
    let program = scene
        .entrypoint(Release::V3_3)
        .without_env("AIRFLOW__CORE__AUTH_MANAGER");
    succeed(&mut program.spawn());
    assert_eq!(
        scene.revisions(),
        ("d2f4e1b3c5a7".to_owned(), "02ca36b0235b".to_owned())
    );
    // Tables that are missing are behind.
    scene.query("DROP TABLE alembic_version_fab");
    succeed(&mut program.spawn());
    assert_eq!(
        scene.revisions(),
        ("d2f4e1b3c5a7".to_owned(), "02ca36b0235b".to_owned())
    );
    assert_eq!(scene.migrations(), 2);
}

/// An auth manager of one's own may keep tables, which only Airflow can tell: once.
#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn what_only_airflow_knows_is_asked_once() {
    let scene = Scene::made_by(Release::V3_1);
    let module = tempfile::tempdir_in("/tmp").unwrap();
    testkit::airflow::writable(module.path());
    let text = "from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager\n\n\nclass Manager(FabAuthManager):\n    pass\n";
    fs::write(module.path().join("ours.py"), text).unwrap();
    // As an auth manager without tables leaves it.
    scene.query("DROP TABLE alembic_version_fab");
    let program = scene
        .entrypoint(Release::V3_1)
        .env("PYTHONPATH", module.path())
        .env("AIRFLOW__CORE__AUTH_MANAGER", "ours.Manager");
    // It has: they are behind, and are migrated.
    let run = program.run(LONG);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("schema_asks"), "{}", run.stderr);
    assert_eq!(scene.revisions(), heads(CORE_31));
    let run = program.run(LONG);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("schema_asks"), "{}", run.stderr);
    assert_eq!(scene.migrations(), 1);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_migration_that_fails_is_named_and_goes_on_once_it_can() {
    let scene = Scene::made_by(Release::V3_0);
    scene.query("CREATE TABLE hitl_detail (in_the_way int)");
    let run = scene.entrypoint(Release::V3_1).run(LONG);
    assert_eq!(run.code, 71, "{}", run.stderr);
    assert!(
        run.stderr.contains("\"hitl_detail\" already exists"),
        "{}",
        run.stderr
    );
    scene.query("DROP TABLE hitl_detail");
    succeed(&mut scene.entrypoint(Release::V3_1).spawn());
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 2);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_migrator_killed_in_the_middle_is_followed_by_another() {
    let scene = Scene::made_by(Release::V3_0);
    let obstacle = scene.obstacle();
    let mut first = scene.entrypoint(Release::V3_1).spawn();
    scene.until_in_the_middle();
    let mut second = scene.entrypoint(Release::V3_1).spawn();
    second.wait_for(|line| line.contains("schema_waits"), LONG);
    first.kill();
    drop(obstacle);
    succeed(&mut second);
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 2);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_lock_that_is_cut_while_the_child_goes_on_never_makes_two_migrations() {
    let scene = Scene::made_by(Release::V3_0);
    let obstacle = scene.obstacle();
    let mut all: Vec<Process> = (0..3)
        .map(|_| scene.entrypoint(Release::V3_1).spawn())
        .collect();
    scene.until_in_the_middle();
    let cut = scene.query(
        "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity USING (pid) \
         WHERE locktype = 'advisory' AND classid = 1953655149 AND objid = 1835624306 AND datname = current_database()",
    );
    assert_eq!(cut, "1");
    let begun = |process: &Process| process.stderr().matches("migration_begins").count();
    testkit::until(LONG, "the next migration to begin", || {
        all.iter().map(begun).sum::<usize>() == 2
    });
    drop(obstacle);
    for process in &mut all {
        succeed(process);
    }
    let lost = all
        .iter()
        .filter(|process| process.stderr().contains("migration_lock_lost"));
    assert_eq!(lost.count(), 1);
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 2);
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn postgres_restarted_in_the_middle_only_delays_it() {
    let template = Scene::made_by(Release::V3_0);
    let server = testkit::postgres::Postgres::with(&airflow_common::options());
    let database = server.database();
    let dump = testkit::process::Program::new(server.programs().join("pg_dump"))
        .args(["--no-owner", "--no-privileges", &template.database.url()])
        .run(LONG);
    let mut load = testkit::process::Program::new(server.programs().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &database.url()])
        .with_stdin()
        .spawn();
    load.write(&dump.stdout);
    load.close_stdin();
    succeed(&mut load);

    let scene = Scene::new(&server, database);
    let obstacle = scene.obstacle();
    let mut process = scene.entrypoint(Release::V3_1).spawn();
    scene.until_in_the_middle();
    drop(obstacle);
    server.restart();
    succeed(&mut process);
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert!(
        process.stderr().contains("migration_lock_lost"),
        "{}",
        process.stderr()
    );
}

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn a_signal_in_the_middle_ends_within_the_grace_and_the_next_start_goes_on() {
    let scene = Scene::made_by(Release::V3_0);
    let obstacle = scene.obstacle();
    let mut first = scene
        .entrypoint(Release::V3_1)
        .env("ENTRYPOINT_STOP_GRACE", "5s")
        .spawn();
    scene.until_in_the_middle();
    first.signal(Signal::TERM);
    assert_eq!(
        first.exit_code(Duration::from_secs(10)),
        143,
        "{}",
        first.stderr()
    );
    drop(obstacle);
    succeed(&mut scene.entrypoint(Release::V3_1).spawn());
    assert_eq!(scene.revisions(), heads(CORE_31));
    assert_eq!(scene.migrations(), 2);
}

/// 3.1.7, as far as files tell: the migrations of 3.1.8 but for the ones that came with it.
struct Older(tempfile::TempDir);

impl Older {
    fn new() -> Self {
        let older = Self(tempfile::tempdir().unwrap());
        let real = Airflow::of(Release::V3_1);
        let packages = older.0.path().join("lib/python3.11/site-packages");
        let versions = packages.join("airflow/migrations/versions");
        fs::create_dir_all(&versions).unwrap();
        fs::create_dir_all(packages.join("airflow/utils")).unwrap();
        fs::create_dir_all(packages.join("apache_airflow_core-3.1.7.dist-info")).unwrap();
        let source = real.packages().join("airflow");
        for entry in fs::read_dir(source.join("migrations/versions")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".py") && !name.contains("_3_1_8_") {
                fs::copy(entry.path(), versions.join(name)).unwrap();
            }
        }
        fs::copy(
            source.join("utils/db.py"),
            packages.join("airflow/utils/db.py"),
        )
        .unwrap();
        // FAB's provider is the same.
        fs::create_dir_all(packages.join("airflow/providers")).unwrap();
        symlink(
            source.join("providers/fab"),
            packages.join("airflow/providers/fab"),
        )
        .unwrap();
        fs::create_dir_all(packages.join("apache_airflow_providers_fab-3.4.0.dist-info")).unwrap();
        fs::write(older.0.path().join("pyvenv.cfg"), "").unwrap();
        fs::create_dir_all(older.bin()).unwrap();
        let script = format!("#!{}/bin/python\n", older.0.path().display());
        fs::write(older.bin().join("airflow"), script).unwrap();
        fs::copy("/bin/false", older.bin().join("python")).unwrap();
        for path in [older.0.path().to_owned(), older.bin().join("airflow")] {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        older
    }

    fn bin(&self) -> std::path::PathBuf {
        self.0.path().join("bin")
    }
}
