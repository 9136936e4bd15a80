//! Every option of every command, once.

use crate::filter::Filter;
use crate::gate::{Limit, Mode, Policy};
use crate::publish::settings::{Prune, Publish, Releases, Rollback, Wait};
use crate::source::Location;
use agent::settings::{MetricsSettings, Output, OutputSettings, StatusSettings, mode, size};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

mod landing;
mod timing;

pub use landing::{Landing, Layout};
pub use timing::{Interval, Timing, monthly_cost};

/// The prefix of the variables.
pub const PREFIX: &str = "S3SYNC_";

/// The version and the commit that it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TRIMTAB_COMMIT"), ")");

/// Keeps a directory equal to an S3 prefix, by checksum.
#[derive(Parser, Clone, Debug)]
#[command(name = "s3sync", version = VERSION, disable_help_subcommand = true)]
pub struct Settings {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Makes one pass, and reports on stdout
    Once(Once),
    /// Keeps DEST equal to the prefix, for ever
    Watch(Watch),
    /// Shows what a pass would do, without the lock; exit 1 when it would do something
    Plan(Plan),
    /// Hashes every file, without the lock; exit 1 when one differs
    Verify(Plan),
    /// Prints the revision that a local directory would have
    Digest(DigestOf),
    /// Releases a held set of deletes
    Approve(Approve),
    /// Makes DIR the current release: all of it or nothing
    Publish(Publish),
    /// Lists the releases, the newest first, and where each runs
    Releases(Releases),
    /// Makes an earlier release the current one
    Rollback(Rollback),
    /// Removes old releases, and the content that no release needs
    Prune(Prune),
    /// Waits until the environments have a release, by their reports; 69 when they have not
    Wait(Wait),
}

/// From where to where.
#[derive(Args, Clone, Debug)]
pub struct Ends {
    /// s3://BUCKET/PREFIX; a prefix means PREFIX/
    #[arg(value_name = "s3://BUCKET/PREFIX")]
    pub source: Location,
    /// The directory
    #[arg(value_name = "DEST")]
    pub dest: PathBuf,
}

/// `once`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Once {
    #[command(flatten)]
    pub ends: Ends,
    #[command(flatten)]
    pub deletes: Deletes,
    #[command(flatten)]
    pub patterns: Patterns,
    #[command(flatten)]
    pub transfer: Transfer,
    #[command(flatten)]
    pub local: LocalFiles,
    #[command(flatten)]
    pub landing: Landing,
    #[command(flatten)]
    pub output: OutputSettings,
    #[command(flatten)]
    pub status: StatusSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// `watch`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Watch {
    #[command(flatten)]
    pub ends: Ends,
    #[command(flatten)]
    pub timing: Timing,
    #[command(flatten)]
    pub deletes: Deletes,
    #[command(flatten)]
    pub patterns: Patterns,
    #[command(flatten)]
    pub transfer: Transfer,
    #[command(flatten)]
    pub local: LocalFiles,
    #[command(flatten)]
    pub landing: Landing,
    /// Leave a small object that says what runs here, below this prefix: .s3sync/reports/ENVIRONMENT.json
    #[arg(long, value_name = "s3://BUCKET/PREFIX", help_heading = "Report")]
    pub report: Option<Location>,
    #[command(flatten)]
    pub status: StatusSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// `plan` and `verify`
#[derive(Args, Clone, Debug)]
#[expect(missing_docs, reason = "each part documents itself")]
pub struct Plan {
    #[command(flatten)]
    pub ends: Ends,
    #[command(flatten)]
    pub deletes: Deletes,
    #[command(flatten)]
    pub patterns: Patterns,
    #[command(flatten)]
    pub transfer: Transfer,
    /// Where the state is [default: DEST/.s3sync]
    #[arg(long, value_name = "DIR", help_heading = "Local files")]
    pub state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputSettings,
    #[command(flatten)]
    pub metrics: MetricsSettings,
}

/// `digest`
#[derive(Args, Clone, Debug)]
pub struct DigestOf {
    /// The directory
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub patterns: Patterns,
    #[command(flatten)]
    #[expect(missing_docs, reason = "each part documents itself")]
    pub output: OutputSettings,
}

/// `approve`
#[derive(Args, Clone, Debug)]
pub struct Approve {
    /// s3://BUCKET/PREFIX; a prefix means PREFIX/
    #[arg(value_name = "s3://BUCKET/PREFIX")]
    pub source: Location,
    /// The ID of the held set, as log, status, report and plan name it
    #[arg(value_name = "ID", value_parser = held_id)]
    pub id: String,
}

