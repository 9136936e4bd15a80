//! The simulation beside what it stands for: a real Celery under a tiny controller, with the clock sped
//! up.
//!
//! The controller has the real sampler, heartbeats and decision, and its own few lines in place of
//! CloudWatch and ECS, with the delays that the model has. A worker is started beforehand, on a queue
//! that nobody fills, and is given the real one when the model's would be up: what a loaded machine
//! takes to start Python is not what is compared. So the model's start with their queues.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod once;

use agent::redis::{Pidbox, Target, connect};
use once::{Celery, LONG};
use queue_metrics::broker::{Layout, Listener, Sampler, Workers};
use queue_metrics::demand::{Broker, Demand, Policy, Sample, claimed};
use queue_metrics::settings::Keys;
use queue_metrics::simulate::{Kind, Scenario, run};
use redis::aio::MultiplexedConnection;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::process::Process;
use testkit::redis::Redis;
use tokio::time::Instant;

/// A real second is as many of the model's.
const SPEED: u32 = 4;
const SLOTS: u32 = 2;
const MOST: u32 = 3;
const START: u32 = 20;
const END: u32 = 118;
const WAVES: [(u32, u32); 2] = [(7, 5), (47, 5)];
/// Seconds of the model's.
const RUNS: u32 = 20;
const HOLD: Duration = Duration::from_secs(20);

const SCENARIO: &str = "title='t'\nseed=1\nlength='150s'\n\
    service={concurrency=2,max=3,start=[20,20],start_on='queues',hold='20s'}\n\
    [[burst]]\nat='7s'\ntasks=5\nruns={median='20s',p95='20s'}\n\
    [[burst]]\nat='47s'\ntasks=5\nruns={median='20s',p95='20s'}";

/// One alarm a level over periods of 10 s, and what is under way to CloudWatch and to ECS.
#[derive(Default)]
struct Alarms {
    puts: BTreeMap<u32, u32>,
    sets: BTreeMap<u32, u32>,
    highest: Option<u32>,
    level: Option<u32>,
}

impl Alarms {
    /// The desired count that is set at this second. No rise or fall here waits for a repeat.
    fn step(&mut self, now: u32) -> Option<u32> {
        if let Some(value) = self.puts.remove(&now) {
            self.highest = self.highest.max(Some(value));
        }
        if now % 10 == 3
            && let Some(value) = self.highest.take()
        {
            let level = self.level.replace(value);
            let crossed = level.is_none_or(|level| value > level || (value == 0 && level > 0));
            if crossed {
                self.sets.insert(now + 2, value);
            }
        }
        self.sets.remove(&now)
    }
}

#[tokio::test]
async fn a_real_celery_waits_and_scales_as_the_simulation_says() {
    let redis = Redis::start();
    let conf = r#"{"task_acks_late": true, "worker_prefetch_multiplier": 1}"#;
    let celery = Celery::new(&redis, conf);
    let workers: Vec<Process> = (0..MOST)
        .map(|at| celery.worker_of(&format!("w{at}@test"), "nothing", SLOTS))
        .collect();
    for worker in &workers {
        worker.wait_for(|line| line.contains("ready."), LONG);
    }
    // Python comes up in the meantime.
    let begins = SystemTime::now() + Duration::from_secs(3);
    let epoch = begins.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let waves = WAVES.map(|(at, count)| (epoch + f64::from(at) / f64::from(SPEED), count));
    let _putter = celery.put_at(&waves, f64::from(RUNS) / f64::from(SPEED));
    let began = Instant::now() + begins.duration_since(SystemTime::now()).unwrap();
    let changes = control(&redis, began).await;

    let model = run(&Scenario::parse(SCENARIO).unwrap(), Kind::AlarmPerLevel);
    let modelled: Vec<(u32, u32)> = model
        .points
        .windows(2)
        .filter(|pair| pair[0].desired != pair[1].desired)
        .map(|pair| (pair[1].at, pair[1].desired))
        .collect();
    let waits = std::fs::read_to_string(celery.directory.path().join("waits")).unwrap();
    let mut waits: Vec<f64> = waits
        .lines()
        .map(|line| line.parse::<f64>().unwrap() * f64::from(SPEED))
        .collect();
    waits.sort_by(f64::total_cmp);
    eprintln!("waits {waits:.1?}, modelled {:?}", model.waits);
    eprintln!("changes {changes:?}, modelled {modelled:?}");
    assert_eq!(waits.len(), model.waits.len());
    for (real, modelled) in waits.iter().zip(&model.waits) {
        // Three real seconds: a full worker of Celery's takes up to two from a slot that is free to the
        // next task, and the machine may be building.
        let apart = (real - f64::from(*modelled)).abs() / f64::from(SPEED);
        assert!(apart <= 3.0, "{real} {modelled}");
    }
    let counts = |changes: &[(u32, u32)]| changes.iter().map(|change| change.1).collect::<Vec<_>>();
    assert_eq!(counts(&changes), counts(&modelled));
    for (real, modelled) in changes.iter().zip(&modelled) {
        // By so much later, and a period of the alarms.
        assert!(real.0.abs_diff(modelled.0) <= 20, "{real:?} {modelled:?}");
    }
}

