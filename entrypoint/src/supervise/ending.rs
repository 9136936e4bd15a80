//! The end of what the main process left behind: SIGTERM, a wait, SIGKILL.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::children::{Children, send};
use super::signal::Signal;
use super::signals::Signals;

/// How long to wait for processes that were killed; one in uninterruptible sleep may stay for ever.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// How often to look again for processes that a killed one had just forked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Ends all descendants. Until `deadline` they may end by themselves; a SIGTERM that arrives
/// meanwhile is the second, and kills them at once.
pub(super) async fn end_the_rest(children: &Children, signals: &mut Signals, deadline: Instant) {
    if !children.any_left() {
        return;
    }
    let left = descendants();
    tracing::info!(event = "stragglers", count = left.len(), names = %names(&left), "ending what the service left behind");
    for process in &left {
        send(process.pid, Signal::TERM);
        // A stopped process hears nothing until it is continued.
        send(process.pid, Signal::CONT);
    }
    let second = async { while signals.next().await != Signal::TERM {} };
    tokio::select! {
        () = children.none_left() => return,
        () = sleep_until(deadline) => {}
        () = second => {}
    }
    kill(children).await;
}

async fn kill(children: &Children) {
    let limit = Instant::now() + AFTER_KILL;
    let mut named = false;
    while children.any_left() && Instant::now() < limit {
        let left = descendants();
        if !named {
            named = true;
            tracing::warn!(event = "stragglers_killed", count = left.len(), names = %names(&left), "what the service left behind did not end within the grace and is killed");
        }
        for process in &left {
            send(process.pid, Signal::KILL);
        }
        let _ = timeout(LOOK_AGAIN, children.none_left()).await;
    }
}

/// A process of /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    pid: i32,
    parent: i32,
    name: String,
}

/// All descendants that run. Not `kill(-1)`, which as PID 1 would reach a shell that somebody opened
/// in the container, whose end nobody waits for.
fn descendants() -> Vec<Found> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    below(own, &all_processes())
}

fn all_processes() -> Vec<Found> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            parse(&String::from_utf8_lossy(&stat))
        })
        .collect()
}

/// `PID (NAME) STATE PARENT …`; the name may hold spaces and parentheses. None for a zombie.
fn parse(stat: &str) -> Option<Found> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let (state, rest) = rest.split_once(' ')?;
    let parent = rest.split(' ').next()?;
    (!matches!(state, "Z" | "X")).then_some(Found {
        pid: pid.parse().ok()?,
        parent: parent.parse().ok()?,
        name: name.to_owned(),
    })
}

fn below(root: i32, all: &[Found]) -> Vec<Found> {
    let mut children: HashMap<i32, Vec<&Found>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Taken out, so that a table read while it changed can't lead in a circle.
        for process in children.remove(&parent).unwrap_or_default() {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// The names, for a line of log.
fn names(processes: &[Found]) -> String {
    let mut names: Vec<&str> = processes
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(5);
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Found {
        Found {
            pid,
            parent,
            name: "x".to_owned(),
        }
    }

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_holds() {
        for (line, expected) in [
            ("7 (sh) S 1 7 7 0", Some((7, 1, "sh"))),
            ("7 (a) b) (c) R 3 7", Some((7, 3, "a) b) (c"))),
            ("7 (sh) Z 1 7", None),
            ("7 (sh", None),
            ("", None),
        ] {
            let found = parse(line);
            let found = found
                .as_ref()
                .map(|found| (found.pid, found.parent, found.name.as_str()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn descendants_are_found_to_any_depth_and_nobody_else_is() {
        let all = [(1, 0), (5, 1), (6, 5), (7, 6), (8, 2), (9, 9), (2, 1)]
            .map(|(pid, parent)| process(pid, parent));
        let mut found: Vec<i32> = below(5, &all).iter().map(|process| process.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [6, 7]);
        assert_eq!(below(1, &all).len(), 5);
        assert!(below(9, &all).len() <= 1);
    }
}
