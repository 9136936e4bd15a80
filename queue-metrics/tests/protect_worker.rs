//! `protect` beside a real worker of Celery: what leads a worker away and back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the window that is left is measured")]

mod protect;
#[macro_use]
mod together;
mod watch;

use protect::{Fleet, Task, block_on, until};
use std::time::Duration;
use testkit::ecs::{Behaviour, EcsAgent};
use tokio::time::sleep;
use watch::{Watch, group};

at_once! {
    a_surplus_worker_ends_its_tasks_releases_and_comes_back_when_it_is_wanted,
    of_three_the_least_busy_leaves_and_the_others_work_on,
    a_worker_is_held_against_the_target_of_its_own_group_and_not_against_workers_of_others,
    a_target_that_watch_lowers_drains_the_worker_above_it_and_one_that_drains_for_a_deployment_raises_it,
    a_deployment_ends_once_the_running_tasks_do,
    a_worker_that_starts_unprotected_is_cancelled_as_soon_as_it_answers_and_works_after_the_deny_limit,
    a_worker_that_starts_with_an_empty_queue_of_its_own_takes_nothing_before_it_is_protected,
    a_worker_that_consumes_nothing_after_a_lost_connection_is_given_its_consumers_again,
    a_worker_that_cannot_be_mended_ends_its_tasks_and_shuts_down_protected,
    a_worker_that_got_the_stop_signal_takes_no_task_and_is_protected_until_those_it_runs_have_ended,
}

/// Airflow's pool of processes; the other tests use threads, which start faster.
fn a_surplus_worker_ends_its_tasks_releases_and_comes_back_when_it_is_wanted() {
    block_on(async {
        let mut fleet = Fleet::start();
        fleet.target("a", 1);
        let mut task = Task::start(&fleet, "a", &fleet.redis.url(), "10m");
        task.work(&mut fleet, "prefork", 2).await;
        assert_eq!(task.agent.minutes(), 2_880, "the longest lease there is");
        fleet.load(10, 1.0);
        until("tasks to run", || fleet.runs().len() >= 4).await;
        task.reaches("working").await;
        fleet.target("a", 0);
        task.reaches("released").await;
        assert!(!task.agent.is_protected());
        let count = fleet.runs().len();
        assert!(fleet.waiting() >= 5, "there was work to be had");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(fleet.runs().len(), count);
        fleet.target("a", 1);
        task.reaches("working").await;
        until("tasks to run again", || fleet.runs().len() > count + 2).await;
        let runs = fleet.runs();
        assert!(task.exposed(&runs).is_empty(), "{:?}", task.exposed(&runs));
    });
}

fn of_three_the_least_busy_leaves_and_the_others_work_on() {
    block_on(async {
        let mut fleet = Fleet::start();
        fleet.target("shared", 3);
        let mut tasks = Vec::new();
        for name in ["shared.a", "shared.b", "shared.c"] {
            let mut task = Task::start(&fleet, name, &fleet.redis.url(), "10m");
            task.work(&mut fleet, "threads", 1).await;
            tasks.push(task);
        }
        fleet.put(2, 30.0);
        let running = |fleet: &Fleet| -> Vec<String> {
            fleet.runs().into_iter().map(|run| run.worker).collect()
        };
        until("two to be busy", || running(&fleet).len() == 2).await;
        let busy = running(&fleet);
        // Until the heartbeats say so.
        sleep(Duration::from_millis(2_500)).await;
        fleet.target("shared", 2);
        let idle = |task: &Task| !busy.contains(&format!("celery@{}", task.name));
        let surplus = tasks.iter().find(|task| idle(task)).unwrap();
        surplus.reaches("released").await;
        for task in tasks.iter().filter(|task| !idle(task)) {
            assert_eq!(task.phase(), "working", "{}", task.name);
            assert!(task.agent.is_protected());
        }
    });
}

