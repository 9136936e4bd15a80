//! From settings to an exit code: the wiring of a run.

use crate::inspect::{self, Answer};
use crate::once;
use crate::publish;
use crate::reporter::check_environment;
use crate::session::{Ending, Surroundings};
use crate::settings::{self, Checksums, Command, Settings, Transfer};
use crate::watch;
use agent::exit::Exit;
use agent::metrics::{Metrics, Sink};
use agent::settings::{Environment, MetricsSettings, Refusal, StatusSettings};
use agent::shutdown::Shutdown;
use agent::status::Status;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tracing::{error, warn};

/// From the first signal to the end, whatever hangs: shorter than ECS's default `stopTimeout` of 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Exit {
    let parsed = match agent::settings::parse::<Settings>(settings::PREFIX, args, &environment) {
        Ok(parsed) => parsed,
        Err(Refusal::Help(text)) => return print(&text, Exit::Done),
        Err(Refusal::Usage(why)) => return refuse(&why),
    };
    let command = parsed.settings.command;
    if let Err(why) = check(&command) {
        return refuse(&why);
    }
    let logs = match agent::logs::start(&environment, std::io::stderr().is_terminal()) {
        Ok(logs) => logs,
        Err(why) => return refuse(&why),
    };
    agent::logs::report_panics();
    for warning in parsed.warnings {
        warn!(warning, event = "settings", "a setting is odd");
    }
    // The modes that were asked for are meant as they are.
    rustix::process::umask(rustix::fs::Mode::empty());
    let exit = match Shutdown::install(GRACE) {
        Ok(shutdown) => begin(&command, environment, shutdown),
        Err(why) => end(Ending::new(
            Exit::Internal,
            format!("signals cannot be handled: {why}"),
        )),
    };
    drop(logs);
    exit
}

/// What clap cannot say of options that do not go together.
fn check(command: &Command) -> Result<(), String> {
    let answers_on_stdout = |metrics: &MetricsSettings| match metrics.metrics {
        Sink::Emf => Err(
            "--metrics emf writes to stdout, where this command answers: choose cloudwatch or none"
                .to_string(),
        ),
        _ => Ok(()),
    };
    let lives_on = |metrics: &MetricsSettings| match metrics.metrics {
        Sink::Prometheus => Err(
            "--metrics prometheus is for watch: this command ends before anybody asks it"
                .to_string(),
        ),
        _ => Ok(()),
    };
    match command {
        Command::Once(once) => {
            answers_on_stdout(&once.metrics).and_then(|()| lives_on(&once.metrics))
        }
        Command::Plan(plan) | Command::Verify(plan) => {
            answers_on_stdout(&plan.metrics).and_then(|()| lives_on(&plan.metrics))
        }
        Command::Watch(watch) if watch.report.is_some() => {
            check_environment(&watch.metrics.environment)
        }
        Command::Watch(_)
        | Command::Digest(_)
        | Command::Approve(_)
        | Command::Publish(_)
        | Command::Releases(_)
        | Command::Rollback(_)
        | Command::Prune(_)
        | Command::Wait(_) => Ok(()),
    }
}

fn begin(command: &Command, environment: Environment, shutdown: Shutdown) -> Exit {
    if let Command::Digest(settings) = command {
        return answer(inspect::digest(settings));
    }
    let status = match status(command) {
        Ok(status) => status,
        Err(why) => return end(Ending::new(Exit::Destination, why)),
    };
    // One thread for S3; the file system has threads of its own, which may hang.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(5))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => return end(Ending::new(Exit::Internal, format!("no runtime: {why}"))),
    };
    let exit = runtime.block_on(act(command, environment, shutdown, status.clone()));
    status.finish();
    // A file system that hangs must not keep the process.
    runtime.shutdown_background();
    exit
}

/// Only long runs have a status file.
fn status(command: &Command) -> Result<Status, String> {
    let start = |settings: &StatusSettings| {
        Status::start(
            "s3sync",
            env!("CARGO_PKG_VERSION"),
            settings.status_file.clone(),
        )
    };
    match command {
        Command::Watch(watch) => start(&watch.status),
        Command::Once(once) if once.status.status_file.is_some() => start(&once.status),
        _ => Ok(Status::disabled()),
    }
}

