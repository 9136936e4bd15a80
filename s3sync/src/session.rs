//! What every command needs before it can begin: the AWS client, DEST, the rules, the lock.

use crate::dest::{Dest, DestError, Modes};
use crate::failure::Failure;
use crate::lock::{self, Attempt, Heartbeat, Lock};
use crate::pass::now;
use crate::prepare::blocking;
use crate::settings::{
    Checksums, Deletes, Ends, Landing, LocalFiles, OnFailure, Patterns, Transfer,
};
use crate::source::{Options, Source};
use crate::writer::Rules;
use agent::exit::Exit;
use agent::settings::Environment;
use agent::shutdown::Shutdown;
use agent::status::Status;
use aws_config::SdkConfig;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A command ends: with this code, for this reason.
#[derive(Debug)]
pub struct Ending {
    /// The code.
    pub exit: Exit,
    /// One line for the person on call.
    pub why: String,
}

impl Ending {
    /// An ending.
    pub fn new(exit: Exit, why: impl ToString) -> Self {
        Ending {
            exit,
            why: why.to_string(),
        }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Ending::new(failure.exit(), failure)
    }
}

/// What surrounds a command.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Variables.
    pub environment: Environment,
    /// Signals.
    pub shutdown: Shutdown,
    /// The status file.
    pub status: Status,
    /// Whether stdout is taken by metrics.
    pub sdk: SdkConfig,
}

impl Surroundings {
    /// The client for a source.
    pub fn source(&self, location: &crate::source::Location, transfer: &Transfer) -> Source {
        let options = Options {
            part_size: transfer.part_size,
            concurrency: transfer.concurrency,
            checksum_when_required: transfer.checksums == Checksums::WhenRequired,
        };
        let path_style = agent::aws::endpoint_is_custom(&self.environment, "S3");
        Source::new(&self.sdk, location.clone(), path_style, options)
    }

    /// DEST, opened for writing on a thread that may hang.
    pub async fn dest(
        &self,
        ends: &Ends,
        local: &LocalFiles,
        landing: &Landing,
    ) -> Result<Arc<Dest>, DestError> {
        let layout = landing.layout;
        let (path, state) = (ends.dest.clone(), local.state_dir.clone());
        let modes = Modes {
            file: local.file_mode,
            directory: local.dir_mode,
        };
        let opened = blocking(&self.status, "open", move || {
            Dest::open_as(layout, &path, state.as_deref(), modes)
        })
        .await;
        opened.map(Arc::new)
    }

    /// DEST, opened for reading only.
    pub async fn look(
        &self,
        dest: &Path,
        state: Option<&Path>,
    ) -> Result<Option<Arc<Dest>>, DestError> {
        let (path, state) = (dest.to_path_buf(), state.map(Path::to_path_buf));
        let opened = blocking(&self.status, "open", move || {
            Dest::look(&path, state.as_deref())
        })
        .await;
        opened.map(|dest| dest.map(Arc::new))
    }

    /// One attempt at the lock.
    pub async fn attempt(
        &self,
        dest: &Arc<Dest>,
        owner: &str,
    ) -> Result<Result<Arc<Lock>, (Heartbeat, i64)>, DestError> {
        let (state, owner) = (Arc::clone(dest.state()), owner.to_string());
        let attempt = blocking(&self.status, "lock", move || {
            lock::attempt(&state, &owner, now())
        })
        .await;
        match attempt {
            Ok(Attempt::Ours(lock)) => Ok(Ok(Arc::new(lock))),
            Ok(Attempt::Theirs(heartbeat, age)) => Ok(Err((heartbeat, age))),
            Err(error) => Err(DestError::new(
                "lock",
                dest.path().display().to_string(),
                error,
            )),
        }
    }
}

/// The rules of a writer.
pub fn rules(
    deletes: &Deletes,
    patterns: &Patterns,
    transfer: &Transfer,
    local: &LocalFiles,
    landing: &Landing,
    pause: Duration,
) -> Result<Rules, Ending> {
    Ok(Rules {
        policy: deletes.policy(),
        filter: patterns
            .filter()
            .map_err(|why| Ending::new(Exit::Usage, why))?,
        hold_on_failure: local.on_failure == OnFailure::Hold,
        adopt: local.adopt,
        concurrency: transfer.concurrency,
        obstruction_pause: pause,
        keep: landing.keep(),
    })
}

/// Who this process is, for others: host, process, and a part that no two processes share.
pub fn owner() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}/{}/{:08x}", std::process::id(), fastrand::u32(..))
}
