//! What people see while they publish.

use crate::bench::{Bench, DEADLINE, PLACE, Tree};
use testkit::process::Program;

#[test]
fn a_bar_is_drawn_on_a_terminal_and_nowhere_else() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1"), ("b.py", "2")]);
    let root = tree.root().to_str().expect("a path of text");
    let command = format!(
        "'{}' publish '{root}' {PLACE}",
        env!("CARGO_BIN_EXE_s3sync")
    );
    // The terminal is script's.
    let shown = Program::new("/usr/bin/script")
        .args(["-qec", &command, "/dev/null"])
        .envs(bench.s3.environment())
        .run(DEADLINE);
    assert_eq!(shown.code, 0, "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains("] 1/2 files, "), "{:?}", shown.stdout);
    // It makes way for what is to stay.
    let (_, left) = shown.stdout.rsplit_once("\r\u{1b}[K").expect("its end");
    assert!(left.starts_with("published "), "{left:?}");

    let plain = bench.run(&["publish", root, PLACE, "--upload-all"], 0);
    let said = plain.stdout + &plain.stderr;
    assert!(!said.contains(['\r', '\u{1b}']), "{said:?}");
}
