"""The results as Markdown, and the plot that goes with them."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from cases import Case, Setup
from goals import Results, goals, requests
from measure import Sample
from plot import Line, Panel, svg
from watching import Changes, Latency, Polls, Size

PLOT = "bench-growth.svg"
NOTES = Path(__file__).with_name("notes.md")

QUICK = "A quick bench: smaller sizes and single runs, so nothing is held against the goals."

HOW = """## How it is measured

- One server for each case, the in-memory S3 of `testkit`, on loopback. The tools run in turn (A B C A B C),
  each on a tree of its own, and the table gives medians. After each cold run the tree is hashed and
  compared with the server's, so that a tool that failed isn't taken for a fast one.
- The first round of a case goes through a relay that counts the requests, and is not timed.
- Wall is from the start of the process to its end; CPU is user and system, from `wait4`; MB are 10^6 bytes.
- CPU of a `watch` is from the process's own CPU clock (nanoseconds), over all polls of the window, which the
  relay counts. `--interval {interval:g}s --settle {settle:g}s`, shorter than the default, to see more polls; the CPU of
  one poll does not depend on it.
- Latency runs from the end of the upload until the file on disk holds the new content, looked at every 5 ms.
- Trees are in memory (`/dev/shm`) where it has room, else on disk: ext4 passes over every inode freed within
  the last 5 s, and so charges a tool for the tree that was removed before it.
- Server and tools share the machine's cores, and no network is between them: wall says how much work there
  is, and the case with delays how well it overlaps.
