//! Each row of the machine's table.

use super::*;
use std::time::Duration;

const LEASE: u64 = 2_880 * 60;
const DENY: u64 = 600;

const NOTHING: Event = seen(Consuming::Nothing, 0);
const ALL: Event = seen(Consuming::All, 1);

const fn seen(consuming: Consuming, tasks: u32) -> Event {
    Event::Seen(Look { consuming, tasks })
}

/// A machine and its clock, which answers what it does not leave open.
struct Bench {
    machine: Machine,
    now: u64,
    asked: Vec<Action>,
}

impl Bench {
    fn new() -> Self {
        Self {
            machine: Machine::new(Duration::ZERO, Rules::new(Duration::from_secs(DENY))),
            now: 0,
            asked: Vec::new(),
        }
    }

    fn asking() -> Self {
        let mut bench = Self::new();
        bench.tell(Event::Tick);
        assert_eq!(bench.asked, [Action::Protect, Action::Look]);
        bench
    }

    fn working() -> Self {
        let mut bench = Self::asking();
        bench.granted();
        bench.tell(Event::Silent);
        bench.wait(1);
        bench.tell(ALL);
        assert_eq!(bench.machine.state(), State::Working);
        bench
    }

    /// By a verdict, a revision, or a refusal.
    fn draining(by: Event) -> Self {
        let mut bench = Self::working();
        bench.tell(by);
        if by == LEAVE {
            bench.wait(10);
        }
        assert!(
            matches!(bench.machine.state(), State::Draining(_)),
            "{:?}",
            bench.machine.state()
        );
        assert_eq!(bench.asked.last(), Some(&Action::Cancel));
        bench
    }

    fn releasing(by: Event) -> Self {
        let mut bench = Self::draining(by);
        bench.tell(Event::Cancelled);
        for wait in [2, 1] {
            bench.wait(wait);
            bench.tell(NOTHING);
        }
        assert!(
            matches!(bench.machine.state(), State::Releasing(_)),
            "{:?}",
            bench.machine.state()
        );
        assert_eq!(bench.asked.last(), Some(&Action::Release));
        bench
    }

    fn released(by: Event) -> Self {
        let mut bench = Self::releasing(by);
        bench.tell(Event::Freed);
        assert!(matches!(bench.machine.state(), State::Released(_)));
        bench
    }

    fn exposed() -> Self {
        let mut bench = Self::asking();
        bench.tell(NOTHING);
        bench.tell(Event::Denied);
        bench.refuse_until(DENY, Event::Denied);
        assert_eq!(bench.machine.state(), State::Exposed);
        bench
    }

    fn granted(&mut self) {
        let until = Duration::from_secs(self.now + LEASE);
        self.tell(Event::Granted(until));
    }

    fn tell(&mut self, event: Event) {
        let actions = self.machine.step(Duration::from_secs(self.now), event);
        self.asked.extend(actions);
    }

    /// Lets seconds pass in which nobody answers.
    fn wait(&mut self, seconds: u64) {
        self.asked.clear();
        for _ in 0..seconds {
            self.now += 1;
            self.tell(Event::Tick);
        }
    }

    /// Lets time pass in which the agent refuses and the worker is idle.
    fn refuse_until(&mut self, until: u64, refusal: Event) {
        while self.now < until {
            self.wait(1);
            for action in self.asked.clone() {
                match action {
                    Action::Protect => self.tell(refusal),
                    Action::Release => self.tell(Event::Freed),
                    Action::Look => self.tell(NOTHING),
                    Action::Cancel => self.tell(Event::Cancelled),
                    Action::Add => self.tell(Event::Added),
                    Action::Shutdown => self.tell(Event::Leaves),
                }
            }
        }
    }

    fn is(&self, state: State) {
        assert_eq!(self.machine.state(), state);
    }
}

const LEAVE: Event = Event::Standing(Verdict::Leave);
const STAY: Event = Event::Standing(Verdict::Stay);
const OUTDATED: Event = Event::Outdated(Some(true));

