use super::*;
use proptest::prelude::*;

const V31: &str = "3.1.8";

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn parts(more: &[(&str, &str)]) -> Variables {
    let plain = [
        ("ENTRYPOINT_DB_HOST", "db.example"),
        ("ENTRYPOINT_DB_NAME", "airflow"),
        ("ENTRYPOINT_DB_USER", "u"),
        ("ENTRYPOINT_DB_PASSWORD", "p"),
        ("AIRFLOW_HOME", "/no/such"),
    ];
    Variables::from_pairs(plain.iter().chain(more).copied())
}

fn built(variables: &mut Variables, airflow: &str) -> Result<Target, Failure> {
    urls(variables, Some(&version(airflow))).map(Option::unwrap)
}

#[test]
fn urls_are_built_for_each_driver() {
    let mut variables = parts(&[
        ("ENTRYPOINT_DB_SSLMODE", "require"),
        ("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor"),
    ]);
    built(&mut variables, V31).unwrap();
    let sync = "postgresql+psycopg2://u:p@db.example:5432/airflow?sslmode=require";
    assert_eq!(variables.text(SYNC), Some(sync));
    assert_eq!(
        variables.text(ASYNC),
        Some("postgresql+asyncpg://u:p@db.example:5432/airflow?ssl=require")
    );
    assert_eq!(variables.text(RESULTS), Some(format!("db+{sync}").as_str()));
    assert_eq!(variables.source(SYNC), Some(&BUILT));
    assert!(!variables.names().any(|name| name.starts_with("PG")));
}

#[test]
fn what_the_version_or_the_executor_does_not_need_is_left_out() {
    let mut variables = parts(&[("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")]);
    built(&mut variables, "3.0.6").unwrap();
    assert_eq!(variables.text(ASYNC), None);
    assert_eq!(variables.text(RESULTS), None);
}

#[test]
fn what_is_set_already_stays() {
    let mut variables = parts(&[
        ("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor"),
        ("AIRFLOW__CELERY__RESULT_BACKEND", "redis://r"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "x"),
    ]);
    built(&mut variables, V31).unwrap();
    assert_eq!(variables.text(RESULTS), Some("redis://r"));
    assert_eq!(variables.text(ASYNC), Some("x"));
    let mut command = parts(&[("AIRFLOW__CELERY__RESULT_BACKEND_CMD", "x")]);
    built(&mut command, V31).unwrap();
    assert_eq!(command.text(RESULTS), None);
}

#[test]
fn a_file_of_roots_reaches_both_drivers_and_nobody_else() {
    let mut variables = parts(&[
        ("ENTRYPOINT_DB_SSLMODE", "verify-full"),
        ("ENTRYPOINT_DB_SSLROOTCERT", "/ca.pem"),
    ]);
    built(&mut variables, V31).unwrap();
    let sync = variables.text(SYNC).unwrap();
    assert!(
        sync.ends_with("?sslmode=verify-full&sslrootcert=%2Fca.pem"),
        "{sync}"
    );
    let text = variables.text(ASYNC).unwrap();
    assert_eq!(
        Target::parse(text).unwrap().tls,
        Target::parse(sync).unwrap().tls
    );
    assert!(!text.contains("ssl="), "{text}");
}

#[test]
fn a_certificate_cannot_be_checked_without_roots_but_rds_has_its_own() {
    let mut variables = parts(&[("ENTRYPOINT_DB_SSLMODE", "verify-full")]);
    let failure = built(&mut variables, V31).unwrap_err();
    assert_eq!(failure.code(), 65);
    assert!(failure.why.contains("ENTRYPOINT_DB_SSLROOTCERT"));
    let mut variables = parts(&[
        ("ENTRYPOINT_DB_SSLMODE", "verify-full"),
        ("ENTRYPOINT_DB_HOST", "x.eu-west-1.rds.amazonaws.com"),
    ]);
    let target = built(&mut variables, V31).unwrap();
    assert!(target.tls.root.unwrap().ends_with("rds-roots.pem"));
}

#[test]
fn a_url_that_is_there_stays_as_it_is() {
    let url = "postgresql://u:p%40@h/d?connect_timeout=3";
    let mut variables = Variables::from_pairs([(SYNC, url), ("AIRFLOW_HOME", "/no/such")]);
    let target = built(&mut variables, V31).unwrap();
    assert_eq!(variables.text(SYNC), Some(url));
    assert_eq!(variables.text(ASYNC), None);
    assert_eq!(target.password.unwrap().reveal(), "p@");
}

