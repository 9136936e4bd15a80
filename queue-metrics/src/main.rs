//! How many Celery workers are wanted, and protection for those that work. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    queue_metrics::program::run(
        std::env::args_os(),
        agent::settings::Environment::from_process(),
    )
    .into()
}
