//! What an event changes in what the machine knows.

use super::{ADDS, Machine, POP, State};
use crate::protect::{Consuming, Event, Look, Verdict};
use std::time::Duration;

impl Machine {
    pub(super) fn take(&mut self, now: Duration, event: Event) {
        let pace = self.rules.pace;
        if matches!(
            event,
            Event::Granted(_)
                | Event::Blocked
                | Event::Denied
                | Event::Freed
                | Event::NotFreed
                | Event::Online
        ) {
            self.inherits = false;
        }
        match event {
            Event::Tick => {}
            Event::Granted(until) => {
                self.agent_busy = false;
                self.blocked = false;
                if now < self.late_until {
                    self.next_ask = self.late_until;
                } else {
                    self.lease = Some(until);
                    self.once_granted = true;
                    self.next_ask = now + pace.renewal;
                }
            }
            Event::Blocked | Event::Denied => {
                self.agent_busy = false;
                self.blocked = event == Event::Blocked;
                let early = self.state == State::Asking && now < self.entered + pace.renewal;
                self.next_ask = now + if early { pace.retry } else { pace.renewal };
            }
            Event::Freed => {
                self.agent_busy = false;
                self.lease = None;
                self.freed = true;
                self.next_ask = now + pace.renewal;
            }
            Event::NotFreed => {
                self.agent_busy = false;
                self.lease = None;
                self.late_until = now + pace.late;
                self.next_ask = now + pace.retry;
            }
            Event::Cancelled => {
                self.worker_busy = false;
                self.looked = true;
                self.cancelled = Some(now);
                self.consuming = None;
                self.empty_looks = 0;
                self.next_look = now + POP;
            }
            Event::Added => {
                self.worker_busy = false;
                self.consuming = None;
                self.next_look = now
                    + if self.adds < 2 {
                        pace.busy_look
                    } else {
                        4 * pace.busy_look
                    };
            }
            Event::Leaves => {
                self.worker_busy = false;
                self.next_look = now + pace.renewal;
            }
            Event::Silent => {
                self.worker_busy = false;
                self.consuming = None;
                self.empty_looks = 0;
                self.next_look = now + pace.look;
            }
            Event::Seen(look) => self.see(now, look),
            Event::Online => {
                self.looked = true;
                self.cancelled = None;
                self.empty_looks = 0;
                let works = matches!(self.state, State::Working | State::Exposed);
                // It consumes from the first moment: a look before the cancel would cost it a task.
                self.consuming = (!works).then_some(Consuming::Some);
                self.adds = 0;
                self.next_look = now;
            }
            Event::Lost => {
                self.connected = false;
                self.distrusted = true;
                self.cancelled = None;
                self.empty_looks = 0;
                self.consuming = None;
            }
            Event::Back => {
                self.connected = true;
                self.next_look = now;
            }
            Event::Standing(verdict) => {
                if self.verdict != verdict {
                    self.verdict = verdict;
                    self.verdict_since = now;
                }
            }
            Event::Outdated(outdated) => self.outdated = outdated,
        }
        match self.verdict {
            Verdict::Unknown => self.surplus = false,
            verdict if now.saturating_sub(self.verdict_since) >= pace.steady => {
                self.surplus = verdict == Verdict::Leave;
            }
            _ => {}
        }
    }

    fn see(&mut self, now: Duration, look: Look) {
        let pace = self.rules.pace;
        self.worker_busy = false;
        self.consuming = Some(look.consuming);
        let first = !std::mem::replace(&mut self.looked, true);
        let late = self.started + pace.late;
        if first && look.consuming == Consuming::Nothing && now < late {
            // It was left idle, by one that may have ended in the middle of its release.
            self.late_until = late;
            self.lease = None;
            self.next_ask = late;
        }
        if look.tasks == 0 && self.connected {
            self.distrusted = false;
        }
        match self.state {
            State::Working | State::Exposed => {
                let mended = look.consuming == Consuming::All;
                if mended {
                    self.adds = 0;
                } else if self.adds >= ADDS {
                    self.replace = true;
                }
                self.next_look = if mended { now + pace.check } else { now };
            }
            State::Draining(_) => {
                let waited = self.cancelled.is_some_and(|since| now >= since + POP);
                if look.consuming != Consuming::Nothing {
                    self.cancelled = None;
                    self.next_look = now;
                } else if look.tasks > 0 || !waited {
                    self.next_look = now
                        + if look.tasks > 0 {
                            pace.busy_look
                        } else {
                            pace.look
                        };
                } else {
                    self.next_look = now + pace.look;
                }
                self.empty_looks = match look {
                    Look {
                        consuming: Consuming::Nothing,
                        tasks: 0,
                    } if waited => self.empty_looks + 1,
                    _ => 0,
                };
                if self.distrusted
                    && look.tasks > 0
                    && waited
                    && look.consuming == Consuming::Nothing
                {
                    self.replace = true;
                }
            }
            State::Asking => {
                let quiet = look.consuming == Consuming::Nothing;
                self.next_look = if quiet { now + pace.look } else { now };
            }
            State::Releasing(_) | State::Released(_) => {
                if look.tasks > 0 && look.consuming == Consuming::Nothing {
                    // What runs has to be guarded, whoever started it.
                    self.consuming = Some(Consuming::Some);
                }
                self.next_look = now + pace.check;
            }
            State::Leaving => self.next_look = now + pace.renewal,
        }
    }
}
