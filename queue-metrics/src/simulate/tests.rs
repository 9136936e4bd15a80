//! The model against a case computed by hand, and the goals.

use super::*;

/// Of the spot storm.
const REFUSED: u64 = 6;

fn shipped(name: &str) -> Scenario {
    Scenario::parse(Scenario::shipped(name).expect("shipped")).expect("valid")
}

/// | second | what |
/// |---|---|
/// | 100 | 3 tasks, 2 a worker; the sample sees them, target 2 |
/// | 102, 103, 105 | the datapoint arrives, the alarms look, desired 2 |
/// | 165 | after 60 s both workers are up, on the queue that nobody fills, protected since 161: looked at |
/// | 166 | seen without their queues, which are added: they take the tasks, all waited 66 s |
/// | 196 | the tasks, of 30 s, end; the last sample that saw them was at 195 |
/// | 255 | 60 s of hold later the target is 0 |
/// | 257, 263, 265 | the datapoint arrives, the alarms look, desired 0 |
/// | 265 | the verdict to leave has lasted 10 s: cancel |
/// | 266, 268 | confirmed; the blocking pop is over, first look |
/// | 269, 271 | seen empty, and again: release |
/// | 272 | ECS stops both, which are gone with the next second: 2 workers from 105 to 272 |
#[test]
fn a_case_computed_by_hand() {
    let outcome = run(&three_tasks("hold"), Kind::AlarmPerLevel);
    assert_eq!(outcome.waits, [66, 66, 66]);
    let changes: Vec<(u32, u32)> = outcome
        .points
        .iter()
        .filter(|point| point.at % 60 != 0)
        .map(|point| (point.at, point.desired))
        .collect();
    assert_eq!(changes, [(105, 2), (265, 0)]);
    assert_eq!(outcome.worker_seconds, 2 * (273 - 105));
    assert_eq!((outcome.killed(), outcome.scalings), (0, 2));
    // The ideal has neither sampling nor alarms: up at 160. It stops each at once, seen gone a second later.
    let ideal = run(&three_tasks("hold"), Kind::Ideal);
    assert_eq!(ideal.waits, [60, 60, 60]);
    assert_eq!(ideal.worker_seconds, 2 * (191 - 100));
}

/// The same but for 165: they come up with their queues, and take the tasks in that second.
#[test]
fn a_worker_that_comes_up_with_its_queues_need_not_be_given_them() {
    let outcome = run(&three_tasks("queues"), Kind::AlarmPerLevel);
    assert_eq!(outcome.waits, [65, 65, 65]);
    // The last sample that saw the tasks was at 190: the target falls at 250, and all that follows.
    assert_eq!(outcome.worker_seconds, 2 * (268 - 105));
}

fn three_tasks(start_on: &str) -> Scenario {
    Scenario::parse(&format!(
        "title='t'\nseed=1\nlength='400s'\n\
         service={{concurrency=2,start=[60,60],start_on='{start_on}',hold='60s'}}\n\
         [[burst]]\nat='100s'\ntasks=3\nruns={{median='30s',p95='30s'}}"
    ))
    .expect("valid")
}

/// | second | what |
/// |---|---|
/// | 166 | the only worker that there may be takes a task of 600 s |
/// | 200 | a deployment: it drains; its successor starts |
/// | 250 | another task |
/// | 255 | the successor's `protect` asks, and is refused: the old worker's protection is as much as is desired |
/// | 315 | refused for 60 s, the successor comes up |
/// | 326, 332 | of two the busier one is the one that is wanted: it drains, and is released |
/// | 766 | the old worker's task ends; a look every 6 s is due at 767, and again at 769: released at 770, stopped at 771 |
/// | 781 | the successor has been wanted for 10 s: it asks |
/// | 782 | granted; its queues are added: it takes the other task, which waited 532 s |
#[test]
fn a_worker_that_comes_up_refused_takes_nothing_but_where_it_starts_with_its_queues() {
    for (start_on, second) in [("hold", 782), ("queues", 315)] {
        let scenario = Scenario::parse(&format!(
            "title='t'\nseed=1\nlength='900s'\n\
             service={{concurrency=1,max=1,start=[60,60],start_on='{start_on}',hold='60s'}}\n\
             [[burst]]\nat='100s'\ntasks=1\nruns={{median='600s',p95='600s'}}\n\
             [[burst]]\nat='250s'\ntasks=1\nruns={{median='10s',p95='10s'}}\n\
             [[deployment]]\nat='200s'"
        ))
        .expect("valid");
        let outcome = run(&scenario, Kind::AlarmPerLevel);
        assert_eq!(outcome.waits.last(), Some(&(second - 250)), "{start_on}");
        assert_eq!(outcome.killed(), 0, "{start_on}");
    }
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
fn no_task_is_killed_by_scale_in_or_deployment() {
    for (name, _) in SHIPPED {
        for kind in [Kind::AlarmPerLevel, Kind::OneAlarm] {
            let outcome = run(&shipped(name), kind);
            assert_eq!(
                (outcome.killed(), outcome.unstarted),
                (0, 0),
                "{name}, {}",
                kind.name()
            );
        }
    }
}

/// A seed in which a worker came up refused and was stopped with what it took at once.
#[test]
fn what_a_refused_worker_took_before_its_first_cancel_is_what_the_empty_queue_saves() {
    let mut scenario = shipped("spot-storm");
    scenario.seed = REFUSED;
    assert_eq!(run(&scenario, Kind::AlarmPerLevel).killed(), 0);
    scenario.service.start_on = StartOn::Queues;
    let outcome = run(&scenario, Kind::AlarmPerLevel);
    assert_eq!((outcome.killed(), outcome.killed_unprotected), (1, 1));
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
