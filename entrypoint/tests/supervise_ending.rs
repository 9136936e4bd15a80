//! What is left when the service has ended, what it leaves on its way, and what a wait costs.

mod init;

use std::fs;
use std::time::{Duration, Instant};

use init::{PYTHON, ROLES, Role, SOON, kill, parent_and_state};

/// Leaves a child that outlives it, in a session of its own, and exits with 3. The child does as told.
fn leaving(child_does: &str) -> String {
    format!(
        "import os, signal, sys, time\n\
        ready, say = os.pipe()\n\
        if os.fork() == 0:\n\
        \x20   os.setsid()\n\
        \x20   {child_does}\n\
        \x20   print('child', os.getpid(), flush=True)\n\
        \x20   os.write(say, b'x')\n\
        \x20   while True: signal.pause()\n\
        os.read(ready, 1)\n\
        os._exit(3)\n"
    )
}

#[test]
fn what_the_service_leaves_is_asked_to_end_and_the_code_is_the_services() {
    for role in ROLES {
        let polite = "signal.signal(15, lambda *_: (os.write(1, b'child ends\\n'), os._exit(9)))";
        let asked = Instant::now();
        let done = role.python(&leaving(polite)).run(SOON);
        assert_eq!(done.code, 3, "{role:?}");
        assert!(
            done.stdout.contains("child ends"),
            "{role:?}: {}",
            done.stdout
        );
        // Nothing of the 25 s of grace was waited for.
        assert!(asked.elapsed() < Duration::from_secs(8));
    }
}

#[test]
fn who_does_not_end_is_killed_within_the_grace() {
    for role in ROLES {
        let stubborn = "signal.signal(15, signal.SIG_IGN)";
        let program = role
            .python(&leaving(stubborn))
            .env("ENTRYPOINT_STOP_GRACE", "500ms");
        let done = program.run(SOON);
        assert_eq!(done.code, 3, "{role:?}");
        assert!(
            done.stderr.contains("stragglers_killed"),
            "{role:?}: {}",
            done.stderr
        );
        if role == Role::Any {
            let child: i32 = done
                .stdout
                .trim()
                .rsplit(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(parent_and_state(child), None);
        }
    }
}

#[test]
fn a_stopped_process_is_continued_so_that_it_can_end() {
    for role in ROLES {
        let stopped = "signal.signal(15, lambda *_: (os.write(1, b'child ends\\n'), os._exit(9)))\n\
            \x20   if os.fork() == 0:\n\
            \x20       while os.getppid() != 1: time.sleep(0.01)\n";
        // The one that stops itself says so first.
        let script = leaving(stopped.split('\n').next().unwrap()).replace(
            "while True: signal.pause()",
            "os.kill(os.getpid(), 19)\n    while True: signal.pause()",
        );
        let done = role.python(&script).run(SOON);
        assert_eq!(done.code, 3, "{role:?}");
        assert!(
            !done.stderr.contains("stragglers_killed"),
            "{role:?}: {}",
            done.stderr
        );
        assert!(
            done.stdout.contains("child ends"),
            "{role:?}: {}",
            done.stdout
        );
    }
}

#[test]
fn a_stopped_service_ends_at_sigterm() {
    for role in ROLES {
        let script = "import os, signal\nsignal.signal(15, lambda *_: os._exit(4))\nprint('ready', os.getpid(), flush=True)\nos.kill(os.getpid(), 19)\nwhile True: signal.pause()";
        let mut process = role.python(script).spawn();
        process.wait_for(|line| line.starts_with("ready"), SOON);
        let id = role.id(&process);
        testkit::until(SOON, "the service to stop", || {
            init::children(id)
                .iter()
                .any(|child| parent_and_state(*child).is_some_and(|(_, state)| state == 'T'))
        });
        assert!(process.is_running());
        kill(id, 15);
        assert_eq!(process.exit_code(SOON), 4, "{role:?}");
    }
}

#[test]
fn a_second_sigterm_kills_what_is_left_at_once() {
    let stubborn = "signal.signal(15, signal.SIG_IGN)";
    for role in ROLES {
        let mut process = role.python(&leaving(stubborn)).spawn();
        process.wait_for(|line| line.contains("stragglers"), SOON);
        let asked = Instant::now();
        kill(role.id(&process), 15);
        assert_eq!(process.exit_code(SOON), 3, "{role:?}");
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}

/// Forty double forks, whose orphans end; then the zombies there are, whosever, until there are none.
const ORPHANS: &str = r"
import os, sys, time
for _ in range(40):
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0: time.sleep(0.05)
        os._exit(0)
    os.waitpid(middle, 0)
def orphans():
    found = []
    for name in os.listdir('/proc'):
        try: fields = open('/proc/%s/stat' % name).read().rpartition(') ')[2].split()
        except (OSError, IndexError): continue
        if name.isdigit() and int(fields[1]) == os.getppid() and int(name) != os.getpid(): found.append((name, fields[0]))
    return found
end = time.time() + 10
while orphans() and time.time() < end: time.sleep(0.01)
print('left', orphans())
";

#[test]
fn orphans_come_to_the_program_and_are_reaped_while_the_service_runs() {
    for role in ROLES {
        let done = role.python(ORPHANS).run(SOON);
        assert_eq!(done.stdout.trim(), "left []", "{role:?}");
        // They came here, and to nobody else: each is a line of the debug log.
        assert_eq!(done.stderr.matches("orphan_reaped").count(), 40, "{role:?}");
    }
}

#[test]
fn a_program_that_waits_does_not_wake_up() {
    let mut process = Role::Any
        .python("import signal\nprint('ready', flush=True)\nsignal.pause()")
        .spawn();
    process.wait_for(|line| line == "ready", SOON);
    // One that is stopped, and one that left an orphan, are no reason either.
    let id = process.id();
    let switches = || -> u64 {
        fs::read_dir(format!("/proc/{id}/task"))
            .unwrap()
            .flatten()
            .map(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap();
                let line = status
                    .lines()
                    .find(|line| line.starts_with("voluntary_ctxt_switches"));
                line.unwrap()
                    .rsplit('\t')
                    .next()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum()
    };
    // What begins has begun when nothing changes for a while.
    let mut last = switches();
    testkit::until(SOON, "the program to be at rest for a second", || {
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(1));
        let now = switches();
        let few = now - last <= 2 && begin.elapsed() < Duration::from_secs(2);
        last = now;
        few
    });
    kill(i32::try_from(id).unwrap(), 9);
    assert_eq!(process.exit_code(SOON), 137);
}

#[test]
fn the_working_directory_arguments_and_output_are_the_services_own() {
    let done = Role::Any
        .program()
        .directory("/usr")
        .args([PYTHON, "-c", "import os, sys; print(os.getcwd(), sys.argv[1:]); print('x', file=sys.stderr); os.write(1, bytes(range(256)))", "a b", "--flag", "", "ü"])
        .run(SOON);
    assert!(
        done.stdout.starts_with("/usr ['a b', '--flag', '', 'ü']\n"),
        "{}",
        done.stdout
    );
    assert!(done.stderr.lines().any(|line| line == "x"));
}
