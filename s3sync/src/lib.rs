//! s3sync keeps a directory equal to an S3 prefix, by checksum.
//!
//! A pass in one line: [`source`] lists the prefix, [`plan`] compares it with the [`manifest`],
//! [`gate`] decides which deletes may go, changed objects are fetched and verified into staging, and
//! one burst of renames publishes them.

pub mod filter;
pub mod gate;
pub mod key;
pub mod manifest;
pub mod plan;
pub mod revision;
pub mod source;
pub mod state;
