//! References, paths and the layout against moto.

mod resolve_support;

use resolve_support::{Task, front};
use testkit::ssm::{put, put_secret};

const ODD: [&str; 14] = [
    "100%",
    "%(x)s %24 %%",
    "a$b$$",
    "~",
    "~root/x",
    "p@ss/w:rd",
    "'single' \"double\" `back`",
    " spaces around ",
    "two\nlines\n",
    "tab\tand\r\n",
    "pässwörd €🦀",
    "back\\slash \\n",
    "{{resolve:ssm:x}} ${x} $(x)",
    "a=b;c&d|e<f>#g",
];

#[test]
fn references_become_what_they_refer_to() {
    let (moto, front) = front();
    put(moto, "/refs/a", "one");
    put(moto, "/refs/a", "two");
    put(moto, "plain-name", "three");
    put_secret(moto, "refs/db", r#"{"password":"p@ss","port":5432}"#);
    put(moto, "/refs/to-secret", "secretsmanager://refs/db#password");
    put(moto, "/refs/to-parameter", "ssm:///refs/a");
    let outcome = Task::new(front.environment())
        .with("A", "ssm:///refs/a")
        .with("A1", "ssm:///refs/a:1")
        .with("PLAIN", "ssm://plain-name")
        .with("WHOLE", "secretsmanager://refs/db")
        .with("KEY", "secretsmanager://refs/db#password")
        .with("PORT", "secretsmanager://refs/db#port")
        .with("NESTED", "ssm:///refs/to-secret")
        .with("NESTED_TOO", "ssm:///refs/to-parameter")
        .with("LITERAL", "x")
        .run();
    for (name, value, source) in [
        ("A", "two", "ssm /refs/a"),
        ("A1", "one", "ssm /refs/a:1"),
        ("PLAIN", "three", "ssm plain-name"),
        (
            "WHOLE",
            r#"{"password":"p@ss","port":5432}"#,
            "secretsmanager refs/db",
        ),
        ("KEY", "p@ss", "secretsmanager refs/db#password"),
        ("PORT", "5432", "secretsmanager refs/db#port"),
        ("NESTED", "p@ss", "ssm /refs/to-secret"),
        ("NESTED_TOO", "two", "ssm /refs/to-parameter"),
        ("LITERAL", "x", "literal"),
    ] {
        assert_eq!(outcome.value(name), value, "{name}");
        assert_eq!(outcome.sources[name], source, "{name}");
    }
    // Two versions of one parameter need a call each, and what was referred to another round.
    assert_eq!((outcome.count, outcome.calls), (8, 3));
}

#[test]
fn odd_values_arrive_as_they_are() {
    let (moto, front) = front();
    let mut task = Task::new(front.environment());
    for (place, value) in ODD.iter().enumerate() {
        put(moto, &format!("/odd/{place}"), value);
        put_secret(
            moto,
            &format!("odd-{place}"),
            &serde_json::json!({ "k": value }).to_string(),
        );
        task = task
            .with(&format!("P{place}"), &format!("ssm:///odd/{place}"))
            .with(
                &format!("S{place}"),
                &format!("secretsmanager://odd-{place}#k"),
            );
        put(moto, &format!("/odd-layout/env/L{place}"), value);
    }
    put(moto, "/odd-layout/db/password", ODD[3]);
    let outcome = task.argument("--parameters=/odd-layout").run();
    for (place, value) in ODD.iter().enumerate() {
        for store in ["P", "S", "L"] {
            assert_eq!(outcome.value(&format!("{store}{place}")), *value);
        }
    }
    assert_eq!(outcome.value("ENTRYPOINT_DB_PASSWORD"), ODD[3]);
}

#[test]
fn eight_parameters_cost_one_call_and_a_name_is_asked_for_once() {
    let (moto, front) = front();
    let mut eight = Task::new(front.environment());
    let mut many = Task::new(front.environment());
    for place in 0..8 {
        put(moto, &format!("/eight/env/V{place}"), "x");
        eight = eight.with(&format!("V{place}"), &format!("ssm:///eight/env/V{place}"));
    }
    for place in 0..60 {
        many = many.with(
            &format!("V{place}"),
            &format!("ssm:///eight/env/V{}", place % 8),
        );
    }
    assert_eq!(eight.run().calls, 1);
    assert_eq!(many.run().calls, 1);
    assert_eq!(
        Task::new(front.environment())
            .argument("--parameters=/eight")
            .run()
            .calls,
        1
    );
    assert_eq!(front.calls().len(), 3);

    let mut more = Task::new(front.environment());
    for place in 0..23 {
        put(moto, &format!("/more/{place}"), "x");
        more = more.with(&format!("V{place}"), &format!("ssm:///more/{place}"));
    }
    assert_eq!(more.run().calls, 3);
    let calls = front.calls();
    assert!(calls.iter().all(|call| call.names().len() <= 10));
    assert!(
        calls
            .iter()
            .all(|call| call.input["WithDecryption"] == true)
    );
}

#[test]
fn nothing_is_asked_where_nothing_refers_to_aws() {
    // No region, no endpoint, no credentials: a client could not even be made.
    let outcome = Task::new(vec![])
        .with("X", "ssm:/not-a-reference")
        .with("Y", "")
        .run();
    assert_eq!(
        (outcome.value("X"), outcome.calls),
        ("ssm:/not-a-reference", 0)
    );
}

#[test]
fn the_layout_becomes_variables_by_version_and_what_is_set_wins() {
    let (moto, front) = front();
    for (name, value) in [
        ("db/host", "h"),
        ("db/port", "5432"),
        ("db/name", "airflow"),
        ("db/username", "u"),
        ("db/password", "p$w"),
        ("broker-url", "redis://:a$b@h:6379/0"),
        ("fernet-key", "f"),
        ("webserver/secret-key", "w"),
        ("jwt-secret", "j"),
        ("admin/username", "admin"),
        ("admin/password", "a"),
        ("admin/email", "a@example.com"),
        ("env/MINE", "layout"),
        ("env/OTHER", "layout"),
        ("env/GIVEN", "layout"),
        ("unknown/thing", "x"),
    ] {
        put(moto, &format!("/layout/{name}"), value);
    }
    put(moto, "/common/MINE", "common");
    put(moto, "/common/BOTH", "common");
    put(moto, "/special/BOTH", "special");
    put(moto, "/special/deeper/DEEP", "x");
    let task = Task::new(front.environment())
        .argument("--parameters=/layout/")
        .argument("--ssm-paths=/common,/special")
        .with("GIVEN", "literal")
        .with("AIRFLOW__CORE__FERNET_KEY_CMD", "cat /run/fernet");
    let three = task.clone().airflow("3.1.8").run();
    for (name, value, source) in [
        ("ENTRYPOINT_DB_HOST", "h", "layout /layout/db/host"),
        (
            "ENTRYPOINT_DB_PASSWORD",
            "p$w",
            "layout /layout/db/password",
        ),
        (
            "AIRFLOW__CELERY__BROKER_URL",
            "redis://:a%24b@h:6379/0",
            "layout /layout/broker-url",
        ),
        (
            "AIRFLOW__API__SECRET_KEY",
            "w",
            "layout /layout/webserver/secret-key",
        ),
        (
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "j",
            "layout /layout/jwt-secret",
        ),
        (
            "ENTRYPOINT_ADMIN_EMAIL",
            "a@example.com",
            "layout /layout/admin/email",
        ),
        ("MINE", "common", "path /common/MINE"),
        ("BOTH", "special", "path /special/BOTH"),
        ("OTHER", "layout", "layout /layout/env/OTHER"),
        ("GIVEN", "literal", "literal"),
    ] {
        assert_eq!(three.value(name), value, "{name}");
        assert_eq!(three.sources[name], source, "{name}");
    }
    for name in [
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__WEBSERVER__SECRET_KEY",
        "DEEP",
        "thing",
    ] {
        assert_eq!(three.value(name), "(unset)", "{name}");
    }
    let two = task.airflow("2.11.2").run();
    assert_eq!(two.value("AIRFLOW__WEBSERVER__SECRET_KEY"), "w");
    assert_eq!(two.value("AIRFLOW__API__SECRET_KEY"), "(unset)");
    assert_eq!(two.value("AIRFLOW__API_AUTH__JWT_SECRET"), "(unset)");
}

#[test]
fn all_that_is_missing_or_unusable_is_named_at_once() {
    let (moto, front) = front();
    put_secret(moto, "bad/json", "no json, marked-secret");
    put_secret(moto, "bad/keys", r#"{"a":"marked-secret"}"#);
    put(moto, "/bad/chain", "ssm:///bad/chain-2");
    put(moto, "/bad/chain-2", "ssm:///bad/end");
    put(moto, "/bad/mangled", "a$PATH");
    let outcome = Task::new(front.environment())
        .with("A", "ssm:///bad/none")
        .with("B", "ssm:///bad/none")
        .with("C", "ssm://nothing:3")
        .with("D", "secretsmanager://bad/none#k")
        .with("E", "secretsmanager://bad/json#k")
        .with("F", "secretsmanager://bad/keys#k")
        .with("G", "ssm:///bad/chain")
        .with("AIRFLOW__API_AUTH__JWT_SECRET", "ssm:///bad/mangled")
        .with("PATH", "/bin")
        .argument("--ssm-paths=/bad/empty")
        .run()
        .expect(
            65,
            &[
                "missing: secretsmanager://bad/none#k for D, ssm:///bad/none for A and B, ssm://nothing:3 for C",
                "secretsmanager://bad/json#k for E: it is no JSON object",
                "secretsmanager://bad/keys#k for F: it has no key k, but a",
                "only one level is followed",
                "AIRFLOW__API_AUTH__JWT_SECRET: its value has a $ before the name of a variable that is set",
                "the path /bad/empty for ENTRYPOINT_SSM_PATHS: no parameter is below it",
            ],
        );
    assert!(!outcome.why.contains("marked-secret") && !outcome.why.contains("$PATH"));
    assert_eq!(outcome.variables["A"], "ssm:///bad/none");
}

#[test]
fn a_reference_that_is_none_ends_before_anything_is_asked() {
    let (_, front) = front();
    Task::new(front.environment())
        .with("A", "ssm://a/b")
        .with("B", "secretsmanager://arn:aws:secretsmanager:r:1:secret:x")
        .with("C", "ssm:///fine")
        .run()
        .expect(
            64,
            &[
                "A: a reference to a parameter",
                "three slashes",
                "B: a reference to a secret",
            ],
        );
    assert!(front.calls().is_empty());
}
