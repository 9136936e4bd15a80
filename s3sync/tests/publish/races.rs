//! How many requests a publish takes, and publishers at the same time.

use crate::bench::{BUCKET, Bench, DEADLINE, PLACE, POINTER, Tree, release, text};
use s3sync::release::Pointer;
use testkit::process::Signal;
use testkit::s3::{Fault, Operation, Rule};

#[test]
fn one_changed_file_is_three_puts_and_the_pointer_is_the_last() {
    let bench = Bench::new();
    let names: Vec<String> = (0..200)
        .map(|number| format!("d{}/f{number}.py", number % 7))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &**name)).collect();
    let tree = Tree::of(&files);
    bench.publish(&tree, "one", &[]);
    tree.write("d0/f0.py", "changed");
    bench.s3.reset_requests();
    let two = bench.publish(&tree, "two", &[]);
    let puts: Vec<String> = bench
        .s3
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Put)
        .map(|request| request.key)
        .collect();
    assert_eq!(puts.len(), 3, "{puts:?}");
    assert!(
        puts[0].starts_with("dags/.s3sync/releases/content/"),
        "{puts:?}"
    );
    assert_eq!(
        puts[1],
        format!(
            "dags/.s3sync/releases/manifest/{}.jsonl",
            text(&release(&two))
        )
    );
    assert_eq!(puts[2], POINTER);
    // The pointer, the manifest before, and the marker of a prune.
    assert_eq!(
        (
            bench.s3.count(Operation::Get),
            bench.s3.count(Operation::List)
        ),
        (3, 0)
    );
    assert_eq!(
        bench.contents(&release(&two)).map(|files| files.len()),
        Ok(200)
    );
}

#[test]
fn the_second_of_two_publishers_is_told_who_and_what_was_published() {
    let bench = Bench::new();
    let (ours, theirs) = (
        Tree::of(&[("a.py", "ours")]),
        Tree::of(&[("a.py", "theirs")]),
    );
    for round in ["first", "later"] {
        // Ours has read the pointer, and all but the pointer is written.
        let mut second = bench.stopped_at(
            Operation::Put,
            "/manifest/",
            bench.publisher(&ours, &format!("ours-{round}"), &[]),
        );
        let name = format!("theirs-{round}");
        let first = bench.publish(&theirs, &name, &["--upload-all"]);
        second.signal(Signal::CONT);
        assert_eq!(second.exit_code(DEADLINE), 1, "{}", second.stderr());
        let told = second.stderr();
        for word in [&*name, "by ann", "20", "publish", "nothing was changed"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(bench.current(), release(&first));
        assert_eq!(bench.now(), [("a.py".to_string(), "theirs".to_string())]);
        bench.s3.faults().clear();
        theirs.write("a.py", "theirs, still");
        bench.publish(&theirs, "between", &[]);
        theirs.write("a.py", "theirs");
    }
}

#[test]
fn a_rollback_is_one_write_and_gives_way_to_a_publisher_who_was_quicker() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    let one = bench.publish(&tree, "one", &[]);
    tree.write("a.py", "2");
    bench.publish(&tree, "two", &[]);
    bench.s3.reset_requests();
    bench.run(&["rollback", PLACE], 0);
    let requests = bench.s3.requests().into_iter();
    let writes = requests.filter(|request| request.operation == Operation::Put);
    assert_eq!(
        writes.map(|request| request.key).collect::<Vec<_>>(),
        [POINTER]
    );
    assert_eq!(bench.current(), release(&one));

    // It has read the pointer, and looks whether the release is whole.
    let mut rollback = bench.stopped_at(
        Operation::List,
        "/content/",
        bench.program(&["rollback", PLACE, "two"]),
    );
    tree.write("a.py", "3");
    let three = bench.publish(&tree, "three", &["--upload-all"]);
    rollback.signal(Signal::CONT);
    assert_eq!(rollback.exit_code(DEADLINE), 1, "{}", rollback.stderr());
    let told = rollback.stderr();
    for word in ["three", "by ann", "nothing was changed"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(bench.current(), release(&three));
}

#[test]
fn of_many_publishers_at_once_none_overwrites_another_unseen() {
    let bench = Bench::new();
    bench.publish(&Tree::of(&[("a.py", "0")]), "0", &[]);
    let trees: Vec<Tree> = (1..=6)
        .map(|number| Tree::of(&[("a.py", &*number.to_string())]))
        .collect();
    let mut running: Vec<_> = (1..)
        .zip(&trees)
        .map(|(number, tree)| bench.publisher(tree, &format!("{number}"), &[]).spawn())
        .collect();
    let codes: Vec<i32> = running
        .iter_mut()
        .map(|one| one.exit_code(DEADLINE))
        .collect();
    let done = codes.iter().filter(|code| **code == 0).count();
    assert!(
        done >= 1 && codes.iter().all(|code| [0, 1].contains(code)),
        "{codes:?}"
    );
    // Every pointer that there ever was names the one before it: none is lost.
    let history = bench.s3.history(BUCKET, POINTER);
    let chain: Vec<Pointer> = history
        .iter()
        .map(|line| Pointer::parse(line).unwrap())
        .collect();
    assert_eq!(chain.len(), 1 + done);
    for pair in chain.windows(2) {
        assert_eq!(pair[1].previous, Some(text(&pair[0].release)));
    }
    for pointer in &chain {
        bench.contents(&pointer.release).unwrap();
    }
}

#[test]
fn a_pointer_whose_write_lost_its_answer_is_taken_for_what_it_is() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1")]);
    bench.publish(&tree, "one", &[]);
    tree.write("a.py", "2");
    // The write happens, its answer is cut off, and the try after it is refused because of it.
    let lost = Rule::new(Fault::ResetAfter(0))
        .on(Operation::Put)
        .glob(POINTER);
    let lost = bench.s3.faults().add(lost.times(1));
    bench.s3.reset_requests();
    let two = bench.publish(&tree, "two", &[]);
    assert_eq!(bench.s3.faults().acted(lost), 1);
    let writes = bench
        .s3
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Put && request.key == POINTER);
    assert_eq!(
        writes.map(|request| request.status).collect::<Vec<_>>(),
        [0, 412]
    );
    assert_eq!(bench.current(), release(&two));
    assert_eq!(bench.s3.history(BUCKET, POINTER).len(), 2);
}

