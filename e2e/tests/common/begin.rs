//! Scenario 1: everything at once on an empty database.

use std::fs;

use e2e::stack::{Role, Stack};

use super::{note, start};

/// All of them; the workers last.
pub(crate) const ROLES: [Role; 7] = [
    Role::S3Sync,
    Role::QueueMetrics,
    Role::ApiServer,
    Role::Scheduler,
    Role::DagProcessor,
    Role::Triggerer,
    Role::Worker(1),
];

pub(crate) fn run(stack: &mut Stack) {
    start(stack, &ROLES);
    let all = stack.timeline.now();
    note(stack, "all serve, from the start of the servers, s", all);

    let count = |stack: &mut Stack, event: &str| {
        let counted = stack.services().iter();
        counted
            .map(|service| {
                service
                    .events()
                    .iter()
                    .filter(|one| one.name == event)
                    .count()
            })
            .sum::<usize>()
    };
    assert_eq!(count(stack, "migration_done"), 1, "migrations");
    assert_eq!(count(stack, "admin_created"), 1, "administrators");
    let users = stack.value("SELECT string_agg(username, ' ') FROM ab_user");
    assert_eq!(users.as_deref(), Some("admin"));
    let tls = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE datname = 'airflow' AND usename = 'airflow' AND NOT ssl";
    assert_eq!(
        stack.value(tls).as_deref(),
        Some("0"),
        "sessions without TLS"
    );
    share(stack);
}

/// How much of the start's CPU time was ours: that of our processes against that of all their
/// descendants, by the kernel's count.
fn share(stack: &mut Stack) {
    let mut own = 0.0;
    let mut all = 0.0;
    for service in stack.services() {
        for (place, id) in service.processes().into_iter().enumerate() {
            let Some((used, with_children)) = cpu(id) else {
                continue;
            };
            all += with_children;
            if place == 0 {
                own += used;
            }
        }
    }
    note(stack, "CPU of all until then, s", all);
    note(stack, "CPU of our processes, s", own);
    note(stack, "our share of the start's CPU, %", 100.0 * own / all);
}

/// A process's own CPU seconds, and with those of its children that have ended.
pub(crate) fn cpu(id: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: Vec<f64> = fields
        .take(4)
        .filter_map(|field| field.parse().ok())
        .collect();
    let [user, system, children_user, children_system] = ticks[..] else {
        return None;
    };
    let second = 100.0;
    let own = (user + system) / second;
    Some((own, own + (children_user + children_system) / second))
}
