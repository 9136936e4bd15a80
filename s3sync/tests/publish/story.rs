//! A tree's life, at moto: published, edited, renamed, listed, rolled back, pruned.

use crate::bench::{Tree, json, program, run};
use serde_json::Value;
use testkit::moto::Moto;
use testkit::process::{Finished, Program};

struct Story {
    moto: &'static Moto,
    place: String,
    bucket: &'static str,
    tree: Tree,
}

impl Story {
    fn program(&self, arguments: &[&str]) -> Program {
        program(self.moto.environment(), arguments).env("GITHUB_ACTOR", "octo")
    }

    fn publish(&self, more: &[&str], code: i32) -> Finished {
        let program = self.program(&["publish"]).arg(self.tree.root());
        let program = program.arg(&*self.place).args(more.iter().copied());
        run(&program, code)
    }

    fn ask(&self, command: &str, more: &[&str]) -> Value {
        let arguments = [&[command, &*self.place, "--output", "json"], more].concat();
        json(&run(&self.program(&arguments), 0))
    }

    fn keys(&self) -> Vec<String> {
        self.moto.keys(self.bucket, "dags/")
    }
}

#[test]
fn a_tree_is_published_changed_listed_rolled_back_and_pruned() {
    let moto = Moto::shared();
    moto.create_bucket("publish-story");
    let story = Story {
        moto,
        place: "s3://publish-story/dags".to_string(),
        bucket: "publish-story",
        tree: Tree::of(&[
            ("a.py", "a = 1"),
            ("same.py", "a = 1"),
            ("etl/b.py", "b = 1"),
            ("etl/c.py", "c = 1"),
            (".airflowignore", "etl/c.py\n"),
            (".s3syncignore", "tests/\n"),
            ("tests/test_a.py", "assert True"),
        ]),
    };
    let tree = &story.tree;
    let nothing = run(&story.program(&["rollback", &story.place]), 65);
    assert!(
        nothing.stderr.contains("nothing was published"),
        "{}",
        nothing.stderr
    );

    // First: everything, each content once, and a revision that a checkout can compute.
    let first = json(&story.publish(&["--name", "one", "--output", "json"], 0));
    assert_eq!(first["uploaded_files"], 4);
    assert_eq!(
        (&first["author"], &first["files"]),
        (&"octo".into(), &5.into())
    );
    assert_eq!(story.keys().len(), 4 + 2, "{:?}", story.keys());
    let digest = run(&story.program(&["digest"]).arg(tree.root()), 0);
    assert_eq!(digest.stdout.trim(), first["revision"]);

    // The same again: nothing is written.
    let keys = story.keys();
    let again = story.publish(&[], 0);
    assert!(
        again.stdout.contains("nothing was written"),
        "{}",
        again.stdout
    );
    assert_eq!(story.keys(), keys);

    // Added, updated, deleted, renamed: first as a picture, then in fact.
    tree.write("a.py", "a = 2");
    tree.remove("etl/c.py");
    std::fs::rename(tree.path("etl/b.py"), tree.path("etl/z.py")).expect("a rename");
    let picture = story.publish(&["--dry-run"], 0);
    let lines: Vec<&str> = picture.stdout.lines().collect();
    assert_eq!(
        lines[..4],
        ["~ a.py", "- etl/b.py", "- etl/c.py", "+ etl/z.py"]
    );
    assert!(lines[4].starts_with("1 added, 1 updated, 2 deleted, 2 unchanged, against one ("));
    assert_eq!(story.keys(), keys, "a dry run writes nothing");
    let second = json(&story.publish(&["--name", "two", "--output", "json"], 0));
    assert_eq!(second["uploaded_files"], 1, "a rename uploads nothing");
    assert_eq!(second["previous"], first["release"]);

    // The list, the newest first by moto's clock, which has whole seconds.
    let by_name = |list: &Value, name: &str| -> Value {
        let lines = list.as_array().expect("a list").iter();
        let mut of_name = lines.filter(|line| line["name"] == name);
        of_name.next().expect("the release").clone()
    };
    let list = story.ask("releases", &[]);
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let (one, two) = (by_name(&list, "one"), by_name(&list, "two"));
    assert_eq!(
        (&one["current"], &two["current"]),
        (&false.into(), &true.into())
    );
    assert_eq!((&two["files"], &two["author"]), (&4.into(), &"octo".into()));
    let table = run(&story.program(&["releases", &story.place]), 0).stdout;
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("*  ") && line.contains("two")),
        "{table}"
    );

    // Back, and forth by name, and back by ID; each is one write.
    let back = story.ask("rollback", &[]);
    assert_eq!(
        (&back["release"], &back["previous"]),
        (&first["release"], &second["release"])
    );
    assert_eq!(
        story.ask("rollback", &["two"])["release"],
        second["release"]
    );
    let id = first["release"].as_str().expect("an ID");
    assert_eq!(
        story.ask("rollback", &[&id[..8]])["revision"],
        first["revision"]
    );
    assert_eq!(story.ask("rollback", &["one"])["rolled_back"], false);
    let unknown = run(&story.program(&["rollback", &story.place, "none"]), 65);
    assert!(
        unknown
            .stderr
            .contains("no release has the name or ID none"),
        "{}",
        unknown.stderr
    );
    assert_eq!(by_name(&story.ask("releases", &[]), "one")["current"], true);

    // The tree is release two's, and one is current: a publish makes a release of it again.
    let third = json(&story.publish(&["--name", "three", "--output", "json"], 0));
    assert_eq!(
        (&third["revision"], &third["published"]),
        (&second["revision"], &true.into())
    );

    // All is younger than a day.
    let pruned = story.ask("prune", &["--keep", "1"]);
    assert_eq!(
        (&pruned["releases"], &pruned["content_objects"]),
        (&Value::Array(vec![]), &0.into())
    );
    // The marker that an ended prune left holds up no other.
    story.ask("prune", &["--keep", "1"]);
}

#[test]
fn what_cannot_be_part_of_a_release_is_named_before_anything_is_written() {
    let moto = Moto::shared();
    moto.create_bucket("publish-odd");
    let story = Story {
        moto,
        place: "s3://publish-odd/dags".to_string(),
        bucket: "publish-odd",
        tree: Tree::of(&[]),
    };
    let empty = story.publish(&[], 65);
    assert!(empty.stderr.contains("--allow-empty"), "{}", empty.stderr);
    story.tree.write("a.py", "");
    std::os::unix::fs::symlink("/etc/hostname", story.tree.path("link.py")).expect("a link");
    let link = story.publish(&[], 65);
    assert!(link.stderr.contains("link.py (a link"), "{}", link.stderr);
    assert_eq!(story.keys(), Vec::<String>::new());
    story.publish(&["--exclude", "link.py"], 0);
    story.tree.remove("a.py");
    story.publish(&["--exclude", "link.py", "--allow-empty"], 0);
    run(&story.program(&["publish", "nowhere", &story.place]), 65);
}
