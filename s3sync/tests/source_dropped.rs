//! A fetch that nobody waits for any more leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod source_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use source_support::{PART, Tally, fetch, noise, object, opener, source, until};
use testkit::s3::{Fault, Operation, Rule, Server};

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_no_sink_and_no_permit_behind() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for size in [100, 3 * PART as usize] {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        let tally = Arc::new(Tally::default());
        s3.reset_requests();
        s3.faults()
            .replace([Rule::new(Fault::HangAfter(50)).on(Operation::Get)]);
        let open = opener(&tally, None);
        let (there, asked) = (source.clone(), object.clone());
        let fetching =
            tokio::spawn(
                async move { there.fetch(&asked, open).await.map(|fetched| fetched.proof) },
            );
        until("it hangs", || {
            s3.count(Operation::Get) >= 1
                && (size == 100 || tally.written.load(Ordering::SeqCst) == 50)
        })
        .await;
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        until("the sink is dropped", || tally.open() == 0).await;
        assert_eq!(tally.finished(), 0);
        s3.faults().clear();
        // More at once than there are permits: none was lost.
        for _ in 0..3 {
            fetch(&source, &object).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_fetch_that_is_dropped_while_it_is_written_is_not_finished() {
    let s3 = Server::start().await;
    let source = source(&s3.endpoint(), "s3://bucket/");
    for size in [100, 3 * PART as usize] {
        s3.put("bucket", "x", noise(size, 1));
        let object = object(&source, "x").await;
        let tally = Arc::new(Tally::default());
        let (opening, opened) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel();
        let mut open = opener(&tally, None);
        let there = source.clone();
        let fetching = tokio::spawn(async move {
            let slow = move || {
                let sink = open();
                opening.send(()).unwrap();
                released.recv().unwrap();
                sink
            };
            there
                .fetch(&object, slow)
                .await
                .map(|fetched| fetched.proof)
        });
        until("the sink is opened", || opened.try_recv().is_ok()).await;
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        release.send(()).unwrap();
        until("the sink is dropped", || tally.open() == 0).await;
        assert_eq!(tally.finished(), 0, "{size}");
    }
}
