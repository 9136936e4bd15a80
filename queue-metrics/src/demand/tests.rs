//! Examples of the rules, one each.

use super::*;

const POLICY: Policy = Policy {
    concurrency: 16,
    min: 0,
    max: 10,
    hold: Duration::from_secs(300),
    acks_late: true,
};

fn sample(at: u64, ready: u64, in_flight: u64, claimed: u64, workers: u32) -> Sample {
    Sample {
        at: Duration::from_secs(at),
        broker: Some(Broker {
            ready,
            in_flight,
            claimed,
            workers,
            draining: 0,
        }),
        database: None,
    }
}

fn with(mut sample: Sample, queued: u64, running: u64) -> Sample {
    sample.database = Some(Database { queued, running });
    sample
}

/// One that has been up for longer than the hold, with nothing to do.
fn settled(policy: Policy) -> Demand {
    let mut demand = Demand::new(policy);
    for at in (0..=300).step_by(5) {
        demand.observe(&sample(at, 0, 0, 0, 0));
    }
    demand
}

fn target(demand: &mut Demand, sample: Sample) -> Target {
    demand.observe(&sample).expect("a witness answered")
}

#[test]
fn tasks_become_workers() {
    for (ready, in_flight, workers) in [
        (0, 0, 0),
        (1, 0, 1),
        (0, 1, 1),
        (16, 0, 1),
        (16, 1, 2),
        (8, 9, 2),
        (160, 0, 10),
        (161, 0, 10),
        (u64::MAX, 1, 10),
    ] {
        let mut demand = settled(POLICY);
        let target = target(&mut demand, sample(301, ready, in_flight, in_flight, 1));
        assert_eq!(
            target.workers, workers,
            "{ready} ready, {in_flight} in flight"
        );
    }
}

#[test]
fn the_minimum_holds_without_tasks() {
    let mut demand = settled(Policy { min: 2, ..POLICY });
    assert_eq!(target(&mut demand, sample(301, 0, 0, 0, 0)).workers, 2);
}

#[test]
fn it_rises_at_once_and_falls_when_the_hold_has_passed() {
    let mut demand = settled(POLICY);
    assert_eq!(target(&mut demand, sample(305, 50, 0, 0, 0)).workers, 4);
    for (at, workers) in [(310, 4), (600, 4), (604, 4), (605, 0)] {
        demand.observe(&sample(at - 1, 0, 0, 0, 0));
        assert_eq!(
            target(&mut demand, sample(at, 0, 0, 0, 0)).workers,
            workers,
            "{at}"
        );
    }
}

#[test]
fn without_a_witness_nothing_is_said() {
    let mut demand = settled(POLICY);
    let nothing = Sample {
        at: Duration::from_secs(305),
        ..Sample::default()
    };
    assert_eq!(demand.observe(&nothing), None);
}

#[test]
fn after_a_start_everything_in_flight_is_busy_and_live_workers_stay() {
    let mut demand = Demand::new(POLICY);
    let first = target(&mut demand, sample(0, 0, 40, 0, 0));
    assert_eq!((first.workers, first.busy, first.settled), (3, 40, false));
    let heard = target(&mut demand, sample(5, 0, 40, 0, 5));
    assert_eq!(
        (heard.workers, heard.restarting, heard.settled),
        (5, true, true)
    );
    for at in (10..300).step_by(5) {
        let target = target(&mut demand, sample(at, 0, 40, 0, 5));
        assert_eq!((target.workers, target.busy), (5, 40), "{at}");
    }
    let after = target(&mut demand, sample(300, 0, 40, 0, 5));
    assert_eq!(
        (after.restarting, after.orphaned, after.busy),
        (false, 40, 0)
    );
    assert_eq!(
        after.workers, 3,
        "what was needed is held, the live workers are not"
    );
}

#[test]
fn more_live_workers_than_the_maximum_do_not_raise_the_target_above_it() {
    let mut demand = Demand::new(POLICY);
    assert_eq!(target(&mut demand, sample(0, 0, 0, 0, 12)).workers, 10);
}

#[test]
fn a_gap_is_a_start() {
    let mut demand = settled(POLICY);
    assert!(!target(&mut demand, sample(330, 0, 0, 0, 3)).restarting);
    let after = target(&mut demand, sample(361, 0, 0, 0, 3));
    assert!(after.restarting && !after.settled);
    assert_eq!(after.workers, 3);
}

#[test]
fn orphans_leave_the_need_after_thirty_seconds() {
    let mut demand = settled(POLICY);
    for (at, busy, orphaned) in [
        (305, 4, 0),
        (320, 4, 0),
        (334, 4, 0),
        (335, 0, 4),
        (340, 0, 4),
    ] {
        let target = target(&mut demand, sample(at, 0, 4, 0, 0));
        assert_eq!((target.busy, target.orphaned), (busy, orphaned), "{at}");
    }
}

#[test]
fn the_database_corrects_what_redis_cannot_see() {
    for (what, sample, need) in [
        (
            "messages lost in a failover",
            with(sample(301, 0, 0, 0, 0), 20, 0),
            2,
        ),
        (
            "a heartbeat that counts ended tasks",
            with(sample(301, 0, 40, 40, 3), 0, 0),
            0,
        ),
        (
            "running, and redis agrees",
            with(sample(301, 5, 16, 16, 1), 5, 16),
            2,
        ),
        (
            "ready before the database says queued",
            with(sample(301, 33, 0, 0, 0), 0, 0),
            3,
        ),
    ] {
        assert_eq!(target(&mut settled(POLICY), sample).need, need, "{what}");
    }
}

#[test]
fn the_database_alone_is_enough_to_go_on() {
    let mut demand = settled(POLICY);
    let sample = Sample {
        at: Duration::from_secs(305),
        broker: None,
        database: Some(Database {
            queued: 30,
            running: 3,
        }),
    };
    assert_eq!(target(&mut demand, sample).workers, 3);
}

#[test]
fn after_a_start_the_database_does_not_lower_what_is_in_flight() {
    let mut demand = Demand::new(POLICY);
    let target = target(&mut demand, with(sample(0, 0, 40, 0, 0), 0, 0));
    assert_eq!((target.need, target.busy), (3, 40));
}

#[test]
fn with_early_acknowledgement_heartbeats_come_on_top() {
    let mut demand = settled(Policy {
        acks_late: false,
        ..POLICY
    });
    let target = target(&mut demand, sample(301, 0, 16, 16, 1));
    assert_eq!((target.busy, target.orphaned, target.need), (32, 0, 2));
}

#[test]
fn workers_that_drain_for_a_deployment_count_beside_those_that_are_needed() {
    let mut demand = Demand::new(POLICY);
    let mut at = |at: u64, ready, workers, draining| {
        let mut sample = sample(at, ready, 0, 0, workers);
        if let Some(broker) = &mut sample.broker {
            broker.draining = draining;
        }
        demand
            .observe(&sample)
            .map(|target| (target.need, target.workers))
    };
    let long = POLICY.hold.as_secs() + 1;
    let two = u64::from(POLICY.concurrency) * 2;
    // Restarting: all that live are wanted, and those that drain are among them.
    assert_eq!(at(0, two, 5, 3), Some((2, 5)));
    assert_eq!(at(long, two, 5, 3), Some((2, 5)));
    // Once they are gone, so is what they counted: it was never needed.
    assert_eq!(at(long + 5, two, 2, 0), Some((2, 2)));
    assert_eq!(at(long + 10, two, 9, POLICY.max), Some((2, POLICY.max)));
}
