//! Logs on stderr, one event a line: JSON, or text with colour on a terminal.
//!
//! `TRIMTAB_LOG` takes the part of tracing's filter syntax that [`Targets`] reads: a level, and
//! `target=level` with commas. Its larger sibling `EnvFilter`, which also selects spans and fields,
//! costs 346 KB of binary for its regular expressions and is left out.

use std::io::{self, Write};
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::Exit;
use crate::lines::{self, Lines};
use crate::settings::Environment;

/// How long the end of the program waits for a stalled reader of its logs.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Libraries whose events below `warn` are their own affair. A target stands for all that begin so.
const LIBRARIES: [&str; 6] = ["aws_", "hyper", "h2", "rustls", "tower", "mio"];

static STDERR: OnceLock<Lines> = OnceLock::new();

/// Keeps the logs going; dropped, it waits until they are written, at most 1 s.
#[derive(Debug)]
#[must_use = "the last lines are lost if this is dropped early"]
pub struct Logs {
    lines: Lines,
}

/// Starts the logs of this process, for all threads. Once only.
///
/// # Errors
/// One line: a variable that cannot be used (exit 64), or logs that were started before.
pub fn start(environment: &Environment, stderr_is_terminal: bool) -> Result<Logs, String> {
    let filter = filter(environment.value("TRIMTAB_LOG"))?;
    let format = format(environment.value("TRIMTAB_LOG_FORMAT"), stderr_is_terminal)?;
    let lines = Lines::to("logs", io::stderr())
        .map_err(|error| format!("stderr cannot be written: {error}"))?;

    let layer = tracing_subscriber::fmt::layer().with_writer(Writer(lines.clone()));
    let layer = match format {
        Format::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        Format::Text => {
            let colour = stderr_is_terminal && environment.raw("NO_COLOR").is_none();
            layer.with_ansi(colour).with_target(false).boxed()
        }
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|_| "logs were started before".to_owned())?;
    let lines = STDERR.get_or_init(|| lines).clone();
    Ok(Logs { lines })
}

/// Makes a panic one event in the log and exit 70, instead of a text on stderr and SIGABRT.
pub fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned();
        let reason = panic.payload_as_str().unwrap_or("unknown");
        tracing::error!(
            event = "bug",
            place,
            thread,
            reason,
            "internal error: please report it"
        );
        flush(FLUSH_LIMIT);
        signal_hook::low_level::exit(i32::from(Exit::Internal.code()));
    }));
}

/// Waits until all lines so far are written, at most `limit`.
pub(crate) fn flush(limit: Duration) {
    if let Some(lines) = STDERR.get() {
        lines.flush(limit);
    }
}

impl Logs {
    /// Lines that this process lost so far because nobody read them, on stderr and stdout.
    pub fn dropped() -> u64 {
        lines::dropped()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lines.flush(FLUSH_LIMIT);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

fn format(given: Option<&str>, stderr_is_terminal: bool) -> Result<Format, String> {
    match given {
        Some("json") => Ok(Format::Json),
        Some("text") => Ok(Format::Text),
        Some(other) => Err(format!(
            "TRIMTAB_LOG_FORMAT cannot be '{other}': it is one of json, text"
        )),
        None if stderr_is_terminal => Ok(Format::Text),
        None => Ok(Format::Json),
    }
}

/// What is logged. Libraries that the filter does not name are kept at `warn`, or lower if all is.
fn filter(given: Option<&str>) -> Result<Targets, String> {
    let text = given.unwrap_or("info");
    let bad = |_| {
        format!(
            "TRIMTAB_LOG cannot be '{text}': it takes levels and targets, such as info or warn,s3sync=debug"
        )
    };
    let filter: Targets = text.parse().map_err(bad)?;
    let named: Vec<String> = filter.iter().map(|(target, _)| target.to_owned()).collect();
    // A filter that names targets and no level for the rest lets nothing else through.
    let limit = filter
        .default_level()
        .unwrap_or(LevelFilter::OFF)
        .min(LevelFilter::WARN);
    let quiet = LIBRARIES
        .iter()
        .filter(|library| !named.iter().any(|name| name.starts_with(*library)));
    Ok(filter.with_targets(quiet.map(|library| (*library, limit))))
}

/// Hands each event, which the formatter writes in one piece, to the queue.
struct Writer(Lines);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = &'a Writer;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line.to_vec());
        // A dropped line is counted, and no error: the formatter would print one to stderr.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_format_follows_the_terminal_unless_told() {
        for (given, terminal, expected) in [
            (None, true, Ok(Format::Text)),
            (None, false, Ok(Format::Json)),
            (Some("json"), true, Ok(Format::Json)),
            (Some("text"), false, Ok(Format::Text)),
            (
                Some("xml"),
                false,
                Err("TRIMTAB_LOG_FORMAT cannot be 'xml': it is one of json, text".to_owned()),
            ),
        ] {
            assert_eq!(format(given, terminal), expected, "{given:?} {terminal}");
        }
    }

    #[test]
    fn libraries_are_quiet_unless_named() {
        for (given, target, level, shown) in [
            (None, "s3sync::pass", Level::INFO, true),
            (None, "s3sync::pass", Level::DEBUG, false),
            (None, "aws_config::imds", Level::INFO, false),
            (None, "aws_sdk_s3", Level::WARN, true),
            (Some("debug"), "s3sync", Level::DEBUG, true),
            (Some("trace"), "hyper_util::client", Level::INFO, false),
            (Some("error"), "aws_config", Level::WARN, false),
            (
                Some("info,aws_smithy_runtime=debug"),
                "aws_smithy_runtime::client",
                Level::DEBUG,
                true,
            ),
            (Some("s3sync=debug"), "s3sync", Level::DEBUG, true),
            (Some("s3sync=debug"), "agent", Level::ERROR, false),
        ] {
            let filter = filter(given).unwrap();
            assert_eq!(
                filter.would_enable(target, &level),
                shown,
                "{given:?} {target} {level}"
            );
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_one_is() {
        for given in ["s3sync=loud", "info,[span]=debug{"] {
            let error = filter(Some(given)).unwrap_err();
            assert!(
                error.starts_with(&format!("TRIMTAB_LOG cannot be '{given}': ")),
                "{error}"
            );
        }
    }
}
