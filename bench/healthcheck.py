#!/usr/bin/env python3
"""healthcheck beside what else answers a container's health check; writes docs/benchmarks-healthcheck.md.

    bench/healthcheck.py                     500 runs of each, in turn; `airflow jobs check` five times
    bench/healthcheck.py --runs 20           without Airflow; writes nothing
    bench/healthcheck.py --real-time         before all else that the machine does, where that is much; as root

Needs Linux, Python 3.11, rustc and a release build of healthcheck. Peers that are not there are left out
and named: curl, busybox (its wget), and microcheck's httpcheck, which is in no package registry: it is
built from its sources with musl-gcc (`make build/bin/httpcheck`) and given by --httpcheck or on the PATH.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

sys.dont_write_bytecode = True

import venvs  # noqa: E402
from measure import BenchError  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks-healthcheck.md"
BODY = (
    '{"metadatabase":{"status":"healthy"},"scheduler":{"status":"healthy",'
    '"latest_scheduler_heartbeat":"2026-01-01T00:00:00.000000+00:00"},'
    '"triggerer":{"status":"healthy","latest_triggerer_heartbeat":null},'
    '"dag_processor":{"status":"healthy","latest_dag_processor_heartbeat":null}}'
)
URLLIB = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4).read()"
GOALS = ((1.3, "exits", "a process that only exits"), (1 / 40, "curl", "curl"))
FULL = 500


def main() -> int:
    options = arguments()
    options.load = os.getloadavg()[0]
    if not os.access(options.healthcheck, os.X_OK):
        print(f"bench: there is no {options.healthcheck}: cargo build --release -p healthcheck", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="healthcheck-bench-") as work:
            return bench(options, Path(work))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def bench(options: argparse.Namespace, work: Path) -> int:
    full = options.runs >= FULL
    server = Server(work)
    try:
        commands, missing = programs(options, server.port, work)
        turns = built("turns", work, "-O")
        if options.real_time:
            schedule(os.SCHED_FIFO, os.getpid(), *server.threads())
        samples = in_turn(turns, commands, options.runs, PLAIN)
        schedule(os.SCHED_OTHER, os.getpid())
        memory = {name: resident(command) for name, command in commands.items()}
    finally:
        server.stop()
    slow = airflow_jobs_check(turns, work, options.real_time) if full else {}
    text = page(commands, samples, slow, memory, missing, options)
    print(text)
    if full:
        PAGE.write_text(text)
        print(f"wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 0


def schedule(policy: int, *threads: int) -> None:
    """What is started later inherits it."""
    for thread in threads:
        os.sched_setscheduler(thread, policy, os.sched_param(1 if policy == os.SCHED_FIFO else 0))


PLAIN = {"PATH": os.environ.get("PATH", ""), "HOME": "/tmp"}


def built(name: str, work: Path, *flags: str) -> Path:
    """One of the Rust files beside this one, as a program."""
    program = work / name
    subprocess.run(["rustc", "--edition=2024", *flags, "-o", program, ROOT / f"bench/{name}.rs"], check=True)
    return program


class Server:
    """A server in a process of its own, which is none of Python's: that would be most of the time."""

    def __init__(self, work: Path) -> None:
        self.process = subprocess.Popen(
            [built("answers", work, "-O"), BODY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def threads(self) -> list[int]:
        return [int(thread) for thread in os.listdir(f"/proc/{self.process.pid}/task")]

    def stop(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def programs(options: argparse.Namespace, port: int, work: Path) -> tuple[dict[str, list[str]], list[str]]:
    url = f"http://127.0.0.1:{port}/health"
    link = [f"-Clink-arg={flag}" for flag in ("-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none")]
    bare = ["-Cpanic=abort", "-Copt-level=z", "-Cstrip=symbols", "-Crelocation-model=static",
            "-Ctarget-feature=+crt-static", *link]
    commands = {
        "exits": [str(built("exits", work, *bare))],
        "asks": [str(built("asks", work, *bare)), str(port)],
        "healthcheck": [str(options.healthcheck), f"{url}#scheduler.status=healthy"],
    }
    missing = []
    for name, found, arguments in (
        ("httpcheck", options.httpcheck or shutil.which("httpcheck"), [url]),
        ("busybox wget", shutil.which("busybox"), ["wget", "-q", "-O", "/dev/null", url]),
        ("curl", shutil.which("curl"), ["-fsS", "-o", "/dev/null", url]),
        ("python urllib", sys.executable, ["-I", "-c", URLLIB, url]),
    ):
        if found:
            commands[name] = [str(found), *arguments]
        else:
            missing.append(name)
    return commands, missing


def in_turn(turns: Path, commands: dict[str, list[str]], runs: int, environment: dict) -> dict[str, list[float]]:
    """Milliseconds of each; every turn has another order, and what disturbs the machine disturbs all."""
    words: list[str] = []
    for command in commands.values():
        words += [*(["--"] if words else []), *command]
    answer = subprocess.run([turns, str(runs), *words], env=environment, capture_output=True, text=True)
    if answer.returncode != 0:
        raise BenchError(" | ".join(answer.stderr.strip().splitlines()[-3:]))
    lines = answer.stdout.splitlines()
    return {name: [float(time) / 1000 for time in line.split()] for name, line in zip(commands, lines)}


def airflow_jobs_check(turns: Path, work: Path, real_time: bool) -> dict[str, list[float]]:
    """The way of Airflow's own chart, with a database of one file and a scheduler that is alive by its row."""
    home = work / "airflow"
    bin = venvs.airflow() / "bin"
    environment = {
        "PATH": f"{bin}:/usr/bin:/bin", "HOME": str(home), "AIRFLOW_HOME": str(home), "USER": "airflow",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # The row is as old as the bench.
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "3600",
    }
    home.mkdir()
    subprocess.run([bin / "airflow", "db", "migrate"], env=environment, capture_output=True, timeout=300, check=True)
    with sqlite3.connect(home / "airflow.db") as database:
        database.execute(
            "INSERT INTO job (job_type, state, latest_heartbeat, hostname)"
            " VALUES ('SchedulerJob', 'running', datetime('now'), 'bench')"
        )
    name = "airflow jobs check"
    command = [str(bin / "airflow"), "jobs", "check", "--job-type", "SchedulerJob"]
    # As the others were, so that a busy machine does not flatter them.
    if real_time:
        schedule(os.SCHED_FIFO, os.getpid())
    try:
        return in_turn(turns, {name: command}, 5, environment)
    finally:
        schedule(os.SCHED_OTHER, os.getpid())


def resident(command: list[str]) -> int:
    """The peak resident set in kB. What wait4 tells is no less than that of the process that forked.

    The program is stopped at its exit by ptrace, its memory still there, and read then."""
    script = (
        'import os,sys,time\n'
        'import ctypes\n'
        'libc = ctypes.CDLL(None, use_errno=True)\n'
        'pid = os.fork()\n'
        'if not pid:\n'
        '    libc.ptrace(0, 0, 0, 0)\n'
        '    os.execv(sys.argv[1], sys.argv[1:])\n'
        'os.waitpid(pid, 0)\n'
        # PTRACE_SETOPTIONS with PTRACE_O_TRACEEXIT: it stops once more when it ends, its memory still there.
        'libc.ptrace(0x4200, pid, 0, ctypes.c_void_p(0x40))\n'
        'signal = 0\n'
        'while True:\n'
        '    libc.ptrace(7, pid, 0, ctypes.c_void_p(signal))\n'
        '    _, status = os.waitpid(pid, 0)\n'
        '    if status >> 8 == 5 | 6 << 8:\n'
        '        break\n'
        '    signal = os.WSTOPSIG(status)\n'
        'text = open(f"/proc/{pid}/status").read()\n'
        'print(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))\n'
        'libc.ptrace(7, pid, 0, 0)\n'
        'os.waitpid(pid, 0)\n'
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, *command], capture_output=True, text=True, timeout=120
    )
    return int(done.stdout.split()[-1])


def size(command: list[str]) -> int:
    return os.stat(shutil.which(command[0]) or command[0]).st_size


def page(commands, samples, slow, memory, missing, options) -> str:
    middle = {name: median(values) for name, values in samples.items()}
    floor = middle["exits"]
    labels = {"exits": "a process that only exits", "asks": "one that only connects, asks, receives and exits",
              "healthcheck": "**healthcheck**, with a JSON assertion", "httpcheck": "microcheck's httpcheck"}
    rows = []
    for name, values in samples.items():
        tenth, ninth = (quantiles(values, n=10)[place] for place in (0, 8))
        rows.append(
            f"| {labels.get(name, name)} | {size(commands[name]):,} | {middle[name]:.3f} | {tenth:.3f} to {ninth:.3f} "
            f"| {middle[name] / floor:.2f} | {memory[name]:,} |"
        )
    for name, values in slow.items():
        rows.append(f"| {name} | | {median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} | {median(values) / floor:,.0f} | |")
    ours = commands["healthcheck"]
    goals = [goal("size", f"{size(ours):,} bytes", "at most 16,384", size(ours) <= 16384)]
    for factor, other, label in GOALS:
        if other in middle:
            ratio = middle["healthcheck"] / middle[other]
            shown = f"{ratio:.2f} ×" if factor > 1 else f"1/{1 / ratio:.0f}"
            wanted = f"within {factor} ×" if factor > 1 else f"at most 1/{1 / factor:.0f}"
            goals.append(goal(f"median beside {label}", shown, wanted, ratio <= factor))
    goals.append(goal("memory", f"{memory['healthcheck']} kB", "at most 64 kB", memory["healthcheck"] <= 64))
    asked = middle["asks"]
    floor_text = (
        f"A check over HTTP has a floor of its own, `asks`: {asked / floor:.2f} × a process that only exits"
        + (f", 1/{middle['curl'] / asked:.0f} of curl" if "curl" in middle else "")
        + f". healthcheck is at {middle['healthcheck'] / asked:.2f} × of that."
    )
    left_out = f"\nNot measured, because not there: {', '.join(missing)}.\n" if missing else ""
    return "\n".join([
        "# What a health check costs",
        "",
        "Written by `make bench-healthcheck`. One HTTP check of a local server with a body like Airflow's, from the",
        f"start of the process to its exit; {options.runs} runs of each, in turn and each turn in another order,",
        "so that what disturbs the machine disturbs all. Compare within this table only.",
        "",
        "| program | bytes | median ms | 10 to 90 % | × the floor | peak kB |",
        "|---|---|---|---|---|---|",
        *rows,
        left_out,
        "Bytes are the program's file; curl, busybox and python load shared libraries besides, where they are not",
        "static. Peak is the kernel's VmHWM at the exit. Only healthcheck looks at the body. `airflow jobs check`",
        "asks a database for a scheduler's row, five times.",
        "",
        "| goal | measured | wanted | |",
        "|---|---|---|---|",
        *goals,
        "",
        floor_text + " Its size is in docs/adr/0022.",
        "",
        f"On {platform.machine()}, Linux {platform.release()}, {os.cpu_count()} cores, with a load of {options.load:.1f}",
        "before it began" + (", by real-time priority." if options.real_time else "."),
        "",
    ])


def goal(what: str, measured: str, wanted: str, met: bool) -> str:
    return f"| {what} | {measured} | {wanted} | {'met' if met else '**missed**'} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    release = target / os.environ.get("CARGO_BUILD_TARGET", f"{platform.machine()}-unknown-linux-gnu") / "release"
    parser.add_argument("--healthcheck", type=Path, default=release / "healthcheck", metavar="PROGRAM")
    parser.add_argument("--httpcheck", type=Path, metavar="PROGRAM")
    parser.add_argument("--real-time", action="store_true")
    parser.add_argument("--runs", type=int, default=FULL)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
