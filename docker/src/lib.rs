//! Test-only: what the images, the compose file and the documents' task definitions must hold to.
//!
//! | module | what it gives |
//! |---|---|
//! | [`container`] | [`container::Container`]: what a container of ECS or compose is told, and what its program says of it |
//! | [`parser`] | each program's own reading of its arguments and variables |
//! | [`task`] | the task definitions of a page |
//! | [`compose`] | the services of the compose file |
//! | [`docker`] | images and containers of a Docker daemon |

pub mod compose;
pub mod container;
pub mod docker;
pub mod parser;
pub mod task;

use std::path::PathBuf;

/// The repository.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// A file of the repository.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &str) -> String {
    match std::fs::read_to_string(root().join(path)) {
        Ok(text) => text,
        Err(why) => panic!("{path} cannot be read: {why}"),
    }
}