/// What may be deleted.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Deletes")]
pub struct Deletes {
    /// Which files a pass may remove: managed, what s3sync wrote or adopted; all, everything that
    /// S3 does not have and no pattern excludes; never
    #[arg(long, value_enum, value_name = "WHICH", default_value = "managed")]
    pub delete: DeleteMode,
    /// Most deletes in an hour, a count or a share of the most files managed within it; three are
    /// always free, a move is none, and beyond it deletes are held until approved
    #[arg(long, value_name = "COUNT|SHARE", default_value = "50%", value_parser = limit)]
    pub max_delete: Limit,
    /// An empty listing may delete
    #[arg(long)]
    pub allow_empty: bool,
}

impl Deletes {
    /// What the gate needs.
    pub fn policy(&self) -> Policy {
        let mode = match self.delete {
            DeleteMode::Managed => Mode::Managed,
            DeleteMode::All => Mode::All,
            DeleteMode::Never => Mode::Never,
        };
        Policy {
            mode,
            limit: self.max_delete,
            allow_empty: self.allow_empty,
        }
    }
}

/// `--delete`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum DeleteMode {
    Managed,
    All,
    Never,
}

/// What is synced.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Patterns")]
pub struct Patterns {
    /// Only what matches, gitignore patterns on the path below the prefix
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pattern)]
    pub include: Vec<String>,
    /// Nothing that matches; wins over --include; always excluded: __pycache__/ *.pyc .git/ .nfs*
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = pattern)]
    pub exclude: Vec<String>,
}

impl Patterns {
    /// The filter. The patterns were checked when they were read.
    pub fn filter(&self) -> Result<Filter, String> {
        Filter::new(&self.include, &self.exclude)
    }
}

/// How objects are fetched.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transfer")]
pub struct Transfer {
    /// Files in flight, 1 to 256; memory is bounded by this times the part size
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = concurrency)]
    pub concurrency: usize,
    /// Larger objects are fetched in ranges of this size, 1MiB to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = part_size)]
    pub part_size: u64,
    /// Ask S3 for stored checksums with each object, or never: some other stores refuse to be asked
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "when-supported"
    )]
    pub checksums: Checksums,
}

/// `--checksums`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum Checksums {
    WhenSupported,
    WhenRequired,
}

/// What is made below DEST.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Local files")]
pub struct LocalFiles {
    /// A changed object that cannot be fetched: hold its set back for two passes, or skip it at once
    #[arg(long, value_enum, value_name = "WHAT", default_value = "hold")]
    pub on_failure: OnFailure,
    /// DEST's manifest names another source: take it over
    #[arg(long)]
    pub adopt: bool,
    /// Mode of files
    #[arg(long, value_name = "MODE", default_value = "0664", value_parser = mode)]
    pub file_mode: u32,
    /// Mode of directories
    #[arg(long, value_name = "MODE", default_value = "0775", value_parser = mode)]
    pub dir_mode: u32,
    /// Manifest, staging, lock and heartbeat; on DEST's file system [default: DEST/.s3sync]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `--on-failure`
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the option's help says it")]
pub enum OnFailure {
    Hold,
    Skip,
}

/// How an answer goes to stdout.
pub fn is_json(output: &OutputSettings) -> bool {
    output.output == Output::Json
}

fn limit(text: &str) -> Result<Limit, String> {
    text.parse()
}

fn pattern(text: &str) -> Result<String, String> {
    Filter::new(&[text.to_string()], &[]).map(|_| text.to_string())
}

pub(crate) fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=256).contains(&count) => Ok(count),
        _ => Err("it takes a number from 1 to 256".to_string()),
    }
}

fn part_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if ((1 << 20)..=(1 << 30)).contains(&bytes) => Ok(bytes),
        _ => Err("it takes a size from 1MiB to 1GiB".to_string()),
    }
}

fn held_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 16
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match is_id {
        true => Ok(text.to_string()),
        false => Err(
            "it takes the 16 hexadecimal digits that log, status, report and plan show".to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_hexadecimal_digits() {
        assert!(held_id("0123456789abcdef").is_ok());
        for text in [
            "",
            "../0123456789abc",
            "0123456789ABCDEF",
            "0123456789abcde",
            "0123456789abcdef0",
        ] {
            assert!(held_id(text).is_err(), "{text}");
        }
    }
}
