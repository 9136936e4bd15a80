//! From settings to an exit code: the wiring of a run.

use crate::once;
use crate::protect;
use crate::settings::{self, Command, Once, Settings};
use crate::simulate;
use crate::watch;
use agent::aws::Timeouts;
use agent::exit::Exit;
use agent::metrics::{Metrics, Sink};
use agent::settings::{Environment, MetricsSettings, Refusal, StatusSettings};
use agent::shutdown::Shutdown;
use agent::status::Status;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// From the first signal to the end, whatever hangs: `once` leaves nothing half done.
const GRACE: Duration = Duration::from_secs(1);

/// From the first signal to the end of `watch` and `protect`, whatever hangs: shorter than ECS's
/// default `stopTimeout` of 30 s.
const LONG_GRACE: Duration = Duration::from_secs(20);

/// With CloudWatch: a put that hangs keeps a newer one waiting.
const PATIENCE: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    read: Duration::from_secs(5),
    attempt: Duration::from_secs(8),
};

/// What a command that runs for ever has around it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The variables.
    pub environment: Environment,
    /// Whether it was asked to stop.
    pub shutdown: Shutdown,
    /// The status file.
    pub status: Status,
    /// Where its metrics go.
    pub metrics: Metrics,
}

/// Why a run ends otherwise than well: the code, and one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    /// The code.
    pub exit: Exit,
    /// One line.
    pub why: String,
}

impl Ending {
    /// An ending.
    pub fn new(exit: Exit, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { exit, why }
    }
}

/// Runs the program.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Exit {
    let parsed = match agent::settings::parse::<Settings>(settings::PREFIX, args, &environment) {
        Ok(parsed) => parsed,
        Err(Refusal::Help(text)) => return print(&text),
        Err(Refusal::Usage(why)) => return refuse(&Ending::new(Exit::Usage, why)),
    };
    let command = parsed.settings.command;
    if let Err(why) = check(&command) {
        return refuse(&Ending::new(Exit::Usage, why));
    }
    match command {
        Command::Simulate(settings) => match simulate::answer(&settings) {
            Ok(text) => print(&text),
            Err(ending) => refuse(&ending),
        },
        Command::Once(settings) => sample(&settings, &parsed.warnings, &environment),
        Command::Watch(settings) => {
            let plan = match watch::Plan::new(&settings, &environment) {
                Ok(plan) => plan,
                Err(why) => return refuse(&Ending::new(Exit::Usage, why)),
            };
            Stay::new(&settings.status, &settings.metrics, &parsed.warnings)
                .run(environment, |around| watch::run(plan, around))
        }
        Command::Protect(settings) => {
            let plan = match protect::Plan::new(&settings, &environment) {
                Ok(plan) => plan,
                Err(why) => return refuse(&Ending::new(Exit::Usage, why)),
            };
            Stay::new(&settings.status, &settings.metrics, &parsed.warnings)
                .run(environment, |around| protect::run(plan, around))
        }
    }
}

/// What a command that runs for ever starts with.
struct Stay<'a> {
    status: &'a StatusSettings,
    metrics: &'a MetricsSettings,
    warnings: &'a [String],
}

impl<'a> Stay<'a> {
    fn new(
        status: &'a StatusSettings,
        metrics: &'a MetricsSettings,
        warnings: &'a [String],
    ) -> Self {
        Self {
            status,
            metrics,
            warnings,
        }
    }

    /// Signals, logs, status, metrics, and then `work` until it ends.
    fn run<Work>(&self, environment: Environment, work: impl FnOnce(Surroundings) -> Work) -> Exit
    where
        Work: Future<Output = Result<(), Ending>>,
    {
        let logs = match agent::logs::start(&environment, std::io::stderr().is_terminal()) {
            Ok(logs) => logs,
            Err(why) => return refuse(&Ending::new(Exit::Usage, why)),
        };
        agent::logs::report_panics();
        for warning in self.warnings {
            tracing::warn!(warning, event = "settings", "a setting is odd");
        }
        let exit = match self.act(environment, work) {
            Ok(()) => Exit::Done,
            Err(ending) => end(&ending),
        };
        drop(logs);
        exit
    }

