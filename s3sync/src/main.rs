//! Keeps a directory equal to an S3 prefix, by checksum. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    s3sync::program::run(
        std::env::args_os(),
        agent::settings::Environment::from_process(),
    )
    .into()
}
