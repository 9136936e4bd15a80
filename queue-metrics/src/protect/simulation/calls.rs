//! How the agent and the worker answer.

use super::*;

impl World {
    pub(super) fn act(&mut self, worker: &mut Worker, action: Action, protected: usize) {
        let delay = Duration::from_millis(self.rng.u64(0..4) * 500);
        if !action.is_agents() {
            let silent = !worker.up
                || worker.leaving
                || !self.redis_up
                || self.rng.f64() < self.nature.worker_fails;
            let planned = if silent { None } else { Some(action) };
            let delay = if silent {
                Duration::from_secs(2)
            } else {
                delay
            };
            worker
                .pending
                .push((self.now + delay, planned, Event::Silent));
            return;
        }
        let protect = action == Action::Protect;
        let failed = if protect {
            Event::Denied
        } else {
            Event::NotFreed
        };
        // Without revisions it is the old ones that are refused; else whoever comes on top.
        let blocked = protect
            && match self.nature.revisions {
                true => protected + usize::from(!worker.protected) > self.desired,
                false => self.deploying && worker.old,
            };
        let event = match () {
            () if self.rng.f64() < self.nature.agent_fails => {
                if self.rng.bool() {
                    let later = Duration::from_secs(self.rng.u64(0..20));
                    worker.late.push((self.now + later, protect));
                }
                failed
            }
            () if blocked => Event::Blocked,
            () if protect => Event::Granted(self.now + LEASE),
            () => Event::Freed,
        };
        if matches!(event, Event::Granted(_) | Event::Freed) {
            worker.late.push((self.now, protect));
        }
        worker
            .pending
            .push((self.now + delay + TICK, Some(action), event));
    }

    pub(super) fn answer(
        &mut self,
        worker: &mut Worker,
        action: Option<Action>,
        event: Event,
    ) -> Event {
        let Some(action) = action.filter(|_| worker.up && !worker.leaving) else {
            return event;
        };
        match action {
            Action::Protect | Action::Release => event,
            Action::Cancel => {
                if worker.consuming {
                    worker.popping_until = self.now + Duration::from_secs(1);
                }
                worker.first_cancel.get_or_insert(worker.popping_until);
                (worker.consuming, worker.touched) = (false, true);
                Event::Cancelled
            }
            Action::Add => {
                worker.consuming = true;
                Event::Added
            }
            Action::Look => Event::Seen(Look {
                consuming: match worker.consuming && !worker.stuck {
                    true => Consuming::All,
                    false => Consuming::Nothing,
                },
                tasks: u32::try_from(worker.running.len()).expect("few") + worker.stale,
            }),
            Action::Shutdown => {
                worker.leaving = true;
                Event::Leaves
            }
        }
    }
}
