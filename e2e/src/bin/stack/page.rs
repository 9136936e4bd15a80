//! The status page in the terminal.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the server writes and the page shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The services in the order of their starts.
    pub(crate) services: Vec<Row>,
    /// What all agree on: DAGs, queue.
    pub(crate) facts: Vec<(String, String)>,
    /// What a person can do next.
    pub(crate) hints: Vec<(String, String)>,
    /// How long it is up, seconds.
    pub(crate) seconds: u64,
}

/// A service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) healthy: bool,
    /// The phase, and why it is not all well.
    pub(crate) what: String,
    pub(crate) serves: bool,
}

impl State {
    pub(crate) fn ready(&self) -> bool {
        !self.services.is_empty() && self.services.iter().all(|row| row.healthy && row.serves)
    }

    fn lines(&self, colour: bool) -> Vec<String> {
        let paint = |code: &str, text: &str| match colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let mut lines = vec![format!(
            "{}  up for {} s",
            paint("1", "Trimtab"),
            self.seconds
        )];
        for row in &self.services {
            let (code, word) = match (row.healthy, row.serves) {
                (true, true) => ("32", "healthy"),
                (true, false) => ("33", "starting"),
                (false, _) => ("31", "not yet"),
            };
            let word = paint(code, &format!("{word:<9}"));
            let what: String = row.what.chars().take(90).collect();
            lines.push(format!("  {:<14} {word} {what}", row.name));
        }
        lines.push(String::new());
        for (name, text) in self.facts.iter().chain(&self.hints) {
            lines.push(format!("  {:<14} {text}", name));
        }
        lines
    }
}

/// The state as the server last wrote it.
pub(crate) fn read(directory: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(directory.join("state.json")).ok()?).ok()
}

/// Replaces the state as a whole, so that nobody reads half of it.
pub(crate) fn write(directory: &Path, state: &State) -> anyhow::Result<()> {
    let new = directory.join("state.json.new");
    fs::write(&new, serde_json::to_vec(state)?)?;
    fs::rename(&new, directory.join("state.json"))?;
    Ok(())
}

/// What stands on the terminal: a page is drawn over the one before.
#[derive(Default)]
pub(crate) struct Shown {
    lines: usize,
    ready: Vec<String>,
}

impl Shown {
    pub(crate) fn show(&mut self, state: &State) {
        if std::io::stdout().is_terminal() {
            let lines = state.lines(std::env::var_os("NO_COLOR").is_none());
            if self.lines > 0 {
                print!("\x1b[{}A\x1b[J", self.lines);
            }
            println!("{}", lines.join("\n"));
            self.lines = lines.len();
            return;
        }
        // No terminal: a line for each that came, and the page once all did.
        for row in state
            .services
            .iter()
            .filter(|row| row.healthy && row.serves)
        {
            if !state.ready() && !self.ready.contains(&row.name) {
                println!("  {:4} s  {} is healthy", state.seconds, row.name);
                self.ready.push(row.name.clone());
            }
        }
        if state.ready() {
            println!("{}", state.lines(false).join("\n"));
        }
    }
}
