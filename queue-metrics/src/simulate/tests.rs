//! The model against a case computed by hand, and the goals.

use super::*;

fn shipped(name: &str) -> Scenario {
    Scenario::parse(Scenario::shipped(name).expect("shipped")).expect("valid")
}

/// | second | what |
/// |---|---|
/// | 100 | 3 tasks, 2 a worker; the sample sees them, target 2 |
/// | 102, 103, 105 | the datapoint arrives, the alarms look, desired 2 |
/// | 165 | after 60 s both workers are up, protected since 161, and take the tasks: all waited 65 s |
/// | 195 | the tasks, of 30 s, end; the last sample that saw them was at 190 |
/// | 250 | 60 s of hold later the target is 0 |
/// | 252, 253, 255 | the datapoint arrives, the alarms look, desired 0 |
/// | 260 | the verdict to leave has lasted 10 s: cancel |
/// | 261, 263 | confirmed; the blocking pop is over, first look |
/// | 264, 266 | seen empty, and again: release |
/// | 267 | ECS stops both, which are gone with the next second: 2 workers from 105 to 267 |
#[test]
fn a_case_computed_by_hand() {
    let scenario = Scenario::parse(
        "title='t'\nseed=1\nlength='400s'\nservice={concurrency=2,start=[60,60],hold='60s'}\n\
         [[burst]]\nat='100s'\ntasks=3\nruns={median='30s',p95='30s'}",
    )
    .expect("valid");
    let outcome = run(&scenario, Kind::AlarmPerLevel);
    assert_eq!(outcome.waits, [65, 65, 65]);
    let changes: Vec<(u32, u32)> = outcome
        .points
        .iter()
        .filter(|point| point.at % 60 != 0)
        .map(|point| (point.at, point.desired))
        .collect();
    assert_eq!(changes, [(105, 2), (255, 0)]);
    assert_eq!(outcome.worker_seconds, 2 * (268 - 105));
    assert_eq!((outcome.killed(), outcome.scalings), (0, 2));
    // The ideal has neither sampling nor alarms: up at 160. It stops each at once, seen gone a second later.
    let ideal = run(&scenario, Kind::Ideal);
    assert_eq!(ideal.waits, [60, 60, 60]);
    assert_eq!(ideal.worker_seconds, 2 * (191 - 100));
}

#[test]
fn a_day_with_bursts_reaches_the_goals() {
    let scenario = shipped("morning-burst");
    let (ours, ideal) = (
        run(&scenario, Kind::AlarmPerLevel),
        run(&scenario, Kind::Ideal),
    );
    assert_eq!((ours.killed(), ours.unstarted), (0, 0));
    let (wait, best) = (f64::from(ours.wait(95)), f64::from(ideal.wait(95)));
    assert!(
        wait <= 1.2 * best,
        "p95 wait {wait} s, the ideal's {best} s"
    );
    let (hours, least) = (ours.worker_hours(), ideal.worker_hours());
    assert!(
        hours <= 1.25 * least,
        "{hours} worker-hours, the ideal's {least}"
    );
}

/// What is left between the policy and the ideal is CloudWatch's: told as late, the ideal waits as long.
#[test]
fn the_policy_waits_no_longer_than_an_ideal_that_is_carried_over_by_the_same_alarms() {
    for (name, _) in SHIPPED {
        let scenario = shipped(name);
        let wait = |kind| run(&scenario, kind).wait(95);
        let (ours, told_late) = (wait(Kind::AlarmPerLevel), wait(Kind::IdealByAlarms));
        assert!(ours <= told_late + 5, "{name}: {ours} s, {told_late} s");
    }
}

#[test]
fn a_deployment_under_load_costs_no_wait_and_ends_with_the_tasks_that_ran() {
    let scenario = shipped("deployment-at-noon");
    let (ours, ideal) = (
        run(&scenario, Kind::AlarmPerLevel),
        run(&scenario, Kind::Ideal),
    );
    assert!(ours.wait(95) <= 15, "{} s", ours.wait(95));
    let (hours, least) = (ours.worker_hours(), ideal.worker_hours());
    assert!(hours <= 1.25 * least, "{hours}, the ideal's {least}");
    let took = |outcome: &Outcome| outcome.deployments[0].expect("it ends");
    assert!(took(&ours) <= took(&ideal) + 60, "{} s", took(&ours));
}

#[test]
fn no_task_is_killed_on_a_worker_that_was_ever_granted_protection() {
    for (name, _) in SHIPPED {
        for kind in [Kind::AlarmPerLevel, Kind::OneAlarm] {
            let outcome = run(&shipped(name), kind);
            let guarded = outcome.killed() - outcome.killed_unprotected;
            assert_eq!(
                (guarded, outcome.unstarted),
                (0, 0),
                "{name}, {}",
                kind.name()
            );
            // Only a deployment whose old workers alone are as many as are desired refuses for so long.
            assert!(
                outcome.killed() == 0 || name == "deployment-at-noon",
                "{name}"
            );
        }
    }
}

/// The first zero, at 90, arrives in the period of the value before it.
#[test]
fn a_zero_that_an_alarm_did_not_see_is_said_again_in_the_next_period() {
    let scenario = Scenario::parse(
        "title='t'\nseed=1\nlength='150s'\nservice={concurrency=2,max=3,start=[20,20],hold='20s'}\n\
         [[burst]]\nat='7s'\ntasks=5\nruns={median='20s',p95='20s'}\n\
         [[burst]]\nat='47s'\ntasks=5\nruns={median='20s',p95='20s'}",
    )
    .expect("valid");
    let points = run(&scenario, Kind::AlarmPerLevel).points;
    let zero = points
        .iter()
        .find(|point| point.at > 15 && point.desired == 0);
    assert_eq!(zero.map(|point| point.at), Some(105));
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let mut scenario = shipped("spot-storm");
    let answer = |scenario: &Scenario| json(scenario, &[run(scenario, Kind::AlarmPerLevel)]);
    assert_eq!(answer(&scenario), answer(&scenario));
    let before = answer(&scenario);
    scenario.seed += 1;
    assert_ne!(answer(&scenario), before);
}

#[test]
fn nothing_is_scaled_while_redis_is_away() {
    let outcome = run(&shipped("redis-outage"), Kind::AlarmPerLevel);
    let during = outcome
        .points
        .iter()
        .filter(|point| (7_530..8_100).contains(&point.at));
    let desired: Vec<u32> = during.map(|point| point.desired).collect();
    assert!(
        desired[0] > 0 && desired.iter().all(|count| *count == desired[0]),
        "{desired:?}"
    );
}

#[test]
fn table_json_and_plot_name_every_policy() {
    let mut scenario = shipped("flapping");
    scenario.length = std::time::Duration::from_secs(1_800);
    let outcomes: Vec<Outcome> = Kind::ALL.iter().map(|kind| run(&scenario, *kind)).collect();
    for text in [
        table(&scenario, &outcomes),
        json(&scenario, &outcomes),
        svg(&scenario, &outcomes),
        summary(&[("flapping".to_owned(), vec![outcomes.clone()])]),
    ] {
        for kind in Kind::ALL {
            assert!(text.contains(kind.name()), "{}: {text}", kind.name());
        }
    }
    let parsed: serde_json::Value =
        serde_json::from_str(&json(&scenario, &outcomes)).expect("json");
    assert_eq!(
        parsed["policies"].as_array().map(Vec::len),
        Some(Kind::ALL.len())
    );
}
