//! Task protection against a stand-in for the ECS agent: whatever it does, a migration goes on soon.

use std::time::{Duration, Instant};

use agent::settings::Environment;
use entrypoint::protection::Protection;
use serde_json::json;
use testkit::ecs::{Behaviour, EcsAgent};

const LONGEST: Duration = Duration::from_secs(1800);

fn environment(agent: &EcsAgent) -> Environment {
    Environment::from_pairs([("ECS_AGENT_URI", agent.uri())])
}

#[tokio::test]
async fn protection_lasts_from_before_the_migration_to_after_it() {
    let agent = EcsAgent::start();
    let protection = Protection::ask(&environment(&agent), LONGEST).await;
    assert!(agent.is_protected());
    assert_eq!(agent.minutes(), 30);
    protection.give_back().await;
    assert!(!agent.is_protected());
    let bodies: Vec<_> = agent
        .requests()
        .into_iter()
        .map(|request| (request.method, request.body))
        .collect();
    assert_eq!(
        bodies,
        [
            (
                "PUT".to_owned(),
                json!({"ProtectionEnabled": true, "ExpiresInMinutes": 30})
            ),
            ("PUT".to_owned(), json!({"ProtectionEnabled": false})),
        ]
    );
}

#[tokio::test]
async fn without_it_the_migration_goes_on_within_seconds() {
    let agent = EcsAgent::start();
    for behaviour in [
        Behaviour::Refuse("DEPLOYMENT_BLOCKED".to_owned()),
        Behaviour::Fail(400, "AccessDeniedException".to_owned()),
        Behaviour::Fail(500, "ServerException".to_owned()),
        Behaviour::Garbage(502),
        Behaviour::HangUp,
        Behaviour::Silent,
    ] {
        agent.behave(behaviour.clone());
        let asked = Instant::now();
        let protection = Protection::ask(&environment(&agent), LONGEST).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{behaviour:?}");
        assert!(!agent.is_protected());
        // A request whose answer was lost may have been granted.
        agent.behave(Behaviour::Grant);
        let before = agent.requests().len();
        protection.give_back().await;
        assert_eq!(agent.requests().len(), before + 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn outside_ecs_nothing_is_asked() {
    for uri in [
        "",
        "https://169.254.170.2/api",
        "nonsense",
        "http://127.0.0.1:1",
    ] {
        let environment = Environment::from_pairs([("ECS_AGENT_URI", uri)]);
        let asked = Instant::now();
        Protection::ask(&environment, LONGEST)
            .await
            .give_back()
            .await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{uri}");
    }
}
