//! The one question, by what the table of this Airflow has, and what its answer says.

use crate::demand::Database;
use agent::postgres::{ConnectError, Reason};
use std::collections::HashMap;
use std::time::Duration;

/// What the table has, by the release of Airflow that made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Whether a task can name its executor, as from Airflow 2.10 on.
    executor: bool,
}

impl Columns {
    /// Its answer is one row where there is the column, and none also where there is no table.
    pub(super) const QUESTION: &str = "SELECT 1 FROM pg_catalog.pg_attribute \
        WHERE attrelid = pg_catalog.to_regclass('task_instance') \
        AND attname = 'executor' AND NOT attisdropped";

    pub(super) fn of(answer: &[Vec<String>]) -> Self {
        let executor = !answer.is_empty();
        Self { executor }
    }
}

/// Which tasks count.
#[derive(Clone, Debug)]
pub(super) struct Question {
    of_name: HashMap<String, usize>,
    count: usize,
    celery_first: bool,
}

impl Question {
    pub(super) fn new(executors: Option<&str>, queues: impl IntoIterator<Item = String>) -> Self {
        let mut of_name = HashMap::new();
        let mut count = 0;
        for queue in queues {
            of_name.insert(queue, count);
            count += 1;
        }
        Self {
            of_name,
            count,
            celery_first: celery_first(executors),
        }
    }

    /// The statement. The server itself gives up shortly before `timeout`: it would go on with the work
    /// of who hung up. So that a pooler keeps no trace of it, the limit is for this transaction alone.
    ///
    /// | tasks that name | Celery's executor is the default | is another than the default |
    /// |---|---|---|
    /// | no executor | count | do not |
    /// | one with `celery` in its name | count | count |
    /// | another | do not | do not |
    pub(super) fn sql(&self, columns: Columns, timeout: Duration) -> String {
        let executor = match (columns.executor, self.celery_first) {
            (false, _) => "",
            (true, true) => " AND (executor IS NULL OR executor ILIKE '%celery%')",
            (true, false) => " AND executor ILIKE '%celery%'",
        };
        let limit = (timeout / 5 * 4).as_millis().max(1);
        format!(
            "SET LOCAL statement_timeout = {limit}; \
            SELECT queue, state, count(*) FROM task_instance \
            WHERE state IN ('queued', 'running'){executor} GROUP BY queue, state"
        )
    }

    /// What the rows come to. No row is nothing queued and nothing running.
    pub(super) fn counts(&self, rows: &[Vec<String>]) -> Result<super::Counts, ConnectError> {
        let mut counts = super::Counts {
            queues: vec![Database::default(); self.count],
            ..super::Counts::default()
        };
        for row in rows {
            let [queue, state, number] = &row[..] else {
                return Err(odd());
            };
            let number: u64 = number.parse().map_err(|_| odd())?;
            let place = match self.of_name.get(queue) {
                Some(&at) => &mut counts.queues[at],
                None => &mut counts.elsewhere,
            };
            match state.as_str() {
                "queued" => place.queued += number,
                "running" => place.running += number,
                _ => return Err(odd()),
            }
        }
        Ok(counts)
    }
}

fn odd() -> ConnectError {
    ConnectError {
        reason: Reason::Protocol,
        why: "the count of task instances was answered with something unknown".to_owned(),
    }
}

/// Whether a task that names no executor is Celery's, by `AIRFLOW__CORE__EXECUTOR`: a name, a path, or
/// several with commas, each perhaps `ALIAS:PATH`. A sidecar may not be told; then it is, because who
/// asks runs Celery.
fn celery_first(executors: Option<&str>) -> bool {
    let first = executors.and_then(|all| all.split(',').next());
    match first.map(str::trim) {
        None | Some("") => true,
        Some(first) => first.to_ascii_lowercase().contains("celery"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[[&str; 3]]) -> Vec<Vec<String>> {
        let text = |row: &[&str; 3]| row.map(str::to_owned).to_vec();
        rows.iter().map(text).collect()
    }

    #[test]
    fn each_queue_gets_its_own_and_the_rest_is_elsewhere() {
        let names = ["b", "a"].map(str::to_owned);
        let question = Question::new(None, names);
        let counts = question
            .counts(&rows(&[
                ["a", "queued", "3"],
                ["b", "running", "2"],
                ["b", "queued", "1"],
                ["c", "queued", "5"],
                ["d", "running", "7"],
            ]))
            .expect("counts");
        let of = |queued, running| Database { queued, running };
        assert_eq!(counts.queues, [of(1, 2), of(3, 0)]);
        assert_eq!(counts.elsewhere, of(5, 7));
        assert_eq!(counts.sum(), of(4, 2));
        assert_eq!(
            question.counts(&[]).expect("counts").sum(),
            Database::default()
        );
    }

    #[test]
    fn an_answer_that_is_none_is_never_a_zero() {
        let question = Question::new(None, ["a".to_owned()]);
        for row in [["a", "queued", "x"], ["a", "lost", "1"]] {
            assert!(question.counts(&rows(&[row])).is_err(), "{row:?}");
        }
        assert!(question.counts(&[vec!["a".to_owned()]]).is_err());
    }

    #[test]
    fn tasks_without_an_executor_are_the_first_ones() {
        for (executors, celery) in [
            (None, true),
            (Some(""), true),
            (Some("CeleryExecutor"), true),
            (Some("CeleryExecutor,LocalExecutor"), true),
            (Some("LocalExecutor, CeleryExecutor"), false),
            (Some("own:my.celery_like.Executor"), true),
            (Some("CeleryKubernetesExecutor"), true),
            (Some("KubernetesExecutor"), false),
        ] {
            assert_eq!(celery_first(executors), celery, "{executors:?}");
        }
    }
}
