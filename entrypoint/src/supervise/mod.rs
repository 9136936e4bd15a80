//! Children and signals: the only place that spawns, reaps and passes signals on.
//!
//! | room | what |
//! |---|---|
//! | [`signal`] | a signal, a rewriting, a scope: values |
//! | `signals` | the handlers and the thread that hears them: [`Stop`], [`Signals`] |
//! | `launch`, `refused` | fork and exec, and why it was not |
//! | `children` | [`Children`]: spawns, and reaps what is ours and what others left |
//! | `terminal` | the terminal's foreground |
//! | `ending` | what is left when the main process has ended |

mod children;
mod ending;
mod launch;
mod refused;
pub mod signal;
mod signals;
mod terminal;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub use self::children::{Child, Children, Outcome};
pub use self::launch::{Input, Launch, Output};
pub use self::refused::SpawnError;
pub use self::signal::{Rewrite, Scope, Signal};
pub use self::signals::{Signals, Stop};

use self::children::State;
use self::signal::rewritten;

/// How the service is stopped.
#[derive(Clone, Debug)]
pub struct StopPlan {
    /// Who gets a signal that is passed on.
    pub scope: Scope,
    /// What the service gets instead of what arrived.
    pub rewrites: Vec<Rewrite>,
    /// From SIGTERM to SIGKILL of what is left, and from the main process's own end likewise.
    pub grace: Duration,
}

/// Passes signals on to the service until it has ended, those first that came before it was spawned;
/// then ends what it left behind. Returns how the service ended.
///
/// The grace begins with the first SIGTERM, also one that is rewritten or swallowed: ECS will not wait
/// longer for that. Past it, the service and all its descendants are killed.
pub async fn run(
    children: &Children,
    signals: &mut Signals,
    child: &mut Child,
    plan: &StopPlan,
) -> Outcome {
    let mut deadline: Option<Instant> = None;
    let outcome = loop {
        if let Some(outcome) = child.ended() {
            break outcome;
        }
        tokio::select! {
            biased;
            state = child.changed() => {
                if let State::Stopped(signal) = state {
                    pause_with(child, signal);
                }
            }
            signal = signals.next() => {
                forward(child, signal, plan);
                if signal == Signal::TERM && deadline.is_none() {
                    deadline = Some(Instant::now() + plan.grace);
                }
            }
            () = until(deadline) => {
                tracing::warn!(
                    event = "grace_over",
                    grace_seconds = plan.grace.as_secs_f64(),
                    "the service did not end within the grace and is killed"
                );
                child.signal(Signal::KILL, Scope::Group);
                break child.wait().await;
            }
        }
    };
    let deadline = deadline.unwrap_or_else(|| Instant::now() + plan.grace);
    ending::end_the_rest(children, signals, deadline).await;
    terminal::take_back(child.pid);
    outcome
}

fn forward(child: &Child, signal: Signal, plan: &StopPlan) {
    if signal == Signal::CONT {
        // We were continued, perhaps by a shell that made us the foreground.
        terminal::give_if_ours(child.pid);
    }
    let Some(passed_on) = rewritten(signal, &plan.rewrites) else {
        tracing::info!(event = "signal_swallowed", %signal, "a signal is not passed on, as rewritten");
        return;
    };
    if passed_on.asks_to_end() {
        tracing::info!(event = "signal", %signal, %passed_on, pid = child.pid, "a signal is passed on");
    } else {
        tracing::debug!(event = "signal", %signal, %passed_on, pid = child.pid, "a signal is passed on");
    }
    child.signal(passed_on, plan.scope);
    // A stopped process hears nothing until it is continued.
    if signal == Signal::TERM && child.is_stopped() {
        child.signal(Signal::CONT, plan.scope);
    }
}

fn pause_with(child: &Child, signal: i32) {
    if !terminal::belongs_to(child.pid) {
        return;
    }
    tracing::debug!(
        event = "service_stopped",
        signal,
        "the service was stopped from the terminal"
    );
    terminal::stop_with_the_service();
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
