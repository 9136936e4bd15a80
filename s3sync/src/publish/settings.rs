//! Every option of the commands about releases, once.

use crate::release::MOST_NAME;
use crate::settings::Patterns;
use crate::source::Location;
use agent::settings::{OutputSettings, duration};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `publish`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Publish {
    /// The directory whose tree becomes the release
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// What people call the release, as a tag or a commit
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = "Release")]
    pub name: Option<String>,
    /// Who publishes [default: GITHUB_ACTOR, GITLAB_USER_LOGIN, USER or LOGNAME]
    #[arg(long, value_name = "AUTHOR", value_parser = name, help_heading = "Release")]
    pub author: Option<String>,
    /// Show what would change against the current release, and write nothing
    #[arg(long, help_heading = "Release")]
    pub dry_run: bool,
    /// A directory without files becomes an empty release
    #[arg(long, help_heading = "Release")]
    pub allow_empty: bool,
    /// Upload every file again, also those that S3 has
    #[arg(long, help_heading = "Release")]
    pub upload_all: bool,
    #[command(flatten)]
    pub patterns: Patterns,
    /// Uploads at once, 1 to 256
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "16",
        value_parser = crate::settings::concurrency,
        help_heading = "Transfer"
    )]
    pub concurrency: usize,
    /// Wait until the environments have it, by their reports
    #[arg(long, help_heading = "Waiting")]
    pub wait: bool,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// `releases`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Releases {
    #[command(flatten)]
    pub place: Place,
    /// How many of the newest are shown
    #[arg(long, value_name = "COUNT", default_value = "20")]
    pub last: usize,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// `rollback`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Rollback {
    #[command(flatten)]
    pub place: Place,
    /// The name of a release, or six or more digits of its ID [default: the one before the current]
    #[arg(value_name = "ID|NAME")]
    pub to: Option<String>,
    /// Who rolls back [default: GITHUB_ACTOR, GITLAB_USER_LOGIN, USER or LOGNAME]
    #[arg(long, value_name = "AUTHOR", value_parser = name)]
    pub author: Option<String>,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// `prune`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Prune {
    #[command(flatten)]
    pub place: Place,
    /// How many of the newest releases stay; the current one, the one before it, and those that a
    /// report names stay beyond that
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = keep)]
    pub keep: usize,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// `wait`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Wait {
    #[command(flatten)]
    pub place: Place,
    /// A revision or a release, six or more digits of it [default: the current release]
    #[arg(long, value_name = "REVISION", value_parser = digits)]
    pub revision: Option<String>,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// Where releases are.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// s3://BUCKET/PREFIX; a prefix means PREFIX/
    #[arg(value_name = "s3://BUCKET/PREFIX")]
    pub location: Location,
}

/// Where watchers tell what they have.
#[derive(Args, Clone, Debug)]
pub struct Reports {
    /// Where the watchers' --report points [default: the releases' own prefix]
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    pub report: Option<Location>,
}

/// For what to wait, and how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Waiting")]
pub struct Waiting {
    /// Environments that must have it [default: all that report]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub environment: Vec<String>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub reports: Reports,
}

/// One line that fits into a pointer.
fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= MOST_NAME;
    match fits && !text.chars().any(char::is_control) {
        true => Ok(text.to_string()),
        false => Err(format!(
            "it takes 1 to {MOST_NAME} bytes without control characters"
        )),
    }
}

fn keep(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count >= 1 => Ok(count),
        _ => Err("it takes a number from 1".to_string()),
    }
}

/// The beginning of a hash.
fn digits(text: &str) -> Result<String, String> {
    match is_beginning(text) {
        true => Ok(text.to_string()),
        false => Err("it takes 6 to 64 lower-case hexadecimal digits".to_string()),
    }
}

/// Whether a text can be the beginning of a hash that a person typed.
pub(super) fn is_beginning(text: &str) -> bool {
    (6..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_fits_into_a_pointer() {
        for (text, taken) in [
            ("2026-11-21-1", true),
            ("über", true),
            ("", false),
            ("a\nb", false),
            ("a\u{1b}[2J", false),
        ] {
            assert_eq!(name(text).is_ok(), taken, "{text:?}");
        }
        assert!(name(&"x".repeat(MOST_NAME)).is_ok());
        assert!(name(&"x".repeat(MOST_NAME + 1)).is_err());
    }

    #[test]
    fn a_revision_takes_six_digits_or_more() {
        for (text, taken) in [
            ("abc123", true),
            ("abc12", false),
            ("ABC123", false),
            ("abc12g", false),
            ("../etc", false),
        ] {
            assert_eq!(digits(text).is_ok(), taken, "{text:?}");
        }
    }
}
