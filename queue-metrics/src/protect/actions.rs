//! What the machine asks for.

/// One thing to do. The agent's actions and the worker's run beside each other, but never two of one
/// side at once: so neither side sees them in another order than they were decided in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// PUT the agent's protection with the longest lease. Answered by `Granted`, `Blocked` or `Denied`.
    Protect,
    /// PUT the agent's protection off. Answered by `Freed` or `NotFreed`.
    Release,
    /// Cancel every consumer of this worker. Answered by `Cancelled` or `Silent`.
    Cancel,
    /// Add this worker's consumers. Answered by `Added` or `Silent`.
    Add,
    /// Ask this worker what it consumes and what is active, reserved and scheduled. Answered by `Seen`
    /// or `Silent`.
    Look,
    /// Tell the worker to end once its tasks have. Answered by `Leaves` or `Silent`.
    Shutdown,
}

impl Action {
    /// Whether it goes to the ECS agent; else to the worker.
    pub fn is_agents(self) -> bool {
        matches!(self, Self::Protect | Self::Release)
    }
}
