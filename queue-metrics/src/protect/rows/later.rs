//! The rows from releasing on.

use super::*;

#[test]
fn a_protect_under_way_is_answered_before_the_release_is_asked_for() {
    let mut bench = Bench::draining(LEAVE);
    bench.tell(Event::Cancelled);
    bench.wait(60);
    assert!(bench.asked.contains(&Action::Protect));
    bench.tell(NOTHING);
    bench.wait(1);
    bench.tell(NOTHING);
    bench.is(State::Draining(Why::Surplus));
    bench.granted();
    bench.is(State::Releasing(Why::Surplus));
    assert_eq!(bench.asked.last(), Some(&Action::Release));
}

#[test]
fn releasing_repeats_until_it_is_confirmed() {
    let mut bench = Bench::releasing(LEAVE);
    bench.tell(Event::NotFreed);
    bench.is(State::Releasing(Why::Surplus));
    bench.wait(10);
    assert!(bench.asked.contains(&Action::Release));
    bench.tell(Event::Freed);
    bench.is(State::Released(Why::Surplus));
}

#[test]
fn a_release_that_may_still_arrive_keeps_a_grant_from_counting() {
    let mut bench = Bench::releasing(LEAVE);
    bench.tell(Event::Standing(Verdict::Unknown));
    bench.is(State::Releasing(Why::Surplus));
    bench.tell(Event::NotFreed);
    bench.is(State::Asking);
    bench.wait(29);
    assert!(!bench.asked.contains(&Action::Protect));
    bench.wait(1);
    assert!(bench.asked.contains(&Action::Protect));
    bench.granted();
    bench.is(State::Working);
}

#[test]
fn released_comes_back_when_it_is_wanted() {
    let mut bench = Bench::released(LEAVE);
    bench.tell(STAY);
    bench.wait(9);
    bench.is(State::Released(Why::Surplus));
    bench.wait(1);
    bench.is(State::Asking);
    assert!(bench.asked.contains(&Action::Protect));
    bench.granted();
    bench.is(State::Working);
}

#[test]
fn released_for_a_deployment_comes_back_only_after_the_deny_limit_and_yields_again() {
    let mut bench = Bench::released(Event::Blocked);
    let since = bench.now;
    bench.refuse_until(since + DENY - 1, Event::Blocked);
    bench.is(State::Released(Why::Deployment));
    bench.wait(1);
    bench.is(State::Asking);
    bench.tell(Event::Freed);
    bench.wait(60);
    bench.tell(Event::Blocked);
    bench.is(State::Released(Why::Deployment));
    let mut bench = Bench::released(OUTDATED);
    let since = bench.now;
    bench.refuse_until(since + 3 * DENY, Event::Blocked);
    bench.is(State::Released(Why::Deployment));
}

#[test]
fn released_releases_again_each_minute() {
    let mut bench = Bench::released(LEAVE);
    bench.wait(60);
    assert!(bench.asked.contains(&Action::Release));
}

#[test]
fn released_seen_at_work_asks_and_cancels() {
    for look in [seen(Consuming::All, 0), seen(Consuming::Nothing, 1)] {
        let mut bench = Bench::released(LEAVE);
        bench.wait(30);
        bench.asked.clear();
        bench.tell(look);
        assert!(
            bench.asked.contains(&Action::Protect),
            "{look:?} {:?}",
            bench.machine.state()
        );
        assert!(bench.asked.contains(&Action::Cancel), "{look:?}");
    }
}

#[test]
fn a_worker_that_comes_up_unprotected_is_cancelled_without_a_look() {
    let mut bench = Bench::asking();
    bench.tell(Event::Silent);
    bench.asked.clear();
    bench.tell(Event::Online);
    assert_eq!(bench.asked, [Action::Cancel]);
    let mut bench = Bench::working();
    bench.asked.clear();
    bench.tell(Event::Online);
    assert_eq!(bench.asked, [Action::Look]);
}

#[test]
fn exposed_asks_on_and_works_protected_when_it_is_granted() {
    for refusal in [Event::Denied, Event::Blocked] {
        let mut bench = Bench::exposed();
        bench.refuse_until(DENY + 120, refusal);
        bench.is(State::Exposed);
        bench.wait(60);
        assert!(bench.asked.contains(&Action::Protect));
        bench.granted();
        bench.is(State::Working);
        assert!(!bench.machine.unprotected());
    }
}

#[test]
fn exposed_with_a_wish_to_leave_drains() {
    let mut bench = Bench::exposed();
    bench.tell(OUTDATED);
    bench.is(State::Draining(Why::Deployment));
}

#[test]
fn leaving_is_left_by_nothing_and_keeps_protection() {
    let mut bench = Bench::working();
    bench.tell(Event::Lost);
    bench.tell(Event::Back);
    bench.tell(OUTDATED);
    bench.tell(ALL);
    bench.wait(1);
    bench.tell(Event::Cancelled);
    bench.wait(2);
    bench.tell(seen(Consuming::Nothing, 2));
    assert_eq!(bench.asked.last(), Some(&Action::Shutdown));
    bench.tell(Event::Leaves);
    for event in [
        Event::Outdated(Some(false)),
        STAY,
        NOTHING,
        Event::Blocked,
        Event::Lost,
        Event::Back,
    ] {
        bench.tell(event);
        bench.is(State::Leaving);
    }
    bench.tell(Event::Leaves);
    bench.wait(130);
    assert!(bench.asked.contains(&Action::Shutdown));
    assert!(bench.asked.contains(&Action::Protect));
    assert!(!bench.asked.contains(&Action::Release));
}

#[test]
fn lost_asks_nothing_of_the_worker_and_changes_no_protection() {
    for mut bench in [
        Bench::working(),
        Bench::draining(LEAVE),
        Bench::released(LEAVE),
        Bench::exposed(),
    ] {
        let state = bench.machine.state();
        bench.tell(Event::Lost);
        bench.tell(Event::Silent);
        bench.wait(120);
        assert!(
            bench.asked.iter().all(|action| action.is_agents()),
            "{state:?} {:?}",
            bench.asked
        );
        bench.is(state);
        bench.asked.clear();
        bench.tell(Event::Back);
        assert!(
            bench.asked.iter().any(|action| !action.is_agents()),
            "{state:?}"
        );
    }
}

#[test]
fn draining_to_be_replaced_shuts_down_when_it_is_seen_empty_twice() {
    let mut bench = Bench::working();
    bench.wait(30);
    bench.tell(NOTHING);
    for _ in 0..ADDS {
        bench.tell(Event::Added);
        bench.wait(20);
        bench.tell(NOTHING);
    }
    bench.tell(Event::Cancelled);
    bench.wait(2);
    bench.tell(NOTHING);
    bench.is(State::Draining(Why::Replace));
    bench.wait(1);
    bench.tell(NOTHING);
    bench.is(State::Leaving);
    assert_eq!(bench.asked.last(), Some(&Action::Shutdown));
}

#[test]
fn draining_without_a_lease_asks_when_nothing_calls_for_it_any_more() {
    let mut bench = Bench::exposed();
    bench.tell(OUTDATED);
    bench.is(State::Draining(Why::Deployment));
    bench.tell(Event::Outdated(Some(false)));
    bench.is(State::Asking);
}
