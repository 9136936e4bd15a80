//! Asks, and exits with 0 or 1. Everything is in the library.
//!
//! Where panics abort, as in the release profile, this is a freestanding program of a few kilobytes;
//! elsewhere it is an ordinary one around the same library, so that the workspace's tests and lints
//! build it like any other.
#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
mod start;

#[cfg(not(panic = "abort"))]
fn main() -> std::process::ExitCode {
    use std::os::unix::ffi::OsStrExt as _;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let variables: Vec<_> = std::env::vars_os().collect();
    let variable = |name: &[u8]| {
        let found = variables.iter().find(|(key, _)| key.as_bytes() == name);
        found.map(|(_, value)| value.as_bytes())
    };
    match healthcheck::program::run(
        arguments.iter().map(|argument| argument.as_bytes()),
        variable,
    ) {
        0 => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}
