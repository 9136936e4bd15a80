//! The publisher's side of releases: `publish`, `releases`, `rollback`, `prune` and `wait`.
//!
//! A release in one line: `tree` reads the directory, `upload` puts the content that S3 lacks
//! under its SHA-256, then the manifest is put, and last `current` moves the pointer under a
//! condition. A publisher that is killed before that has changed nothing that a reader sees.

mod current;
mod diff;
mod keep;
mod marker;
mod prune;
mod release;
mod releases;
mod reports;
mod rollback;
pub mod settings;
mod tree;
mod upload;
mod verdict;
mod wait;

pub use prune::prune;
pub use release::publish;
pub use releases::releases;
pub use rollback::rollback;
pub use tree::filter;
pub use wait::wait;

use crate::session::{Ending, Surroundings};
use crate::settings::{Checksums, Transfer};
use crate::source::{Location, Source};
use agent::exit::Exit;
use agent::settings::Environment;
use std::time::{Duration, Instant, SystemTime};

/// Runs a command that a signal ends with 69: who goes on after it must not take a release that was
/// not made for one that was.
///
/// # Errors
/// As `work`, and when it was stopped.
pub async fn unless_stopped<T>(
    around: &Surroundings,
    work: impl Future<Output = Result<T, Ending>>,
) -> Result<T, Ending> {
    tokio::select! {
        result = work => result,
        () = around.shutdown.wait() => Err(Ending::new(
            Exit::Unavailable,
            "stopped by a signal before it was done: run it again",
        )),
    }
}

/// A source for so many requests at once.
fn source(around: &Surroundings, location: &Location, concurrency: usize) -> Source {
    let transfer = Transfer {
        concurrency,
        part_size: 8 << 20,
        checksums: Checksums::WhenSupported,
    };
    around.source(location, &transfer)
}

/// A source for a few requests.
fn quiet_source(around: &Surroundings, location: &Location) -> Source {
    source(around, location, 1)
}

/// Who publishes, by the option or by what CI systems and shells say.
fn author(option: Option<&str>, environment: &Environment) -> Option<String> {
    let said = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| environment.value(name))
        .find(|value| !value.trim().is_empty());
    let author: String = option
        .or(said)?
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let end = author.floor_char_boundary(crate::release::MOST_NAME);
    Some(author[..end].to_string()).filter(|author| !author.is_empty())
}

/// Time that also goes on while the machine sleeps.
struct Clock(Instant, SystemTime);

impl Clock {
    fn start() -> Self {
        Clock(Instant::now(), SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// `1 file`, `2 files`.
fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", count as f64 / unit as f64),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_author_is_the_first_that_says_something() {
        let environment = |pairs: &[(&str, &str)]| Environment::from_pairs(pairs.to_vec());
        let ci = environment(&[("GITHUB_ACTOR", "octo\n"), ("USER", "root")]);
        assert_eq!(author(Some("ann"), &ci).as_deref(), Some("ann"));
        assert_eq!(author(None, &ci).as_deref(), Some("octo"));
        let shell = environment(&[("GITHUB_ACTOR", ""), ("LOGNAME", "ben")]);
        assert_eq!(author(None, &shell).as_deref(), Some("ben"));
        assert_eq!(author(None, &environment(&[])), None);
        let long = "é".repeat(500);
        let kept = author(None, &environment(&[("USER", &long)]));
        assert_eq!(kept.map(|kept| kept.len()), Some(200));
    }

    #[test]
    fn bytes_are_shown_in_their_unit() {
        let shown = [0, 1023, 1024, 1_610_612_736].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
    }
}
