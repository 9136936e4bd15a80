//! The laptop's stack in a real Docker, as `docker compose up` starts it, from images that stand in for
//! Docker Hub's. `make stack-test` makes and runs it: some minutes, as root.

#![allow(clippy::print_stdout, reason = "figures are for who runs it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use images::docker::docker;
use images::{read, root};
use serde_json::{Value, json};
use testkit::airflow::{Airflow, Release};
use testkit::http::request;
use testkit::process::{Finished, Program};
use testkit::venv::Venv;

const PROJECT: &str = "trimtab-test";

/// Installing a Debian, or starting a dozen containers on a machine that does something else too.
const LONG: Duration = Duration::from_secs(900);

/// What takes seconds on an idle machine.
const SHORT: Duration = Duration::from_secs(300);

const DAG: &str = "from airflow.sdk import dag, task

@dag(schedule=None)
def uploaded():
    @task
    def hello():
        return 'hello'

    hello()

uploaded()
";

#[test]
#[ignore = "needs a Docker daemon, debootstrap and root: make stack-test"]
fn the_stack_becomes_healthy_and_runs_what_was_uploaded() {
    make_images();
    let start = Instant::now();
    let stack = Stack::up();
    let states = stack.wait_until_healthy();
    let healthy = start.elapsed();
    println!(
        "{} containers, all healthy after {healthy:.1?}: {states:?}",
        states.len()
    );

    let upload = Instant::now();
    let url = format!(
        "http://{}/dags/laptop/uploaded.py",
        stack.address("moto", 5000)
    );
    request("PUT", &url, &[], DAG.as_bytes()).expect("moto takes the upload");
    let api = Api::login(&stack.address("api-server", 8080));
    testkit::until(SHORT, "Airflow to know the DAG", || {
        api.call(
            "PATCH",
            "/api/v2/dags/uploaded",
            &json!({"is_paused": false}),
        )
        .is_some()
    });
    println!(
        "the upload is a DAG of Airflow's after {:.1?}",
        upload.elapsed()
    );
    let run = api.call(
        "POST",
        "/api/v2/dags/uploaded/dagRuns",
        &json!({"logical_date": null}),
    );
    let run = run.expect("a run")["dag_run_id"].clone();
    let path = format!(
        "/api/v2/dags/uploaded/dagRuns/{}",
        run.as_str().unwrap_or_default()
    );
    let ended = testkit::until_some(SHORT, "the run to end", || {
        let state = api.call("GET", &path, &Value::Null)?["state"].clone();
        (state == "success" || state == "failed").then_some(state)
    });
    assert_eq!(ended, "success");
    println!(
        "its first run has ended well after {:.1?}",
        upload.elapsed()
    );

    let stop = Instant::now();
    for (name, code) in stack.stop() {
        assert_eq!(code, 0, "{name} after {:?}", stop.elapsed());
    }
    println!(
        "all have stopped, with exit 0, after {:.1?}",
        stop.elapsed()
    );
}

/// Those of Docker Hub by stand-ins, then Airflow's as users build it.
fn make_images() {
    let architecture = std::env::var("TRIMTAB_ARCHITECTURE").unwrap_or_else(|_| "amd64".to_owned());
    let moto = Venv::moto().expect("moto").python();
    let airflow = Airflow::of(Release::V3_1).bin();
    let flit = Venv::make("flit", &builder()).expect("flit").python();
    let environments = [
        moto.parent().and_then(std::path::Path::parent),
        airflow.parent(),
        flit.parent().and_then(std::path::Path::parent),
    ];
    let make = script("docker/stand-ins/make.sh")
        .arg(&architecture)
        .args(environments.into_iter().flatten());
    passes(&make.run(LONG));
    let build = script("docker/images.sh").args(["build-airflow", &architecture]);
    passes(
        &build
            .env("AIRFLOW_IMAGE", "apache/airflow:stand-in")
            .run(LONG),
    );
}

/// What builds the package of python/, as its pyproject.toml pins it.
fn builder() -> String {
    let project = read("python/pyproject.toml");
    let line = project.lines().find_map(|line| {
        let rest = line.strip_prefix("requires = [\"")?;
        rest.strip_suffix("\"]")
    });
    line.expect("one requirement to build with").to_owned() + "\n"
}

fn script(path: &str) -> Program {
    Program::new(root().join(path)).inherit(&["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"])
}

fn passes(done: &Finished) {
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
}

/// The containers; they are removed, with their volumes, when this is dropped.
struct Stack {
    file: tempfile::NamedTempFile,
}

