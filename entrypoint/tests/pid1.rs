//! PID 1: exit codes, signals that end the service, and a terminal.

mod init;

use init::{ENTRYPOINT, PYTHON, ROLES, Role, SOON, Terminal, kill};

#[test]
fn all_256_exit_codes_are_the_services() {
    // Half of them each, in turns, so that both roles see small and large ones.
    for code in 0..=255 {
        let role = ROLES[code % 2];
        let done = role
            .program()
            .env("TRIMTAB_LOG", "error")
            .args(["/bin/sh", "-c", &format!("exit {code}")])
            .run(SOON);
        assert_eq!(
            usize::try_from(done.code),
            Ok(code),
            "{role:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn a_service_that_a_signal_ended_is_128_and_its_number() {
    for role in ROLES {
        for signal in [1, 2, 3, 6, 9, 11, 13, 14, 15, 31, 34, 64] {
            let script = format!(
                "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), {signal})"
            );
            let done = role.python(&format!("import signal\nif {signal} in (2, 13): signal.signal({signal}, signal.SIG_DFL)\n{script}")).run(SOON);
            assert_eq!(done.code, 128 + signal, "{role:?} {signal}");
        }
    }
}

#[test]
fn what_cannot_run_is_127_or_126() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (program, code) in [
        ("/no/such/program".to_owned(), 127),
        (file("plain", "#!/bin/sh\n", 0o644), 126),
        (
            file("no-interpreter", "#!/no/such/interpreter\n", 0o755),
            127,
        ),
        (file("no-format", "neither binary nor script", 0o755), 126),
        (directory.path().to_str().unwrap().to_owned(), 126),
    ] {
        for role in ROLES {
            let done = role.program().arg(program.clone()).run(SOON);
            assert_eq!(done.code, code, "{role:?} {program}: {}", done.stderr);
        }
    }
}

#[test]
fn as_pid_1_it_ends_though_a_descendant_left_the_group_and_the_session() {
    let script = "import os, signal\n\
        if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        signal.pause()\n    os._exit(0)\n\
        print('ready', flush=True)\nsignal.pause()";
    let mut process = Role::First.python(script).spawn();
    process.wait_for(|line| line == "ready", SOON);
    kill(Role::First.id(&process), 15);
    assert_eq!(process.exit_code(SOON), 143);
}

/// Says whether it is the terminal's foreground, then what it reads and which signals come.
const AT_TERMINAL: &str = "import os, signal, sys\n\
    signal.signal(2, lambda *_: os.write(1, b'interrupted\\n'))\n\
    signal.signal(18, lambda *_: os.write(1, b'continued\\n'))\n\
    print('foreground', os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n\
    for line in sys.stdin:\n    print('read', line.strip(), flush=True)\n\
    sys.exit(6)";

fn at_terminal(role: Role) -> Terminal {
    let mut command: Vec<&str> = Vec::new();
    if role == Role::First {
        command.extend(["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--"]);
    }
    command.extend([ENTRYPOINT, PYTHON, "-c", AT_TERMINAL]);
    Terminal::start(&command)
}

#[test]
fn the_terminal_is_the_services_while_it_runs() {
    for role in ROLES {
        let mut terminal = at_terminal(role);
        terminal.expect("foreground True");
        terminal.write("words\n");
        terminal.expect("read words");
        // The terminal sends it to the foreground, and so to the service, once.
        terminal.write("\x03");
        terminal.expect("interrupted");
        terminal.write("more\n");
        terminal.expect("read more");
        terminal.write("\x04");
        assert_eq!(terminal.exit_code(), 6, "{role:?}");
    }
}

#[test]
fn a_shell_gets_its_terminal_back_and_can_continue_what_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("at_terminal.py");
    std::fs::write(&script, AT_TERMINAL).unwrap();
    let mut terminal = Terminal::start(&["/bin/bash", "--norc", "--noprofile", "-i"]);
    terminal.expect("prompt> ");
    terminal.write(&format!("{ENTRYPOINT} {PYTHON} {}\n", script.display()));
    terminal.expect("foreground True");
    terminal.write("\x1a");
    terminal.expect("Stopped");
    terminal.expect("prompt> ");
    terminal.write("echo here$((1+1))\n");
    terminal.expect("here2");
    terminal.write("fg\n");
    terminal.expect("continued");
    terminal.write("words\n");
    terminal.expect("read words");
    terminal.write("\x04");
    terminal.expect("prompt> ");
    terminal.write("echo code $?\n");
    terminal.expect("code 6");
    terminal.write("exit\n");
    assert_eq!(terminal.exit_code(), 0);
}