/// Two services on one broker. The idle one was the least busy of all, and would leave.
fn a_worker_is_held_against_the_target_of_its_own_group_and_not_against_workers_of_others() {
    block_on(async {
        let mut fleet = Fleet::start();
        let mut tasks = Vec::new();
        for (name, queue) in [("busy.a", "default"), ("idle.a", "low")] {
            fleet.target(name.split('.').next().unwrap(), 1);
            let mut task = Task::start(&fleet, name, &fleet.redis.url(), "10m");
            task.work_on(&mut fleet, "threads", 1, queue).await;
            tasks.push(task);
        }
        fleet.put(1, 30.0);
        until("one to be busy", || fleet.runs().len() == 1).await;
        // Until the heartbeats say so, and longer than a verdict must last.
        sleep(Duration::from_millis(4_000)).await;
        for task in &tasks {
            assert_eq!(task.phase(), "working", "{}", task.name);
            let detail = task.status.state().detail;
            assert_eq!(detail["workers_alive"], 1, "{}: of its own", task.name);
        }
    });
}

/// Both keys in Redis, each written by one program and read by the other.
fn a_target_that_watch_lowers_drains_the_worker_above_it_and_one_that_drains_for_a_deployment_raises_it()
 {
    block_on(async {
        let mut fleet = Fleet::start();
        let (mut a, mut b) = (
            Task::start(&fleet, "workers.a", &fleet.redis.url(), "10m"),
            Task::start(&fleet, "workers.b", &fleet.redis.url(), "10m"),
        );
        a.work(&mut fleet, "threads", 1).await;
        b.work(&mut fleet, "threads", 1).await;
        // Longer than anybody here waits.
        fleet.put(1, 120.0);
        until("one to work", || fleet.runs().len() == 1).await;
        let args = ["--metrics", "none", "--hold", "10s"];
        let args = [&args[..], &["--worker-concurrency", "1"]].concat();
        let watch = Watch::start(&fleet.redis.url(), &args, &[]);
        let target = async |count: u32| {
            let is = |status: &serde_json::Value| group(status)["workers_target"] == count;
            until("the target", || watch.glance().as_ref().is_some_and(is)).await;
        };
        // After a start, for one hold, it is not below the workers that live.
        target(2).await;
        assert_eq!((a.phase(), b.phase()), ("working".into(), "working".into()));

        target(1).await;
        let left = || [&a, &b].iter().any(|task| task.phase() == "released");
        until("one to leave", left).await;
        let (busy, idle) = match a.phase().as_str() {
            "released" => (&b, &a),
            _ => (&a, &b),
        };
        assert!(busy.agent.is_protected() && !idle.agent.is_protected());
        let (phase, runs) = (busy.phase(), fleet.runs());
        let name = format!("celery@{}", busy.name);
        assert_eq!((phase.as_str(), &runs[0].worker), ("working", &name));

        // Its slot takes nothing more, so another worker is wanted beside it.
        busy.wanted.send_replace(Some(true));
        busy.reaches("draining").await;
        target(2).await;
        idle.reaches("working").await;
        assert_eq!(busy.phase(), "draining");
        assert_eq!(watch.stop(), 0);
    });
}

fn a_deployment_ends_once_the_running_tasks_do() {
    block_on(async {
        let mut fleet = Fleet::start();
        let mut by_revision = Task::start(&fleet, "a", &fleet.redis.url(), "3s");
        let mut by_refusal = Task::start(&fleet, "b", &fleet.redis.url(), "10m");
        by_revision.wanted.send_replace(Some(false));
        by_revision.work(&mut fleet, "threads", 1).await;
        by_refusal.work(&mut fleet, "threads", 1).await;
        fleet.load(5, 2.0);
        until("both to work", || {
            let runs = fleet.runs();
            ["celery@a", "celery@b"]
                .iter()
                .all(|name| runs.iter().any(|run| run.worker == *name))
        })
        .await;
        let blocked = Behaviour::Refuse("DEPLOYMENT_BLOCKED".to_owned());
        by_refusal.agent.behave(blocked.clone());
        by_revision.wanted.send_replace(Some(true));
        by_revision.reaches("released").await;
        by_refusal.reaches("released").await;
        // It stays so while the deployment lasts; the next one is granted nothing, and leaves again.
        by_revision.agent.behave(blocked);
        sleep(Duration::from_secs(4)).await;
        assert_eq!(by_revision.phase(), "released");
        by_revision.wanted.send_replace(Some(false));
        by_revision.agent.behave(Behaviour::Grant);
        by_revision.reaches("working").await;
        let runs = fleet.runs();
        for task in [&by_revision, &by_refusal] {
            assert!(task.exposed(&runs).is_empty(), "{:?}", task.exposed(&runs));
        }
    });
}

