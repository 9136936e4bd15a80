"""s3sync as it runs for a living: `watch`, its polls, its latency, and how both grow."""

import json
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Iterator

from cases import PREFIX, SMALL, Setup, expected, say
from measure import BenchError, Program, Usage, until
from peers import CONNECTIONS, variables
from relay import Relay
from server import BUCKET, Server, check_equal


@dataclass
class Polls:
    """Of a `watch` in which nothing changes. CPU in seconds a poll, memory in MB."""

    keys: int
    polls: int
    cpu: float
    requests: dict[str, float]
    resident: float
    peak: float


@dataclass
class Changes:
    """Of a `watch` in which single files change; medians of a change."""

    changes: int
    cpu: float
    cpu_beyond_polls: float
    polls: float
    requests: dict[str, float]
    latency: float


@dataclass
class Latency:
    """Seconds from the end of an upload to the whole file on disk."""

    allowed: float
    lanes: int
    seconds: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        if len(self.seconds) < 2:
            return self.seconds[0]
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


@dataclass
class Size:
    """One point of the growth plot. `manifest` is in seconds; `told` when s3sync gave it itself."""

    polls: Polls
    once: Usage
    manifest: float
    told: bool


@contextmanager
def watch(
    setup: Setup, endpoint: str, prefix: str, to: Path, stretch: int = 1
) -> Iterator[Program]:
    interval, settle = round(setup.interval * stretch * 1000), round(setup.settle * 1000)
    options = ["--interval", f"{interval}ms", "--settle", f"{settle}ms"]
    command = [str(setup.ours.program), "watch", f"s3://{BUCKET}/{prefix}", str(to), *options]
    environment = variables(endpoint, setup.directory("home"))
    environment["S3SYNC_STATUS_FILE"] = str(setup.directory("home") / f"{prefix}.json")
    command += ["--concurrency", str(CONNECTIONS)]
    logs = setup.directory("logs")
    with Program(command, environment, logs, f"watch-{prefix}", 3600) as program:
        yield program


def many(setup: Setup) -> tuple[Polls, Changes]:
    """20,000 keys: polls that find nothing, then single changes."""
    count = 20_000 // setup.scale
    to = setup.directory("watched")
    with Server(setup.server, {PREFIX: (count, SMALL)}, {}) as server:
        filled(setup, server, count, to)
        with (
            Relay(server.endpoint) as relay,
            watch(setup, relay.endpoint, PREFIX, to) as program,
        ):
            polls = steady_polls(setup, program, relay, count)
            return polls, single_changes(setup, program, relay, server, to, polls.cpu)


def filled(setup: Setup, server: Server, count: int, to: Path) -> None:
    say(f"filling a directory with {count:,} files")
    setup.sync(setup.ours, server.endpoint, to)
    check_equal(to, expected(server, count), setup.ours.name)


def wait_idle(program: Program, relay: Relay, listings: int) -> None:
    """Until this many listings have begun and neither network nor process moves."""

    def idle() -> bool:
        program.check_alive()
        if relay.listings() < listings or relay.quiet() < 0.1:
            return False
        before = program.cpu()
        time.sleep(0.05)
        return program.cpu() - before < 0.0005 and relay.quiet() > 0.1

    until(f"{listings} listings of s3sync watch", 300, 0.02, idle)


