//! From settings to an exit code: the wiring of a run.

use crate::account;
use crate::command::{self, Command};
use crate::compat;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::hold;
use crate::phases::Story;
use crate::settings::{self, Settings};
use crate::supervise::{Children, Signals, Stop};
use crate::variables::Variables;
use agent::exit::Exit;
use agent::metrics::{Metrics, Sink};
use agent::settings::{Environment, Refusal};
use agent::status::Status;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tracing::warn;

/// How long the last metrics may take on their way out.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// What the process was asked for, before anything is done.
struct Asked {
    settings: Settings,
    command: Option<Command>,
    variables: Variables,
    /// What is odd but not wrong, a line each.
    warnings: Vec<String>,
}

/// Runs the program; gives back what the process ends with.
pub fn run(args: impl IntoIterator<Item = OsString>, variables: Variables) -> u8 {
    let began = Instant::now();
    // Before any I/O: a signal that comes earlier is lost to PID 1.
    let (children, stop, signals) = match Children::install() {
        Ok(installed) => installed,
        Err(why) => return bug(&format!("signals cannot be handled: {why}")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(5))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => return bug(&format!("no runtime: {why}")),
    };
    let environment = variables.environment();
    let asked = match understand(args, variables) {
        Ok(asked) => asked,
        Err(Refusal::Help(text)) => return print(&text, Exit::Done.code()),
        Err(Refusal::Usage(why)) => return refuse(&why, &environment, &stop, &runtime),
    };
    let logs = match agent::logs::start(&environment, std::io::stderr().is_terminal()) {
        Ok(logs) => logs,
        Err(why) => return refuse(&why, &environment, &stop, &runtime),
    };
    agent::logs::report_panics();
    let code = begin(
        asked,
        &environment,
        &runtime,
        (children, stop, signals),
        began,
    );
    // A name that is still looked up must not keep the process.
    runtime.shutdown_background();
    drop(logs);
    code
}

/// Arguments and variables, read without any I/O but a look for the program.
fn understand(
    args: impl IntoIterator<Item = OsString>,
    mut variables: Variables,
) -> Result<Asked, Refusal> {
    legible(&variables).map_err(Refusal::Usage)?;
    let mut warnings = compat::translate(&mut variables).map_err(Refusal::Usage)?;
    let environment = variables.environment();
    let parsed = agent::settings::parse::<Settings>(settings::PREFIX, args, &environment)?;
    let settings = parsed.settings;
    warnings.extend(parsed.warnings);
    let command = Command::of(&settings.words, variables.raw("PATH"), command::is_program);
    check(&settings, command.as_ref()).map_err(Refusal::Usage)?;
    settings.apply_to(&mut variables);
    Ok(Asked {
        settings,
        command,
        variables,
        warnings,
    })
}

/// Names the settings that are not UTF-8; other variables may be what they want.
fn legible(variables: &Variables) -> Result<(), String> {
    let settings = variables.pairs().filter_map(|(name, value)| {
        let name = name.to_str()?;
        let is_ours = name.starts_with(settings::PREFIX);
        (is_ours && value.to_str().is_none()).then_some(name)
    });
    let odd: Vec<&str> = settings.collect();
    match odd.is_empty() {
        true => Ok(()),
        false => Err(format!("{} is not UTF-8: set it to text", odd.join(", "))),
    }
}

