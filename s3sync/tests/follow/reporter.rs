//! The pace of reports, at a thousandth of its times: renewed, given up, and left to others.

use crate::source_support::source;
use crate::support::DEADLINE;
use s3sync::release::Report;
use s3sync::reporter::{Pace, Reporter};
use std::time::{Duration, Instant};
use testkit::s3::{Fault, Operation, Rule, Server};

const KEY: &str = "site/.s3sync/reports/prod.json";
const PACE: Pace = Pace {
    repeat: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    retry: Duration::from_millis(20),
    longest_retry: Duration::from_millis(100),
    life: Duration::from_millis(800),
};

fn report(revision: &str) -> Report {
    Report {
        schema: Report::schema(),
        environment: "prod".into(),
        service: "s3sync".into(),
        source: "s3://bucket/dags/".into(),
        revision: revision.into(),
        release: None,
        generation: None,
        landed: "2026-11-21T09:30:00Z".into(),
        updated: String::new(),
        held_deletes: None,
        rejected: Vec::new(),
        failed: Vec::new(),
        reason: None,
        version: "1".into(),
    }
}

fn alive(reporter: &Reporter) {
    reporter.sign_of_life(Instant::now().into());
}

/// Waits for something of a task of this thread.
async fn until(what: &str, mut fits: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !fits() {
        assert!(begun.elapsed() < DEADLINE, "no {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn written(s3: &Server) -> Vec<Report> {
    let versions = s3.history("bucket", KEY).into_iter();
    versions
        .map(|bytes| Report::parse(&bytes).unwrap())
        .collect()
}

/// A writer whose file system hangs, or that was frozen, may have been followed by another, whose report
/// it must not overwrite with what it knew.
#[tokio::test]
async fn a_report_is_renewed_for_as_long_as_its_writer_gives_signs_of_life() {
    let s3 = Server::start().await;
    s3.create_bucket("bucket");
    let reporter = Reporter::start(source(&s3.endpoint(), "s3://bucket/site"), PACE);
    let silent = |count: usize| {
        let s3 = &s3;
        async move {
            tokio::time::sleep(4 * PACE.repeat).await;
            assert_eq!(written(s3).len(), count);
        }
    };
    reporter.tell(report("a"));
    silent(0).await;
    until("renewals", || {
        alive(&reporter);
        written(&s3).len() > 3
    })
    .await;
    let renewed = written(&s3);
    for pair in renewed.windows(2) {
        assert!(pair[0].updated < pair[1].updated, "{pair:?}");
        let updated = pair[1].updated.clone();
        assert_eq!(
            Report {
                updated,
                ..pair[0].clone()
            },
            pair[1]
        );
    }

    tokio::time::sleep(PACE.life + PACE.repeat).await;
    let count = written(&s3).len();
    reporter.tell(report("b"));
    silent(count).await;
    alive(&reporter);
    until("the news", || written(&s3).last().unwrap().revision == "b").await;

    reporter.fall_silent();
    tokio::time::sleep(PACE.repeat).await;
    let count = written(&s3).len();
    alive(&reporter);
    silent(count).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_given_up_named_and_asked_again() {
    let s3 = Server::start().await;
    s3.create_bucket("bucket");
    let hang = s3.faults().add(Rule::new(Fault::Hang).on(Operation::Put));
    let reporter = Reporter::start(source(&s3.endpoint(), "s3://bucket/site"), PACE);
    reporter.tell(report("a"));
    until("trouble", || {
        alive(&reporter);
        reporter.trouble().is_some()
    })
    .await;
    let why = reporter.trouble().unwrap();
    for words in ["the report cannot be written", KEY, "no answer within 1 s"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    s3.faults().remove(hang);
    until("the report", || {
        alive(&reporter);
        written(&s3).last().is_some_and(|last| last.revision == "a")
    })
    .await;
    until("no trouble", || reporter.trouble().is_none()).await;
}