async fn act(
    command: &Command,
    environment: Environment,
    shutdown: Shutdown,
    status: Status,
) -> Exit {
    let sdk = tokio::select! {
        sdk = agent::aws::config(&environment) => sdk,
        () = shutdown.wait() => return Exit::Done,
    };
    let sdk = match sdk {
        Ok(sdk) => sdk,
        Err(why) => return end(Ending::new(Exit::Usage, why)),
    };
    let around = Surroundings {
        environment,
        shutdown,
        status,
        sdk,
    };
    match command {
        Command::Watch(settings) => match metrics(&settings.metrics, &around) {
            Ok(metrics) => match watch::watch(settings, &around, metrics).await {
                Ok(()) => Exit::Done,
                Err(ending) => end(ending),
            },
            Err(ending) => end(ending),
        },
        Command::Once(settings) => match metrics(&settings.metrics, &around) {
            Ok(metrics) => match once::once(settings, &around, metrics).await {
                Ok(Some(report)) if settings::is_json(&settings.output) => {
                    print(&(report.json() + "\n"), report.exit())
                }
                Ok(Some(report)) => print(&report.text(), report.exit()),
                Ok(None) => Exit::Done,
                Err(ending) => end(ending),
            },
            Err(ending) => end(ending),
        },
        Command::Plan(settings) => unless_stopped(&around, inspect::plan(settings, &around)).await,
        Command::Verify(settings) => {
            unless_stopped(&around, inspect::verify(settings, &around)).await
        }
        Command::Approve(settings) => {
            let transfer = Transfer {
                concurrency: 1,
                part_size: 8 << 20,
                checksums: Checksums::WhenSupported,
            };
            let source = around.source(&settings.source, &transfer);
            unless_stopped(&around, inspect::approve(settings, &source)).await
        }
        Command::Publish(settings) => stoppable(&around, publish::publish(settings, &around)).await,
        Command::Releases(settings) => {
            unless_stopped(&around, publish::releases(settings, &around)).await
        }
        Command::Rollback(settings) => {
            stoppable(&around, publish::rollback(settings, &around)).await
        }
        Command::Prune(settings) => answer(publish::prune(settings, &around).await),
        Command::Wait(settings) => stoppable(&around, publish::wait(settings, &around)).await,
        // Handled before there was a runtime: it needs none.
        Command::Digest(settings) => answer(inspect::digest(settings)),
    }
}

async fn unless_stopped(
    around: &Surroundings,
    work: impl Future<Output = Result<Answer, Ending>>,
) -> Exit {
    tokio::select! {
        result = work => answer(result),
        () = around.shutdown.wait() => Exit::Done,
    }
}

/// A stopped `publish` is no published release: 69, so that nothing goes on as if it were.
async fn stoppable(
    around: &Surroundings,
    work: impl Future<Output = Result<Answer, Ending>>,
) -> Exit {
    answer(publish::unless_stopped(around, work).await)
}

fn metrics(settings: &MetricsSettings, around: &Surroundings) -> Result<Metrics, Ending> {
    Metrics::start_beside(settings, Some(&around.sdk), Some(&around.status))
        .map_err(|why| Ending::new(Exit::Usage, why))
}

fn answer(result: Result<Answer, Ending>) -> Exit {
    match result {
        Ok(answer) => print(&answer.text, answer.exit),
        Err(ending) => end(ending),
    }
}

fn end(ending: Ending) -> Exit {
    error!(
        reason = ending.why,
        exit = ending.exit.code(),
        event = "failed",
        "s3sync cannot go on"
    );
    ending.exit
}

/// A usage error comes before there are logs: one plain line.
fn refuse(why: &str) -> Exit {
    // Nobody may be reading; the exit code says it too.
    let _ = writeln!(std::io::stderr(), "s3sync: {why}");
    Exit::Usage
}

fn print(text: &str, exit: Exit) -> Exit {
    let mut stdout = std::io::stdout();
    // A reader that left early, as head does, has what it wanted.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(args: &[&str]) -> Exit {
        let args = std::iter::once("s3sync")
            .chain(args.iter().copied())
            .map(OsString::from);
        let environment = Environment::from_pairs(Vec::<(String, String)>::new());
        match agent::settings::parse::<Settings>(settings::PREFIX, args, &environment) {
            Ok(parsed) => match check(&parsed.settings.command) {
                Ok(()) => Exit::Done,
                Err(_) => Exit::Usage,
            },
            Err(Refusal::Help(_)) => Exit::Done,
            Err(Refusal::Usage(_)) => Exit::Usage,
        }
    }

    #[test]
    fn metrics_never_share_stdout_with_an_answer() {
        for command in ["once", "plan", "verify"] {
            assert_eq!(
                exit(&[command, "s3://b/p", "d", "--metrics", "emf"]),
                Exit::Usage,
                "{command}"
            );
        }
        assert_eq!(
            exit(&["watch", "s3://b/p", "d", "--metrics", "emf"]),
            Exit::Done
        );
        assert_eq!(
            exit(&["once", "s3://b/p", "d", "--metrics", "prometheus"]),
            Exit::Usage
        );
    }

    #[test]
    fn every_command_has_help() {
        for command in [
            "once", "watch", "plan", "verify", "digest", "approve", "publish", "releases",
            "rollback", "prune", "wait",
        ] {
            assert_eq!(exit(&[command, "--help"]), Exit::Done, "{command}");
        }
    }
}
