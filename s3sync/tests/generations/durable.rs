//! What `current` names is on the disk before `current` names it, as the kernel is asked for it.

use crate::bench::{current, until_landed, watch};
use crate::support::trace::{Trace, calls};
use crate::support::{Bench, DEADLINE};

#[test]
fn bytes_then_directories_then_the_generation_then_current_are_made_durable_in_this_order() {
    let bench = Bench::with(&[("a.py", "1"), ("d/b.py", "1"), ("d/e/c.py", "1")]);
    let watch = watch(&bench, &[]);
    let output = bench.outside.path().join("trace");
    let trace = Trace::attach(&watch, output.clone());
    bench.put("d/b.py", "2");
    until_landed(&bench);
    testkit::until(DEADLINE, "the end of the landing", || {
        bench.status()["detail"]["generation"] == current(&bench).as_str()
    });
    drop(trace);
    let calls = calls(&output);
    let dest = bench.dest().display().to_string();
    // Each begins after the one above it: a call of this name, with these words in it.
    let steps = [
        ("fdatasync", ".part>".to_string()),
        ("renameat", format!("{dest}/.s3sync/tree/d>, \"b.py\"")),
        ("linkat", format!("{dest}/.s3sync/tree>, \"d/b.py\"")),
        ("fsync", ".making/d>".to_string()),
        ("fsync", ".making>".to_string()),
        ("renameat", format!("{dest}/generations>, \"")),
        ("fsync", format!("{dest}/generations>")),
        ("fsync", "/current>".to_string()),
        ("renameat", format!("{dest}>, \"current\"")),
        ("fsync", format!("{dest}>")),
    ];
    let mut from = 0;
    for (name, words) in &steps {
        let fits = |line: &String| line.contains(&format!(" {name}")) && line.contains(words);
        let found = calls[from..].iter().position(fits);
        let Some(found) = found else {
            panic!(
                "no {name} of {words} after line {from}:\n{}",
                calls.join("\n")
            );
        };
        from += found + 1;
    }
    let before = &calls[..from];
    for directory in [".making/d/e>", ".making/d>", ".making>"] {
        let synced = before
            .iter()
            .any(|line| line.contains("fsync(") && line.contains(directory));
        assert!(synced, "{directory} is not made durable");
    }
}
