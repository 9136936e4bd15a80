//! What becomes of a real worker when agent, broker, worker or `protect` itself fails, state by state.
//!
//! | what fails | working | draining | released | asking |
//! |---|---|---|---|---|
//! | the agent | stays, protected | ends its tasks, then waits with the release | stays, unprotected and idle | takes nothing |
//! | the broker | stays, protected | stays, protected | stays, unprotected and idle | takes nothing |
//! | the worker hangs | stays, protected | stays, protected | stays, unprotected and idle | takes nothing |
//! | the worker is another | works, protected | is cancelled | is cancelled | is cancelled |
//! | `protect` | its successor goes on, the worker is not touched | its successor drains again | its successor asks first | its successor asks |

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod protect;
#[macro_use]
mod together;

use protect::{Fleet, Task, block_on, until};
use std::time::Duration;
use testkit::ecs::{Behaviour, Request};
use tokio::time::sleep;

at_once! {
    an_agent_that_fails_changes_no_protection_and_lets_no_work_begin,
    a_release_that_arrives_after_it_was_given_up_meets_no_task,
    a_broker_that_is_away_changes_no_protection_and_lets_no_work_begin,
    a_worker_that_hangs_stays_protected_until_it_is_seen_to_be_empty,
    a_worker_that_takes_the_place_of_one_that_died_works_or_is_cancelled_as_its_state_has_it,
    a_protect_that_was_killed_has_a_successor_that_goes_on_where_it_was,
}

/// Longer than any call, renewal and look at this pace.
const MOMENT: Duration = Duration::from_millis(2_000);

async fn working(fleet: &mut Fleet, name: &str) -> Task {
    fleet.target(name, 1);
    let mut task = Task::start(fleet, name, &fleet.redis.url(), "10m");
    task.work(fleet, "threads", 2).await;
    task.reaches("working").await;
    task
}

fn fail(task: &Task) {
    let error = Behaviour::Fail(500, "ServerException".to_owned());
    task.agent.behave(error);
}

fn protected_throughout(fleet: &Fleet, task: &Task) {
    let exposed = task.exposed(&fleet.runs());
    assert!(exposed.is_empty(), "{exposed:?} {:?}", task.unprotected());
}

fn an_agent_that_fails_changes_no_protection_and_lets_no_work_begin() {
    block_on(async {
        let mut fleet = Fleet::start();
        let task = working(&mut fleet, "a").await;
        fail(&task);
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "working");
        assert!(task.status.state().degraded, "it says so");
        fleet.target("a", 0);
        task.reaches("releasing").await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(task.phase(), "releasing");
        assert!(task.agent.is_protected());
        task.agent.behave(Behaviour::Grant);
        task.reaches("released").await;

        task.agent.behave(Behaviour::HangUp);
        fleet.load(5, 0.2);
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "released");
        fleet.target("a", 1);
        task.reaches("asking").await;
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "asking");
        assert_eq!(fleet.runs().len(), 0);
        task.agent.behave(Behaviour::Grant);
        until("it to work", || fleet.runs().len() > 2).await;
        protected_throughout(&fleet, &task);
    });
}

/// The call is given up after 5 s, and carried out later.
fn a_release_that_arrives_after_it_was_given_up_meets_no_task() {
    block_on(async {
        let mut fleet = Fleet::start();
        let task = working(&mut fleet, "a").await;
        fleet.target("a", 0);
        task.reaches("draining").await;
        task.agent.delay(Duration::from_millis(5_800));
        let given_back = |request: &Request| request.body["ProtectionEnabled"] == false;
        until("the release to be under way", || {
            task.agent.requests().iter().any(given_back)
        })
        .await;
        task.agent.delay(Duration::ZERO);
        fleet.load(5, 0.2);
        fleet.target("a", 1);
        until("it to work", || fleet.runs().len() > 4).await;
        let history = task.agent.history();
        assert!(
            history.iter().any(|(_, protected)| !protected),
            "the release arrived"
        );
        protected_throughout(&fleet, &task);
    });
}

fn a_broker_that_is_away_changes_no_protection_and_lets_no_work_begin() {
    block_on(async {
        let mut fleet = Fleet::start();
        let task = working(&mut fleet, "a").await;
        fleet.redis.command(&["SAVE"]);
        fleet.redis.stop();
        until("it to be seen", || task.status.state().degraded).await;
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "working");
        assert!(task.agent.is_protected());
        fleet.redis.start_again();
        until("it to be back", || !task.status.state().degraded).await;
        fleet.put(1, 3.0);
        until("a task to run", || fleet.runs().len() == 1).await;

        // A target that is gone drains nobody: a deployment does.
        task.wanted.send_replace(Some(true));
        task.reaches("draining").await;
        fleet.redis.stop();
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "draining");
        assert!(task.agent.is_protected());
        fleet.redis.start_again();
        // Its task may be counted for ever now, so that it is replaced.
        until("it to be gone or free", || {
            ["released", "leaving"].contains(&task.phase().as_str())
        })
        .await;
        protected_throughout(&fleet, &task);
    });
}

