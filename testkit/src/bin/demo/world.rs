//! What the story takes place in: S3, a directory, the program, and how to wait for something.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use testkit::s3::Server;

use crate::syncer::{self, Syncer};
use crate::tree::{self, Tree};

/// The bucket of the story.
pub(crate) const BUCKET: &str = "airflow-dags";
/// The source as s3sync takes it.
pub(crate) const SOURCE: &str = "s3://airflow-dags/dags";
/// How `watch` is set: short, so that the story is.
const WATCH: [&str; 6] = [
    "--interval",
    "1s",
    "--settle",
    "300ms",
    "--scrub-interval",
    "2s",
];
/// Keys begin so; what follows is the path below the directory.
const PREFIX: &str = "dags/";
/// No single thing in the story takes as long as this on a machine that is not overloaded.
const DEADLINE: Duration = Duration::from_secs(15);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(3);

/// Everything that has to go at the end. Fields are dropped in this order: the process first.
pub(crate) struct World {
    syncer: Option<Syncer>,
    pub(crate) server: Server,
    /// What was in the DAG folder when the story began.
    pub(crate) dags: Tree,
    pub(crate) dags_folder: PathBuf,
    binary: PathBuf,
    pub(crate) dest: PathBuf,
    status: PathBuf,
    interrupted: Arc<AtomicBool>,
    scratch: TempDir,
}

impl World {
    pub(crate) fn build(
        binary: &Path,
        dags_folder: &Path,
        interrupted: Arc<AtomicBool>,
    ) -> anyhow::Result<World> {
        let binary = binary
            .canonicalize()
            .with_context(|| format!("{} is not there; build s3sync first", binary.display()))?;
        let mut dags = tree::read(dags_folder)
            .with_context(|| format!("{} cannot be read", dags_folder.display()))?;
        // Left by an Airflow or a Python that ran in the folder.
        dags.retain(|path, _| !path.ends_with(".pyc"));
        ensure!(
            dags.len() >= 20,
            "{} holds {} files; the story needs the DAG folder of this project",
            dags_folder.display(),
            dags.len()
        );
        let scratch = tempfile::Builder::new().prefix("trimtab-demo-").tempdir()?;
        let dest = scratch.path().join("efs");
        std::fs::create_dir(&dest)?;
        Ok(World {
            syncer: None,
            server: Server::start_with(testkit::s3::Options::default())?,
            dags,
            dags_folder: dags_folder.to_owned(),
            binary,
            dest,
            status: scratch.path().join("status.json"),
            interrupted,
            scratch,
        })
    }

    /// Where everything of the story lies on disk.
    pub(crate) fn scratch_path(&self) -> PathBuf {
        self.scratch.path().to_owned()
    }

    /// Uploads a file.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        self.server.put(BUCKET, &format!("{PREFIX}{path}"), bytes);
    }

    /// Uploads many files at one instant.
    pub(crate) fn put_all(&self, files: &Tree) {
        let objects = files
            .iter()
            .map(|(path, bytes)| (format!("{PREFIX}{path}"), bytes.clone()));
        self.server.put_all(BUCKET, objects);
    }

    /// Deletes a file in S3.
    pub(crate) fn delete(&self, path: &str) -> bool {
        self.server.delete(BUCKET, &format!("{PREFIX}{path}"))
    }

    /// What S3 holds below the prefix; `.s3sync/` is for s3sync's own messages.
    pub(crate) fn wanted(&self) -> Tree {
        let objects = self.server.objects(BUCKET).into_iter();
        objects
            .filter_map(|(key, bytes)| Some((key.strip_prefix(PREFIX)?.to_owned(), bytes)))
            .filter(|(path, _)| !path.starts_with(".s3sync/"))
            .collect()
    }

    /// What a reader of the directory finds now.
    pub(crate) fn found(&self) -> anyhow::Result<Tree> {
        tree::read(&self.dest).with_context(|| format!("{} cannot be read", self.dest.display()))
    }

    /// Every version that S3 ever held of a file.
    pub(crate) fn versions(&self, path: &str) -> Vec<Bytes> {
        self.server.history(BUCKET, &format!("{PREFIX}{path}"))
    }

    /// The `detail` of the status file, `Null` before there is one.
    pub(crate) fn detail(&self) -> Value {
        syncer::status(&self.status).map_or(Value::Null, |mut status| status["detail"].take())
    }

    /// Starts `s3sync watch`; returns the command line for the terminal.
    pub(crate) fn start_syncer(&mut self) -> anyhow::Result<String> {
        let mut command = self.command("watch");
        command.arg(SOURCE).arg(&self.dest).args(WATCH);
        command.arg("--status-file").arg(&self.status);
        // The status of one that was killed must not be taken for the new one's.
        let _ = std::fs::remove_file(&self.status);
        self.syncer = Some(Syncer::start(command)?);
        Ok(format!(
            "s3sync watch {SOURCE} {} {}",
            self.dest.display(),
            WATCH.join(" ")
        ))
    }

    /// `kill -9`.
    pub(crate) fn kill_syncer(&mut self) -> anyhow::Result<()> {
        self.syncer.take().context("no s3sync runs")?.kill()
    }

    /// SIGTERM, and the time that it took to end.
    pub(crate) fn stop_syncer(&mut self) -> anyhow::Result<Duration> {
        self.syncer.take().context("no s3sync runs")?.stop(DEADLINE)
    }

    /// Runs another command of s3sync to its end; returns its stdout.
    pub(crate) fn run<const N: usize>(
        &self,
        name: &str,
        rest: [&str; N],
    ) -> anyhow::Result<String> {
        let mut command = self.command(name);
        command.args(rest);
        syncer::answer(command, self.scratch.path(), DEADLINE)
    }

    /// Waits until the check gives a value; returns it with the time since `start`.
    ///
    /// # Errors
    /// When it does not within the deadline: what the check said last. At once when s3sync has
    /// ended, or the person has pressed Ctrl-C.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        start: Instant,
        mut check: impl FnMut(&World) -> anyhow::Result<Result<T, String>>,
    ) -> anyhow::Result<(T, Duration)> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
            let seen = match check(self)? {
                Ok(value) => return Ok((value, start.elapsed())),
                Err(seen) => seen,
            };
            if let Some(syncer) = &mut self.syncer
                && let Some(status) = syncer.ended()?
            {
                bail!(
                    "s3sync ended with {status} while {what} was awaited; {}",
                    syncer.last_lines()
                );
            }
            if Instant::now() > deadline {
                let log = self
                    .syncer
                    .as_ref()
                    .map_or_else(String::new, Syncer::last_lines);
                bail!("{what}: not within {DEADLINE:?}; seen instead: {seen}; {log}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the directory holds byte for byte what S3 does.
    pub(crate) fn until_equal(&mut self, start: Instant) -> anyhow::Result<Duration> {
        let wanted = self.wanted();
        let ((), time) = self.until("the directory equals the prefix", start, |world| {
            Ok(match tree::difference(&wanted, &world.found()?) {
                None => Ok(()),
                Some(difference) => Err(difference),
            })
        })?;
        Ok(time)
    }

    /// A program that sees nothing of this shell's settings and finds the story's S3 alone.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg(name)
            .env_clear()
            .envs(self.server.environment())
            .env("TRIMTAB_LOG_FORMAT", "json");
        command
    }
}
