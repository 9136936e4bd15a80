//! From settings to an exit code: the wiring of a run.

use crate::once;
use crate::settings::{self, Command, Once, Settings, Simulate};
use crate::simulate::{self, Kind, Outcome, SHIPPED, Scenario};
use agent::exit::Exit;
use agent::settings::{Environment, MetricsSettings, Output, Refusal};
use agent::shutdown::Shutdown;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// From the first signal to the end, whatever hangs: `once` leaves nothing half done.
const GRACE: Duration = Duration::from_secs(1);

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
        Command::Simulate(settings) => match replay(&settings) {
            Ok(text) => print(&text),
            Err(ending) => refuse(&ending),
        },
        Command::Once(settings) => sample(&settings, &parsed.warnings, &environment),
        Command::Watch(_) | Command::Protect(_) => refuse(&Ending::new(
            Exit::Internal,
            "only simulate and once are part of this build",
        )),
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
                _ => Err("once does not publish yet: leave out --metrics".to_owned()),
            })
        }
        Command::Watch(watch) => watch.queues.groups(&watch.metrics.service).map(drop),
        Command::Protect(_) | Command::Simulate(_) => Ok(()),
    }
}

fn replay(settings: &Simulate) -> Result<String, Ending> {
    let scenario = scenario(settings)?;
    let outcomes: Vec<Outcome> = Kind::ALL
        .iter()
        .map(|kind| simulate::run(&scenario, *kind))
        .collect();
    if let Some(file) = &settings.plot {
        std::fs::write(file, simulate::svg(&scenario, &outcomes)).map_err(|error| {
            Ending::new(
                Exit::Destination,
                format!("the plot cannot be written to {}: {error}", file.display()),
            )
        })?;
    }
    Ok(match settings.output.output {
        Output::Json => simulate::json(&scenario, &outcomes),
        Output::Text => simulate::table(&scenario, &outcomes),
    })
}

/// A shipped one by its name, else a file; with the options in place of what it says.
fn scenario(settings: &Simulate) -> Result<Scenario, Ending> {
    let name = &settings.scenario;
    let file = match Scenario::shipped(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            Ending::new(
                Exit::Usage,
                format!(
                    "no scenario {name}: {error}; shipped are {}",
                    names.join(", ")
                ),
            )
        })?,
    };
    let wrong = |why| Ending::new(Exit::Usage, format!("scenario {name}: {why}"));
    let mut scenario = Scenario::parse(&file).map_err(wrong)?;
    scenario.seed = settings.seed.unwrap_or(scenario.seed);
    let service = &mut scenario.service;
    service.hold = settings.hold.unwrap_or(service.hold);
    service.min = settings.min_workers.unwrap_or(service.min);
    service.max = settings.max_workers.unwrap_or(service.max);
    service.concurrency = settings.worker_concurrency.unwrap_or(service.concurrency);
    scenario.check().map_err(wrong)?;
    Ok(scenario)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Simulate {
        let args = format!("queue-metrics simulate {line}");
        let args = args.split_whitespace().map(OsString::from);
        let none = Environment::from_pairs(Vec::<(String, String)>::new());
        match agent::settings::parse::<Settings>(settings::PREFIX, args, &none) {
            Ok(parsed) => match parsed.settings.command {
                Command::Simulate(settings) => settings,
                other => panic!("{other:?}"),
            },
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    #[test]
    fn options_take_the_place_of_what_the_scenario_says() {
        let scenario = scenario(&settings(
            "steady --seed 9 --hold 1m --max-workers 3 --worker-concurrency 4",
        ))
        .expect("valid");
        assert_eq!(scenario.seed, 9);
        assert_eq!((scenario.service.max, scenario.service.concurrency), (3, 4));
        assert_eq!(scenario.service.hold.as_secs(), 60);
    }

    #[test]
    fn a_scenario_that_cannot_be_read_is_usage() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "title = 1").expect("written");
        for line in [
            "nowhere.toml",
            "steady --min-workers 11",
            &file.path().display().to_string(),
        ] {
            let ending = replay(&settings(line)).expect_err("refused");
            assert_eq!(ending.exit, Exit::Usage, "{}", ending.why);
        }
    }

    #[test]
    fn the_plot_is_written_and_the_answer_is_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plot, file) = (
            folder.path().join("plot.svg"),
            folder.path().join("short.toml"),
        );
        let text =
            "title='t'\nseed=1\nlength='1h'\n[[load]]\nper_hour=60\nruns={median='1m',p95='2m'}";
        std::fs::write(&file, text).expect("written");
        let line = format!("{} --plot {} --output json", file.display(), plot.display());
        let answer = replay(&settings(&line)).expect("replayed");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("json");
        assert_eq!(answer["policies"][0]["policy"], "alarm a level");
        assert!(
            std::fs::read_to_string(&plot)
                .expect("a plot")
                .starts_with("<svg")
        );
        let line = format!(
            "{} --plot {}/no/plot.svg",
            file.display(),
            folder.path().display()
        );
        assert_eq!(
            replay(&settings(&line)).expect_err("refused").exit,
            Exit::Destination
        );
    }
}