    fn act<Work>(
        &self,
        environment: Environment,
        work: impl FnOnce(Surroundings) -> Work,
    ) -> Result<(), Ending>
    where
        Work: Future<Output = Result<(), Ending>>,
    {
        let internal = |why: std::io::Error| Ending::new(Exit::Internal, why.to_string());
        let shutdown = Shutdown::install(LONG_GRACE).map_err(internal)?;
        let file = self.status.status_file.clone();
        let status = Status::start("queue-metrics", env!("CARGO_PKG_VERSION"), file)
            .map_err(|why| Ending::new(Exit::Destination, why))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_keep_alive(Duration::from_secs(5))
            .build()
            .map_err(internal)?;
        let result = runtime.block_on(async {
            let metrics = tokio::select! {
                metrics = self.sink(&environment, &status) => metrics?,
                () = shutdown.wait() => return Ok(()),
            };
            let around = Surroundings {
                environment,
                shutdown,
                status: status.clone(),
                metrics,
            };
            work(around).await
        });
        status.finish();
        // Looking up a name that hangs must not keep the process.
        runtime.shutdown_background();
        result
    }

    /// AWS is set up only where metrics go to its API.
    async fn sink(&self, environment: &Environment, status: &Status) -> Result<Metrics, Ending> {
        let usage = |why| Ending::new(Exit::Usage, why);
        let sdk = match self.metrics.metrics {
            Sink::Cloudwatch => {
                let config = agent::aws::config_with(environment, PATIENCE).await;
                Some(config.map_err(usage)?)
            }
            _ => None,
        };
        Metrics::start_beside(self.metrics, sdk.as_ref(), Some(status)).map_err(usage)
    }
}

fn sample(settings: &Once, warnings: &[String], environment: &Environment) -> Exit {
    let plan = match once::plan(settings, environment) {
        Ok(plan) => plan,
        Err(why) => return refuse(&Ending::new(Exit::Usage, why)),
    };
    let logs = match agent::logs::start(environment, std::io::stderr().is_terminal()) {
        Ok(logs) => logs,
        Err(why) => return refuse(&Ending::new(Exit::Usage, why)),
    };
    agent::logs::report_panics();
    for warning in warnings {
        tracing::warn!(warning, event = "settings", "a setting is odd");
    }
    let exit = match listen(plan) {
        Ok(text) => print(&text),
        Err(ending) => end(&ending),
    };
    drop(logs);
    exit
}

fn listen(plan: once::Plan) -> Result<String, Ending> {
    let internal = |why: std::io::Error| Ending::new(Exit::Internal, why.to_string());
    let shutdown = Shutdown::install(GRACE).map_err(internal)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(internal)?;
    let answer = runtime.block_on(async {
        tokio::select! {
            answer = once::run(plan) => answer,
            // Stopped as asked: there is no answer.
            () = shutdown.wait() => Ok(String::new()),
        }
    });
    // Looking up a name that hangs must not keep the process.
    runtime.shutdown_background();
    answer
}

fn end(ending: &Ending) -> Exit {
    tracing::error!(
        reason = ending.why,
        exit = ending.exit.code(),
        event = "failed",
        "queue-metrics cannot go on"
    );
    ending.exit
}

/// What clap cannot say of options that do not go together.
fn check(command: &Command) -> Result<(), String> {
    let answers_on_stdout = |metrics: &MetricsSettings| match metrics.metrics {
        agent::metrics::Sink::Emf => Err(
            "--metrics emf writes to stdout, where this command answers: choose cloudwatch or none"
                .to_owned(),
        ),
        _ => Ok(()),
    };
    match command {
        Command::Once(once) => {
            answers_on_stdout(&once.metrics).and_then(|()| match once.metrics.metrics {
                agent::metrics::Sink::None => Ok(()),
                _ => Err("once does not publish: leave out --metrics".to_owned()),
            })
        }
        Command::Watch(watch) => watch.queues.groups(&watch.metrics.service).map(drop),
        Command::Protect(_) | Command::Simulate(_) => Ok(()),
    }
}

/// One plain line: these commands have no log.
fn refuse(ending: &Ending) -> Exit {
    // Nobody may be reading; the exit code says it too.
    let _ = writeln!(std::io::stderr(), "queue-metrics: {}", ending.why);
    ending.exit
}

fn print(text: &str) -> Exit {
    let mut stdout = std::io::stdout();
    // A reader that left early, as head does, has what it wanted.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    Exit::Done
}
