//! What the person at the terminal sees.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::time::Duration;

use anyhow::Context as _;

/// Writes the story to stdout and remembers what the summary needs.
///
/// Every line can fail: with `make demo | head` a panic of `println!` would leave the temporary
/// directory and the process behind.
pub(crate) struct Narrator {
    colour: bool,
    step: usize,
    title: String,
    rows: Vec<Row>,
}

struct Row {
    step: usize,
    what: String,
    time: Duration,
}

impl Narrator {
    pub(crate) fn for_stdout() -> Self {
        Narrator {
            colour: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            step: 0,
            title: String::new(),
            rows: Vec::new(),
        }
    }

    /// A line in the margin, before the first step or between two.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        self.write(text)
    }

    /// A command as one would type it.
    pub(crate) fn command(&self, text: &str) -> anyhow::Result<()> {
        self.write(&format!("   {}", self.painted("36", &format!("$ {text}"))))
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) -> anyhow::Result<()> {
        self.step += 1;
        title.clone_into(&mut self.title);
        let title = self.painted("1", &format!("{}  {title}", self.step));
        self.write(&format!("\n{title}"))
    }

    /// Says what is about to happen.
    pub(crate) fn say(&self, text: &str) -> anyhow::Result<()> {
        self.write(&format!("   {text}"))
    }

    /// Something that took a time and holds; it goes into the summary under `what`.
    pub(crate) fn measured(
        &mut self,
        time: Duration,
        what: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        self.rows.push(Row {
            step: self.step,
            what: what.to_owned(),
            time,
        });
        let ok = self.painted("32", "ok");
        self.write(&format!("   {ok} {:>8}  {text}", seconds(time)))
    }

    /// Something that holds, without a time of its own.
    pub(crate) fn holds(&self, text: &str) -> anyhow::Result<()> {
        let ok = self.painted("32", "ok");
        self.write(&format!("   {ok} {:>8}  {text}", ""))
    }

    /// The table at the end.
    pub(crate) fn summary(&self, total: Duration) -> anyhow::Result<()> {
        let width = self
            .rows
            .iter()
            .map(|row| row.what.chars().count())
            .max()
            .unwrap_or(0);
        self.write(&format!("\n{}", self.painted("1", "Summary")))?;
        let mut last = 0;
        for row in &self.rows {
            let step = if row.step == last {
                String::new()
            } else {
                row.step.to_string()
            };
            last = row.step;
            self.write(&format!(
                "{step:>4}  {:<width$}  {:>8}",
                row.what,
                seconds(row.time)
            ))?;
        }
        self.write(&format!(
            "\nAll as promised, in {}. Nothing is left behind.",
            seconds(total)
        ))
    }

    /// The reason for which the story ends early, on stderr.
    pub(crate) fn complain(&self, reason: &str) {
        let place = if self.step == 0 {
            String::new()
        } else {
            format!(" in step {} ({})", self.step, self.title)
        };
        // Nobody is left to be told when stderr is gone too.
        let _ = writeln!(stderr(), "\ndemo failed{place}: {reason}");
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .context("nobody reads the story any more")
    }
}

/// A time as people read it: `0.8 ms`, `42 ms`, `1.31 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else if milliseconds < 1_000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_the_digits_that_matter() {
        let shown = |microseconds| seconds(Duration::from_micros(microseconds));
        assert_eq!(shown(830), "0.8 ms");
        assert_eq!(shown(42_400), "42 ms");
        assert_eq!(shown(1_312_000), "1.31 s");
    }
}
