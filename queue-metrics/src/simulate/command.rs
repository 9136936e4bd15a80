//! `simulate`: from its options to the text for stdout.

use super::{Kind, Outcome, SHIPPED, Scenario, json, run, summary, svg, table};
use crate::program::Ending;
use crate::settings::Simulate;
use agent::exit::Exit;
use agent::settings::Output;

/// In place of a scenario: every shipped one, with several seeds.
const ALL: &str = "all";
/// The seeds of [`ALL`]: from 1 to this.
const SEEDS: u64 = 10;

/// Replays, and answers with the text for stdout; with a plot also into its file.
///
/// # Errors
/// 64 for a scenario that cannot be read, 73 for a plot that cannot be written.
pub fn answer(settings: &Simulate) -> Result<String, Ending> {
    if settings.scenario == ALL {
        return answer_all(settings);
    }
    let scenario = scenario(settings, &settings.scenario)?;
    let outcomes = outcomes(&scenario);
    if let Some(file) = &settings.plot {
        std::fs::write(file, svg(&scenario, &outcomes)).map_err(|error| {
            Ending::new(
                Exit::Destination,
                format!("the plot cannot be written to {}: {error}", file.display()),
            )
        })?;
    }
    Ok(match settings.output.output {
        Output::Json => json(&scenario, &outcomes),
        Output::Text => table(&scenario, &outcomes),
    })
}

fn answer_all(settings: &Simulate) -> Result<String, Ending> {
    if settings.plot.is_some() || settings.seed.is_some() {
        let why = "scenario all has ten seeds of its own and no plot: leave out --seed and --plot";
        return Err(Ending::new(Exit::Usage, why));
    }
    let mut rows = Vec::new();
    let mut lines = String::new();
    for (name, _) in SHIPPED {
        let mut scenario = scenario(settings, name)?;
        let mut seeds = Vec::new();
        for seed in 1..=SEEDS {
            scenario.seed = seed;
            let outcomes = outcomes(&scenario);
            lines.push_str(&json(&scenario, &outcomes));
            seeds.push(outcomes);
        }
        rows.push((name.to_owned(), seeds));
    }
    Ok(match settings.output.output {
        Output::Json => lines,
        Output::Text => summary(&rows),
    })
}

fn outcomes(scenario: &Scenario) -> Vec<Outcome> {
    Kind::ALL.iter().map(|kind| run(scenario, *kind)).collect()
}

/// A shipped one by its name, else a file; with the options in place of what it says.
fn scenario(settings: &Simulate, name: &str) -> Result<Scenario, Ending> {
    let file = match Scenario::shipped(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            let why = format!("no scenario {name}: {error}; shipped are {names}, and {ALL}");
            Ending::new(Exit::Usage, why)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Command, PREFIX, Settings};
    use agent::settings::Environment;
    use std::ffi::OsString;

    fn settings(line: &str) -> Simulate {
        let args = format!("queue-metrics simulate {line}");
        let args = args.split_whitespace().map(OsString::from);
        let none = Environment::from_pairs(Vec::<(String, String)>::new());
        match agent::settings::parse::<Settings>(PREFIX, args, &none) {
            Ok(parsed) => match parsed.settings.command {
                Command::Simulate(settings) => settings,
                other => panic!("{other:?}"),
            },
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    #[test]
    fn options_take_the_place_of_what_the_scenario_says() {
        let line = "steady --seed 9 --hold 1m --max-workers 3 --worker-concurrency 4";
        let scenario = scenario(&settings(line), "steady").expect("valid");
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
            "all --seed 1",
            "all --plot plot.svg",
            &file.path().display().to_string(),
        ] {
            let ending = answer(&settings(line)).expect_err("refused");
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
        let text = answer(&settings(&line)).expect("replayed");
        let seen: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(seen["policies"][0]["policy"], "alarm a level");
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
            answer(&settings(&line)).expect_err("refused").exit,
            Exit::Destination
        );
    }
}
