//! The first scenarios, with shortened holds, in one stack: `make e2e`.

mod common;

use common::{Root, begin, burst, record, repository, settings, upload};
use e2e::bucket;
use e2e::stack::Stack;

#[test]
#[ignore = "needs a real Airflow: make e2e"]
fn everything_starts_at_once_uploads_are_seen_and_a_burst_is_worked_off() {
    let root = Root::new();
    let mut stack = Stack::prepare(settings(&root, 2));
    bucket::put_directory(&stack.servers, &repository().join("dags"));
    begin::run(&mut stack);
    upload::run(&mut stack);
    burst::no_workers(&mut stack);
    let mut fleet = burst::run(&mut stack, 8, 5);
    burst::fall(&mut stack, &mut fleet);
    record(
        &stack,
        "story",
        "From an empty database to a burst that is worked off",
    );
    for service in stack.names() {
        let code = stack.stop(&service);
        assert!(matches!(code, 0 | 143), "{service} ended with {code}");
    }
}
