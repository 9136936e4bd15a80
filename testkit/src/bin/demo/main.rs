//! A story to follow on the terminal: what `s3sync watch` does with a DAG folder, with the measured
//! time of each step. It needs no account, no Docker and no Python: S3 is a server in this process,
//! and `s3sync` a real one beside it.
//!
//! Each step checks by reading bytes. What is not as expected ends the story with exit 1 and says
//! what was seen instead. Whatever the end, processes and directories that it made go with it.

mod narrator;
mod set_reader;
mod steps;
mod syncer;
mod tree;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use narrator::Narrator;
use world::World;

/// Shows what s3sync does, in half a minute, and checks it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The s3sync program to show.
    #[arg(long, value_name = "PATH")]
    s3sync: PathBuf,
    /// The DAG folder to upload.
    #[arg(long, value_name = "DIR", default_value = "dags")]
    dags: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut narrator = Narrator::for_stdout();
    match demo(&arguments, &interrupted, &mut narrator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupted.load(Ordering::Relaxed) => {
            narrator.complain("interrupted; everything that the demo made is removed");
            ExitCode::from(130)
        }
        Err(error) => {
            narrator.complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(
    arguments: &Arguments,
    interrupted: &Arc<AtomicBool>,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    // Before anything exists that would have to be cleaned up.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(interrupted))
            .with_context(|| format!("no handler for signal {signal}"))?;
    }
    let start = Instant::now();
    let mut world = World::build(&arguments.s3sync, &arguments.dags, Arc::clone(interrupted))?;
    steps::tell(&mut world, narrator)?;
    let scratch = world.scratch_path();
    drop(world);
    anyhow::ensure!(
        !scratch.exists(),
        "{} is still there after the end; remove it by hand",
        scratch.display()
    );
    narrator.summary(start.elapsed())
}
