//! Scale-ins and deployments at random over real workers of Celery: no task's run overlaps a moment in
//! which its ECS task was not protected.
//!
//! `TRIMTAB_DRAINS` says how many workers are to be drained (10, and a third
//! of it where things fail), `TRIMTAB_SEED` makes another run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod protect;

use agent::redis::{Pidbox, Target, connect};
use fastrand::Rng;
use protect::{Fleet, Task, block_on, until};
use std::time::{Duration, Instant};
use testkit::ecs::Behaviour;

/// Seconds that a task takes at most: some outlast the wait for the blocking pop.
const LONGEST: f64 = 3.0;
/// So many at once, each drained and wanted again for itself.
const TASKS: usize = 8;
/// ECS stops what is unprotected after so long at the latest: what was released for a deployment comes
/// back only after the deny limit.
const STOPPED_AFTER: Duration = Duration::from_secs(5);
/// A worker that stays in one phase for so long is pinged, as a health check does.
const CHECKED_AFTER: Duration = Duration::from_secs(20);

#[test]
fn no_task_runs_unprotected_through_random_scale_ins_and_deployments() {
    play("calm", false);
}

#[test]
fn no_task_runs_unprotected_whatever_of_agent_broker_or_protect_fails() {
    play("harsh", true);
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What ECS, the target and bad luck do to one task, and when next.
struct Fate {
    task: Task,
    generation: usize,
    next: Instant,
    drains: usize,
    /// Since when it is known to be released.
    released: Option<Instant>,
    /// The phase it is in, and since when.
    phase: (String, Instant),
}

fn play(name: &str, harsh: bool) {
    let drains = number("TRIMTAB_DRAINS", 10) / if harsh { 3 } else { 1 };
    // While the agent fails, nobody is to work unprotected.
    let deny_limit = if harsh { "10m" } else { "3s" };
    let mut rng = Rng::with_seed(number("TRIMTAB_SEED", 1) as u64);
    block_on(async {
        let mut fleet = Fleet::start();
        let mut fates = Vec::new();
        for index in 0..TASKS {
            fates.push(hire(&fleet, &mut rng, index, 0, deny_limit));
        }
        for fate in &mut fates {
            fate.task.work(&mut fleet, "threads", 2).await;
        }
        fleet.load(30, LONGEST);
        let (began, mut gone, mut done, mut killed) = (Instant::now(), Vec::new(), 0, 0);
        let mut deaf = 0;
        while done < drains {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for fate in &mut fates {
                if fate.next > Instant::now() {
                    continue;
                }
                let pause = rng.u64(100..1_000);
                fate.next = Instant::now() + Duration::from_millis(pause);
                let phase = fate.task.phase();
                let history = fate.task.agent.history();
                let released = history.iter().filter(|(_, protected)| !protected).count();
                let new = released > fate.drains;
                done += released - fate.drains;
                fate.drains = released;
                let unprotected = phase == "released" && !fate.task.agent.is_protected();
                fate.released = unprotected.then(|| fate.released.unwrap_or_else(Instant::now));
                let waited = fate
                    .released
                    .is_some_and(|since| since.elapsed() > STOPPED_AFTER);
                let stops = waited || (new && unprotected && rng.f64() < 0.25);
                if fate.phase.0 != phase {
                    fate.phase = (phase.clone(), Instant::now());
                }
                let hangs =
                    harsh && fate.phase.1.elapsed() > CHECKED_AFTER && is_deaf(&fleet, fate).await;
                if phase == "leaving" || stops || hangs {
                    // ECS stops what is unprotected without asking; what shuts down ends by itself.
                    let pid = fate.task.worker.unwrap();
                    if hangs {
                        fleet.signal(pid, "SIGKILL");
                        deaf += 1;
                    } else if phase == "released" {
                        fleet.signal(pid, "SIGKILL");
                        killed += 1;
                    } else {
                        until("a worker that shuts down to end", || fleet.is_gone(pid)).await;
                    }
                    let (index, generation) = (fates_index(&fate.task.name), fate.generation + 1);
                    let mut new = hire(&fleet, &mut rng, index, generation, deny_limit);
                    new.task.work(&mut fleet, "threads", 2).await;
                    gone.push(std::mem::replace(fate, new));
                    continue;
                }
                if harsh {
                    trouble(&mut fleet, fate, &mut rng);
                }
                order(&fleet, fate, &mut rng);
            }
        }
        let runs = fleet.runs();
        println!(
            "{name}: {done} drains, {killed} workers stopped, {deaf} deaf ones replaced, {} runs in {:.1?}",
            runs.len(),
            began.elapsed()
        );
        assert!(runs.len() > drains, "{} runs", runs.len());
        for fate in gone.iter().chain(&fates) {
            let exposed = fate.task.exposed(&runs);
            let history = fate.task.unprotected();
            assert!(
                exposed.is_empty(),
                "{}: {exposed:?} {history:?}",
                fate.task.name
            );
        }
    });
}

/// Whether its worker answers nobody. One whose connection is cut while it answers a command of remote
/// control may never listen, work or end again (seen with Celery 5.6): `protect` keeps it protected,
/// because nobody can tell what it does, and the container's health check has it replaced.
async fn is_deaf(fleet: &Fleet, fate: &mut Fate) -> bool {
    let target = Target::parse(&fleet.redis.url()).unwrap();
    let worker = format!("celery@{}", fate.task.name);
    for _ in 0..3 {
        let Ok(mut connection) = connect(&target, protect::LONG).await else {
            continue;
        };
        let (limit, unique) = (Duration::from_secs(2), format!("{:x}", fastrand::u64(..)));
        let pidbox = Pidbox::default();
        let none = serde_json::json!({});
        let pong = pidbox.ask(&mut connection, &worker, "ping", none, limit, &unique);
        if matches!(pong.await, Ok(Some(_))) {
            fate.phase.1 = Instant::now();
            return false;
        }
    }
    true
}

fn fates_index(name: &str) -> usize {
    name[1..].split('-').next().unwrap().parse().unwrap()
}

fn hire(fleet: &Fleet, rng: &mut Rng, index: usize, generation: usize, deny_limit: &str) -> Fate {
    let name = format!("t{index}-{generation}");
    fleet.target(&name, 1);
    // After a deployment a worker waits as long before it asks again.
    let task = Task::start(fleet, &name, &fleet.redis.url(), deny_limit);
    Fate {
        task,
        generation,
        next: Instant::now() + Duration::from_millis(rng.u64(500..4_000)),
        drains: 0,
        released: None,
        phase: (String::new(), Instant::now()),
    }
}

/// A scale-in, a deployment, or the end of either, mostly where it makes a difference.
fn order(fleet: &Fleet, fate: &mut Fate, rng: &mut Rng) {
    let name = &fate.task.name;
    let leave = match fate.task.phase().as_str() {
        "working" => rng.f64() < 0.8,
        "released" => rng.f64() < 0.2,
        _ if rng.f64() < 0.8 => return,
        _ => rng.bool(),
    };
    match (leave, rng.f64() < 0.3) {
        (true, true) => drop(fate.task.wanted.send_replace(Some(true))),
        (true, false) => fleet.target(name, 0),
        (false, _) => {
            fleet.target(name, 1);
            fate.task.wanted.send_replace(Some(false));
        }
    }
    // With one that waits, most are taken by a blocking pop that was under way.
    fleet.load([1, 30][rng.usize(0..2)], LONGEST);
}

/// One of the ways in which agent, broker or `protect` itself fails.
fn trouble(fleet: &mut Fleet, fate: &mut Fate, rng: &mut Rng) {
    match rng.u32(0..12) {
        0 => fate.task.agent.behave(Behaviour::HangUp),
        1 => fate
            .task
            .agent
            .behave(Behaviour::Fail(500, "ServerException".to_owned())),
        2 => fate.task.agent.behave(Behaviour::Garbage(200)),
        3 => fate.task.keep_anew(fleet),
        4 => {
            let kind = ["normal", "pubsub"][rng.usize(0..2)];
            fleet
                .redis
                .command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
        5 => fate
            .task
            .agent
            .delay(Duration::from_millis(rng.u64(0..1_500))),
        _ => fate.task.agent.behave(Behaviour::Grant),
    }
}
