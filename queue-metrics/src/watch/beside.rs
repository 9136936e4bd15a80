//! The database is asked by a task of its own: one that hangs holds no sample of the broker up.

use crate::broker::Failure;
use crate::witness::{Counts, Witness};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The newest answer of the database.
#[derive(Debug)]
pub(super) struct Beside {
    asked: Arc<Notify>,
    answers: watch::Receiver<Option<Answer>>,
    /// An older answer is none.
    lasts: Duration,
}

#[derive(Clone, Debug)]
struct Answer {
    at: Instant,
    result: Result<Counts, Failure>,
}

impl Beside {
    /// Starts the task, which ends with this. Each question has `limit`.
    pub(super) fn start(mut witness: Witness, limit: Duration, interval: Duration) -> Self {
        let (answer, answers) = watch::channel(None);
        let asked = Arc::new(Notify::new());
        let wanted = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = wanted.notified() => {}
                    () = answer.closed() => return,
                }
                let result = witness.read(limit).await;
                let at = Instant::now();
                answer.send_replace(Some(Answer { at, result }));
            }
        });
        Self {
            asked,
            answers,
            lasts: limit + 2 * interval,
        }
    }

    /// Asks, waits for at most `patience`, and returns the newest answer, this one's or the one before.
    pub(super) async fn counts(&mut self, patience: Duration) -> Result<Counts, Failure> {
        self.answers.mark_unchanged();
        self.asked.notify_one();
        let _ = tokio::time::timeout(patience, self.answers.changed()).await;
        let newest = self.answers.borrow();
        match &*newest {
            Some(answer) if answer.at.elapsed() <= self.lasts => answer.result.clone(),
            _ => Err(Failure {
                exit: agent::exit::Exit::Unavailable,
                why: "the database has not answered yet".to_owned(),
            }),
        }
    }
}
