//! Pictures by hand-made readings and heartbeats.

use super::*;
use crate::broker::InFlight;
use crate::settings::Keys;

const HOLD: u64 = 300;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two groups: workers=a,b and big=x.
fn rounds(acks_late: bool) -> Rounds {
    let big = "big=x".parse().expect("a group");
    let names = ["a".to_owned(), "b".to_owned()];
    let groups = Groups::new("workers", &names, &[big]).expect("groups");
    let layout = Layout::new(&Keys::default(), 0, groups.queues());
    let policy = Policy {
        concurrency: 4,
        min: 0,
        max: 10,
        hold: at(HOLD),
        acks_late,
    };
    Rounds::new(&groups, layout, policy, 1)
}

fn reading(ready: [u64; 3], in_flight: [u64; 3]) -> Reading {
    Reading {
        ready: ready.to_vec(),
        in_flight: InFlight {
            queues: in_flight.to_vec(),
            ..InFlight::default()
        },
        ..Reading::default()
    }
}

fn hear(workers: &mut Workers, seconds: u64, name: &str, active: u64) {
    let body = serde_json::json!({"type": "worker-heartbeat", "hostname": name, "active": active});
    let published = serde_json::json!({"body": body.to_string()}).to_string();
    workers.observe(at(seconds), published.as_bytes());
}

fn witnessed<'a>(seconds: u64, reading: &'a Reading, workers: &'a Workers) -> Witnessed<'a> {
    Witnessed {
        at: at(seconds),
        broker: Some((reading, workers)),
        database: None,
    }
}

#[test]
fn each_group_has_its_queues_its_workers_and_its_orphans() {
    let mut rounds = rounds(true);
    let homes = Homes::from([
        ("celery@a".to_owned(), vec![0]),
        ("celery@x".to_owned(), vec![1]),
    ]);
    let mut workers = Workers::default();
    let mut last = None;
    // `big` had a worker with three tasks that was killed before anybody listened.
    for now in (0..=HOLD).step_by(5) {
        hear(&mut workers, now, "celery@a", 4);
        let reading = reading([8, 1, 5], [3, 1, 3]);
        last = rounds.observe(witnessed(now, &reading, &workers), &homes);
    }
    let picture = last.expect("a picture");
    let [own, big] = &picture.groups[..] else {
        panic!("{picture:?}");
    };
    assert_eq!((own.name.as_str(), big.name.as_str()), ("workers", "big"));
    assert_eq!((own.target.waiting, own.target.busy), (9, 4));
    assert_eq!((own.target.orphaned, own.target.workers), (0, 4));
    assert_eq!((big.target.waiting, big.target.busy), (5, 0));
    assert_eq!((big.target.orphaned, big.target.need), (3, 2));
    assert_eq!(own.broker.map(|seen| seen.workers), Some(1));
    assert_eq!(big.broker.map(|seen| seen.workers), Some(0));
    let queues: Vec<(&str, u64)> = picture
        .queues
        .iter()
        .map(|queue| (queue.name.as_str(), queue.ready))
        .collect();
    assert_eq!(queues, [("a", 8), ("b", 1), ("x", 5)]);
}

#[test]
fn a_worker_of_an_unknown_group_claims_in_each_so_that_nothing_is_called_an_orphan_too_soon() {
    let mut rounds = rounds(true);
    let mut workers = Workers::default();
    let mut last = None;
    for now in (0..=60).step_by(5) {
        hear(&mut workers, now, "celery@stranger", 3);
        let reading = reading([0, 0, 0], [3, 0, 3]);
        last = rounds.observe(witnessed(now, &reading, &workers), &Homes::new());
    }
    let orphaned = last.map(|picture| {
        let groups = picture.groups.iter();
        groups.map(|group| group.target.orphaned).sum::<u64>()
    });
    assert_eq!(orphaned, Some(0));
}

#[test]
fn each_group_ages_by_its_own_lists() {
    let mut rounds = rounds(true);
    let workers = Workers::default();
    let mut ages = |now, next: &[(&str, &str)]| {
        let mut reading = reading([1, 0, 1], [0, 0, 0]);
        let next = next.iter();
        reading.next = next
            .map(|(list, id)| ((*list).to_owned(), (*id).to_owned()))
            .collect();
        let picture = rounds.observe(witnessed(now, &reading, &workers), &Homes::new());
        let groups = picture.expect("a picture").groups;
        [0, 1].map(|group: usize| groups[group].oldest.map(|age| age.as_secs()))
    };
    let urgent = "b\u{6}\u{16}9";
    assert_eq!(ages(0, &[("a", "1")]), [Some(0), None]);
    assert_eq!(ages(10, &[("a", "1"), ("x", "2")]), [Some(10), Some(0)]);
    assert_eq!(ages(20, &[(urgent, "3"), ("x", "2")]), [Some(0), Some(10)]);
}

#[test]
fn what_has_no_message_is_missing() {
    let counts = |queued, running| Counts {
        queues: vec![Database { queued, running }],
        ..Counts::default()
    };
    for (acks_late, ready, in_flight, active, database, missing) in [
        (true, 0, 4, 4, None, 0),
        (true, 0, 6, 4, None, 0),
        (true, 5, 0, 4, None, 4),
        (false, 5, 0, 4, None, 0),
        (true, 0, 0, 0, Some(counts(3, 0)), 3),
        (true, 3, 2, 2, Some(counts(3, 2)), 0),
        (true, 0, 0, 2, Some(counts(3, 2)), 5),
        (false, 0, 0, 2, Some(counts(3, 2)), 0),
    ] {
        let mut workers = Workers::default();
        hear(&mut workers, 0, "celery@a", active);
        let reading = reading([ready, 0, 0], [in_flight, 0, 0]);
        let seen = Witnessed {
            database: database.as_ref(),
            ..witnessed(0, &reading, &workers)
        };
        let picture = rounds(acks_late).observe(seen, &Homes::new());
        assert_eq!(picture.map(|picture| picture.missing), Some(missing));
    }
}

#[test]
fn the_database_alone_is_enough_and_nobody_is_nothing() {
    let counts = Counts {
        queues: [(2, 3), (0, 0), (9, 0)]
            .map(|(queued, running)| Database { queued, running })
            .to_vec(),
        ..Counts::default()
    };
    let seen = Witnessed {
        at: at(0),
        broker: None,
        database: Some(&counts),
    };
    let picture = rounds(true).observe(seen, &Homes::new()).expect("one");
    let targets: Vec<u32> = picture.groups.iter().map(|it| it.target.workers).collect();
    assert_eq!(targets, [2, 3]);
    assert!(picture.queues.is_empty() && picture.groups[0].broker.is_none());
    let nobody = Witnessed {
        database: None,
        ..seen
    };
    assert_eq!(rounds(true).observe(nobody, &Homes::new()), None);
}
