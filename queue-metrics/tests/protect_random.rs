//! Scale-ins and deployments at random over real workers of Celery: no task's run overlaps a moment in
//! which its ECS task was not protected.
//!
//! `TRIMTAB_DRAINS` says how many workers are to be drained (10, and a third of it where things fail),
//! `TRIMTAB_SEED` makes another run. It ends by itself: after so many drains, or as failed when these
//! take longer than [`A_MINUTE_AND`] for each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a long run shows how far it is")]

mod protect;
mod random;

use fastrand::Rng;
use protect::{Fleet, block_on};
use random::{Place, Tally};
use std::time::{Duration, Instant};

/// So many at once, each drained and wanted again for itself.
const TASKS: usize = 8;
/// For the start and for each drain; a quiet machine needs about 1 s.
const A_MINUTE_AND: Duration = Duration::from_secs(6);
/// Between two cuts of every connection there is, on average.
const ALL_CUT: Duration = Duration::from_secs(20);

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

fn play(name: &str, harsh: bool) {
    let drains = number("TRIMTAB_DRAINS", 10) / if harsh { 3 } else { 1 };
    let limit = Duration::from_secs(60) + A_MINUTE_AND * u32::try_from(drains).unwrap();
    let mut rng = Rng::with_seed(number("TRIMTAB_SEED", 1) as u64);
    block_on(async {
        let mut fleet = Fleet::start();
        let mut places: Vec<Place> = (0..TASKS)
            .map(|index| Place::new(&fleet, &mut rng, index, harsh))
            .collect();
        let (began, mut tally, mut gone) = (Instant::now(), Tally::default(), Vec::new());
        let mut cut = Instant::now() + ALL_CUT;
        let mut told = 0;
        while tally.drains < drains {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for place in &mut places {
                gone.extend(place.step(&mut fleet, &mut rng, &mut tally).await);
            }
            if harsh && cut <= Instant::now() {
                let kind = ["normal", "pubsub"][rng.usize(0..2)];
                let command = ["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"];
                fleet.redis.command(&command);
                tally.all_cut += 1;
                cut = Instant::now() + ALL_CUT.mul_f64(2.0 * rng.f64());
            }
            if tally.drains / 25 > told {
                told = tally.drains / 25;
                println!("{name}: {tally} in {:.0?}", began.elapsed());
            }
            assert!(
                began.elapsed() < limit,
                "{name}: not {drains} drains within {limit:?}: {tally}; {}",
                places.iter().map(Place::standing).collect::<String>()
            );
        }
        let runs = fleet.runs();
        println!(
            "{name}: {tally}, {} runs in {:.1?}",
            runs.len(),
            began.elapsed()
        );
        if harsh {
            println!("{name}: failures by phase: {}", tally.failures());
        }
        assert!(runs.len() > drains, "{} runs", runs.len());
        for task in gone.iter().chain(places.iter().map(|place| &place.task)) {
            let exposed = task.exposed(&runs);
            let history = task.unprotected();
            assert!(exposed.is_empty(), "{}: {exposed:?} {history:?}", task.name);
        }
    });
}
