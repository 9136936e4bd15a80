//! Signs of life: for the other instances, and for the report.

use super::{BEAT, Board};
use crate::lock::{Heartbeat, Lock};
use crate::prepare::blocking;
use std::sync::Arc;
use std::time::Instant;
use tracing::warn;

impl Board {
    /// Writes a heartbeat. Returns false when another reigns.
    pub async fn beat(&self, lock: &Arc<Lock>, ended: bool) -> std::io::Result<bool> {
        let heartbeat = self.with(|inner| Heartbeat {
            ended,
            ..inner.heartbeat.clone()
        });
        let lock = Arc::clone(lock);
        let asked = Instant::now();
        let beaten = blocking(&self.status, "heartbeat", move || lock.beat(&heartbeat)).await;
        if !matches!(beaten, Ok(false)) {
            self.sign_of_life(asked);
        }
        beaten
    }

    /// DEST answered what was asked of it at `asked`, be it by an error, and no other reigns for all that
    /// is known.
    pub(super) fn sign_of_life(&self, asked: Instant) {
        if let Some(reports) = &self.reports {
            reports.reporter.sign_of_life(asked.into());
        }
    }

    /// A heartbeat and the metrics once a minute, until it is dropped.
    pub async fn keep_time(&self, lock: Arc<Lock>) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
        loop {
            ticks.tick().await;
            self.publish();
            match self.beat(&lock, false).await {
                Ok(true) => {}
                // The next burst will find the same, and say so.
                Ok(false) => return,
                Err(error) => {
                    warn!(%error, event = "heartbeat_failed", "the heartbeat cannot be written")
                }
            }
        }
    }
}
