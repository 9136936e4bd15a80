//! What must hold of the small ECS, whatever happens.

use super::*;

#[test]
fn no_task_runs_unprotected_through_random_scaling_and_deployments() {
    for seed in 0..25 {
        for revisions in [true, false] {
            let mut world = World::new(seed, Nature { revisions, ..KIND }, 4);
            for _ in 0..8 {
                world.desired = world.rng.usize(1..7);
                world.target = u32::try_from(world.desired).expect("few");
                if world.rng.bool() {
                    world.deploy();
                }
                let seconds = world.rng.u64(20..400);
                world.run(seconds);
            }
            world.target = 4;
            world.desired = 4;
            assert!(
                world.finished > 100,
                "seed {seed}: {} tasks",
                world.finished
            );
            assert_eq!(world.killed, 0, "seed {seed}");
            assert!(
                world.exposed_runs == 0 || world.taken_at_boot > 0,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn no_task_runs_unprotected_whatever_fails() {
    for seed in 0..60 {
        let mut world = World::new(seed, HARSH, 4);
        for _ in 0..8 {
            world.desired = world.rng.usize(2..7);
            world.target = u32::try_from(world.desired).expect("few");
            let seconds = world.rng.u64(20..600);
            world.run(seconds);
        }
        assert!(world.finished > 50, "seed {seed}: {} tasks", world.finished);
        assert_eq!(world.killed, 0, "seed {seed}");
    }
}

#[test]
fn a_deployment_finishes_once_the_running_tasks_end() {
    for seed in 0..30 {
        for nature in [
            KIND,
            HARSH,
            Nature {
                revisions: false,
                ..KIND
            },
            Nature {
                revisions: false,
                ..HARSH
            },
        ] {
            let mut world = World::new(seed, nature, 4);
            world.run(300);
            world.deploy();
            assert!(
                world.until(900, |world| !world.deploying),
                "seed {seed}, revisions {}: {:?}",
                nature.revisions,
                world
                    .workers
                    .iter()
                    .map(|worker| (worker.old, worker.machine.state()))
                    .collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn surplus_workers_leave_under_steady_load() {
    for seed in 0..30 {
        for nature in [KIND, HARSH] {
            let mut world = World::new(seed, nature, 6);
            world.run(300);
            (world.desired, world.target) = (2, 2);
            assert!(
                world.until(900, |world| world.workers.len() == 2),
                "seed {seed}: {:?}",
                world
                    .workers
                    .iter()
                    .map(|worker| worker.machine.state())
                    .collect::<Vec<_>>()
            );
            let before = world.finished;
            world.run(300);
            assert!(
                world.finished > before + 20,
                "seed {seed}: those that stay work"
            );
        }
    }
}

#[test]
fn a_worker_that_consumes_nothing_is_replaced() {
    let mut world = World::new(1, KIND, 1);
    world.run(100);
    world.workers[0].stuck = true;
    let name = world.workers[0].name.clone();
    assert!(world.until(300, |world| {
        world.workers.iter().all(|worker| worker.name != name)
    }));
    let before = world.finished;
    world.run(200);
    assert!(world.finished > before);
}

#[test]
fn a_worker_that_counts_an_ended_task_for_ever_does_not_hold_up_a_deployment() {
    let mut world = World::new(1, KIND, 2);
    world.run(100);
    for worker in &mut world.workers {
        worker.stale = 2;
    }
    world.redis_down_until = world.now + Duration::from_secs(5);
    world.run(30);
    world.deploy();
    assert!(world.until(600, |world| !world.deploying));
    assert_eq!(world.killed, 0);
}

#[test]
fn an_agent_that_never_grants_leaves_work_undone_until_the_deny_limit_and_no_longer() {
    let mut world = World::new(
        1,
        Nature {
            agent_fails: 1.0,
            ..KIND
        },
        1,
    );
    // What is lost without an answer is never carried out here.
    for _ in 0..1_180 {
        world.tick();
        world
            .workers
            .iter_mut()
            .for_each(|worker| worker.late.clear());
        // The worker starts unhealthy at 60 s with its consumers on, until the cancel arrives.
        world.waiting = 0;
    }
    assert_eq!(world.workers[0].machine.state(), State::Asking);
    assert!(world.until(30, |world| world.workers[0].machine.state()
        == State::Exposed));
    assert!(
        world.until(60, |world| world.finished > 0),
        "it works unprotected"
    );
    assert!(world.workers[0].machine.unprotected());
}
