//! Airflow's own commands, run as children that never outlive their purpose.

use crate::supervise::{
    Child, Children, Input, Launch, Outcome, Output, Scope, Signal, SpawnError,
};
use crate::variables::Variables;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

/// From SIGTERM to SIGKILL: Python ends at once, unless it is deep in a library.
const END: Duration = Duration::from_secs(5);

/// No answer that is read is longer, log lines of Airflow's among it included.
const LONGEST_ANSWER: usize = 64 << 10;

/// A child that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts `airflow` with these words. What it writes goes where our own output goes.
    pub(crate) fn airflow(
        children: &Children,
        words: &[&str],
        mut variables: Vec<(OsString, OsString)>,
        input: Input,
        more: &[(&str, &str)],
    ) -> Result<Self, SpawnError> {
        variables.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
        variables.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
        Self::spawn(children, words, variables, input, Output::Inherit)
    }

    /// As [`Running::airflow`], with its standard output for [`Running::answer`].
    pub(crate) fn asking(
        children: &Children,
        words: &[&str],
        variables: Vec<(OsString, OsString)>,
    ) -> Result<Self, SpawnError> {
        Self::spawn(children, words, variables, Input::Null, Output::Piped)
    }

    fn spawn(
        children: &Children,
        words: &[&str],
        variables: Vec<(OsString, OsString)>,
        input: Input,
        output: Output,
    ) -> Result<Self, SpawnError> {
        let words = words.iter().map(Into::into).collect();
        let mut launch = Launch::new("airflow", words, variables);
        launch.input = input;
        launch.output = output;
        // Without a terminal: getpass would ask it in place of its input.
        launch.session = true;
        launch.dies_with_us = true;
        Ok(Self {
            child: children.spawn(launch)?,
        })
    }

    /// Reads what it writes to its standard output, and waits for its end. What is beyond
    /// [`LONGEST_ANSWER`] is read and left.
    pub(crate) async fn answer(&mut self) -> (Outcome, Vec<u8>) {
        let mut answer = Vec::new();
        if let Some(output) = self.child.output.take() {
            let mut bytes = [0; 4096];
            while output.readable().await.is_ok() {
                match output.try_read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) if answer.len() < LONGEST_ANSWER => {
                        answer.extend_from_slice(&bytes[..count]);
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        }
        (self.child.wait().await, answer)
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Outcome {
        self.child.wait().await
    }

    /// Ends it, and all of its group.
    pub(crate) async fn end(&mut self) -> Outcome {
        self.child.signal(Signal::TERM, Scope::Group);
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.child.signal(Signal::KILL, Scope::Group);
                self.child.wait().await
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.ended().is_none() {
            self.child.signal(Signal::KILL, Scope::Group);
        }
    }
}

/// How a child ended, in words.
pub(crate) fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit code {code}"),
        Outcome::Signalled(signal) => match Signal::new(signal) {
            Some(signal) => signal.to_string(),
            None => format!("signal {signal}"),
        },
    }
}

/// The variables of a migration. A URL that names its sessions itself would win over `PGAPPNAME`.
pub(crate) fn migrating(variables: &Variables) -> Vec<(OsString, OsString)> {
    const URLS: [&str; 2] = [
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    ];
    let mut owned = variables.owned();
    for (name, value) in &mut owned {
        if URLS.iter().any(|url| name == url)
            && let Some(text) = value.to_str()
        {
            *value = without_application_name(text).into();
        }
    }
    owned
}

fn without_application_name(url: &str) -> String {
    let Some((base, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let kept = query
        .split('&')
        .filter(|pair| !pair.starts_with("application_name="));
    let kept = kept.collect::<Vec<_>>().join("&");
    if kept.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{kept}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migrations_sessions_have_no_name_from_the_url() {
        for (url, expected) in [
            ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
            (
                "postgresql://u:p@h/d?application_name=x",
                "postgresql://u:p@h/d",
            ),
            (
                "postgresql://u:p@h/d?sslmode=require&application_name=x&connect_timeout=3",
                "postgresql://u:p@h/d?sslmode=require&connect_timeout=3",
            ),
        ] {
            assert_eq!(without_application_name(url), expected);
        }
        let variables = Variables::from_pairs([
            (
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
                "postgresql://h/d?application_name=x",
            ),
            ("OTHER", "a?application_name=x"),
        ]);
        let values: Vec<_> = migrating(&variables)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(values, ["postgresql://h/d", "a?application_name=x"]);
    }

    #[test]
    fn an_end_is_named() {
        assert_eq!(describe(Outcome::Exited(1)), "exit code 1");
        assert_eq!(describe(Outcome::Signalled(9)), "SIGKILL");
    }
}
