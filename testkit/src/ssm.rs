//! Parameters and secrets in moto, and a front before it that refuses, stalls and counts.
//!
//! What the front lets through is answered by moto, so that moto stays the judge.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::front;
use crate::http as client;

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GetParameters` or another.
    pub operation: String,
    /// Its input.
    pub input: Value,
    /// Which call of the front's life it is, from 0.
    pub number: usize,
    /// When it came.
    pub at: Instant,
}

impl Call {
    /// The names that are asked for.
    pub fn names(&self) -> Vec<&str> {
        let names = self.input["Names"].as_array();
        names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Whether a name is among those that are asked for.
    pub fn asks_for(&self, name: &str) -> bool {
        self.names().contains(&name)
    }
}

/// What the front does with a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// moto answers.
    Pass,
    /// An error: status, code and message.
    Refuse(u16, &'static str, &'static str),
    /// An answer of its own.
    Answer(Value),
    /// No answer for so long, and then none.
    Silence(Duration),
}

impl Reply {
    /// What SSM answers when it is asked too often.
    pub fn throttled() -> Self {
        Self::Refuse(400, "ThrottlingException", "Rate exceeded")
    }

    /// What SSM answers to a role that lacks the permission.
    pub fn denied() -> Self {
        let message = "User: arn:aws:sts::123456789012:assumed-role/task/1 is not authorized to perform: ssm:GetParameters because no identity-based policy allows the ssm:GetParameters action";
        Self::Refuse(400, "AccessDeniedException", message)
    }

    /// What SSM answers when KMS refuses to decrypt.
    pub fn key_denied() -> Self {
        let message = "User: arn:aws:sts::123456789012:assumed-role/task/1 is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because no identity-based policy allows the kms:Decrypt action";
        Self::Refuse(400, "AccessDeniedException", message)
    }

    /// What SSM answers to credentials that were good once.
    pub fn expired() -> Self {
        Self::Refuse(
            400,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        )
    }
}

type Rule = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

struct State {
    moto: String,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
}

/// A running front; it ends when this is dropped.
pub struct Front {
    server: front::Front,
    state: Arc<State>,
}

impl Front {
    /// Starts in front of a moto, given by its endpoint, and lets all calls through.
    ///
    /// # Panics
    /// When no socket can be bound, or no thread started.
    pub fn start(moto: &str) -> Self {
        match Self::try_start(moto.to_owned()) {
            Ok(front) => front,
            Err(error) => panic!("the front of SSM cannot be started: {error:#}"),
        }
    }

    /// Decides from now on.
    pub fn decide(&self, rule: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        *lock(&self.state.rule) = Arc::new(rule);
    }

    /// All calls so far, those that were refused included.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// What a client's environment needs to find it, and nothing else of the machine's.
    pub fn environment(&self) -> Vec<(String, String)> {
        crate::s3::client_environment(&self.endpoint(), "us-east-1")
    }

    fn try_start(moto: String) -> anyhow::Result<Self> {
        let state = Arc::new(State {
            moto,
            rule: Mutex::new(Arc::new(|_| Reply::Pass)),
            calls: Mutex::default(),
        });
        let shared = state.clone();
        let server =
            front::Front::start("ssm-front", move |request| answer(shared.clone(), request))?;
        Ok(Self { server, state })
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Front({})", self.server.endpoint())
    }
}

/// Puts a parameter of the type `SecureString`, over one that is there.
///
/// # Panics
/// When moto refuses.
pub fn put(moto: &str, name: &str, value: &str) {
    let input = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
    called(moto, "ssm", "AmazonSSM.PutParameter", &input);
}

/// Makes a secret.
///
/// # Panics
/// When moto refuses.
pub fn put_secret(moto: &str, name: &str, value: &str) {
    let input = json!({"Name": name, "SecretString": value});
    called(
        moto,
        "secretsmanager",
        "secretsmanager.CreateSecret",
        &input,
    );
}

fn called(moto: &str, service: &str, target: &str, input: &Value) {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
        ("authorization", authorization.as_str()),
    ];
    match client::request("POST", moto, &headers, input.to_string().as_bytes()) {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => panic!("moto: {target}: {}: {}", answer.status, answer.text()),
        Err(error) => panic!("moto: {target}: {error:#}"),
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let target = header("x-amz-target");
    let call = {
        let mut calls = lock(&state.calls);
        let call = Call {
            operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
            input: serde_json::from_slice(&body).unwrap_or_default(),
            number: calls.len(),
            at: Instant::now(),
        };
        calls.push(call.clone());
        call
    };
    let rule = lock(&state.rule).clone();
    match rule(&call) {
        Reply::Refuse(status, code, message) => {
            let body = json!({"__type": code, "message": message}).to_string();
            respond(status, body.into())
        }
        Reply::Answer(value) => respond(200, value.to_string().into()),
        Reply::Silence(time) => {
            tokio::time::sleep(time).await;
            anyhow::bail!("silence")
        }
        Reply::Pass => {
            let (content_type, authorization) = (header("content-type"), header("authorization"));
            let passed = tokio::task::spawn_blocking(move || {
                let headers = [
                    ("content-type", content_type.as_str()),
                    ("x-amz-target", target.as_str()),
                    ("authorization", authorization.as_str()),
                ];
                client::request("POST", &state.moto, &headers, &body)
            });
            match passed.await? {
                Ok(answer) => respond(answer.status, answer.body.into()),
                Err(error) => respond(502, format!("{error:#}").into()),
            }
        }
    }
}

fn respond(status: u16, body: Bytes) -> anyhow::Result<Response<Full<Bytes>>> {
    let response = Response::builder()
        .status(StatusCode::from_u16(status)?)
        .header("content-type", "application/x-amz-json-1.1");
    Ok(response.body(Full::from(body))?)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
