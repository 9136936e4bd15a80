//! What SSM refuses, delays and never says, through a front before moto.

mod resolve_support;

use resolve_support::{Task, front};
use serde_json::json;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::ssm::{Reply, put};

#[test]
fn fifty_tasks_that_start_together_all_get_their_values_though_ssm_throttles() {
    let (moto, front) = front();
    for place in 0..8 {
        put(moto, &format!("/fifty/{place}"), "x");
    }
    // 10 at once and 20 a second after that: half of what an account has.
    let bucket = Mutex::new((10.0_f64, Instant::now()));
    front.decide(move |call| {
        let mut bucket = bucket.lock().unwrap();
        let (left, last) = *bucket;
        let left =
            (left + (call.at.saturating_duration_since(last)).as_secs_f64() * 20.0).min(10.0);
        let passes = left >= 1.0;
        *bucket = (if passes { left - 1.0 } else { left }, call.at);
        if passes {
            Reply::Pass
        } else {
            Reply::throttled()
        }
    });
    let mut task = Task::new(front.environment())
        .copies(50)
        .deadline(Duration::from_secs(50));
    for place in 0..8 {
        task = task.with(&format!("V{place}"), &format!("ssm:///fifty/{place}"));
    }
    let outcomes = task.run_all();
    assert_eq!(outcomes.len(), 50);
    for outcome in &outcomes {
        assert_eq!(outcome.value("V7"), "x");
    }
    let slowest = outcomes
        .iter()
        .map(|outcome| outcome.seconds)
        .fold(0.0, f64::max);
    let calls = front.calls().len();
    assert!(calls > 50, "nothing was throttled");
    assert!(calls < 500 && slowest < 30.0, "{calls} calls, {slowest} s");
}

#[test]
fn every_name_that_is_forbidden_is_named_beside_those_that_are_missing() {
    let (moto, front) = front();
    put(moto, "/deny/good", "x");
    front.decide(|call| {
        if call.asks_for("/deny/one") || call.asks_for("/aws/reference/secretsmanager/deny") {
            Reply::denied()
        } else if call.asks_for("/deny/key") {
            Reply::key_denied()
        } else {
            Reply::Pass
        }
    });
    let task = Task::new(front.environment())
        .with("A", "ssm:///deny/one")
        .with("B", "secretsmanager://deny#k")
        .with("C", "ssm:///deny/none")
        .with("D", "ssm:///deny/key")
        .with("E", "ssm:///deny/good");
    task.run().expect(
        77,
        &[
            "missing: ssm:///deny/none for C",
            "permission denied: secretsmanager://deny#k for B, ssm:///deny/one for A",
            "secretsmanager:GetSecretValue and ssm:GetParameters",
            "KMS denied: ssm:///deny/key for D",
            "kms:Decrypt",
        ],
    );
}

#[test]
fn a_path_that_may_not_be_listed_is_a_matter_of_permission() {
    let (_, front) = front();
    front.decide(|_| Reply::denied());
    let outcome = Task::new(front.environment())
        .argument("--parameters=/a")
        .run();
    outcome.expect(
        77,
        &[
            "the path /a for ENTRYPOINT_PARAMETERS",
            "ssm:GetParametersByPath",
        ],
    );
}

#[test]
fn a_name_that_only_fails_the_batch_is_found() {
    let (moto, front) = front();
    put(moto, "/batch/good", "x");
    front.decide(|call| match call.asks_for("/batch/bad") {
        true => Reply::Refuse(
            400,
            "ParameterNotFound",
            "An error occurred when referencing Secrets Manager",
        ),
        false => Reply::Pass,
    });
    Task::new(front.environment())
        .with("A", "ssm:///batch/good")
        .with("B", "ssm:///batch/bad")
        .run()
        .expect(65, &["missing: ssm:///batch/bad for B; create"]);
}

#[test]
fn credentials_that_stay_expired_end_soon_and_new_ones_go_on() {
    let (moto, front) = front();
    put(moto, "/expired", "x");
    front.decide(|_| Reply::expired());
    let task = Task::new(front.environment())
        .with("A", "ssm:///expired")
        .deadline(Duration::from_secs(300));
    task.clone()
        .run()
        .expect(69, &["the credentials expired", "tried 4 times", "renew"]);
    assert_eq!(front.calls().len(), 4);
    front.decide(|call| {
        if call.number < 6 {
            Reply::expired()
        } else {
            Reply::Pass
        }
    });
    assert_eq!(task.run().value("A"), "x");
}

