//! The gate by table, by play and by property.

use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;

fn tree(count: usize) -> Vec<Candidate> {
    (0..count)
        .map(|number| candidate(number, number as u8))
        .collect()
}

fn candidate(number: usize, content: u8) -> Candidate {
    Candidate {
        path: format!("f{number:04}").into(),
        content: Some([content; 32]),
    }
}

fn default_policy() -> Policy {
    Policy {
        mode: Mode::Managed,
        limit: Limit::Share(50.0),
        allow_empty: false,
    }
}

struct Play {
    history: History,
    managed: u64,
    now: i64,
}

impl Play {
    fn of(managed: u64) -> Self {
        let mut history = History::default();
        history.note(NOW - 2 * WINDOW, managed, 0);
        Play {
            history,
            managed,
            now: NOW,
        }
    }

    /// Deletes the given files, at most as the policy lets, and remembers it.
    fn delete(&mut self, policy: Policy, candidates: &[Candidate], wanted: u64) -> Decision {
        self.pass(policy, candidates, &[], wanted, &[])
    }

    fn pass(
        &mut self,
        policy: Policy,
        candidates: &[Candidate],
        arrivals: &[Hash],
        wanted: u64,
        approvals: &[(String, i64)],
    ) -> Decision {
        let question = Question {
            candidates,
            arrivals,
            wanted,
            managed: self.managed,
            approvals,
            source: "s3://b/dags/",
            now: self.now,
        };
        let decision = decide(policy, &self.history, &question);
        self.managed = self.managed + arrivals.len() as u64 - decision.go.len() as u64;
        self.history.note(self.now, self.managed, decision.counted);
        decision
    }
}

#[test]
fn each_row_of_the_table() {
    let cases = [
        // (managed, deletes, wanted, allow empty, approved, goes)
        (100, 0, 100, false, false, true),
        (100, 100, 0, true, false, true),
        (100, 100, 0, false, false, false),
        (100, 100, 0, false, true, true),
        (2, 2, 0, false, false, false),
        (100, 50, 50, false, false, true),
        (100, 51, 49, false, false, false),
        (100, 51, 49, false, true, true),
        (100, 51, 49, true, false, false),
        (4, 2, 2, false, false, true),
        (4, 3, 1, false, false, true),
    ];
    for case in cases {
        let (managed, deletes, wanted, allow_empty, approve, goes) = case;
        let candidates = tree(deletes);
        let approvals = if approve {
            vec![(identify("s3://b/dags/", &candidates), NOW - MINUTE)]
        } else {
            vec![]
        };
        let policy = Policy {
            allow_empty,
            ..default_policy()
        };
        let decision = Play::of(managed).pass(policy, &candidates, &[], wanted, &approvals);
        assert_eq!(decision.held.is_none(), goes, "{case:?}");
        assert_eq!(
            decision.go.len(),
            if goes { deletes } else { 0 },
            "{case:?}"
        );
    }
}

#[test]
fn a_prefix_drained_slowly_is_held_at_half() {
    let mut play = Play::of(100);
    let files = tree(100);
    let mut gone = 0;
    for file in &files {
        play.now += 30_000;
        gone += play
            .delete(default_policy(), std::slice::from_ref(file), 50)
            .go
            .len();
    }
    assert_eq!(gone, 50, "at 30 s a file the hour holds them all");
}

#[test]
fn deletes_of_more_than_an_hour_ago_are_forgotten() {
    let mut play = Play::of(100);
    let files = tree(100);
    assert!(
        play.delete(default_policy(), &files[..50], 50)
            .held
            .is_none()
    );
    play.now += MINUTE;
    assert!(
        play.delete(default_policy(), &files[50..60], 40)
            .held
            .is_some()
    );
    play.now += WINDOW;
    assert!(
        play.delete(default_policy(), &files[50..60], 40)
            .held
            .is_none()
    );
}

#[test]
fn a_tree_replaced_by_another_is_held_and_a_tree_moved_is_not() {
    let old = tree(20);
    let moved: Vec<Hash> = old.iter().filter_map(|file| file.content).collect();
    let other: Vec<Hash> = (0..20).map(|number| [200 + number; 32]).collect();
    let replaced = Play::of(20).pass(default_policy(), &old, &other, 20, &[]);
    assert_eq!(replaced.held.map(|held| held.candidates.len()), Some(20));
    let decision = Play::of(20).pass(default_policy(), &old, &moved, 20, &[]);
    assert_eq!(
        (decision.held, decision.go.len(), decision.counted),
        (None, 20, 0)
    );
}

