//! `resolve` in a process of its own, because the SDK reads its variables from the process.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "not every test file uses all of it"
)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use agent::exit::Exit;
use clap::Parser as _;
use entrypoint::airflow::version::Version;
use entrypoint::failure::Failure;
use entrypoint::resolve;
use entrypoint::settings::Settings;
use entrypoint::variables::Variables;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::moto::Moto;
use testkit::process::Program;
use testkit::ssm::Front;

const TASK: &str = "RESOLVE_TEST_TASK";

/// What the process is to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Task {
    arguments: Vec<String>,
    airflow: Option<String>,
    variables: Vec<(String, String)>,
    deadline_ms: u64,
    copies: usize,
    refetch: bool,
    result: String,
    environment: Vec<(String, String)>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// 0 where it went well.
    pub code: u8,
    pub why: String,
    pub calls: usize,
    pub count: usize,
    /// All but AWS's own.
    pub variables: BTreeMap<String, String>,
    pub sources: BTreeMap<String, String>,
    /// What fetching again said.
    pub is_different: Option<bool>,
    pub seconds: f64,
}

impl Task {
    pub fn new(environment: Vec<(String, String)>) -> Self {
        Self {
            deadline_ms: 20_000,
            copies: 1,
            environment,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn airflow(mut self, version: &str) -> Self {
        self.airflow = Some(version.to_owned());
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline_ms = u64::try_from(deadline.as_millis()).unwrap();
        self
    }

    pub fn copies(mut self, copies: usize) -> Self {
        self.copies = copies;
        self
    }

    pub fn refetch(mut self) -> Self {
        self.refetch = true;
        self
    }

    pub fn run(self) -> Outcome {
        self.run_all().remove(0)
    }

    pub fn run_all(mut self) -> Vec<Outcome> {
        let directory = tempfile::tempdir().unwrap();
        let result = directory.path().join("result");
        self.result = result.to_str().unwrap().to_owned();
        let finished = Program::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "resolve_support::in_a_process_of_its_own",
                "--nocapture",
            ])
            .envs(self.environment.clone())
            .env(TASK, serde_json::to_string(&self).unwrap())
            .run(Duration::from_secs(60));
        assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
        serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap()
    }
}

impl Outcome {
    #[track_caller]
    pub fn expect(self, code: u8, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}", self.why);
        for part in parts {
            assert!(self.why.contains(part), "{part} is not in: {}", self.why);
        }
        assert!(!self.why.contains('\n'), "{}", self.why);
        self
    }

    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        assert_eq!(self.code, 0, "{}", self.why);
        self.variables.get(name).map_or("(unset)", String::as_str)
    }
}

/// moto with a front of the test's own.
pub fn front() -> (&'static str, Front) {
    let moto = Moto::shared().endpoint();
    (moto, Front::start(moto))
}

/// Does nothing but where [`Task::run`] starts it.
#[test]
fn in_a_process_of_its_own() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let task: Task = serde_json::from_str(&task).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let outcomes = local.block_on(&runtime, async {
        let copies = 0..task.copies;
        let running: Vec<_> = copies
            .map(|_| tokio::task::spawn_local(work(task.clone())))
            .collect();
        let mut outcomes = Vec::new();
        for one in running {
            outcomes.push(one.await.unwrap());
        }
        outcomes
    });
    std::fs::write(&task.result, serde_json::to_vec(&outcomes).unwrap()).unwrap();
}

async fn work(task: Task) -> Outcome {
    let words = ["entrypoint".to_owned()].into_iter().chain(task.arguments);
    let settings = Settings::try_parse_from(words).unwrap();
    let airflow: Option<Version> = task.airflow.map(|version| version.parse().ok().unwrap());
    let given = task.variables.iter().chain(&task.environment);
    let mut variables = Variables::from_pairs(given.map(|(name, value)| (name, value)));
    let started = Instant::now();
    let deadline = started + Duration::from_millis(task.deadline_ms);
    let resolved = resolve::resolve(&settings, airflow.as_ref(), &mut variables, deadline).await;
    let mut outcome = Outcome::default();
    match resolved {
        Ok(resolved) => {
            (outcome.calls, outcome.count) = (resolved.calls, resolved.variables);
            if task.refetch {
                let again = resolve::refetch(
                    &settings,
                    airflow.as_ref(),
                    &resolved,
                    &mut variables,
                    deadline,
                );
                outcome.is_different = Some(again.await.unwrap());
            }
        }
        Err(failure) => {
            let Failure { exit, why, .. } = failure;
            assert_ne!(exit, Exit::Done);
            (outcome.code, outcome.why) = (exit.code(), why);
        }
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    for (name, _) in &task.environment {
        variables.remove(name);
    }
    for name in variables.names() {
        let value = variables.raw(name).unwrap().to_str().unwrap();
        outcome.variables.insert(name.to_owned(), value.to_owned());
        outcome
            .sources
            .insert(name.to_owned(), variables.source(name).unwrap().to_string());
    }
    outcome
}
