//! Where settings are found, and that no value shows.

use super::*;

fn value(text: &str) -> Setting {
    Setting::Value(text.to_owned())
}

#[test]
fn a_setting_is_looked_for_where_airflow_looks() {
    let file = "[core]\nfernet_key = file\nold = x\n[celery]\nbroker_url_cmd = x\n";
    for (variables, key, found) in [
        (&[][..], ("core", "fernet_key"), value("file")),
        (
            &[("AIRFLOW__CORE__FERNET_KEY", "v")],
            ("core", "fernet_key"),
            value("v"),
        ),
        (
            &[("AIRFLOW__CORE__FERNET_KEY", "")],
            ("core", "fernet_key"),
            Setting::Unset,
        ),
        (
            &[("AIRFLOW__CORE__FERNET_KEY_CMD", "x")],
            ("core", "fernet_key"),
            Setting::Elsewhere,
        ),
        (
            &[("AIRFLOW__CORE__FERNET_KEY_SECRET", "x")],
            ("core", "fernet_key"),
            Setting::Elsewhere,
        ),
        (&[], ("celery", "broker_url"), Setting::Elsewhere),
        (&[], ("celery", "result_backend"), Setting::Unset),
        (
            &[("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "old")],
            ("database", "sql_alchemy_conn"),
            value("old"),
        ),
        (
            &[
                ("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "old"),
                ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "$X/new"),
                ("X", "x"),
            ],
            ("database", "sql_alchemy_conn"),
            value("x/new"),
        ),
        (
            &[("AIRFLOW__WEBSERVER__SECRET_KEY", "old")],
            ("api", "secret_key"),
            value("old"),
        ),
    ] {
        let variables = Variables::from_pairs(variables.iter().copied());
        let config = Config::from_parts(&variables, file);
        let setting = config.setting(key.0, key.1);
        assert!(setting == found, "{key:?}: {:?}", setting.value());
    }
}

#[test]
fn what_airflow_told_counts_only_where_nobody_else_knows_and_outlives_new_variables() {
    let read = |pairs: &[(&str, &str)]| Variables::from_pairs(pairs.iter().copied());
    let mut config = Config::from_parts(
        &read(&[("AIRFLOW__CELERY__BROKER_URL_CMD", "x")]),
        "[core]\nexecutor = E\n",
    );
    assert!(config.setting("celery", "broker_url") == Setting::Elsewhere);
    config.learn("celery", "broker_url", "told".to_owned());
    assert!(config.setting("celery", "broker_url") == value("told"));
    let config = config.renewed(&read(&[
        ("AIRFLOW__CELERY__BROKER_URL_SECRET", "x"),
        ("AIRFLOW__API__PORT", "1"),
    ]));
    assert!(config.setting("celery", "broker_url") == value("told"));
    assert!(config.setting("api", "port") == value("1"));
    assert!(config.setting("core", "executor") == value("E"));
    let config = config.renewed(&read(&[("AIRFLOW__CELERY__BROKER_URL", "set")]));
    assert!(config.setting("celery", "broker_url") == value("set"));
}

#[test]
fn a_blank_variable_is_not_the_same_as_none() {
    let variables = Variables::from_pairs([("AIRFLOW__CORE__FERNET_KEY", "")]);
    let config = Config::from_parts(&variables, "");
    assert!(config.is_blank("core", "fernet_key"));
    assert!(!config.is_blank("api", "secret_key"));
}

#[test]
fn the_file_is_where_airflow_looks_for_it() {
    for (variables, path) in [
        (&[("HOME", "/h")][..], "/h/airflow/airflow.cfg"),
        (
            &[("AIRFLOW_HOME", "/opt/airflow")],
            "/opt/airflow/airflow.cfg",
        ),
        (
            &[("AIRFLOW_HOME", "$ROOT/a"), ("ROOT", "/r")],
            "/r/a/airflow.cfg",
        ),
        (
            &[
                ("AIRFLOW_HOME", "/opt/airflow"),
                ("AIRFLOW_CONFIG", "/etc/a.cfg"),
            ],
            "/etc/a.cfg",
        ),
    ] {
        let variables = Variables::from_pairs(variables.iter().copied());
        let around = Around::of(&variables, None);
        assert_eq!(around.config_path(), Path::new(path));
    }
}

#[test]
fn homes_come_from_the_list_of_users() {
    let users = "root:x:0:0:root:/root:/bin/sh\nshort:x\n".to_owned();
    let around = Around::of(&Variables::default(), Some(users));
    assert_eq!(around.home(Some("root")).as_deref(), Some("/root"));
    assert_eq!(around.home(Some("none")), None);
    assert_eq!(Around::default().home(Some("root")), None);
}

#[test]
fn debug_shows_no_value() {
    let variables = Variables::from_pairs([("AIRFLOW__CORE__FERNET_KEY", "secret")]);
    let config = Config::from_parts(&variables, "[api]\nsecret_key = secret\n");
    let shown = format!("{config:?} {:?}", config.setting("core", "fernet_key"));
    assert!(!shown.contains("secret"), "{shown}");
}
