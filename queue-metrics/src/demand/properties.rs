//! What must hold of the target for any samples.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn policies() -> impl Strategy<Value = Policy> {
    (1_u32..20, 0_u32..4, 0_u32..10, 0_u64..400, any::<bool>()).prop_map(
        |(concurrency, min, above, hold, acks_late)| Policy {
            concurrency,
            min,
            max: min + above,
            hold: Duration::from_secs(hold),
            acks_late,
        },
    )
}

fn brokers() -> impl Strategy<Value = Broker> {
    (0_u64..200, 0_u64..100, 0_u64..100, 0_u32..12).prop_map(
        |(ready, in_flight, claimed, workers)| Broker {
            ready,
            in_flight,
            claimed,
            workers,
            draining: 0,
        },
    )
}

fn databases() -> impl Strategy<Value = Database> {
    (0_u64..200, 0_u64..100).prop_map(|(queued, running)| Database { queued, running })
}

/// Samples some seconds apart, now and then with a witness or both away.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let steps = prop_oneof![9 => 0_u64..20, 1 => 20_u64..200];
    let witnesses = (
        prop_oneof![9 => brokers().prop_map(Some), 1 => Just(None)],
        prop_oneof![3 => Just(None), 1 => databases().prop_map(Some)],
    );
    vec((steps, witnesses), 1..150).prop_map(|steps| {
        let mut at = 0;
        steps
            .into_iter()
            .map(|(step, (broker, database))| {
                at += step;
                Sample {
                    at: Duration::from_secs(at),
                    broker,
                    database,
                }
            })
            .collect()
    })
}

fn replay(policy: Policy, samples: &[Sample]) -> Vec<Option<Target>> {
    let mut demand = Demand::new(policy);
    samples
        .iter()
        .map(|sample| demand.observe(sample))
        .collect()
}

proptest! {
    #[test]
    fn never_below_need_nor_outside_of_minimum_and_maximum(policy in policies(), samples in samples()) {
        for target in replay(policy, &samples).into_iter().flatten() {
            prop_assert!(target.workers >= target.need);
            prop_assert!((policy.min..=policy.max).contains(&target.workers));
        }
    }

    #[test]
    fn never_below_what_was_needed_within_the_hold(policy in policies(), samples in samples()) {
        let targets = replay(policy, &samples);
        for (index, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            for (earlier, sample) in targets[..index].iter().zip(&samples) {
                let Some(earlier) = earlier else { continue };
                if samples[index].at - sample.at < policy.hold {
                    prop_assert!(target.workers >= earlier.need);
                }
            }
        }
    }

    #[test]
    fn more_backlog_never_means_fewer_workers(
        policy in policies(),
        samples in samples(),
        more in vec((0_u64..50, 0_u64..50), 150),
    ) {
        let longer: Vec<Sample> = samples
            .iter()
            .zip(&more)
            .map(|(sample, (ready, queued))| Sample {
                broker: sample.broker.map(|broker| Broker { ready: broker.ready + ready, ..broker }),
                database: sample
                    .database
                    .map(|database| Database { queued: database.queued + queued, ..database }),
                ..*sample
            })
            .collect();
        for (less, more) in replay(policy, &samples).iter().zip(replay(policy, &longer)) {
            prop_assert!(less.map(|target| target.workers) <= more.map(|target| target.workers));
        }
    }

    #[test]
    fn the_same_samples_in_any_split_give_the_same_result(
        policy in policies(),
        samples in samples(),
        cut in 0_usize..150,
    ) {
        let (first, second) = samples.split_at(cut.min(samples.len()));
        let mut demand = Demand::new(policy);
        for sample in first {
            demand.observe(sample);
        }
        // What is carried over is the state alone.
        let mut carried = demand.clone();
        drop(demand);
        let rest: Vec<_> = second.iter().map(|sample| carried.observe(sample)).collect();
        prop_assert_eq!(&replay(policy, &samples)[first.len()..], &rest[..]);
    }

    #[test]
    fn a_sample_seen_twice_changes_nothing(policy in policies(), samples in samples()) {
        let twice: Vec<Sample> = samples.iter().flat_map(|sample| [*sample, *sample]).collect();
        let replayed = replay(policy, &twice);
        let second: Vec<_> = replayed.iter().skip(1).step_by(2).copied().collect();
        prop_assert_eq!(replay(policy, &samples), second);
    }

    #[test]
    fn what_a_live_worker_holds_is_never_an_orphan(policy in policies(), samples in samples()) {
        for (sample, target) in samples.iter().zip(replay(policy, &samples)) {
            let (Some(broker), Some(target)) = (sample.broker, target) else { continue };
            prop_assert!(target.orphaned <= broker.in_flight.saturating_sub(broker.claimed));
        }
    }

    #[test]
    fn live_workers_stay_for_one_hold_after_a_start(policy in policies(), samples in samples()) {
        let mut since = None;
        for (sample, target) in samples.iter().zip(replay(policy, &samples)) {
            let (Some(broker), Some(target)) = (sample.broker, target) else { continue };
            let since = *since.get_or_insert(sample.at);
            if sample.at - since < policy.hold {
                prop_assert!(target.workers >= broker.workers.min(policy.max));
            }
        }
    }
}
