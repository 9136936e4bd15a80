"""s3sync beside the others, in turn, each in a process of its own on a tree of its own."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from measure import BenchError, Sample, Usage, run
from peers import Tool, variables
from relay import Relay
from server import Server, check_equal

SMALL = 2048
PREFIX = "dags"


@dataclass
class Setup:
    """What every case needs. `scale` divides sizes, for a short bench."""

    ours: Tool
    others: list[Tool]
    server: Path
    work: Path
    runs: int
    long_runs: int
    scale: int
    limit: float
    interval: float
    settle: float

    @property
    def tools(self) -> list[Tool]:
        return [self.ours, *self.others]

    def directory(self, *names: str) -> Path:
        path = self.work.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def sync(self, tool: Tool, endpoint: str, to: Path, prefix: str = PREFIX) -> Usage:
        environment = variables(endpoint, self.directory("home"))
        name = tool.name.replace(" ", "_")
        return run(tool.sync(prefix, to), environment, self.directory("logs"), name, self.limit)


@dataclass
class Case:
    """The result of one case: a sample for each tool."""

    name: str
    title: str
    samples: dict[str, Sample] = field(default_factory=dict)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def small(setup: Setup, thousands: int, wanted: set[str], cases: dict[str, Case]) -> None:
    """Many small files: cold, then with no change, then with one change."""
    full = thousands * 1000
    count = full // setup.scale
    runs = setup.runs if thousands < 10 else setup.long_runs
    with Server(setup.server, {PREFIX: (count, SMALL)}, {}) as server:
        truth = expected(server, count)
        if f"cold-{full}" in wanted:
            case = Case(f"cold-{full}", f"{count:,} files of 2 KiB, cold")
            cold(setup, server, case, truth, runs, counted=thousands < 10, keep=True)
            cases[case.name] = case
        else:
            for tool in setup.tools:
                setup.sync(tool, server.endpoint, tree(setup, tool))
                check_equal(tree(setup, tool), truth, tool.name)
        if f"same-{full}" in wanted:
            case = Case(f"same-{full}", f"{count:,} files of 2 KiB, no change")
            unchanged(setup, server, case, truth)
            cases[case.name] = case
        if f"changed-{full}" in wanted:
            case = Case(f"changed-{full}", f"{count:,} files of 2 KiB, one changed")
            changed(setup, server, case)
            cases[case.name] = case
    shutil.rmtree(setup.work / "trees")


def big(setup: Setup, cases: dict[str, Case]) -> None:
    """A few large files, cold."""
    size = 50_000_000 // setup.scale
    case = Case("big", f"20 files of {size // 1_000_000} MB, cold")
    with Server(setup.server, {PREFIX: (20, size)}, {}) as server:
        cold(setup, server, case, expected(server, 20), setup.runs, counted=True, keep=False)
    cases[case.name] = case


def delayed(setup: Setup, cases: dict[str, Case]) -> None:
    """Small files behind a network that takes its time."""
    count = 2000 // setup.scale
    case = Case("delayed", f"{count:,} files of 2 KiB, cold, 15 ms a GET and 40 ms a LIST")
    delays = {"get": "15ms", "list": "40ms"}
    with Server(setup.server, {PREFIX: (count, SMALL)}, delays) as server:
        truth = expected(server, count)
        cold(setup, server, case, truth, setup.long_runs, counted=False, keep=False)
    cases[case.name] = case


def expected(server: Server, count: int) -> dict[str, str]:
    truth = server.md5s(PREFIX)
    if len(truth) != count:
        raise BenchError(f"the server lists {len(truth)} objects of {count}")
    return truth


def tree(setup: Setup, tool: Tool) -> Path:
    return setup.directory("trees", tool.name.replace(" ", "_"))


def cold(
    setup: Setup,
    server: Server,
    case: Case,
    truth: dict[str, str],
    runs: int,
    counted: bool,
    keep: bool,
) -> None:
    """Into an empty directory. The counted run is not timed: it is the warm-up."""
    for tool in setup.tools:
        case.samples[tool.name] = Sample()
    for number in range(0 if counted else 1, runs + 1):
        for tool in setup.tools:
            to = tree(setup, tool)
            shutil.rmtree(to)
            to.mkdir()
            sample = case.samples[tool.name]
            if setup.scale == 1:
                # The pages that the one before left to be written are not this one's.
                os.sync()
            if number == 0:
                with Relay(server.endpoint) as relay:
                    usage = setup.sync(tool, relay.endpoint, to)
                    sample.requests = relay.counts()
            else:
                usage = setup.sync(tool, server.endpoint, to)
                sample.runs.append(usage)
            check_equal(to, truth, tool.name)
            progress(case, tool, number, runs, usage)
            if not (keep and number == runs):
                shutil.rmtree(to)
    if not keep:
        shutil.rmtree(setup.work / "trees")


def unchanged(setup: Setup, server: Server, case: Case, truth: dict[str, str]) -> None:
    """Again, when nothing changed."""
    for tool in setup.tools:
        sample = case.samples[tool.name] = Sample()
        with Relay(server.endpoint) as relay:
            setup.sync(tool, relay.endpoint, tree(setup, tool))
            sample.requests = relay.counts()
    for number in range(1, setup.runs + 1):
        for tool in setup.tools:
            usage = setup.sync(tool, server.endpoint, tree(setup, tool))
            case.samples[tool.name].runs.append(usage)
            progress(case, tool, number, setup.runs, usage)
    for tool in setup.tools:
        check_equal(tree(setup, tool), truth, tool.name)


def changed(setup: Setup, server: Server, case: Case) -> None:
    """Again, when one file changed its size, which every tool takes for a change."""
    path = "d0000/f050.py"
    for tool in setup.tools:
        case.samples[tool.name] = Sample()
    for number in range(setup.long_runs + 1):
        data = f"# change {number}\n".encode() * (100 + number)
        server.put(f"{PREFIX}/{path}", data)
        for tool in setup.tools:
            sample = case.samples[tool.name]
            if number == 0:
                with Relay(server.endpoint) as relay:
                    usage = setup.sync(tool, relay.endpoint, tree(setup, tool))
                    sample.requests = relay.counts()
            else:
                usage = setup.sync(tool, server.endpoint, tree(setup, tool))
                sample.runs.append(usage)
            if (tree(setup, tool) / path).read_bytes() != data:
                raise BenchError(f"{tool.name} missed the change of {path}")
            progress(case, tool, number, setup.long_runs, usage)


def progress(case: Case, tool: Tool, number: int, runs: int, usage: Usage) -> None:
    which = f"run {number} of {runs}" if number else "counting requests"
    say(
        f"{case.name}: {tool.name}, {which}: "
        f"{usage.wall:.2f} s, {usage.cpu:.3f} s CPU, {usage.peak:.1f} MB"
    )
