//! s3sync keeps a directory equal to an S3 prefix, by checksum.
//!
//! A pass in one line: [`source`] lists the prefix, [`plan`] compares it with the [`manifest`],
//! [`gate`] decides which deletes may go, changed objects are fetched and verified into staging, and
//! one burst of renames publishes them.

pub mod board;
pub mod burst;
mod commit;
pub mod dest;
pub mod failure;
pub mod filter;
pub mod follow;
pub mod gate;
pub mod generations;
pub mod inspect;
pub mod key;
pub mod local;
pub mod lock;
pub mod manifest;
pub mod metrics;
pub mod once;
pub mod pass;
pub mod plan;
pub mod prepare;
pub mod program;
pub mod progress;
pub mod publish;
pub mod release;
pub mod report;
pub mod reporter;
pub mod revision;
pub mod scrub;
mod scrubs;
pub mod session;
pub mod setbacks;
pub mod settings;
pub mod source;
pub mod stage;
pub mod state;
pub mod watch;
pub mod writer;