fn a_worker_that_starts_unprotected_is_cancelled_as_soon_as_it_answers_and_works_after_the_deny_limit()
 {
    block_on(async {
        let mut fleet = Fleet::start();
        // Another that listens: a cancel that comes too early is then waited for in vain.
        fleet.worker("other", "threads", 1, "elsewhere");
        until("the other to listen", || fleet.is_ready("other")).await;
        fleet.put(400, 0.1);
        until("messages to wait", || fleet.waiting() == 400).await;
        let agent = EcsAgent::start();
        agent.behave(Behaviour::Fail(400, "AccessDeniedException".to_owned()));
        let mut task = Task::beside(&fleet, "a", agent, &fleet.redis.url(), "9s");
        assert!(!task.healthy());
        task.work(&mut fleet, "threads", 16).await;
        until("it to be cancelled", || {
            fleet.log("a").contains("Canceling queue")
        })
        .await;
        sleep(Duration::from_millis(1_500)).await;
        let taken = fleet.runs().len();
        println!("{taken} tasks were taken before the first cancel");
        // It could do 160 a second.
        assert!(taken <= 40, "{taken} tasks were taken");
        assert_eq!(task.phase(), "asking");
        sleep(Duration::from_millis(1_500)).await;
        assert_eq!(fleet.runs().len(), taken, "nothing is taken after it");
        let state = task.status.state();
        assert!(state.healthy && state.degraded, "{state:?}");
        assert!(state.reason.unwrap().contains("AccessDeniedException"));

        task.reaches("exposed").await;
        assert_eq!(task.status.state().detail["unprotected"], true);
        until("it to work", || fleet.runs().len() > taken + 4).await;
        assert!(!task.agent.is_protected());
        task.agent.behave(Behaviour::Grant);
        task.reaches("working").await;
        assert_eq!(task.status.state().detail["unprotected"], false);
        assert!(task.agent.is_protected());
    });
}

fn a_worker_that_starts_with_an_empty_queue_of_its_own_takes_nothing_before_it_is_protected() {
    block_on(async {
        let mut fleet = Fleet::start();
        fleet.put(50, 0.2);
        until("messages to wait", || fleet.waiting() == 50).await;
        let agent = EcsAgent::start();
        agent.behave(Behaviour::HangUp);
        let mut task = Task::beside(&fleet, "a", agent, &fleet.redis.url(), "10m");
        task.work_on(&mut fleet, "threads", 2, "trimtab.hold").await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(fleet.runs().len(), 0);
        task.agent.behave(Behaviour::Grant);
        until("it to work", || fleet.runs().len() > 4).await;
        // Cut off, it would come back with the empty queue alone.
        fleet.redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        let count = fleet.runs().len();
        until("it to work again", || fleet.runs().len() > count + 4).await;
        let runs = fleet.runs();
        assert!(task.exposed(&runs).is_empty(), "{:?}", task.exposed(&runs));
    });
}