#[test]
fn no_credentials_and_wrong_ones_end_at_once() {
    let (_, front) = front();
    let mut bare = front.environment();
    bare.retain(|(name, _)| !name.contains("ACCESS_KEY"));
    let task = |environment| Task::new(environment).with("A", "ssm:///x");
    let outcome = task(bare)
        .run()
        .expect(77, &["no AWS credentials", "task role"]);
    assert!(outcome.seconds < 5.0);
    assert!(front.calls().is_empty());
    front.decide(|_| {
        Reply::Refuse(
            400,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    });
    task(front.environment())
        .run()
        .expect(77, &["the credentials are not valid here"]);
    assert_eq!(front.calls().len(), 1);
    let mut elsewhere = front.environment();
    elsewhere.retain(|(name, _)| !name.contains("REGION"));
    task(elsewhere).run().expect(64, &["AWS_REGION"]);
}

#[test]
fn silence_ends_with_the_deadline() {
    let (_, front) = front();
    front.decide(|_| Reply::Silence(Duration::from_secs(60)));
    let outcome = Task::new(front.environment())
        .with("A", "ssm:///x")
        .deadline(Duration::from_secs(1))
        .run()
        .expect(69, &["SSM does not answer", "AWS_ENDPOINT_URL_SSM"]);
    assert!((0.9..3.0).contains(&outcome.seconds), "{}", outcome.seconds);
}

#[test]
fn an_address_where_nobody_listens_is_tried_until_the_deadline_and_once_without_one() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_, front) = front();
    let mut environment = front.environment();
    environment.push(("AWS_ENDPOINT_URL_SSM".to_owned(), endpoint));
    let task = Task::new(environment).with("A", "ssm:///x");
    let waited = task.clone().deadline(Duration::from_secs(2)).run();
    let waited = waited.expect(69, &["SSM does not answer", "refused"]);
    assert!(
        waited.seconds > 0.5 && !waited.why.contains("tried once"),
        "{}",
        waited.why
    );
    task.deadline(Duration::ZERO)
        .run()
        .expect(69, &["tried once"]);
}

#[test]
fn a_service_that_is_not_well_is_asked_again() {
    let (moto, front) = front();
    put(moto, "/unwell", "x");
    front.decide(|call| match call.number {
        0 => Reply::Refuse(500, "InternalServerError", ""),
        1 => Reply::Refuse(503, "ServiceUnavailable", ""),
        _ => Reply::Pass,
    });
    let outcome = Task::new(front.environment())
        .with("A", "ssm:///unwell")
        .run();
    assert_eq!((outcome.value("A"), outcome.calls), ("x", 3));
}

#[test]
fn pages_that_are_empty_but_not_the_last_are_followed() {
    let (_, front) = front();
    front.decide(|call| {
        let parameter =
            |name: &str| json!({"Name": format!("/p/{name}"), "Value": name, "Type": "String"});
        Reply::Answer(match call.input["NextToken"].as_str() {
            None => json!({"Parameters": [], "NextToken": "1"}),
            Some("1") => json!({"Parameters": [parameter("A")], "NextToken": "2"}),
            Some("2") => json!({"NextToken": "3"}),
            Some(_) => json!({"Parameters": [parameter("B")]}),
        })
    });
    let outcome = Task::new(front.environment())
        .argument("--ssm-paths=/p")
        .run();
    assert_eq!(
        (outcome.value("A"), outcome.value("B"), outcome.calls),
        ("A", "B", 4)
    );
}

#[test]
fn aws_answers_a_secret_with_its_whole_path() {
    let (_, front) = front();
    front.decide(|_| {
        Reply::Answer(json!({"Parameters": [
            {"Name": "/aws/reference/secretsmanager/s", "Value": "{\"k\":\"secret\"}", "Type": "SecureString"},
            {"Name": "s", "Value": "parameter", "Type": "String"},
        ]}))
    });
    let outcome = Task::new(front.environment())
        .with("SECRET", "secretsmanager://s#k")
        .run();
    assert_eq!(outcome.value("SECRET"), "secret");
}

#[test]
fn a_password_that_was_changed_is_fetched_again_and_nothing_else() {
    let (_, front) = front();
    front.decide(|call| {
        let value = |name: &&str| json!({"Name": name, "Value": format!("{name} {}", call.number), "Type": "String"});
        let parameters: Vec<_> = call.names().iter().map(value).collect();
        Reply::Answer(json!({ "Parameters": parameters }))
    });
    let task = Task::new(front.environment())
        .with("OTHER", "ssm:///other")
        .refetch();
    let unchanged = task.clone().run();
    assert_eq!((unchanged.is_different, unchanged.calls), (Some(false), 1));
    assert_eq!(front.calls().len(), 1);
    let changed = task.with("ENTRYPOINT_DB_PASSWORD", "ssm:///db").run();
    assert_eq!(changed.is_different, Some(true));
    assert_eq!(changed.value("ENTRYPOINT_DB_PASSWORD"), "/db 2");
    assert_eq!(changed.value("OTHER"), "/other 1");
    assert_eq!(front.calls().last().unwrap().names(), ["/db"]);
}
