//! moto: another project's AWS, so that not only one reading of the documents is tested against.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::http::{self, Answer, encode_path};
use crate::process::{Process, Program};
use crate::venv::Venv;

/// Importing moto takes a second on an idle machine, and a minute on one that is building.
const START: Duration = Duration::from_secs(120);

/// A running moto server; it ends when this is dropped, and when the test's process does.
#[derive(Debug)]
pub struct Moto {
    // Held for its drop, and for its standard input: moto ends when that closes.
    _process: Process,
    venv: Venv,
    endpoint: String,
}

/// Statistics of one metric, over all that was put.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its dimensions, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// How many values there are.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
}

impl Moto {
    /// One server for all tests of this process, for those that keep to buckets and names of their
    /// own.
    ///
    /// # Panics
    /// As [`Moto::start`].
    pub fn shared() -> &'static Moto {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Moto::start)
    }

    /// Starts a server of its own; the first call on a machine installs it.
    ///
    /// # Panics
    /// When it cannot be installed or started.
    pub fn start() -> Moto {
        match Moto::try_start() {
            Ok(moto) => moto,
            Err(error) => panic!("moto: {error:#}"),
        }
    }

    fn try_start() -> anyhow::Result<Moto> {
        let venv = Venv::moto()?;
        let process = Program::new(venv.python())
            .args(["-c", include_str!("moto/server.py")])
            .inherit(&["PATH", "HOME", "LANG"])
            .with_stdin()
            .spawn();
        let line = process
            .wait_for(|line| line.starts_with("port="), START)
            .text;
        let port = line.strip_prefix("port=").context("no port")?;
        let endpoint = format!("http://127.0.0.1:{port}");
        Ok(Moto {
            _process: process,
            venv,
            endpoint,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a client's environment needs to find it, and nothing else of the machine's.
    pub fn environment(&self) -> Vec<(String, String)> {
        crate::s3::client_environment(&self.endpoint, "us-east-1")
    }

    /// Forgets everything, of all services.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn reset(&self) {
        self.expect("POST", "/moto-api/reset", b"");
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn create_bucket(&self, bucket: &str) {
        self.expect("PUT", &format!("/{bucket}"), b"");
    }

    /// Puts an object.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn put(&self, bucket: &str, key: &str, data: &[u8]) {
        self.expect("PUT", &format!("/{bucket}/{}", encode_path(key)), data);
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.expect("DELETE", &format!("/{bucket}/{}", encode_path(key)), b"");
    }

    /// The keys of a bucket that begin with the prefix.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let script = "import boto3, json, sys\n\
            pages = boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1], Prefix=sys.argv[2])\n\
            print(json.dumps([o['Key'] for page in pages for o in page.get('Contents', [])]))";
        self.json(script, &[bucket, prefix])
    }

    /// What the metrics of a namespace add up to, sorted by name and dimensions.
    ///
    /// # Panics
    /// When moto refuses.
    pub fn metrics(&self, namespace: &str) -> Vec<Metric> {
        self.json(include_str!("moto/metrics.py"), &[namespace])
    }

    /// Runs a Python script with boto3 against it; what the script prints is read as JSON.
    ///
    /// # Panics
    /// When the script fails or prints something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, script: &str, arguments: &[&str]) -> T {
        let text = self.python(script, arguments);
        match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("the script printed what was not expected: {error}\n{text}"),
        }
    }

    /// Runs a Python script with boto3 against it; returns what the script prints.
    ///
    /// # Panics
    /// When the script fails.
    pub fn python(&self, script: &str, arguments: &[&str]) -> String {
        let finished = Program::new(self.venv.python())
            .args(["-c", script])
            .args(arguments.iter().copied())
            .inherit(&["PATH", "HOME"])
            .envs(self.environment())
            .env("PYTHONIOENCODING", "utf-8")
            .run(START);
        assert_eq!(finished.code, 0, "the script failed:\n{}", finished.stderr);
        finished.stdout
    }

    fn expect(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        match self.try_request(method, path, body) {
            Ok(answer) => answer,
            Err(error) => panic!("moto: {method} {path}: {error:#}"),
        }
    }

    fn try_request(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let headers = [(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
        )];
        let answer = http::request(method, &format!("{}{path}", self.endpoint), &headers, body)?;
        match answer.status {
            200..300 => Ok(answer),
            status => bail!("{status}: {}", answer.text()),
        }
    }
}