#[test]
fn a_file_that_is_written_while_it_is_published_is_refused_and_named() {
    let bench = Bench::new();
    let tree = Tree::of(&[("a.py", "1"), ("b.py", "1 too")]);
    let mut publisher = bench.stopped_at(
        Operation::Put,
        "/content/",
        bench.publisher(&tree, "one", &["--concurrency", "1"]),
    );
    tree.write("b.py", "2 too");
    publisher.signal(Signal::CONT);
    assert_eq!(publisher.exit_code(DEADLINE), 65, "{}", publisher.stderr());
    let told = publisher.stderr();
    assert!(
        told.contains("b.py: it changed while it was read"),
        "{told}"
    );
    assert_eq!(bench.pointer(), None);
}

/// Larger than what is read into memory: streamed, and checked by the store.
#[test]
fn a_large_file_is_streamed_and_refused_when_it_changes() {
    let bench = Bench::new();
    let large = "0123456789abcdef".repeat((5 << 20) / 16);
    let tree = Tree::of(&[("a.py", "1"), ("large.csv", &large)]);
    let mut publisher = bench.stopped_at(
        Operation::Put,
        "/content/",
        bench.publisher(&tree, "one", &["--concurrency", "1"]),
    );
    tree.write("large.csv", &large.replace('9', "8"));
    publisher.signal(Signal::CONT);
    assert_eq!(publisher.exit_code(DEADLINE), 65, "{}", publisher.stderr());
    assert!(
        publisher.stderr().contains("large.csv: it changed"),
        "{}",
        publisher.stderr()
    );
    assert_eq!(
        bench.keys().len(),
        1,
        "the store took no other bytes: {:?}",
        bench.keys()
    );
    bench.s3.faults().clear();
    bench.publish(&tree, "one", &[]);
    assert_eq!(bench.now()[1].1.len(), large.len());
}
