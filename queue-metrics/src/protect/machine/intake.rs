//! What an event changes in what the machine knows.

use super::{ADDS, CHECK, LATE, MINUTE, Machine, POP, SECOND, STEADY, State};
use crate::protect::{Consuming, Event, Look, Verdict};
use std::time::Duration;

impl Machine {
    pub(super) fn take(&mut self, now: Duration, event: Event) {
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
                    self.next_ask = now + MINUTE;
                }
            }
            Event::Blocked | Event::Denied => {
                self.agent_busy = false;
                self.blocked = event == Event::Blocked;
                let early = self.state == State::Asking && now < self.entered + MINUTE;
                self.next_ask = now + if early { 10 * SECOND } else { MINUTE };
            }
            Event::Freed => {
                self.agent_busy = false;
                self.lease = None;
                self.freed = true;
                self.next_ask = now + MINUTE;
            }
            Event::NotFreed => {
                self.agent_busy = false;
                self.lease = None;
                self.late_until = now + LATE;
                self.next_ask = now + 10 * SECOND;
            }
            Event::Cancelled => {
                self.worker_busy = false;
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
                        5 * SECOND
                    } else {
                        20 * SECOND
                    };
            }
            Event::Leaves => {
                self.worker_busy = false;
                self.next_look = now + MINUTE;
            }
            Event::Silent => {
                self.worker_busy = false;
                self.consuming = None;
                self.empty_looks = 0;
                self.next_look = now + SECOND;
            }
            Event::Seen(look) => self.see(now, look),
            Event::Online => {
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
            verdict if now.saturating_sub(self.verdict_since) >= STEADY => {
                self.surplus = verdict == Verdict::Leave;
            }
            _ => {}
        }
    }

    fn see(&mut self, now: Duration, look: Look) {
        self.worker_busy = false;
        self.consuming = Some(look.consuming);
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
                self.next_look = if mended { now + CHECK } else { now };
            }
            State::Draining(_) => {
                let waited = self.cancelled.is_some_and(|since| now >= since + POP);
                if look.consuming != Consuming::Nothing {
                    self.cancelled = None;
                    self.next_look = now;
                } else if look.tasks > 0 || !waited {
                    self.next_look = now + if look.tasks > 0 { 5 * SECOND } else { SECOND };
                } else {
                    self.next_look = now + SECOND;
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
                self.next_look = if quiet { now + SECOND } else { now };
            }
            State::Releasing(_) | State::Released(_) => {
                if look.tasks > 0 && look.consuming == Consuming::Nothing {
                    // What runs has to be guarded, whoever started it.
                    self.consuming = Some(Consuming::Some);
                }
                self.next_look = now + CHECK;
            }
            State::Leaving => self.next_look = now + MINUTE,
        }
    }
}