"""


@dataclass
class Machine:
    """Where and with what the figures were made."""

    lines: list[str]

    @staticmethod
    def here(setup: Setup) -> "Machine":
        fields = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines())
        model = next((field[1].strip() for field in fields if field[0].startswith("model name")), "")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        lines = [
            f"- {time.strftime('%Y-%m-%d', time.gmtime())}",
            f"- {model or platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB; "
            f"{platform.system()} {platform.release()}; trees on {file_system(setup.work)}",
        ]
        shown: dict[str, list[str]] = {}
        for tool in setup.tools:
            shown.setdefault(tool.version(), []).append(f"`{tool.shown()}`")
        lines += [f"- {version}: {', '.join(commands)}" for version, commands in shown.items()]
        if setup.others:
            lines.append("- aws with `max_concurrent_requests = 16` in its configuration")
        return Machine(lines)


def file_system(path: Path) -> str:
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def page(results: Results, machine: Machine, setup: Setup, floor: float) -> str:
    notes = NOTES.read_text().strip() if NOTES.exists() else ""
    parts = [
        "# Benchmarks",
        "Written by `make bench`: s3sync beside `aws s3 sync`, `s5cmd` and `rclone`. Ratios within one "
        "run say more than seconds, which are this machine's.",
        "\n".join(machine.lines),
        *(["## Goals", goal_table(results), notes] if setup.scale == 1 else [QUICK]),
        *(section(case, floor) for case in results.cases.values()),
        *watch_parts(results),
        *growth_parts(results),
        HOW.strip().format(interval=setup.interval, settle=setup.settle),
        f"A peak under {floor:.1f} MB can't be told from that of the process that starts the tools.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def goal_table(results: Results) -> str:
    words = {True: "met", False: "**not met**", None: "—"}
    rows = [[goal.case, goal.goal, goal.found, words[goal.met]] for goal in goals(results)]
    return table(["case", "goal", "measured", ""], rows)


def section(case: Case, floor: float) -> str:
    ours = case.samples["s3sync"]
    rows = [row(name, sample, ours, floor) for name, sample in case.samples.items()]
    heads = ["", "wall s", "CPU s", "peak MB", "requests", "wall ×", "CPU ×", "peak ×"]
    if all(sample.requests is None for sample in case.samples.values()):
        heads.remove("requests")
        rows = [[*cells[:4], *cells[5:]] for cells in rows]
    if len(rows) == 1:
        heads, rows = heads[:-3], [cells[:-3] for cells in rows]
    runs = len(ours.runs)
    how = f"{runs} runs" if runs > 1 else "one run"
    ratios = "; × is s3sync's figure divided by the other's" if len(rows) > 1 else ""
    under = f"{how.capitalize()}{ratios}."
    return f"## {case.title}\n\n{under}\n\n{table(heads, rows)}"


def row(name: str, sample: Sample, ours: Sample, floor: float) -> list[str]:
    peak = sample.median("peak")
    cells = [name, f"{sample.median('wall'):.2f}", f"{sample.median('cpu'):.3f}"]
    cells.append(f"{peak:.1f}" if peak > floor else f"≤ {floor:.1f}")
    cells.append(requests(sample.requests) if sample.requests else "")
    for what in ("wall", "cpu", "peak"):
        ratio = ours.median(what) / sample.median(what)
        cells.append("" if sample is ours else f"{ratio:.2f}")
    return cells


def watch_parts(results: Results) -> list[str]:
    rows = []
    if results.polls:
        rows += poll_rows(results.polls)
    if results.changes:
        rows += change_rows(results.changes)
    if results.idle:
        rows += [
            [f"idle, {how}", f"{now:.1f} MB resident, at most {peak:.1f} MB"]
            for how, (now, peak) in results.idle.items()
        ]
    if results.latency:
        rows += latency_rows(results.latency)
    return ["## `watch`", table(["", ""], rows)] if rows else []


def poll_rows(polls: Polls) -> list[list[str]]:
    return [
        [f"a poll of {polls.keys:,} unchanged keys ({polls.polls} polls)",
         f"{polls.cpu * 1000:.1f} ms CPU; {requests(polls.requests)}"],
        ["memory meanwhile", f"{polls.resident:.1f} MB resident, at most {polls.peak:.1f} MB"],
    ]


def change_rows(changes: Changes) -> list[list[str]]:
    return [
        [f"one change among them (median of {changes.changes})",
         f"{changes.cpu * 1000:.1f} ms CPU in {changes.polls:g} polls, the last of which found nothing "
         f"new; {changes.cpu_beyond_polls * 1000:.1f} ms beyond that of as many unchanged polls"],
        ["its requests", requests(changes.requests)],
        ["its time from upload, right after a poll, to disk", f"{changes.latency:.2f} s"],
    ]


def latency_rows(latency: Latency) -> list[list[str]]:
    marks = ", ".join(f"p{mark} {latency.percentile(mark):.2f} s" for mark in (50, 90, 99))
    what = f"{len(latency.seconds)} uploads at random instants, {latency.lanes} watches side by side"
    return [[what, f"{marks}, longest {max(latency.seconds):.2f} s"]]


def growth_parts(results: Results) -> list[str]:
    sizes = results.growth
    if not sizes:
        return []
    told = all(size.told for size in sizes)
    how = (
        "as s3sync itself reports it"
        if told
        else "CPU of `once` less that of a poll in `watch` and of `once` with a single key"
    )
    rows = [growth_row(size) for size in sizes]
    heads = ["keys", "a poll: CPU", "`watch` at rest", "at most", "`once`: wall", "CPU", "peak", "manifest"]
    return [
        "## How it grows",
        f"![CPU and memory by number of keys]({PLOT})",
        table(heads, rows),
        f"The manifest's column is what it takes to read it: {how}.",
    ]


def growth_row(size: Size) -> list[str]:
    polls, once = size.polls, size.once
    return [
        f"{polls.keys:,}",
        f"{polls.cpu * 1000:.1f} ms",
        f"{polls.resident:.1f} MB",
        f"{polls.peak:.1f} MB",
        f"{once.wall * 1000:.0f} ms",
        f"{once.cpu * 1000:.1f} ms",
        f"{once.peak:.1f} MB",
        f"{size.manifest * 1000:.1f} ms",
    ]


def growth_plot(sizes: list[Size]) -> str:
    cpu = Panel(
        "CPU",
        "ms",
        [
            Line("a poll in watch", [size.polls.cpu * 1000 for size in sizes]),
            Line("reading the manifest", [size.manifest * 1000 for size in sizes]),
            Line("once, in all", [size.once.cpu * 1000 for size in sizes]),
        ],
    )
    memory = Panel(
        "Memory",
        "MB",
        [
            Line("watch at rest", [size.polls.resident for size in sizes]),
            Line("at most", [size.polls.peak for size in sizes]),
        ],
    )
    description = "; ".join(
        f"{size.polls.keys:,} keys: {size.polls.cpu * 1000:.1f} ms CPU a poll, "
        f"{size.manifest * 1000:.1f} ms for the manifest, {size.polls.resident:.1f} MB resident"
        for size in sizes
    )
    keys = [size.polls.keys for size in sizes]
    title = "s3sync with more keys, when nothing changes"
    return svg(title, description, "keys below the prefix", keys, [cpu, memory])


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
