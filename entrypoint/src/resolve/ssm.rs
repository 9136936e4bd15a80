//! Asking SSM: batches, pages, and one budget of tries for all calls of a run.

use super::reference::{Request, batches};
use super::trouble::{self, NameTrouble, Passing, Trouble};
use crate::failure::Failure;
use agent::aws::Timeouts;
use agent::exit::Exit;
use agent::settings::Environment;
use aws_config::retry::RetryConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How many names one `GetParameters` takes, and parameters one page of `GetParametersByPath` holds.
const BATCH: usize = 10;

/// A path with more pages than this has thousands of parameters, or an endpoint that never ends.
const PAGES: usize = 500;

/// A call that is not answered by then is made again; SSM answers within milliseconds.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    read: Duration::from_secs(5),
    attempt: Duration::from_secs(10),
};

/// The waits between tries. SSM lets about 40 calls a second through for an account, so that fifty
/// tasks that start together are all through in a few seconds; the waits grow for an account that is
/// busy with others.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often expired credentials are read again: a task role's are new by then, others never will be.
const RENEWALS: usize = 3;

/// SSM, with the budget of a run.
pub(super) struct Ssm {
    environment: Environment,
    client: Option<Client>,
    deadline: Instant,
    calls: usize,
    renewals: usize,
}

/// A parameter below a path.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) value: String,
}

/// Why a call gave nothing.
enum CallError {
    Name(NameTrouble),
    Run(Failure),
}

/// What was asked for by name: a value each, or why there is none.
pub(super) type Answers = BTreeMap<Request, Result<String, NameTrouble>>;

impl Ssm {
    /// Nothing is asked or read before the first call.
    pub(super) fn new(environment: Environment, deadline: std::time::Instant) -> Self {
        Self {
            environment,
            client: None,
            deadline: deadline.into(),
            calls: 0,
            renewals: 0,
        }
    }