#[test]
fn a_url_whose_tls_airflow_would_break_gets_an_async_one() {
    let url = "postgresql+psycopg2://u:p@h/d?sslmode=require";
    let mut variables = Variables::from_pairs([(SYNC, url), ("AIRFLOW_HOME", "/no/such")]);
    built(&mut variables, V31).unwrap();
    assert_eq!(
        variables.text(ASYNC),
        Some("postgresql+asyncpg://u:p@h:5432/d?ssl=require")
    );
}

#[test]
fn a_url_that_checks_rds_is_given_its_roots() {
    let url = "postgresql://u:p@x.y.rds.amazonaws.com/d?sslmode=verify-full";
    let mut variables = Variables::from_pairs([(SYNC, url), ("AIRFLOW_HOME", "/no/such")]);
    let target = built(&mut variables, V31).unwrap();
    let given = variables.text(SYNC).unwrap();
    assert!(given.starts_with(&format!("{url}&sslrootcert=")), "{given}");
    for variable in [SYNC, ASYNC] {
        let read = Target::parse(variables.text(variable).unwrap()).unwrap();
        assert_eq!(read.tls, target.tls);
    }
}

#[test]
fn parts_take_the_place_of_a_urls_own_unless_they_come_from_further_away() {
    let url = "postgresql://u@h:99/d?sslmode=require";
    let variables = || Variables::from_pairs([(SYNC, url), ("AIRFLOW_HOME", "/no/such")]);
    let mut secret = variables();
    let source = Source::Secret("s".to_owned());
    secret.set("ENTRYPOINT_DB_PASSWORD", "p/".to_owned(), source);
    built(&mut secret, "2.11.0").unwrap();
    assert_eq!(
        secret.text(SYNC),
        Some("postgresql+psycopg2://u:p%2F@h:99/d?sslmode=require")
    );
    let mut layout = variables();
    let source = Source::Layout("/x/db/host".to_owned());
    layout.set("ENTRYPOINT_DB_HOST", "other".to_owned(), source);
    built(&mut layout, "2.11.0").unwrap();
    assert_eq!(layout.text(SYNC), Some(url));
}

#[test]
fn urls_are_made_anew_from_parts_that_changed() {
    let mut variables = parts(&[]);
    built(&mut variables, V31).unwrap();
    variables.set("ENTRYPOINT_DB_PASSWORD", "new".to_owned(), Source::Literal);
    let target = built(&mut variables, V31).unwrap();
    assert_eq!(target.password.unwrap().reveal(), "new");
    assert!(variables.text(SYNC).unwrap().contains("u:new@"));
    assert!(variables.text(ASYNC).unwrap().contains("u:new@"));
}

#[test]
fn nothing_configured_is_no_database() {
    for pairs in [
        vec![],
        vec![(SYNC, "sqlite:////tmp/x.db")],
        vec![("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "cat x")],
    ] {
        let mut variables = Variables::from_pairs(pairs);
        variables.set("AIRFLOW_HOME", "/no/such".to_owned(), Source::Literal);
        assert_eq!(urls(&mut variables, None), Ok(None));
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    for (name, value, why) in [
        ("ENTRYPOINT_DB_HOST", "a b", "ENTRYPOINT_DB_HOST is no name"),
        ("ENTRYPOINT_DB_PORT", "0", "ENTRYPOINT_DB_PORT is no number"),
        (
            "ENTRYPOINT_DB_SSLMODE",
            "on",
            "ENTRYPOINT_DB_SSLMODE is wrong",
        ),
        ("ENTRYPOINT_DB_USER", "", "ENTRYPOINT_DB_USER is missing"),
        (SYNC, "postgresql://u:secret@x@h/d", "write it as %40"),
    ] {
        let mut variables = parts(&[(name, value)]);
        let failure = built(&mut variables, V31).unwrap_err();
        assert_eq!(failure.code(), 65);
        assert!(
            failure.why.contains(why) && !failure.why.contains("secret"),
            "{failure}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_is_in_a_password_is_read_back(
        user in "\\PC{1,12}", password in "\\PC{1,20}|[$~%@:/?#&'\"\\\\ \n\t]{1,9}", name in "\\PC{1,12}",
    ) {
        let mut variables = parts(&[
            ("ENTRYPOINT_DB_USER", user.as_str()),
            ("ENTRYPOINT_DB_PASSWORD", password.as_str()),
            ("ENTRYPOINT_DB_NAME", name.as_str()),
        ]);
        let target = built(&mut variables, V31).unwrap();
        for variable in [SYNC, ASYNC] {
            let url = variables.text(variable).unwrap();
            prop_assert!(!url.contains(['$', '~', '\n', ' ']), "{}", url);
            prop_assert_eq!(&Target::parse(url).unwrap(), &target, "{}", url);
        }
    }
}
