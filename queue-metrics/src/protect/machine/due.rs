//! What is due: one action for each side at most, and none while one is under way.

use super::{Machine, State};
use crate::protect::{Action, Consuming};
use std::time::Duration;

impl Machine {
    pub(super) fn agents(&mut self, now: Duration) -> Option<Action> {
        if self.agent_busy || now < self.next_ask {
            return None;
        }
        self.agent_busy = true;
        Some(match self.state {
            State::Releasing(_) | State::Released(_) => Action::Release,
            _ => Action::Protect,
        })
    }

    pub(super) fn workers(&mut self, now: Duration) -> Option<Action> {
        if self.worker_busy || !self.connected || now < self.next_look {
            return None;
        }
        if self.state == State::Asking && self.inherits && self.takes() {
            // A cancel and an add for nothing: such a worker stops when it next loses Redis.
            return None;
        }
        self.worker_busy = true;
        Some(match self.state {
            State::Working | State::Exposed => match self.consuming {
                Some(Consuming::Nothing | Consuming::Some) => {
                    self.adds += 1;
                    Action::Add
                }
                _ => Action::Look,
            },
            State::Draining(_) if self.cancelled.is_none() => Action::Cancel,
            State::Asking | State::Releasing(_) | State::Released(_) if self.takes() => {
                Action::Cancel
            }
            State::Leaving => Action::Shutdown,
            _ => Action::Look,
        })
    }
}
