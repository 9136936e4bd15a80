//! Files that must exist before the service starts: a directory that another task fills.

use crate::failure::Failure;
use agent::exit::Exit;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Between two looks. A look costs a file system's server one request.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until every path exists, at least for one look where the deadline has passed.
///
/// # Errors
/// 69 at the deadline, with the paths that are missing.
pub async fn wait(paths: &[PathBuf], deadline: Instant) -> Result<(), Failure> {
    let started = Instant::now();
    let mut missing: Vec<PathBuf> = paths.to_vec();
    let mut told = 0;
    while !missing.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(found) = tokio::time::timeout(left.max(PAUSE), absent(missing.clone())).await else {
            let why = format!(
                "{} did not answer within {} s: its file system hangs; look at the mount and at its server",
                named(&missing),
                started.elapsed().as_secs()
            );
            return Err(Failure::new(Exit::Unavailable, why));
        };
        missing = found;
        if missing.is_empty() {
            break;
        }
        if told != missing.len() {
            told = missing.len();
            tracing::warn!(event = "files_missing", missing = %named(&missing), "waiting for files");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let why = format!(
                "{} did not appear within {} s: see that what makes them runs, and correct ENTRYPOINT_WAIT_FILES",
                named(&missing),
                started.elapsed().as_secs()
            );
            return Err(Failure::new(Exit::Unavailable, why));
        }
        tokio::time::sleep(PAUSE.min(left)).await;
    }
    if told > 0 {
        tracing::info!(
            event = "files_present",
            seconds = started.elapsed().as_secs_f64(),
            "all files are there"
        );
    }
    Ok(())
}

/// Which of the paths do not exist. On a thread of its own, which is left behind where a network file
/// system hangs: signals are heard all the while, and the process can end.
async fn absent(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let (answer, answered) = oneshot::channel();
    let all = paths.clone();
    std::thread::spawn(move || {
        let absent = |path: &PathBuf| !exists(path);
        let _ = answer.send(paths.into_iter().filter(absent).collect());
    });
    answered.await.unwrap_or(all)
}

/// A dangling link does not count. What may not be looked at counts as missing.
fn exists(path: &Path) -> bool {
    path.metadata().is_ok()
}

fn named(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}
