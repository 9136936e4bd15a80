//! The dry run's answer: each variable with its source, and what each phase found or would do.

use crate::failure::Failure;
use crate::timeline::Phase;
use crate::variables::{Source, Variables};
use agent::settings::Output;
use serde_json::json;
use std::fmt::Write as _;

/// Stands for a value, whatever its length.
const MASK: &str = "****";

/// What a dry run found, in the order in which it looked.
#[derive(Debug, Default)]
pub struct Report {
    variables: Vec<Row>,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    source: String,
    value: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    phase: &'static str,
    /// The exit code that the phase would end with, 0 where it would go on.
    exit: u8,
    text: String,
}

impl Report {
    /// Takes in the variables as they would be for the service: those that were made or fetched, and
    /// those that concern Airflow or this program.
    pub fn variables(&mut self, variables: &Variables) {
        let concerns = |name: &str| {
            let prefixes = ["AIRFLOW", "_AIRFLOW", "ENTRYPOINT_"];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        let rows = variables.names().filter_map(|name| {
            let source = variables.source(name)?;
            let value = match variables.text(name) {
                Some(_) => MASK,
                None => "(empty)",
            };
            let shown = *source != Source::Literal || concerns(name);
            shown.then(|| Row {
                name: name.to_owned(),
                source: source.to_string(),
                value,
            })
        });
        self.variables = rows.collect();
    }

    /// Notes what a phase found or would do.
    pub fn step(&mut self, phase: &'static str, text: impl Into<String>) {
        self.steps.push(Step {
            phase,
            exit: 0,
            text: text.into(),
        });
    }

    /// Notes how a phase would end the run.
    pub fn failed(&mut self, phase: &'static str, exit: u8, why: impl Into<String>) {
        self.steps.push(Step {
            phase,
            exit,
            text: why.into(),
        });
    }

    /// The value of a phase's check; its failure is noted.
    pub fn checked<T>(&mut self, phase: Phase, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                self.failed(phase.name(), failure.code(), failure.why);
                None
            }
        }
    }

    /// The code to end with: the highest of the phases'.
    pub fn exit(&self) -> u8 {
        let codes = self.steps.iter().map(|step| step.exit);
        codes.max().unwrap_or_default()
    }

    /// The answer as it is printed.
    pub fn rendered(&self, output: Output) -> String {
        match output {
            Output::Text => self.text(),
            Output::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let width = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or_default();
        let names = width(&mut self.variables.iter().map(|row| row.name.len())).max(8);
        let sources = width(&mut self.variables.iter().map(|row| row.source.len())).max(6);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:names$}  {:sources$}  VALUE", "VARIABLE", "SOURCE");
        for Row {
            name,
            source,
            value,
        } in &self.variables
        {
            let _ = writeln!(text, "{name:names$}  {source:sources$}  {value}");
        }
        let _ = writeln!(text, "\n{:9}  {:4}  WHAT", "PHASE", "EXIT");
        for step in &self.steps {
            let exit = match step.exit {
                0 => "-".to_owned(),
                code => code.to_string(),
            };
            let _ = writeln!(text, "{:9}  {exit:4}  {}", step.phase, step.text);
        }
        text
    }

    fn json(&self) -> String {
        let variables = self
            .variables
            .iter()
            .map(|row| json!({"name": row.name, "source": row.source, "empty": row.value != MASK}));
        let steps = self
            .steps
            .iter()
            .map(|step| json!({"phase": step.phase, "exit": step.exit, "what": step.text}));
        let report = json!({
            "variables": variables.collect::<Vec<_>>(),
            "phases": steps.collect::<Vec<_>>(),
            "exit": self.exit(),
        });
        format!("{report}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::exit::Exit;

    fn report() -> Report {
        let mut variables = Variables::from_pairs([
            ("PATH", "/marked"),
            ("AIRFLOW__CORE__EXECUTOR", "marked"),
            ("AIRFLOW_HOME", ""),
        ]);
        let source = Source::Layout("/air/fernet-key".to_owned());
        variables.set("AIRFLOW__CORE__FERNET_KEY", "marked".to_owned(), source);
        let mut report = Report::default();
        report.variables(&variables);
        report.step("wait", "postgres answers");
        let failure = Failure::new(Exit::SchemaAhead, "the schema is ahead");
        assert_eq!(report.checked::<()>(Phase::Migrate, Err(failure)), None);
        report
    }

    #[test]
    fn the_table_shows_names_and_sources_and_no_value() {
        assert_eq!(
            report().rendered(Output::Text),
            "VARIABLE                   SOURCE                  VALUE
AIRFLOW_HOME               literal                 (empty)
AIRFLOW__CORE__EXECUTOR    literal                 ****
AIRFLOW__CORE__FERNET_KEY  layout /air/fernet-key  ****

PHASE      EXIT  WHAT
wait       -     postgres answers
migrate    76    the schema is ahead
"
        );
        assert_eq!(report().exit(), 76);
    }

    #[test]
    fn json_says_the_same() {
        let text = report().rendered(Output::Json);
        assert!(!text.contains("marked"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["exit"], 76);
        assert_eq!(json["phases"][1]["phase"], "migrate");
        assert_eq!(json["variables"][2]["source"], "layout /air/fernet-key");
        assert_eq!(json["variables"][0]["empty"], true);
    }
}
