//! What a clap command needs before it reads settings: variables, their help, their values.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::builder::{Resettable, StyledStr};
use clap::{Arg, ArgAction, Command};

use super::Environment;
use crate::metrics::OWN_NAME;

/// Options that all agents share are read from these too, where neither the flag nor the binary's own
/// variable is set: a task definition gives them once for all of its containers.
const SHARED: [(&str, &str); 2] = [
    ("environment", "TRIMTAB_ENVIRONMENT"),
    ("service", "TRIMTAB_SERVICE"),
];

const LOG_VARIABLES: &str = "Variables without a flag:
  TRIMTAB_LOG         what is logged, such as info or warn,s3sync=debug [default: info]
  TRIMTAB_LOG_FORMAT  json or text [default: text on a terminal, else json]";

/// The command as `--help` shows it: with the names of variables, without their values.
pub(super) fn described(command: Command, prefix: &str) -> Command {
    let name = command.get_name().to_owned();
    every_command(command, &mut |command| {
        let mut footer = LOG_VARIABLES.to_owned();
        for argument in command
            .get_arguments()
            .filter(|argument| is_variable_only(argument))
        {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let variable = variable(argument, prefix).unwrap_or_default();
            footer.push_str(&format!("\n  {variable}  {help}"));
        }
        let footed = command.get_after_help().is_some();
        let command = command.mut_args(|argument| describe(own_name(argument, &name), prefix));
        if footed {
            command
        } else {
            command.after_help(footer)
        }
    })
}

/// The command with the values of variables as its defaults.
pub(super) fn with_variables(command: Command, prefix: &str, environment: &Environment) -> Command {
    let name = command.get_name().to_owned();
    every_command(command, &mut |command| {
        command.mut_args(|argument| fill(own_name(argument, &name), prefix, environment))
    })
}

/// The names of all variables that the command or one of its subcommands reads.
pub(super) fn variables(command: &Command, prefix: &str) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| variable(argument, prefix));
    let below = command
        .get_subcommands()
        .flat_map(|command| variables(command, prefix));
    own.chain(below).collect()
}

/// The variable that sets an argument; positional arguments have one only where `env` names it.
pub(super) fn variable(argument: &Arg, prefix: &str) -> Option<String> {
    if let Some(name) = argument.get_env() {
        return name.to_str().map(str::to_owned);
    }
    let acts = !matches!(
        argument.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    let long = argument.get_long().filter(|_| acts)?;
    Some(format!("{prefix}{}", long.to_uppercase().replace('-', "_")))
}

/// An argument as the user knows it: `--interval`, or `<DEST>`.
pub(super) fn name(argument: &Arg) -> String {
    match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => format!("<{}>", argument.get_id().as_str().to_uppercase()),
    }
}

/// Whether an argument is a flag, which takes no value on the command line.
pub(super) fn is_switch(argument: &Arg) -> bool {
    matches!(
        argument.get_action(),
        ArgAction::SetTrue | ArgAction::SetFalse
    )
}

fn is_variable_only(argument: &Arg) -> bool {
    argument.is_hide_env_values_set() && argument.is_hide_set()
}

fn every_command(command: Command, change: &mut impl FnMut(Command) -> Command) -> Command {
    let command = change(command);
    command.mut_subcommands(|subcommand| every_command(subcommand, change))
}

fn own_name(argument: Arg, name: &str) -> Arg {
    let unset = argument
        .get_default_values()
        .first()
        .is_some_and(|value| value == OWN_NAME);
    if unset {
        argument.default_value(name.to_owned())
    } else {
        argument
    }
}

fn describe(argument: Arg, prefix: &str) -> Arg {
    let Some(variable) = variable(&argument, prefix) else {
        return argument;
    };
    let variable = match shared(&argument) {
        Some(shared) => format!("{variable} or {shared}"),
        None => variable,
    };
    let named = |help: &StyledStr| StyledStr::from(format!("{help} [env: {variable}]"));
    let help = Resettable::from(argument.get_help().map(named));
    let long_help = Resettable::from(argument.get_long_help().map(named));
    // Clap's own way to show a variable shows its value too, and only the process's.
    argument
        .help(help)
        .long_help(long_help)
        .env(Resettable::Reset)
}

/// Clap reads the process's environment when an argument is built: that is forgotten here, and the
/// value from `environment` becomes the default.
fn fill(argument: Arg, prefix: &str, environment: &Environment) -> Arg {
    let Some(variable) = variable(&argument, prefix) else {
        return argument;
    };
    let shared = shared(&argument).and_then(|name| environment.raw(name));
    let value = environment.raw(&variable).or(shared);
    let argument = argument.env(Resettable::Reset);
    match value {
        None => argument,
        Some(value) => {
            let value = if is_switch(&argument) {
                switched(&argument, value)
            } else {
                value.to_owned()
            };
            argument.default_value(value).required(false)
        }
    }
}

/// What a flag's variable says, in clap's words; anything else is left for clap to refuse.
fn switched(argument: &Arg, value: &OsStr) -> OsString {
    let given = value.to_str().map(str::to_lowercase);
    let on = match given.as_deref() {
        Some("true" | "1" | "yes" | "on") => true,
        Some("false" | "0" | "no" | "off") => false,
        _ => return value.to_owned(),
    };
    let stored = on == matches!(argument.get_action(), ArgAction::SetTrue);
    stored.to_string().into()
}

fn shared(argument: &Arg) -> Option<&'static str> {
    SHARED
        .iter()
        .find(|(id, _)| argument.get_id() == id)
        .map(|(_, variable)| *variable)
}