#[test]
fn one_empty_file_does_not_excuse_a_hundred() {
    let empty: Vec<Candidate> = (0..100).map(|number| candidate(number, 0)).collect();
    let decision = Play::of(100).pass(default_policy(), &empty, &[[0; 32]], 1, &[]);
    assert_eq!(decision.go.len(), 1);
    assert_eq!(decision.held.map(|held| held.candidates.len()), Some(99));
}

#[test]
fn an_approval_is_for_one_set_of_one_source_and_for_a_day() {
    let files = tree(100);
    let held = Play::of(100)
        .delete(default_policy(), &files, 0)
        .held
        .unwrap();
    let ask = |candidates: &[Candidate], id: &str, at: i64| {
        Play::of(100)
            .pass(
                default_policy(),
                candidates,
                &[],
                0,
                &[(id.to_string(), at)],
            )
            .held
            .is_none()
    };
    assert!(ask(&files, &held.id, NOW - APPROVAL + 1));
    assert!(!ask(&files, &held.id, NOW - APPROVAL));
    assert!(!ask(&files[..99], &held.id, NOW), "another set");
    let mut changed = files.clone();
    changed[7].content = Some([9; 32]);
    assert!(!ask(&changed, &held.id, NOW), "other bytes");
    assert_ne!(identify("s3://b/other/", &files), held.id);
}

#[test]
fn approved_deletes_leave_the_hour_as_it_was() {
    let mut play = Play::of(100);
    let files = tree(100);
    let id = play
        .delete(default_policy(), &files[..60], 40)
        .held
        .unwrap()
        .id;
    let decision = play.pass(default_policy(), &files[..60], &[], 40, &[(id, NOW)]);
    assert_eq!((decision.go.len(), decision.counted), (60, 0));
    assert!(
        play.delete(default_policy(), &files[60..90], 10)
            .held
            .is_none()
    );
}

#[test]
fn never_deletes_nothing_and_holds_nothing() {
    let policy = Policy {
        mode: Mode::Never,
        ..default_policy()
    };
    assert_eq!(
        Play::of(10).delete(policy, &tree(10), 0),
        Decision::default()
    );
}

#[test]
fn limits_are_counts_or_shares() {
    assert_eq!("20".parse(), Ok(Limit::Count(20)));
    assert_eq!("50%".parse(), Ok(Limit::Share(50.0)));
    assert_eq!("0.5%".parse(), Ok(Limit::Share(0.5)));
    for text in ["", "%", "-1", "101%", "NaN%", "half", "1.5"] {
        assert!(text.parse::<Limit>().is_err(), "{text}");
    }
    assert_eq!(Limit::Count(20).files(1000), 20);
    assert_eq!(Limit::Share(50.0).files(9), 4);
    assert_eq!(Limit::Share(50.0).files(4), FREE);
}

proptest! {
    /// However deletes are spread over an hour, no more than the limit go without a person.
    #[test]
    fn an_hour_never_loses_more_than_the_limit(
        managed in 1u64..200,
        steps in prop::collection::vec((1usize..20, 0i64..400_000), 1..40),
        percent in 0.0f64..100.0,
    ) {
        let policy = Policy { limit: Limit::Share(percent), ..default_policy() };
        let mut play = Play::of(managed);
        let mut gone: Vec<(i64, u64)> = Vec::new();
        let mut most = vec![(play.now - 2 * WINDOW, managed)];
        for (count, pause) in steps {
            play.now += pause;
            let count = count.min(play.managed as usize);
            let left = play.managed - count as u64;
            let decision = play.delete(policy, &tree(count), left);
            gone.push((play.now, decision.go.len() as u64));
            most.push((play.now, play.managed));
            let since = play.now - WINDOW;
            let lost: u64 = gone.iter().filter(|(at, _)| *at > since).map(|(_, count)| count).sum();
            // The largest tree of the window is at most the one it began with.
            let begin = most.iter().rfind(|(at, _)| *at <= since).map_or(managed, |(_, count)| *count);
            prop_assert!(lost <= policy.limit.files(begin.max(managed)));
        }
    }
}
