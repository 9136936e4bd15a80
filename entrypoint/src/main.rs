//! entrypoint

fn main() {}