def steady_polls(
    setup: Setup, program: Program, relay: Relay, count: int, wanted: int = 20
) -> Polls:
    wanted = max(wanted // setup.scale, 4)
    wait_idle(program, relay, 3)
    begun, cpu, counts = relay.listings(), program.cpu(), relay.counts()
    wait_idle(program, relay, begun + wanted)
    polls = relay.listings() - begun
    cpu = (program.cpu() - cpu) / polls
    requests = {kind: number / polls for kind, number in difference(relay, counts).items()}
    resident, peak = program.memory()
    say(f"watch of {count:,} keys: {polls} polls, {cpu * 1000:.1f} ms CPU each, {requests}")
    return Polls(count, polls, cpu, requests, resident, peak)


def difference(relay: Relay, before: dict[str, int]) -> dict[str, int]:
    """Requests since then, by kind."""
    now = relay.counts()
    return {kind: now[kind] - before.get(kind, 0) for kind in now if now[kind] != before.get(kind)}


def single_changes(
    setup: Setup, program: Program, relay: Relay, server: Server, to: Path, poll: float
) -> Changes:
    """Each from its upload until the first poll after it landed has ended."""
    cpus, beyond, polls, latencies, requests = [], [], [], [], []
    number = max(20 // setup.scale, 3)
    for change in range(number):
        wait_idle(program, relay, 0)
        begun, cpu, counts = relay.listings(), program.cpu(), relay.counts()
        path = f"d0001/f{change:03}.py"
        latencies.append(upload_and_wait(server, PREFIX, to, path, f"# {change}\n".encode() * 200))
        wait_idle(program, relay, relay.listings() + 1)
        cpus.append(program.cpu() - cpu)
        polls.append(relay.listings() - begun)
        beyond.append(cpus[-1] - polls[-1] * poll)
        requests.append(difference(relay, counts))
    kinds = sorted({kind for counts in requests for kind in counts})
    typical = {kind: median(counts.get(kind, 0) for counts in requests) for kind in kinds}
    say(f"one change: {median(cpus) * 1000:.1f} ms CPU, {median(latencies):.2f} s, {typical}")
    return Changes(
        number, median(cpus), median(beyond), median(polls), typical, median(latencies)
    )


def upload_and_wait(server: Server, prefix: str, to: Path, path: str, data: bytes) -> float:
    """Seconds from the upload's answer until the file holds the new content, looked at each 5 ms."""
    server.put(f"{prefix}/{path}", data)
    uploaded = time.monotonic()
    file = to / path
    until(f"the new content of {file}", 60, 0.005, lambda: file.read_bytes() == data)
    return time.monotonic() - uploaded


def latency(setup: Setup) -> Latency:
    """Changes at random instants; some watches side by side, because each change takes its time."""
    lanes, each = 4, max(50 // setup.scale, 2)
    count = 2000 // setup.scale
    result = Latency(setup.interval + setup.settle + 0.5, lanes)
    failures: list[Exception] = []
    prefixes = {f"lane{lane}": (count, SMALL) for lane in range(lanes)}
    with Server(setup.server, prefixes, {}) as server:
        threads = [
            threading.Thread(target=lane, args=(setup, server, prefix, each, result, failures))
            for prefix in prefixes
        ]
        say(f"{lanes * each} changes at random instants")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    say(f"upload to disk: p50 {result.percentile(50):.2f} s, p99 {result.percentile(99):.2f} s")
    return result


def lane(
    setup: Setup, server: Server, prefix: str, each: int, result: Latency, failures: list[Exception]
) -> None:
    to = setup.directory(prefix)
    dice = random.Random(prefix)
    try:
        wanted = server.md5s(prefix)
        with watch(setup, server.endpoint, prefix, to) as program:
            until("the first pass", setup.limit, 0.05, lambda: populated(program, to, len(wanted)))
            time.sleep(2 * setup.interval)
            for number in range(each):
                time.sleep(dice.uniform(0, setup.interval + setup.settle))
                program.check_alive()
                path = dice.choice(sorted(wanted))
                data = f"# {prefix} {number}\n".encode() * 100
                result.seconds.append(upload_and_wait(server, prefix, to, path, data))
    except Exception as error:  # Handed to the main thread, which raises it.
        failures.append(error)


def populated(program: Program, to: Path, count: int) -> bool:
    program.check_alive()
    return sum(1 for path in to.glob("d*/*.py")) == count


def idle(setup: Setup) -> dict[str, tuple[float, float]]:
    """Memory now and at most, in MB, of a watch of 2,000 keys that rests: one that found its
    directory full, and one that has filled it."""
    count = 2000 // setup.scale
    results = {}
    with Server(setup.server, {PREFIX: (count, SMALL)}, {}) as server:
        for how in ("which filled its directory", "which found its directory full"):
            to = setup.directory("idle")
            with (
                Relay(server.endpoint) as relay,
                watch(setup, relay.endpoint, PREFIX, to) as program,
            ):
                until("the first pass", 60, 0.05, lambda: populated(program, to, count))
                wait_idle(program, relay, relay.listings() + max(10 // setup.scale, 2))
                results[how] = program.memory()
                say(f"a watch {how}: {results[how][0]:.1f} MB, at most {results[how][1]:.1f}")
    return results


def growth(setup: Setup) -> list[Size]:
    """How a poll, a process that makes one pass, and memory grow with the number of keys."""
    sizes = []
    for full in (1_000, 10_000, 100_000):
        count = full // setup.scale
        to, single = setup.directory(f"grown-{count}"), setup.directory(f"single-{count}")
        prefixes = {PREFIX: (count, SMALL), "single": (1, SMALL)}
        with Server(setup.server, prefixes, {}) as server:
            filled(setup, server, count, to)
            setup.sync(setup.ours, server.endpoint, single, "single")
            runs, starts = [], []
            for _ in range(setup.runs):
                runs.append(setup.sync(setup.ours, server.endpoint, to))
                starts.append(setup.sync(setup.ours, server.endpoint, single, "single"))
            stretch = 1 if full < 100_000 else 3
            with (
                Relay(server.endpoint) as relay,
                watch(setup, relay.endpoint, PREFIX, to, stretch) as program,
            ):
                polls = steady_polls(setup, program, relay, count)
        sizes.append(size(polls, runs, median(one.cpu for one in starts)))
    return sizes


def size(polls: Polls, runs: list[Usage], start: float) -> Size:
    once = Usage(*(median(getattr(one, what) for one in runs) for what in ("wall", "cpu", "peak")))
    told = [milliseconds for one in runs if (milliseconds := reported(one)) is not None]
    if told:
        return Size(polls, once, median(told) / 1000, True)
    return Size(polls, once, max(once.cpu - polls.cpu - start, 0.0), False)


def reported(one: Usage) -> float | None:
    """How long reading the manifest took, when the report of `once` tells."""
    try:
        return json.loads(one.stdout).get("manifest_ms")
    except (json.JSONDecodeError, AttributeError) as error:
        raise BenchError(f"s3sync once printed no report: {error}") from error
