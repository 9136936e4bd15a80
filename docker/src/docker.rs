//! Images and containers of a Docker daemon, by the `docker` program.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::process::{Finished, Program};

/// For the daemon's own work; what runs in a container has deadlines of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// One call of `docker`; it must end well.
///
/// # Panics
/// When it does not.
pub fn docker(arguments: &[&str]) -> String {
    let done = call(arguments, PATIENCE);
    assert_eq!(
        done.code,
        0,
        "docker {}: {}",
        arguments.join(" "),
        done.stderr
    );
    done.stdout
}

fn call(arguments: &[&str], deadline: Duration) -> Finished {
    Program::new("/usr/bin/env")
        .arg("docker")
        .args(arguments.iter().copied())
        .inherit(&["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"])
        .run(deadline)
}

/// What `docker inspect` says of an image or a container.
///
/// # Panics
/// When there is none of that name.
pub fn inspect(name: &str) -> Value {
    let text = docker(&["inspect", name]);
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    value[0].clone()
}

/// How a container is run, always as ECS should: user 50000:0, a read-only root, no capability.
#[derive(Clone, Debug, Default)]
pub struct Run {
    image: String,
    options: Vec<String>,
    command: Vec<String>,
}

impl Run {
    /// A container of that image, on the host's network.
    pub fn of(image: &str) -> Run {
        let strict = [
            "--network=host",
            "--user=50000:0",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
        ];
        Run {
            image: image.to_owned(),
            options: strict.map(str::to_owned).to_vec(),
            command: Vec::new(),
        }
    }

    /// One more option of `docker run`.
    pub fn option(mut self, option: impl Into<String>) -> Run {
        self.options.push(option.into());
        self
    }

    /// One more variable.
    pub fn variable(self, name: &str, value: &str) -> Run {
        self.option(format!("--env={name}={value}"))
    }

    /// More variables.
    pub fn variables(self, pairs: Vec<(String, String)>) -> Run {
        let set = |run: Run, (name, value): (String, String)| run.variable(&name, &value);
        pairs.into_iter().fold(self, set)
    }

    /// Its command.
    pub fn command(mut self, words: &[&str]) -> Run {
        self.command = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Runs to the end.
    pub fn finish(self, deadline: Duration) -> Finished {
        let words = self.words(&["run", "--rm"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        call(&words, deadline)
    }

    /// Starts it.
    pub fn start(self) -> Container {
        let words = self.words(&["run", "--detach"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Container {
            id: docker(&words).trim().to_owned(),
        }
    }

    fn words(&self, first: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = first.iter().map(|&word| word.to_owned()).collect();
        words.extend(self.options.iter().cloned());
        words.push(self.image.clone());
        words.extend(self.command.iter().cloned());
        words
    }
}

/// A container that runs; it is removed when this is dropped.
#[derive(Debug)]
pub struct Container {
    id: String,
}

impl Container {
    /// Waits until the image's own health check holds.
    ///
    /// # Panics
    /// When it ends, or stays unhealthy past the deadline.
    pub fn wait_until_healthy(&self, deadline: Duration) {
        let start = Instant::now();
        loop {
            let state = inspect(&self.id)["State"].clone();
            match state["Health"]["Status"].as_str() {
                Some("healthy") => return,
                status => assert!(
                    state["Running"] == true && start.elapsed() < deadline,
                    "it is not healthy but {status:?} after {:?}:\n{state}\n{}",
                    start.elapsed(),
                    self.log()
                ),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What it wrote, both streams.
    pub fn log(&self) -> String {
        let done = call(&["logs", &self.id], PATIENCE);
        done.stdout + &done.stderr
    }

    /// Carries out a program in it, and says with what it ended.
    pub fn execute(&self, words: &[&str]) -> Finished {
        call(&[&["exec", &self.id], words].concat(), PATIENCE)
    }

    /// SIGTERM, and what it ends with: 137 where it had to be killed after 15 s.
    pub fn stop(&self) -> i64 {
        docker(&["stop", "--time=15", &self.id]);
        let code = inspect(&self.id)["State"]["ExitCode"].as_i64();
        code.unwrap_or(-1)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        call(&["rm", "--force", "--volumes", &self.id], PATIENCE);
    }
}