fn a_worker_that_consumes_nothing_after_a_lost_connection_is_given_its_consumers_again() {
    block_on(async {
        let mut fleet = Fleet::start();
        fleet.target("a", 1);
        let mut task = Task::start(&fleet, "a", &fleet.redis.url(), "10m");
        task.work(&mut fleet, "threads", 2).await;
        fleet.target("a", 0);
        task.reaches("released").await;
        fleet.target("a", 1);
        task.reaches("working").await;
        until("it to be added back", || {
            fleet.log("a").contains("Started consuming")
        })
        .await;
        fleet.redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        until("it to connect again", || {
            fleet.log("a").matches("Connected to").count() == 2
        })
        .await;
        fleet.load(5, 0.2);
        until("it to work", || fleet.runs().len() > 4).await;
        let log = fleet.log("a");
        assert_eq!(log.matches("Started consuming").count(), 2, "{log}");
        assert!(task.agent.is_protected());
    });
}

fn a_worker_that_cannot_be_mended_ends_its_tasks_and_shuts_down_protected() {
    block_on(async {
        let mut fleet = Fleet::start();
        let name = "stuck";
        fleet.target(name, 1);
        let mut task = Task::start(&fleet, name, &fleet.redis.url(), "10m");
        task.work(&mut fleet, "threads", 2).await;
        fleet.target(name, 0);
        task.reaches("released").await;
        fleet.target(name, 1);
        task.reaches("leaving").await;
        let pid = task.worker.unwrap();
        until("the worker to end", || fleet.is_gone(pid)).await;
        assert!(task.agent.is_protected());
        assert!(fleet.log(name).contains("shutdown from remote"));
    });
}

/// ECS sends it to every container of the task: `protect` then leaves everything as it is. Here it goes
/// on, and is told the worst that may come at the same time.
fn a_worker_that_got_the_stop_signal_takes_no_task_and_is_protected_until_those_it_runs_have_ended()
{
    block_on(async {
        let mut fleet = Fleet::start();
        let mut tasks = Vec::new();
        for name in ["working", "draining", "released"] {
            fleet.target(name, 1);
            let mut task = Task::start(&fleet, name, &fleet.redis.url(), "10m");
            task.work(&mut fleet, "prefork", 1).await;
            task.reaches("working").await;
            tasks.push(task);
        }
        let [working, draining, released] = &tasks[..] else {
            panic!("three");
        };
        fleet.target("released", 0);
        released.reaches("released").await;
        fleet.put(2, 5.0);
        let runs = |fleet: &Fleet, task: &Task| {
            let worker = format!("celery@{}", task.name);
            fleet
                .runs()
                .into_iter()
                .filter(move |run| run.worker == worker)
                .count()
        };
        until("both to be busy", || {
            runs(&fleet, working) == 1 && runs(&fleet, draining) == 1
        })
        .await;
        fleet.target("draining", 0);
        draining.reaches("draining").await;
        until("it to be cancelled", || {
            fleet.log("draining").contains("Canceling queue")
        })
        .await;
        for task in &tasks {
            fleet.signal(task.worker.unwrap(), "SIGTERM");
        }
        until("all to shut down", || {
            tasks
                .iter()
                .all(|task| fleet.log(&task.name).contains("Warm shutdown"))
        })
        .await;
        fleet.load(30, 0.2);
        until("work to wait", || fleet.waiting() >= 30).await;
        working.wanted.send_replace(Some(true));
        fleet.target("draining", 1);
        fleet.target("released", 1);
        working.reaches("draining").await;
        draining.reaches("working").await;
        released.reaches("working").await;
        assert!(tasks.iter().all(|task| task.agent.is_protected()));
        until("all to be gone", || {
            tasks.iter().all(|task| fleet.is_gone(task.worker.unwrap()))
        })
        .await;
        let all = fleet.runs();
        assert_eq!(all.len(), 2, "nothing more was taken");
        assert!(
            all.iter().all(|run| run.end.is_some()),
            "nothing was killed"
        );
        // Nobody answers any more, so nothing is given back.
        sleep(Duration::from_secs(1)).await;
        for task in &tasks {
            assert!(task.agent.is_protected(), "{}", task.name);
            assert!(task.exposed(&all).is_empty(), "{}", task.name);
        }
    });
}
