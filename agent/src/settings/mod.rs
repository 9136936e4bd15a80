//! Settings: every option is one clap definition, read from its flag or from its variable.
//!
//! An option with a long flag has a variable without further ado: the binary's prefix and the flag in
//! capitals, `--max-delete` and `S3SYNC_MAX_DELETE`; `env` on the argument names another. The flag
//! wins over the variable, the variable over the default. A variable is a default that the deployment
//! sets: it satisfies `required`, and conflicts with nothing. An empty variable counts as unset.
//!
//! `hide_env_values` marks a secret: its value is never shown, and its flag warns that a process list
//! shows it. With `hide` as well it has no flag at all, only the variable.

mod command;
mod environment;
mod refusal;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};

pub use self::environment::Environment;
pub use self::values::{duration, mode, show_duration, show_size, size};
pub use crate::metrics::MetricsSettings;

/// Why the program goes no further than its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `--help` or `--version` was asked for: goes to stdout, exit 0.
    Help(String),
    /// A mistake, in one line: goes to stderr, exit 64.
    Usage(String),
}

/// Settings, and what is odd but not wrong about them.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    /// What flags, variables and defaults came to.
    pub settings: T,
    /// One line each: variables with the prefix that no option reads, secrets given as flags.
    pub warnings: Vec<String>,
}

/// `--status-file`, for binaries that have one.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusSettings {
    /// Status file, replaced every 5 s [default: /run/trimtab/BINARY.json]
    #[arg(long, value_name = "FILE")]
    pub status_file: Option<PathBuf>,
}

/// `--output`, for commands that answer on stdout.
#[derive(clap::Args, Clone, Debug)]
pub struct OutputSettings {
    /// How the answer on stdout is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// How an answer on stdout is written.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Reads the settings `T` from `args`, the first of which is the program's name, and `environment`.
///
/// `prefix` is the binary's, `S3SYNC_`. The process's own environment is not looked at.
///
/// # Errors
/// [`Refusal::Help`] where help or the version was asked for, [`Refusal::Usage`] for all else.
pub fn parse<T: Parser>(
    prefix: &str,
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Parsed<T>, Refusal> {
    let args: Vec<OsString> = args.into_iter().collect();
    let definition = T::command();
    let usage = |error: clap::Error| Refusal::Usage(refusal::one_line(&error, &definition, prefix));

    let command = command::with_variables(definition.clone(), prefix, environment);
    let matches = command
        .try_get_matches_from(&args)
        .map_err(|error| match error.kind() {
            // From a command that knows no values: help must not show a variable's value as the default.
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                help(command::described(definition.clone(), prefix), &args)
            }
            _ => usage(error),
        })?;

    let known = command::variables(&definition, prefix);
    let mut warnings = environment::unknown(prefix, &known, environment);
    secrets_on_the_command_line(&definition, &matches, prefix, &mut warnings)?;
    let settings = T::from_arg_matches(&matches).map_err(usage)?;
    Ok(Parsed { settings, warnings })
}

fn help(mut described: Command, args: &[OsString]) -> Refusal {
    match described.try_get_matches_from_mut(args) {
        Err(error) => Refusal::Help(error.to_string()),
        // Not reached as long as values are all that the two commands differ in.
        Ok(_) => Refusal::Help(described.render_long_help().to_string()),
    }
}

fn secrets_on_the_command_line(
    command: &Command,
    matches: &ArgMatches,
    prefix: &str,
    warnings: &mut Vec<String>,
) -> Result<(), Refusal> {
    for argument in command
        .get_arguments()
        .filter(|argument| argument.is_hide_env_values_set())
    {
        let Some(variable) = command::variable(argument, prefix) else {
            continue;
        };
        let known = matches
            .try_contains_id(argument.get_id().as_str())
            .unwrap_or(false);
        if !known
            || matches.value_source(argument.get_id().as_str()) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let flag = command::name(argument);
        if argument.is_hide_set() {
            return Err(Refusal::Usage(format!(
                "{flag} is a secret and has no flag: a process list would show it, set {variable} instead"
            )));
        }
        warnings.push(format!(
            "{flag} is a secret and a process list shows it, set {variable} instead"
        ));
    }
    match matches.subcommand() {
        Some((name, matches)) => match command.find_subcommand(name) {
            Some(command) => secrets_on_the_command_line(command, matches, prefix, warnings),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
