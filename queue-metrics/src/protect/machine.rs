//! The states of `protect`, and what leads from one to the next.
//!
//! | state | protected | consumes | meaning |
//! |---|---|---|---|
//! | asking | not known | no | waits for protection before it works |
//! | working | yes | yes | takes tasks |
//! | draining | yes, but where it was refused | no | ends its tasks, to leave |
//! | releasing | not known | no | is empty, gives protection back |
//! | released | no | no | waits for ECS to stop it, or for work |
//! | exposed | no | yes | works unprotected, after the deny limit |
//! | leaving | yes | no | the worker was told to shut down |
//!
//! A wish to leave comes, in this order, from: a worker that cannot be mended (replace); a wanted
//! revision that is another (deployment); a verdict to leave that lasted [`Pace::steady`] (surplus); without
//! a known revision, `Blocked` after protection was granted (deployment, until a later `Granted`). Tasks and consumers
//! are what the latest look said.
//!
//! | state | event | next state, and what is done |
//! |---|---|---|
//! | asking | granted | working: look, add what it does not consume |
//! | asking, working | the first look shows nothing consumed, within [`Pace::late`] of the start | asking: a predecessor's release may still arrive |
//! | asking | granted within [`Pace::late`] of an unanswered release | stays, asks again: the release may still arrive |
//! | asking | denied, blocked or silent, before the deny limit | stays, asks again |
//! | asking | the same, after the deny limit | exposed |
//! | asking, back after a deployment | blocked, no revision known | released (deployment) |
//! | asking | seen consuming, and the agent never answered yet | stays: a predecessor's protection may stand |
//! | asking | seen consuming | stays, cancels |
//! | asking | wish to leave | draining |
//! | working | a minute | protects again |
//! | working | granted, denied | stays: the lease is long |
//! | working | the lease has less than [`MARGIN`] left | asking |
//! | working | blocked | wish to leave, where no revision is known; else stays |
//! | working | seen not consuming everything | adds; after [`ADDS`] in vain draining (replace) |
//! | working | wish to leave | draining |
//! | draining | entered, silent, seen consuming, Redis back | cancels, and counts looks anew |
//! | draining | seen with tasks | stays, counts looks anew |
//! | draining | seen with tasks, and Redis was lost while it worked | leaving: the count may never end |
//! | draining | seen empty twice, [`POP`] after a confirmed cancel | releasing; replace: leaving |
//! | draining | granted after blocked, or no wish to leave any more | working with a lease, else asking |
//! | releasing | freed | released |
//! | releasing | not freed | stays, releases again |
//! | releasing | no wish to leave any more | asking, after the answer |
//! | released (surplus) | no wish to leave any more | asking |
//! | released (deployment) | no wish to leave for as long as the deny limit | asking |
//! | released | a minute | releases again: an earlier unanswered protect may have arrived late |
//! | released | seen consuming or with tasks | asking, cancels |
//! | exposed | granted | working |
//! | exposed | blocked, denied | stays, asks again in a minute |
//! | exposed | wish to leave | draining |
//! | leaving | a minute | protects and tells it to shut down again; nothing leads out |
//! | any | lost | nothing is asked of the worker, no look counts, what it counts is distrusted |
//! | any | back | looks at once |
//! | working, exposed | online | looks at once |
//! | any other | online | as if seen consuming: cancels at once |
//! | any | standing, outdated | the wish to leave changes |

mod due;
mod intake;
mod pace;

use super::{Action, Consuming, Event, Verdict};
use std::time::Duration;

/// Kombu's blocking pop lasts 1 s: one that was under way when the cancel was confirmed is over.
pub const POP: Duration = Duration::from_secs(2);
/// The lease must last at least this long for a worker to take tasks.
pub const MARGIN: Duration = Duration::from_secs(3600);
/// How often consumers are added in vain before the worker is replaced.
pub const ADDS: u8 = 3;

pub use self::pace::{Pace, Rules};

/// Where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub enum State {
    Asking,
    Working,
    Draining(Why),
    Releasing(Why),
    Released(Why),
    Exposed,
    Leaving,
}

/// Why a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The target is below its rank.
    Surplus,
    /// A deployment waits for it.
    Deployment,
    /// It consumes nothing and cannot be brought to.
    Replace,
}

impl State {
    /// Whether it is to be counted beside those that are needed: see [`crate::demand`].
    pub fn drains_for_deployment(self) -> bool {
        matches!(
            self,
            Self::Draining(Why::Deployment) | Self::Releasing(Why::Deployment)
        )
    }
}

/// The machine of one worker. Cheap to step.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    state: State,
    /// When the state was entered.
    entered: Duration,
    started: Duration,
    once_granted: bool,
    /// Protected until then, as far as is known.
    lease: Option<Duration>,
    /// Neither the agent nor the worker has spoken yet: what a predecessor left may be in order.
    inherits: bool,
    /// The worker was seen, or touched.
    looked: bool,
    /// The latest answer was `Blocked`.
    blocked: bool,
    /// The agent confirmed that protection is off.
    freed: bool,
    /// Came back from released after a deployment.
    yielded: bool,
    outdated: Option<bool>,
    verdict: Verdict,
    verdict_since: Duration,
    /// The verdict that lasted.
    surplus: bool,
    connected: bool,
    /// The connection was lost while tasks ran, and the worker was not seen empty since.
    distrusted: bool,
    consuming: Option<Consuming>,
    cancelled: Option<Duration>,
    empty_looks: u8,
    adds: u8,
    replace: bool,
    /// Grants before then do not count.
    late_until: Duration,
    agent_busy: bool,
    worker_busy: bool,
    next_ask: Duration,
    next_look: Duration,
}

