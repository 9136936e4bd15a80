//! Scenario 5: from 3.1 to 3.3, and not back.

use std::time::{Duration, Instant};

use e2e::stack::{Role, Stack};
use testkit::airflow::Release;
use testkit::until;

use super::{LONG, note, start};

const SERVICES: [Role; 3] = [Role::ApiServer, Role::Scheduler, Role::DagProcessor];

pub(crate) fn run(stack: &mut Stack) {
    start(stack, &[Role::S3Sync]);
    start(stack, &SERVICES);
    let head = |stack: &Stack| {
        stack
            .value("SELECT version_num FROM alembic_version")
            .unwrap()
    };
    let old = head(stack);

    // The new revision of each service comes before its migration is made, and waits.
    stack.roll_to(Release::V3_3);
    for role in &SERVICES {
        stack.stop(&role.name());
        stack.start_with(role.clone(), &[("ENTRYPOINT_MIGRATE", "wait")]);
    }
    for role in &SERVICES {
        until(LONG, "the new revision to wait", || {
            stack.service(&role.name()).event("schema_waits").is_some()
        });
    }
    assert_eq!(head(stack), old, "nobody migrated yet");
    let began = Instant::now();
    assert_eq!(stack.start(Role::Migrate).exit_within(LONG), 0);
    note(
        stack,
        "upgrade: the one-off task, s",
        began.elapsed().as_secs_f64(),
    );
    assert_ne!(head(stack), old);
    let names: Vec<String> = SERVICES.iter().map(Role::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stack.wait_serving(&names, LONG);
    note(
        stack,
        "upgrade: from its start until all serve, s",
        began.elapsed().as_secs_f64(),
    );
    for name in &names {
        let migrated = stack.service(name).event("migration_done");
        assert!(migrated.is_none(), "{name} migrated");
    }

    // Within the minor version a restart runs, whatever is asked for; a rollback within it is a test of
    // entrypoint's own, beside a 3.1.7.
    stack.stop("scheduler");
    stack.start(Role::Scheduler);
    stack.wait_serving(&["scheduler"], LONG);
    // And back to an older one it is refused, at once and by name.
    stack.stop("scheduler");
    stack.roll_to(Release::V3_1);
    let began = Instant::now();
    let service = stack.start(Role::Scheduler);
    assert_eq!(
        service.exit_within(Duration::from_secs(60)),
        76,
        "{}",
        service.told(5)
    );
    let told = service
        .event("failed")
        .map(|event| event.fields.to_string());
    assert!(
        told.as_ref().is_some_and(|told| told.contains("3.3.2")),
        "{told:?}"
    );
    eprintln!("refused: {}", told.unwrap_or_default());
    note(
        stack,
        "rollback to 3.1: refused with 76, s",
        began.elapsed().as_secs_f64(),
    );
}
