//! Ends a server when the test's process dies, however it dies.

use std::path::Path;

use crate::process::{Process, Program};

/// A server that does not watch its standard input outlives a test that was killed, and so does one in
/// a `static`, which is never dropped. This shell sees the pipe from the test close.
const SCRIPT: &str = r#"read -r _; kill -QUIT "$1"; kill -CONT "$1"; rm -rf -- "$2""#;

/// Held as long as the server runs, and dropped before it is waited for: until then its process id
/// belongs to nobody else.
#[derive(Debug)]
pub(crate) struct Guard(Process);

impl Guard {
    /// For the process of this id, whose files in `directory` go with it.
    pub(crate) fn over(id: u32, directory: &Path) -> Guard {
        let guard = Program::new("/bin/sh")
            .args(["-c", SCRIPT, "guard", &id.to_string()])
            .arg(directory)
            .inherit(&["PATH"])
            .with_stdin()
            .spawn();
        Guard(guard)
    }

    /// The server has ended, or is about to.
    pub(crate) fn release(mut self) {
        self.0.kill();
    }
}
