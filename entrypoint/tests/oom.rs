//! Processes that the kernel really kills for memory, in a cgroup of the test's own: of version 2 where
//! that one has the memory, else of version 1, which Fargate has. It takes root.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

mod story;

use std::fs;
use std::path::{Path, PathBuf};
use story::{DEADLINE, Scene, events};
use testkit::process::{Finished, Program};

const LIMIT: u64 = 96 << 20;

/// A cgroup that may use [`LIMIT`]; it goes with the value, once its processes have.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Self {
        let name = format!("trimtab-{name}-{}", std::process::id());
        let whole = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(whole.join("cgroup.subtree_control"));
        let is_second =
            controllers.is_ok_and(|all| all.split_whitespace().any(|it| it == "memory"));
        let (parent, limit) = match is_second {
            true => (whole.to_owned(), "memory.max"),
            false => (whole.join("memory"), "memory.limit_in_bytes"),
        };
        let cgroup = Self(parent.join(name));
        fs::create_dir(&cgroup.0).unwrap();
        fs::write(cgroup.0.join(limit), LIMIT.to_string()).unwrap();
        cgroup
    }

    /// The entrypoint, started within it.
    fn entrypoint(&self) -> Program {
        let procs = self.0.join("cgroup.procs");
        let enter = format!("echo $$ >{}; exec \"$0\" \"$@\"", procs.display());
        Program::new("/bin/sh").args(["-c", &enter, env!("CARGO_BIN_EXE_entrypoint")])
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        testkit::until(DEADLINE, "the cgroup to be empty", || {
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

fn killed(finished: &Finished) -> Vec<String> {
    let events = events(&finished.stderr, "limit").into_iter();
    let killed = events.filter(|(event, _)| event == "oom_kill");
    killed.map(|(_, limit)| limit).collect()
}

#[test]
fn a_process_that_the_kernel_kills_for_memory_is_named_with_the_limit() {
    let cgroup = Cgroup::new("named");
    for (line, code) in [
        // A pool process: its parent goes on, and only the kernel's count tells.
        ("tail /dev/zero; exit 0", 0),
        ("exec tail /dev/zero", 137),
    ] {
        let finished = cgroup
            .entrypoint()
            .env("PATH", "/usr/bin:/bin")
            .args(["bash", "-c", line])
            .run(DEADLINE);
        assert_eq!(finished.code, code, "{line}: {}", finished.stderr);
        assert_eq!(killed(&finished), ["96 MiB"], "{line}: {}", finished.stderr);
    }
}

#[test]
fn a_service_and_a_migration_that_are_killed_for_memory_are_counted_too() {
    let cgroup = Cgroup::new("counted");
    let scene = Scene::new();
    let scheduler = || {
        let program = scene.given(cgroup.entrypoint());
        program.env("ENTRYPOINT_METRICS", "emf").arg("scheduler")
    };
    scene
        .airflow
        .on("db", "migrate", "\\! exec tail /dev/zero\n");
    let finished = scheduler().run(DEADLINE);
    assert_eq!(finished.code, 71, "{}", finished.stderr);
    assert_eq!(killed(&finished), ["96 MiB"], "{}", finished.stderr);
    assert!(
        finished.stdout.contains("\"OomKills\":1"),
        "{}",
        finished.stdout
    );

    scene.airflow.on("db", "migrate", &story::schema("b"));
    scene
        .airflow
        .on("scheduler", "", "\\! exec tail /dev/zero\n");
    let finished = scheduler().run(DEADLINE);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(killed(&finished), ["96 MiB"], "{}", finished.stderr);
    assert!(
        finished.stdout.contains("\"OomKills\":1"),
        "{}",
        finished.stdout
    );
}
