//! queue-metrics

fn main() {}