/// Controls until the end, and returns when the desired count became what.
async fn control(redis: &Redis, began: Instant) -> Vec<(u32, u32)> {
    let target = Target::parse(&redis.url()).unwrap();
    let layout = Layout::new(&Keys::default(), 0, ["default"]);
    let mut connection = connect(&target, LONG).await.unwrap();
    let mut listener = Listener::start(&target, &layout, LONG).await.unwrap();
    let mut sampler = Sampler::new(target, layout);
    let mut workers = Workers::default();
    let mut demand = Demand::new(Policy {
        concurrency: SLOTS,
        min: 0,
        max: MOST,
        hold: HOLD,
        acks_late: true,
    });
    let mut alarms = Alarms::default();
    let (mut desired, mut changes) = (0, Vec::new());
    // When each worker takes tasks.
    let mut up: Vec<u32> = Vec::new();
    let mut published = None;
    for now in 0..END {
        let until = began + Duration::from_secs(now.into()) / SPEED;
        while let Ok(published) = tokio::time::timeout_at(until, listener.next()).await {
            // Heartbeats come by the real clock.
            workers.observe(began.elapsed() + LONG, &published.unwrap());
        }
        if now % 5 == 0 {
            let reading = sampler.read(&mut connection, false).await.unwrap();
            let live = up.iter().filter(|at| **at <= now).count();
            let active = workers.active(began.elapsed() + LONG);
            let target = demand.observe(&Sample {
                at: Duration::from_secs(now.into()),
                broker: Some(Broker {
                    ready: reading.ready.iter().sum(),
                    in_flight: reading.in_flight.queues.iter().sum(),
                    claimed: claimed(active, SLOTS, 1),
                    workers: u32::try_from(live).unwrap(),
                    draining: 0,
                }),
                database: None,
            });
            let target = target.unwrap();
            if target.settled && published != Some((now / 10, target.workers)) {
                published = Some((now / 10, target.workers));
                alarms.puts.insert(now + 2, target.workers);
            }
        }
        if let Some(count) = alarms.step(now).filter(|count| *count != desired) {
            desired = count;
            changes.push((now, count));
            while u32::try_from(up.len()).unwrap() < desired {
                up.push(now + START);
            }
        }
        for at in (0..up.len()).filter(|at| up[*at] == now) {
            consume(&mut connection, at).await;
        }
    }
    changes
}

/// Gives a worker the queue.
async fn consume(connection: &mut MultiplexedConnection, worker: usize) {
    let pidbox = Pidbox::default();
    let node = format!("w{worker}@test");
    let arguments = json!({"queue": "default"});
    let limit = Duration::from_secs(5);
    let answer = pidbox.ask(connection, &node, "add_consumer", arguments, limit, &node);
    assert!(answer.await.unwrap().is_some(), "{node} does not answer");
}
