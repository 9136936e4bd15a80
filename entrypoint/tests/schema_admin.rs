//! The administrator, with a stand-in for Airflow.

mod schema_common;

use schema_common::{MINUTE, Scene, ended};
use testkit::process::Program;

const FAB: &str = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";
const PASSWORD: &str = " pä$$ w0rd' ";

/// A database with a table of users, where the stand-in creates `Admin`.
fn scene() -> Scene<'static> {
    let scene = Scene::new("3.1.8");
    scene.at("c");
    scene.query("CREATE TABLE ab_user (username text UNIQUE)");
    scene
        .airflow
        .on("users", "create", "INSERT INTO ab_user VALUES ('Admin')");
    scene
}

fn entrypoint(scene: &Scene<'_>) -> Program {
    scene
        .entrypoint()
        .env("AIRFLOW__CORE__AUTH_MANAGER", FAB)
        .env("ENTRYPOINT_ADMIN_USERNAME", "admin")
        .env("ENTRYPOINT_ADMIN_PASSWORD", PASSWORD)
}

#[test]
fn many_create_one_and_the_password_is_only_read() {
    let scene = scene();
    let mut all: Vec<_> = (0..6).map(|_| entrypoint(&scene).spawn()).collect();
    for process in &mut all {
        assert_eq!(process.exit_code(MINUTE), 0, "{}", process.stderr());
        assert!(!process.stderr().contains(PASSWORD), "{}", process.stderr());
    }
    let calls = scene.airflow.calls();
    assert_eq!(calls.len(), 1);
    let words = [
        "users",
        "create",
        "--username",
        "admin",
        "--firstname",
        "Airflow",
        "--lastname",
        "Admin",
        "--email",
        "admin@example.com",
        "--role",
        "Admin",
    ];
    assert_eq!(calls[0].args, words);
    assert_eq!(calls[0].stdin, Some(format!("{PASSWORD}\n{PASSWORD}\n")));
    assert!(
        !calls[0]
            .environment
            .iter()
            .any(|pair| pair.contains(PASSWORD))
    );
}

#[test]
fn one_that_exists_stays_as_it_is_whatever_its_case() {
    let scene = scene();
    scene.query("INSERT INTO ab_user VALUES ('ADMIN')");
    let run = entrypoint(&scene)
        .without_env("ENTRYPOINT_ADMIN_PASSWORD")
        .run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("its password is unchanged"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn a_password_that_is_missing_or_cannot_be_read_is_named() {
    let scene = scene();
    for (password, expected) in [
        ("", "ENTRYPOINT_ADMIN_PASSWORD is not set"),
        ("secret\n", "ENTRYPOINT_ADMIN_PASSWORD has a line break"),
    ] {
        let run = entrypoint(&scene)
            .env("ENTRYPOINT_ADMIN_PASSWORD", password)
            .run(MINUTE);
        assert_eq!(ended(&run), 65, "{}", run.stderr);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn nobody_is_created_where_the_auth_manager_keeps_no_users() {
    let scene = scene();
    let run = entrypoint(&scene)
        .without_env("AIRFLOW__CORE__AUTH_MANAGER")
        .run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
    assert!(run.stderr.contains("admin_without_users"), "{}", run.stderr);
    assert_eq!(scene.airflow.calls(), []);
}

#[test]
fn an_airflow_that_creates_nobody_is_not_believed() {
    let scene = scene();
    scene.airflow.on("users", "create", "SELECT 1");
    let run = entrypoint(&scene).run(MINUTE);
    assert_eq!(ended(&run), 65, "{}", run.stderr);
    assert!(
        run.stderr.contains("there is no administrator admin"),
        "{}",
        run.stderr
    );
    // One that fails after it was created is believed.
    scene
        .airflow
        .on("users", "create", "INSERT INTO ab_user VALUES ('Admin')")
        .exits("users", "create", 1);
    let run = entrypoint(&scene).run(MINUTE);
    assert_eq!(ended(&run), 0, "{}", run.stderr);
}