    /// How many calls were made, those that were refused included.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Values by name, decrypted. A refusal that concerns a batch is broken down to its names, so that
    /// each one that is missing or forbidden is known.
    pub(super) async fn values(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<Answers, Failure> {
        let mut answers = Answers::new();
        for batch in batches(requests, BATCH) {
            match self.batch(&batch).await {
                Ok(found) => answers.extend(found),
                Err(CallError::Run(failure)) => return Err(failure),
                Err(CallError::Name(trouble)) => match &batch[..] {
                    [request] => {
                        answers.insert(request.clone(), Err(trouble));
                    }
                    _ => answers.extend(self.one_by_one(batch).await?),
                },
            }
        }
        Ok(answers)
    }

    /// All parameters below a path, decrypted, sorted by name.
    pub(super) async fn below(
        &mut self,
        path: &str,
        recursive: bool,
    ) -> Result<Result<Vec<Listed>, NameTrouble>, Failure> {
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let call = |client: &Client| {
                client
                    .get_parameters_by_path()
                    .path(if path.is_empty() { "/" } else { path })
                    .recursive(recursive)
                    .with_decryption(true)
                    .set_next_token(token.clone())
                    .send()
            };
            let page = match self.call(call).await {
                Ok(page) => page,
                Err(CallError::Name(trouble)) => return Ok(Err(trouble)),
                Err(CallError::Run(failure)) => return Err(failure),
            };
            let parameters = page.parameters.unwrap_or_default().into_iter();
            listed.extend(parameters.filter_map(|parameter| {
                Some(Listed {
                    name: parameter.name?,
                    value: parameter.value?,
                })
            }));
            // A page may be empty and yet not be the last one.
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                listed.sort_by(|one, other| one.name.cmp(&other.name));
                return Ok(Ok(listed));
            }
        }
        let why = format!("the listing does not end within {PAGES} pages");
        Ok(Err(NameTrouble::Unusable(why)))
    }

    async fn one_by_one(&mut self, batch: Vec<Request>) -> Result<Answers, Failure> {
        let mut answers = Answers::new();
        for request in batch {
            match self.batch(std::slice::from_ref(&request)).await {
                Ok(found) => answers.extend(found),
                Err(CallError::Run(failure)) => return Err(failure),
                Err(CallError::Name(trouble)) => {
                    answers.insert(request, Err(trouble));
                }
            }
        }
        Ok(answers)
    }

    async fn batch(&mut self, batch: &[Request]) -> Result<Answers, CallError> {
        let names: Vec<String> = batch.iter().map(Request::wire).collect();
        let call = |client: &Client| {
            client
                .get_parameters()
                .set_names(Some(names.clone()))
                .with_decryption(true)
                .send()
        };
        let found = self.call(call).await?.parameters.unwrap_or_default();
        let answer = |request: &Request| {
            let is_its = |parameter: &&aws_sdk_ssm::types::Parameter| {
                let (name, arn) = (parameter.name(), parameter.arn());
                request.is_answered_by(name.unwrap_or_default(), arn.unwrap_or_default())
            };
            let value = found
                .iter()
                .find(is_its)
                .and_then(|parameter| parameter.value.clone());
            (request.clone(), value.ok_or(NameTrouble::Missing))
        };
        Ok(batch.iter().map(answer).collect())
    }

    /// Makes a call until it is answered or the deadline is reached; at least once.
    async fn call<T, E, F>(&mut self, call: impl Fn(&Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let started = Instant::now();
        let mut waits = agent::backoff::backoff(FIRST_WAIT, LONGEST_WAIT, fastrand::u64(..));
        let mut waits_for: Option<Passing> = None;
        let mut tries = 0_usize;
        loop {
            let client = self.client().await.map_err(CallError::Run)?;
            self.calls += 1;
            tries += 1;
            // A deadline that has passed, or a wait of 0s, allows one try.
            let limit = match self.deadline > started {
                true => self.deadline,
                false => started + TIMEOUTS.attempt,
            };
            let trouble = match tokio::time::timeout_at(limit, Box::pin(call(&client))).await {
                Ok(Ok(output)) => {
                    if waits_for.is_some() {
                        info!(event = "ssm_answers", tries, "SSM answers again");
                    }
                    return Ok(output);
                }
                Ok(Err(error)) => trouble::of(&error),
                Err(_) => Trouble::Again(
                    Passing::Unreachable,
                    "SSM does not answer (no answer in time)".to_owned(),
                ),
            };
            let (passing, why) = match trouble {
                Trouble::Name(trouble) => return Err(CallError::Name(trouble)),
                Trouble::End(exit, why) => return Err(CallError::Run(Failure::new(exit, why))),
                Trouble::Again(passing, why) => (passing, why),
            };
            let is_hopeless = passing == Passing::Expired && self.renew();
            let wait = waits.next().unwrap_or(LONGEST_WAIT);
            if is_hopeless || Instant::now() + wait >= self.deadline {
                return Err(CallError::Run(self.gave_up(passing, &why, tries, started)));
            }
            if waits_for != Some(passing) {
                warn!(event = "ssm_waits", cause = %why, "waiting for SSM");
                waits_for = Some(passing);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Has credentials read anew with the next call; whether that was tried often enough.
    fn renew(&mut self) -> bool {
        self.client = None;
        self.renewals += 1;
        self.renewals > RENEWALS
    }

    async fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let config = agent::aws::config_with(&self.environment, TIMEOUTS)
            .await
            .map_err(|why| Failure::new(Exit::Usage, why))?;
        // The SDK's own retries would be in the way of one budget, and end after seconds.
        let config = aws_sdk_ssm::config::Builder::from(&config)
            .retry_config(RetryConfig::disabled())
            .build();
        Ok(self.client.insert(Client::from_conf(config)).clone())
    }

    fn gave_up(&self, passing: Passing, why: &str, tries: usize, started: Instant) -> Failure {
        let fix = match passing {
            Passing::Throttled => {
                "raise ENTRYPOINT_WAIT_TIMEOUT, or SSM's throughput in the account's settings".to_owned()
            }
            Passing::Expired => "renew the credentials, or use the task role".to_owned(),
            Passing::Unreachable => match self.environment.value("AWS_ENDPOINT_URL_SSM").or(self.environment.value("AWS_ENDPOINT_URL")) {
                Some(_) => "check AWS_ENDPOINT_URL_SSM (or AWS_ENDPOINT_URL) and that it can be reached from here".to_owned(),
                None => "check the route to SSM (the VPC endpoint ssm, its security group, private DNS) and AWS_REGION".to_owned(),
            },
        };
        let seconds = started.elapsed().as_secs_f64();
        let times = if tries == 1 {
            "once".to_owned()
        } else {
            format!("{tries} times")
        };
        Failure::new(
            Exit::Unavailable,
            format!("{why}, tried {times} in {seconds:.1} s: {fix}"),
        )
    }
}
