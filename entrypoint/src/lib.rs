//! entrypoint