#[test]
fn asking_granted_is_working_and_looks() {
    let mut bench = Bench::asking();
    bench.tell(Event::Silent);
    bench.granted();
    bench.is(State::Working);
    assert_eq!(bench.asked.last(), Some(&Action::Look));
    assert!(bench.machine.healthy(Duration::ZERO));
}

#[test]
fn asking_refused_asks_again_and_is_healthy_after_a_minute() {
    for refusal in [Event::Denied, Event::Blocked] {
        let mut bench = Bench::asking();
        bench.tell(refusal);
        bench.wait(10);
        assert!(bench.asked.contains(&Action::Protect));
        bench.is(State::Asking);
        assert!(!bench.machine.healthy(Duration::from_secs(59)));
        assert!(bench.machine.healthy(Duration::from_secs(60)));
    }
}

#[test]
fn asking_beyond_the_deny_limit_is_exposed() {
    for refusal in [Event::Denied, Event::Blocked] {
        let mut bench = Bench::asking();
        bench.tell(NOTHING);
        bench.tell(refusal);
        bench.refuse_until(DENY - 1, refusal);
        bench.is(State::Asking);
        assert!(!bench.machine.unprotected());
        bench.refuse_until(DENY, refusal);
        bench.is(State::Exposed);
        assert!(bench.machine.unprotected());
    }
}

#[test]
fn asking_of_an_agent_that_never_answers_is_exposed_too() {
    let mut bench = Bench::asking();
    bench.wait(DENY);
    bench.is(State::Exposed);
}

#[test]
fn asking_seen_consuming_cancels() {
    let mut bench = Bench::asking();
    bench.tell(Event::Denied);
    bench.tell(seen(Consuming::Some, 0));
    bench.is(State::Asking);
    assert_eq!(bench.asked.last(), Some(&Action::Cancel));
}

#[test]
fn asking_seen_consuming_waits_for_the_agents_first_answer() {
    for (answer, action) in [(true, Action::Look), (false, Action::Cancel)] {
        let mut bench = Bench::asking();
        bench.tell(seen(Consuming::All, 2));
        bench.wait(3);
        assert_eq!(bench.asked, [], "a predecessor's protection may stand");
        match answer {
            true => bench.granted(),
            false => bench.tell(Event::Denied),
        }
        assert_eq!(bench.asked, [action]);
    }
}

#[test]
fn a_worker_that_was_left_idle_gets_no_work_while_a_predecessors_release_may_arrive() {
    let mut bench = Bench::asking();
    bench.granted();
    bench.tell(NOTHING);
    bench.is(State::Asking);
    bench.wait(29);
    assert!(!bench.asked.contains(&Action::Add));
    assert!(!bench.asked.contains(&Action::Protect));
    bench.wait(1);
    assert!(bench.asked.contains(&Action::Protect));
    bench.granted();
    bench.is(State::Working);
}

#[test]
fn asking_with_a_wish_to_leave_drains() {
    for (by, why) in [(LEAVE, Why::Surplus), (OUTDATED, Why::Deployment)] {
        let mut bench = Bench::asking();
        bench.tell(by);
        bench.wait(10);
        bench.is(State::Draining(why));
    }
}

#[test]
fn working_asks_each_minute_and_outlasts_an_agent_that_fails() {
    let mut bench = Bench::working();
    bench.wait(58);
    assert!(!bench.asked.contains(&Action::Protect));
    bench.wait(2);
    assert!(bench.asked.contains(&Action::Protect));
    bench.tell(Event::Denied);
    bench.is(State::Working);
}

#[test]
fn working_with_a_lease_near_its_end_asks() {
    let mut bench = Bench::working();
    bench.now = LEASE - 3_600;
    bench.tell(Event::Tick);
    bench.is(State::Working);
    bench.wait(1);
    bench.is(State::Asking);
}

#[test]
fn working_blocked_drains_only_where_no_revision_is_known() {
    let mut bench = Bench::working();
    bench.tell(Event::Blocked);
    bench.is(State::Draining(Why::Deployment));
    let mut bench = Bench::working();
    bench.tell(Event::Outdated(Some(false)));
    bench.tell(Event::Blocked);
    bench.is(State::Working);
}

