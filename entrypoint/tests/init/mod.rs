//! The real binary as an init: as PID 1 of a name space of its own, or as any process; with a terminal.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::process::{Process, Program};

pub(crate) const SOON: Duration = Duration::from_secs(15);
pub(crate) const PYTHON: &str = "/usr/bin/python3";
pub(crate) const ENTRYPOINT: &str = env!("CARGO_BIN_EXE_entrypoint");

/// Who the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// PID 1.
    First,
    /// Any process, which adopts its orphaned descendants all the same.
    Any,
}

pub(crate) const ROLES: [Role; 2] = [Role::First, Role::Any];

impl Role {
    /// The program in this role; its command follows as arguments.
    pub(crate) fn program(self) -> Program {
        let program = match self {
            // The name space ends with unshare, should a test fail.
            Self::First => Program::new("/usr/bin/unshare").args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
                ENTRYPOINT,
            ]),
            Self::Any => Program::new(ENTRYPOINT),
        };
        program
            .env("PATH", "/usr/bin:/bin")
            .env("TRIMTAB_LOG", "debug")
            .env("PYTHONUNBUFFERED", "1")
    }

    /// The program with a command in Python.
    pub(crate) fn python(self, script: &str) -> Program {
        self.program().args([PYTHON, "-c", script])
    }

    /// The process id of the program, as the test sees it.
    pub(crate) fn id(self, process: &Process) -> i32 {
        let own = i32::try_from(process.id()).unwrap();
        match self {
            Self::First => testkit::until_some(SOON, "the name space to begin", || {
                children(own).first().copied()
            }),
            Self::Any => own,
        }
    }
}

/// Sends a signal by its number, realtime signals too.
pub(crate) fn kill(pid: i32, signal: i32) {
    let done = Command::new("/bin/kill")
        .args([format!("-{signal}"), "--".to_owned(), pid.to_string()])
        .status()
        .unwrap();
    assert!(done.success(), "kill -{signal} {pid}");
}

/// The children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let mut found: Vec<i32> = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if parent_and_state(child).is_some_and(|(parent, _)| parent == pid) {
            found.push(child);
        }
    }
    found
}

/// The parent and the state letter of a process.
pub(crate) fn parent_and_state(pid: i32) -> Option<(i32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// A program on a terminal of its own, whose session it leads.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn start(command: &[&str]) -> Self {
        let pair = nix::pty::openpty(None, None).unwrap();
        let slave = |slave: &OwnedFd| Stdio::from(slave.try_clone().unwrap());
        let child = Command::new("/usr/bin/setsid")
            .args(["--ctty", "--wait"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "dumb")
            .env("PS1", "prompt> ")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(slave(&pair.slave))
            .stdout(slave(&pair.slave))
            .stderr(slave(&pair.slave))
            .spawn()
            .unwrap();
        drop(pair.slave);
        let master = File::from(pair.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut reader, text) = (master.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let more = String::from_utf8_lossy(&bytes[..count]).into_owned();
                text.lock().unwrap().push_str(&more);
            }
        });
        Self {
            child,
            master,
            shown,
        }
    }

    /// Types.
    pub(crate) fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and forgets all up to it.
    pub(crate) fn expect(&self, text: &str) {
        let start = Instant::now();
        loop {
            let mut shown = self.shown.lock().unwrap();
            if let Some(place) = shown.find(text) {
                shown.drain(..place + text.len());
                return;
            }
            assert!(
                start.elapsed() < SOON,
                "{text:?} is not shown; shown is:\n{shown}"
            );
            drop(shown);
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        let mut status = None;
        testkit::until(SOON, "the program on the terminal to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The hang-up of the terminal ends what runs on it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
