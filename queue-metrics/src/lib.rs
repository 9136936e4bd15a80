//! queue-metrics
