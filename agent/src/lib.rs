//! What Trimtab's agents share: settings, logs, shutdown, status file, AWS clients, metric sinks and
//! exit codes.
//!
//! An agent's `main` goes in this order: [`shutdown::Shutdown::install`], [`settings::parse`],
//! [`logs::start`], [`logs::report_panics`], [`status::Status::start`], [`aws::config`], [`metrics::Metrics::start`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod aws;
pub mod backoff;
#[cfg(feature = "http")]
pub mod ecs;
pub mod exit;
pub mod footprint;
#[cfg(feature = "http")]
pub mod http;
mod lines;
pub mod logs;
pub mod metrics;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod status;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod tls;
