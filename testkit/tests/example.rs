//! The example of the crate's documentation.

#![allow(clippy::unwrap_used, reason = "tests")]

use testkit::s3::{Fault, Operation, Rule, Server};

#[test]
fn the_example_of_the_documentation_holds() {
    let s3 = Server::start_blocking();
    s3.put("bucket", "dags/a.py", "x = 1");
    s3.faults()
        .add(Rule::new(Fault::CutAfter(2)).on(Operation::Get).times(1));
    let cut = testkit::http::get(&format!("{}/bucket/dags/a.py", s3.endpoint()));
    assert_eq!(
        cut.unwrap_err().to_string(),
        "the body ended after 2 of 5 bytes"
    );
    let whole = testkit::http::get(&format!("{}/bucket/dags/a.py", s3.endpoint())).unwrap();
    assert_eq!(whole.body, b"x = 1");
    assert_eq!(s3.count(Operation::Get), 2);
}