#[test]
fn working_adds_what_is_not_consumed_and_replaces_a_worker_that_it_cannot_mend() {
    let mut bench = Bench::working();
    bench.wait(30);
    assert!(bench.asked.contains(&Action::Look));
    bench.tell(NOTHING);
    for add in 1..=ADDS {
        assert_eq!(bench.asked.last(), Some(&Action::Add), "{add}");
        bench.is(State::Working);
        bench.tell(Event::Added);
        bench.wait(20);
        assert!(bench.asked.contains(&Action::Look));
        bench.tell(NOTHING);
    }
    bench.is(State::Draining(Why::Replace));
}

#[test]
fn working_a_verdict_drains_only_when_it_lasts_and_nobody_drains_without_one() {
    let mut bench = Bench::working();
    bench.tell(LEAVE);
    bench.wait(9);
    bench.is(State::Working);
    bench.tell(STAY);
    bench.tell(LEAVE);
    bench.wait(9);
    bench.is(State::Working);
    bench.wait(1);
    bench.is(State::Draining(Why::Surplus));
    bench.tell(Event::Standing(Verdict::Unknown));
    bench.is(State::Working);
}

#[test]
fn draining_cancels_again_and_counts_anew() {
    for events in [
        &[seen(Consuming::Some, 0)][..],
        &[Event::Online, Event::Silent],
        &[Event::Lost, Event::Silent, Event::Back],
    ] {
        let mut bench = Bench::draining(LEAVE);
        bench.tell(Event::Cancelled);
        bench.wait(2);
        bench.tell(NOTHING);
        bench.wait(1);
        assert!(
            bench.asked.contains(&Action::Look),
            "the second look is under way"
        );
        bench.asked.clear();
        for event in events {
            bench.tell(*event);
        }
        bench.now += 1;
        bench.tell(Event::Tick);
        assert_eq!(bench.asked, [Action::Cancel], "{events:?}");
        bench.tell(Event::Cancelled);
        bench.wait(2);
        bench.tell(NOTHING);
        bench.is(State::Draining(Why::Surplus));
    }
    let mut bench = Bench::draining(LEAVE);
    bench.tell(Event::Silent);
    bench.wait(1);
    assert!(
        bench.asked.contains(&Action::Cancel),
        "an unanswered cancel counts for nothing"
    );
}

#[test]
fn draining_looks_only_when_the_blocking_pop_is_over() {
    let mut bench = Bench::draining(LEAVE);
    bench.tell(Event::Cancelled);
    bench.wait(1);
    assert!(!bench.asked.contains(&Action::Look));
    bench.wait(1);
    assert!(bench.asked.contains(&Action::Look));
    bench.tell(seen(Consuming::Nothing, 1));
    bench.is(State::Draining(Why::Surplus));
    for _ in 0..2 {
        bench.is(State::Draining(Why::Surplus));
        bench.wait(5);
        bench.tell(NOTHING);
    }
    bench.is(State::Releasing(Why::Surplus));
}

#[test]
fn draining_after_a_lost_connection_does_not_wait_for_a_count_that_may_never_end() {
    let mut bench = Bench::working();
    bench.tell(Event::Lost);
    bench.tell(Event::Back);
    bench.tell(OUTDATED);
    bench.tell(ALL);
    bench.wait(1);
    bench.tell(Event::Cancelled);
    bench.wait(2);
    bench.tell(seen(Consuming::Nothing, 2));
    bench.is(State::Leaving);
}

#[test]
fn draining_ends_when_what_called_for_it_does() {
    let mut bench = Bench::working();
    bench.tell(Event::Blocked);
    bench.is(State::Draining(Why::Deployment));
    bench.wait(60);
    bench.granted();
    bench.is(State::Working);
    let mut bench = Bench::draining(OUTDATED);
    bench.tell(Event::Outdated(Some(false)));
    bench.is(State::Working);
}

mod failures;
mod later;
