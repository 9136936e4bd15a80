//! `protect` from its beginning to a signal.

use super::board::Board;
use super::keeper::Keeper;
use super::plan::Plan;
use crate::program::{Ending, Surroundings};
use std::time::Duration;
use tokio::sync::watch;
use tracing::info;

/// For what was published last to go out at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Protects until it is asked to stop. A signal changes nothing of the worker and its protection: ECS
/// ends the task with it, and where only `protect` is started anew the worker goes on protected.
///
/// # Errors
/// None: whatever is away may come back.
pub async fn run(plan: Plan, around: Surroundings) -> Result<(), Ending> {
    let Some(inside) = plan.inside else {
        info!(
            event = "outside_ecs",
            "there is no ECS_AGENT_URI: nothing is protected, and nothing needs to be"
        );
        around.status.update(|state| {
            state.phase = "idle".to_owned();
            state.healthy = true;
        });
        around.shutdown.wait().await;
        return Ok(());
    };
    let worker = inside.remote.worker().to_owned();
    info!(event = "protecting", worker, "protects a worker");
    let (told, wanted) = watch::channel(None);
    if let Some(parameter) = inside.wanted.clone() {
        tokio::spawn(parameter.follow(told));
    }
    let board = Board::new(
        around.status.clone(),
        around.metrics.clone(),
        &worker,
        inside.rules.pace.silent,
    );
    let mut keeper = Keeper::start(inside, wanted, board);
    tokio::select! {
        () = keeper.keep() => {}
        () = around.shutdown.wait() => {}
    }
    let state = format!("{:?}", keeper.state());
    info!(
        event = "stopping",
        state, "asked to stop: worker and protection stay as they are"
    );
    keeper.finish(FLUSH_LIMIT).await;
    Ok(())
}
