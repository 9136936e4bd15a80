#!/usr/bin/env python3
"""s3sync beside the other S3 clients on one in-memory server; writes docs/benchmarks.md.

    bench/bench.py                  everything, about half an hour
    bench/bench.py --quick          a tenth of the sizes, one run, writes nothing; for CI
    bench/bench.py --only poll      one case, writes nothing

Needs Linux, Python 3.11 and release builds of s3sync and s3-server.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.dont_write_bytecode = True

import watching  # noqa: E402
from cases import Setup, big, delayed, say, small  # noqa: E402
from goals import Results, read_binary  # noqa: E402
from measure import BenchError, run  # noqa: E402
from page import PLOT, Machine, growth_plot, page  # noqa: E402
from peers import peers, s3sync, variables  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SMALL_CASES = {
    2: ("cold-2000", "same-2000"),
    20: ("cold-20000", "same-20000", "changed-20000"),
}
OTHER_CASES = ("big", "delayed", "poll", "latency", "idle", "growth", "binary")
CASES = (*SMALL_CASES[2], *SMALL_CASES[20], *OTHER_CASES)


def main() -> int:
    options = arguments()
    # So that a SIGTERM unwinds, and every `with` ends its process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="s3sync-bench-", dir=options.workdir))
    try:
        return bench(options, work)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(work, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    built = release_directory()
    parser.add_argument("--s3sync", type=Path, default=built / "s3sync", metavar="PROGRAM")
    parser.add_argument("--server", type=Path, default=built / "s3-server", metavar="PROGRAM")
    parser.add_argument("--workdir", type=Path, default=roomy_memory(),
                        help="where trees go; default: /dev/shm if it has 6 GB, else /tmp")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, one run")
    parser.add_argument("--no-peers", action="store_true", help="s3sync alone; needs no PyPI")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE",
                        help=f"may be repeated: {', '.join(CASES)}")
    return parser.parse_args()


def roomy_memory() -> Path | None:
    """A file system in memory, where only the tools' own work is seen.

    ext4 gives out no inode that was freed within the last 5 s (`recently_deleted` in
    fs/ext4/ialloc.c), and passes over all of them at each create: after one tool's tree is removed,
    the next one's files cost 0.2 to 0.9 ms of kernel time each, more than all else that it does.
    """
    memory = Path("/dev/shm")
    try:
        return memory if shutil.disk_usage(memory).free > 6e9 else None
    except OSError:
        return None


def release_directory() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / os.environ.get("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu") / "release"


def bench(options: argparse.Namespace, work: Path) -> int:
    for program in (options.s3sync, options.server):
        if not os.access(program, os.X_OK):
            raise BenchError(f"there is no {program}: cargo build --release -p s3sync -p testkit")
    needed = 0.5e9 if options.quick else 4e9
    if shutil.disk_usage(work).free < needed:
        raise BenchError(f"{work.parent} has less than {needed / 1e9:g} GB free: give --workdir")
    setup = Setup(
        ours=s3sync(options.s3sync.resolve()),
        others=[] if options.no_peers else peers(),
        server=options.server.resolve(),
        work=work,
        runs=1 if options.quick else 5,
        long_runs=1 if options.quick else 3,
        scale=10 if options.quick else 1,
        limit=60 if options.quick else 600,
        interval=0.2 if options.quick else 1.0,
        settle=0.2 if options.quick else 0.5,
    )
    began = time.monotonic()
    floor = start_floor(setup)
    machine = Machine.here(setup)
    results, failures = measure(setup, set(options.only or CASES))
    text = page(results, machine, setup, floor)
    print(text)
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    whole = not (options.quick or options.only or options.no_peers or failures)
    if whole and results.growth:
        (ROOT / "docs" / PLOT).write_text(growth_plot(results.growth))
        (ROOT / "docs/benchmarks.md").write_text(text)
        say("wrote docs/benchmarks.md")
    say(f"took {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


def start_floor(setup: Setup) -> float:
    """The least peak that can be seen, in MB: that of the process which forks each tool."""
    environment = variables("http://127.0.0.1:9", setup.directory("home"))
    logs = setup.directory("logs")
    return max(run(["/bin/true"], environment, logs, "true", 10).peak for _ in range(5))


def measure(setup: Setup, wanted: set[str]) -> tuple[Results, list[str]]:
    """Each case by itself, so that one which fails costs no other's figures."""
    results = Results({})
    failures = []

    def few(thousands: int) -> None:
        small(setup, thousands, wanted, results.cases)

    def polls() -> None:
        results.polls, results.changes = watching.many(setup)

    steps: dict[tuple[str, ...], Callable[[], None]] = {
        SMALL_CASES[2]: lambda: few(2),
        SMALL_CASES[20]: lambda: few(20),
        ("big",): lambda: big(setup, results.cases),
        ("delayed",): lambda: delayed(setup, results.cases),
        ("poll",): polls,
        ("latency",): lambda: setattr(results, "latency", watching.latency(setup)),
        ("idle",): lambda: setattr(results, "idle", watching.idle(setup)),
        ("growth",): lambda: setattr(results, "growth", watching.growth(setup)),
        ("binary",): lambda: setattr(results, "binary", read_binary(setup.ours.program)),
    }
    for names, step in steps.items():
        if not wanted & set(names):
            continue
        try:
            step()
        except BenchError as error:
            failures.append(f"{', '.join(names)}: {error}")
            say(f"FAILED {failures[-1]}")
            shutil.rmtree(setup.work / "trees", ignore_errors=True)
    return results, failures


if __name__ == "__main__":
    sys.exit(main())
