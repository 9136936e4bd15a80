//! Each program's own reading of its arguments and variables: what is odd about them is said here, and
//! nothing is run.

use std::collections::BTreeMap;
use std::ffi::OsString;

use agent::settings::{Environment, Parsed, Refusal};
use entrypoint::command::{Command, Service};
use entrypoint::variables::Variables;
use healthcheck::assertion::Asked;
use healthcheck::check::Check;

const ONLY_HELP: &str = "it only shows its help or version";

/// Variables by name.
pub type Map = BTreeMap<String, String>;

/// One of the programs, as PID 1 of a container or as its health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the programs'")]
pub enum Program {
    S3sync,
    QueueMetrics,
    Entrypoint,
    Healthcheck,
}

impl Program {
    /// The program in that file of an image.
    pub fn at(path: &str) -> Option<Program> {
        match path {
            "/s3sync" => Some(Program::S3sync),
            "/queue-metrics" => Some(Program::QueueMetrics),
            "/entrypoint" => Some(Program::Entrypoint),
            "/healthcheck" => Some(Program::Healthcheck),
            _ => None,
        }
    }

    /// Everything that it refuses or warns of, a line each: none is as it must be.
    pub fn complaints(self, arguments: &[String], variables: &Map) -> Vec<String> {
        match self {
            Program::S3sync => s3sync(arguments, variables),
            Program::QueueMetrics => queue_metrics(arguments, variables),
            Program::Entrypoint => entrypoint(arguments, variables),
            Program::Healthcheck => healthcheck(arguments, variables),
        }
    }
}

/// Which of Airflow's services the entrypoint would run.
pub fn service(arguments: &[String]) -> Option<Service> {
    Command::of(&words("entrypoint", arguments)[1..], None, |_| false)?.service
}

fn s3sync(arguments: &[String], variables: &Map) -> Vec<String> {
    let environment = Environment::from_pairs(variables.clone());
    let parsed = agent::settings::parse::<s3sync::settings::Settings>(
        s3sync::settings::PREFIX,
        words("s3sync", arguments),
        &environment,
    );
    heard(parsed).1
}

fn queue_metrics(arguments: &[String], variables: &Map) -> Vec<String> {
    use queue_metrics::{protect, settings, watch};
    let environment = Environment::from_pairs(variables.clone());
    let parsed = agent::settings::parse::<settings::Settings>(
        settings::PREFIX,
        words("queue-metrics", arguments),
        &environment,
    );
    let (settings, mut complaints) = heard(parsed);
    // What the options mean together with each other and with Airflow's variables.
    complaints.extend(match settings.map(|settings| settings.command) {
        Some(settings::Command::Watch(watch)) => watch::Plan::new(&watch, &environment).err(),
        Some(settings::Command::Protect(own)) => protect::Plan::new(&own, &environment).err(),
        _ => None,
    });
    complaints
}

fn entrypoint(arguments: &[String], variables: &Map) -> Vec<String> {
    let mut variables = Variables::from_pairs(variables.clone());
    let mut complaints = match entrypoint::compat::translate(&mut variables) {
        Ok(warnings) => warnings,
        Err(why) => return vec![why],
    };
    let parsed = agent::settings::parse::<entrypoint::settings::Settings>(
        entrypoint::settings::PREFIX,
        words("entrypoint", arguments),
        &variables.environment(),
    );
    complaints.extend(heard(parsed).1);
    complaints
}

fn healthcheck(arguments: &[String], variables: &Map) -> Vec<String> {
    use healthcheck::options::{self, Command};
    let words = || arguments.iter().map(String::as_bytes);
    match Command::parse(words()) {
        Ok(Command::Check(_)) => {}
        Ok(_) => return vec![ONLY_HELP.to_owned()],
        Err(why) => return vec![why.to_owned()],
    }
    let variable = |name: &[u8]| {
        let name = std::str::from_utf8(name).ok()?;
        variables.get(name).map(String::as_bytes)
    };
    let wrong = options::checks(words()).filter_map(|text| {
        let (mut check, mut asked) = (Check::NONE, Asked::NONE);
        let why = check.parse(text, variable, &mut asked).err()?;
        Some(format!("{}: {why}", String::from_utf8_lossy(text)))
    });
    wrong.collect()
}

fn heard<T>(parsed: Result<Parsed<T>, Refusal>) -> (Option<T>, Vec<String>) {
    match parsed {
        Ok(parsed) => (Some(parsed.settings), parsed.warnings),
        Err(Refusal::Help(_)) => (None, vec![ONLY_HELP.to_owned()]),
        Err(Refusal::Usage(why)) => (None, vec![why]),
    }
}

fn words(program: &str, arguments: &[String]) -> Vec<OsString> {
    let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    words.map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn map(pairs: &[(&str, &str)]) -> Map {
        let pairs = pairs.iter();
        pairs
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn what_is_right_raises_no_complaint() {
        let broker = [("AIRFLOW__CELERY__BROKER_URL", "redis://broker:6379/0")];
        for (program, arguments, variables) in [
            (Program::S3sync, &["watch", "s3://b/p", "/d"][..], &[][..]),
            (Program::QueueMetrics, &["watch"], &broker),
            (Program::QueueMetrics, &["protect"], &broker),
            (Program::Entrypoint, &["celery", "worker"], &[]),
            (Program::Healthcheck, &["airflow:worker"], &[]),
        ] {
            let complaints = program.complaints(&strings(arguments), &map(variables));
            assert_eq!(
                complaints,
                Vec::<String>::new(),
                "{program:?} {arguments:?}"
            );
        }
    }

    #[test]
    fn what_is_odd_raises_one() {
        for (program, arguments, variables) in [
            (Program::S3sync, &["watch", "s3://b/p"][..], &[][..]),
            (
                Program::S3sync,
                &["watch", "s3://b/p", "/d"],
                &[("S3SYNC_DELET", "all")],
            ),
            (Program::QueueMetrics, &["watch"], &[]),
            (
                Program::QueueMetrics,
                &["watch", "--min-workers", "3", "--max-workers", "2"],
                &[("QUEUE_METRICS_BROKER_URL", "redis://broker")],
            ),
            (
                Program::Entrypoint,
                &["scheduler"],
                &[("ENTRYPOINT_DB_HOTS", "db")],
            ),
            (
                Program::Entrypoint,
                &["scheduler"],
                &[("_PIP_ADDITIONAL_REQUIREMENTS", "pandas")],
            ),
            (Program::Healthcheck, &["airflow:sheduler"], &[]),
            (Program::Healthcheck, &["--help"], &[]),
        ] {
            let complaints = program.complaints(&strings(arguments), &map(variables));
            assert_eq!(
                complaints.len(),
                1,
                "{program:?} {arguments:?}: {complaints:?}"
            );
        }
    }

    #[test]
    fn a_service_is_known_by_its_words() {
        let worker = strings(&["celery", "worker", "--queues", "default"]);
        assert_eq!(service(&worker), Some(Service::CeleryWorker));
        assert_eq!(service(&strings(&["sheduler"])), None);
    }
}