impl Stack {
    /// Starts them, on free ports and with a longer grace. Older programs don't know the file's `name`.
    fn up() -> Stack {
        let text = read("docker/compose.yaml")
            .replace("\nname: trimtab\n", "\n")
            // A machine that does something else too needs longer than a laptop's.
            .replace("STOP_GRACE: 20s", "STOP_GRACE: 100s")
            .replace("127.0.0.1:5000:5000", "127.0.0.1::5000")
            .replace("127.0.0.1:8080:8080", "127.0.0.1::8080");
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
        std::fs::write(file.path(), text).expect("a file");
        let stack = Stack { file };
        passes(&stack.compose(&["up", "--detach", "--no-build"]));
        stack
    }

    fn compose(&self, words: &[&str]) -> Finished {
        let plugin = Program::new("/usr/bin/env")
            .args(["docker", "compose", "version"])
            .inherit(&["PATH", "HOME"])
            .run(SHORT);
        let program: &[&str] = match plugin.code {
            0 => &["docker", "compose"],
            _ => &["docker-compose"],
        };
        Program::new("/usr/bin/env")
            .args(program.iter().copied())
            .args(["--project-name", PROJECT, "--project-directory"])
            .arg(root().join("docker"))
            .arg("--file")
            .arg(self.file.path())
            .args(words.iter().copied())
            .inherit(&["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"])
            .run(LONG)
    }

    /// Each container's service and state, all but the one-off.
    fn states(&self) -> BTreeMap<String, String> {
        let filter = format!("label=com.docker.compose.project={PROJECT}");
        let format = "{{.Label \"com.docker.compose.service\"}}\t{{.ID}}\t{{.Status}}";
        let lines = docker(&["ps", "--all", "--filter", &filter, "--format", format]);
        let line = |line: &str| {
            let mut parts = line.split('\t').map(str::to_owned);
            let service = parts.next()?;
            Some((service, parts.collect::<Vec<_>>().join(" ")))
        };
        let mut states: BTreeMap<String, String> = lines.lines().filter_map(line).collect();
        states.remove("seed");
        states
    }

    fn wait_until_healthy(&self) -> BTreeMap<String, String> {
        testkit::until_some(SHORT, "every container to be healthy", || {
            let states = self.states();
            let ended = states.iter().find(|(_, state)| state.contains("Exited"));
            assert!(
                ended.is_none(),
                "{ended:?}\n{}",
                self.compose(&["logs", "--no-color"]).stdout
            );
            states
                .values()
                .all(|state| state.contains("(healthy)"))
                .then_some(states)
        })
    }

    /// Where the host reaches a service's port.
    fn address(&self, service: &str, port: u16) -> String {
        let answer = self.compose(&["port", service, &port.to_string()]);
        answer.stdout.trim().to_owned()
    }

    /// SIGTERM to all of ours, and what each ended with.
    fn stop(&self) -> Vec<(String, i64)> {
        let states = self.states().into_iter();
        let ours =
            states.filter(|(name, _)| !["postgres", "redis", "moto"].contains(&name.as_str()));
        let ours: Vec<(String, String)> = ours.collect();
        let words = ["stop", "--timeout", "120"].into_iter();
        let names = ours.iter().map(|(name, _)| name.as_str());
        passes(&self.compose(&words.chain(names).collect::<Vec<_>>()));
        let code = |state: &str| {
            let id = state.split(' ').next().unwrap_or_default();
            images::docker::inspect(id)["State"]["ExitCode"]
                .as_i64()
                .unwrap_or(-1)
        };
        ours.iter()
            .map(|(name, state)| (name.clone(), code(state)))
            .collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "5"]);
    }
}

/// Airflow's API.
struct Api {
    base: String,
    token: String,
}

impl Api {
    fn login(address: &str) -> Api {
        let mut api = Api {
            base: format!("http://{address}"),
            token: String::new(),
        };
        let user = json!({"username": "admin", "password": "admin"});
        api.token = testkit::until_some(SHORT, "a token", || {
            api.call("POST", "/auth/token", &user)?["access_token"]
                .as_str()
                .map(str::to_owned)
        });
        api
    }

    /// None where the answer is no success.
    fn call(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let token = format!("Bearer {}", self.token);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [
            ("content-type", "application/json"),
            ("authorization", token.as_str()),
        ];
        let url = format!("{}{}", self.base, path.replace('+', "%2B"));
        let answer = request(method, &url, &headers, body.as_bytes()).ok()?;
        let good = (200..300).contains(&answer.status);
        good.then(|| serde_json::from_slice(&answer.body).ok())?
    }
}