fn a_worker_that_hangs_stays_protected_until_it_is_seen_to_be_empty() {
    block_on(async {
        let mut fleet = Fleet::start();
        let task = working(&mut fleet, "a").await;
        let pid = task.worker.unwrap();
        fleet.put(1, 1.0);
        until("a task to run", || fleet.runs().len() == 1).await;
        fleet.signal(pid, "SIGSTOP");
        fleet.target("a", 0);
        // A look is given up after 2 s.
        sleep(2 * MOMENT).await;
        assert!(["working", "draining"].contains(&task.phase().as_str()));
        assert!(task.agent.is_protected());
        until("people to be told", || task.status.state().degraded).await;
        let state = task.status.state();
        let reason = state.reason.unwrap();
        let since = state.detail["silent_since"].as_str().unwrap();
        assert!(
            reason.contains(&format!("not answered since {since}")),
            "{reason}"
        );
        assert!(
            state.healthy,
            "ECS would end the task, with what the worker may run"
        );
        fleet.signal(pid, "SIGCONT");
        until("it to answer", || !task.status.state().degraded).await;
        assert!(task.status.state().detail["silent_since"].is_null());
        task.reaches("released").await;
        fleet.load(5, 0.2);
        fleet.signal(pid, "SIGSTOP");
        sleep(MOMENT).await;
        fleet.signal(pid, "SIGCONT");
        assert_eq!(task.phase(), "released");
        sleep(MOMENT).await;
        assert_eq!(fleet.runs().len(), 1);
        protected_throughout(&fleet, &task);
    });
}

fn a_worker_that_takes_the_place_of_one_that_died_works_or_is_cancelled_as_its_state_has_it() {
    block_on(async {
        let mut fleet = Fleet::start();
        let mut task = working(&mut fleet, "a").await;
        fleet.signal(task.worker.unwrap(), "SIGKILL");
        sleep(MOMENT).await;
        assert_eq!(task.phase(), "working");
        fleet.load(5, 0.2);
        task.worker = Some(fleet.worker("a", "threads", 2, "default"));
        until("it to work", || fleet.runs().len() > 4).await;
        assert!(!fleet.log("a").contains("Canceling"));

        fleet.target("a", 0);
        task.reaches("released").await;
        fleet.signal(task.worker.unwrap(), "SIGKILL");
        let count = fleet.runs().len();
        fleet.worker("a", "threads", 2, "default");
        until("it to be cancelled", || {
            fleet.log("a").matches("Canceling").count() >= 2
        })
        .await;
        let taken = fleet.runs().len() - count;
        assert!(taken <= 10, "{taken} tasks were taken");
        until("what it took to be over", || {
            fleet.runs().iter().all(|run| run.end.is_some())
        })
        .await;
        sleep(MOMENT).await;
        assert_eq!(fleet.runs().len() - count, taken, "nothing more");
    });
}

fn a_protect_that_was_killed_has_a_successor_that_goes_on_where_it_was() {
    block_on(async {
        let mut fleet = Fleet::start();
        let mut task = working(&mut fleet, "a").await;
        fleet.load(5, 0.3);
        until("it to work", || fleet.runs().len() > 2).await;
        // An agent that takes its time: the look is answered first.
        task.agent.delay(Duration::from_millis(700));
        task.keep_anew(&fleet);
        task.reaches("working").await;
        task.agent.delay(Duration::ZERO);
        sleep(MOMENT).await;
        assert!(!fleet.log("a").contains("Canceling"), "it was not touched");

        fleet.load(0, 0.0);
        fleet.put(1, 4.0);
        until("a long task to run", || {
            fleet.runs().iter().any(|run| run.end.is_none())
        })
        .await;
        fleet.target("a", 0);
        task.reaches("draining").await;
        task.keep_anew(&fleet);
        task.reaches("draining").await;
        assert!(task.agent.is_protected());
        task.reaches("released").await;

        let count = fleet.runs().len();
        fleet.load(5, 0.2);
        task.agent.behave(Behaviour::HangUp);
        task.keep_anew(&fleet);
        task.reaches("asking").await;
        sleep(MOMENT).await;
        task.keep_anew(&fleet);
        sleep(MOMENT).await;
        assert_eq!(fleet.runs().len(), count);
        protected_throughout(&fleet, &task);
    });
}