/// What clap cannot say of options that do not go together.
fn check(settings: &Settings, command: Option<&Command>) -> Result<(), String> {
    if command.is_none() && !settings.init_only && !settings.dry_run {
        return Err("there is no command to run, such as scheduler or bash: see --help".to_owned());
    }
    if settings.words.first().is_some_and(|word| word.is_empty()) {
        return Err("the command is an empty word: name one, such as scheduler or bash".to_owned());
    }
    match settings.metrics.metrics {
        Sink::Emf if settings.dry_run => Err(
            "--metrics emf writes to stdout, where --dry-run answers: choose cloudwatch or none"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn begin(
    asked: Asked,
    environment: &Environment,
    runtime: &Runtime,
    (children, stop, signals): (Children, Stop, Signals),
    began: Instant,
) -> u8 {
    let Asked {
        settings,
        command,
        mut variables,
        mut warnings,
    } = asked;
    warnings.extend(account::prepare(&mut variables, !settings.dry_run));
    for warning in warnings {
        warn!(warning, event = "settings", "a setting is odd");
    }
    let status = match status(&settings, command.as_ref()) {
        Ok(status) => status,
        Err(why) => {
            let ending = Ending::Phase(None, Failure::new(Exit::Destination, why));
            return runtime.block_on(end(
                ending,
                &settings,
                environment,
                &stop,
                &Status::disabled(),
                began,
            ));
        }
    };
    runtime.block_on(async {
        let metrics = tokio::select! {
            biased;
            signal = stop.wait() => {
                let why = format!("{signal} came before the metrics were ready");
                Err(Failure::stopped(signal.number(), why))
            }
            metrics = metrics(&settings, environment, &status) => {
                metrics.map_err(|why| Failure::new(Exit::Usage, why))
            }
        };
        let metrics = match metrics {
            Ok(metrics) => metrics,
            Err(failure) => {
                let ending = Ending::Phase(None, failure);
                return end(ending, &settings, environment, &stop, &status, began).await;
            }
        };
        let story = Story {
            settings: &settings,
            command: command.as_ref(),
            children: &children,
            stop: &stop,
            status: &status,
            metrics: &metrics,
        };
        if settings.dry_run {
            let report = story.rehearse(variables).await;
            status.finish();
            return print(&report.rendered(settings.output.output), report.exit());
        }
        let ending = story.tell(variables, signals).await;
        metrics.flush(FLUSH_LIMIT).await;
        end(ending, &settings, environment, &stop, &status, began).await
    })
}

/// The last steps of every run that had logs.
async fn end(
    ending: Ending,
    settings: &Settings,
    environment: &Environment,
    stop: &Stop,
    status: &Status,
    began: Instant,
) -> u8 {
    ending.log_failure();
    if let Some(why) = ending.fatal() {
        status.update(|state| {
            state.phase = "failed".to_owned();
            state.healthy = false;
            state.reason = Some(why.to_owned());
        });
        if let Some(limit) = hold::limit(environment, settings.ecs.fatal_hold) {
            hold::hold(limit, stop.wait()).await;
        }
    }
    status.finish();
    ending.log_end(began.elapsed().as_secs_f64());
    ending.code()
}

/// Services have a status file, and whoever asks for one.
fn status(settings: &Settings, command: Option<&Command>) -> Result<Status, String> {
    let path = settings.status.status_file.clone();
    let is_service = command.is_some_and(|command| command.service.is_some());
    if settings.dry_run || (path.is_none() && !is_service) {
        return Ok(Status::disabled());
    }
    Status::start("entrypoint", env!("CARGO_PKG_VERSION"), path)
}

async fn metrics(
    settings: &Settings,
    environment: &Environment,
    status: &Status,
) -> Result<Metrics, String> {
    if settings.dry_run {
        return Ok(Metrics::none());
    }
    match settings.metrics.metrics {
        Sink::Cloudwatch => {
            let sdk = agent::aws::config(environment).await?;
            Metrics::start(&settings.metrics, Some(&sdk))
        }
        _ => Metrics::start_beside(&settings.metrics, None, Some(status)),
    }
}

/// A usage error comes before there are logs: one plain line. It is held back in ECS like any other
/// fatal exit.
fn refuse(why: &str, environment: &Environment, stop: &Stop, runtime: &Runtime) -> u8 {
    complain(why);
    let configured = environment.value("ENTRYPOINT_FATAL_HOLD");
    let configured = configured.and_then(|text| agent::settings::duration(text).ok());
    let configured = configured.unwrap_or(settings::FATAL_HOLD);
    if let Some(limit) = hold::limit(environment, configured) {
        runtime.block_on(hold::hold(limit, stop.wait()));
    }
    Exit::Usage.code()
}

fn bug(why: &str) -> u8 {
    complain(why);
    Exit::Internal.code()
}

fn complain(why: &str) {
    // Nobody may be reading; the exit code says it too.
    let _ = writeln!(std::io::stderr(), "entrypoint: {why}");
}

fn print(text: &str, code: u8) -> u8 {
    let mut stdout = std::io::stdout();
    // A reader that left early, as head does, has what it wanted.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    code
}
