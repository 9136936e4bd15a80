//! A laptop's stack: `make up`, `make status`, `make down`.
//!
//! `up` starts `serve` in the background and shows the page until everything is healthy. `serve` is the
//! one process that all others end with, however it ends.

#![allow(
    clippy::print_stdout,
    reason = "its answers are for a person at a terminal"
)]

mod page;
mod serve;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// An installation of Airflow, of moto and of the clients comes first on a new machine.
const UP: Duration = Duration::from_secs(900);
/// A Celery worker may take its grace.
const DOWN: Duration = Duration::from_secs(120);

const USAGE: &str =
    "usage: stack up|down|status|serve [--directory DIR] [--programs DIR] [--dags DIR]";

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    command: String,
    /// All files of the stack.
    pub(crate) directory: PathBuf,
    /// Where the four programs are.
    pub(crate) programs: PathBuf,
    /// The DAGs to begin with.
    pub(crate) dags: PathBuf,
}

fn main() -> ExitCode {
    let outcome = arguments().and_then(|arguments| match arguments.command.as_str() {
        "up" => up(&arguments),
        "down" => down(&arguments),
        "status" => status(&arguments),
        "serve" => serve::run(&arguments),
        _ => bail!(USAGE),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let command = words.next().context(USAGE)?;
    let user = rustix::process::geteuid().as_raw();
    let own = std::env::current_exe()?;
    let mut arguments = Arguments {
        command,
        // Not below the home directory: root's is closed to the user that Airflow runs as.
        directory: PathBuf::from(format!("/var/tmp/trimtab-stack-{user}")),
        programs: own.parent().unwrap_or(Path::new(".")).to_owned(),
        dags: PathBuf::from("dags"),
    };
    while let Some(word) = words.next() {
        let value = PathBuf::from(words.next().context(USAGE)?);
        match word.as_str() {
            "--directory" => arguments.directory = value,
            "--programs" => arguments.programs = value,
            "--dags" => arguments.dags = value,
            _ => bail!(USAGE),
        }
    }
    Ok(arguments)
}

fn up(arguments: &Arguments) -> anyhow::Result<()> {
    if running(&arguments.directory).is_some() {
        println!("It is up already.\n");
        return status(arguments);
    }
    clear(&arguments.directory)?;
    fs::create_dir_all(&arguments.directory)?;
    let log = fs::File::create(arguments.directory.join("log"))?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg("--directory")
        .arg(&arguments.directory)
        .arg("--programs")
        .arg(&arguments.programs)
        .arg("--dags")
        .arg(&arguments.dags)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C on this terminal ends the page, and not the stack.
        .process_group(0)
        .spawn()
        .context("the stack cannot be started")?;
    fs::write(pid_file(&arguments.directory), server.id().to_string())?;
    println!(
        "A real Airflow is starting; the first time it is installed too, which takes minutes. Its log: {}",
        arguments.directory.join("log").display()
    );
    let began = Instant::now();
    let mut shown = page::Shown::default();
    while began.elapsed() < UP {
        if let Some(state) = page::read(&arguments.directory) {
            shown.show(&state);
            if state.ready() {
                println!("\n`make status` shows this page again, `make down` ends it all.");
                return Ok(());
            }
        }
        if let Some(status) = server.try_wait()? {
            bail!("it ended with {status}:\n{}", told(&arguments.directory));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!(
        "not everything is healthy after {UP:?}; it goes on, see `make status` and {}",
        arguments.directory.join("log").display()
    )
}

fn status(arguments: &Arguments) -> anyhow::Result<()> {
    if running(&arguments.directory).is_none() {
        bail!("it is not up: `make up`");
    }
    let state = page::read(&arguments.directory).context("it is starting")?;
    page::Shown::default().show(&state);
    Ok(())
}

fn down(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(id) = running(&arguments.directory) else {
        clear(&arguments.directory)?;
        println!("It is not up.");
        return Ok(());
    };
    kill_process(id, Signal::TERM)?;
    let began = Instant::now();
    while running(&arguments.directory).is_some() {
        if began.elapsed() > DOWN {
            // All others end with it.
            kill_process(id, Signal::KILL)?;
            bail!("it did not end within {DOWN:?} and was killed");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    clear(&arguments.directory)?;
    println!(
        "Down after {:.0} s; nothing is left.",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn pid_file(directory: &Path) -> PathBuf {
    directory.join("pid")
}

/// The server's process, if the file's id is still its own.
fn running(directory: &Path) -> Option<Pid> {
    let id: i32 = fs::read_to_string(pid_file(directory))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let arguments = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let wanted = directory.to_str()?.as_bytes();
    let mut words = arguments.split(|byte| *byte == 0);
    let ours = words.any(|word| word == b"serve") && words.any(|word| word == wanted);
    ours.then(|| Pid::from_raw(id)).flatten()
}

/// Removes what an earlier one left, and only that.
fn clear(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() && !pid_file(directory).exists() {
        let empty = fs::read_dir(directory)?.next().is_none();
        if !empty {
            bail!(
                "{} is no stack's: choose another --directory",
                directory.display()
            );
        }
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", directory.display()))
        }
        _ => Ok(()),
    }
}

fn told(directory: &Path) -> String {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
