//! PID 1 of every Airflow container: resolves parameters, waits, brings the schema up to date exactly
//! once, then supervises the service.
//!
//! [`phases`] tells the story in order. Decisions are pure functions over values; what acts is
//! cancelled by the first signal.

pub mod account;
pub mod admin;
pub mod airflow;
pub mod asked;
pub mod broker;
pub mod command;
pub mod compat;
pub mod database;
pub mod ending;
pub mod failure;
pub mod files;
pub mod health;
pub mod hold;
pub mod names;
pub mod oom;
pub mod phases;
pub mod preflight;
pub mod program;
pub mod protection;
mod rehearsal;
pub mod report;
pub mod resolve;
pub mod schema;
pub mod serve;
pub mod settings;
pub mod supervise;
pub mod timeline;
mod tries;
pub mod variables;
mod waiting;
