//! healthcheck

fn main() {}
