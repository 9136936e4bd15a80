//! Each rule by what it says of one set of variables.

use super::*;
use Level::{Error, Refused, Warning};

#[test]
fn where_all_is_set_there_is_nothing_to_say() {
    for release in [V28, V211, V300, V31, V33] {
        for service in SERVICES.into_iter().filter(|one| exists(*one, release)) {
            let found = found(service, Some(release), &with(&[]));
            assert_eq!(found, [], "{service} {release:?}");
        }
    }
    for service in SERVICES {
        assert_eq!(found(service, None, &with(&[])), [], "{service}");
    }
}

/// One change each: which services of which versions hear of it, and how.
#[test]
fn each_rule_is_about_the_services_that_need_it() {
    type Changes<'a> = &'a [(&'a str, Option<&'a str>)];
    type Rows<'a> = &'a [(Version, &'a [(Service, Level)])];
    #[rustfmt::skip]
    let rules: [(Changes<'_>, &str, Rows<'_>); 26] = [
        (&[(FERNET, None)], FERNET, &[
            (V28, &[(Scheduler, Warning), (Webserver, Warning), (DagProcessor, Warning), (Triggerer, Warning), (CeleryWorker, Warning), (Standalone, Warning)]),
            (V211, &[(Scheduler, Error), (Webserver, Error), (DagProcessor, Error), (Triggerer, Error), (CeleryWorker, Error), (Standalone, Error)]),
            (V31, &[(Scheduler, Error), (ApiServer, Error), (DagProcessor, Error), (Triggerer, Error), (Standalone, Error)]),
        ]),
        (&[(FERNET, Some(""))], FERNET, &[
            (V33, &[(Scheduler, Warning), (ApiServer, Warning), (DagProcessor, Warning), (Triggerer, Warning), (Standalone, Warning)]),
        ]),
        (&[(FERNET, Some("short"))], FERNET, &[
            (V31, &[(Scheduler, Error), (ApiServer, Error), (DagProcessor, Error), (Triggerer, Error), (CeleryWorker, Error), (CeleryFlower, Error), (Standalone, Error)]),
        ]),
        (&[(WEB_SECRET, None)], WEB_SECRET, &[
            (V28, &[(Webserver, Error), (CeleryWorker, Warning), (Triggerer, Warning)]),
            (V300, &[(ApiServer, Error), (CeleryWorker, Warning), (Triggerer, Warning)]),
            (V31, &[]),
        ]),
        (&[(WEB_SECRET, None), (API_SECRET, None)], API_SECRET, &[
            (V31, &[(ApiServer, Error), (CeleryWorker, Warning), (Triggerer, Warning)]),
            (V33, &[(ApiServer, Error), (CeleryWorker, Warning), (Triggerer, Warning)]),
        ]),
        (&[(API_SECRET, None), (WEB_SECRET, None), (EXECUTOR, None)], API_SECRET, &[
            (V31, &[(Scheduler, Warning), (ApiServer, Error), (Triggerer, Warning), (CeleryWorker, Warning)]),
        ]),
        (&[(JWT, None)], JWT, &[
            (V211, &[]),
            (V300, &[(Scheduler, Error), (ApiServer, Error)]),
            (V33, &[(Scheduler, Error), (ApiServer, Error)]),
        ]),
        (&[(JWT, None), ("AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH", Some("/k.pem"))], JWT, &[(V31, &[])]),
        (&[(JWT, None), ("AIRFLOW__API_AUTH__JWT_SECRET_CMD", Some("x"))], JWT, &[(V31, &[])]),
        (&[(AUTH, None)], AUTH, &[
            (V211, &[]),
            (V31, &[(Scheduler, Refused), (ApiServer, Refused), (DagProcessor, Refused), (Triggerer, Refused), (Standalone, Refused)]),
        ]),
        (&[(AUTH, Some("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"))], AUTH, &[
            (V33, &[(Scheduler, Refused), (ApiServer, Refused), (DagProcessor, Refused), (Triggerer, Refused), (Standalone, Refused)]),
        ]),
        (&[(BROKER, None)], BROKER, &[
            (V28, &[(Scheduler, Error), (CeleryWorker, Error), (CeleryFlower, Error)]),
            (V31, &[(Scheduler, Error), (CeleryWorker, Error), (CeleryFlower, Error)]),
        ]),
        (&[(BROKER, None), (EXECUTOR, Some("LocalExecutor"))], BROKER, &[
            (V31, &[(CeleryWorker, Error), (CeleryFlower, Error)]),
        ]),
        (&[(BROKER, Some("rediss://h/0?ssl_cert_reqs=bogus"))], BROKER, &[
            (V31, &[(Scheduler, Error), (CeleryWorker, Error), (CeleryFlower, Error)]),
        ]),
        (&[(BROKER, Some("rediss://h/0?a=b&ssl_cert_reqs=CERT_NONE"))], BROKER, &[
            (V31, &[(Scheduler, Warning), (CeleryWorker, Warning), (CeleryFlower, Warning)]),
        ]),
        (&[(BACKEND, Some("rediss://h/0"))], BACKEND, &[
            (V28, &[(Scheduler, Error), (CeleryWorker, Error), (CeleryFlower, Error)]),
        ]),
        (&[(EXECUTOR, None)], EXECUTOR, &[
            (V28, &[(CeleryWorker, Error), (CeleryFlower, Error)]),
            (V31, &[(CeleryWorker, Error), (CeleryFlower, Error)]),
            (V33, &[(CeleryWorker, Warning), (CeleryFlower, Warning)]),
        ]),
        (&[(EXECUTOR, Some("LocalExecutor,mine.Executor"))], EXECUTOR, &[(V31, &[])]),
        (&[(CONN, None)], CONN, &[
            (V28, &[(Scheduler, Error), (Webserver, Error), (DagProcessor, Error), (Triggerer, Error), (CeleryWorker, Error)]),
            (V31, &[(Scheduler, Error), (ApiServer, Error), (DagProcessor, Error), (Triggerer, Error)]),
        ]),
        (&[(CONN, None), (BACKEND, None)], CONN, &[
            (V31, &[(Scheduler, Error), (ApiServer, Error), (DagProcessor, Error), (Triggerer, Error), (CeleryWorker, Error)]),
        ]),
        (&[(CONN_ASYNC, None)], CONN_ASYNC, &[(V31, &[])]),
        (&[(CONN, Some("postgresql://h/d?sslmode=require"))], CONN, &[
            (V300, &[(Scheduler, Warning), (ApiServer, Warning), (DagProcessor, Warning), (Triggerer, Warning), (Standalone, Warning)]),
            (V31, &[]),
        ]),
        (&[(CONN_ASYNC, None), (CONN, Some("postgresql+psycopg2://h/d?a=b&sslmode=require"))], CONN_ASYNC, &[
            (V211, &[]),
            (V31, &[(Scheduler, Warning), (ApiServer, Warning), (DagProcessor, Warning), (Triggerer, Warning), (Standalone, Warning)]),
        ]),
        (&[(API_URL, Some("http://127.0.0.1:8080/execution/"))], API_URL, &[
            (V211, &[]),
            (V31, &[(CeleryWorker, Warning)]),
        ]),
        (&[(TOKEN_TIME, Some("600"))], TOKEN_TIME, &[
            (V28, &[]),
            (V31, &[(Scheduler, Warning)]),
        ]),
        (&[(QUEUE_TIME, None)], QUEUE_TIME, &[
            (V28, &[(Scheduler, Warning)]),
            (V31, &[(Scheduler, Warning)]),
        ]),
    ];
    for (changes, variable, rows) in rules {
        for (release, expected) in rows {
            for service in SERVICES.into_iter().filter(|one| exists(*one, *release)) {
                let found = found(service, Some(*release), &with(changes));
                let level = found
                    .iter()
                    .find(|finding| finding.variable == variable)
                    .map(|finding| finding.level);
                let wanted = expected.iter().find(|(one, _)| *one == service);
                let wanted = wanted.map(|(_, level)| *level);
                assert_eq!(
                    level, wanted,
                    "{changes:?} {service} {release:?}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn a_command_that_this_airflow_does_not_have_is_named() {
    for (service, release, named) in [
        (Webserver, V31, true),
        (Webserver, V211, false),
        (ApiServer, V211, true),
        (ApiServer, V31, false),
    ] {
        let found = found(service, Some(release), &with(&[]));
        let command = found.iter().find(|finding| finding.variable == "command");
        assert_eq!(command.map(|found| found.level), named.then_some(Error));
    }
}

#[test]
fn an_old_dag_processor_needs_to_be_told_that_it_stands_alone() {
    for (release, value, level) in [
        (V28, None, Some(Error)),
        (V211, Some("False"), Some(Error)),
        (V211, Some("true"), None),
        (V31, None, None),
    ] {
        let found = found(DagProcessor, Some(release), &with(&[(ALONE, value)]));
        let level_found = found.first().map(|found| found.level);
        assert_eq!(level_found, level, "{found:?}");
    }
}

#[test]
fn the_execution_api_is_looked_for_where_airflow_looks() {
    let base = "AIRFLOW__API__BASE_URL";
    for (changes, warns) in [
        (&[(API_URL, None)][..], true),
        (
            &[(API_URL, None), (base, Some("https://airflow.example/a"))],
            false,
        ),
        (&[(API_URL, None), (base, Some("/a"))], true),
        (
            &[(API_URL, None), (base, Some("http://localhost:8080"))],
            true,
        ),
        (&[(API_URL, Some("http://[::1]:8080/execution/"))], true),
        (&[(API_URL, Some("http://u@0.0.0.0/execution/"))], true),
        (
            &[(API_URL, Some("http://localhost.example/execution/"))],
            false,
        ),
    ] {
        let found = found(CeleryWorker, Some(V31), &with(changes));
        let warned = found.iter().any(|found| found.variable == API_URL);
        assert_eq!(warned, warns, "{changes:?}");
    }
}

#[test]
fn a_fetched_secret_that_airflow_would_change_is_an_error_and_a_folder_is_meant() {
    let fetched = || Source::Parameter("/a".to_owned());
    for (name, value, source, level) in [
        (JWT, "a$HOME", fetched(), Some(Error)),
        (JWT, "~/x", fetched(), Some(Error)),
        (JWT, "~root/x", fetched(), Some(Error)),
        (JWT, "a$NOT_SET ~x 100%", fetched(), None),
        (JWT, "line\n", fetched(), Some(Warning)),
        (JWT, "a$HOME", Source::Literal, Some(Warning)),
        ("AIRFLOW__CORE__DAGS_FOLDER", "$HOME/dags", fetched(), None),
        (
            "AIRFLOW__CORE__DAGS_FOLDER",
            "~/dags\n",
            fetched(),
            Some(Warning),
        ),
        (JWT, "$LOOP", Source::Literal, Some(Error)),
        ("PLAIN", "a$HOME", fetched(), None),
        (
            "AIRFLOW__CELERY__BROKER_URL_CMD",
            "cat $HOME/x",
            fetched(),
            None,
        ),
        (
            CONN,
            "postgresql://u:%24HOME@h/d",
            Source::Built("parts"),
            None,
        ),
    ] {
        let mut variables = with(&[("HOME", Some("/h")), ("LOOP", Some("$LOOP$LOOP"))]);
        variables.set(name, value.to_owned(), source);
        let found = found(Scheduler, Some(V31), &variables);
        let about = found.iter().find(|found| found.variable == name);
        assert_eq!(about.map(|found| found.level), level, "{name} {value:?}");
    }
}
