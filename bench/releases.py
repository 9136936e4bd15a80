#!/usr/bin/env python3
"""What releases cost: a poll at rest, and a change from `publish` to disk; writes docs/benchmarks-releases.md.

    bench/releases.py                everything, about three minutes
    bench/releases.py --quick        a tenth of the sizes, writes nothing

Needs Linux, Python 3.11 and release builds of s3sync and s3-server.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Iterator

sys.dont_write_bytecode = True

from bench import release_directory, roomy_memory  # noqa: E402
from measure import BenchError, Program, run, until  # noqa: E402
from peers import variables  # noqa: E402
from relay import Relay  # noqa: E402
from server import BUCKET, Server  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks-releases.md"
SMALL = 2048
INTERVAL = 1.0
PLAIN, RELEASED = "plain", "released"


@dataclass
class Polls:
    """Of a watch at rest. CPU in seconds a poll, memory in MB."""

    cpu: float
    requests: dict[str, float]
    resident: float
    peak: float


@dataclass
class Publish:
    """One release. CPU in seconds, memory in MB."""

    wall: float
    cpu: float
    peak: float
    requests: dict[str, int]


@dataclass
class Bench:
    s3sync: Path
    server: Path
    work: Path
    scale: int

    def directory(self, *names: str) -> Path:
        path = self.work.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, endpoint: str, name: str = "home") -> dict[str, str]:
        environment = variables(endpoint, self.directory("home"))
        environment["S3SYNC_STATUS_FILE"] = str(self.directory("home") / f"{name}.json")
        return environment

    def publish(self, relay: Relay, tree: Path) -> Publish:
        before = relay.counts()
        command = [str(self.s3sync), "publish", str(tree), f"s3://{BUCKET}/{RELEASED}"]
        used = run(command, self.environment(relay.endpoint), self.directory("logs"), "publish", 600)
        return Publish(used.wall, used.cpu, used.peak, since(relay, before))

    @contextmanager
    def watch(self, endpoint: str, prefix: str, to: Path) -> Iterator[Program]:
        options = ["--interval", f"{INTERVAL:g}s", "--settle", "500ms"]
        command = [str(self.s3sync), "watch", f"s3://{BUCKET}/{prefix}", str(to), *options]
        logs, environment = self.directory("logs"), self.environment(endpoint, prefix)
        with Program(command, environment, logs, f"watch-{prefix}", 3600) as program:
            yield program


def since(relay: Relay, before: dict[str, int]) -> dict[str, int]:
    now = relay.counts()
    return {kind: now[kind] - before.get(kind, 0) for kind in now if now[kind] != before.get(kind)}


def make_tree(tree: Path, count: int) -> None:
    dice = random.Random(7)
    for number in range(count):
        path = tree / f"d{number // 100:04}" / f"f{number % 100:03}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"# {number} {dice.random()}\n".ljust(SMALL, ".").encode())


def holds(program: Program, to: Path, count: int) -> bool:
    program.check_alive()
    return sum(1 for _ in to.glob("d*/*.py")) == count


def wait_quiet(program: Program, relay: Relay, requests: int) -> None:
    """Until so many requests were made and neither network nor process moves."""

    def quiet() -> bool:
        program.check_alive()
        if sum(relay.counts().values()) < requests or relay.quiet() < 0.1:
            return False
        before = program.cpu()
        time.sleep(0.05)
        return program.cpu() - before < 0.0005 and relay.quiet() > 0.1

    until(f"{requests} requests of s3sync watch", 300, 0.02, quiet)


def at_rest(program: Program, relay: Relay, kind: str, wanted: int) -> Polls:
    """`kind` is the request that each poll makes once or, of a listing, once a page."""
    total = sum(relay.counts().values())
    wait_quiet(program, relay, total + 3)
    before, cpu, begun = relay.counts(), program.cpu(), relay.listings()
    until(
        f"{wanted} polls",
        300,
        0.02,
        lambda: (relay.listings() - begun if kind == "LIST" else since(relay, before).get(kind, 0))
        >= wanted,
    )
    wait_quiet(program, relay, 0)
    counts = since(relay, before)
    polls = relay.listings() - begun if kind == "LIST" else counts[kind]
    cpu = (program.cpu() - cpu) / polls
    resident, peak = program.memory()
    say(f"{polls} polls of {cpu * 1000:.2f} ms, {counts}, {resident:.1f} MB, at most {peak:.1f}")
    return Polls(cpu, {kind: count / polls for kind, count in counts.items()}, resident, peak)


def polls(bench: Bench) -> tuple[dict[str, Polls], Publish]:
    """20,000 files, as plain uploads and as a release; each watched by a process that found its
    directory full, and the release by one that has filled it too."""
    count = 20_000 // bench.scale
    wanted = max(30 // bench.scale, 5)
    tree = bench.directory("tree-large")
    make_tree(tree, count)
    results = {}
    with Server(bench.server, {PLAIN: (count, SMALL)}, {}) as server, Relay(server.endpoint) as relay:
        first = bench.publish(relay, tree)
        say(f"publish of {count:,} files: {first.wall:.1f} s, {first.cpu:.1f} s CPU, {first.requests}")
        for prefix, kind in ((RELEASED, "GET"), (PLAIN, "LIST")):
            to = bench.directory("to", prefix)
            for how in ("filled", "found"):
                with bench.watch(relay.endpoint, prefix, to) as program:
                    until("the tree", 600, 0.1, lambda: holds(program, to, count))
                    results[f"{prefix} {how}"] = at_rest(program, relay, kind, wanted)
        shutil.rmtree(bench.work / "to")
    return results, first


def latency(bench: Bench) -> tuple[list[float], list[float], list[Publish]]:
    """One file of 2,000 changed: seconds from the end of `publish`, and from its start, to the disk."""
    count, turns = 2000 // bench.scale, max(30 // bench.scale, 3)
    tree, to = bench.directory("tree"), bench.directory("to", "latency")
    make_tree(tree, count)
    dice = random.Random(11)
    from_end, from_start, made = [], [], []
    with Server(bench.server, {PLAIN: (1, 1)}, {}) as server, Relay(server.endpoint) as relay:
        bench.publish(relay, tree)
        with bench.watch(server.endpoint, RELEASED, to) as program:
            until("the tree", 600, 0.05, lambda: holds(program, to, count))
            for turn in range(turns):
                time.sleep(dice.uniform(0, INTERVAL))
                program.check_alive()
                path = f"d{dice.randrange(count // 100):04}/f{dice.randrange(100):03}.py"
                data = f"# changed {turn}\n".encode() * 100
                (tree / path).write_bytes(data)
                begun = time.monotonic()
                made.append(bench.publish(relay, tree))
                published = time.monotonic()
                file = to / path
                until(f"the new content of {file}", 60, 0.005, lambda: file.read_bytes() == data)
                from_end.append(time.monotonic() - published)
                from_start.append(time.monotonic() - begun)
    say(f"{turns} releases: median {median(from_end):.2f} s, at most {max(from_end):.2f} s")
    return from_end, from_start, made


def page(rest: dict[str, Polls], first: Publish, late, load: float) -> str:
    from_end, from_start, made = late
    released, plain = rest[f"{RELEASED} found"], rest[f"{PLAIN} found"]
    puts = {publish.requests.get("PUT", 0) for publish in made}
    single = released.requests == {"GET": 1}
    allowed = INTERVAL + 1
    rows = [
        (f"a poll of {RELEASED}, requests", shown(released.requests), "one", single),
        ("a poll, CPU", f"{released.cpu * 1000:.2f} ms", "at most 1 ms", released.cpu <= 0.001),
        (
            "resident memory at rest",
            f"{released.resident:.1f} MB",
            f"as plain, {plain.resident:.1f} MB",
            released.resident <= plain.resident * 1.05,
        ),
        (
            "peak memory, found full",
            f"{released.peak:.1f} MB",
            "at most 24 MB",
            released.peak <= 24,
        ),
        (
            "one change among 2,000, from the end of publish to the disk, the longest",
            f"{max(from_end):.2f} s",
            f"interval + 1 s = {allowed:g} s",
            max(from_end) <= allowed,
        ),
        ("PUTs of such a release", ", ".join(map(str, sorted(puts))), "3", puts == {3}),
    ]
    goals = [f"| {what} | {is_} | {wanted} | {'met' if met else '**missed**'} |" for what, is_, wanted, met in rows]
    kinds = [
        f"| {name.split()[0]} | {how(name)} | {polls.cpu * 1000:.2f} | {shown(polls.requests)} "
        f"| {polls.resident:.1f} | {polls.peak:.1f} |"
        for name, polls in rest.items()
    ]
    ninety = quantiles(from_end, n=10, method="inclusive")[-1]
    parts = [
        "# What releases cost",
        "Written by `make bench-releases`: s3sync on one machine with an in-memory S3, no network between "
        "them. Compare within this page.",
        "| goal | measured | wanted | |\n|---|---|---|---|\n" + "\n".join(goals),
        "## A watch of 20,000 files at rest",
        "| source | this process | CPU a poll, ms | requests a poll | resident MB | peak MB |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(kinds),
        "Between polls of a pointer the poll's own code stays mapped, 3.5 MB of the program's file that the kernel "
        "can take back at any time: to let it go and bring it back cost 0.6 ms a poll. After a listing, which costs "
        "more by far, it is let go.",
        "## One file of 2,000 changed",
        f"{len(from_end)} releases at random instants, `--interval {INTERVAL:g}s`. From the end of `publish` to the "
        f"new content on disk, looked at every 5 ms: median {median(from_end):.2f} s, 90 % within {ninety:.2f} s, at "
        f"most {max(from_end):.2f} s. From its start: median {median(from_start):.2f} s. `publish` itself: "
        f"{median(publish.wall for publish in made):.2f} s, {median(publish.cpu for publish in made) * 1000:.0f} ms of "
        f"CPU, {shown(made[-1].requests)}.",
        f"The first `publish` of 20,000 files of 2 KiB: {first.wall:.1f} s, {first.cpu:.1f} s of CPU, at most "
        f"{first.peak:.0f} MB, {shown(first.requests)}.",
        f"On {platform.machine()}, {platform.system()} {platform.release()}, {os.cpu_count()} cores, with a load of "
        f"{load:.1f} before it began.",
    ]
    return "\n\n".join(parts) + "\n"


def how(name: str) -> str:
    return "filled the directory" if name.endswith("filled") else "found it full"


def shown(requests: dict[str, float]) -> str:
    return ", ".join(f"{count:g} {kind}" for kind, count in sorted(requests.items()))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    built = release_directory()
    parser.add_argument("--s3sync", type=Path, default=built / "s3sync", metavar="PROGRAM")
    parser.add_argument("--server", type=Path, default=built / "s3-server", metavar="PROGRAM")
    parser.add_argument("--workdir", type=Path, default=roomy_memory(), help="where trees go")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes; writes nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="s3sync-releases-", dir=options.workdir))
    bench = Bench(options.s3sync.resolve(), options.server.resolve(), work, 10 if options.quick else 1)
    try:
        rest, first = polls(bench)
        text = page(rest, first, latency(bench), load)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(text)
    if not options.quick:
        PAGE.write_text(text)
        say(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
