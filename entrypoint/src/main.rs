//! PID 1 of every Airflow container. Everything is in the library:
//!
//! | where | what |
//! |---|---|
//! | `program` | arguments and variables, to an exit code |
//! | `phases` | the story: resolve, wait, migrate, admin, preflight, run, stop |
//! | `resolve`, `database`, `broker`, `files`, `schema`, `admin`, `preflight` | a phase each |
//! | `supervise`, `health` | the service, once it runs |

use std::process::ExitCode;

fn main() -> ExitCode {
    let variables = entrypoint::variables::Variables::from_process();
    entrypoint::program::run(std::env::args_os(), variables).into()
}
