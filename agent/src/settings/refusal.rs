//! Clap's errors in one line: which setting, by flag and variable, and what it takes.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::{command, environment};

/// `error` in one line; `definition` is the command with the names of its variables still in place.
pub(super) fn one_line(error: &Error, definition: &Command, prefix: &str) -> String {
    // Clap names arguments as they are once built, and renders one that is not by panicking.
    let mut definition = definition.clone();
    definition.build();
    let definition = &definition;
    let invalid = texts(error, ContextKind::InvalidArg);
    let first = invalid.first().map(String::as_str).unwrap_or_default();
    let line = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            bad_value(error, definition, prefix, first)
        }
        ErrorKind::UnknownArgument => unknown_argument(definition, first),
        ErrorKind::InvalidSubcommand => unknown_command(error, definition),
        ErrorKind::MissingRequiredArgument => missing(definition, prefix, &invalid),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!(
                "a command is missing: {}, see --help",
                commands(definition).join(", ")
            )
        }
        ErrorKind::ArgumentConflict => conflict(error, first),
        ErrorKind::InvalidUtf8 => "an argument or a variable is not UTF-8".to_owned(),
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{first} has too few or too many values")
        }
        ErrorKind::TooManyValues => format!("{first} has a value too many"),
        _ => first_line(error),
    };
    // Values come from outside and may hold line breaks.
    line.replace(['\n', '\r'], " ")
}

fn bad_value(error: &Error, definition: &Command, prefix: &str, usage: &str) -> String {
    let argument = find(definition, usage);
    let name = match argument {
        Some(argument) => with_variable(argument, prefix),
        None => usage.to_owned(),
    };
    let value = texts(error, ContextKind::InvalidValue).concat();
    let takes = what_it_takes(error, argument);
    if value.is_empty() && error.source().is_none() {
        return format!("{name} needs a value: {takes}");
    }
    if argument.is_some_and(Arg::is_hide_env_values_set) {
        // A parser's message may quote what it was given.
        let takes = if takes.contains(&value) {
            "see --help"
        } else {
            &takes
        };
        return format!("{name} has a value that cannot be used: {takes}");
    }
    format!("{name} cannot be '{value}': {takes}")
}

fn what_it_takes(error: &Error, argument: Option<&Arg>) -> String {
    if argument.is_some_and(command::is_switch) {
        return "it is true or false, 1 or 0, yes or no, on or off".to_owned();
    }
    let valid = texts(error, ContextKind::ValidValue);
    if !valid.is_empty() {
        return format!("it is one of {}", valid.join(", "));
    }
    match error.source() {
        Some(source) if source.is::<std::num::ParseIntError>() => "it is a whole number".to_owned(),
        Some(source) => source.to_string(),
        None => "see --help".to_owned(),
    }
}

fn unknown_argument(definition: &Command, given: &str) -> String {
    let Some(long) = given.strip_prefix("--") else {
        return format!("'{given}' is one argument too many, see --help");
    };
    let longs = longs(definition);
    if longs.iter().any(|known| known == long) {
        return format!("--{long} is not an option of this command, see --help");
    }
    match environment::nearest(long, longs.iter().map(String::as_str)) {
        Some(nearest) => format!("--{long} is not an option, the nearest is --{nearest}"),
        None => format!("--{long} is not an option, see --help"),
    }
}

fn unknown_command(error: &Error, definition: &Command) -> String {
    let given = texts(error, ContextKind::InvalidSubcommand).concat();
    format!(
        "'{given}' is not a command, the commands are {}",
        commands(definition).join(", ")
    )
}

fn missing(definition: &Command, prefix: &str, usages: &[String]) -> String {
    let names = usages.iter().map(|usage| match find(definition, usage) {
        Some(argument) => with_variable(argument, prefix),
        None => usage.clone(),
    });
    format!(
        "missing {}, see --help",
        names.collect::<Vec<_>>().join(", ")
    )
}

fn conflict(error: &Error, first: &str) -> String {
    let others = texts(error, ContextKind::PriorArg);
    match others.as_slice() {
        [other] if other == first => format!("{first} is given twice"),
        [] => format!("{first} cannot be used with other options"),
        others => format!("{first} cannot be used with {}", others.join(", ")),
    }
}

fn with_variable(argument: &Arg, prefix: &str) -> String {
    match command::variable(argument, prefix) {
        Some(variable) if argument.is_hide_set() => variable,
        Some(variable) => format!("{} ({variable})", command::name(argument)),
        None => command::name(argument),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The argument that clap shows as `usage`, such as `--interval <INTERVAL>`, in this command or below.
fn find<'a>(definition: &'a Command, usage: &str) -> Option<&'a Arg> {
    let mut below = definition.get_subcommands();
    let here = definition
        .get_arguments()
        .find(|argument| argument.to_string() == usage);
    here.or_else(|| below.find_map(|command| find(command, usage)))
}

fn longs(definition: &Command) -> Vec<String> {
    let shown = definition
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let own = shown.filter_map(Arg::get_long).map(str::to_owned);
    own.chain(definition.get_subcommands().flat_map(longs))
        .collect()
}

fn commands(definition: &Command) -> Vec<&str> {
    let shown = definition
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    shown
        .map(Command::get_name)
        .filter(|name| *name != "help")
        .collect()
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
