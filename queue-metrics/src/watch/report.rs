//! What the status file says.

use super::notices::Notices;
use super::picture::{GroupPicture, Picture};
use agent::metrics::Delivery;
use agent::status::{State, timestamp};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};

/// What the status is made of.
pub(super) struct Facts<'a> {
    pub(super) at: Duration,
    pub(super) notices: &'a Notices,
    pub(super) delivery: &'a Delivery,
    /// Whether anything was published yet.
    pub(super) published: bool,
    /// Whether there is a second witness.
    pub(super) database: bool,
    pub(super) picture: Option<&'a (SystemTime, Picture)>,
}

/// | | healthy | degraded |
/// |---|---|---|
/// | the broker does not answer, or cannot be read | yes | yes |
/// | the database does not answer | yes | yes |
/// | puts fail, or none was accepted yet | yes | yes |
/// | the target cannot be left for `protect` | yes | yes |
/// | else | yes | no |
pub(super) fn state(facts: &Facts<'_>) -> State {
    let reasons = reasons(facts);
    let phase = match (facts.picture, facts.notices.broker_away()) {
        (None, None) => "listening",
        (None, Some(_)) => "blind",
        (Some(_), _) => "watching",
    };
    State {
        phase: phase.to_owned(),
        healthy: true,
        degraded: !reasons.is_empty(),
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        detail: detail(facts),
    }
}

/// What is told of apart from times, where nothing is wrong: as long as it stays the same nobody misses
/// a report. With none there is no such thing, since a reason says how long it has lasted.
pub(super) fn calm(facts: &Facts<'_>) -> Option<Vec<u64>> {
    let (_, picture) = facts.picture?;
    if !reasons(facts).is_empty() {
        return None;
    }
    let mut calm = vec![facts.notices.restarts, facts.notices.messages_lost().into()];
    for group in &picture.groups {
        let target = &group.target;
        let alive = group.broker.map_or(u64::MAX, |seen| seen.workers.into());
        calm.extend([target.workers.into(), target.need.into(), target.waiting]);
        calm.extend([target.busy, target.orphaned, target.restarting.into()]);
        calm.push(alive);
    }
    for queue in &picture.queues {
        calm.extend([queue.ready, queue.unacked]);
    }
    Some(calm)
}

fn reasons(facts: &Facts<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut lasting = |state: Option<(Duration, &crate::broker::Failure)>| {
        if let Some((since, failure)) = state {
            let seconds = facts.at.saturating_sub(since).as_secs();
            reasons.push(format!("{failure} (for {seconds} s)"));
        }
    };
    lasting(facts.notices.broker_away());
    lasting(facts.notices.database_away());
    lasting(facts.notices.hint_refused());
    match (&facts.delivery.failing, facts.delivery.accepted) {
        (Some(kind), Some(accepted)) => reasons.push(format!(
            "CloudWatch has accepted nothing for {} s: {kind}",
            accepted.elapsed().as_secs()
        )),
        (Some(kind), None) => {
            reasons.push(format!("CloudWatch has accepted nothing yet: {kind}"));
        }
        (None, None) if facts.published => {
            reasons.push("CloudWatch has accepted nothing yet".to_owned());
        }
        (None, _) => {}
    }
    reasons
}

fn detail(facts: &Facts<'_>) -> Map<String, Value> {
    let mut detail = Map::new();
    let mut say = |name: &str, value: Value| detail.insert(name.to_owned(), value);
    let answers = |away: bool| if away { "away" } else { "answers" };
    say(
        "broker",
        json!(answers(facts.notices.broker_away().is_some())),
    );
    say(
        "database",
        match facts.database {
            true => json!(answers(facts.notices.database_away().is_some())),
            false => json!("off"),
        },
    );
    say("broker_restarts", json!(facts.notices.restarts));
    say("messages_lost", json!(facts.notices.messages_lost()));
    let accepted = facts.delivery.accepted.map(|then| then.elapsed());
    let accepted = accepted.filter(|_| facts.delivery.number > 0);
    let accepted = accepted.and_then(|age| SystemTime::now().checked_sub(age));
    say("accepted", json!(accepted.map(|at| timestamp(at.into()))));
    if let Some((at, picture)) = facts.picture {
        say("sampled", json!(timestamp((*at).into())));
        let groups = picture.groups.iter();
        let groups: Map<String, Value> = groups
            .map(|seen| (seen.name.clone(), group(seen)))
            .collect();
        say("groups", Value::Object(groups));
        let queues = picture.queues.iter();
        let queues: Map<String, Value> = queues
            .map(|queue| {
                let counts = json!({"ready": queue.ready, "unacked": queue.unacked});
                (queue.name.clone(), counts)
            })
            .collect();
        say("queues", Value::Object(queues));
    }
    detail
}

fn group(group: &GroupPicture) -> Value {
    let target = &group.target;
    json!({
        "workers_target": target.workers,
        "need": target.need,
        "waiting": target.waiting,
        "busy": target.busy,
        "orphaned": target.orphaned,
        "restarting": target.restarting,
        "workers_alive": group.broker.map(|seen| seen.workers),
        "oldest_task_age": group.oldest.map(|age| age.as_secs()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::picture::QueuePicture;
    use super::*;
    use crate::broker::Failure;
    use crate::demand::{Broker, Limits, Target};

    fn group(waiting: u64, age: u64) -> GroupPicture {
        GroupPicture {
            name: "workers".to_owned(),
            target: Target {
                workers: 1,
                need: 1,
                waiting,
                busy: 0,
                orphaned: 0,
                restarting: false,
                settled: true,
            },
            broker: Some(Broker::default()),
            database: None,
            oldest: Some(Duration::from_secs(age)),
        }
    }

    #[test]
    fn only_what_changed_is_news_and_trouble_always_is() {
        let limits = Limits {
            queued_timeout: Duration::from_secs(600),
            token: None,
        };
        let mut notices = Notices::new(limits);
        let delivery = Delivery {
            accepted: Some(std::time::Instant::now()),
            ..Delivery::default()
        };
        let calm = |notices: &Notices, waiting, age, unacked| {
            let queue = QueuePicture {
                name: "default".to_owned(),
                ready: waiting,
                unacked,
            };
            let picture = Picture {
                groups: vec![group(waiting, age)],
                queues: vec![queue],
                missing: 0,
            };
            super::calm(&Facts {
                at: Duration::from_secs(age),
                notices,
                delivery: &delivery,
                published: true,
                database: false,
                picture: Some(&(SystemTime::now(), picture)),
            })
        };
        let first = calm(&notices, 1, 1, 0);
        assert!(first.is_some());
        assert_eq!(calm(&notices, 1, 2, 0), first);
        assert_ne!(calm(&notices, 2, 2, 0), first);
        assert_ne!(calm(&notices, 1, 2, 1), first);
        let failure = Failure {
            exit: agent::exit::Exit::Unavailable,
            why: "away".to_owned(),
        };
        notices.database(Duration::from_secs(2), Some(&failure));
        assert_eq!(calm(&notices, 1, 2, 0), None);
    }
}