impl Machine {
    /// A machine that knows nothing of its worker or its protection: it asks first.
    pub fn new(now: Duration, rules: Rules) -> Self {
        Self {
            rules,
            state: State::Asking,
            entered: now,
            started: now,
            once_granted: false,
            lease: None,
            inherits: true,
            looked: false,
            blocked: false,
            freed: false,
            yielded: false,
            outdated: None,
            verdict: Verdict::Unknown,
            verdict_since: now,
            surplus: false,
            connected: true,
            distrusted: false,
            consuming: None,
            cancelled: None,
            empty_looks: 0,
            adds: 0,
            replace: false,
            late_until: Duration::ZERO,
            agent_busy: false,
            worker_busy: false,
            next_ask: now,
            next_look: now,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the worker may start: protection was granted once, or 60 s have passed.
    pub fn healthy(&self, now: Duration) -> bool {
        self.once_granted || now.saturating_sub(self.started) >= self.rules.pace.healthy_after
    }

    /// `WorkerUnprotected`: the worker works although nothing protects it.
    pub fn unprotected(&self) -> bool {
        self.state == State::Exposed
    }

    /// Takes an event in and returns what is to be done now: at most one action for each side.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.take(now, event);
        // Each turn is another state; the longest way is asking, draining, working.
        for _ in 0..4 {
            match self.next(now) {
                Some(state) => self.enter(now, state),
                None => break,
            }
        }
        self.agents(now)
            .into_iter()
            .chain(self.workers(now))
            .collect()
    }

    fn wish(&self) -> Option<Why> {
        let waits = matches!(
            self.state,
            State::Working | State::Draining(_) | State::Releasing(_)
        );
        if self.replace {
            Some(Why::Replace)
        } else if self.outdated == Some(true) {
            Some(Why::Deployment)
        } else if self.surplus {
            Some(Why::Surplus)
        } else if self.blocked && self.outdated.is_none() && waits {
            Some(Why::Deployment)
        } else {
            None
        }
    }

    fn next(&self, now: Duration) -> Option<State> {
        let wish = self.wish();
        let leased = self.lease.is_some_and(|until| until >= now + MARGIN);
        let next = match self.state {
            State::Leaving => State::Leaving,
            State::Asking | State::Working | State::Exposed if wish.is_some() => {
                State::Draining(wish.unwrap_or(Why::Surplus))
            }
            State::Asking if leased => State::Working,
            State::Asking if self.yielded && self.blocked && self.outdated.is_none() => {
                State::Released(Why::Deployment)
            }
            State::Asking if now >= self.entered + self.rules.deny_limit => State::Exposed,
            State::Working if !leased => State::Asking,
            State::Exposed if leased => State::Working,
            State::Draining(Why::Replace) if self.empty_looks >= 2 || self.distrusted => {
                State::Leaving
            }
            State::Draining(_) if wish == Some(Why::Replace) && self.distrusted => State::Leaving,
            State::Draining(_) => match wish {
                None if leased => State::Working,
                None => State::Asking,
                // The answer to a protect that is under way would put the release off by a minute.
                Some(why) if self.empty_looks >= 2 && !self.agent_busy && why != Why::Replace => {
                    State::Releasing(why)
                }
                Some(why) => State::Draining(why),
            },
            State::Releasing(_) | State::Released(_) if self.agent_busy => self.state,
            State::Releasing(_) | State::Released(_) if self.takes() => State::Asking,
            State::Releasing(_) if wish.is_none() => State::Asking,
            State::Releasing(why) if self.freed => State::Released(why),
            State::Released(Why::Surplus) => match wish {
                None => State::Asking,
                Some(Why::Deployment) => State::Released(Why::Deployment),
                Some(_) => self.state,
            },
            State::Released(_) if wish.is_none() && now >= self.entered + self.rules.deny_limit => {
                State::Asking
            }
            state => state,
        };
        (next != self.state).then_some(next)
    }

    /// Whether a worker that should be idle was seen to consume or to run something.
    fn takes(&self) -> bool {
        self.consuming
            .is_some_and(|consuming| consuming != Consuming::Nothing)
    }

    fn enter(&mut self, now: Duration, state: State) {
        let from = std::mem::replace(&mut self.state, state);
        self.entered = now;
        self.adds = 0;
        if state == State::Asking {
            // What was refused before says nothing of what is asked now.
            self.blocked = false;
        }
        if !matches!(state, State::Released(_)) {
            self.freed = false;
        }
        match (from, state) {
            // Still the same drain, for another reason.
            (State::Draining(_), State::Draining(_)) => return,
            (State::Released(_), State::Asking) => {
                self.yielded = from == State::Released(Why::Deployment)
            }
            (_, State::Working | State::Exposed) => self.yielded = false,
            _ => {}
        }
        let keeps_asking = matches!(
            (from, state),
            (
                State::Working | State::Exposed | State::Asking,
                State::Draining(_)
            ) | (State::Draining(_), State::Working | State::Leaving)
                | (State::Working, State::Asking)
                | (State::Asking, State::Working | State::Exposed)
                | (State::Exposed, State::Working)
                | (State::Releasing(_), State::Released(_))
        );
        if !keeps_asking {
            self.next_ask = now.max(self.late_until);
        }
        if !matches!(state, State::Releasing(_) | State::Released(_)) || from == State::Asking {
            self.cancelled = None;
            self.empty_looks = 0;
            self.next_look = now;
        }
    }
}
