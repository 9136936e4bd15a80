//! A fatal exit held back in ECS.
//!
//! ECS slows down restarts of a task that never ran, but starts one that ran and ended again at once,
//! for ever: an image pull, a network interface and a log stream each time.

use agent::settings::Environment;
use std::time::Duration;
use tracing::info;

/// How long to hold: nothing outside ECS.
pub fn limit(environment: &Environment, configured: Duration) -> Option<Duration> {
    let in_ecs = environment.raw("ECS_CONTAINER_METADATA_URI_V4").is_some();
    (in_ecs && configured > Duration::ZERO).then_some(configured)
}

/// Waits for `limit`, or until `stopped`: a task that is stopped anyway must not use up its grace.
pub async fn hold<T>(limit: Duration, stopped: impl Future<Output = T>) {
    info!(
        hold_seconds = limit.as_secs_f64(),
        event = "held",
        "the exit is held back, because ECS would restart the task at once"
    );
    tokio::select! {
        () = tokio::time::sleep(limit) => {}
        _ = stopped => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_in_ecs_and_only_where_it_is_not_zero() {
        let ecs = [("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x")];
        let ecs = Environment::from_pairs(ecs);
        let (some, none) = (Duration::from_secs(30), Duration::ZERO);
        assert_eq!(limit(&ecs, some), Some(some));
        assert_eq!(limit(&ecs, none), None);
        assert_eq!(limit(&Environment::default(), some), None);
    }

    #[tokio::test]
    async fn a_signal_ends_it_at_once() {
        let began = std::time::Instant::now();
        hold(Duration::from_secs(60), std::future::ready(())).await;
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
